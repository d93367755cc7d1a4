//! Forward max pooling: one window after the other, all channels of a window at once.

use super::{Element, ForwardArgs, Image};
use crate::elementwise::Operation;
use crate::isa::Isa;

impl<T: Element> Operation for ForwardArgs<'_, T> {
    type Output = ();

    fn reference(self) {
        super::reference::forward(self);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { input, image, pool, out, index } = self;
        let Image { w, c, pixel_stride, .. } = image;
        if out.is_empty() {
            return;
        }
        let wo = pool.outputs(w);
        for (o, (out, index)) in out.chunks_exact_mut(c).zip(index.chunks_exact_mut(c)).enumerate() {
            let corner = o / wo * pool.stride * w + o % wo * pool.stride;
            let pixel = |ky: usize, kx: usize| &input[(corner + ky * w + kx) * pixel_stride..][..c];
            if pool.size == 2 {
                window_of_four([pixel(0, 0), pixel(0, 1), pixel(1, 0), pixel(1, 1)], out, index);
                continue;
            }
            out.copy_from_slice(pixel(0, 0));
            index.fill(0);
            let mut place = 0;
            for ky in 0..pool.size {
                for kx in 0..pool.size {
                    challenge(pixel(ky, kx), place, out, index);
                    place += 1;
                }
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
