//! The meaning of max pooling, in the plainest loops.

use super::{Accumulator, BackwardArgs, Element, Error, ForwardArgs};
use crate::requantize::TRACE_INDEX;

pub(super) fn forward<T: Element>(args: ForwardArgs<'_, T>) {
    let ForwardArgs { input, image, pool, out, index } = args;
    let wo = pool.outputs(image.w);
    for o in 0..out.len() {
        let (oy, ox, c) = (o / image.c / wo, o / image.c % wo, o % image.c);
        let mut is_first = true;
        let mut place = 0;
        for ky in 0..pool.size {
            for kx in 0..pool.size {
                // Where the pixel lies, `pad` too far.
                let (y, x) = (oy * pool.stride + ky, ox * pool.stride + kx);
                let is_inside =
                    y >= pool.pad && x >= pool.pad && y < image.h + pool.pad && x < image.w + pool.pad;
                if is_inside {
                    let pixel = (y - pool.pad) * image.w + x - pool.pad;
                    let value = input[pixel * image.pixel_stride + c];
                    if is_first || value.is_above(out[o]) {
                        (out[o], index[o]) = (value, place);
                    }
                    is_first = false;
                }
                place += 1;
            }
        }
    }
}

pub(super) fn backward<T: Error>(args: BackwardArgs<'_, T>) {
    let BackwardArgs { error, index, image, pool, out, min, max } = args;
    let wo = pool.outputs(image.w);
    let mut sums = vec![T::Wide::default(); out.len()];
    for o in 0..error.len() {
        let place = usize::from(index[o] & TRACE_INDEX);
        let y = o / image.c / wo * pool.stride + place / pool.size - pool.pad;
        let x = o / image.c % wo * pool.stride + place % pool.size - pool.pad;
        let sum = &mut sums[(y * image.w + x) * image.pixel_stride + o % image.c];
        *sum = sum.plus(error[o]);
    }
    for (x, sum) in out.iter_mut().zip(sums) {
        *x = sum.clamped(min, max);
    }
}
