//! Texts that name nothing of floats.

use core::fmt;

/// A text that names no format, rounding or overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatError {
    /// No format.
    Format,
    /// No rounding.
    Round,
    /// No overflow.
    Overflow,
}

impl fmt::Display for FloatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => {
                "no float format; write a name of `intrain formats`, Binary8p4se and the like, or float<E,M> with \
                 ieee, fn, finite or fnuz behind it, and a bias as in float<4,3,bias=11>fnuz"
            }
            Self::Round => {
                "no rounding of floats; write nearest-even, nearest-away, toward-zero, up, down, to-odd, sr-a<N>, \
                 sr-b<N> or sr-c<N> with N of 1 to 32 random bits"
            }
            Self::Overflow => "no overflow of floats; write sat-finite, sat-propagate or sat-none",
        })
    }
}

impl core::error::Error for FloatError {}
