//! What a float says, exactly: a sign and an integer times a power of two, or none of those.
#![allow(clippy::cast_possible_truncation, reason = "fields of a float's bits are cut out on purpose")]

use crate::Real;

/// A number with a sign of its own, so that -0 is not +0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// `(-1)^negative * mantissa * 2^exponent`; zero has the mantissa 0.
    Finite {
        /// Sign.
        negative: bool,
        /// Magnitude's mantissa, not normalized.
        mantissa: u64,
        /// Power of two.
        exponent: i32,
    },
    /// An infinity.
    Infinite {
        /// Sign.
        negative: bool,
    },
    /// Not a number.
    Nan {
        /// The sign bit that it carries.
        negative: bool,
    },
}

impl Number {
    /// Zero with a sign.
    #[must_use]
    pub const fn zero(negative: bool) -> Self {
        Self::Finite { negative, mantissa: 0, exponent: 0 }
    }

    /// The exact value of `x`.
    #[must_use]
    pub const fn from_f64(x: f64) -> Self {
        let negative = x.is_sign_negative();
        if x.is_nan() {
            return Self::Nan { negative };
        }
        match Real::from_f64(x) {
            Some(real) if !x.is_infinite() => {
                Self::Finite { negative, mantissa: real.mantissa.unsigned_abs(), exponent: real.exponent }
            }
            _ => Self::Infinite { negative },
        }
    }

    /// The exact value of `x`.
    #[must_use]
    pub const fn from_f32(x: f32) -> Self {
        let (bits, negative) = (x.to_bits(), x.is_sign_negative());
        let (field, fraction) = (bits >> 23 & 0xff, (bits & 0x7f_ffff) as u64);
        match (field, fraction) {
            (0xff, 0) => Self::Infinite { negative },
            (0xff, _) => Self::Nan { negative },
            (0, _) => Self::Finite { negative, mantissa: fraction, exponent: -149 },
            _ => Self::Finite { negative, mantissa: fraction | 1 << 23, exponent: field.cast_signed() - 150 },
        }
    }

    /// The nearest binary64, ties to even: exact for every code of every format here.
    #[must_use]
    pub const fn to_f64(self) -> f64 {
        match self {
            Self::Finite { negative, mantissa, exponent } => {
                // Exact: half of the mantissa, with a last bit that stands for what is lost.
                let half = (mantissa >> 1 | mantissa & 1).cast_signed();
                let magnitude = if mantissa >> 63 == 0 {
                    Real { mantissa: mantissa.cast_signed(), exponent }
                } else {
                    Real { mantissa: half, exponent: exponent + 1 }
                };
                // The sign of a zero is put back.
                f64::from_bits(magnitude.to_f64().to_bits() | (negative as u64) << 63)
            }
            Self::Infinite { negative } => f64::from_bits(0x7ff0 << 48 | (negative as u64) << 63),
            Self::Nan { negative } => f64::from_bits(0x7ff8 << 48 | (negative as u64) << 63),
        }
    }

    /// `self * 2^n`; zeros, infinities and NaN stay what they are.
    #[must_use]
    pub const fn scaled(self, n: i32) -> Self {
        match self {
            Self::Finite { negative, mantissa, exponent } if mantissa != 0 => {
                Self::Finite { negative, mantissa, exponent: exponent + n }
            }
            other => other,
        }
    }

    /// Whether the sign bit is set.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        match self {
            Self::Finite { negative, .. } | Self::Infinite { negative } | Self::Nan { negative } => negative,
        }
    }
}
