//! How a magnitude between two codes is rounded, and what becomes of one beyond the largest.

use core::fmt;
use core::str::FromStr;

use super::error::FloatError;

/// A rounding. All but `up` and `down` act on the magnitude alone, so they are symmetric.
///
/// `v` is the magnitude's fraction of the step between the two codes around it, `R` the top `N` bits of the element's
/// random word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FloatRound {
    /// To the nearest; a tie goes to the even code.
    #[default]
    NearestEven,
    /// To the nearest; a tie goes away from zero.
    NearestAway,
    /// To the magnitude below.
    TowardZero,
    /// Towards plus infinity.
    Up,
    /// Towards minus infinity.
    Down,
    /// To the odd code of the two, unless the value is a code: a second rounding then errs no more than one would.
    ToOdd,
    /// Up if `floor(v 2^N) + R >= 2^N`: P3109's StochasticA. Low by half of `2^-N` of a step on average.
    StochasticA {
        /// `N`, 1 to 32.
        bits: u32,
    },
    /// Up if `floor(v 2^(N+1)) + 2R + 1 >= 2^(N+1)`: P3109's StochasticB.
    StochasticB {
        /// `N`, 1 to 32.
        bits: u32,
    },
    /// Up if `RNE(v 2^N) + R >= 2^N`, ties of the first rounding to even: P3109's StochasticC, without bias.
    StochasticC {
        /// `N`, 1 to 32.
        bits: u32,
    },
}

impl FloatRound {
    /// Whether a random word is looked at.
    #[must_use]
    pub const fn is_stochastic(self) -> bool {
        matches!(self, Self::StochasticA { .. } | Self::StochasticB { .. } | Self::StochasticC { .. })
    }

    /// Whether the magnitude `code + rest / 2^below` becomes `code + 1`.
    ///
    /// Bound: `rest < 2^below`, `below >= 1`; beyond 127 the caller hands a `rest` of 0 or 1 and says 127.
    pub(super) const fn is_up(self, code: u64, rest: u128, below: u32, negative: bool, word: u32) -> bool {
        let half: u128 = 1 << (below - 1);
        match self {
            Self::NearestEven => rest > half || rest == half && code & 1 == 1,
            Self::NearestAway => rest >= half,
            Self::TowardZero => false,
            Self::Up => rest > 0 && !negative,
            Self::Down => rest > 0 && negative,
            Self::ToOdd => rest > 0 && code & 1 == 0,
            Self::StochasticA { bits } => floor_bits(rest, below, bits) + top(word, bits) >= 1 << bits,
            Self::StochasticB { bits } => {
                floor_bits(rest, below, bits + 1) + 2 * top(word, bits) + 1 >= 1 << (bits + 1)
            }
            Self::StochasticC { bits } => {
                let mut fraction = floor_bits(rest, below, bits);
                if below > bits {
                    let (rest, half) = (rest & ((1 << (below - bits)) - 1), 1 << (below - bits - 1));
                    fraction += (rest > half || rest == half && fraction & 1 == 1) as u64;
                }
                fraction + top(word, bits) >= 1 << bits
            }
        }
    }
}

/// `floor(rest / 2^below * 2^bits)`.
#[allow(clippy::cast_possible_truncation, reason = "the quotient has at most 33 bits")]
const fn floor_bits(rest: u128, below: u32, bits: u32) -> u64 {
    if below >= bits { (rest >> (below - bits)) as u64 } else { (rest as u64) << (bits - below) }
}

/// The top bits of a random word.
const fn top(word: u32, bits: u32) -> u64 {
    (word >> (32 - bits)) as u64
}

/// What becomes of a rounded magnitude beyond the largest finite code, and of infinities. NaN stays NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FloatOverflow {
    /// The largest finite code, for infinities too. P3109's SatFinite; `satfinite` of accelerators.
    #[default]
    SatFinite,
    /// The largest finite code; infinities stay where the format has them. P3109's SatPropagate.
    SatPropagate,
    /// Infinity, else NaN, else the largest finite code: whichever the format has first. P3109's formats without
    /// infinity take the largest finite code. Roundings that point back to zero stay finite. P3109's SatNone.
    SatNone,
}

const STOCHASTIC: [&str; 3] = ["sr-a", "sr-b", "sr-c"];

impl fmt::Display for FloatRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearestEven => f.write_str("nearest-even"),
            Self::NearestAway => f.write_str("nearest-away"),
            Self::TowardZero => f.write_str("toward-zero"),
            Self::Up => f.write_str("up"),
            Self::Down => f.write_str("down"),
            Self::ToOdd => f.write_str("to-odd"),
            Self::StochasticA { bits } => write!(f, "sr-a<{bits}>"),
            Self::StochasticB { bits } => write!(f, "sr-b<{bits}>"),
            Self::StochasticC { bits } => write!(f, "sr-c<{bits}>"),
        }
    }
}

impl FromStr for FloatRound {
    type Err = FloatError;

    fn from_str(text: &str) -> Result<Self, FloatError> {
        Ok(match text {
            "nearest-even" => Self::NearestEven,
            "nearest-away" => Self::NearestAway,
            "toward-zero" => Self::TowardZero,
            "up" => Self::Up,
            "down" => Self::Down,
            "to-odd" => Self::ToOdd,
            _ => {
                let (name, bits) = text.split_once('<').ok_or(FloatError::Round)?;
                let bits = bits.strip_suffix('>').and_then(|bits| bits.parse().ok());
                let bits = bits.filter(|bits| (1..=32).contains(bits)).ok_or(FloatError::Round)?;
                match STOCHASTIC.iter().position(|known| *known == name) {
                    Some(0) => Self::StochasticA { bits },
                    Some(1) => Self::StochasticB { bits },
                    Some(_) => Self::StochasticC { bits },
                    None => return Err(FloatError::Round),
                }
            }
        })
    }
}

impl fmt::Display for FloatOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SatFinite => "sat-finite",
            Self::SatPropagate => "sat-propagate",
            Self::SatNone => "sat-none",
        })
    }
}

impl FromStr for FloatOverflow {
    type Err = FloatError;

    fn from_str(text: &str) -> Result<Self, FloatError> {
        match text {
            "sat-finite" => Ok(Self::SatFinite),
            "sat-propagate" => Ok(Self::SatPropagate),
            "sat-none" => Ok(Self::SatNone),
            _ => Err(FloatError::Overflow),
        }
    }
}
