//! The meaning of max pooling, in the plainest loops.

use super::{Accumulator, BackwardArgs, Element, Error, ForwardArgs};
use crate::requantize::TRACE_INDEX;

pub(super) fn forward<T: Element>(args: ForwardArgs<'_, T>) {
    let ForwardArgs { input, image, pool, out, index } = args;
    let wo = pool.outputs(image.w);
    for o in 0..out.len() {
        let (y, x, c) = (o / image.c / wo * pool.stride, o / image.c % wo * pool.stride, o % image.c);
        let at = |ky: usize, kx: usize| input[((y + ky) * image.w + x + kx) * image.pixel_stride + c];
        (out[o], index[o]) = (at(0, 0), 0);
        let mut place = 0;
        for ky in 0..pool.size {
            for kx in 0..pool.size {
                if at(ky, kx) > out[o] {
                    (out[o], index[o]) = (at(ky, kx), place);
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
        let y = o / image.c / wo * pool.stride + place / pool.size;
        let x = o / image.c % wo * pool.stride + place % pool.size;
        let sum = &mut sums[(y * image.w + x) * image.pixel_stride + o % image.c];
        *sum = sum.plus(error[o]);
    }
    for (x, sum) in out.iter_mut().zip(sums) {
        *x = sum.clamped(min, max);
    }
}
