//! A of every product: images laid out so that each group of lanes is a run of neighbours in memory.
//!
//! Runs before a product, image by image, without rearranging into a matrix: `rows` adds zeros around (and between)
//! pixels for the forward and the error product, `planes` turns channels last into channels first for the gradient.
//! `tables` says where a convolution's rows, steps and lanes then lie. Portable code, no instruction sets.

mod planes;
mod rows;
mod tables;
#[cfg(test)]
mod tests;

pub use planes::{PlanesLayout, stage_planes};
pub use rows::{RowsLayout, stage_rows};
pub use tables::{Conv, Tables};

/// Elements that a buffer must hold behind its images, so that the last lanes of a step never leave it.
pub const SLACK: usize = 4;

/// A payload as tensors store it, and as the product of its width reads it.
pub trait Payload: Copy {
    /// An element of A.
    type Staged: Copy + Eq + std::fmt::Debug;
    /// Zero, staged.
    const ZERO: Self::Staged;
    /// Elements in a step of the product.
    const LANES: usize;
    /// The element of A for this payload.
    fn stage(self) -> Self::Staged;
}

impl Payload for i8 {
    type Staged = u8;
    const ZERO: u8 = 0x80;
    const LANES: usize = 4;

    /// Exact: `payload + 128`, which is the sign bit turned.
    fn stage(self) -> u8 {
        self.cast_unsigned() ^ Self::ZERO
    }
}

impl Payload for i16 {
    type Staged = Self;
    const ZERO: Self = 0;
    const LANES: usize = 2;

    fn stage(self) -> Self {
        self
    }
}

/// Stages a run of contiguous payloads.
fn stage_run<P: Payload>(from: &[P], to: &mut [P::Staged]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.stage());
}
