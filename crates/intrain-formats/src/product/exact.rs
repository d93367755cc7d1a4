//! Exact sums: integers of codes within a segment, segments under their scales, one rounding.

use intrain_num::block::ExactSum;
use intrain_num::minifloat::Number;

use super::operand::{Class, Operand, Term, segments};
use super::parts::{fill, log2_up};

/// Codes as integers, and how a sum of their products is held.
pub(super) trait Int: Copy + Send + Sync {
    /// The integer. Bound: it fits.
    fn of(x: i64) -> Self;
    /// `sum a b`, times a product of two scales' mantissas of at most 8 bits.
    fn dot(a: &[Self], b: &[Self], by: i32) -> i128;
}

impl Int for i16 {
    #[allow(clippy::cast_possible_truncation, reason = "the caller's largest is below 2^15")]
    fn of(x: i64) -> Self {
        x as Self
    }

    /// Bound: the segment's largest sum fits i32, as `exact` cuts segments.
    fn dot(a: &[Self], b: &[Self], by: i32) -> i128 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        let sum = |a: &[Self], b: &[Self]| -> i32 {
            a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
        };
        let whole: i32 = a.iter().zip(b).map(|(a, b)| sum(a, b)).sum();
        (i64::from(whole + sum(a_rest, b_rest)) * i64::from(by)).into()
    }
}

impl Int for i32 {
    #[allow(clippy::cast_possible_truncation, reason = "the caller's largest is below 2^31")]
    fn of(x: i64) -> Self {
        x as Self
    }

    /// Bound: the segment's largest sum lies below 2^55, as `exact` cuts segments.
    fn dot(a: &[Self], b: &[Self], by: i32) -> i128 {
        let sum: i64 = a.iter().zip(b).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum();
        (sum * i64::from(by)).into()
    }
}

impl Int for i64 {
    fn of(x: i64) -> Self {
        x
    }

    /// Bound: integers lie below 2^43, products below 2^86; sums of 2^32 and 8 bits of scales stay below 2^126.
    fn dot(a: &[Self], b: &[Self], by: i32) -> i128 {
        let sum: i128 = a.iter().zip(b).map(|(x, y)| i128::from(*x) * i128::from(*y)).sum();
        sum * i128::from(by)
    }
}

/// The scale of a segment of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentScale {
    pub(super) mantissa: i32,
    pub(super) exponent: i32,
    /// How far the exponent lies above the line's least; 0 for a segment of zeros, whatever its scale.
    up: u32,
}

/// An operand's codes as integers, line after line, with the scales of their segments.
pub(super) struct Lines<T> {
    k: usize,
    values: Vec<T>,
    segments: usize,
    scales: Vec<SegmentScale>,
    /// Least exponent of a line's scales, and how far the largest lies above it; segments of zeros are not seen.
    spread: Vec<(i32, u32)>,
    pub(super) class: Vec<Class>,
}

impl<T: Int> Lines<T> {
    pub(super) fn new(operand: &Operand<'_>, segments: &[(usize, usize)]) -> Self {
        let k = operand.k;
        let mut lines = Self {
            k,
            values: Vec::with_capacity(operand.lines * k),
            segments: segments.len(),
            scales: Vec::with_capacity(operand.lines * segments.len()),
            spread: Vec::with_capacity(operand.lines),
            class: (0..operand.lines).map(|line| operand.class(line)).collect(),
        };
        let mut is_zero = vec![false; segments.len()];
        for line in 0..operand.lines {
            for ((start, end), is_zero) in segments.iter().zip(&mut is_zero) {
                *is_zero = operand.scale_term(line, *start).mantissa == 0;
                let mut all_zero = true;
                for i in *start..*end {
                    let x = operand.integer(line, i);
                    all_zero &= x == 0;
                    lines.values.push(T::of(x));
                }
                *is_zero |= all_zero;
            }
            let scales = || segments.iter().map(|(start, _)| operand.scale_term(line, *start)).zip(&is_zero);
            let seen = || scales().filter(|(_, is_zero)| !**is_zero).map(|(scale, _)| scale.exponent);
            let low = seen().min().unwrap_or(0);
            let up = |exponent: i32| (exponent - low).cast_unsigned();
            lines.spread.push((low, up(seen().max().unwrap_or(0))));
            lines.scales.extend(scales().map(|(Term { mantissa, exponent }, is_zero)| SegmentScale {
                mantissa,
                exponent,
                up: if *is_zero { 0 } else { up(exponent) },
            }));
        }
        lines
    }

    pub(super) fn values(&self, line: usize) -> &[T] {
        &self.values[line * self.k..][..self.k]
    }

    pub(super) fn scales(&self, line: usize) -> &[SegmentScale] {
        &self.scales[line * self.segments..][..self.segments]
    }
}

/// Sums, each rounded once to binary32.
///
/// Bounds, terms of the largest size that an accumulator holds: E2M1 14.9 million in i32, E2M3 596,523, E3M2 10,699,
/// INT8 131,071; E4M3 685,000 in 2^55 of i64, with E5M2 none, which takes i128.
pub(super) fn exact(a: &Operand<'_>, b: &Operand<'_>) -> Vec<f32> {
    let (Some(x), Some(y)) = (a.largest(), b.largest()) else { return wide(a, b) };
    let (larger, product) = (x.max(y), u128::from(x) * u128::from(y));
    let terms = |limit: u128| usize::try_from(limit / product.max(1)).unwrap_or(usize::MAX);
    if larger < 1 << 15 && product <= 1 << 27 {
        joined::<i16>(a, b, terms((1 << 31) - 1), product)
    } else if larger < 1 << 31 && product <= 1 << 47 {
        joined::<i32>(a, b, terms(1 << 55), product)
    } else {
        joined::<i64>(a, b, 1 << 32, product)
    }
}

/// `limit`: numbers of a segment at most. `product`: the largest magnitude of a product of two integers.
fn joined<T: Int>(a: &Operand<'_>, b: &Operand<'_>, limit: usize, product: u128) -> Vec<f32> {
    let cuts = segments(a.k, &[a.run(), b.run(), limit]);
    let (lines_a, lines_b) = (Lines::<T>::new(a, &cuts), Lines::<T>::new(b, &cuts));
    let unit = a.unit() + b.unit();
    // Bits of the sum of all products with the mantissas of both scales, and a sign.
    let bits = 128 - product.leading_zeros() + log2_up(a.k) + a.scale_bits() + b.scale_bits() + 1;
    fill(a.lines, b.lines, |i, j| {
        match worst(lines_a.class[i], lines_b.class[j]) {
            Class::Nan => return f32::NAN,
            Class::Infinite => return rounded(each(a, b, i, j).to_number()),
            Class::Finite => {}
        }
        let ((low_a, up_a), (low_b, up_b)) = (lines_a.spread[i], lines_b.spread[j]);
        let (x, y) = (lines_a.values(i), lines_b.values(j));
        let scales = lines_a.scales(i).iter().zip(lines_b.scales(j));
        let parts = cuts.iter().zip(scales).map(|(&(start, end), (s, t))| {
            (T::dot(&x[start..end], &y[start..end], s.mantissa * t.mantissa), s, t)
        });
        if bits + up_a + up_b <= 127 {
            let sum = parts.fold(0i128, |sum, (part, s, t)| sum + (part << (s.up + t.up)));
            rounded(number(sum, unit + low_a + low_b))
        } else {
            let mut sum = ExactSum::default();
            parts.for_each(|(part, s, t)| sum.add(part, unit + s.exponent + t.exponent));
            rounded(sum.to_number())
        }
    })
}

/// What a product of two lines has to be computed as.
pub(super) fn worst(a: Class, b: Class) -> Class {
    match (a, b) {
        (Class::Nan, _) | (_, Class::Nan) => Class::Nan,
        (Class::Infinite, _) | (_, Class::Infinite) => Class::Infinite,
        _ => Class::Finite,
    }
}

/// The sum of a pair of lines, number by number.
fn each(a: &Operand<'_>, b: &Operand<'_>, i: usize, j: usize) -> ExactSum {
    let mut sum = ExactSum::default();
    (0..a.k).for_each(|at| sum.add_product(a.number(i, at), b.number(j, at), 0));
    sum
}

/// Exponents of a bin are `32 n + LOWEST ..`; 22 bins go up to `2^384`.
const LOWEST: i32 = -320;
const BINS: usize = 22;

/// The same for formats whose values are no integers of 42 bits: products in bins by their exponents.
fn wide(a: &Operand<'_>, b: &Operand<'_>) -> Vec<f32> {
    let terms = |operand: &Operand<'_>| -> Vec<Term> {
        let k = operand.k;
        (0..operand.lines * k).map(|at| operand.term(at / k, at % k)).collect()
    };
    let classes = |operand: &Operand<'_>| -> Vec<Class> {
        (0..operand.lines).map(|line| operand.class(line)).collect()
    };
    let (terms_a, terms_b, class_a, class_b) = (terms(a), terms(b), classes(a), classes(b));
    fill(a.lines, b.lines, |i, j| {
        match worst(class_a[i], class_b[j]) {
            Class::Nan => return f32::NAN,
            Class::Infinite => return rounded(each(a, b, i, j).to_number()),
            Class::Finite => {}
        }
        // Bound: products have 48 bits, and 31 more by their place in a bin; 2^47 of them fit.
        let mut bins = [0i128; BINS];
        for (x, y) in terms_a[i * a.k..][..a.k].iter().zip(&terms_b[j * b.k..]) {
            let place = (x.exponent + y.exponent - LOWEST).cast_unsigned();
            let product = i128::from(i64::from(x.mantissa) * i64::from(y.mantissa));
            bins[place as usize / 32] += product << (place % 32);
        }
        let mut sum = ExactSum::default();
        (LOWEST..).step_by(32).zip(bins).for_each(|(exponent, bin)| sum.add(bin, exponent));
        rounded(sum.to_number())
    })
}

/// `sum * 2^exponent` as a number of 64 bits whose last one is set if anything below it is.
fn number(sum: i128, exponent: i32) -> Number {
    let magnitude = sum.unsigned_abs();
    let down = 64u32.saturating_sub(magnitude.leading_zeros());
    let lost = magnitude & ((1 << down) - 1) != 0;
    #[allow(clippy::cast_possible_truncation, reason = "64 bits are left")]
    let mantissa = (magnitude >> down) as u64 | u64::from(lost);
    Number::Finite { negative: sum < 0, mantissa, exponent: exponent + down.cast_signed() }
}

/// Rounds once, to nearest-even; every NaN is the same one.
fn rounded(number: Number) -> f32 {
    if matches!(number, Number::Nan { .. }) { f32::NAN } else { number.to_f32() }
}
