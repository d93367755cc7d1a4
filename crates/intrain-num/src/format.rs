//! Formats: which integers a payload may be and what one unit of it is worth.
//!
//! Section 1 of `docs/arithmetic.md`: `value = payload * 2^-frac_bits * scale`.

use core::fmt;
use core::str::FromStr;

/// Most bits that any payload has.
pub const PAYLOAD_BITS_MAX: u32 = 32;
/// Most bits of `int<k>`, which also names accumulators.
pub const INT_BITS_MAX: u32 = 64;

/// A format is a record; it computes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// IEEE binary32: this role stays in float.
    Float32,
    /// The integer that arrives, unrounded: the station does nothing.
    Exact,
    /// `fixed<IL,FL>`: two's complement, `IL` integer bits *including the sign*, `FL` fractional bits, step
    /// `2^-FL`, range `[-2^(IL-1), 2^(IL-1) - 2^-FL]`. Gupta 2015, section 3.
    Fixed {
        /// Integer bits with the sign, at least 1.
        int_bits: u32,
        /// Fractional bits.
        frac_bits: u32,
    },
    /// `unit<k>`: symmetric, step `2^(1-k)`, range `+-(1 - 2^(1-k))`. WAGE, arXiv 1802.04680 eq. 5 and 6.
    Unit {
        /// Bits `k`, at least 2.
        bits: u32,
    },
    /// `int<k>`: two's complement integers, step 1; also the width of an accumulator.
    Int {
        /// Bits `k`, at least 2.
        bits: u32,
    },
}

impl Format {
    /// Bits of a payload; 32 for float.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Float32 | Self::Exact => 32,
            Self::Fixed { int_bits, frac_bits } => int_bits + frac_bits,
            Self::Unit { bits } | Self::Int { bits } => bits,
        }
    }

    /// Binary digits behind the point: the step is `2^-frac_bits`.
    #[must_use]
    pub const fn frac_bits(self) -> i32 {
        match self {
            Self::Float32 | Self::Exact | Self::Int { .. } => 0,
            Self::Fixed { frac_bits, .. } => frac_bits.cast_signed(),
            Self::Unit { bits } => bits.cast_signed() - 1,
        }
    }

    /// Largest payload.
    #[must_use]
    pub const fn max(self) -> i64 {
        i64::MAX >> (64 - self.bits())
    }

    /// Smallest payload: one further than `-max` in two's complement, `-max` in `unit<k>`.
    #[must_use]
    pub const fn min(self) -> i64 {
        match self {
            Self::Unit { .. } => -self.max(),
            _ => -self.max() - 1,
        }
    }

    /// Largest magnitude of a payload.
    #[must_use]
    pub const fn magnitude(self) -> u64 {
        self.min().unsigned_abs()
    }

    /// Whether the role holds integers of a stated width (not float, not "as it arrives").
    #[must_use]
    pub const fn is_quantized(self) -> bool {
        !matches!(self, Self::Float32 | Self::Exact)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float32 => f.write_str("float32"),
            Self::Exact => f.write_str("exact"),
            Self::Fixed { int_bits, frac_bits } => write!(f, "fixed<{int_bits},{frac_bits}>"),
            Self::Unit { bits } => write!(f, "unit<{bits}>"),
            Self::Int { bits } => write!(f, "int<{bits}>"),
        }
    }
}

/// Why a spelling is not a format, a rounding, an overflow or a quantizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// No such format.
    Format,
    /// A width outside what the format can have.
    Bits {
        /// What was asked for.
        bits: u32,
        /// Least bits.
        min: u32,
        /// Most bits.
        max: u32,
    },
    /// `fixed<0,FL>`: the integer bits count the sign.
    NoSignBit,
    /// No such rounding.
    Round,
    /// A stochastic rounding with too few or too many random bits.
    RandomBits {
        /// What was asked for.
        bits: u32,
    },
    /// No such overflow.
    Overflow,
    /// No such scale.
    Scale,
    /// A word too many, or one too few, in a quantizer's line.
    Quantizer,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str(
                "not a format: write fixed<IL,FL> (IL counts the sign; also QIL.FL, <IL,FL> or ap_fixed<W,IL>), \
                 unit<k>, int<k>, exact or float32",
            ),
            Self::Bits { bits, min, max } => {
                write!(f, "{bits} bits are impossible here: choose {min} to {max}")
            }
            Self::NoSignBit => f.write_str("fixed<IL,FL> needs IL >= 1: the sign is one of the integer bits"),
            Self::Round => f.write_str(
                "not a rounding: write nearest-even, nearest-down, nearest-away, floor, toward-zero, \
                 stochastic<BITS> or stochastic-magnitude<BITS>",
            ),
            Self::RandomBits { bits } => {
                write!(f, "{bits} random bits are impossible: choose 8 to 32, for example stochastic<16>")
            }
            Self::Overflow => f.write_str(
                "not an overflow: write saturate, wrap, clip<LIMIT> or clip-before<LIMIT> with a payload above 0",
            ),
            Self::Scale => f.write_str("not a scale: write FORMAT@shift, FORMAT@alpha, or the format alone"),
            Self::Quantizer => f.write_str(
                "not a quantizer: write FORMAT[@SCALE] ROUND [OVERFLOW] [clipped], for example \
                 'fixed<2,14> stochastic saturate'",
            ),
        }
    }
}

impl core::error::Error for ParseError {}

impl FromStr for Format {
    type Err = ParseError;

    /// Accepts the spellings in circulation; [`Display`](fmt::Display) writes one.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        match text {
            "float32" | "float" => return Ok(Self::Float32),
            "exact" => return Ok(Self::Exact),
            _ => {}
        }
        if let Some((int_bits, frac_bits)) = q_notation(text) {
            return fixed(int_bits, frac_bits);
        }
        let (name, inner) =
            text.strip_suffix('>').and_then(|t| t.split_once('<')).ok_or(ParseError::Format)?;
        match (name.trim(), two_numbers(inner), one_number(inner)) {
            ("fixed" | "", Some((int_bits, frac_bits)), _) => fixed(int_bits, frac_bits),
            ("ap_fixed", Some((width, int_bits)), _) => {
                let frac_bits = width.checked_sub(int_bits).ok_or(ParseError::Bits {
                    bits: int_bits,
                    min: 1,
                    max: width,
                })?;
                fixed(int_bits, frac_bits)
            }
            ("unit", _, Some(bits)) => Ok(Self::Unit { bits: in_range(bits, PAYLOAD_BITS_MAX)? }),
            ("int", _, Some(bits)) => Ok(Self::Int { bits: in_range(bits, INT_BITS_MAX)? }),
            _ => Err(ParseError::Format),
        }
    }
}

fn fixed(int_bits: u32, frac_bits: u32) -> Result<Format, ParseError> {
    if int_bits == 0 {
        return Err(ParseError::NoSignBit);
    }
    in_range(int_bits.saturating_add(frac_bits), PAYLOAD_BITS_MAX)?;
    Ok(Format::Fixed { int_bits, frac_bits })
}

fn in_range(bits: u32, max: u32) -> Result<u32, ParseError> {
    if (2..=max).contains(&bits) { Ok(bits) } else { Err(ParseError::Bits { bits, min: 2, max }) }
}

/// `Q4.12` and `q4.12`: the same as `fixed<4,12>`, the sign counted.
fn q_notation(text: &str) -> Option<(u32, u32)> {
    let (int_bits, frac_bits) = text.strip_prefix(['Q', 'q'])?.split_once('.')?;
    Some((int_bits.parse().ok()?, frac_bits.parse().ok()?))
}

fn two_numbers(inner: &str) -> Option<(u32, u32)> {
    let (a, b) = inner.split_once(',')?;
    Some((one_number(a)?, one_number(b)?))
}

fn one_number(inner: &str) -> Option<u32> {
    inner.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn ranges_of_gupta_table() {
        for (int_bits, frac_bits, min, max) in [
            (2, 14, -32_768, 32_767),
            (4, 12, -32_768, 32_767),
            (6, 10, -32_768, 32_767),
            (8, 8, -32_768, 32_767),
            (4, 16, -524_288, 524_287),
        ] {
            let format = Format::Fixed { int_bits, frac_bits };
            assert_eq!((format.min(), format.max()), (min, max), "{format}");
            assert_eq!(format.frac_bits(), frac_bits.cast_signed());
        }
    }

    #[test]
    fn unit_is_symmetric() {
        let format = Format::Unit { bits: 8 };
        assert_eq!((format.min(), format.max(), format.frac_bits()), (-127, 127, 7));
        assert_eq!(Format::Unit { bits: 2 }.max(), 1);
    }

    #[test]
    fn spellings() {
        let q = Format::Fixed { int_bits: 4, frac_bits: 12 };
        for text in ["fixed<4,12>", "fixed< 4 , 12 >", "<4,12>", "Q4.12", "q4.12", "ap_fixed<16,4>"] {
            assert_eq!(text.parse(), Ok(q), "{text}");
        }
        assert_eq!(q.to_string(), "fixed<4,12>");
        assert_eq!("unit<8>".parse(), Ok(Format::Unit { bits: 8 }));
        assert_eq!("float".parse(), Ok(Format::Float32));
        assert_eq!("fixed<0,8>".parse::<Format>(), Err(ParseError::NoSignBit));
        assert_eq!("fixed<20,20>".parse::<Format>(), Err(ParseError::Bits { bits: 40, min: 2, max: 32 }));
        assert_eq!("unit<1>".parse::<Format>(), Err(ParseError::Bits { bits: 1, min: 2, max: 32 }));
        for bad in ["", "fixed", "fixed<4>", "unit<4,4>", "fixed<-1,4>", "Q4", "int<>", "ap_fixed<4,8>", "<"]
        {
            assert!(bad.parse::<Format>().is_err(), "{bad}");
        }
    }
}
