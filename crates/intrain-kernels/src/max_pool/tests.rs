//! Every kernel equals the reference: overlapping and separate windows, ragged sides, padded pixels, ties, ends.

use super::{BackwardArgs, Error, ForwardArgs, Image, Pool, backward, forward, maxima};
use crate::elementwise::Integer;
use crate::isa::Isa;
use crate::requantize::tests::noise;

const IMAGES: [Image; 9] = [
    Image { h: 4, w: 4, c: 1, pixel_stride: 1 },
    Image { h: 5, w: 7, c: 3, pixel_stride: 4 },
    Image { h: 8, w: 8, c: 16, pixel_stride: 16 },
    Image { h: 7, w: 6, c: 33, pixel_stride: 48 },
    Image { h: 9, w: 9, c: 64, pixel_stride: 64 },
    Image { h: 6, w: 10, c: 130, pixel_stride: 144 },
    Image { h: 1, w: 3, c: 5, pixel_stride: 5 },
    Image { h: 3, w: 3, c: 0, pixel_stride: 2 },
    Image { h: 0, w: 5, c: 2, pixel_stride: 2 },
];

const POOLS: [Pool; 12] = [
    Pool { size: 2, stride: 2, pad: 0 },
    Pool { size: 3, stride: 2, pad: 0 },
    Pool { size: 3, stride: 3, pad: 0 },
    Pool { size: 2, stride: 1, pad: 0 },
    Pool { size: 2, stride: 3, pad: 0 },
    Pool { size: 1, stride: 1, pad: 0 },
    Pool { size: 5, stride: 1, pad: 0 },
    Pool { size: 8, stride: 1, pad: 0 },
    Pool { size: 3, stride: 2, pad: 1 },
    Pool { size: 3, stride: 1, pad: 1 },
    Pool { size: 2, stride: 2, pad: 1 },
    Pool { size: 5, stride: 3, pad: 4 },
];

fn check<T: Error + PartialEq + std::fmt::Debug>(values: impl Fn(usize, u64) -> Vec<T>, min: T, max: T) {
    for image in IMAGES {
        for pool in POOLS {
            let inputs = image.h * image.w * image.pixel_stride;
            let outputs = pool.outputs(image.h) * pool.outputs(image.w) * image.c;
            let (input, error) = (values(inputs, 1), values(outputs, 2));
            let run = |isa| {
                let (mut out, mut index) = (vec![T::default(); outputs], vec![0xffu8; outputs]);
                forward(isa, ForwardArgs { input: &input, image, pool, out: &mut out, index: &mut index });
                let places = index.clone();
                index.iter_mut().for_each(|i| *i |= 0xc0);
                let mut back = values(inputs, 3);
                let index = &index;
                backward(isa, BackwardArgs { error: &error, index, image, pool, out: &mut back, min, max });
                (out, places, back)
            };
            let want = run(Isa::Reference);
            for isa in Isa::available() {
                assert_eq!(run(isa), want, "{isa:?} {image:?} {pool:?}");
            }
        }
    }
}

#[test]
fn maxima_are_those_of_the_forward_pass() {
    fn check<T: Integer + std::fmt::Debug>(values: impl Fn(usize) -> Vec<T>) {
        for (image, pool) in IMAGES.into_iter().flat_map(|image| POOLS.map(|pool| (image, pool))) {
            let input = values(image.h * image.w * image.pixel_stride);
            let outputs = pool.outputs(image.h) * pool.outputs(image.w) * image.c;
            let (mut want, mut index) = (vec![T::default(); outputs], vec![0; outputs]);
            let args = ForwardArgs { input: &input, image, pool, out: &mut want, index: &mut index };
            forward(Isa::Reference, args);
            for isa in Isa::available() {
                let mut out = vec![T::default(); outputs];
                maxima(isa, (&input, image), pool, &mut out);
                assert_eq!(out, want, "{isa:?} {image:?} {pool:?}");
            }
        }
    }
    check(|n| noise::<i8>(n, 1));
    check(|n| noise::<i32>(n, 2));
    check(|n| vec![i64::MIN; n]);
}

#[test]
fn i8_with_many_ties() {
    check::<i8>(|n, seed| noise::<i8>(n, seed).into_iter().map(|x| x >> 4).collect(), -127, 127);
    check::<i8>(|n, _| vec![i8::MAX; n], -127, 127);
    check::<i8>(|n, _| vec![i8::MIN; n], i8::MIN, i8::MAX);
}

#[test]
fn i16_clamped() {
    check::<i16>(noise::<i16>, -1000, 900);
    check::<i16>(|n, _| vec![i16::MIN; n], i16::MIN, i16::MAX);
}

#[test]
fn i32_at_its_ends() {
    check::<i32>(noise::<i32>, i32::MIN, i32::MAX);
    check::<i32>(|n, _| vec![i32::MIN; n], i32::MIN, i32::MAX);
}

#[test]
fn f32_in_the_order_of_the_outputs() {
    let floats =
        |n, seed| noise::<i16>(n, seed).into_iter().map(|x| f32::from(x) / 77.0).collect::<Vec<f32>>();
    check::<f32>(floats, f32::NEG_INFINITY, f32::INFINITY);
    check::<f32>(floats, -100.0, 50.0);
}

#[test]
fn i64_forward() {
    let (image, pool) = (IMAGES[3], POOLS[1]);
    let input: Vec<i64> = noise(image.h * image.w * image.pixel_stride, 4);
    let outputs = pool.outputs(image.h) * pool.outputs(image.w) * image.c;
    let run = |isa| {
        let (mut out, mut index) = (vec![0; outputs], vec![0; outputs]);
        forward(isa, ForwardArgs { input: &input, image, pool, out: &mut out, index: &mut index });
        (out, index)
    };
    for isa in Isa::available() {
        assert_eq!(run(isa), run(Isa::Reference), "{isa:?}");
    }
}

#[test]
fn first_maximum_wins_and_gets_the_error() {
    let image = Image { h: 2, w: 3, c: 1, pixel_stride: 1 };
    let pool = Pool { size: 2, stride: 1, pad: 0 };
    for isa in Isa::available() {
        let (mut out, mut index) = ([0i8; 2], [0u8; 2]);
        forward(
            isa,
            ForwardArgs { input: &[1, 7, 7, 7, 0, 7], image, pool, out: &mut out, index: &mut index },
        );
        assert_eq!((out, index), ([7, 7], [1, 0]));
        let mut back = [5i8; 6];
        let error = &[100, 90];
        let args = BackwardArgs { error, index: &index, image, pool, out: &mut back, min: -127, max: 127 };
        backward(isa, args);
        assert_eq!(back, [0, 127, 0, 0, 0, 0], "190 is clamped");
    }
}

#[test]
#[should_panic(expected = "outputs of")]
fn refuses_sizes_that_do_not_fit() {
    let image = Image { h: 4, w: 4, c: 1, pixel_stride: 1 };
    let pool = Pool { size: 2, stride: 2, pad: 0 };
    let (mut out, mut index) = ([0i8; 3], [0u8; 3]);
    forward(Isa::Reference, ForwardArgs { input: &[0; 16], image, pool, out: &mut out, index: &mut index });
}

/// NaN reaches the result from every place of a window, with every kernel.
#[test]
fn the_first_nan_of_a_window_wins() {
    for isa in Isa::available() {
        for (size, pad) in [(2, 0), (3, 0), (3, 1)] {
            let pool = Pool { size, stride: size, pad };
            for place in 0..size * size {
                let image = Image { h: size, w: size, c: 1, pixel_stride: 1 };
                let mut input = vec![1.0_f32; size * size];
                input[size * size - 1] = f32::NAN;
                input[place] = f32::NAN;
                let n = pool.outputs(size) * pool.outputs(size);
                let (mut out, mut index) = (vec![0.0; n], vec![0; n]);
                forward(isa, ForwardArgs { input: &input, image, pool, out: &mut out, index: &mut index });
                assert!(pad > 0 || out[0].is_nan(), "{isa:?}, {size} x {size}: {place}");
                assert!(pad > 0 || usize::from(index[0]) == place, "{isa:?}, {size} x {size}: {place}");
            }
        }
    }
}
