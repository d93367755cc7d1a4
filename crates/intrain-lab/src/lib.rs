//! The theory of training with quantized weights, small enough to look at: Li et al. 2017, arXiv 1706.02379.
//!
//! [`toy`] walks on one curve with SR and with BinaryConnect, [`chain`] computes where SR's walk ends and how fast it
//! mixes, [`convex`] puts the bounds beside what is measured. Nothing here knows networks; every result is a table, and
//! [`picture`] draws it. Invariant: the same numbers on every machine.
#![forbid(unsafe_code)]

pub mod chain;
pub mod convex;
mod normal;
pub mod picture;
pub mod toy;
