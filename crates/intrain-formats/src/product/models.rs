//! Sums as accumulators compute them: binary32 in order, and the truncated fused sum of tensor cores.

use super::exact::{Int, Lines, SegmentScale, worst};
use super::operand::{Class, Operand, segments};
use super::parts::{each_part, fill};
use intrain_num::minifloat::Number;

/// Outputs that are summed beside each other.
const TOGETHER: usize = 64;

/// Values in binary32, products and sums rounded to it, from +0 in the order of `k`.
pub(super) fn sequential(a: &Operand<'_>, b: &Operand<'_>) -> Vec<f32> {
    let (values_a, values_b) = (a.quantized().values(), b.quantized().values());
    let (k, n) = (a.k, b.lines);
    let mut out = vec![0.0f32; a.lines * n];
    // [k, n], so that the sums of neighbouring columns are independent lanes.
    let mut across = vec![0.0f32; k * n];
    for i in 0..k {
        for j in 0..n {
            across[i * n + j] = values_b[b.place(j, i)];
        }
    }
    each_part(&mut out, n, TOGETHER, |i, j, out| {
        for at in 0..k {
            let x = values_a[a.place(i, at)];
            // The language never joins a product and a sum into one operation.
            out.iter_mut().zip(&across[at * n + j..]).for_each(|(sum, y)| *sum += x * y);
        }
    });
    out
}

/// The widths of a truncated sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Fraction bits that are left of a term below the largest exponent. Bound: 1 to 48.
    pub(super) fraction: u32,
    /// Products that are summed at once. Bound: 1 to 65,536.
    pub(super) block: usize,
}

/// The exponent of what takes no part. Bound: sums of three of them fit.
const NONE: i32 = -(1 << 20);

/// A number with the exponent of its significand.
#[derive(Debug, Clone, Copy)]
struct Aligned {
    mantissa: i64,
    /// Of the mantissa's last bit.
    exponent: i32,
}

/// Each product is a term.
pub(super) fn truncated(a: &Operand<'_>, b: &Operand<'_>, widths: Widths) -> Vec<f32> {
    let terms = |operand: &Operand<'_>| -> Vec<Aligned> {
        let k = operand.k;
        let term = |at: usize| {
            let term = operand.term(at / k, at % k);
            let exponent = if term.mantissa == 0 { NONE } else { term.exponent };
            Aligned { mantissa: term.mantissa.into(), exponent }
        };
        (0..operand.lines * k).map(term).collect()
    };
    let classes = |operand: &Operand<'_>| -> Vec<Class> {
        (0..operand.lines).map(|line| operand.class(line)).collect()
    };
    let (terms_a, terms_b, class_a, class_b) = (terms(a), terms(b), classes(a), classes(b));
    let digits = |operand: &Operand<'_>| operand.element_digits() + operand.scale_digits();
    let above = digits(a) + digits(b);
    fill(a.lines, b.lines, |i, j| {
        let class = worst(class_a[i], class_b[j]);
        if class == Class::Nan {
            return f32::NAN;
        }
        let (x, y) = (&terms_a[i * a.k..][..a.k], &terms_b[j * b.k..][..b.k]);
        let mut sum = 0.0f32;
        for (n, (x, y)) in x.chunks(widths.block).zip(y.chunks(widths.block)).enumerate() {
            let start = n * widths.block;
            if class == Class::Infinite
                && let Some(special) = not_finite(a, b, (i, j), (start, start + x.len()), sum)
            {
                sum = special;
                continue;
            }
            let products = x.iter().zip(y).map(|(x, y)| Aligned {
                mantissa: x.mantissa * y.mantissa,
                exponent: x.exponent + y.exponent,
            });
            sum = fused(sum, above, widths.fraction, products);
        }
        sum
    })
}

/// Each exact sum of `group` products is a term, with the exponents of both scales as its exponent.
///
/// Bound: integers of the codes lie below 2^9, sums of `group` products below 2^30, with both scales below 2^38.
pub(super) fn grouped(a: &Operand<'_>, b: &Operand<'_>, widths: Widths, group: usize) -> Vec<f32> {
    let cuts = segments(a.k, &[a.run(), b.run(), group]);
    let (lines_a, lines_b) = (Lines::<i16>::new(a, &cuts), Lines::<i16>::new(b, &cuts));
    let unit = a.unit() + b.unit();
    let above = a.scale_digits() + b.scale_digits() - unit;
    fill(a.lines, b.lines, |i, j| {
        if worst(lines_a.class[i], lines_b.class[j]) != Class::Finite {
            // Narrow elements have no infinities.
            return f32::NAN;
        }
        let (x, y) = (lines_a.values(i), lines_b.values(j));
        let scales = lines_a.scales(i).iter().zip(lines_b.scales(j));
        let mut parts = cuts.iter().zip(scales).peekable();
        let mut sum = 0.0f32;
        let mut terms = Vec::with_capacity(widths.block);
        while let Some(((start, _), _)) = parts.peek() {
            let end = start - start % widths.block + widths.block;
            terms.clear();
            while let Some((&(start, stop), (s, t))) = parts.next_if(|((start, _), _)| *start < end) {
                terms.push(term(&x[start..stop], &y[start..stop], s, t, unit));
            }
            sum = fused(sum, above, widths.fraction, terms.iter().copied());
        }
        sum
    })
}

/// The sum of a group. Its exponent takes part where both scales are not zero, even if the sum is.
#[allow(clippy::cast_possible_truncation, reason = "below 2^38")]
fn term(x: &[i16], y: &[i16], s: &SegmentScale, t: &SegmentScale, unit: i32) -> Aligned {
    let by = s.mantissa * t.mantissa;
    let exponent = if by == 0 { NONE } else { unit + s.exponent + t.exponent };
    Aligned { mantissa: i16::dot(x, y, by) as i64, exponent }
}

/// `sum` and terms, aligned to their largest exponent, truncated, added, and the result truncated.
///
/// A term's exponent is that of its mantissa and `above`. Bound: a mantissa has 54 bits, `fraction` is at most 48 and
/// `above` at least 0, so that aligned terms have 102 bits and 2^16 of them 118.
fn fused(sum: f32, above: i32, fraction: u32, terms: impl Iterator<Item = Aligned> + Clone) -> f32 {
    let Number::Finite { negative, mantissa, exponent } = Number::from_f32(sum) else { return sum };
    // Of binary32: subnormal numbers and zero have -126.
    let exponent_of_sum = exponent_of(sum);
    let largest = terms.clone().fold(exponent_of_sum, |largest, term| largest.max(term.exponent + above));
    let last = largest - fraction.cast_signed();
    let align = |mantissa: i64, exponent: i32| -> i128 {
        let up = exponent - last;
        if up >= 0 {
            i128::from(mantissa) << up
        } else {
            // Toward zero.
            let magnitude = mantissa.unsigned_abs().checked_shr(up.unsigned_abs()).unwrap_or(0);
            let magnitude = i128::from(magnitude);
            if mantissa < 0 { -magnitude } else { magnitude }
        }
    };
    let mantissa = mantissa.cast_signed();
    let first = if mantissa == 0 { 0 } else { align(if negative { -mantissa } else { mantissa }, exponent) };
    let total = terms.fold(first, |total, term| total + align(term.mantissa, term.exponent));
    truncate(total, last, fraction.min(23))
}

/// The exponent of a finite binary32.
fn exponent_of(x: f32) -> i32 {
    ((x.to_bits() >> 23 & 0xff).cast_signed() - 127).max(-126)
}

/// `total * 2^exponent` toward zero to a binary32 with `fraction` bits behind its first; infinite from `2^128` on.
fn truncate(total: i128, exponent: i32, fraction: u32) -> f32 {
    let (negative, magnitude) = (total < 0, total.unsigned_abs());
    let Some(log2) = magnitude.checked_ilog2() else { return 0.0 };
    let log2 = log2.cast_signed() + exponent;
    if log2 > 127 {
        return if negative { f32::NEG_INFINITY } else { f32::INFINITY };
    }
    let last = log2.max(-126) - fraction.cast_signed();
    let magnitude = if last > exponent {
        magnitude.checked_shr((last - exponent).cast_unsigned()).unwrap_or(0)
    } else {
        magnitude << (exponent - last)
    };
    #[allow(clippy::cast_possible_truncation, reason = "at most 24 bits are left")]
    let mantissa = magnitude as u64;
    // A zero is +0.
    Number::Finite { negative: negative && mantissa != 0, mantissa, exponent: last }.to_f32()
}

/// What a block with infinities gives: an infinity or NaN, as real products and sums have it; `None` without any.
fn not_finite(
    a: &Operand<'_>,
    b: &Operand<'_>,
    (i, j): (usize, usize),
    (start, end): (usize, usize),
    sum: f32,
) -> Option<f32> {
    // Bound: finite products lie far within binary64, so that it overflows nowhere.
    let total = (start..end)
        .fold(f64::from(sum), |total, at| total + a.number(i, at).to_f64() * b.number(j, at).to_f64());
    if total.is_nan() {
        Some(f32::NAN)
    } else if total.is_infinite() {
        Some(if total > 0.0 { f32::INFINITY } else { f32::NEG_INFINITY })
    } else {
        None
    }
}
