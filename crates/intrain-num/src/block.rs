//! Blocks of numbers that share a scale: MX with its scale rules, NVFP4, block floating point, and the wide sum that
//! makes products of blocks exact. Section 13 of `docs/arithmetic.md`.
//!
//! Which elements of a tensor form a block is the caller's business; here a block is a slice.

mod element;
mod exact;
mod hadamard;
mod nvfp4;
mod scale;
mod spec;
#[cfg(test)]
mod tests;

pub use element::Element;
pub use exact::ExactSum;
pub use hadamard::{HADAMARD, hadamard};
pub use nvfp4::{ErrorOf, NVFP4_BLOCK, NvBlock, NvRule, NvTensor};
pub use scale::{Edges, MX_BLOCK, Mx, NAN_SCALE, ScaleRule, scale_value};
pub use spec::{Coding, CodingError, Extent, block_names};
