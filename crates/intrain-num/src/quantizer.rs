//! A quantizer is a record of format, scale, rounding, overflow and the way back; here is its scalar meaning.
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
}

/// How a tensor of a role becomes integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quantizer {
    /// Which integers, and what they are worth.
    pub format: Format,
    /// Where the tensor's power of two comes from.
    pub scale: Scale,
    /// How a value between two payloads becomes one of them.
    pub round: Round,
    /// What happens outside the range.
    pub overflow: Overflow,
    /// The way back.
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

    /// The payload of `x`, where the tensor's power of two is `2^scale_log2` (`0` with [`Scale::One`]).
    ///
    /// `word` is the element's random word; only stochastic roundings look at it.
    #[must_use]
    pub const fn payload(&self, x: Real, scale_log2: i32, word: u32) -> i64 {
        self.payload_of_shifted(x.mantissa, scale_log2 - x.exponent - self.format.frac_bits(), word)
    }

    /// The payload of the integer `x`, `shift_bits` of which lie below the format's step.
    #[must_use]
    pub const fn payload_of_shifted(&self, x: i64, shift_bits: i32, word: u32) -> i64 {
        let rounded = self.round.shift_right(x, shift_bits, word);
        self.overflow.apply(rounded, self.format.min(), self.format.max(), self.format.bits())
    }

    /// The value of a payload, with the tensor's power of two left out.
    #[must_use]
    pub const fn value(&self, payload: i64) -> Real {
        Real { mantissa: payload, exponent: -self.format.frac_bits() }
    }
}

impl fmt::Display for Quantizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.format)?;
        if !self.format.is_quantized() {
            return Ok(());
        }
        write!(f, "{} {} {}", self.scale, self.round, self.overflow)?;
        match self.surrogate {
            Surrogate::StraightThrough => Ok(()),
            Surrogate::Clipped => f.write_str(" clipped"),
        }
    }
}

/// `FORMAT[@SCALE]`, as in `unit<8>@shift`.
pub fn parse_scaled_format(text: &str) -> Result<(Format, Scale), ParseError> {
    match text.split_once('@') {
        None => Ok((text.parse()?, Scale::One)),
        Some((format, "shift")) => Ok((format.parse()?, Scale::Shift)),
        Some((format, "alpha")) => Ok((format.parse()?, Scale::Alpha)),
        Some(_) => Err(ParseError::Scale),
    }
}

impl FromStr for Quantizer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = text.split_whitespace();
        let (format, scale) = parse_scaled_format(words.next().ok_or(ParseError::Quantizer)?)?;
        if !format.is_quantized() {
            return match (words.next(), scale) {
                (None, Scale::One) => Ok(Self::plain(format, Round::NearestEven)),
                _ => Err(ParseError::Quantizer),
            };
        }
        let round = words.next().ok_or(ParseError::Quantizer)?.parse()?;
        let mut quantizer = Self { scale, ..Self::plain(format, round) };
        let mut rest = words.peekable();
        if let Some(word) = rest.next_if(|word| *word != "clipped") {
            quantizer.overflow = word.parse()?;
        }
        if rest.next_if_eq(&"clipped").is_some() {
            quantizer.surrogate = Surrogate::Clipped;
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
        quantizer.value(quantizer.payload(Real::from_f64(x).unwrap(), 0, word)).to_f64()
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
        ] {
            assert_eq!(line.parse::<Quantizer>().unwrap().to_string(), line);
        }
        assert_eq!(
            "unit<8> nearest-even clipped".parse::<Quantizer>().unwrap().to_string(),
            "unit<8> nearest-even saturate clipped"
        );
        for bad in
            ["", "fixed<2,14>", "unit<8>@x floor", "unit<8> floor saturate clipped clipped", "exact floor"]
        {
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
