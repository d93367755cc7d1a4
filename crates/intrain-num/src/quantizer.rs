//! A quantizer is a record of format, scale, rounding, overflow and the backward pass; here is its scalar meaning.
//!
//! Section 1 of `docs/arithmetic.md`. A line of text such as `fixed<2,14> stochastic saturate` is the record.

use core::fmt;
use core::str::FromStr;

use crate::format::{Format, ParseError};
use crate::overflow::Overflow;
use crate::real::Real;
use crate::round::Round;
use crate::scale::Scale;

/// What the backward pass does at a quantizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Surrogate {
    /// The error passes as if nothing had been rounded or clipped.
    #[default]
    StraightThrough,
    /// The error is zero where the value before quantization lay outside the format's range.
    Clipped,
    /// Codebooks only: beyond the largest level `q` the error is divided by `x - (q - 1)`, as if the forward pass ended
    /// in a logarithm. HWGQ, arXiv 1702.00953 section 3.2.
    LogTailed,
}

impl Surrogate {
    /// As in a quantizer's line; nothing for the default.
    const fn name(self) -> &'static str {
        match self {
            Self::StraightThrough => "",
            Self::Clipped => "clipped",
            Self::LogTailed => "log-tailed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Clipped, Self::LogTailed].into_iter().find(|surrogate| surrogate.name() == name)
    }
}

/// How a tensor of a role becomes integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quantizer {
    /// Which integers, and what they are worth.
    pub format: Format,
    /// Where the tensor's power of two comes from.
    pub scale: Scale,
    /// How a value between two codes becomes one of them.
    pub round: Round,
    /// What happens outside the range.
    pub overflow: Overflow,
    /// The backward pass.
    pub surrogate: Surrogate,
}

impl Quantizer {
    /// A role that stays in float.
    pub const FLOAT: Self = Self::plain(Format::Float32, Round::NearestEven);
    /// A station that does nothing.
    pub const EXACT: Self = Self::plain(Format::Exact, Round::NearestEven);

    /// Format and rounding; no scale, saturating, straight-through.
    #[must_use]
    pub const fn plain(format: Format, round: Round) -> Self {
        Self {
            format,
            scale: Scale::One,
            round,
            overflow: Overflow::Saturate,
            surrogate: Surrogate::StraightThrough,
        }
    }

    /// The code of `x`, where the tensor's power of two is `2^scale_log2` (`0` with [`Scale::One`]).
    ///
    /// `word` is the element's random word; only stochastic roundings look at it.
    #[must_use]
    pub const fn code(&self, x: Real, scale_log2: i32, word: u32) -> i64 {
        self.code_of_shifted(x.mantissa, scale_log2 - x.exponent - self.format.frac_bits(), word)
    }

    /// The code of the integer `x`, `shift_bits` of which lie below the format's step.
    #[must_use]
    pub const fn code_of_shifted(&self, x: i64, shift_bits: i32, word: u32) -> i64 {
        let rounded = self.round.shift_right(x, shift_bits, word);
        self.overflow.apply(rounded, self.format.min(), self.format.max(), self.format.bits())
    }

    /// Least and largest code that the row lets stand: the ends of the format, or the limit of the overflow where that lies
    /// inside them. With `clip-before` a stored weight may lie beyond them by one update.
    #[must_use]
    pub const fn limits(&self) -> (i64, i64) {
        let (min, max) = (self.format.min(), self.format.max());
        match self.overflow {
            Overflow::Clip { limit } | Overflow::ClipBefore { limit } => {
                (if min < -limit { -limit } else { min }, if max > limit { limit } else { max })
            }
            Overflow::Saturate | Overflow::Wrap => (min, max),
        }
    }

    /// The value of a code, with the tensor's power of two left out.
    #[must_use]
    pub const fn value(&self, code: i64) -> Real {
        Real { mantissa: code, exponent: -self.format.frac_bits() }
    }
}

impl fmt::Display for Quantizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.format)?;
        match self.format {
            Format::Exact => return Ok(()),
            // A float is rounded by nothing, but may be held.
            Format::Float32 if self.overflow == Overflow::Saturate => return Ok(()),
            Format::Float32 => return write!(f, " {}", self.overflow),
            // Its thresholds and its ends are its levels; a small float says its rounding itself.
            Format::Levels(_) | Format::Coded(_) => {}
            _ => write!(f, "{} {} {}", self.scale, self.round, self.overflow)?,
        }
        match self.surrogate {
            Surrogate::StraightThrough => Ok(()),
            surrogate => write!(f, " {}", surrogate.name()),
        }
    }
}

/// `FORMAT[@SCALE]`, as in `unit<8>@shift`.
pub fn parse_scaled_format(text: &str) -> Result<(Format, Scale), ParseError> {
    match text.split_once('@') {
        None => Ok((text.parse()?, Scale::One)),
        Some((format, "shift")) => Ok((format.parse()?, Scale::Shift)),
        Some((format, "alpha")) => Ok((format.parse()?, Scale::Alpha)),
        Some((format, "dynamic")) => Ok((format.parse()?, Scale::Dynamic)),
        Some((format, "bound")) => Ok((format.parse()?, Scale::Bound)),
        Some((format, "fan")) => Ok((format.parse()?, Scale::Fan)),
        Some((format, "filter")) => Ok((format.parse()?, Scale::Filter)),
        Some(_) => Err(ParseError::Scale),
    }
}

impl FromStr for Quantizer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.parse() {
            Ok(coded) => return Ok(Self::plain(Format::Coded(coded), Round::NearestEven)),
            Err(ParseError::Format) => {}
            Err(error) => return Err(error),
        }
        let mut words = text.split_whitespace();
        let (format, scale) = parse_scaled_format(words.next().ok_or(ParseError::Quantizer)?)?;
        match (format, scale, words.clone().next()) {
            (Format::Exact | Format::Float32, Scale::One, None) => {
                return Ok(Self::plain(format, Round::NearestEven));
            }
            (Format::Float32, Scale::One, Some(clip))
                if clip.starts_with("clip<") && words.clone().count() == 1 =>
            {
                return Ok(Self { overflow: clip.parse()?, ..Self::FLOAT });
            }
            (Format::Levels(_), Scale::One, surrogate) if words.clone().count() <= 1 => {
                let surrogate = match surrogate {
                    None => Surrogate::StraightThrough,
                    Some(name) => Surrogate::from_name(name).ok_or(ParseError::Quantizer)?,
                };
                return Ok(Self { surrogate, ..Self::plain(format, Round::NearestEven) });
            }
            (Format::Exact | Format::Float32 | Format::Levels(_) | Format::Coded(_), ..) => {
                return Err(ParseError::Quantizer);
            }
            _ => {}
        }
        let round = words.next().ok_or(ParseError::Quantizer)?.parse()?;
        let mut quantizer = Self { scale, ..Self::plain(format, round) };
        let mut rest = words.peekable();
        if let Some(word) = rest.next_if(|word| Surrogate::from_name(word).is_none()) {
            quantizer.overflow = word.parse()?;
        }
        if let Some(surrogate) = rest.peek().and_then(|word| Surrogate::from_name(word)) {
            rest.next();
            quantizer.surrogate = surrogate;
        }
        if rest.next().is_some() { Err(ParseError::Quantizer) } else { Ok(quantizer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn quantize(quantizer: &str, x: f64, word: u32) -> f64 {
        let quantizer: Quantizer = quantizer.parse().unwrap();
        quantizer.value(quantizer.code(Real::from_f64(x).unwrap(), 0, word)).to_f64()
    }

    #[test]
    fn lines_round_trip() {
        for line in [
            "float32",
            "exact",
            "fixed<2,14> stochastic<32> saturate",
            "unit<8>@shift nearest-even saturate",
            "unit<8> nearest-even saturate clipped",
            "unit<2>@alpha nearest-even saturate",
            "unit<8> nearest-even clip-before<64>",
            "binary@filter nearest-away saturate",
            "binary stochastic<32> saturate",
            "binary nearest-away saturate clipped",
            "grid<0.1,10> stochastic<32> saturate",
            "float32 clip<1>",
            "levels<0.538,1.076,1.614>",
            "levels<0.538,1.076,1.614> clipped",
            "levels<0.453,1.51> log-tailed",
        ] {
            assert_eq!(line.parse::<Quantizer>().unwrap().to_string(), line);
        }
        assert_eq!(
            "unit<8> nearest-even clipped".parse::<Quantizer>().unwrap().to_string(),
            "unit<8> nearest-even saturate clipped"
        );
        for bad in [
            "",
            "fixed<2,14>",
            "unit<8>@x floor",
            "unit<8> floor saturate clipped clipped",
            "exact floor",
            "float32 floor",
            "float32 clip<1> clipped",
            "levels<1> floor",
            "levels<1> clipped clipped",
            "levels<1>@shift",
        ] {
            assert!(bad.parse::<Quantizer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn infinities_saturate_and_tiny_values_round() {
        assert_eq!(quantize("fixed<4,12> nearest-down", f64::INFINITY, 0), 7.999_755_859_375);
        assert_eq!(quantize("fixed<4,12> nearest-down", f64::NEG_INFINITY, 0), -8.0);
        assert_eq!(quantize("fixed<4,12> floor", -1e-300, 0), -0.000_244_140_625);
        assert_eq!(quantize("fixed<4,12> nearest-even", 1e-300, 0), 0.0);
    }
}
