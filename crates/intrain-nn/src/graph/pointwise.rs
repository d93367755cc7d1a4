//! What lies between products and norms, both ways: activations, sums, poolings, shortcuts. Image by image, or in chunks.

use std::ops::Range;

use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image};
use intrain_kernels::{Isa, activation};
use intrain_num::Quantizer;
use rayon::prelude::*;

use crate::layers::image::windows;
use crate::plan::{Node, Pool};

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

pub(super) fn pixels(images: &[u8], values: &[f32], out: &mut [f32]) {
    out.par_chunks_mut(CHUNK).zip(images.par_chunks(CHUNK)).for_each(|(out, images)| {
        out.iter_mut().zip(images).for_each(|(out, pixel)| *out = values[usize::from(*pixel)]);
    });
}

/// In place.
pub(super) fn activation(isa: Isa, quantizer: &Quantizer, x: &mut [f32]) {
    x.par_chunks_mut(CHUNK).for_each(|x| activation::forward(isa, quantizer, x));
}

/// The error behind an activation becomes that in front of it, where `x` had entered.
pub(super) fn activation_back(isa: Isa, quantizer: &Quantizer, x: &[f32], error: &mut [f32]) {
    error
        .par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(error, x)| activation::back(isa, quantizer, x, error));
}

pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
}

pub(super) fn add([a, b]: [&[f32]; 2], out: &mut [f32]) {
    out.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((out, a), b)| {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a + b);
    });
}

pub(super) fn add_to(sum: &mut [f32], x: &[f32]) {
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| {
        sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    });
}

/// `x` becomes some channels of pixels of `whole` channels.
pub(super) fn put_channels(x: &[f32], channels: Range<usize>, whole: usize, out: &mut [f32]) {
    let pixels = x.par_chunks(channels.len()).with_min_len(64);
    out.par_chunks_mut(whole)
        .zip(pixels)
        .for_each(|(out, pixel)| out[channels.clone()].copy_from_slice(pixel));
}

/// The way back of [`put_channels`].
pub(super) fn take_channels(whole_error: &[f32], channels: Range<usize>, whole: usize, out: &mut [f32]) {
    let pixels = whole_error.par_chunks(whole).with_min_len(64);
    out.par_chunks_mut(channels.len())
        .zip(pixels)
        .for_each(|(out, pixel)| out.copy_from_slice(&pixel[channels.clone()]));
}

/// Calls `f(input, output)` for each image.
fn each_image(node: &Node, input: &[f32], out: &mut [f32], f: impl Fn(&[f32], &mut [f32]) + Sync) {
    out.par_chunks_mut(node.output.len())
        .zip(input.par_chunks(node.input.len()))
        .for_each(|(out, input)| f(input, out));
}

/// The same on the way back.
fn each_error(node: &Node, error: &[f32], out: &mut [f32], f: impl Fn(&[f32], &mut [f32]) + Sync) {
    out.par_chunks_mut(node.input.len())
        .zip(error.par_chunks(node.output.len()))
        .for_each(|(out, error)| f(error, out));
}

const fn image(node: &Node) -> Image {
    Image { h: node.input.h, w: node.input.w, c: node.input.c, pixel_stride: node.input.c }
}

pub(super) fn max_pool(isa: Isa, node: &Node, pool: Pool, input: &[f32], out: &mut [f32], places: &mut [u8]) {
    let (from, to) = (node.input.len(), node.output.len());
    out.par_chunks_mut(to).zip(places.par_chunks_mut(to)).zip(input.par_chunks(from)).for_each(
        |((out, index), input)| {
            max_pool::forward(
                isa,
                ForwardArgs { input, image: image(node), pool: windows(pool), out, index },
            );
        },
    );
}

pub(super) fn max_pool_back(
    isa: Isa,
    node: &Node,
    pool: Pool,
    error: &[f32],
    places: &[u8],
    out: &mut [f32],
) {
    let (from, to) = (node.input.len(), node.output.len());
    let (min, max) = (f32::NEG_INFINITY, f32::INFINITY);
    out.par_chunks_mut(from).zip(places.par_chunks(to)).zip(error.par_chunks(to)).for_each(
        |((out, index), error)| {
            max_pool::backward(
                isa,
                BackwardArgs { error, index, image: image(node), pool: windows(pool), out, min, max },
            );
        },
    );
}

/// Calls `f(output, input)` with the first elements of the pixels of each window.
fn each_window(node: &Node, pool: Pool, mut f: impl FnMut(usize, usize)) {
    let (w, c) = (node.input.w, node.input.c);
    for (o, (oy, ox)) in (0..node.output.h).flat_map(|y| (0..node.output.w).map(move |x| (y, x))).enumerate()
    {
        for (y, x) in (0..pool.size).flat_map(|y| (0..pool.size).map(move |x| (y, x))) {
            f(o * c, ((oy * pool.stride + y) * w + ox * pool.stride + x) * c);
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a window of at most 64 x 64, or an image of 4096 x 4096, pixels"
)]
fn share(pixels: usize) -> f32 {
    1.0 / pixels as f32
}

pub(super) fn avg_pool(node: &Node, pool: Pool, input: &[f32], out: &mut [f32]) {
    let (c, share) = (node.input.c, share(pool.size * pool.size));
    each_image(node, input, out, |input, out| {
        out.fill(0.0);
        each_window(node, pool, |to, from| add_scaled(&input[from..from + c], share, &mut out[to..to + c]));
    });
}

pub(super) fn avg_pool_back(node: &Node, pool: Pool, error: &[f32], out: &mut [f32]) {
    let (c, share) = (node.input.c, share(pool.size * pool.size));
    each_error(node, error, out, |error, out| {
        out.fill(0.0);
        each_window(node, pool, |from, to| add_scaled(&error[from..from + c], share, &mut out[to..to + c]));
    });
}

fn add_scaled(x: &[f32], scale: f32, out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += scale * x);
}

pub(super) fn global_avg_pool(node: &Node, input: &[f32], out: &mut [f32]) {
    let share = share(node.input.h * node.input.w);
    each_image(node, input, out, |input, out| {
        out.fill(0.0);
        input.chunks_exact(node.input.c).for_each(|pixel| add_scaled(pixel, share, out));
    });
}

pub(super) fn global_avg_pool_back(node: &Node, error: &[f32], out: &mut [f32]) {
    let share = share(node.input.h * node.input.w);
    each_error(node, error, out, |error, out| {
        for pixel in out.chunks_exact_mut(node.input.c) {
            pixel.iter_mut().zip(error).for_each(|(out, error)| *out = share * error);
        }
    });
}

/// Calls `f(output, input)` with the first elements of the pixels that a shortcut connects.
fn each_kept(node: &Node, stride: usize, mut f: impl FnMut(usize, usize)) {
    for (y, x) in (0..node.output.h).flat_map(|y| (0..node.output.w).map(move |x| (y, x))) {
        let from = (y * stride * node.input.w + x * stride) * node.input.c;
        f((y * node.output.w + x) * node.output.c, from);
    }
}

pub(super) fn shortcut(node: &Node, stride: usize, input: &[f32], out: &mut [f32]) {
    let (c, wide) = (node.input.c, node.output.c);
    each_image(node, input, out, |input, out| {
        each_kept(node, stride, |to, from| {
            let (same, new) = out[to..to + wide].split_at_mut(c);
            same.copy_from_slice(&input[from..from + c]);
            new.fill(0.0);
        });
    });
}

pub(super) fn shortcut_back(node: &Node, stride: usize, error: &[f32], out: &mut [f32]) {
    let c = node.input.c;
    each_error(node, error, out, |error, out| {
        out.fill(0.0);
        each_kept(node, stride, |from, to| out[to..to + c].copy_from_slice(&error[from..from + c]));
    });
}
