//! Float products against the reference: every kernel of this CPU, by equality of bits, signs of zero included.

use super::{KERNELS, run};
use crate::isa::Isa;
use crate::pack::{PackedF32, Source, pack_f32_into};
use crate::product::tests::{assert_kernels_match, noise, scattered, segments};

/// Zeros of both signs, powers of two far apart, numbers that round, or all of them.
#[allow(clippy::cast_precision_loss, reason = "rounding to f32 is meant")]
fn fill(kind: usize, i: usize) -> f32 {
    let noise = noise(i);
    match kind {
        0 => [0.0, -0.0][noise as usize % 2],
        1 => f32::from_bits((noise % 2) << 31 | (100 + noise % 50) << 23),
        2 => noise.cast_signed() as f32 / 1e9,
        _ => fill(noise as usize % 3, i + 1),
    }
}

fn packed(n: usize, n_steps: usize, fill: impl Fn(usize) -> f32) -> PackedF32 {
    let values: Vec<f32> = (0..n * n_steps).map(fill).collect();
    let table: Vec<u32> = (0..n_steps).map(|step| u32::try_from(step * n).unwrap()).collect();
    let mut packed = PackedF32::default();
    let source = Source { values: &values, n, n_stride: 1, table: &table, segments: segments(n_steps) };
    pack_f32_into(Isa::Reference, source, &mut packed);
    packed
}

fn check(size: [usize; 3], kinds: [usize; 2]) {
    let [m, n, n_steps] = size;
    let (rows, steps, a_len) = scattered(m, n_steps, 1);
    let a: Vec<f32> = (0..a_len).map(|i| fill(kinds[0], i)).collect();
    let b = packed(n, n_steps, |i| fill(kinds[1], i + 1000));
    let case = (&a[..], &rows[..], &steps[..], &b);
    assert_kernels_match(
        KERNELS,
        run,
        case,
        |i| fill(3, i),
        |x| x.to_bits().into(),
        &format!("{size:?}, fills {kinds:?}"),
    );
}

#[test]
fn every_kernel_matches_reference_for_all_tile_shapes() {
    for m in 1..=30 {
        for n in [1, 10, 15, 16, 17, 31, 32, 33, 48, 64, 100] {
            check([m, n, 3], [3, 3]);
        }
    }
}

#[test]
fn every_kernel_matches_reference_at_the_extremes() {
    for n_steps in [1, 2, 7, 8, 127, 128, 129, 255, 256, 257, 600] {
        for kinds in (0..16).map(|i| [i / 4, i % 4]) {
            check([13, 17, n_steps], kinds);
        }
    }
}
