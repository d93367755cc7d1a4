//! What can be wrong about a quantizer's spelling, and about a number.

use std::fmt;

use intrain_num::ParseError;

/// A part of a quantizer's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `Q4.12`, `unit<8>@shift`.
    Format,
    /// `nearest-even`, `stochastic<16>`.
    Round,
    /// `saturate`, `wrap`, `clip<N>`.
    Overflow,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "format",
            Self::Round => "rounding",
            Self::Overflow => "overflow",
        })
    }
}

/// A spelling that is no quantizer of an array. The message has the value and the remedy; who asked knows which part it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FixedError {
    /// A word that is none.
    #[error("'{text}' is {error}")]
    Spelling {
        /// Where.
        part: Part,
        /// What was written.
        text: String,
        /// What it should be.
        error: ParseError,
    },
    /// A quantizer that means nothing without a network.
    #[error("{problem}")]
    Meaning {
        /// Where.
        part: Part,
        /// The word, why not, and what to write.
        problem: String,
    },
}

impl FixedError {
    /// The part that is wrong.
    #[must_use]
    pub const fn part(&self) -> Part {
        match self {
            Self::Spelling { part, .. } | Self::Meaning { part, .. } => *part,
        }
    }
}

/// The first number that has no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// At this place.
    #[error("element {0} is NaN, which no format holds; replace it, as with numpy.nan_to_num")]
    Nan(usize),
    /// At this place.
    #[error("element {0} is infinite, and @shift divides by the largest; replace it")]
    Infinite(usize),
}
