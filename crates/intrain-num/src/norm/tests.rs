//! Values and the backward pass against real arithmetic and finite differences.
#![allow(clippy::float_arithmetic, reason = "the float twin is what integers are compared with")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small numbers"
)]

use super::*;
use std::vec::Vec;

fn rows(spread: Spread, frac_bits: i32) -> Rows {
    let row = |text: &str| text.parse().unwrap();
    Rows {
        spread,
        frac_bits,
        mean: row("fixed<8,12> nearest-down"),
        spread_row: row("fixed<8,12> floor"),
        value: row("fixed<4,12> nearest-down"),
    }
}

/// Sums in the plainest way, for integers of one channel.
fn moments(rows: &Rows, x: &[i64]) -> Moments {
    let n = x.len();
    let mut moments = Moments { n: n as u64, sum: x.iter().sum(), other: 0 };
    let mean = rows.mean(moments);
    let finer = rows.mean.format.frac_bits() - rows.frac_bits;
    moments.other = match rows.spread {
        Spread::L2 => x.iter().map(|x| x * x).sum(),
        Spread::L1 => x.iter().map(|x| ((x << finer) - mean).abs()).sum(),
        Spread::Range => (0..range_parts(n))
            .map(|part| &x[range_part(part, n)])
            .filter(|part| !part.is_empty())
            .map(|part| part.iter().max().unwrap() - part.iter().min().unwrap())
            .sum(),
    };
    moments
}

fn noise(i: usize) -> i64 {
    let mixed = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    i64::try_from(mixed >> 52).unwrap() - 2048
}

#[test]
fn constants() {
    assert_eq!(L1_FACTOR, ((core::f64::consts::PI / 2.0).sqrt() * 32_768.0).round() as i64);
    let code = 0.5 * 0.35 * (1.0 + (core::f64::consts::PI * 4.0_f64.ln()).sqrt());
    assert_eq!(RANGE_FACTOR, (code * 32_768.0).round() as i64);
    for n in [32, 96, 1000, 131_072, 1 << 27] {
        let m = f64::from(n / 16);
        let float = 32_768.0 / (2.0 * m.ln()).sqrt();
        let ours = range_constant(n.try_into().unwrap()) as f64;
        assert!((ours - float).abs() < 2.0, "{n}: {ours} for {float}");
    }
}

/// Values are those of real arithmetic to a step of the value's format and the 2^-13 of the reciprocal.
#[test]
fn values_are_the_real_ones() {
    let x: Vec<i64> = (0..4096).map(|i| noise(i) / 3 + 100).collect();
    let real: Vec<f64> = x.iter().map(|x| *x as f64 / 256.0).collect();
    let n = real.len() as f64;
    let mean = real.iter().sum::<f64>() / n;
    for spread in [Spread::L2, Spread::L1, Spread::Range] {
        let rows = rows(spread, 8);
        let moments = moments(&rows, &x);
        let line = rows.line(rows.mean(moments), rows.spread(moments));
        let float = match spread {
            Spread::L2 => (real.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt(),
            Spread::L1 => {
                (core::f64::consts::PI / 2.0).sqrt() * real.iter().map(|x| (x - mean).abs()).sum::<f64>() / n
            }
            Spread::Range => {
                let parts = real.chunks(256);
                let range = |part: &[f64]| {
                    part.iter().copied().fold(f64::MIN, f64::max)
                        - part.iter().copied().fold(f64::MAX, f64::min)
                };
                let mean_range = parts.map(range).sum::<f64>() / 16.0;
                mean_range * f64::from(17_702) / 32_768.0 / (2.0 * 256.0_f64.ln()).sqrt()
            }
        };
        for (x, real) in x.iter().zip(&real) {
            let value = rows.value(*x, line) as f64 / 4096.0;
            let expected = (real - mean) / float;
            assert!((value - expected).abs() < 1e-3, "{spread}: {value} for {expected}");
        }
    }
}

#[test]
fn a_constant_channel_is_0_and_extremes_fit_32_bits() {
    for spread in [Spread::L2, Spread::L1, Spread::Range] {
        let rows = rows(spread, 8);
        for x in [-32_768, -5, 0, 32_767] {
            let moments = moments(&rows, &[x; 64]);
            // One step of the integers.
            assert_eq!((rows.mean(moments), rows.spread(moments)), (x << 4, 1 << 4), "{spread} of {x}");
            let line = rows.line(x << 4, 16);
            assert_eq!(rows.value(x, line), 0);
        }
        let [least, largest] = rows.shifts();
        assert!(1 <= least && largest <= 30, "{least} to {largest}");
        for spread in [16, 17, 31, 255, 1 << 19, rows.spread_row.format.max()] {
            for mean in [rows.mean.format.min(), 0, rows.mean.format.max()] {
                let line = rows.line(mean, spread);
                assert!((1 << 13..=1 << 14).contains(&line.multiplier));
                for x in [-32_768, 32_767] {
                    assert!(i32::try_from(line.exact(x)).is_ok());
                }
            }
        }
    }
}

/// `dx` against the derivative in real arithmetic of `sum(dy * gain * value)`, which finite differences confirm below.
#[test]
fn the_way_back_is_the_derivative() {
    let (n, gain) = (512, 3000_i64);
    let x: Vec<i64> = (0..n).map(|i| noise(i) / 2).collect();
    let dy: Vec<i64> = (0..n).map(|i| noise(i + 7777) * 4 + x[i]).collect();
    for spread in [Spread::L2, Spread::L1, Spread::Range] {
        let rows = rows(spread, 8);
        let moments = moments(&rows, &x);
        let (mean, scale) = (rows.mean(moments), rows.spread(moments));
        let line = rows.line(mean, scale);
        let sums = ErrorSums {
            errors: dy.iter().sum(),
            products: dy.iter().zip(&x).map(|(e, x)| e * rows.value(*x, line)).sum(),
            signs: x.iter().map(|x| ((x << 4) - mean).signum()).sum(),
        };
        let back = Back { rows, n: n as u64, frac_bits: 14 };
        let line_back = back.line(gain, line, sums);
        let parts = (0..range_parts(n)).map(|part| range_part(part, n));
        let ends: Vec<[usize; 2]> = parts
            .map(|part| {
                let first = |want: i64| part.clone().find(|i| x[*i] == want).unwrap();
                let of = &x[part.clone()];
                [first(*of.iter().max().unwrap()), first(*of.iter().min().unwrap())]
            })
            .collect();
        let dx = |i: usize| {
            let w = match spread {
                Spread::L2 => rows.value(x[i], line),
                Spread::L1 => ((x[i] << 4) - mean).signum(),
                Spread::Range => 0,
            };
            let at = |k: usize| ends.iter().filter(|end| end[k] == i).count() as i64;
            dy[i] * line_back.from_error
                + w * line_back.from_value
                + line_back.constant
                + line_back.point * (at(1) - at(0))
        };
        // In reals, by central differences of the float twin.
        let real: Vec<f64> = x.iter().map(|x| *x as f64).collect();
        let loss = |x: &[f64]| twin(spread, x, &dy);
        let (mut worst, mut largest) = (0.0_f64, 0.0_f64);
        for i in (0..n).step_by(5).chain(ends.iter().flatten().copied()) {
            let mut moved = real.clone();
            moved[i] += 1e-3;
            let up = loss(&moved);
            moved[i] -= 2e-3;
            let difference = (up - loss(&moved)) / 2e-3;
            // Units: errors and integers as codes; gain / spread as codes times 2^places.
            let ours = dx(i) as f64 / 2.0_f64.powi(14) / gain as f64 * 4096.0 / 256.0;
            worst = worst.max((ours - difference).abs());
            largest = largest.max(difference.abs());
        }
        assert!(worst < largest * 2e-3, "{spread}: off by {worst} of {largest}");
    }
}

/// `sum(dy * value)` of the float twin, all integers as reals.
fn twin(spread: Spread, x: &[f64], dy: &[i64]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let scale = match spread {
        Spread::L2 => (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt(),
        Spread::L1 => f64::from(41_069) / 32_768.0 * x.iter().map(|x| (x - mean).abs()).sum::<f64>() / n,
        Spread::Range => {
            let range = |part: core::ops::Range<usize>| {
                let part = &x[part];
                part.iter().copied().fold(f64::MIN, f64::max) - part.iter().copied().fold(f64::MAX, f64::min)
            };
            let ranges: f64 = (0..range_parts(x.len())).map(|part| range(range_part(part, x.len()))).sum();
            ranges / 16.0 * f64::from(17_702) / 32_768.0 / (2.0 * (n / 16.0).ln()).sqrt()
        }
    };
    x.iter().zip(dy).map(|(x, dy)| *dy as f64 * (x - mean) / scale).sum()
}
