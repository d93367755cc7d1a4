//! Everything that decides the bytes of a quantized array.

use std::fmt;

use intrain_num::block::Coding;
use intrain_num::minifloat::FloatRound;

/// Format, rounding and axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The format, its scales and what shares one.
    pub coding: Coding,
    /// Rounding of the elements.
    pub round: FloatRound,
    /// The axis along which blocks run; negative ones count from the end.
    pub axis: i64,
    /// Seed of a stochastic rounding.
    pub seed: u64,
}

impl Way {
    /// Nearest-even, along the last axis.
    #[must_use]
    pub const fn new(coding: Coding) -> Self {
        Self { coding, round: FloatRound::NearestEven, axis: -1, seed: 1 }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.coding, self.round)?;
        if self.coding.extent().is_some() { write!(f, " axis {}", self.axis) } else { Ok(()) }
    }
}
