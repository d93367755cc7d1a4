//! Formats: which integers a code may be and what one unit of it is worth.
//!
//! Section 1 of `docs/arithmetic.md`: `value = code * 2^-frac_bits * scale`.

use core::fmt;
use core::str::FromStr;

use crate::coded::{Coded, CodedError};
use crate::levels::{LEVELS_MAX, Levels};

/// Most bits that any code has.
pub const PAYLOAD_BITS_MAX: u32 = 32;
/// Most bits of `int<k>`, which also names accumulators.
pub const INT_BITS_MAX: u32 = 64;

/// A format is a record; it computes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// IEEE binary32: this role stays in float.
    Float32,
    /// The integer that arrives, unrounded: nothing is done.
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
    /// `binary`: the codes -1 and +1, each worth itself. Li 2017, HWGQ 2017.
    Binary,
    /// `grid<DELTA,N>`: codes `-N..=N`, each worth `DELTA`. Li 2017 with any step.
    Grid(Grid),
    /// `levels<q1,q2,...>`: zero and rising positive levels. HWGQ 2017.
    Levels(Levels),
    /// A small float, a block format or NVFP4, whose values go on as binary32 numbers; with its rounding.
    Coded(Coded),
}

/// Equally spaced values around 0 whose step is any binary32 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// The step's bits.
    step_bits: u32,
    /// Largest code.
    pub limit: u32,
}

/// Largest code of `grid<DELTA,N>`.
pub const GRID_LIMIT_MAX: u32 = 32_767;

impl Grid {
    /// Codes `-limit..=limit`, each worth `step`.
    ///
    /// # Errors
    /// A step that is not above 0 and finite, or a limit out of `1..=32767`.
    pub fn new(step: f32, limit: u32) -> Result<Self, ParseError> {
        if !(step.is_normal() && step > 0.0) {
            return Err(ParseError::Step);
        }
        if !(1..=GRID_LIMIT_MAX).contains(&limit) {
            return Err(ParseError::GridLimit { limit });
        }
        Ok(Self { step_bits: step.to_bits(), limit })
    }

    /// What one unit of a code is worth.
    #[must_use]
    pub const fn step(self) -> f32 {
        f32::from_bits(self.step_bits)
    }
}

impl Format {
    /// Bits of a code; 32 for float. Those of a small float say what its numbers take, and no code of it is stored here.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Float32 | Self::Exact => 32,
            Self::Fixed { int_bits, frac_bits } => int_bits + frac_bits,
            Self::Unit { bits } | Self::Int { bits } => bits,
            Self::Binary => 2,
            Self::Grid(grid) => 33 - grid.limit.leading_zeros(),
            Self::Levels(levels) => 8 - levels.n().leading_zeros(),
            Self::Coded(coded) => coded.coding.bits(),
        }
    }

    /// Fraction bits: the step is `2^-frac_bits`. 0 where values are no multiples of a power of two.
    #[must_use]
    pub const fn frac_bits(self) -> i32 {
        match self {
            Self::Float32
            | Self::Exact
            | Self::Int { .. }
            | Self::Binary
            | Self::Grid(_)
            | Self::Levels(_)
            | Self::Coded(_) => 0,
            Self::Fixed { frac_bits, .. } => frac_bits.cast_signed(),
            Self::Unit { bits } => bits.cast_signed() - 1,
        }
    }

    /// Largest code.
    #[must_use]
    pub const fn max(self) -> i64 {
        match self {
            Self::Binary => 1,
            Self::Grid(grid) => grid.limit as i64,
            Self::Levels(levels) => levels.n() as i64,
            _ => i64::MAX >> (64 - self.bits()),
        }
    }

    /// Smallest code: one further than `-max` in two's complement, `-max` in `unit<k>`.
    #[must_use]
    pub const fn min(self) -> i64 {
        match self {
            Self::Unit { .. } | Self::Binary | Self::Grid(_) => -self.max(),
            Self::Levels(_) => 0,
            _ => -self.max() - 1,
        }
    }

    /// Largest magnitude of a code.
    #[must_use]
    pub const fn magnitude(self) -> u64 {
        let (min, max) = (self.min().unsigned_abs(), self.max().unsigned_abs());
        if min > max { min } else { max }
    }

    /// Whether values are a power of two times an integer: what integer recipes are made of.
    #[must_use]
    pub const fn is_fixed_point(self) -> bool {
        matches!(self, Self::Fixed { .. } | Self::Unit { .. } | Self::Int { .. })
    }

    /// Whether the role holds integers of a stated width (not float, not "as it arrives", and no small floats, which go on
    /// as binary32 numbers).
    #[must_use]
    pub const fn is_quantized(self) -> bool {
        !matches!(self, Self::Float32 | Self::Exact | Self::Coded(_))
    }

    /// The small float, its rounding and what comes before it, where the format is one.
    #[must_use]
    pub const fn coded(self) -> Option<Coded> {
        match self {
            Self::Coded(coded) => Some(coded),
            _ => None,
        }
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
            Self::Binary => f.write_str("binary"),
            Self::Grid(grid) => write!(f, "grid<{},{}>", grid.step(), grid.limit),
            Self::Levels(levels) => levels.fmt(f),
            Self::Coded(coded) => coded.fmt(f),
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
    /// A grid whose step is not above 0.
    Step,
    /// A grid with no codes, or too many.
    GridLimit {
        /// What was asked for.
        limit: u32,
    },
    /// No levels, or too many.
    NumberOfLevels {
        /// How many.
        n: usize,
    },
    /// A level that does not rise, or is no number.
    Levels {
        /// Which one, counted from 1.
        place: usize,
    },
    /// A small float that no row can have.
    Coded(CodedError),
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
    /// No such measure of a spread.
    Spread,
    /// No such source of random bits.
    RandomSource,
    /// A word too many, or one too few, in a quantizer's line.
    Quantizer,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str(
                "not a format: write fixed<IL,FL> (IL counts the sign; also QIL.FL, <IL,FL> or ap_fixed<W,IL>), \
                 unit<k>, int<k>, binary, grid<DELTA,N>, levels<q1,q2,...>, exact or float32, or between floats a small \
                 one such as bfloat16, mxfp4@even or nvfp4@te (`intrain formats` lists them)",
            ),
            Self::Coded(error) => error.fmt(f),
            Self::Step => f.write_str("not a grid: the step DELTA of grid<DELTA,N> must be a number above 0"),
            Self::GridLimit { limit } => write!(
                f,
                "not a grid: {limit} is impossible as the largest code N of grid<DELTA,N>, choose 1 to {GRID_LIMIT_MAX}"
            ),
            Self::NumberOfLevels { n } => write!(
                f,
                "not a codebook: {n} levels are impossible, write 1 to {LEVELS_MAX} positive ones, as in levels<0.538,1.076,1.614>"
            ),
            Self::Levels { place } => write!(
                f,
                "not a codebook: level {place} is not above the one before it (the first must be above 0); levels must rise, as in \
                 levels<0.538,1.076,1.614>"
            ),
            Self::Bits { bits, min, max } => {
                write!(f, "one of {bits} bits, and here {min} to {max} are possible")
            }
            Self::NoSignBit => f.write_str("fixed<IL,FL> needs IL >= 1: the sign is one of the integer bits"),
            Self::Round => f.write_str(
                "not a rounding: write nearest-even, nearest-down, nearest-away, floor, toward-zero, \
                 stochastic<BITS> or stochastic-magnitude<BITS>",
            ),
            Self::RandomBits { bits } => {
                write!(f, "one of {bits} random bits, and 1 to 32 are possible, for example stochastic<16>")
            }
            Self::Overflow => f.write_str(
                "not an overflow: write saturate, wrap, clip<LIMIT> or clip-before<LIMIT> with a code above 0",
            ),
            Self::Scale => f.write_str("not a scale: write FORMAT@shift, FORMAT@dynamic, FORMAT@bound, FORMAT@alpha, FORMAT@fan, FORMAT@filter, or the \
                 format alone"),
            Self::Spread => f.write_str("not a norm: write l2, l1 or range"),
            Self::RandomSource => f.write_str(
                "not a source of random bits: write philox, or array<N,PANEL> lfsr<BITS,TAPS> with 1 to 64 columns, \
                 1 to 64 tiles of rows, 4 to 32 bits and a mask of taps that has bit 0, for example \
                 'array<28,4> lfsr<16,0x2d>'",
            ),
            Self::Quantizer => f.write_str(
                "not a quantizer: write FORMAT[@SCALE] ROUND [OVERFLOW] [clipped|log-tailed], for example \
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
            "binary" => return Ok(Self::Binary),
            _ => {}
        }
        match text.parse() {
            Ok(coded) => return Ok(Self::Coded(coded)),
            Err(ParseError::Format) => {}
            Err(error) => return Err(error),
        }
        if let Some((int_bits, frac_bits)) = q_notation(text) {
            return fixed(int_bits, frac_bits);
        }
        let (name, inner) =
            text.strip_suffix('>').and_then(|t| t.split_once('<')).ok_or(ParseError::Format)?;
        match name.trim() {
            "levels" => return inner.parse().map(Self::Levels),
            "grid" => {
                let (step, limit) = inner.split_once(',').ok_or(ParseError::Format)?;
                let step = step.trim().parse().map_err(|_| ParseError::Step)?;
                return Grid::new(step, one_number(limit).ok_or(ParseError::Format)?).map(Self::Grid);
            }
            _ => {}
        }
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
    fn values_that_are_no_powers_of_two() {
        for (text, bits, min, max) in [
            ("binary", 2, -1, 1),
            ("grid<0.1,10>", 5, -10, 10),
            ("grid<0.5,1>", 2, -1, 1),
            ("levels<0.538,1.076,1.614>", 2, 0, 3),
            ("levels<0.453,1.51>", 2, 0, 2),
        ] {
            let format: Format = text.parse().unwrap();
            assert_eq!((format.bits(), format.min(), format.max()), (bits, min, max), "{text}");
            assert_eq!(format.to_string(), text);
        }
        assert_eq!("grid<0,3>".parse::<Format>(), Err(ParseError::Step));
        assert_eq!("grid<-0.5,3>".parse::<Format>(), Err(ParseError::Step));
        assert_eq!("grid<0.5,0>".parse::<Format>(), Err(ParseError::GridLimit { limit: 0 }));
        assert_eq!("levels<1,1>".parse::<Format>(), Err(ParseError::Levels { place: 2 }));
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
