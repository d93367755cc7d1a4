//! Division before one rounding.

use crate::minifloat::Number;

impl Number {
    /// `self / divisor` with 62 bits or more, the last of them set if anything is left: rounding that is rounding the
    /// quotient once. As IEEE 754 has it for zeros, infinities and NaN.
    #[must_use]
    pub const fn over(self, divisor: Self) -> Self {
        let negative = self.is_negative() != divisor.is_negative();
        match (self, divisor) {
            (Self::Nan { .. }, _)
            | (_, Self::Nan { .. })
            | (Self::Infinite { .. }, Self::Infinite { .. })
            | (Self::Finite { mantissa: 0, .. }, Self::Finite { mantissa: 0, .. }) => {
                Self::Nan { negative: false }
            }
            (Self::Infinite { .. }, _) | (_, Self::Finite { mantissa: 0, .. }) => Self::Infinite { negative },
            (_, Self::Infinite { .. }) | (Self::Finite { mantissa: 0, .. }, _) => Self::zero(negative),
            (
                Self::Finite { mantissa: x, exponent: ex, .. },
                Self::Finite { mantissa: y, exponent: ey, .. },
            ) => {
                // Bound: x / y lies in 1/2 .. 2 after both are normalized, so the quotient has 63 or 64 bits.
                let (up_x, up_y) = (x.leading_zeros(), y.leading_zeros());
                let (x, y) = (((x << up_x) as u128) << 63, (y << up_y) as u128);
                #[allow(clippy::cast_possible_truncation, reason = "64 bits at most")]
                let quotient = (x / y) as u64 | (x % y != 0) as u64;
                let exponent = ex - ey - up_x.cast_signed() + up_y.cast_signed() - 63;
                Self::Finite { negative, mantissa: quotient, exponent }
            }
        }
    }
}
