//! The array against its meaning: each element from its own sum and its own draw, without any order of loops in common.

use intrain_num::random::Lfsr;
use proptest::prelude::*;

use super::*;
use crate::machine::{Overflow, Register};

/// Numbers without pattern, the same everywhere.
fn noise(i: usize) -> u32 {
    let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32).unwrap()
}

fn words(count: usize, word: u32, salt: usize) -> Vec<i32> {
    let shift = 32 - word;
    (0..count).map(|i| noise(i * 7 + salt).cast_signed() >> shift).collect()
}

fn seeds(machine: &Machine) -> Vec<u32> {
    let mask = u32::MAX >> (32 - machine.lfsr.bits);
    (0..machine.n).map(|column| (noise(column + 1000) & mask).max(1)).collect()
}

/// Section 5.3, element by element: the draw's number in closed form, each draw as single steps from the seed.
fn meaning(machine: &Machine, product: &Product, a: &[i32], b: &[i32], seeds: &[u32]) -> Vec<i64> {
    let Product { l, k, m, .. } = *product;
    let tiling = Tiling::of(machine, product);
    let limit = 1i64 << (machine.accumulator - 1);
    let mut c = Vec::new();
    for (r, column) in (0..l).flat_map(|r| (0..m).map(move |column| (r, column))) {
        let mut sum = 0i64;
        for step in 0..k {
            sum += i64::from(a[r * k + step]) * i64::from(b[step * m + column]);
            sum = match machine.overflow {
                Overflow::Saturate => sum.clamp(-limit, limit - 1),
                Overflow::Wrap => (sum + limit).rem_euclid(2 * limit) - limit,
            };
        }
        let Format::Rounded(index) = product.format else {
            c.push(sum);
            continue;
        };
        let d = machine.drop[index];
        let addend = match machine.rounding {
            Rounding::Nearest if d == 0 => 0,
            Rounding::Nearest => (1 << (d - 1)) - 1,
            Rounding::Stochastic => {
                let bits = machine.lfsr.bits;
                let mut lfsr = Lfsr::new(bits, machine.lfsr.taps, seeds[column % machine.n]).unwrap();
                for _ in 0..(tiling.draw_number(r, column) + 1) * u64::from(bits) {
                    lfsr.step();
                }
                let b = d.min(machine.random_bits.unwrap_or(d));
                // Bound: b is at most the register's bits; a shift by all of 32 is 0.
                i64::from(lfsr.state().checked_shr(bits - b).unwrap_or(0)) << (d - b)
            }
        };
        let half = 1i64 << (machine.word - 1);
        let floor = (sum + addend).div_euclid(1 << d);
        c.push(floor.clamp(-half, half - 1));
    }
    c
}

fn compare(machine: &Machine, product: &Product, a: &[i32], b: &[i32]) {
    let seeds = seeds(machine);
    let got = Array::new(machine).unwrap().product(product, a, b, &seeds).unwrap();
    assert_eq!(got, meaning(machine, product, a, b, &seeds), "{machine:?} {product:?}");
}

fn small() -> Machine {
    Machine { n: 3, panel: 2, depth: 16, ..Machine::default() }
}

#[test]
fn every_configuration_has_its_meaning() {
    let base = small();
    let narrow = Machine { word: 6, accumulator: 12, ..base.clone() };
    let machines = [
        base.clone(),
        Machine { random_bits: Some(5), drop: vec![14, 0, 3], ..base.clone() },
        Machine { rounding: Rounding::Nearest, drop: vec![30, 0, 1], ..base.clone() },
        Machine { overflow: Overflow::Saturate, accumulator: 32, ..base.clone() },
        Machine { drop: vec![4, 11, 0], ..narrow.clone() },
        Machine { overflow: Overflow::Saturate, drop: vec![4, 11, 0], ..narrow },
        Machine { lfsr: Register { bits: 32, taps: 0x8020_0003 }, drop: vec![32, 20], n: 1, ..base.clone() },
        Machine { word: 18, accumulator: 36, n: 5, panel: 1, ..base },
    ];
    for machine in machines {
        for (l, k, m) in [(1, 1, 1), (3, 5, 3), (7, 20, 8), (13, 4, 2), (2, 40, 11)] {
            let (a, b) = (words(l * k, machine.word, l), words(k * m, machine.word, m + 50));
            for format in (0..machine.drop.len()).map(Format::Rounded).chain([Format::Exact]) {
                compare(&machine, &Product { l, k, m, format }, &a, &b);
            }
        }
    }
}

#[test]
fn extremes_wrap_or_saturate() {
    for (overflow, word, accumulator) in [
        (Overflow::Wrap, 16, 32),
        (Overflow::Saturate, 16, 32),
        (Overflow::Wrap, 16, 48),
        (Overflow::Saturate, 8, 17),
    ] {
        let machine = Machine { overflow, word, accumulator, ..small() };
        let (low, high) = (-(1 << (word - 1)), (1 << (word - 1)) - 1);
        for (x, y) in [(low, low), (low, high), (high, high)] {
            for format in [Format::Rounded(0), Format::Rounded(1), Format::Exact] {
                let product = Product { l: 4, k: 37, m: 4, format };
                compare(&machine, &product, &[x; 4 * 37], &[y; 37 * 4]);
            }
        }
    }
}

#[test]
fn the_fast_sums_are_the_sums() {
    // Sizes for threads, magnitudes for each of the three ways to sum.
    let machine = Machine { drop: vec![14], ..small() };
    for word in [4, 9, 16] {
        let (l, k, m) = (19, 301, 23);
        let (a, b) = (words(l * k, word, 1), words(k * m, word, 2));
        compare(&machine, &Product { l, k, m, format: Format::Exact }, &a, &b);
    }
}

#[test]
fn worked_example_of_the_contract() {
    // Section 5.3 of docs/arithmetic.md, <4,12>.
    let a = [2867, -5120, 8196];
    let b = [1364, 410, 12288];
    let machine = Machine { n: 1, drop: vec![12], ..Machine::default() };
    let product = |format| Product { l: 1, k: 3, m: 1, format };
    let array = Array::new(&machine).unwrap();
    assert_eq!(array.product(&product(Format::Exact), &a, &b, &[1]).unwrap(), [102_523_836]);
    for seed in [1, 0x1234, 0xACE1, 0xffff] {
        let mut lfsr = Lfsr::new(16, Lfsr::TAPS_16, seed).unwrap();
        (0..16).for_each(|_| {
            lfsr.step();
        });
        let up = i64::from(lfsr.state() >> 4 >= 3140);
        assert_eq!(array.product(&product(Format::Rounded(0)), &a, &b, &[seed]).unwrap(), [25030 + up]);
    }
    let nearest = Array::new(&Machine { rounding: Rounding::Nearest, ..machine }).unwrap();
    assert_eq!(nearest.product(&product(Format::Rounded(0)), &a, &b, &[]).unwrap(), [25030]);
}

#[test]
fn bad_input_is_refused() {
    let array = Array::new(&small()).unwrap();
    let product = Product { l: 1, k: 2, m: 1, format: Format::Rounded(0) };
    let try_it =
        |a: &[i32], b: &[i32], seeds: &[u32]| array.product(&product, a, b, seeds).unwrap_err().to_string();
    assert!(try_it(&[1], &[1, 2], &[1; 3]).contains("A has 1 elements, and a product of 1 x 2 needs 2"));
    assert!(
        try_it(&[1, 2], &[1, 32_768], &[1; 3]).contains("B[1] = 32768 is outside -32768..=32767 of 16 bits")
    );
    assert!(try_it(&[1, 2], &[1, 2], &[1; 2]).contains("2 seeds for an array of 3 columns"));
    assert!(try_it(&[1, 2], &[1, 2], &[1, 0, 1]).contains("seed 0x0 of column 1"));
    assert!(try_it(&[1, 2], &[1, 2], &[1, 1, 0x1_0000]).contains("seed 0x10000 of column 2"));
    let empty = Product { l: 0, ..product };
    assert!(matches!(array.product(&empty, &[], &[1, 2], &[1; 3]), Err(ArrayError::Product(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_shape_has_its_meaning(
        n in 1usize..6, panel in 1usize..4, l in 1usize..14, k in 1usize..40, m in 1usize..14, salt in 0usize..1000,
        saturate: bool, format in 0usize..3,
    ) {
        let overflow = if saturate { Overflow::Saturate } else { Overflow::Wrap };
        let machine = Machine { n, panel, overflow, word: 8, accumulator: 17, drop: vec![9, 2], ..small() };
        let format = if format == 2 { Format::Exact } else { Format::Rounded(format) };
        let (a, b) = (words(l * k, 8, salt), words(k * m, 8, salt + 9000));
        compare(&machine, &Product { l, k, m, format }, &a, &b);
    }
}
