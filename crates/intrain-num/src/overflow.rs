//! What happens to a rounded code outside the format. Section 4 of `docs/arithmetic.md`.

use core::fmt;
use core::str::FromStr;

use crate::format::ParseError;

/// Overflow as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// Held at the nearest end of the format.
    #[default]
    Saturate,
    /// Modulo `2^bits`, two's complement.
    Wrap,
    /// Held at a stated limit inside the format: `clip<LIMIT>`.
    Clip {
        /// Largest magnitude of a code.
        limit: i64,
    },
    /// Stored weights only: held at a stated limit *before* an update is subtracted, so that the stored value may
    /// pass the limit by one update: `clip-before<LIMIT>`. WAGE's code (`W_clip_op`).
    ClipBefore {
        /// Largest magnitude of a code before the update.
        limit: i64,
    },
}

impl Overflow {
    /// The code that `code` becomes in a format of `min..=max` with `bits`.
    #[must_use]
    pub const fn apply(self, code: i64, min: i64, max: i64, bits: u32) -> i64 {
        match self {
            Self::Saturate | Self::ClipBefore { .. } => clamp(code, min, max),
            // Wrapping: two's complement, the low `bits` bits with their top bit as the sign.
            Self::Wrap => (code << (64 - bits)) >> (64 - bits),
            Self::Clip { limit } => clamp(clamp(code, -limit, limit), min, max),
        }
    }
}

/// `x` held in `min..=max`.
#[must_use]
pub const fn clamp(x: i64, min: i64, max: i64) -> i64 {
    if x < min {
        min
    } else if x > max {
        max
    } else {
        x
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saturate => f.write_str("saturate"),
            Self::Wrap => f.write_str("wrap"),
            Self::Clip { limit } => write!(f, "clip<{limit}>"),
            Self::ClipBefore { limit } => write!(f, "clip-before<{limit}>"),
        }
    }
}

impl FromStr for Overflow {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "saturate" => Ok(Self::Saturate),
            "wrap" => Ok(Self::Wrap),
            _ => {
                let limit_of = |prefix: &str| {
                    let inner = text.strip_prefix(prefix)?.strip_prefix('<')?.strip_suffix('>')?;
                    inner.trim().parse().ok().filter(|limit| *limit > 0)
                };
                limit_of("clip")
                    .map(|limit| Self::Clip { limit })
                    .or_else(|| limit_of("clip-before").map(|limit| Self::ClipBefore { limit }))
                    .ok_or(ParseError::Overflow)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn ends_and_beyond() {
        assert_eq!(Overflow::Saturate.apply(40_000, -32_768, 32_767, 16), 32_767);
        assert_eq!(Overflow::Saturate.apply(-40_000, -32_768, 32_767, 16), -32_768);
        assert_eq!(Overflow::Wrap.apply(32_768, -32_768, 32_767, 16), -32_768);
        assert_eq!(Overflow::Wrap.apply(-32_769, -32_768, 32_767, 16), 32_767);
        assert_eq!(Overflow::Clip { limit: 64 }.apply(70, -127, 127, 8), 64);
        assert_eq!(Overflow::ClipBefore { limit: 64 }.apply(70, -127, 127, 8), 70);
    }

    #[test]
    fn names_round_trip() {
        for overflow in [
            Overflow::Saturate,
            Overflow::Wrap,
            Overflow::Clip { limit: 3 },
            Overflow::ClipBefore { limit: 64 },
        ] {
            assert_eq!(overflow.to_string().parse(), Ok(overflow));
        }
        for bad in ["clip", "clip<0>", "clip<-3>", "clip<x>", "saturating"] {
            assert_eq!(bad.parse::<Overflow>(), Err(ParseError::Overflow), "{bad}");
        }
    }
}
