//! Normalization in integers: from a channel's exact sums to one line per channel, and the line back.
//!
//! Section 7.4 of `docs/arithmetic.md`. A channel's integers `x` become `(x - mean) / spread` in two multiplications that fit
//! 32 bits; whatever is divided, or has a root taken, is a scalar of the channel, computed once and exactly.

use core::fmt;
use core::str::FromStr;

use crate::format::ParseError;
use crate::quantizer::Quantizer;

/// How far a channel's values are from their mean, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Spread {
    /// Standard deviation: batch norm, and WAGEUBN (arXiv 1909.02384) with its root in integers.
    #[default]
    L2,
    /// `sqrt(pi / 2)` times the mean distance: L1 batch norm (arXiv 1802.09769, arXiv 1803.01814).
    L1,
    /// Range batch norm (arXiv 1805.11046), with the constants and the 16 parts of its code
    /// (`eladhoffer/quantized.pytorch`, `RangeBN`).
    Range,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L2 => "l2",
            Self::L1 => "l1",
            Self::Range => "range",
        })
    }
}

impl FromStr for Spread {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "l2" => Ok(Self::L2),
            "l1" => Ok(Self::L1),
            "range" => Ok(Self::Range),
            _ => Err(ParseError::Spread),
        }
    }
}

/// `sqrt(pi / 2)` in parts of `2^-15`: the mean distance of normal values by that is their deviation.
pub const L1_FACTOR: i64 = 41_069;
/// Most parts of a batch whose ranges are averaged by [`Spread::Range`].
const RANGE_PARTS: usize = 16;
/// `0.5 * 0.35 * (1 + sqrt(pi * ln 4))` in parts of `2^-15`: the constant of the code of [`Spread::Range`].
pub const RANGE_FACTOR: i64 = 17_702;

/// Parts of a batch whose ranges are averaged by [`Spread::Range`], where a channel has `n` integers: 16, and 1 where they are
/// few.
#[must_use]
pub const fn range_parts(n: usize) -> usize {
    if n < 2 * RANGE_PARTS { 1 } else { RANGE_PARTS }
}

/// The integers of part `part`.
#[must_use]
pub const fn range_part(part: usize, n: usize) -> core::ops::Range<usize> {
    let parts = range_parts(n);
    part * n / parts..(part + 1) * n / parts
}

/// Which integers a normalization's stations make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// How a spread is measured.
    pub spread: Spread,
    /// Fraction bits of the integers that enter.
    pub frac_bits: i32,
    /// Recipe row `norm.mean`.
    pub mean: Quantizer,
    /// Recipe row `norm.spread`.
    pub spread_row: Quantizer,
    /// Recipe row `norm.value`.
    pub value: Quantizer,
}

/// Bits of a reciprocal's mantissa. Bound: with integers of 16 bits, `x * multiplier - offset` fits 32 bits.
const RECIPROCAL_BITS: u32 = 14;
/// Digits that running statistics have beyond those of a step.
pub const RUNNING_BITS: u32 = 6;
/// A step leaves `2^-3` of what it saw in the running statistics.
const RUNNING_SHIFT: u32 = 3;

/// The exact sums of a channel's integers over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments {
    /// Integers.
    pub n: u64,
    /// Their sum.
    pub sum: i64,
    /// [`Spread::L2`]: the sum of their squares. [`Spread::L1`]: the sum of their distances to the mean, in the mean's last
    /// bit. [`Spread::Range`]: the sum of the ranges of all parts.
    pub other: i64,
}

impl Rows {
    /// A channel's mean as a code of the row `norm.mean`.
    ///
    /// Bound: `n < 2^28`, integers of 16 bits, a mean of at most 24 bits.
    #[must_use]
    pub const fn mean(&self, Moments { n, sum, .. }: Moments) -> i64 {
        let finer = self.mean.format.frac_bits() - self.frac_bits;
        let (numerator, denominator) = scaled(sum as i128, n as i128, finer);
        self.hold(&self.mean, self.mean.round.ratio_wide(numerator, denominator))
    }

    /// A channel's spread as a code of the row `norm.spread`, rounded down; at least one step of the integers.
    #[must_use]
    pub fn spread(&self, Moments { n, sum, other }: Moments) -> i64 {
        let digits = self.spread_row.format.frac_bits();
        let n = i128::from(n);
        let spread = match self.spread {
            Spread::L2 => {
                // Exact: n^2 times the variance, as no float has it.
                let variance = (n * i128::from(other) - i128::from(sum) * i128::from(sum)).max(0);
                let (numerator, denominator) = scaled(variance, n * n, 2 * (digits - self.frac_bits));
                i128::try_from((numerator / denominator).unsigned_abs().isqrt()).unwrap_or(i128::MAX)
            }
            Spread::L1 => {
                let finer = digits - self.frac_bits.max(self.mean.format.frac_bits()) - 15;
                let (numerator, denominator) = scaled(i128::from(other) * i128::from(L1_FACTOR), n, finer);
                numerator / denominator
            }
            Spread::Range => {
                let words = usize::try_from(n).unwrap_or(usize::MAX);
                let constant = i128::from(RANGE_FACTOR) * i128::from(range_constant(words));
                let parts = range_parts(words) as i128;
                let (numerator, denominator) =
                    scaled(i128::from(other) * constant, parts, digits - self.frac_bits - 30);
                numerator / denominator
            }
        };
        self.hold_spread(i64::try_from(spread).unwrap_or(i64::MAX))
    }

    /// The least and the largest spread: at least one step of the integers, and what the row can hold.
    #[must_use]
    pub fn spreads(&self) -> [i64; 2] {
        let largest = self.spread_row.format.max();
        let least = 1i64 << (self.spread_row.format.frac_bits() - self.frac_bits).clamp(0, 30);
        [least.min(largest), largest]
    }

    fn hold_spread(&self, spread: i64) -> i64 {
        let [least, largest] = self.spreads();
        spread.clamp(least, largest)
    }

    /// Mean and spread for evaluation, from those running, where integers are worth `2^-finer` of what the rows say.
    #[must_use]
    pub fn of_running(&self, [mean, spread]: [i64; 2], finer: i32) -> [i64; 2] {
        let dropped = RUNNING_BITS.cast_signed() - finer;
        let [mean, spread] = [mean, spread].map(|r| crate::Round::NearestDown.shift_right(r, dropped, 0));
        [self.hold(&self.mean, mean), self.hold_spread(spread)]
    }

    /// The line of a channel with that mean and that spread.
    #[must_use]
    pub const fn line(&self, mean: i64, spread: i64) -> ChannelAffine {
        let floor = 63 - spread.leading_zeros();
        let power = RECIPROCAL_BITS + floor;
        let multiplier = crate::Round::NearestEven.ratio_wide(1 << power, spread as i128);
        let offset = crate::Round::NearestEven.shift_right(
            mean * multiplier,
            self.mean.format.frac_bits() - self.frac_bits,
            0,
        );
        let shift = power.cast_signed() + self.frac_bits
            - self.spread_row.format.frac_bits()
            - self.value.format.frac_bits();
        ChannelAffine { multiplier, offset, shift, power }
    }

    /// Bits dropped by the line of the smallest and of the largest spread: both are to lie in 1 to 30.
    #[must_use]
    pub const fn shifts(&self) -> [i32; 2] {
        let finer = self.spread_row.format.frac_bits() - self.frac_bits;
        let least = 1i64 << (if finer < 0 { 0 } else { finer });
        [self.line(0, least).shift, self.line(0, self.spread_row.format.max()).shift]
    }

    /// `(x - mean) / spread` as a code of the row `norm.value`.
    #[must_use]
    pub const fn value(&self, x: i64, line: ChannelAffine) -> i64 {
        let rounded = self.value.round.shift_right(line.exact(x), line.shift, 0);
        self.hold(&self.value, rounded)
    }

    const fn hold(&self, row: &Quantizer, code: i64) -> i64 {
        row.overflow.apply(code, row.format.min(), row.format.max(), row.format.bits())
    }
}

/// What a running statistic becomes when a step has seen `code`; it has [`RUNNING_BITS`] more digits.
#[must_use]
pub const fn blend(running: i64, code: i64) -> i64 {
    running
        + crate::Round::NearestDown.shift_right(
            (code << RUNNING_BITS) - running,
            RUNNING_SHIFT.cast_signed(),
            0,
        )
}

/// What a running statistic becomes from the sum of the codes of `n` batches, above 0: their mean, with [`RUNNING_BITS`] more digits.
///
/// Bound: sums of fewer than 2^32 codes below 2^25.
#[must_use]
pub const fn mean_of_batches(sum: i64, n: u32) -> i64 {
    crate::Round::NearestDown.ratio_wide((sum as i128) << RUNNING_BITS, n as i128)
}

/// A channel's normalization: `value = round((x * multiplier - offset) * 2^-shift)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelAffine {
    /// The spread's reciprocal, `2^13 ..= 2^14`.
    pub multiplier: i64,
    /// The mean, times the multiplier.
    pub offset: i64,
    /// Bits dropped.
    pub shift: i32,
    /// `multiplier = 2^power / spread`, rounded.
    pub power: u32,
}

impl ChannelAffine {
    /// What is rounded. Bound: 31 bits and a sign, for integers of 16 bits and a mean among them.
    #[must_use]
    pub const fn exact(self, x: i64) -> i64 {
        x * self.multiplier - self.offset
    }
}

/// `numerator / denominator * 2^shift` as a fraction of integers.
const fn scaled(numerator: i128, denominator: i128, shift: i32) -> (i128, i128) {
    if shift >= 0 { (numerator << shift, denominator) } else { (numerator, denominator << -shift) }
}

/// `1 / sqrt(2 ln m)` in parts of `2^-15`, rounded down, for the `m` values of a part; that of 2 at least.
///
/// In integers throughout: `log2 m` to 16 digits by squaring, `ln 2` as `45426 / 2^16`, one root.
fn range_constant(n: usize) -> u64 {
    let m = ((n / range_parts(n)) as u128).clamp(2, 1 << 40);
    let floor = m.ilog2();
    let mut log = u64::from(floor) << 16;
    // m / 2^floor in 1..2, with 40 digits.
    let mut rest = m << 40 >> floor;
    for digit in (0..16).rev() {
        rest = (rest * rest) >> 40;
        if rest >= 2 << 40 {
            rest >>= 1;
            log |= 1 << digit;
        }
    }
    // 2 ln m in parts of 2^-31.
    let twice_ln = log * 45_426;
    // sqrt(2^61 / that) = 2^15 / sqrt(2 ln m).
    ((1u64 << 61) / twice_ln).isqrt()
}

/// What the backward pass needs of one channel: exact sums over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorSums {
    /// Sum of the errors.
    pub errors: i64,
    /// Sum of error times value.
    pub products: i64,
    /// Sum of the signs of `x - mean`; for [`Spread::L1`] alone.
    pub signs: i64,
}

/// A channel's backward pass, `dx = error * from_error + w * from_value + constant`, with `w` the value ([`Spread::L2`]), the
/// sign of `x - mean` ([`Spread::L1`]), or nothing ([`Spread::Range`]: see [`NormBackward::point`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NormBackward {
    /// For the error.
    pub from_error: i64,
    /// For the value or the sign.
    pub from_value: i64,
    /// For every pixel.
    pub constant: i64,
    /// Taken from `dx` where a part of the batch has its first largest value, added where it has its first smallest.
    pub point: i64,
}

/// The lines back of all channels have one unit: `2^-frac_bits` of `error * gain / spread`, everything as codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Back {
    /// The rows forward.
    pub rows: Rows,
    /// Integers of a channel.
    pub n: u64,
    /// Fraction bits of a line's coefficients.
    pub frac_bits: i32,
}

impl Back {
    /// The line back of a channel: gain (a code), its line forward, its sums.
    ///
    /// `dx = gain / spread * (e - mean(e) - w * mean(e * value))`, and for [`Spread::L1`] with `c (sign - mean(sign))` as
    /// `w`; each coefficient is exact until it is rounded once, to the nearest, ties down.
    #[must_use]
    pub fn line(&self, gain: i64, line: ChannelAffine, sums: ErrorSums) -> NormBackward {
        let n = i128::from(self.n);
        let factor = i128::from(gain) * i128::from(line.multiplier);
        let shift = self.frac_bits - line.power.cast_signed();
        let round = |numerator: i128, denominator: i128, shift: i32| {
            let (numerator, denominator) = scaled(numerator, denominator, shift);
            crate::Round::NearestDown.ratio_wide(numerator, denominator)
        };
        let digits = self.rows.value.format.frac_bits();
        let products = factor * i128::from(sums.products);
        let from_error = round(factor, 1, shift);
        let mean_error = round(-factor * i128::from(sums.errors), n, shift);
        let back = NormBackward { from_error, constant: mean_error, ..NormBackward::default() };
        match self.rows.spread {
            Spread::L2 => NormBackward { from_value: round(-products, n, shift - 2 * digits), ..back },
            Spread::L1 => {
                let products = products * i128::from(L1_FACTOR);
                let shift = shift - digits - 15;
                // Exact: mean(sign) is a ratio of small integers, and one part in 2^15 of it is far below a step.
                let signs = i128::from(crate::Round::NearestDown.ratio_wide(i128::from(sums.signs) << 15, n));
                NormBackward {
                    from_value: round(-products, n, shift),
                    constant: mean_error + round(products * signs, n << 15, shift),
                    ..back
                }
            }
            Spread::Range => {
                let words = usize::try_from(self.n).unwrap_or(usize::MAX);
                let constant = i128::from(RANGE_FACTOR) * i128::from(range_constant(words));
                let parts = range_parts(words) as i128;
                NormBackward { point: round(products * constant, parts, shift - digits - 30), ..back }
            }
        }
    }
}

impl NormBackward {
    /// No larger than this is `dx`, where errors are at most `error` and values at most `value` in magnitude.
    #[must_use]
    pub const fn bound(&self, error: u64, value: u64) -> u128 {
        self.from_error.unsigned_abs() as u128 * error as u128
            + self.from_value.unsigned_abs() as u128 * value as u128
            + self.constant.unsigned_abs() as u128
            + RANGE_PARTS as u128 * self.point.unsigned_abs() as u128
    }
}

#[cfg(test)]
mod tests;
