//! Wide sums to narrow codes: shift, round, clamp; forward with ReLU and its trace, backward through that trace.
//!
//! `out[i] = clamp(round(x * 2^-shift), min, max)` with `x = sums[i]`, held at 0 from below behind a ReLU. It is
//! the epilogue of every product. Invariant: equal to `Round::shift_right` and `overflow::clamp`, element by element.

use intrain_num::Round;
use intrain_num::random::RandomBits;

use crate::elementwise::{self, Integer};
use crate::isa::Isa;

mod body;
mod reference;
pub(crate) mod rounding;
#[cfg(test)]
pub(crate) mod tests;

/// Bit of a trace that says that the ReLU let the value through: `x > 0`, or there is no ReLU.
pub const TRACE_RELU: u8 = 0x80;
/// Bit of a trace that says that the value lay inside the format before rounding: `min <= x * 2^-shift <= max`.
pub const TRACE_INSIDE: u8 = 0x40;
/// Bits of a trace that belong to pooling: which element of the window was the maximum.
pub const TRACE_INDEX: u8 = 0x3f;

/// Whether a ReLU lies between the sums and the rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relu {
    /// `x = max(sum, 0)`.
    Yes,
    /// `x = sum`.
    No,
}

/// What a trace does.
#[derive(Debug)]
pub enum Trace<'a> {
    /// There is none, and no ReLU.
    None,
    /// Forward, at an activation: its two top bits are written, its six low bits kept. As many as sums.
    Write {
        /// One byte per element.
        trace: &'a mut [u8],
        /// Applied before rounding.
        relu: Relu,
    },
    /// Backward, at that activation: `out[i]` is 0 where the trace lacks a bit of `mask`. As many as sums.
    Gate {
        /// One byte per element.
        trace: &'a [u8],
        /// [`TRACE_RELU`], and [`TRACE_INSIDE`] where the surrogate is clipped.
        mask: u8,
    },
}

/// Arguments of [`run`].
#[derive(Debug)]
pub struct Args<'a, S, T> {
    /// What is rounded. Bound: not `i64::MIN`.
    pub sums: &'a [S],
    /// Codes, as many as sums.
    pub out: &'a mut [T],
    /// Fraction bits dropped; negative multiplies exactly.
    pub shift: i32,
    /// How.
    pub round: Round,
    /// Smallest code, in `T` and at most 0.
    pub min: i64,
    /// Largest code, in `T` and at least 0.
    pub max: i64,
    /// The random words; a stochastic rounding needs them, others don't look.
    pub words: Option<RandomBits<'a>>,
    /// The element that `sums[0]` is. Bound: `first_element + sums.len() <= 2^34`.
    pub first_element: u64,
    /// ReLU and mask.
    pub trace: Trace<'a>,
}

/// Rounds sums into codes.
///
/// # Panics
/// When this CPU lacks `isa`, lengths differ, a limit is outside of `T` or on the wrong side of 0, a stochastic
/// rounding has no words or not 1 to 32 bits.
pub fn run<S: Integer, T: Integer>(isa: Isa, args: Args<'_, S, T>) {
    let Args { sums, out, min, max, .. } = &args;
    assert_eq!(sums.len(), out.len(), "requantize: sums and out differ in length");
    assert!(
        T::MIN <= *min && *min <= 0 && 0 <= *max && *max <= T::MAX,
        "requantize: limits {min}..={max} must hold 0 and lie in {}..={}",
        T::MIN,
        T::MAX
    );
    let traced = match &args.trace {
        Trace::None => sums.len(),
        Trace::Write { trace, .. } => trace.len(),
        Trace::Gate { trace, .. } => trace.len(),
    };
    assert_eq!(sums.len(), traced, "requantize: sums and trace differ in length");
    rounding::check(args.round, args.words.is_some());
    elementwise::run(isa, args);
}
