//! The terms of an update with momentum and weight decay, as integers on one grid: what is rounded once behind them.
//!
//! Section 8.3 of `docs/arithmetic.md`. Invariant: the sum is exact; the check before a run has proven that it fits.

use intrain_nn::BlockPlan;

use super::{Hyper, Part, rounding_row};
use crate::rate::Rate;

/// The exact sum in front of the one rounding: rate * G, decay * W, momentum * v, aligned.
pub(super) struct Terms {
    /// Mantissa of each term's rate, and the places by which its product is moved.
    factors: [(i64, i32); 3],
    /// Binary digits behind the point of the sum.
    pub(super) frac_bits: i32,
}

impl Terms {
    pub(super) fn new(block: &BlockPlan, hyper: Hyper, rate: f64, rate_of_sum: f64, part: &Part) -> Self {
        let rates = [rate_of_sum, rate * hyper.weight_decay, hyper.momentum].map(Rate::new);
        let payload_frac_bits = [
            part.gradient_frac_bits,
            block.weight.master.format.frac_bits(),
            rounding_row(block, hyper).format.frac_bits(),
        ];
        let digits: [i32; 3] = std::array::from_fn(|i| payload_frac_bits[i] - rates[i].exponent);
        let frac_bits = digits.into_iter().max().unwrap_or(0);
        let factor = |i: usize| match rates[i].mantissa {
            0 => (0, 0),
            mantissa => (mantissa, frac_bits - digits[i]),
        };
        Self { factors: std::array::from_fn(factor), frac_bits }
    }

    /// Bits of the longest term: of gradients of `gradient_bits`, of weights and momentum of `block`.
    pub(super) fn bits(&self, gradient_bits: u32, block: &BlockPlan) -> u32 {
        let payload_bits = [gradient_bits, block.weight.master.format.bits(), block.momentum.format.bits()];
        let bits = |((mantissa, places), payload): (&(i64, i32), u32)| {
            bits_of(*mantissa) + payload + places.unsigned_abs()
        };
        self.factors.iter().zip(payload_bits).map(bits).max().unwrap_or(0)
    }

    /// Bound: [`super::check`] has proven that each term fits.
    pub(super) fn sum(&self, payloads: [i64; 3]) -> i128 {
        let term = |((mantissa, places), payload): (&(i64, i32), i64)| {
            (i128::from(*mantissa) * i128::from(payload)) << places
        };
        self.factors.iter().zip(payloads).map(term).sum()
    }
}

/// Bits of a magnitude.
pub(super) const fn bits_of(x: i64) -> u32 {
    64 - x.unsigned_abs().leading_zeros()
}
