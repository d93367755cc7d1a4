//! A row between floats whose values have a small float's format: the format, its rounding, and the transform before it.
//!
//! Section 13.6 of `docs/arithmetic.md`. Values are quantized and go on as the binary32 numbers that they then are, so
//! nothing here is an integer of a stated width.

use core::fmt;
use core::str::FromStr;

use crate::block::{Coding, CodingError, Edges, Extent};
use crate::format::ParseError;
use crate::minifloat::{FloatFormat, FloatRound, Number};

/// `CODING [ROUND] [hadamard]`, as in `nvfp4@te sr-a<8> hadamard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Coded {
    /// What codes are, and where their scales come from.
    pub coding: Coding,
    /// How an element is rounded.
    pub round: FloatRound,
    /// Whether both operands of the gradient product are transformed before they are quantized (section 13.5).
    pub hadamard: bool,
}

/// Why a text that begins as a small float is none that a row can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodedError {
    /// The rule, the edges or the extent of its scale.
    Coding(CodingError),
    /// A second word that is neither a rounding nor `hadamard`, or one word too many.
    Word,
    /// binary32 itself.
    Binary32,
    /// Values that binary32 has not.
    Wide,
    /// A format without negative numbers.
    Unsigned,
}

impl fmt::Display for CodedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a row of a small float: ")?;
        match self {
            Self::Coding(error) => error.fmt(f),
            Self::Word => f.write_str(
                "behind the format stands at most a rounding (nearest-even, nearest-away, toward-zero, up, down, to-odd, \
                 sr-a<N>, sr-b<N> or sr-c<N> with N of 1 to 32 random bits) and then 'hadamard', for example 'nvfp4@te \
                 sr-a<8> hadamard'",
            ),
            Self::Binary32 => f.write_str("values are binary32 anyway; write float32"),
            Self::Wide => f.write_str(
                "it has values that binary32 has not, in which products compute; choose a format between 2^-149 and 2^127",
            ),
            Self::Unsigned => f.write_str("it has no negative numbers; choose a format with a sign"),
        }
    }
}

impl Coded {
    /// A format rounded to the nearest, ties to even.
    #[must_use]
    pub const fn nearest(coding: Coding) -> Self {
        Self { coding, round: FloatRound::NearestEven, hadamard: false }
    }

    /// As it holds in evaluation: nothing random.
    #[must_use]
    pub const fn in_evaluation(self) -> Self {
        if self.round.is_stochastic() { Self { round: FloatRound::NearestEven, ..self } } else { self }
    }

    /// Whether a value depends on its neighbours along an axis: blocks and tiles do, a float alone and one scale for the
    /// whole tensor do not.
    #[must_use]
    pub const fn has_blocks(&self) -> bool {
        !matches!(self.coding.extent(), None | Some(Extent::Tensor))
    }

    /// Whether a value depends on the way in which blocks lie: square tiles are the same along both axes, too.
    #[must_use]
    pub const fn has_direction(&self) -> bool {
        self.has_blocks() && !matches!(self.coding.extent(), Some(Extent::Tile(_)))
    }

    /// The value of one number in a format without scale; with one, which depends on other numbers, the number itself.
    #[must_use]
    pub fn value(&self, x: f32, word: u32) -> f32 {
        match self.coding {
            Coding::Plain { format, overflow } => {
                let code = format.encode(Number::from_f32(x), self.round, overflow, word);
                format.decode(code).to_f32()
            }
            Coding::Scaled { .. } | Coding::Nvfp4 { .. } => x,
        }
    }

    /// What no row can hold.
    fn check(self) -> Result<Self, CodedError> {
        let format = match self.coding {
            Coding::Plain { format, .. } => format,
            Coding::Scaled { element, .. } => element.magnitudes(),
            Coding::Nvfp4 { .. } => FloatFormat::E2M1,
        };
        let least = 1 - format.bias() - format.mantissa_bits().cast_signed();
        if format == FloatFormat::BINARY32 {
            Err(CodedError::Binary32)
        } else if !format.is_signed() {
            Err(CodedError::Unsigned)
        } else if least < -149 || format.max_exponent() > 127 {
            Err(CodedError::Wide)
        } else {
            Ok(self)
        }
    }
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.coding {
            // As it is written: a float of few bits under one scale is no block of MX.
            Coding::Scaled { element, rule, edges, extent: Extent::Tensor } if !element.is_integer() => {
                write!(f, "{element}@{rule}")?;
                if edges != Edges::default() {
                    write!(f, ":{edges}")?;
                }
            }
            coding => coding.fmt(f)?,
        }
        if self.round != FloatRound::NearestEven {
            write!(f, " {}", self.round)?;
        }
        if self.hadamard { f.write_str(" hadamard") } else { Ok(()) }
    }
}

impl FromStr for Coded {
    type Err = ParseError;

    /// [`ParseError::Format`] where the first word is no small float's name, and may be that of another format.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        // These are rows of their own.
        if matches!(name, "float" | "float32" | "exact" | "binary") {
            return Err(ParseError::Format);
        }
        let coding = name.parse().map_err(|error| match error {
            CodingError::Name => ParseError::Format,
            error => ParseError::Coded(CodedError::Coding(error)),
        })?;
        let mut words = words.peekable();
        let mut coded = Self::nearest(coding);
        if let Some(round) = words.next_if(|word| *word != "hadamard") {
            coded.round = round.parse().map_err(|_| ParseError::Coded(CodedError::Word))?;
        }
        coded.hadamard = words.next_if(|word| *word == "hadamard").is_some();
        if words.next().is_some() {
            return Err(ParseError::Coded(CodedError::Word));
        }
        coded.check().map_err(ParseError::Coded)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::{Format, Quantizer};

    #[test]
    fn rows_round_trip_and_others_are_refused() {
        for (text, shown, bits) in [
            ("mxfp4@even", "mxfp4@even", 4),
            ("nvfp4@te/16x16", "nvfp4@te/16x16", 4),
            ("mxfp8-e5m2@rceil sr-a<8>", "mxfp8-e5m2@rceil sr-a<8>", 8),
            ("nvfp4 sr-a<8> hadamard", "nvfp4@te sr-a<8> hadamard", 4),
            ("nvfp4 hadamard", "nvfp4@te hadamard", 4),
            ("bf16 nearest-even", "bfloat16", 16),
            ("e4m3@rceil", "e4m3@rceil", 8),
            ("mxfp8-e5m2@even:te/tensor", "e5m2@even:te", 8),
            ("mxint8@even/tensor sr-c<4>", "mxint8@even/tensor sr-c<4>", 8),
            ("e4m3 to-odd", "e4m3 to-odd", 8),
            ("float<5,6> nearest-away", "float<5,6>ieee nearest-away", 12),
        ] {
            let quantizer: Quantizer = text.parse().unwrap();
            let again: Quantizer = quantizer.to_string().parse().unwrap();
            assert_eq!(again, quantizer, "{text}");
            assert_eq!(quantizer.format.bits(), bits, "{text}");
            assert!(!quantizer.format.is_quantized() && !quantizer.format.is_fixed_point(), "{text}");
            assert_eq!(quantizer.to_string(), shown);
        }
        for (text, part) in [
            ("mxfp4@nearest", "no rule of its scale"),
            ("mxfp4@even:amd", "no profile"),
            ("nvfp4@te/32", "no extent"),
            ("mxfp4@even saturate", "behind the format"),
            ("mxfp4@even stochastic<8>", "sr-a<N>"),
            ("mxfp4@even hadamard sr-a<8>", "behind the format"),
            ("mxfp4@even sr-a<8> hadamard clipped", "behind the format"),
            ("bf16 sr-a<33>", "1 to 32"),
            ("binary32", "write float32"),
            ("fp32", "write float32"),
            ("float<10,5>", "binary32 has not"),
            ("binary8p4uf", "no negative numbers"),
        ] {
            let message = text.parse::<Quantizer>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        for text in ["mxfp5@even", "float32", "exact", "binary nearest-away", "unit<8>@shift floor"] {
            assert_eq!(text.parse::<Coded>(), Err(ParseError::Format), "{text}");
        }
    }

    #[test]
    fn a_float_without_scale_is_rounded_by_itself() {
        let bf16: Coded = "bf16".parse().unwrap();
        assert_eq!(bf16.value(1.0 + 1.0 / 256.0, 0), 1.0);
        assert_eq!(bf16.value(-f32::MAX, 0), -f32::from_bits(0x7f7f_0000));
        let random: Coded = "bf16 sr-a<8>".parse().unwrap();
        assert_eq!(random.value(1.0 + 1.0 / 256.0, u32::MAX), 1.0 + 1.0 / 128.0);
        assert_eq!(random.in_evaluation(), bf16);
        assert!(!bf16.has_blocks() && !"e4m3@rceil".parse::<Coded>().unwrap().has_blocks());
        let [run, tile]: [Coded; 2] = ["nvfp4", "nvfp4/16x16"].map(|text| text.parse().unwrap());
        assert!(run.has_direction() && tile.has_blocks() && !tile.has_direction());
        assert_eq!(Format::Coded(bf16).to_string(), "bfloat16");
    }
}
