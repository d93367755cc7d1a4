//! A number to the code of a format.

use super::format::{FloatFormat, Top};
use super::number::Number;
use super::round::{FloatOverflow, FloatRound};

impl FloatFormat {
    /// The code of `x`.
    ///
    /// With `L = max(floor(log2 |x|), 1 - B) - M` the magnitude is `q + v` steps of `2^L`; `round` decides between `q`
    /// and `q + 1`, which may be the first of the next binade. Codes in order of magnitude are consecutive integers,
    /// so even and odd are those of the code. What has no code: NaN where the format has none becomes the largest
    /// positive value (as `cvt` with `satfinite` of NVIDIA's PTX does), -0 becomes 0, and a negative number in a
    /// format without sign becomes 0, or with `sat-none` NaN. `word` is the element's random word.
    #[must_use]
    pub const fn encode(self, x: Number, round: FloatRound, overflow: FloatOverflow, word: u32) -> u32 {
        let (negative, mantissa, exponent) = match x {
            Number::Nan { negative } => {
                return match self.nan(negative) {
                    Some(code) => code,
                    None => self.max_code(),
                };
            }
            Number::Infinite { negative } => return self.beyond(negative, true, round, overflow),
            Number::Finite { negative, mantissa, exponent } => (negative, mantissa, exponent),
        };
        let magnitude = self.round_magnitude(mantissa, exponent, negative, round, word);
        if magnitude == 0 {
            return if negative && self.has_minus_zero() { self.sign() } else { 0 };
        }
        if negative && !self.is_signed() {
            return self.below_zero(overflow);
        }
        if magnitude > self.max_code() as u64 {
            return self.beyond(negative, false, round, overflow);
        }
        #[allow(clippy::cast_possible_truncation, reason = "at most the largest code")]
        let code = magnitude as u32;
        if negative { code | self.sign() } else { code }
    }

    /// The magnitude's code, as if exponents had no end.
    const fn round_magnitude(
        self,
        mantissa: u64,
        exponent: i32,
        negative: bool,
        round: FloatRound,
        word: u32,
    ) -> u64 {
        if mantissa == 0 {
            return 0;
        }
        let m = self.mantissa_bits().cast_signed();
        let log2 = mantissa.ilog2().cast_signed() + exponent;
        let least = 1 - self.bias();
        let (binade, step) = if log2 > least { (log2 - least, log2 - m) } else { (0, least - m) };
        // Bound: a mantissa of the binade has M + 1 <= 24 bits, and there are fewer than 2^13 binades.
        let first = (binade.cast_unsigned() as u64) << self.mantissa_bits();
        let below = step - exponent;
        if below <= 0 {
            return first + (mantissa << -below);
        }
        // Exact: beyond 127 bits below the point only "more than nothing" is left of a mantissa of 64 bits.
        let (code, rest, below) = if below < 64 {
            (mantissa >> below, (mantissa & ((1 << below) - 1)) as u128, below.cast_unsigned())
        } else if below < 127 {
            (0, mantissa as u128, below.cast_unsigned())
        } else {
            (0, 1, 127)
        };
        let code = first + code;
        code + round.is_up(code, rest, below, negative, word) as u64
    }

    /// The code of a number below zero in a format without sign.
    const fn below_zero(self, overflow: FloatOverflow) -> u32 {
        match (overflow, self.nan(false)) {
            (FloatOverflow::SatNone, Some(nan)) => nan,
            _ => 0,
        }
    }

    /// The code of what lies beyond the largest finite value.
    const fn beyond(self, negative: bool, infinite: bool, round: FloatRound, overflow: FloatOverflow) -> u32 {
        if negative && !self.is_signed() {
            return self.below_zero(overflow);
        }
        let sign = if negative { self.sign() } else { 0 };
        let max = self.max_code();
        let points_back = match round {
            FloatRound::TowardZero => true,
            FloatRound::Up => negative,
            FloatRound::Down => !negative,
            FloatRound::ToOdd => max & 1 == 1,
            _ => false,
        };
        let stays = match overflow {
            FloatOverflow::SatFinite => true,
            FloatOverflow::SatPropagate => !infinite,
            FloatOverflow::SatNone => !infinite && points_back,
        };
        if stays {
            return sign | max;
        }
        match (self.infinity(), self.nan(negative)) {
            (Some(infinity), _) => sign | infinity,
            (None, Some(nan))
                if matches!(overflow, FloatOverflow::SatNone) && !matches!(self.top(), Top::P3109Finite) =>
            {
                nan
            }
            _ => sign | max,
        }
    }
}

impl Number {
    /// The binary32 that this number is rounded to once, ties to even.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(FloatFormat::BINARY32.encode(self, FloatRound::NearestEven, FloatOverflow::SatNone, 0))
    }
}
