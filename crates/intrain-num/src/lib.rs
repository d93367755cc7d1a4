//! What every bit means: formats, rounding, overflow, scale, random bits, quantizers, width proofs, small floats
//! and blocks that share a scale.
//!
//! This crate is the executable form of `docs/arithmetic.md`. It is scalar, exact and slow on purpose: every
//! fast path elsewhere must equal it. It knows nothing of tensors, layers or recipes.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

#[cfg(test)]
extern crate std;

pub mod accumulator;
pub mod block;
mod coded;
pub mod columns;
mod float_role;
pub mod format;
pub mod levels;
pub mod minifloat;
pub mod norm;
pub mod overflow;
pub mod qtorch;
pub mod quantizer;
pub mod random;
pub mod real;
pub mod round;
pub mod scale;
pub mod softmax;

pub use accumulator::Sum;
pub use coded::{Coded, CodedError};
pub use columns::{Columns, RandomSource};
pub use format::{Format, Grid, ParseError};
pub use levels::Levels;
pub use norm::Spread;
pub use overflow::Overflow;
pub use quantizer::{Quantizer, Surrogate};
pub use random::Lfsr;
pub use real::Real;
pub use round::Round;
pub use scale::Scale;
