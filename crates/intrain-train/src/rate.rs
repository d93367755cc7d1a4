//! Learning rates and other factors as integers: `mantissa * 2^exponent`. Section 8.1 of `docs/arithmetic.md`.

use intrain_num::{Real, Round};
use intrain_recipe::LearningRate;

use crate::TrainError;

/// A factor of the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At most 15 bits.
    pub mantissa: i64,
    /// Power of two.
    pub exponent: i32,
}

impl Rate {
    /// The nearest number of at most 15 bits times a power of two.
    ///
    /// Exact for every power of two and every number of at most 15 bits.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        let Some(real) = Real::from_f64(rate).filter(|real| real.mantissa != 0) else {
            return Self { mantissa: 0, exponent: 0 };
        };
        let surplus = 64 - real.mantissa.unsigned_abs().leading_zeros().cast_signed() - 15;
        let mut mantissa = Round::NearestEven.shift_right(real.mantissa, surplus, 0);
        let mut exponent = real.exponent + surplus;
        while mantissa % 2 == 0 {
            mantissa /= 2;
            exponent += 1;
        }
        Self { mantissa, exponent }
    }
}

/// Checks that the recipe can represent `rate`.
///
/// # Errors
/// A rate that is not positive and finite, or not the power of two that the recipe asks for, with the nearest one.
pub fn check(row: LearningRate, rate: f64) -> Result<(), TrainError> {
    if !(rate.is_finite() && rate > 0.0 && rate < 1e6) {
        return Err(TrainError::Setting(format!(
            "a learning rate of {rate} is not above 0 and below 1000000"
        )));
    }
    if row == LearningRate::PowerOfTwo && rate.log2().fract() != 0.0 {
        let nearest = rate.log2().round().exp2();
        return Err(TrainError::Setting(format!(
            "a learning rate of {rate} is not a power of two, which this recipe asks for; use {nearest}"
        )));
    }
    Ok(())
}

/// A rate between half of `rate` and twice it whose mantissa has all 15 bits, and whose exponent is that of the finest rate of
/// at least `rate`: no rate between the two needs more bits.
pub(crate) fn longest(rate: f64) -> f64 {
    let Rate { mantissa, exponent } = Rate::new(rate);
    let top = 63 - mantissa.max(1).leading_zeros().cast_signed() + exponent;
    f64::from(top).exp2() * (1.0 + f64::from(-14).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_the_nearest_of_15_bits() {
        let rate = Rate::new;
        assert_eq!(rate(8.0), Rate { mantissa: 1, exponent: 3 });
        assert_eq!(rate(0.125), Rate { mantissa: 1, exponent: -3 });
        assert_eq!(rate(0.001), Rate { mantissa: 16_777, exponent: -24 });
        assert_eq!(rate(0.9), Rate { mantissa: 29_491, exponent: -15 });
        assert_eq!(rate(0.0), Rate { mantissa: 0, exponent: 0 });
    }

    #[test]
    fn the_longest_rate_has_the_exponent_of_the_finest() {
        for rate in [1.0, 0.1, 0.75, 3e-9, 1e-40] {
            let Rate { mantissa, exponent } = Rate::new(longest(rate));
            assert_eq!(63 - mantissa.leading_zeros(), 14, "{rate}");
            assert!(
                exponent <= Rate::new(rate).exponent
                    && longest(rate) > 0.5 * rate
                    && longest(rate) < 2.0 * rate
            );
            assert!(Rate::new(rate * 1.3).exponent >= exponent, "{rate}");
        }
    }

    #[test]
    fn wage_rates_are_powers_of_two() {
        assert!(check(LearningRate::PowerOfTwo, 0.125).is_ok());
        let message = check(LearningRate::PowerOfTwo, 0.1).unwrap_err().to_string();
        assert!(message.contains("use 0.125"), "{message}");
        assert!(check(LearningRate::Mantissa15, f64::NAN).is_err());
        assert!(check(LearningRate::Float32, 0.0).is_err());
    }
}
