//! A of every product: images laid out so that each group of lanes is a run of neighbours in memory.
//!
//! Runs before a product, image by image, without rearranging into a matrix: `rows` adds zeros around (and between)
//! pixels for the forward and the error product, `planes` turns channels last into channels first for the gradient.
//! `tables` says where a convolution's rows, steps and lanes then lie.

mod planes;
mod rows;
mod tables;
#[cfg(test)]
mod tests;

pub use planes::{PlanesLayout, stage_planes};
pub use rows::{RowsLayout, stage_rows};
pub use tables::{Band, ChannelTables, Conv, Tables};

/// Elements that a buffer must hold behind its images, so that the last lanes of a step never leave it.
pub const SLACK: usize = 4;

/// A code as tensors store it, and as the product of its width reads it.
pub trait Code: Copy {
    /// An element of A.
    type Staged: Copy + PartialEq + std::fmt::Debug;
    /// Elements in a step of the product.
    const LANES: usize;
    /// The element of A for this code, where 0 is staged as `zero`.
    fn stage(self, zero: Self::Staged) -> Self::Staged;
    /// All of `codes` as elements of A without a copy, where 0 is staged as itself.
    fn staged(codes: &[Self], zero: Self::Staged) -> Option<&[Self::Staged]>;
}

/// An image that is A as it is: 0 is staged as itself, there are no zeros around pixels, and steps end with them.
pub fn staged_as_is<'a, P: Code>(
    src: &'a [P],
    layout: &RowsLayout,
    zero: P::Staged,
) -> Option<&'a [P::Staged]> {
    let is_plain = layout.image_len() == layout.h * layout.w * layout.c;
    let ends_with_steps = layout.c.is_multiple_of(P::LANES);
    P::staged(&src[..layout.h * layout.w * layout.c], zero).filter(|_| is_plain && ends_with_steps)
}

impl Code for i8 {
    type Staged = u8;
    const LANES: usize = 4;

    /// Exact: `code + zero`. A zero of 128 turns the sign bit; a zero of 0 is for codes that are not
    /// negative, and for readers that take a byte with its sign ([`crate::depthwise`]).
    #[inline(always)]
    fn stage(self, zero: u8) -> u8 {
        self.cast_unsigned() ^ zero
    }

    fn staged(codes: &[i8], zero: u8) -> Option<&[u8]> {
        // SAFETY: the same bytes, and every byte is a `u8`; length and lifetime are those of the codes.
        (zero == 0).then(|| unsafe { std::slice::from_raw_parts(codes.as_ptr().cast(), codes.len()) })
    }
}

/// Four codes of 0 to 3 of neighbouring channels in a byte, the first in its lowest bits: what meets signs ([`crate::dot_signs`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Quad(u8);

impl Quad {
    /// Puts codes together, `out.len()` times four.
    ///
    /// # Panics
    /// When lengths differ; in builds with debug assertions when a code is none of 0 to 3.
    pub fn from_codes(codes: &[i8], out: &mut [Self]) {
        let (quads, rest) = codes.as_chunks::<4>();
        assert!(rest.is_empty() && quads.len() == out.len(), "quads: lengths differ");
        debug_assert!(codes.iter().all(|code| (0..=3).contains(code)), "a code of more than 2 bits");
        for (out, quad) in out.iter_mut().zip(quads) {
            let word = u32::from_le_bytes(quad.map(i8::cast_unsigned));
            *out = Self((word | word >> 6 | word >> 12 | word >> 18).to_le_bytes()[0]);
        }
    }
}

impl Code for Quad {
    type Staged = u8;
    const LANES: usize = 4;

    /// Codes have no sign: `zero` is 0.
    #[inline(always)]
    fn stage(self, _: u8) -> u8 {
        self.0
    }

    fn staged(quads: &[Self], _: u8) -> Option<&[u8]> {
        // SAFETY: a `Quad` is one `u8`, in its layout too; length and lifetime are those of the quads.
        Some(unsafe { std::slice::from_raw_parts(quads.as_ptr().cast(), quads.len()) })
    }
}

impl Code for i16 {
    type Staged = Self;
    const LANES: usize = 2;

    /// Words have a sign of their own: `zero` is 0.
    #[inline(always)]
    fn stage(self, _: Self) -> Self {
        self
    }

    fn staged(codes: &[i16], _: i16) -> Option<&[i16]> {
        Some(codes)
    }
}

impl Code for f32 {
    type Staged = Self;
    const LANES: usize = 1;

    /// Floats have a sign of their own: `zero` is 0.
    #[inline(always)]
    fn stage(self, _: Self) -> Self {
        self
    }

    fn staged(codes: &[f32], _: f32) -> Option<&[f32]> {
        Some(codes)
    }
}

/// Stages a run of contiguous codes.
#[inline(always)]
fn stage_run<P: Code>(from: &[P], to: &mut [P::Staged], zero: P::Staged) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.stage(zero));
}
