//! Quantizers between floats: the code of a binary32 number, and the binary32 number of a code.
//!
//! Section 1.6 of `docs/arithmetic.md`. For roles whose neighbours stay in float: Li's weights, HWGQ's activations. What
//! is compared or rounded is the number itself, so a code depends on nothing but the number and its random word.

use crate::format::{Format, Grid};
use crate::quantizer::Quantizer;
use crate::real::Real;
use crate::round::Round;

impl Quantizer {
    /// The code of `x`; that of 0 for NaN. `word` is the element's random word.
    ///
    /// 0 for roles that stay in float, which have no codes.
    #[must_use]
    pub fn code_of_float(&self, x: f32, word: u32) -> i64 {
        match self.format {
            Format::Float32 | Format::Exact | Format::Coded(_) => 0,
            Format::Binary => binary(x, self.round, word),
            Format::Grid(grid) => grid_code(grid, x, self.round, word),
            Format::Levels(levels) => levels.code(x).into(),
            Format::Fixed { .. } | Format::Unit { .. } | Format::Int { .. } => {
                Real::from_f32(x).map_or(0, |x| self.code(x, 0, word))
            }
        }
    }

    /// What a code is worth, rounded to the nearest binary32 number.
    #[must_use]
    #[allow(
        clippy::float_arithmetic,
        clippy::cast_precision_loss,
        reason = "one product of a step and an integer below 2^24, rounded once"
    )]
    pub fn value_as_float(&self, code: i64) -> f32 {
        match self.format {
            Format::Grid(grid) => grid.step() * code as f32,
            Format::Levels(levels) => levels.value(u8::try_from(code).unwrap_or(0)),
            _ => {
                let value = self.value(code).to_f64();
                #[allow(clippy::cast_possible_truncation, reason = "rounding to binary32 is meant")]
                let value = value as f32;
                value
            }
        }
    }
}

/// `sign(x)` with `sign(0) = +1`; or +1 with the probability `(1 + x) / 2`, `x` held in `-1..=1`.
///
/// Li 2017, section 3: the stochastic quantizer with a step of 2 between -1 and +1.
fn binary(x: f32, round: Round, word: u32) -> i64 {
    let bits = match round {
        Round::Stochastic { bits } | Round::StochasticMagnitude { bits } => bits,
        _ => return if x < 0.0 { -1 } else { 1 },
    };
    // (1 + x) * 2^31, rounded down: 0 to 2^32. Only the top bits are compared with random ones.
    let held = x.clamp(-1.0, 1.0);
    let scaled =
        Real::from_f32(held).map_or(0, |x| Round::Floor.shift_right(x.mantissa, -x.exponent - 31, 0));
    let up = (scaled + (1 << 31)).cast_unsigned() >> (32 - bits);
    if up + u64::from(word >> (32 - bits)) >= 1 << bits { 1 } else { -1 }
}

/// `x / step` in binary32, rounded and held.
#[allow(clippy::float_arithmetic, reason = "one IEEE division, the same on every machine")]
fn grid_code(grid: Grid, x: f32, round: Round, word: u32) -> i64 {
    let limit = i64::from(grid.limit);
    Real::from_f32(x / grid.step())
        .map_or(0, |x| round.shift_right(x.mantissa, -x.exponent, word).clamp(-limit, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantized(quantizer: &str, x: f32, word: u32) -> f32 {
        let quantizer: Quantizer = quantizer.parse().unwrap();
        quantizer.value_as_float(quantizer.code_of_float(x, word))
    }

    /// Worked examples of Li 2017: the deterministic quantizer with a step of 0.5.
    #[test]
    fn ties_go_away_from_zero() {
        for (x, q) in
            [(-1.3, -1.5), (-0.75, -1.0), (-0.25, -0.5), (0.2, 0.0), (0.25, 0.5), (0.3, 0.5), (0.75, 1.0)]
        {
            assert_eq!(quantized("grid<0.5,8> nearest-away saturate", x, 0), q, "{x}");
        }
        assert_eq!(quantized("grid<0.5,2> nearest-away saturate", 7.0, 0), 1.0);
        assert_eq!(quantized("grid<0.1,10> nearest-away saturate", 0.3, 0), 0.3);
    }

    /// The stochastic one: up with the probability of the fraction.
    #[test]
    fn a_step_is_taken_as_often_as_the_fraction_says() {
        let up = |quantizer: &str, x: f32| {
            let words = (0..1000).map(|i| i * (u32::MAX / 1000));
            words.filter(|word| quantized(quantizer, x, *word) > x).count()
        };
        for (x, per_thousand) in [(-1.3, 400), (0.2, 400), (-0.25, 500), (0.3, 600)] {
            assert!(up("grid<0.5,8> stochastic<32> saturate", x).abs_diff(per_thousand) <= 2, "{x}");
        }
        assert!(up("binary stochastic<32> saturate", 0.4).abs_diff(700) <= 2);
        assert!(up("binary stochastic<8> saturate", -0.5).abs_diff(250) <= 4);
    }

    #[test]
    fn signs_at_the_ends_are_certain() {
        for word in [0, 1, u32::MAX / 2, u32::MAX] {
            assert_eq!(quantized("binary stochastic<32> saturate", 1.0, word), 1.0);
            assert_eq!(quantized("binary stochastic<32> saturate", -1.0, word), -1.0);
            assert_eq!(quantized("binary stochastic<32> saturate", f32::NEG_INFINITY, word), -1.0);
        }
        assert_eq!(quantized("binary nearest-away saturate", -0.0, 0), 1.0);
        assert_eq!(quantized("binary nearest-away saturate", -1e-30, 0), -1.0);
    }
}
