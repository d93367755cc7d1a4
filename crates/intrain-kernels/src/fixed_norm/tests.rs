//! Every kernel against the plain loops and against `intrain_num::norm`, on extreme integers.

#![allow(clippy::cast_possible_truncation, reason = "noise is cut down on purpose")]

use intrain_num::norm::{ChannelAffine, NormBackward, Rows};
use intrain_num::{Round, Spread};

use super::*;

fn noise(i: usize, seed: u64) -> i64 {
    let mixed = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ seed);
    i64::from((mixed >> 40).cast_signed() as i16)
}

fn words(n: usize, seed: u64) -> Vec<i16> {
    (0..n)
        .map(|i| match i % 7 {
            0 => i16::MIN,
            1 => i16::MAX,
            _ => noise(i, seed) as i16,
        })
        .collect()
}

fn rows() -> Rows {
    let row = |text: &str| text.parse().unwrap();
    Rows {
        spread: Spread::L2,
        frac_bits: 8,
        mean: row("fixed<8,12> nearest-down"),
        spread_row: row("fixed<8,12> floor"),
        value: row("fixed<4,12> nearest-down"),
    }
}

fn lines_of(c: usize) -> Vec<ChannelAffine> {
    (0..c).map(|i| rows().line(noise(i, 3) << 4, 16 + (noise(i, 5).abs() << (i % 5)))).collect()
}

#[test]
fn equal_to_the_definition_with_every_kernel() {
    for c in [1, 3, 16, 20, 64, 100] {
        let lines = lines_of(c);
        let gain: Vec<i64> = (0..c).map(|i| noise(i, 9) / 2).collect();
        let offset: Vec<i64> = (0..c).map(|i| noise(i, 11) << 12).collect();
        let mut set = Affines::default();
        let means: Vec<i64> = (0..c).map(|i| noise(i, 3) << 4).collect();
        set.set(&lines, Means::new(&means, 4), [&gain, &offset], Round::NearestDown, (-32_768, 32_767));
        let n = 37 * c;
        let (x, error) = (words(n, 1), words(n, 2));
        let back_lines: Vec<NormBackward> = (0..c)
            .map(|i| NormBackward {
                from_error: noise(i, 13) / 2,
                from_value: noise(i, 15) / 4,
                constant: noise(i, 17) << 12,
                point: 0,
            })
            .collect();
        let mut back_set = AffinesBackward::default();
        back_set.set(&back_lines);
        for isa in Isa::available() {
            let mut out = vec![0; n];
            apply(isa, &x, &set, &mut out, Store::Set);
            let value = |i: usize| rows().value(x[i].into(), lines[i % c]);
            for i in 0..n {
                assert_eq!(i64::from(out[i]), value(i) * gain[i % c] + offset[i % c], "{c}: {i}");
            }
            let mut twice = vec![5; n];
            apply(isa, &x, &set, &mut twice, Store::Add);
            assert!(twice.iter().zip(&out).all(|(a, b)| *a == b + 5));
            for spread in [Spread::L2, Spread::L1] {
                back(isa, spread, [&x, &error], (&set, &back_set), &mut out);
                for i in 0..n {
                    let w = match spread {
                        Spread::L1 => ((i64::from(x[i]) << 4) - means[i % c]).signum(),
                        _ => value(i),
                    };
                    let NormBackward { from_error, from_value, constant, .. } = back_lines[i % c];
                    let expected = i64::from(error[i]) * from_error + w * from_value + constant;
                    assert_eq!(i64::from(out[i]), expected);
                }
            }
        }
    }
}

#[test]
fn sums_are_exact_with_every_kernel() {
    for (c, pixels) in [(1, 5), (1, 0), (3, 300_000), (16, 40_000), (20, 99), (64, 300), (100, 33)] {
        let lines = lines_of(c);
        let mut set = Affines::default();
        let means: Vec<i64> = (0..c).map(|i| noise(i, 3) << 4).collect();
        set.set(
            &lines,
            Means::new(&means, 4),
            [&vec![1; c], &vec![0; c]],
            Round::NearestDown,
            (-32_768, 32_767),
        );
        let (x, error) = (words(c * pixels, 1), words(c * pixels, 2));
        let mut expected = [(); 6].map(|()| vec![0_i64; c]);
        for i in 0..c * pixels {
            let (x, e) = (i64::from(x[i]), i64::from(error[i]));
            let terms = [
                x,
                x * x,
                ((x << 4) - means[i % c]).abs(),
                ((x << 4) - means[i % c]).signum(),
                e,
                e * rows().value(x, lines[i % c]),
            ];
            terms.iter().zip(&mut expected).for_each(|(term, sums)| sums[i % c] += term);
        }
        for isa in Isa::available() {
            let mut sums = [(); 6].map(|()| vec![0_i64; c]);
            add_moments(isa, &x, &mut sums[0..2]);
            add_distances(isa, &x, &Means::new(&means, 4), &mut sums[2..4]);
            add_products(isa, [&x, &error], &set, &mut sums[4..6]);
            assert_eq!(sums, expected, "{c} channels, {pixels} pixels");
        }
    }
}

/// As many vectors as sums of 32 bits hold, and one more, of integers whose products are the largest.
#[test]
fn sums_hold_the_smallest_word_everywhere() {
    let (n, smallest) = (((1 << 14) + 1) * 16, i64::from(i16::MIN));
    let mut lines = Affines::default();
    let line = ChannelAffine { multiplier: 2, offset: 0, shift: 1, power: 0 };
    lines.set(&[line], Means::new(&[0], 0), [&[1], &[0]], Round::Floor, (smallest, -smallest - 1));
    let words = vec![i16::MIN; n];
    for isa in Isa::available() {
        let mut sums = [(); 6].map(|()| vec![0_i64]);
        add_moments(isa, &words, &mut sums[0..2]);
        add_distances(isa, &words, &Means::new(&[(1 << 24) - 1], 9), &mut sums[2..4]);
        add_products(isa, [&words, &words], &lines, &mut sums[4..6]);
        let each = [smallest, 1 << 30, (1 << 25) - 1, -1, smallest, 1 << 30];
        assert_eq!(sums, each.map(|each| vec![each * i64::try_from(n).unwrap()]), "{isa:?}");
    }
}

#[test]
#[should_panic(expected = "lines of another number of channels")]
fn lines_back_of_other_channels_are_refused() {
    let mut lines = Affines::default();
    let means = Means::new(&[0; 16], 0);
    lines.set(&lines_of(16), means, [&[1; 16], &[0; 16]], Round::Floor, (-1, 1));
    let mut back_lines = AffinesBackward::default();
    back_lines.set(&vec![NormBackward { from_error: 1, from_value: 1, constant: 0, point: 0 }; 64]);
    back(Isa::Reference, Spread::L2, [&[0; 64]; 2], (&lines, &back_lines), &mut [0; 64]);
}

#[test]
fn ranges_and_their_places() {
    let x: Vec<i16> = vec![3, -1, 7, -9, 7, i16::MIN, 2, i16::MAX];
    let mut sums = [vec![0; 2]];
    add_ranges(&x, 0..3, &mut sums);
    add_ranges(&x, 3..4, &mut sums);
    add_ranges(&x, 4..4, &mut sums);
    assert_eq!(sums[0], [4, 32_767]);
    let mut found = vec![[9; 2]; 3];
    for (pixels, expected) in [(0..4, &[[2, 6], [7, 5]][..]), (1..3, &[[2, 2], [3, 5]]), (4..4, &[])] {
        ends(&x, 2, pixels, &mut found);
        assert_eq!(found, expected);
    }
}

#[test]
fn gates() {
    for isa in Isa::available() {
        let mut error: Vec<i16> = (0..100).map(|i| if i % 2 == 0 { -i } else { i }).collect();
        let trace: Vec<u8> = (0..100).map(|i| if i < 60 { 0xc0 } else { 0x40 }).collect();
        let mut of_both = error.clone();
        of_both[3] = i16::MIN;
        assert_eq!(gate(isa, &trace, 0xc0, &mut of_both), 32_768);
        assert_eq!(gate(isa, &trace, 0x80, &mut error), 59);
        assert!(error[60..].iter().chain(&of_both[60..]).all(|e| *e == 0));
        let mut out = vec![1; 100];
        add_shifted(isa, &error, 4, &mut out, Store::Add);
        assert!(out.iter().zip(&error).all(|(o, e)| *o == i32::from(*e) * 16 + 1));
    }
}
