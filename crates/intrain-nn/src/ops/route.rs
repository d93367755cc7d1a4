//! Operations that only move elements: pixels to a table's values, concatenation, shortcuts; and their backward passes.

use std::ops::Range;

use rayon::prelude::*;

use crate::plan::Node;

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The value of each pixel, by a table of 256.
pub(crate) fn pixels<T: Copy + Send + Sync>(images: &[u8], values: &[T], out: &mut [T]) {
    out.par_chunks_mut(CHUNK).zip(images.par_chunks(CHUNK)).for_each(|(out, images)| {
        out.iter_mut().zip(images).for_each(|(out, pixel)| *out = values[usize::from(*pixel)]);
    });
}

pub(crate) fn copy<T: Copy + Send + Sync>(from: &[T], to: &mut [T]) {
    to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
}

pub(crate) fn add_floats([a, b]: [&[f32]; 2], out: &mut [f32]) {
    out.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((out, a), b)| {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a + b);
    });
}

pub(crate) fn add_float_errors(sum: &mut [f32], x: &[f32]) {
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| {
        sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    });
}

/// `x`, each element by `of`, becomes some channels of pixels of `whole` channels.
pub(crate) fn put_channels<S: Copy + Send + Sync, T: Send>(
    x: &[S],
    channels: Range<usize>,
    whole: usize,
    out: &mut [T],
    of: impl Fn(S) -> T + Sync,
) {
    let pixels = x.par_chunks(channels.len()).with_min_len(64);
    out.par_chunks_mut(whole).zip(pixels).for_each(|(out, pixel)| {
        out[channels.clone()].iter_mut().zip(pixel).for_each(|(out, x)| *out = of(*x));
    });
}

/// The backward pass of [`put_channels`].
pub(crate) fn take_channels<T: Copy + Send + Sync>(
    whole_error: &[T],
    channels: Range<usize>,
    whole: usize,
    out: &mut [T],
) {
    let pixels = whole_error.par_chunks(whole).with_min_len(64);
    out.par_chunks_mut(channels.len())
        .zip(pixels)
        .for_each(|(out, pixel)| out.copy_from_slice(&pixel[channels.clone()]));
}

/// Calls `f(output, input)` with the first elements of the pixels that a shortcut connects.
fn each_kept(node: &Node, stride: usize, mut f: impl FnMut(usize, usize)) {
    for (y, x) in (0..node.output.h).flat_map(|y| (0..node.output.w).map(move |x| (y, x))) {
        let from = (y * stride * node.input.w + x * stride) * node.input.c;
        f((y * node.output.w + x) * node.output.c, from);
    }
}

/// Every `stride`-th pixel, with zeros for the channels that are new.
pub(crate) fn shortcut<T: Copy + Default + Send + Sync>(
    node: &Node,
    stride: usize,
    input: &[T],
    out: &mut [T],
) {
    let (c, wide) = (node.input.c, node.output.c);
    let images = out.par_chunks_mut(node.output.len()).zip(input.par_chunks(node.input.len()));
    images.for_each(|(out, input)| {
        each_kept(node, stride, |to, from| {
            let (same, new) = out[to..to + wide].split_at_mut(c);
            same.copy_from_slice(&input[from..from + c]);
            new.fill(T::default());
        });
    });
}

/// The backward pass of [`shortcut`].
pub(crate) fn shortcut_back<T: Copy + Default + Send + Sync>(
    node: &Node,
    stride: usize,
    error: &[T],
    out: &mut [T],
) {
    let c = node.input.c;
    let images = out.par_chunks_mut(node.input.len()).zip(error.par_chunks(node.output.len()));
    images.for_each(|(out, error)| {
        out.fill(T::default());
        each_kept(node, stride, |from, to| out[to..to + c].copy_from_slice(&error[from..from + c]));
    });
}
