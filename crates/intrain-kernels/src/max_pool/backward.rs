//! Backward max pooling: windows apart scatter their errors, overlapping ones are gathered pixel by pixel.
//!
//! Both work on all channels of a pixel at once. The gather meets the windows in the order of the outputs, so that
//! sums of floats too are those of the reference.

use std::ops::RangeInclusive;

use super::{BackwardArgs, Error, Image, Pool};
use crate::elementwise::Operation;
use crate::isa::Isa;
use crate::requantize::TRACE_INDEX;

/// Channels that are summed at a time.
const LANES: usize = 64;

/// A sum of errors of type `T`. Bound: the type holds as many as its use adds, at most 64.
pub trait Accumulator<T>: Copy + Default {
    /// `self + error`.
    #[must_use]
    fn plus(self, error: T) -> Self;
    /// The sum held in `min..=max`.
    fn clamped(self, min: T, max: T) -> T;
}

macro_rules! accumulators {
    ($($sum:ty: $error:ty),*) => {$(
        impl Accumulator<$error> for $sum {
            #[inline(always)]
            #[allow(clippy::float_arithmetic, reason = "the float baseline has errors in f32")]
            fn plus(self, error: $error) -> Self {
                self + Self::from(error)
            }
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "clamped to the type of errors")]
            fn clamped(self, min: $error, max: $error) -> $error {
                let (low, high) = (Self::from(min), Self::from(max));
                let above = if self < low { low } else { self };
                (if above > high { high } else { above }) as $error
            }
        }
    )*};
}

accumulators!(i8: i8, i16: i8, i16: i16, i32: i16, i32: i32, i64: i32, f32: f32);

impl<T: Error> Operation for BackwardArgs<'_, T> {
    type Output = ();

    fn reference(self) {
        super::reference::backward(self);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        if self.pool.stride >= self.pool.size { scatter(self) } else { gather(self) }
    }
}

/// Windows that don't overlap: each writes its own pixels.
#[inline(always)]
fn scatter<T: Error>(args: BackwardArgs<'_, T>) {
    let BackwardArgs { error, index, image, pool, out, min, max } = args;
    let Image { h, w, c, pixel_stride } = image;
    // What no window covers, and what lies between pixels.
    out.fill(T::default());
    if error.is_empty() {
        return;
    }
    let row_len = pool.outputs(w) * c;
    if (pool.size, pool.stride, pool.pad) == (2, 2, 0) {
        let rows = out.chunks_exact_mut(2 * w * pixel_stride);
        for (out, (error, index)) in rows.zip(error.chunks_exact(row_len).zip(index.chunks_exact(row_len))) {
            let (top, bottom) = out.split_at_mut(w * pixel_stride);
            let pixels =
                top.chunks_exact_mut(2 * pixel_stride).zip(bottom.chunks_exact_mut(2 * pixel_stride));
            for ((top, bottom), (error, index)) in
                pixels.zip(error.chunks_exact(c).zip(index.chunks_exact(c)))
            {
                Window { error, index, min, max }.put_four(pixel_stride, top, bottom);
            }
        }
        return;
    }
    for (oy, (error, index)) in error.chunks_exact(row_len).zip(index.chunks_exact(row_len)).enumerate() {
        let (rows, y) = pool.inside(oy, h);
        for (ox, (error, index)) in error.chunks_exact(c).zip(index.chunks_exact(c)).enumerate() {
            let (columns, x) = pool.inside(ox, w);
            let window = Window { error, index, min, max };
            for ky in rows.clone() {
                for kx in columns.clone() {
                    #[allow(clippy::cast_possible_truncation, reason = "a window has at most 64 places")]
                    let place = (ky * pool.size + kx) as u8;
                    let pixel = (y + ky - rows.start) * w + x + kx - columns.start;
                    window.put(place, &mut out[pixel * pixel_stride..][..c]);
                }
            }
        }
    }
}

/// The errors of a window's channels, and where their maxima were.
struct Window<'a, T> {
    error: &'a [T],
    index: &'a [u8],
    min: T,
    max: T,
}

impl<T: Error> Window<'_, T> {
    /// What the pixel at `place` gets.
    #[inline(always)]
    fn put(&self, place: u8, pixel: &mut [T]) {
        for ((x, &e), &i) in pixel.iter_mut().zip(self.error).zip(self.index) {
            *x = T::default().plus(chosen(e, i, place)).clamped(self.min, self.max);
        }
    }

    /// What the four pixels of the commonest window get: 2 x 2, two of each row, `right` elements apart.
    #[inline(always)]
    fn put_four(&self, right: usize, top: &mut [T], bottom: &mut [T]) {
        let mut done = 0;
        while done + 32 <= self.error.len() {
            self.put_four_from::<32>(done, right, top, bottom);
            done += 32;
        }
        while done + 16 <= self.error.len() {
            self.put_four_from::<16>(done, right, top, bottom);
            done += 16;
        }
        while done + 8 <= self.error.len() {
            self.put_four_from::<8>(done, right, top, bottom);
            done += 8;
        }
        while done + 4 <= self.error.len() {
            self.put_four_from::<4>(done, right, top, bottom);
            done += 4;
        }
        while done < self.error.len() {
            self.put_four_from::<1>(done, right, top, bottom);
            done += 1;
        }
    }

    /// `N` channels from number `done` on, in arrays that nothing else can overlap with.
    #[inline(always)]
    fn put_four_from<const N: usize>(&self, done: usize, right: usize, top: &mut [T], bottom: &mut [T]) {
        let error: [T; N] = *self.error[done..].first_chunk().expect("so many channels are left");
        let index: [u8; N] = *self.index[done..].first_chunk().expect("so many channels are left");
        let mut held = [T::default(); N];
        for k in 0..N {
            held[k] = T::default().plus(error[k]).clamped(self.min, self.max);
        }
        for place in 0..4_u8 {
            let mut channels = [T::default(); N];
            for k in 0..N {
                channels[k] = chosen(held[k], index[k], place);
            }
            let row = if place < 2 { &mut *top } else { &mut *bottom };
            let first = usize::from(place % 2) * right + done;
            *row[first..].first_chunk_mut().expect("a pixel of the window") = channels;
        }
    }
}

/// Windows that overlap: each pixel adds up those that cover it.
#[inline(always)]
fn gather<T: Error>(args: BackwardArgs<'_, T>) {
    let BackwardArgs { error, index, image, pool, out, min, max } = args;
    let Image { h, w, c, pixel_stride } = image;
    if out.is_empty() {
        return;
    }
    let wo = pool.outputs(w);
    let mut sums = [T::Wide::default(); LANES];
    for (y, row) in out.chunks_exact_mut(w * pixel_stride).enumerate() {
        let rows = covering(pool, y, h);
        for (x, pixel) in row.chunks_exact_mut(pixel_stride).enumerate() {
            let columns = covering(pool, x, w);
            let (pixel, rest) = pixel.split_at_mut(c);
            rest.fill(T::default());
            for (block, pixel) in pixel.chunks_mut(LANES).enumerate() {
                let sums = &mut sums[..pixel.len()];
                sums.fill(T::Wide::default());
                for oy in rows.clone() {
                    for ox in columns.clone() {
                        let place =
                            (y + pool.pad - oy * pool.stride) * pool.size + x + pool.pad - ox * pool.stride;
                        let at = (oy * wo + ox) * c + block * LANES;
                        add_chosen(sums, &error[at..][..pixel.len()], &index[at..][..pixel.len()], place);
                    }
                }
                for (x, sum) in pixel.iter_mut().zip(&*sums) {
                    *x = sum.clamped(min, max);
                }
            }
        }
    }
}

/// The outputs along a side of `extent` whose windows cover `at`.
fn covering(pool: Pool, at: usize, extent: usize) -> RangeInclusive<usize> {
    let at = at + pool.pad;
    let first = (at + 1).saturating_sub(pool.size).div_ceil(pool.stride);
    let Some(last) = pool.outputs(extent).checked_sub(1) else { return RangeInclusive::new(1, 0) };
    first..=last.min(at / pool.stride)
}

/// Adds the errors whose maximum was at `place` of its window.
#[inline(always)]
fn add_chosen<T: Error>(sums: &mut [T::Wide], error: &[T], index: &[u8], place: usize) {
    #[allow(clippy::cast_possible_truncation, reason = "a window has at most 64 places")]
    let place = place as u8;
    for ((sum, &e), &i) in sums.iter_mut().zip(error).zip(index) {
        *sum = sum.plus(chosen(e, i, place));
    }
}

/// The error where its maximum was at `place`, else 0.
///
/// Exact: a sum of floats that began at +0 is never -0, so that adding +0 changes nothing.
#[inline(always)]
fn chosen<T: Error>(error: T, index: u8, place: u8) -> T {
    if index & TRACE_INDEX == place { error } else { T::default() }
}
