//! The quantizer of an array as a text spells it: fixed point, a codebook, a small float or blocks, or one of QPyTorch's.

use std::fmt;

use intrain_num::block::{Coding, CodingError, NvRule, ScaleRule, block_names};
use intrain_num::minifloat::{FloatOverflow, FloatRound, NAMES};
use intrain_num::quantizer::Surrogate;
use intrain_num::{Format, Levels, Quantizer};

use crate::Qtorch;
use crate::fixed::{Fixed, FixedError, Part};

/// What a text spells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spec {
    /// Integers and a power of two.
    Fixed(Fixed),
    /// Zero and some rising levels.
    Levels(Levels),
    /// A small float, alone or in blocks.
    Coded {
        /// The format.
        coding: Coding,
        /// Rounding of its elements.
        round: FloatRound,
    },
    /// A function of QPyTorch.
    Qtorch {
        /// Which.
        format: Qtorch,
        /// Whether it rounds stochastically.
        is_stochastic: bool,
    },
}

/// A quantizer of an array with its backward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spelled {
    /// The quantizer.
    pub spec: Spec,
    /// The backward pass.
    pub surrogate: Surrogate,
}

impl Spec {
    /// The quantizer that `FORMAT [ROUND [OVERFLOW]] [SURROGATE]` spells, as a row of a recipe does, or the three words apart.
    /// Without them it rounds to nearest-even and saturates.
    ///
    /// # Errors
    /// A word that is none, with the nearest that is; one said twice; and what means nothing outside of a network.
    ///
    /// ```
    /// use intrain_formats::Spec;
    ///
    /// let row = Spec::parse("unit<8> stochastic<16> saturate clipped", None, None)?;
    /// assert_eq!(row.spec, Spec::parse("unit<8>", Some("stochastic<16>"), None)?.spec);
    /// # Ok::<(), intrain_formats::fixed::FixedError>(())
    /// ```
    pub fn parse(text: &str, round: Option<&str>, overflow: Option<&str>) -> Result<Spelled, FixedError> {
        let mut words = text.split_whitespace().peekable();
        let format = words.next().unwrap_or_default();
        if format.starts_with("levels<") {
            return levels(text, round.or(overflow));
        }
        let said = words.next_if(|word| surrogate(word).is_none());
        let round = one_of(Part::Round, text, said, round)?;
        let said = words.next_if(|word| surrogate(word).is_none());
        let overflow = one_of(Part::Overflow, text, said, overflow)?;
        let surrogate = words.next().and_then(surrogate).unwrap_or_default();
        if let Some(word) = words.next() {
            return Err(meaning(
                Part::Format,
                format!("'{text}' has one word too many, '{word}'; leave it out"),
            ));
        }
        let spec = Self::of_words(format, round.unwrap_or("nearest-even"), overflow.unwrap_or("saturate"))?;
        Ok(Spelled { spec, surrogate })
    }

    fn of_words(format: &str, round: &str, overflow: &str) -> Result<Self, FixedError> {
        if format.starts_with("qtorch") {
            return qtorch(format, round);
        }
        let coding = match format.parse::<Coding>() {
            // float32 belongs to recipes and quantizes nothing.
            Ok(_) if format == "float32" => None,
            Ok(coding) => Some(coding),
            Err(CodingError::Name) => None,
            Err(error) => {
                let nearest = did_you_mean(nearest_rule(format, error));
                return Err(meaning(Part::Format, format!("'{format}' has {error}{nearest}")));
            }
        };
        let Some(coding) = coding else {
            return Fixed::new(format, round, overflow).map(Self::Fixed).map_err(|error| match &error {
                FixedError::Spelling { part: Part::Format, .. } => {
                    meaning(Part::Format, format!("{error}{}", did_you_mean(nearest_name(format))))
                }
                _ => error,
            });
        };
        let round = round.parse().map_err(|error| meaning(Part::Round, format!("'{round}' is {error}")))?;
        Ok(Self::Coded { coding: with_overflow(coding, overflow)?, round })
    }

    /// Whether it needs random words.
    #[must_use]
    pub const fn is_stochastic(&self) -> bool {
        match self {
            Self::Fixed(fixed) => fixed.quantizer().round.is_stochastic(),
            Self::Levels(_) => false,
            Self::Coded { round, .. } => round.is_stochastic(),
            Self::Qtorch { is_stochastic, .. } => *is_stochastic,
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(fixed) => fixed.quantizer().fmt(f),
            Self::Levels(levels) => Format::Levels(*levels).fmt(f),
            Self::Coded { coding, round } => {
                write!(f, "{coding} {round}")?;
                match coding {
                    Coding::Plain { overflow, .. } if *overflow != FloatOverflow::SatFinite => {
                        write!(f, " {overflow}")
                    }
                    _ => Ok(()),
                }
            }
            Self::Qtorch { format, is_stochastic } => {
                write!(f, "{format} {}", if *is_stochastic { "stochastic" } else { "nearest" })
            }
        }
    }
}

/// `coding` with the overflow of a name, which only a float alone has.
///
/// # Errors
/// No overflow of floats, or blocks, whose elements are held at the largest value.
pub fn with_overflow(coding: Coding, text: &str) -> Result<Coding, FixedError> {
    if text == "saturate" {
        return Ok(coding);
    }
    let overflow: FloatOverflow =
        text.parse().map_err(|error| meaning(Part::Overflow, format!("'{text}' is {error}")))?;
    match coding {
        Coding::Plain { format, .. } => Ok(Coding::Plain { format, overflow }),
        _ if overflow == FloatOverflow::SatFinite => Ok(coding),
        _ => Err(meaning(
            Part::Overflow,
            format!("{text}: elements of {coding} are held at the largest value; leave it out"),
        )),
    }
}

/// The name of a float or a block that is a slip away from `text`.
#[must_use]
pub fn nearest_name(text: &str) -> Option<&'static str> {
    let known = NAMES.iter().map(|(name, ..)| *name).chain(block_names());
    let distance = |known: &&str| strsim::damerau_levenshtein(known, text);
    // Another format of integers is not meant.
    known.min_by_key(distance).filter(|known| distance(known) <= 2)
}

/// The rule of a scale nearest to the one that `text` says behind `@`, if that was wrong.
#[must_use]
pub fn nearest_rule(text: &str, error: CodingError) -> Option<&'static str> {
    let rule = rule_of(text).filter(|_| error == CodingError::Rule)?;
    let scaled = ScaleRule::ALL.map(|(name, _)| name);
    let nv = NvRule::ALL.map(|(name, _)| name);
    let known: &[&'static str] = if text.starts_with("nvfp4") { &nv } else { &scaled };
    known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, rule)).copied()
}

/// What stands behind `@`.
#[must_use]
pub fn rule_of(text: &str) -> Option<&str> {
    text.split_once('@').map(|(_, rule)| rule.split(['/', ':']).next().unwrap_or_default())
}

/// Behind a message.
#[must_use]
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean '{nearest}'?")).unwrap_or_default()
}

fn meaning(part: Part, problem: String) -> FixedError {
    FixedError::Meaning { part, problem }
}

fn surrogate(word: &str) -> Option<Surrogate> {
    match word {
        "clipped" => Some(Surrogate::Clipped),
        "log-tailed" => Some(Surrogate::LogTailed),
        _ => None,
    }
}

/// What was said in the text or beside it.
fn one_of<'a>(
    part: Part,
    text: &str,
    inside: Option<&'a str>,
    beside: Option<&'a str>,
) -> Result<Option<&'a str>, FixedError> {
    match (inside, beside) {
        (Some(_), Some(beside)) => {
            let problem = format!("{beside}: '{text}' says its {part} already; leave one of them out");
            Err(meaning(part, problem))
        }
        (inside, beside) => Ok(inside.or(beside)),
    }
}

fn levels(text: &str, beside: Option<&str>) -> Result<Spelled, FixedError> {
    if let Some(word) = beside {
        let problem = format!("{word}: {text} has neither a rounding nor an overflow; leave it out");
        return Err(meaning(Part::Round, problem));
    }
    let quantizer: Quantizer = text.parse().map_err(|error| {
        let text = text.to_owned();
        FixedError::Spelling { part: Part::Format, text, error }
    })?;
    match quantizer.format {
        Format::Levels(levels) => Ok(Spelled { spec: Spec::Levels(levels), surrogate: quantizer.surrogate }),
        _ => Err(meaning(Part::Format, format!("'{text}' is no codebook"))),
    }
}

fn qtorch(format: &str, round: &str) -> Result<Spec, FixedError> {
    let of_qtorch =
        format.parse().map_err(|error| meaning(Part::Format, format!("'{format}' is {error}")))?;
    let is_stochastic = match round {
        "nearest-even" | "nearest" => false,
        "stochastic" => true,
        other => {
            let problem = format!("{other}: QPyTorch has nearest and stochastic; write one of them");
            return Err(meaning(Part::Round, problem));
        }
    };
    Ok(Spec::Qtorch { format: of_qtorch, is_stochastic })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, round: Option<&str>, overflow: Option<&str>) -> String {
        Spec::parse(text, round, overflow).unwrap_err().to_string()
    }

    #[test]
    fn words_together_are_words_apart() {
        for (text, (format, round, overflow), display) in [
            (
                "unit<8> nearest-even saturate clipped",
                ("unit<8>", None, None),
                "unit<8> nearest-even saturate",
            ),
            (
                "Q4.12 stochastic<16> wrap",
                ("Q4.12", Some("stochastic<16>"), Some("wrap")),
                "fixed<4,12> stochastic<16> wrap",
            ),
            ("nvfp4@te sr-a<8>", ("nvfp4@te", Some("sr-a<8>"), None), "nvfp4@te sr-a<8>"),
            ("e5m2 up sat-none", ("e5m2", Some("up"), Some("sat-none")), "e5m2 up sat-none"),
            ("qtorch<5,2> stochastic", ("qtorch<5,2>", Some("stochastic"), None), "qtorch<5,2> stochastic"),
            ("levels<0.5,1> log-tailed", ("levels<0.5,1>", None, None), "levels<0.5,1>"),
        ] {
            let together = Spec::parse(text, None, None).unwrap().spec;
            assert_eq!(together, Spec::parse(format, round, overflow).unwrap().spec, "{text}");
            assert_eq!(together.to_string(), display);
            assert_eq!(Spec::parse(display, None, None).unwrap().spec, together, "{display}");
        }
        assert_eq!(Spec::parse("unit<8> clipped", None, None).unwrap().surrogate, Surrogate::Clipped);
        assert_eq!(Spec::parse("levels<1> log-tailed", None, None).unwrap().surrogate, Surrogate::LogTailed);
    }

    #[test]
    fn mistakes_have_remedies() {
        for (text, round, part) in [
            ("mxfp5", None, "did you mean 'mxfp8'?"),
            ("mxfp4@flor", None, "did you mean 'floor'?"),
            ("unit<8> up", Some("up"), "up: 'unit<8> up' says its rounding already"),
            ("unit<8> nearest-even saturate clipped twice", None, "one word too many, 'twice'"),
            ("float32", None, "quantizes nothing"),
            ("levels<1>", Some("up"), "neither a rounding nor an overflow"),
            ("qtorch<5,2>", Some("up"), "nearest and stochastic"),
            ("unit<8>", Some("nearst"), "'nearst' is"),
            ("", None, "'' is"),
        ] {
            let message = message(text, round, None);
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(message("mxfp4", None, Some("wrap")).contains("'wrap' is"));
    }
}
