//! Real numbers without float arithmetic: a float is exactly `mantissa * 2^exponent`.
//!
//! With this, quantizing a float is the same integer shift as everything else, and equally exact.
#![allow(clippy::cast_possible_truncation, reason = "fields of a float's bits are cut out on purpose")]

use crate::scale::round_log2;

/// `mantissa * 2^exponent`, with `|mantissa| < 2^53` where it came from a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Real {
    /// Signed mantissa.
    pub mantissa: i64,
    /// Power of two.
    pub exponent: i32,
}

impl Real {
    /// The exact value of `x`; infinities become values beyond every format, NaN is `None`.
    #[must_use]
    pub const fn from_f64(x: f64) -> Option<Self> {
        let bits = x.to_bits();
        let biased = ((bits >> 52) & 0x7ff) as i32;
        let fraction = (bits & ((1 << 52) - 1)).cast_signed();
        let (magnitude, exponent) = match biased {
            0 => (fraction, -1074),
            0x7ff if fraction != 0 => return None,
            0x7ff => (1, 1024),
            _ => (fraction | 1 << 52, biased - 1075),
        };
        Some(Self { mantissa: if x.is_sign_negative() { -magnitude } else { magnitude }, exponent })
    }

    /// The exact value of `x`; infinities become values beyond every format, NaN is `None`.
    #[must_use]
    pub const fn from_f32(x: f32) -> Option<Self> {
        Self::from_f64(x as f64)
    }

    /// `round(log2 |x|)`, exactly; `None` for zero.
    #[must_use]
    pub const fn round_log2(self) -> Option<i32> {
        match round_log2(self.mantissa.unsigned_abs()) {
            Some(n) => Some(n + self.exponent),
            None => None,
        }
    }

    /// The nearest `f64`, ties to even; exact whenever `|mantissa| < 2^53` and the result is a normal number.
    #[must_use]
    pub const fn to_f64(self) -> f64 {
        let magnitude = self.mantissa.unsigned_abs();
        if magnitude == 0 {
            return 0.0;
        }
        let sign = (self.mantissa < 0) as u64;
        // Normalise to 53 bits, rounding to even where the mantissa has more.
        let surplus = 11 - magnitude.leading_zeros().cast_signed();
        let (mut fraction, mut exponent) = (magnitude, self.exponent + surplus);
        if surplus > 0 {
            let down = magnitude >> surplus;
            let rest = magnitude & ((1 << surplus) - 1);
            let half = 1 << (surplus - 1);
            fraction = down + (rest > half || (rest == half && down & 1 == 1)) as u64;
        } else {
            fraction <<= -surplus;
        }
        if fraction >> 53 == 1 {
            fraction >>= 1;
            exponent += 1;
        }
        let biased = exponent + 1075;
        if biased >= 0x7ff {
            return f64::from_bits(sign << 63 | 0x7ff << 52);
        }
        if biased <= 0 {
            // Below the normal numbers: cut towards zero; no format of this crate reaches so far.
            let shift = 1 - biased;
            return f64::from_bits(sign << 63 | if shift > 53 { 0 } else { fraction >> shift });
        }
        f64::from_bits(sign << 63 | (biased.cast_unsigned() as u64) << 52 | (fraction & ((1 << 52) - 1)))
    }
}

#[cfg(test)]
#[allow(clippy::float_arithmetic, reason = "the tests compare with the machine's own float arithmetic")]
mod tests {
    use super::Real;

    #[test]
    fn floats_round_trip() {
        for x in [0.0, 1.0, -1.5, 0.1, 1e-300, -1e300, f64::MIN_POSITIVE, f64::MAX, 3.0_f64.powi(30)] {
            let real = Real::from_f64(x).unwrap();
            assert_eq!(real.to_f64().to_bits(), x.to_bits(), "{x}");
        }
        assert_eq!(Real::from_f64(f64::NAN), None);
        assert_eq!(Real::from_f64(f64::NEG_INFINITY), Some(Real { mantissa: -1, exponent: 1024 }));
    }

    #[test]
    fn wide_mantissas_round_to_even_like_the_machine() {
        #[allow(clippy::cast_precision_loss, reason = "the loss is what is compared")]
        for m in [i64::MAX, (1 << 53) + 1, (1 << 53) + 3, (1 << 62) + (1 << 8), -((1 << 60) + 255)] {
            assert_eq!(Real { mantissa: m, exponent: -3 }.to_f64(), m as f64 / 8.0, "{m}");
        }
    }

    #[test]
    fn shift_of_wage_worked_examples() {
        for (x, n) in [
            (0.1, -3),
            (0.35, -2),
            (0.36, -1),
            (0.7, -1),
            (0.71, 0),
            (1.0, 0),
            (1.41, 0),
            (1.42, 1),
            (3.0, 2),
        ] {
            assert_eq!(Real::from_f64(x).unwrap().round_log2(), Some(n), "Shift({x})");
        }
    }
}
