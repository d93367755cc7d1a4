//! Byte products against the reference: every kernel of this CPU, extremes and sizes around each vector width, by equality.

use super::{Args, KERNELS, Store, run};
use crate::isa::Isa;
use crate::pack::{Left, PackedI8, Source, pack_i8};
use crate::product::tests::{assert_kernels_match, noise, scattered, segments};

type Fill = fn(usize) -> i8;

const FILLS: [(&str, Fill); 8] = [
    ("least", |_| i8::MIN),
    ("greatest", |_| i8::MAX),
    ("alternating", |i| if i % 2 == 0 { -128 } else { 127 }),
    ("noise", |i| noise(i).to_le_bytes()[1].cast_signed()),
    // Few bits, so that many pairs fit in 16: one sign everywhere, all that a bound allows, and noise.
    ("minus one", |_| -1),
    ("one", |_| 1),
    ("eight", |_| 8),
    ("ternary", |i| noise(i).to_le_bytes()[1].cast_signed() % 2),
];

fn packed(n: usize, n_steps: usize, fill: Fill, left: Left) -> PackedI8 {
    let values: Vec<i8> = (0..n * n_steps * 4).map(fill).collect();
    let table: Vec<u32> = (0..n_steps * 4).map(|lane| u32::try_from(lane * n).unwrap()).collect();
    pack_i8(
        Isa::Reference,
        Source { values: &values, n, n_stride: 1, table: &table, segments: segments(n_steps) },
        left,
    )
}

fn check(m: usize, n: usize, n_steps: usize, fill_a: usize, fill_b: usize) {
    let (rows, steps, a_len) = scattered(m, n_steps, 4);
    for left in [Left::Signed, Left::Unsigned] {
        let byte = |i: usize| FILLS[fill_a].1(i).cast_unsigned();
        let a: Vec<u8> = match left {
            Left::Signed => (0..a_len).map(|i| byte(i) ^ 0x80).collect(),
            Left::Unsigned => (0..a_len).map(|i| byte(i) & 0x7F).collect(),
        };
        let b = packed(n, n_steps, FILLS[fill_b].1, left);
        let old = |i: usize| noise(i).cast_signed() >> 3;
        let name = format!("{m} x {n} x {n_steps}, {left:?} {} by {}", FILLS[fill_a].0, FILLS[fill_b].0);
        let word = |x| i64::from(x).cast_unsigned();
        assert_kernels_match(KERNELS, run, (&a, &rows, &steps, &b), old, word, &name);
        for isa in Isa::available() {
            let mut narrow = b.clone();
            narrow.narrow(isa);
            if narrow == b {
                continue;
            }
            let name = format!("{name}, in 2 bits");
            assert_kernels_match(KERNELS, run, (&a, &rows, &steps, &narrow), old, word, &name);
        }
    }
}

#[test]
fn values_of_2_bits_take_a_quarter_and_stay_what_they_are() {
    for (n, n_steps) in [(1, 1), (16, 3), (17, 5), (100, 7)] {
        let b = packed(n, n_steps, |i| noise(i).to_le_bytes()[0].cast_signed() >> 6, Left::Signed);
        for isa in Isa::available() {
            let mut narrow = b.clone();
            narrow.narrow(isa);
            let lines = n.div_ceil(16) * n_steps;
            assert_eq!(b.bytes() - narrow.bytes(), 64 * (lines - lines.div_ceil(4)));
            for (step, column, lane) in
                (0..n_steps).flat_map(|s| (0..n).flat_map(move |c| (0..4).map(move |l| (s, c, l))))
            {
                assert_eq!(narrow.value(step, column, lane), b.value(step, column, lane));
            }
        }
    }
    let mut wide = packed(4, 4, |i| if i == 37 { 2 } else { 1 }, Left::Signed);
    let before = wide.clone();
    wide.narrow(Isa::best());
    assert_eq!(wide, before, "a value of 2 has no 2 bits");
}

#[test]
fn every_kernel_matches_reference_for_all_tile_shapes() {
    for m in 1..=30 {
        for n in [1, 10, 15, 16, 17, 31, 32, 33, 48, 64, 100] {
            check(m, n, 3, 3, 3);
            check(m, n, 3, 3, 7);
        }
    }
}

#[test]
fn every_kernel_matches_reference_at_the_extremes() {
    for n_steps in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 129, 300] {
        for (fill_a, fill_b) in (0..64).map(|i| (i / 8, i % 8)) {
            check(5, 33, n_steps, fill_a, fill_b);
        }
    }
}

#[test]
fn every_kernel_matches_reference_at_the_greatest_depth() {
    // 2^17 / 4 steps of -128 * -128 are 2^31, one step fewer fits; the biased sums on the way wrap.
    check(1, 16, (1 << 15) - 1, 0, 0);
    check(2, 17, (1 << 15) - 1, 1, 0);
}

#[test]
fn every_kernel_matches_reference_over_several_blocks_of_rows() {
    // Deeper than 1365 steps, a block is 48 rows.
    for m in [48, 49, 97, 100] {
        check(m, 17, 1500, 3, 3);
        check(m, 17, 1500, 0, 4);
    }
}

#[test]
fn the_meaning_on_one_example() {
    let b = packed(1, 1, |i| [3, -5, 7, -128][i], Left::Signed);
    for isa in Isa::available() {
        let (a, mut c) = ([1_u8, 128, 255, 0, 0x80], [1000; 2]);
        let args = Args {
            a: &a,
            rows: &[0, 1],
            steps: &[0],
            segments: 0..1,
            b: &b,
            c: &mut c,
            c_stride: 1,
            init: Some(&[7]),
            store: Store::Add,
        };
        run(isa, args);
        // Codes -127 0 127 -128 and 0 127 -128 0.
        assert_eq!(c, [1007 - 381 + 889 + 16384, 1007 - 635 - 896]);
    }
}

#[test]
#[should_panic(expected = "the tables reach 9 of 8 elements of A")]
fn reads_outside_a_are_refused() {
    let b = packed(1, 1, |_| 0, Left::Unsigned);
    let args = Args {
        a: &[0; 8],
        rows: &[0, 2],
        steps: &[3],
        segments: 0..1,
        b: &b,
        c: &mut [0; 2],
        c_stride: 1,
        init: None,
        store: Store::Set,
    };
    run(Isa::Reference, args);
}

#[test]
#[should_panic(expected = "C holds 16 of 17")]
fn writes_outside_c_are_refused() {
    let b = packed(1, 1, |_| 0, Left::Unsigned);
    let args = Args {
        a: &[0; 8],
        rows: &[0, 2],
        steps: &[0],
        segments: 0..1,
        b: &b,
        c: &mut [0; 16],
        c_stride: 16,
        init: None,
        store: Store::Set,
    };
    run(Isa::Reference, args);
}
