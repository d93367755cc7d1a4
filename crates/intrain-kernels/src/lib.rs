//! The same meanings as `intrain-num`, fast: products, packing, staging and random bits over whole tensors.
//!
//! The only crate with `unsafe` code. Each operation is a folder: `reference.rs` is the meaning in the plainest
//! loops, one file per instruction set does it fast, and one table (`KERNELS`) feeds dispatch, tests and benches.
//! Invariant: every kernel gives the bits of its reference; nothing here knows layers, recipes or threads.
#![allow(unsafe_code, reason = "the one crate that may; every block says why it is sound")]
#![deny(clippy::float_arithmetic)]

pub mod activation;
pub mod blocks;
pub mod column_sums;
pub mod depthwise;
pub mod dot_f32;
pub mod dot_i16;
pub mod dot_i8;
pub mod dot_signs;
mod elementwise;
pub mod fixed_norm;
mod isa;
pub mod max_abs;
pub mod max_pool;
pub mod norm;
pub mod pack;
pub mod peak;
pub mod philox;
pub mod product;
pub mod quantize;
pub mod requantize;
pub mod stage;
mod transpose;
pub mod update;

pub use elementwise::Integer;
pub use isa::{Isa, Kernel};
