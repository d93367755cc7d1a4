//! Ranges: which integers a tensor can hold, proven from the weights as they are.

use crate::form::Requantize;

/// All integers from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl Range {
    /// The integer 0 alone.
    pub const ZERO: Self = Self { min: 0, max: 0 };

    /// The least range that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The sum of one integer of each.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { min: self.min + other.min, max: self.max + other.max }
    }

    /// Its integers times `factor`.
    #[must_use]
    pub const fn times(self, factor: i64) -> Self {
        let (a, b) = (self.min * factor, self.max * factor);
        if factor < 0 { Self { min: b, max: a } } else { Self { min: a, max: b } }
    }

    /// The largest magnitude.
    #[must_use]
    pub const fn max_abs(self) -> u64 {
        let (min, max) = (self.min.unsigned_abs(), self.max.unsigned_abs());
        if min > max { min } else { max }
    }

    /// What a rounding makes of it: each rounding of the contract is monotone.
    #[must_use]
    pub fn rounded(self, requantize: &Requantize) -> Self {
        Self { min: requantize.apply(self.min), max: requantize.apply(self.max) }
    }
}
