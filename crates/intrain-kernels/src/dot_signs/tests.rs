//! Products by signs against the reference, and the reference against sums of bytes.

use super::{Args, KERNELS, run};
use crate::dot_i8;
use crate::isa::Isa;
use crate::pack::{Left, PackedSigns, Source, pack_i8, pack_signs_into, quads_of_signs};
use crate::product::Store;
use crate::product::tests::{assert_kernels_match, noise, scattered, segments};
use crate::stage::Quad;

fn packed(n: usize, n_steps: usize, sign: impl Fn(usize) -> i8) -> (Vec<i8>, PackedSigns) {
    let weights: Vec<i8> = (0..16 * n_steps * n).map(sign).collect();
    let (mut quads, mut packed) = (vec![], PackedSigns::default());
    quads_of_signs(&weights, n, |weight| weight >= 0, &mut quads);
    let table: Vec<u32> = (0..4 * n_steps).map(|lane| u32::try_from(lane * n).unwrap()).collect();
    let source = Source { values: &quads, n, n_stride: 1, table: &table, segments: segments(n_steps) };
    pack_signs_into(source, &mut packed);
    (weights, packed)
}

type Draw<T> = fn(usize) -> T;
const QUADS: [Draw<u8>; 3] = [|_| 0xFF, |i| noise(i).to_le_bytes()[0], |_| 0];
const SIGNS: [Draw<i8>; 4] = [
    |_| 1,
    |_| -1,
    |i| if noise(i).is_multiple_of(2) { 1 } else { -1 },
    |i| if i.is_multiple_of(2) { 1 } else { -1 },
];

#[test]
fn every_kernel_matches_reference() {
    for (m, n, n_steps) in (1..10)
        .flat_map(|m| [1, 16, 31, 32, 33, 64, 65, 96, 100, 128].map(|n| (m, n, 5)))
        .chain([1, 2, 3, 36, 127, 128, 129, 300, 700].map(|n_steps| (5, 70, n_steps)))
    {
        let (rows, steps, a_len) = scattered(m, n_steps, 4);
        for (quad, sign) in QUADS.iter().flat_map(|quad| SIGNS.map(|sign| (quad, sign))) {
            let a: Vec<u8> = (0..a_len).map(quad).collect();
            let (_, b) = packed(n, n_steps, sign);
            let old = |i: usize| noise(i).cast_signed() >> 3;
            let name = format!("{m} x {n} x {n_steps}");
            let word = |x| i64::from(x).cast_unsigned();
            assert_kernels_match(KERNELS, run, (&a, &rows, &steps, &b), old, word, &name);
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_kernel_of_avx512_needs_no_vnni() {
    if !(is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq"))
    {
        // As elsewhere, kernels that a CPU has no instructions for are not checked on it.
        return;
    }
    for (m, n, n_steps) in
        (1..20).flat_map(|m| [1, 32, 40, 64, 70, 96, 100, 128, 130, 200].map(|n| (m, n, 131)))
    {
        let (rows, steps, a_len) = scattered(m, n_steps, 4);
        let a: Vec<u8> = (0..a_len).map(QUADS[m % 2]).collect();
        let (_, b) = packed(n, n_steps, SIGNS[m % 4]);
        let init: Vec<i32> = (0..n).map(|i| noise(i).cast_signed()).collect();
        for (store, init) in [(Store::Set, None), (Store::Add, Some(&init[..]))] {
            let mut sums = [vec![7; m * (n + 3)], vec![7; m * (n + 3)]];
            let [expected, got] = sums.each_mut().map(|c| {
                let segments = 0..segments(n_steps);
                Args { a: &a, rows: &rows, steps: &steps, segments, b: &b, c, c_stride: n + 3, init, store }
            });
            super::reference::run(expected);
            // SAFETY: its features have been found, and the arguments are those of the test before.
            unsafe { super::x86_avx512vnni::run(got) };
            assert_eq!(sums[0], sums[1], "{m} x {n}");
        }
    }
}

#[test]
fn sums_are_those_of_bytes() {
    let (m, n, n_steps) = (5, 40, 9);
    let codes: Vec<i8> =
        (0..m * 16 * n_steps).map(|i| (noise(i) & 3).to_le_bytes()[0].cast_signed()).collect();
    let mut quads = vec![Quad::default(); codes.len() / 4];
    Quad::from_codes(&codes, &mut quads);
    let (weights, signs) = packed(n, n_steps, SIGNS[2]);
    let lane = |lane: usize| u32::try_from(lane * n).unwrap();
    let table: Vec<u32> = (0..16 * n_steps).map(lane).collect();
    let source = Source { values: &weights, n, n_stride: 1, table: &table, segments: 1 };
    let bytes = pack_i8(Isa::Reference, source, Left::Unsigned);
    let address = |i: usize| u32::try_from(i).unwrap();
    let product = |of_row: usize| -> (Vec<u32>, Vec<u32>) {
        ((0..m).map(|row| address(row * of_row)).collect(), (0..of_row / 4).map(|s| address(4 * s)).collect())
    };
    let (rows, steps) = product(16 * n_steps);
    let mut expected = vec![0; m * n];
    let a: Vec<u8> = codes.iter().map(|code| code.cast_unsigned()).collect();
    let (init, store, c_stride) = (None, Store::Set, n);
    let args = crate::product::Args {
        a: &a,
        rows: &rows,
        steps: &steps,
        segments: 0..1,
        b: &bytes,
        c: &mut expected,
        c_stride,
        init,
        store,
    };
    dot_i8::run(Isa::Reference, args);
    let (rows, steps) = product(4 * n_steps);
    let a = <Quad as crate::stage::Code>::staged(&quads, 0).unwrap();
    for isa in Isa::available() {
        let (mut c, segments) = (vec![0; m * n], 0..segments(n_steps));
        let args =
            Args { a, rows: &rows, steps: &steps, segments, b: &signs, c: &mut c, c_stride, init, store };
        run(isa, args);
        assert_eq!(c, expected, "{}", isa.name());
    }
}

#[test]
#[should_panic(expected = "signs have no zero")]
fn absent_lanes_are_refused() {
    let table = [0, 1, 2, crate::pack::ZERO_LANE];
    let source = Source { values: &[0; 3], n: 1, n_stride: 1, table: &table, segments: 1 };
    pack_signs_into(source, &mut PackedSigns::default());
}
