//! Where a stored weight changes, elementwise over parameters: the gradient becomes a rounded update,
//! and the update is subtracted.
//!
//! `u = clamp(round(gradient * multiplier * 2^-shift), update_min, update_max)`, then
//! `master = clamp(clamp(master, -before, before) - u, master_min, master_max)`.
//! Invariant: equal to that text, through `Round::shift_right` and `overflow::clamp`, element by element.

use intrain_num::Round;
use intrain_num::random::Stream;

use crate::elementwise::{self, Integer};
use crate::isa::Isa;
use crate::requantize::rounding;

mod body;
mod reference;
#[cfg(test)]
mod tests;

/// Arguments of [`run`].
#[derive(Debug)]
pub struct Args<'a, G, M> {
    /// Gradients. Bound: `|gradient * multiplier| < 2^63`, proven by the caller.
    pub gradient: &'a [G],
    /// Stored weights' codes, as many as gradients.
    pub master: &'a mut [M],
    /// Mantissa of the learning rate, `|multiplier| < 2^16`.
    pub multiplier: i64,
    /// Fraction bits dropped from the product; negative multiplies exactly.
    pub shift: i32,
    /// Rounding of the update.
    pub round: Round,
    /// The random words; a stochastic rounding needs them, others don't look.
    pub stream: Option<Stream>,
    /// The place of `gradient[0]` in the stream. Bound: `first_element + gradient.len() <= 2^34`.
    pub first_element: u64,
    /// Smallest update, at least `-2^62`.
    pub update_min: i64,
    /// Largest update, at most `2^62`.
    pub update_max: i64,
    /// Limit of `|master|` before the subtraction (WAGE's `W_clip_op`), at least 0.
    pub before: Option<i64>,
    /// Smallest code, in `M`.
    pub master_min: i64,
    /// Largest code, in `M`.
    pub master_max: i64,
}

/// What a run met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Elements whose gradient was not 0, but whose update was.
    pub dead: u64,
    /// Elements that the clamp after the subtraction changed.
    pub clamped: u64,
}

/// Subtracts one update from all parameters.
///
/// # Panics
/// When this CPU lacks `isa`, lengths differ, the multiplier or a limit is out of range, a stochastic rounding has
/// no stream or not 1 to 32 bits.
#[must_use]
pub fn run<G: Integer, M: Integer>(isa: Isa, args: Args<'_, G, M>) -> Counts {
    const FAR: i64 = 1 << 62;
    let Args { update_min, update_max, master_min, master_max, .. } = args;
    assert_eq!(args.gradient.len(), args.master.len(), "update: gradient and master differ in length");
    assert!(
        args.multiplier.unsigned_abs() < 1 << 16,
        "update: |multiplier| = {} reaches 2^16",
        args.multiplier.unsigned_abs()
    );
    assert!(
        -FAR <= update_min && update_min <= update_max && update_max <= FAR,
        "update: limits {update_min}..={update_max} must rise and lie within 2^62"
    );
    assert!(
        M::MIN <= master_min && master_min <= master_max && master_max <= M::MAX,
        "update: stored limits {master_min}..={master_max} must rise and lie in {}..={}",
        M::MIN,
        M::MAX
    );
    assert!(args.before.is_none_or(|limit| limit >= 0), "update: limit before the subtraction is below 0");
    assert!(M::BITS <= 32, "update: stored weights have up to 32 bits, not {}", M::BITS);
    rounding::check(args.round, args.stream.is_some());
    elementwise::run(isa, args)
}
