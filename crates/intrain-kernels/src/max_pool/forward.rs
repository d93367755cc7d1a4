//! Forward max pooling: one window after the other, all channels of a window at once.

use super::{Element, ForwardArgs, Image, Pool};
use crate::elementwise::{Integer, Operation};
use crate::isa::Isa;

impl<T: Element> Operation for ForwardArgs<'_, T> {
    type Output = ();

    fn reference(self) {
        super::reference::forward(self);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { input, image, pool, out, index } = self;
        let Image { h, w, c, pixel_stride } = image;
        if out.is_empty() {
            return;
        }
        // A network that has diverged need not be fast, and comparisons that know NaN would cost all others.
        if T::has_nan(input) {
            return super::reference::forward(ForwardArgs { input, image, pool, out, index });
        }
        let wo = pool.outputs(w);
        for (o, (out, index)) in out.chunks_exact_mut(c).zip(index.chunks_exact_mut(c)).enumerate() {
            if pool.size == 2 && pool.pad == 0 {
                let corner = o / wo * pool.stride * w + o % wo * pool.stride;
                let pixel = |ky: usize, kx: usize| &input[(corner + ky * w + kx) * pixel_stride..][..c];
                window_of_four([pixel(0, 0), pixel(0, 1), pixel(1, 0), pixel(1, 1)], out, index);
                continue;
            }
            let ((rows, y), (columns, x)) = (pool.inside(o / wo, h), pool.inside(o % wo, w));
            for ky in rows.clone() {
                for kx in columns.clone() {
                    let pixel = (y + ky - rows.start) * w + x + kx - columns.start;
                    let pixel = &input[pixel * pixel_stride..][..c];
                    #[allow(clippy::cast_possible_truncation, reason = "a window has at most 64 places")]
                    let place = (ky * pool.size + kx) as u8;
                    if (ky, kx) == (rows.start, columns.start) {
                        out.copy_from_slice(pixel);
                        index.fill(place);
                    } else {
                        challenge(pixel, place, out, index);
                    }
                }
            }
        }
    }
}

/// Maxima without their places.
pub(super) struct Maxima<'a, T> {
    pub(super) input: &'a [T],
    pub(super) image: Image,
    pub(super) pool: Pool,
    pub(super) out: &'a mut [T],
}

impl<T: Integer> Operation for Maxima<'_, T> {
    type Output = ();

    fn reference(self) {
        let Self { input, image, pool, out } = self;
        let mut index = vec![0; out.len()];
        super::reference::forward(ForwardArgs { input, image, pool, out, index: &mut index });
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { input, image: Image { h, w, c, pixel_stride }, pool, out } = self;
        if out.is_empty() {
            return;
        }
        let wo = pool.outputs(w);
        for (o, out) in out.chunks_exact_mut(c).enumerate() {
            let ((rows, y), (columns, x)) = (pool.inside(o / wo, h), pool.inside(o % wo, w));
            let pixel = |ky: usize, kx: usize| &input[((y + ky) * w + x + kx) * pixel_stride..][..c];
            if rows.len() == 2 && columns.len() == 2 {
                let above = pixel(0, 0).iter().zip(pixel(0, 1));
                let below = pixel(1, 0).iter().zip(pixel(1, 1));
                for (m, ((&a, &b), (&c, &d))) in out.iter_mut().zip(above.zip(below)) {
                    *m = a.max(b).max(c.max(d));
                }
                continue;
            }
            out.copy_from_slice(pixel(0, 0));
            for (ky, kx) in (0..rows.len()).flat_map(|ky| (0..columns.len()).map(move |kx| (ky, kx))).skip(1)
            {
                out.iter_mut().zip(pixel(ky, kx)).for_each(|(m, &x)| *m = x.max(*m));
            }
        }
    }
}

/// Puts `input` and its place where it is above the maximum so far.
#[inline(always)]
fn challenge<T: Element>(input: &[T], place: u8, out: &mut [T], index: &mut [u8]) {
    for ((m, i), &x) in out.iter_mut().zip(index).zip(input) {
        let is_above = x > *m;
        *m = if is_above { x } else { *m };
        *i = if is_above { place } else { *i };
    }
}

/// The commonest window in one pass: 2 x 2.
#[inline(always)]
fn window_of_four<T: Element>(pixels: [&[T]; 4], out: &mut [T], index: &mut [u8]) {
    let rows = pixels[0].iter().zip(pixels[1]).zip(pixels[2].iter().zip(pixels[3]));
    for ((m, i), ((&a, &b), (&c, &d))) in out.iter_mut().zip(index).zip(rows) {
        let (mut best, mut place) = (a, 0);
        for (x, p) in [(b, 1), (c, 2), (d, 3)] {
            let is_above = x > best;
            best = if is_above { x } else { best };
            place = if is_above { p } else { place };
        }
        (*m, *i) = (best, place);
    }
}
