//! Max pooling over one image, channels last: square windows; and the way of the error back.
//!
//! Forward, the first maximum of a window in row-major order wins, and its place `ky * size + kx` is kept. Backward,
//! each output's error is added at that place. Invariant: a place fits the six low bits of a trace.

use crate::elementwise::{self, Integer};
use crate::isa::Isa;
use std::ops::Range;

mod backward;
mod forward;
mod reference;
#[cfg(test)]
mod tests;

pub use backward::Accumulator;

/// Windows of `size * size` pixels, `stride` pixels apart; the first begins `pad` pixels before the image. What of a window
/// lies outside of the image does not count; pixels past the last window are unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Side of a window, 1 to 8.
    pub size: usize,
    /// Step from window to window, at least 1.
    pub stride: usize,
    /// Rows and columns around the image that windows may reach into, below `size`: each window has a pixel.
    pub pad: usize,
}

impl Pool {
    /// Outputs along a side of `extent` pixels; 0 where no window fits.
    #[must_use]
    pub const fn outputs(self, extent: usize) -> usize {
        let padded = extent + 2 * self.pad;
        if padded < self.size || extent == 0 { 0 } else { (padded - self.size) / self.stride + 1 }
    }

    /// The places along a side of window `output` that lie on the image, and the pixel of the first.
    pub(super) fn inside(self, output: usize, extent: usize) -> (Range<usize>, usize) {
        let start = output * self.stride;
        let first = self.pad.saturating_sub(start);
        (first..self.size.min(extent + self.pad - start), start + first - self.pad)
    }
}

/// How an image lies in memory: `[h][w]` pixels of `pixel_stride` elements, of which the first `c` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub h: usize,
    /// Pixels in a row.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Elements from pixel to pixel, at least `c`.
    pub pixel_stride: usize,
}

/// What can be pooled: `i8`, `i16`, `i32`, `i64` and `f32`.
pub trait Element: Copy + Default + PartialOrd {
    /// Whether it takes the place of the largest so far. The first NaN of a window stays: a network that has diverged must
    /// not look as if it had not.
    fn is_above(self, largest: Self) -> bool;

    /// Whether any is NaN.
    fn has_nan(elements: &[Self]) -> bool;
}

impl<T: Integer> Element for T {
    #[inline(always)]
    fn is_above(self, largest: Self) -> bool {
        self > largest
    }

    #[inline(always)]
    fn has_nan(_: &[Self]) -> bool {
        false
    }
}

impl Element for f32 {
    #[inline(always)]
    fn is_above(self, largest: Self) -> bool {
        // Comparisons with NaN are false: one that comes in is above, one that is there is not passed.
        #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN is above")]
        let is_above = !(self <= largest);
        is_above && !largest.is_nan()
    }

    #[inline(always)]
    fn has_nan(elements: &[Self]) -> bool {
        let mut has_nan = false;
        for x in elements {
            has_nan |= x.is_nan();
        }
        has_nan
    }
}

/// What can go back: codes of errors, `i8`, `i16`, `i32` and `f32`.
pub trait Error: Element + Accumulator<Self> {
    /// Holds a sum of 64 of them.
    type Wide: Accumulator<Self>;
}

impl Error for i8 {
    type Wide = i16;
}
impl Error for i16 {
    type Wide = i32;
}
impl Error for i32 {
    type Wide = i64;
}
impl Error for f32 {
    type Wide = Self;
}

/// Arguments of [`forward`].
#[derive(Debug)]
pub struct ForwardArgs<'a, T> {
    /// Pixels, as `image` says.
    pub input: &'a [T],
    /// Layout of the input.
    pub image: Image,
    /// Windows.
    pub pool: Pool,
    /// Maxima, `[ho][wo][c]`.
    pub out: &'a mut [T],
    /// Place of each maximum in its window, `[ho][wo][c]`.
    pub index: &'a mut [u8],
}

/// Arguments of [`backward`].
#[derive(Debug)]
pub struct BackwardArgs<'a, T> {
    /// Errors of the outputs, `[ho][wo][c]`.
    pub error: &'a [T],
    /// What [`forward`] kept, `[ho][wo][c]`; only the six low bits are looked at.
    pub index: &'a [u8],
    /// Layout of `out`.
    pub image: Image,
    /// Windows.
    pub pool: Pool,
    /// Errors of the inputs, as `image` says; elements past `c` become 0.
    pub out: &'a mut [T],
    /// Smallest error, at most 0.
    pub min: T,
    /// Largest error, at least 0.
    pub max: T,
}

/// Pools one image. In `f32`, the first NaN of a window wins.
///
/// # Panics
/// When this CPU lacks `isa`, or sizes don't fit each other.
pub fn forward<T: Element>(isa: Isa, args: ForwardArgs<'_, T>) {
    check(args.image, args.pool, args.input.len(), args.out.len(), args.index.len());
    elementwise::run(isa, args);
}

/// Pools one image of integers, and keeps no places.
///
/// # Panics
/// When this CPU lacks `isa`, or sizes don't fit each other.
pub fn maxima<T: Integer>(isa: Isa, (input, image): (&[T], Image), pool: Pool, out: &mut [T]) {
    check(image, pool, input.len(), out.len(), out.len());
    elementwise::run(isa, forward::Maxima { input, image, pool, out });
}

/// Sends errors back through a pooled image: adds them up in the order of the outputs, and clamps the sums.
///
/// # Panics
/// When this CPU lacks `isa`, sizes don't fit each other, or a limit is on the wrong side of 0.
pub fn backward<T: Error>(isa: Isa, args: BackwardArgs<'_, T>) {
    check(args.image, args.pool, args.out.len(), args.error.len(), args.index.len());
    assert!(args.min <= T::default() && T::default() <= args.max, "max_pool: the limits must hold 0");
    elementwise::run(isa, args);
}

fn check(image: Image, pool: Pool, inputs: usize, outputs: usize, places: usize) {
    let Image { h, w, c, pixel_stride } = image;
    assert!((1..=8).contains(&pool.size), "max_pool: a window of {0} x {0} is not 1 x 1 to 8 x 8", pool.size);
    assert!(pool.stride >= 1, "max_pool: stride 0");
    assert!(pool.pad < pool.size, "max_pool: a pad of {} around windows of {}", pool.pad, pool.size);
    assert!(pixel_stride >= c, "max_pool: a pixel of {c} channels every {pixel_stride} elements");
    assert_eq!(inputs, h * w * pixel_stride, "max_pool: elements of {image:?}");
    assert_eq!(
        outputs,
        pool.outputs(h) * pool.outputs(w) * c,
        "max_pool: outputs of {image:?} under {pool:?}"
    );
    assert_eq!(places, outputs, "max_pool: places and outputs differ in number");
}
