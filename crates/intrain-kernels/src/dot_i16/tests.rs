//! 16-bit products against the reference: every kernel of this CPU, extremes and sizes around each vector width, by equality.

use super::{KERNELS, run};
use crate::isa::Isa;
use crate::pack::{PackedI16, Source, pack_i16};
use crate::product::Lined;
use crate::product::tests::{assert_kernels_match, noise, scattered, segments};

/// Codes of `bits`: least, greatest, alternating, noise.
fn fill(kind: usize, bits: u32, i: usize) -> i32 {
    let (min, max) = (i32::MIN >> (32 - bits), i32::MAX >> (32 - bits));
    match kind {
        0 => min,
        1 => max,
        2 => [min, max][i % 2],
        _ => noise(i).cast_signed() >> (32 - bits),
    }
}

fn packed(n: usize, n_steps: usize, a_max: u32, fill: impl Fn(usize) -> i32) -> PackedI16 {
    let values: Vec<i32> = (0..n * n_steps * 2).map(fill).collect();
    let table: Vec<u32> = (0..n_steps * 2).map(|lane| u32::try_from(lane * n).unwrap()).collect();
    let range = values.iter().fold((0, 0), |(min, max), &v| (v.min(min), v.max(max)));
    pack_i16(
        Isa::Reference,
        Source { values: &values, n, n_stride: 1, table: &table, segments: segments(n_steps) },
        a_max,
        range,
    )
}

fn check(size: [usize; 3], bits: [u32; 2], kinds: [usize; 2]) {
    let [m, n, n_steps] = size;
    let (rows, steps, a_len) = scattered(m, n_steps, 2);
    let a: Vec<i16> = (0..a_len).map(|i| i16::try_from(fill(kinds[0], bits[0], i)).unwrap()).collect();
    let b = packed(n, n_steps, 1 << (bits[0] - 1), |i| fill(kinds[1], bits[1], i));
    let old = |i: usize| i64::from(noise(i)) << 20;
    let name = format!("{size:?} {bits:?} bits, fills {kinds:?}, {} limbs", b.limbs().len());
    assert_kernels_match(KERNELS, run, (&a, &rows, &steps, &b), old, i64::cast_unsigned, &name);
}

#[test]
fn every_kernel_matches_reference_for_all_tile_shapes() {
    for m in 1..=30 {
        for n in [1, 10, 15, 16, 17, 31, 32, 33, 48, 64, 100] {
            check([m, n, 3], [16, 16], [3, 3]);
        }
    }
}

#[test]
fn every_kernel_matches_reference_at_the_extremes() {
    for n_steps in [1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 255, 256, 257, 300] {
        for kinds in (0..16).map(|i| [i / 4, i % 4]) {
            for bits in [[16, 16], [16, 8], [8, 16], [16, 20], [16, 24], [8, 24], [2, 32]] {
                check([3, 17, n_steps], bits, kinds);
            }
        }
    }
}

#[test]
fn sums_need_the_flush() {
    // Each limb's sum passes 2^31 many times over.
    check([2, 16, 20_000], [16, 24], [0, 0]);
    check([2, 16, 20_000], [8, 16], [0, 0]);
}
