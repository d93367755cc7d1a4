//! A norm over the channels of each pixel: its mean and its spread, then the same line for all of them.

use super::{Element, Round};

/// How mean, spread and value of a pixel are computed, and what the channels have learned.
#[derive(Debug)]
pub struct LayerNorm {
    /// Gains.
    pub gain: &'static [i32],
    /// Added behind them.
    pub add: &'static [i64],
    /// Bits of a mean beyond those of the integers.
    pub mean_up: u32,
    /// How a mean is rounded.
    pub mean_round: Round,
    /// The least and the largest mean.
    pub mean: [i64; 2],
    /// Whether the spread is the mean distance from the mean; otherwise it is the root of the variance.
    pub is_l1: bool,
    /// Bits by which what is divided for a spread is moved up.
    pub spread_up: u32,
    /// Bits by which what divides it is.
    pub spread_down: u32,
    /// The least and the largest spread.
    pub spread: [i64; 2],
    /// Bits that a value drops beside those of the spread's reciprocal.
    pub shift: i32,
    /// How a value is rounded.
    pub round: Round,
    /// The least and the largest value.
    pub value: [i64; 2],
}

/// `round((x * multiplier - offset) / 2^shift)`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    pub(super) multiplier: i64,
    pub(super) offset: i64,
    pub(super) shift: u32,
}

/// Bits of a reciprocal, and the mean distance of a normal distribution to its deviation in parts of `2^-15`.
const RECIPROCAL_BITS: u32 = 14;
const L1_FACTOR: i128 = 41_069;

impl LayerNorm {
    /// The line of the pixel whose `c` channels begin at element `first`.
    pub(super) fn line(&self, element: Element, bytes: &[u8], first: usize, c: usize) -> Line {
        let values = || (first..first + c).map(|i| element.load(bytes, i));
        let (n, sum) = (c as i128, i128::from(values().sum::<i64>()));
        let mean = self.mean_round.ratio(sum << self.mean_up, n).clamp(self.mean[0], self.mean[1]);
        let spread = if self.is_l1 {
            let distances: i64 = values().map(|x| ((x << self.mean_up) - mean).abs()).sum();
            (((i128::from(distances) * L1_FACTOR) << self.spread_up) / (n << self.spread_down)).unsigned_abs()
        } else {
            let squares: i128 = values().map(|x| i128::from(x * x)).sum();
            let variance = n * squares - sum * sum;
            ((variance << self.spread_up) / ((n * n) << self.spread_down)).unsigned_abs().isqrt()
        };
        let spread = i64::try_from(spread).unwrap_or(i64::MAX).clamp(self.spread[0], self.spread[1]);
        let power = RECIPROCAL_BITS + spread.ilog2();
        let multiplier = Round::NearestEven.ratio(1 << power, spread.into());
        let offset = Round::NearestEven.ratio(i128::from(mean * multiplier), 1 << self.mean_up);
        Line { multiplier, offset, shift: power.saturating_add_signed(self.shift) }
    }
}

impl Round {
    /// `numerator / denominator`, rounded. Bound: the quotients of a norm fit 64 bits.
    fn ratio(self, numerator: i128, denominator: i128) -> i64 {
        let (floor, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
        let (is_above, is_half) = (2 * rest > denominator, 2 * rest == denominator);
        let up = match self {
            Self::NearestEven => is_above || (is_half && floor % 2 != 0),
            Self::NearestDown => is_above,
            Self::NearestAway => is_above || (is_half && numerator > 0),
            Self::TowardZero => numerator < 0 && rest != 0,
            Self::Floor => false,
        };
        i64::try_from(floor + i128::from(up)).unwrap_or(i64::MAX)
    }
}
