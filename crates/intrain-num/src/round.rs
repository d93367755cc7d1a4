//! Rounding as a value with a tie rule, on exact integers: `x / 2^shift` to an integer.
//!
//! Section 2 of `docs/arithmetic.md`. Every quantizer ends here.

use core::fmt;
use core::str::FromStr;

use crate::format::ParseError;

/// How a value between two grid points becomes one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Round {
    /// To the nearest; ties to the even code. WAGE's code (`tf.round`).
    NearestEven,
    /// To the nearest; ties down, towards minus infinity. Gupta 2015, section 3.1.
    NearestDown,
    /// To the nearest; ties away from zero. Li 2017.
    NearestAway,
    /// Down, towards minus infinity.
    Floor,
    /// Towards zero.
    TowardZero,
    /// `floor(x + r)`, with `r` of `bits` random bits below one step. Gupta 2015, section 3.1.
    Stochastic {
        /// Random bits compared, 1 to 32.
        bits: u32,
    },
    /// `sign(x) * (floor|x| + [frac|x| > r])`: WAGE's form on magnitudes (arXiv 1802.04680 eq. 10).
    StochasticMagnitude {
        /// Random bits compared, 1 to 32.
        bits: u32,
    },
}

/// Bits of a stochastic rounding that names none.
pub const DEFAULT_RANDOM_BITS: u32 = 32;

impl Round {
    /// Whether a random word is used at all.
    #[must_use]
    pub const fn is_stochastic(self) -> bool {
        matches!(self, Self::Stochastic { .. } | Self::StochasticMagnitude { .. })
    }

    /// The rounding that stands in for this one outside training: the same datapath with its random number replaced
    /// by a constant, so nearest-down for stochastic and nearest-even for WAGE's form on magnitudes.
    #[must_use]
    pub const fn in_evaluation(self) -> Self {
        match self {
            Self::Stochastic { .. } => Self::NearestDown,
            Self::StochasticMagnitude { .. } => Self::NearestEven,
            other => other,
        }
    }

    /// `numerator / denominator` as an integer, rounded as outside training: for values known when a network is built.
    ///
    /// Bound: `denominator > 0`, and both are below `2^60`.
    #[must_use]
    pub const fn ratio(self, numerator: i64, denominator: i64) -> i64 {
        self.ratio_wide(numerator as i128, denominator as i128)
    }

    /// [`Round::ratio`] of integers that may need more than 64 bits; held at `+-i64::MAX`.
    ///
    /// Bound: `denominator > 0`, and both are below `2^125`.
    #[must_use]
    pub const fn ratio_wide(self, numerator: i128, denominator: i128) -> i64 {
        let floor = numerator.div_euclid(denominator);
        let twice = 2 * numerator.rem_euclid(denominator);
        let (above_half, at_half) = (twice > denominator, twice == denominator);
        let up = match self.in_evaluation() {
            Self::NearestEven => above_half || (at_half && floor % 2 != 0),
            Self::NearestAway => above_half || (at_half && numerator > 0),
            Self::Floor => false,
            Self::TowardZero => numerator < 0 && twice != 0,
            Self::NearestDown | Self::Stochastic { .. } | Self::StochasticMagnitude { .. } => above_half,
        };
        held(floor + up as i128)
    }

    /// `x * 2^-shift` as an integer, rounded; `shift < 0` multiplies exactly. Held at `+-i64::MAX`.
    ///
    /// `word` is the element's 32-bit random word; only stochastic roundings look at it, at its top bits.
    #[must_use]
    pub const fn shift_right(self, x: i64, shift: i32, word: u32) -> i64 {
        self.shift_right_wide(x as i128, shift, word)
    }

    /// [`Round::shift_right`] of a sum that may need more than 64 bits.
    ///
    /// Bound: `|x| < 2^126`.
    #[must_use]
    pub const fn shift_right_wide(self, x: i128, shift: i32, word: u32) -> i64 {
        if shift <= 0 {
            return shift_left_held(x, shift.unsigned_abs());
        }
        // Exact: beyond 127 dropped bits only the sign of x and the top bits of its fraction matter, and both stay.
        let (x, shift) = match shift.unsigned_abs() {
            far @ 128.. => (x >> (if far > 254 { 127 } else { far - 127 }), 127),
            near => (x, near),
        };
        let floor = x >> shift;
        let rest = (x - (floor << shift)).cast_unsigned();
        let half = 1u128 << (shift - 1);
        let up = match self {
            Self::NearestEven => rest > half || (rest == half && floor & 1 == 1),
            Self::NearestDown => rest > half,
            Self::NearestAway => rest > half || (rest == half && x > 0),
            Self::Floor => false,
            Self::TowardZero => x < 0 && rest != 0,
            Self::Stochastic { bits } => {
                let bits = if bits < shift { bits } else { shift };
                (rest >> (shift - bits)) + (word >> (32 - bits)) as u128 >= 1 << bits
            }
            Self::StochasticMagnitude { bits } => {
                let bits = if bits < shift { bits } else { shift };
                let magnitude = x.unsigned_abs();
                let fraction = (magnitude >> (shift - bits)) & ((1 << bits) - 1);
                let rounded = (magnitude >> shift) + (fraction > (word >> (32 - bits)) as u128) as u128;
                return held(if x < 0 { -rounded.cast_signed() } else { rounded.cast_signed() });
            }
        };
        held(floor + up as i128)
    }
}

/// `x` in 64 bits, held at `+-i64::MAX`.
const fn held(x: i128) -> i64 {
    const MAX: i128 = i64::MAX as i128;
    #[allow(clippy::cast_possible_truncation, reason = "the value has just been held inside 64 bits")]
    if x > MAX {
        i64::MAX
    } else if x < -MAX {
        -i64::MAX
    } else {
        x as i64
    }
}

/// `x * 2^shift`, held at `+-i64::MAX`.
const fn shift_left_held(x: i128, shift: u32) -> i64 {
    if x == 0 {
        return 0;
    }
    if shift < 64 && x.unsigned_abs().leading_zeros() > 64 {
        return held(x << shift);
    }
    held(if shift == 0 || x.unsigned_abs().leading_zeros() <= 64 { x } else { x.signum() << 64 })
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearestEven => f.write_str("nearest-even"),
            Self::NearestDown => f.write_str("nearest-down"),
            Self::NearestAway => f.write_str("nearest-away"),
            Self::Floor => f.write_str("floor"),
            Self::TowardZero => f.write_str("toward-zero"),
            Self::Stochastic { bits } => write!(f, "stochastic<{bits}>"),
            Self::StochasticMagnitude { bits } => write!(f, "stochastic-magnitude<{bits}>"),
        }
    }
}

impl FromStr for Round {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (name, bits) = match text.split_once('<') {
            None => (text, None),
            Some((name, rest)) => {
                let bits: u32 =
                    rest.strip_suffix('>').and_then(|t| t.trim().parse().ok()).ok_or(ParseError::Round)?;
                (name, Some(bits))
            }
        };
        let random = bits.unwrap_or(DEFAULT_RANDOM_BITS);
        let plain = match name.trim() {
            "stochastic" | "stochastic-magnitude" if !(1..=32).contains(&random) => {
                return Err(ParseError::RandomBits { bits: random });
            }
            "stochastic" => return Ok(Self::Stochastic { bits: random }),
            "stochastic-magnitude" => return Ok(Self::StochasticMagnitude { bits: random }),
            "nearest-even" => Self::NearestEven,
            "nearest-down" => Self::NearestDown,
            "nearest-away" => Self::NearestAway,
            "floor" => Self::Floor,
            "toward-zero" => Self::TowardZero,
            _ => return Err(ParseError::Round),
        };
        if bits.is_some() { Err(ParseError::Round) } else { Ok(plain) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const ALL: [Round; 7] = [
        Round::NearestEven,
        Round::NearestDown,
        Round::NearestAway,
        Round::Floor,
        Round::TowardZero,
        Round::Stochastic { bits: 8 },
        Round::StochasticMagnitude { bits: 8 },
    ];

    /// The definitions of `docs/arithmetic.md` section 2 in exact rational arithmetic (numerator over 2^shift).
    fn by_definition(round: Round, x: i128, shift: u32, word: u32) -> i128 {
        let step = 1i128 << shift;
        let floor = x.div_euclid(step);
        let rest = x.rem_euclid(step);
        match round {
            Round::NearestEven => match (2 * rest).cmp(&step) {
                core::cmp::Ordering::Less => floor,
                core::cmp::Ordering::Greater => floor + 1,
                core::cmp::Ordering::Equal => floor + floor.rem_euclid(2),
            },
            Round::NearestDown => floor + i128::from(2 * rest > step),
            Round::NearestAway => floor + i128::from(2 * rest > step || (2 * rest == step && x > 0)),
            Round::Floor => floor,
            Round::TowardZero => x / step,
            Round::Stochastic { bits } => {
                let bits = bits.min(shift);
                let frac = rest >> (shift - bits);
                floor + i128::from(frac + i128::from(word >> (32 - bits)) >= 1 << bits)
            }
            Round::StochasticMagnitude { bits } => {
                let bits = bits.min(shift);
                let frac = x.abs().rem_euclid(step) >> (shift - bits);
                x.signum() * (x.abs() / step + i128::from(frac > i128::from(word >> (32 - bits))))
            }
        }
    }

    #[test]
    fn every_rounding_equals_its_definition_on_all_16_bit_inputs() {
        for round in ALL {
            for shift in [1, 2, 3, 7, 8, 9, 14] {
                for word in [0, 1 << 24, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
                    for x in i16::MIN..=i16::MAX {
                        let got = round.shift_right(x.into(), shift, word);
                        let want = by_definition(round, x.into(), shift.unsigned_abs(), word);
                        assert_eq!(i128::from(got), want, "{round} of {x} / 2^{shift}, word {word:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn extreme_values_and_shifts_equal_their_definition() {
        let xs = [1, 2, 3, (1 << 40) - 1, 1 << 40, (1 << 62) + 1, i64::MAX - 1, i64::MAX];
        for round in ALL {
            for shift in [1, 31, 32, 33, 61, 62, 63, 64, 65, 70, 90] {
                for word in [0, 1, u32::MAX / 2, u32::MAX] {
                    for x in xs.into_iter().flat_map(|x| [x, -x]) {
                        let got = round.shift_right(x, shift, word);
                        let want = by_definition(round, x.into(), shift.unsigned_abs(), word);
                        assert_eq!(i128::from(got), want, "{round} of {x} / 2^{shift}, word {word:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn stochastic_is_unbiased_over_all_words() {
        for x in -1024i64..=1024 {
            let up: i64 = (0..256u32).map(|r| Round::Stochastic { bits: 8 }.shift_right(x, 8, r << 24)).sum();
            assert_eq!(up, x, "the sum over 256 equally likely draws is 256 * x / 2^8");
            let up: i64 =
                (0..256u32).map(|r| Round::StochasticMagnitude { bits: 8 }.shift_right(x, 8, r << 24)).sum();
            assert_eq!(up, x);
        }
    }

    #[test]
    fn ratios_by_powers_of_two_are_shifts() {
        for round in ALL {
            for x in -1000i64..=1000 {
                assert_eq!(
                    round.ratio(x, 64),
                    round.in_evaluation().shift_right(x, 6, 0),
                    "{round} of {x}/64"
                );
            }
        }
        assert_eq!(Round::NearestEven.ratio(128 * -255, 255), -128);
        assert_eq!(Round::NearestEven.ratio(128, 255), 1);
    }

    #[test]
    fn left_shift_is_exact_or_held_at_the_end() {
        assert_eq!(Round::Floor.shift_right(-3, -4, 0), -48);
        assert_eq!(Round::Floor.shift_right(1, -62, 0), 1 << 62);
        assert_eq!(Round::Floor.shift_right(1, -63, 0), i64::MAX);
        assert_eq!(Round::Floor.shift_right(-5, -70, 0), -i64::MAX);
        assert_eq!(Round::Floor.shift_right(0, -70, 0), 0);
    }

    #[test]
    fn names_round_trip() {
        for round in ALL {
            assert_eq!(round.to_string().parse::<Round>(), Ok(round));
        }
        assert_eq!("stochastic".parse(), Ok(Round::Stochastic { bits: 32 }));
        assert_eq!("stochastic<1>".parse(), Ok(Round::Stochastic { bits: 1 }));
        for bits in [0, 33] {
            assert_eq!(
                std::format!("stochastic<{bits}>").parse::<Round>(),
                Err(ParseError::RandomBits { bits })
            );
        }
        assert_eq!("floor<8>".parse::<Round>(), Err(ParseError::Round));
        assert_eq!("nearest".parse::<Round>(), Err(ParseError::Round));
    }
}
