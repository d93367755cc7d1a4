//! Staging, tables, packing and products together, against convolutions in the plainest loops.

use super::{Band, Code, Conv, RowsLayout, Tables, stage_planes, stage_rows, staged_as_is};
use crate::depthwise::{Gradient, Multiply, gradient, multiply};
use crate::isa::Isa;
use crate::pack::{Left, PackedF32, pack_f32_into, pack_i8, pack_i16};
use crate::product::tests::noise;
use crate::{dot_f32, dot_i8, dot_i16};

/// Calls `f(input, weight, output)` with the index of each product of the convolution.
fn for_each_product(conv: &Conv, images: usize, mut f: impl FnMut(usize, usize, usize)) {
    let (ho, wo) = (conv.out_h(), conv.out_w());
    for image in 0..images {
        let ([sh, sw], [ph, pw], [dh, dw]) = (conv.stride, conv.pad, conv.dilation);
        for (y, x, ky, kx) in (0..ho * wo * conv.taps()).map(|i| {
            let (pixel, tap) = (i / conv.taps(), i % conv.taps());
            (pixel / wo, pixel % wo, tap / conv.kernel[1], tap % conv.kernel[1])
        }) {
            let (sy, sx) = (y * sh + ky * dh, x * sw + kx * dw);
            let inside = sy >= ph && sx >= pw && sy < conv.h + ph && sx < conv.w + pw;
            if !inside {
                continue;
            }
            for ci in 0..conv.c_in {
                for co in 0..conv.c_out {
                    let input = ((image * conv.h + sy - ph) * conv.w + sx - pw) * conv.c_in + ci;
                    let weight = ((ky * conv.kernel[1] + kx) * conv.c_in + ci) * conv.c_out + co;
                    f(input, weight, ((image * ho + y) * wo + x) * conv.c_out + co);
                }
            }
        }
    }
}

/// The sizes of a convolution's three tensors.
fn sizes(conv: &Conv, images: usize) -> [usize; 3] {
    [
        images * conv.h * conv.w * conv.c_in,
        conv.taps() * conv.c_in * conv.c_out,
        images * conv.out_h() * conv.out_w() * conv.c_out,
    ]
}

/// Forward, error and gradient in the plainest loops.
fn naive(conv: &Conv, images: usize, tensors: [&[i64]; 3]) -> [Vec<i64>; 3] {
    let [x, w, e] = tensors;
    let (mut forward, mut error, mut gradient) = (vec![0; e.len()], vec![0; x.len()], vec![0; w.len()]);
    for_each_product(conv, images, |i, k, o| {
        forward[o] += x[i] * w[k];
        error[i] += e[o] * w[k];
        gradient[k] += x[i] * e[o];
    });
    [forward, error, gradient]
}

/// A product that takes a staged A, tables and B's values, and gives C without its scratch columns.
type Product<'a, P, B> = &'a dyn Fn(&[<P as Code>::Staged], &Tables, &[B]) -> Vec<i64>;

/// Forward, error and gradient through staging; weights may be wider than codes.
fn staged<P: Code, W: Copy>(
    conv: &Conv,
    images: usize,
    zero: P::Staged,
    (x, w, e): (&[P], &[W], &[P]),
    by_weights: Product<'_, P, W>,
    by_errors: Product<'_, P, P>,
) -> [Vec<i64>; 3] {
    let rows = |layout: &RowsLayout, src: &[P]| {
        let (from, len) = (layout.h * layout.w * layout.c, layout.image_len());
        // The buffer starts as something else than zero, to see that all of an image is written.
        let mut staged = vec![src[0].stage(zero); layout.buffer_len(images)];
        for image in 0..images {
            stage_rows(&src[image * from..], layout, &mut staged[image * len..], zero);
        }
        staged
    };
    let forward = by_weights(&rows(&conv.forward_layout(), x), &conv.forward::<P>(images), w);
    let error = by_weights(&rows(&conv.error_layout(), e), &conv.error::<P>(images), w);

    let layout = conv.gradient_layout::<P>();
    let mut gradient = vec![0; w.len()];
    let cut = conv.c_in / 2;
    for channels in [0..cut, cut..conv.c_in].into_iter().filter(|channels| !channels.is_empty()) {
        let len = channels.len() * layout.channel_len();
        let mut planes = vec![x[0].stage(zero); layout.buffer_len(channels.len(), images)];
        for image in 0..images {
            let from = &x[image * layout.h * layout.w * layout.c..];
            stage_planes(Isa::best(), from, &layout, channels.clone(), &mut planes[image * len..], zero);
        }
        let part = by_errors(&planes, &conv.gradient::<P>(images, channels.clone()), e);
        for (i, sum) in part.into_iter().enumerate() {
            let (row, co) = (i / conv.c_out, i % conv.c_out);
            let (tap, ci) = (row / channels.len(), channels.start + row % channels.len());
            gradient[(tap * conv.c_in + ci) * conv.c_out + co] = sum;
        }
    }
    [forward, error, gradient]
}

fn product_i8(isa: Isa, a: &[u8], tables: &Tables, values: &[i8]) -> Vec<i64> {
    let (b, c_stride) = (pack_i8(isa, tables.source(values), Left::Signed), tables.n);
    let mut c = vec![0; tables.rows.len() * c_stride];
    for Band { rows, segments } in tables.bands.clone() {
        let (steps, store) = (tables.steps_of(&segments), dot_i8::Store::Set);
        let (c, rows) = (&mut c[rows.start * c_stride..], &tables.rows[rows]);
        dot_i8::run(isa, dot_i8::Args { a, rows, steps, segments, b: &b, c, c_stride, init: None, store });
    }
    c.chunks(c_stride).flat_map(|row| row[..tables.n].iter().map(|&c| i64::from(c))).collect()
}

fn product_i16<B: Copy + Into<i32>>(isa: Isa, a: &[i16], tables: &Tables, values: &[B]) -> Vec<i64> {
    let (b, c_stride) = (pack_i16(isa, tables.source(values), 1 << 15, (i32::MIN, i32::MAX)), tables.n);
    let mut c = vec![0; tables.rows.len() * c_stride];
    for Band { rows, segments } in tables.bands.clone() {
        let (steps, store) = (tables.steps_of(&segments), dot_i16::Store::Set);
        let (c, rows) = (&mut c[rows.start * c_stride..], &tables.rows[rows]);
        dot_i16::run(isa, dot_i16::Args { a, rows, steps, segments, b: &b, c, c_stride, init: None, store });
    }
    c.chunks(c_stride).flat_map(|row| row[..tables.n].to_vec()).collect()
}

/// Whole numbers that floats hold exactly.
#[allow(clippy::cast_possible_truncation, reason = "whole numbers below 2^24")]
fn product_f32(isa: Isa, a: &[f32], tables: &Tables, values: &[f32]) -> Vec<i64> {
    let (mut b, c_stride) = (PackedF32::default(), tables.n);
    pack_f32_into(isa, tables.source(values), &mut b);
    let mut c = vec![0.0; tables.rows.len() * c_stride];
    for Band { rows, segments } in tables.bands.clone() {
        let (steps, store) = (tables.steps_of(&segments), dot_f32::Store::Set);
        let (c, rows) = (&mut c[rows.start * c_stride..], &tables.rows[rows]);
        dot_f32::run(isa, dot_f32::Args { a, rows, steps, segments, b: &b, c, c_stride, init: None, store });
    }
    c.into_iter().map(|c| c as i64).collect()
}

/// All operands, on all instruction sets, on noise and on the least value everywhere.
fn check(conv: &Conv, images: usize, isas: &[Isa]) {
    let [nx, nw, ne] = sizes(conv, images);
    for least in [false, true] {
        let byte = |i: usize| if least { i8::MIN } else { noise(i).to_le_bytes()[1].cast_signed() };
        let word = |i: usize| {
            if least {
                i16::MIN
            } else {
                i16::from_le_bytes([noise(i).to_le_bytes()[0], noise(i + 9).to_le_bytes()[2]])
            }
        };
        let wide = |i: usize| if least { -(1 << 23) } else { noise(i).cast_signed() >> 8 };
        let from = |n: usize, seed: usize| (0..n).map(move |i| i + seed);
        let (x, w, e): (Vec<i8>, Vec<i8>, Vec<i8>) = (
            from(nx, 0).map(byte).collect(),
            from(nw, 77).map(byte).collect(),
            from(ne, 555).map(byte).collect(),
        );
        let long = |v: &[i8]| v.iter().map(|&v| i64::from(v)).collect::<Vec<_>>();
        let want = naive(conv, images, [&long(&x), &long(&w), &long(&e)]);
        for &isa in isas {
            let product = |a: &[u8], tables: &Tables, b: &[i8]| product_i8(isa, a, tables, b);
            assert_eq!(
                staged(conv, images, 0x80, (&x, &w, &e), &product, &product),
                want,
                "i8 {isa:?} {images} {conv:?}"
            );
        }
        let small = |v: &[i8]| v.iter().map(|&v| i64::from(v >> 3)).collect::<Vec<_>>();
        let float = |v: &[i8]| v.iter().map(|&v| f32::from(v >> 3)).collect::<Vec<_>>();
        let want = naive(conv, images, [&small(&x), &small(&w), &small(&e)]);
        for &isa in isas {
            let product = |a: &[f32], tables: &Tables, b: &[f32]| product_f32(isa, a, tables, b);
            let tensors = (&float(&x)[..], &float(&w)[..], &float(&e)[..]);
            let got = staged(conv, images, 0.0, tensors, &product, &product);
            assert_eq!(got, want, "f32 {isa:?} {images} {conv:?}");
        }
        let (x, w, e): (Vec<i16>, Vec<i32>, Vec<i16>) = (
            from(nx, 0).map(word).collect(),
            from(nw, 77).map(wide).collect(),
            from(ne, 555).map(word).collect(),
        );
        let long = |v: &[i16]| v.iter().map(|&v| i64::from(v)).collect::<Vec<_>>();
        let long_w: Vec<i64> = w.iter().map(|&w| i64::from(w)).collect();
        let want = naive(conv, images, [&long(&x), &long_w, &long(&e)]);
        for &isa in isas {
            let by_weights = |a: &[i16], tables: &Tables, b: &[i32]| product_i16(isa, a, tables, b);
            let by_errors = |a: &[i16], tables: &Tables, b: &[i16]| product_i16(isa, a, tables, b);
            let got = staged(conv, images, 0, (&x, &w, &e), &by_weights, &by_errors);
            assert_eq!(got, want, "i16 {isa:?} {images} {conv:?}");
        }
    }
}

#[test]
fn plain_images_need_no_copy() {
    let (src, layout) = ([1_i8, 2, 3, 4, 5, 6, 127, 0], Conv::linear(2, 4, 1).forward_layout());
    let mut staged = vec![9; layout.buffer_len(1)];
    stage_rows(&src, &layout, &mut staged, 0);
    assert_eq!(staged_as_is(&src, &layout, 0), Some(&staged[..8]));
    assert_eq!(staged_as_is(&src, &layout, 0x80), None, "signs are turned");
    let around = RowsLayout { w: 1, left: 1, ..layout };
    assert_eq!(staged_as_is(&src, &around, 0), None, "zeros lie around");
    assert_eq!(
        staged_as_is(&src, &Conv::linear(2, 3, 1).forward_layout(), 0),
        None,
        "a step reaches further"
    );
    assert_eq!(staged_as_is(&[1_i16, -2], &Conv::linear(1, 2, 1).forward_layout(), 0), Some(&[1, -2][..]));
}

#[test]
fn convolutions_equal_the_plainest_loops_for_all_small_geometries() {
    let channels = [(1, 3), (3, 5), (4, 4), (5, 1), (8, 33), (33, 8)];
    let images = [(5, 7), (6, 4), (9, 8)];
    let axes = |kernels: std::ops::RangeInclusive<usize>| {
        kernels
            .flat_map(|kernel| (1..=3).flat_map(move |stride| (0..=2).map(move |pad| [kernel, stride, pad])))
    };
    let mut i = 0;
    let mut check = |h: usize, w: usize, rows: [usize; 4], columns: [usize; 4]| {
        let (c_in, c_out) = channels[i % channels.len()];
        let [kernel, stride, pad, dilation] = [0, 1, 2, 3].map(|which| [rows[which], columns[which]]);
        let conv = Conv { h, w, c_in, kernel, stride, pad, dilation, c_out };
        let fits = |size: usize, axis: usize| size + 2 * pad[axis] > conv.span(axis);
        if fits(h, 0) && fits(w, 1) {
            check(&conv, 1, &[Isa::best()]);
            i += 1;
        }
    };
    for [kernel, stride, pad] in axes(1..=5) {
        for (h, w) in images {
            let axis = [kernel, stride, pad, 1];
            check(h, w, axis, axis);
        }
    }
    // Axes that differ, and taps that lie apart.
    for [kernel, stride, pad] in axes(2..=4) {
        let (h, w) = images[(kernel + stride + pad) % images.len()];
        check(h, w, [kernel, stride, pad, 2], [kernel, stride, pad, 2]);
        check(h, w, [kernel, stride, pad, 3], [4 - kernel.min(3), 1, 1, 1]);
        check(h, w, [1, 2, 0, 1], [kernel, stride, pad, 2]);
    }
}

/// A convolution whose axes are alike: `[kernel, stride, pad]`.
const fn square(h: usize, w: usize, c_in: usize, [kernel, stride, pad]: [usize; 3], c_out: usize) -> Conv {
    let (kernel, stride, pad) = ([kernel, kernel], [stride, stride], [pad, pad]);
    Conv { h, w, c_in, kernel, stride, pad, dilation: [1, 1], c_out }
}

#[test]
fn convolutions_equal_the_plainest_loops_on_every_instruction_set() {
    for conv in [
        square(6, 5, 3, [3, 1, 1], 4),
        Conv { kernel: [2, 3], ..square(7, 8, 5, [3, 2, 1], 33) },
        Conv { kernel: [3, 2], stride: [1, 2], dilation: [1, 3], ..square(7, 8, 5, [3, 2, 1], 33) },
        square(3, 3, 33, [1, 3, 2], 17),
        square(20, 35, 18, [3, 1, 1], 3),
        Conv::linear(7, 10, 3),
        Conv::linear(16, 33, 20),
    ] {
        check(&conv, 1, &Isa::available());
    }
}

#[test]
fn consecutive_images_share_one_product() {
    check(&square(4, 3, 3, [3, 1, 1], 5), 3, &Isa::available());
    check(&Conv { kernel: [3, 2], ..square(5, 6, 2, [3, 2, 0], 17) }, 2, &Isa::available());
}

/// Forward, error and gradient of a depthwise convolution, by dense ones with zeros between the channels.
fn check_depthwise(conv: &Conv, [forward_pixels, error_pixels]: [usize; 2]) {
    let (c, taps) = (conv.c_in, conv.taps());
    let [nx, _, ne] = sizes(conv, 1);
    let byte = |i: usize| noise(i).to_le_bytes()[1].cast_signed();
    let list = |n: usize, seed: usize| (0..n).map(|i| byte(i + seed)).collect::<Vec<i8>>();
    let (x, w, e) = (list(nx, 0), list(taps * c, 77), list(ne, 555));
    let mut dense = vec![0; taps * c * c];
    (0..taps * c).for_each(|i| dense[(i / c * c + i % c) * c + i % c] = i64::from(w[i]));
    let long = |v: &[i8]| v.iter().map(|&v| i64::from(v)).collect::<Vec<_>>();
    let [forward, error, weights] = naive(conv, 1, [&long(&x), &dense, &long(&e)]);
    let stage = |layout: &RowsLayout, src: &[i8]| {
        let mut staged = vec![9; layout.buffer_len(1)];
        stage_rows(src, layout, &mut staged, 0);
        staged
    };
    let each = |values: &[i8], times: usize, is_turned: bool| -> Vec<i8> {
        let taps = values.chunks(c).map(|tap| tap.repeat(times));
        if is_turned { taps.rev().flatten().collect() } else { taps.flatten().collect() }
    };
    let (staged, staged_error) = (stage(&conv.forward_layout(), &x), stage(&conv.error_layout(), &e));
    let same = |found: &[i32], expected: &[i64], what: &str| {
        assert!(found.iter().map(|x| i64::from(*x)).eq(expected.iter().copied()), "{what} {conv:?}");
    };
    let (tables, n) = (conv.forward_by_channel(forward_pixels), c * forward_pixels);
    let (a, rows, steps, mut sums) = (&staged[..], &tables.rows[..], &tables.steps[..], vec![0; ne]);
    let (b, init) = (&each(&w, forward_pixels, false)[..], &vec![0; n][..]);
    multiply(Isa::best(), Multiply::<i8> { a, rows, steps, b, init, c: &mut sums });
    same(&sums, &forward, "forward");
    let mut g = vec![0; taps * n];
    gradient(Isa::best(), Gradient::<i8> { a, rows, steps, channels: n, e: &e, g: &mut g });
    let of_weight = |i: usize| (0..forward_pixels).map(|pixel| g[i / c * n + pixel * c + i % c]).sum::<i32>();
    let own: Vec<i64> = (0..taps * c).map(|i| weights[(i / c * c + i % c) * c + i % c]).collect();
    same(&(0..taps * c).map(of_weight).collect::<Vec<_>>(), &own, "gradient");

    let (tables, n) = (conv.error_by_channel(error_pixels), c * error_pixels);
    let (a, rows, steps, mut sums) = (&staged_error[..], &tables.rows[..], &tables.steps[..], vec![0; nx]);
    let (b, init) = (&each(&w, error_pixels, true)[..], &vec![0; n][..]);
    multiply(Isa::best(), Multiply::<i8> { a, rows, steps, b, init, c: &mut sums });
    same(&sums, &error, "error");
}

#[test]
fn depthwise_convolutions_equal_the_plainest_loops() {
    for c in [1, 3, 20, 64, 65] {
        for [kernel, stride, pad] in [[3, 1, 1], [3, 2, 1], [2, 3, 1], [5, 1, 2], [1, 1, 0], [3, 2, 0]] {
            let conv = square(7, 6, c, [kernel, stride, pad], c);
            let pixels = if stride == 1 { conv.out_w() } else { 1 };
            check_depthwise(&conv, [1, 1]);
            check_depthwise(&conv, [pixels, 6]);
            check_depthwise(&conv, [pixels, 3]);
        }
        let apart = Conv { dilation: [2, 1], stride: [2, 1], pad: [3, 0], ..square(8, 6, c, [3, 1, 0], c) };
        check_depthwise(&apart, [2, 2]);
        check_depthwise(&Conv { kernel: [1, 4], stride: [1, 2], ..square(5, 9, c, [1, 1, 0], c) }, [1, 3]);
    }
}

#[test]
fn rows_hold_zeros_around_and_between() {
    let layout = RowsLayout { h: 1, w: 2, c: 1, top: 1, left: 0, bottom: 0, right: 1, distance: [2, 2] };
    let mut staged = [0_u8; 9];
    stage_rows(&[-128_i8, 127], &layout, &mut staged, 0x80);
    assert_eq!(
        staged,
        [128, 128, 128, 128, 0, 128, 255, 128, 0],
        "one element behind the image is left alone"
    );
    stage_rows(&[1_i8, 127], &layout, &mut staged, 0);
    assert_eq!(staged, [0, 0, 0, 0, 1, 0, 127, 0, 0]);
}
