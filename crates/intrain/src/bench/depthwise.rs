//! Depthwise convolutions as networks of small devices have them: 3 x 3 windows over 32 images of 32 x 32 pixels and 128 channels.
//!
//! An image is what a thread takes at a time (of a gradient: some images, as many for each thread): it is staged, multiplied and,
//! forward, rounded to codes. The limit is a copy of the bytes that go in and come out.

use std::sync::Arc;

use intrain_kernels::depthwise::{self, Gradient, Multiply};
use intrain_kernels::requantize::{self, Trace};
use intrain_kernels::stage::{Conv, RowsLayout, stage_rows};
use intrain_nn::Context;
use intrain_num::Round;
use rayon::prelude::*;

use super::{Group, Run, Task, Unit, Work, Yardstick, noise};

const IMAGES: usize = 32;
const CHANNELS: usize = 128;
const CONV: Conv = Conv {
    h: 32,
    w: 32,
    c_in: CHANNELS,
    kernel: [3, 3],
    stride: [1, 1],
    pad: [1, 1],
    dilation: [1, 1],
    c_out: CHANNELS,
};
/// Elements of an image.
const IMAGE: usize = 32 * 32 * CHANNELS;

pub(super) fn works() -> Vec<Work> {
    vec![
        work("depthwise-forward", 2, forward),
        work("depthwise-error", 5, error),
        work("depthwise-gradient", 2, gradient),
    ]
}

/// A work that reads and writes so many bytes an element.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn work(name: &str, element_bytes: usize, prepare: fn(&Context) -> Run) -> Work {
    let prepare = move |context: &Context| {
        let bytes = element_bytes * IMAGES * IMAGE;
        let amount = (2 * CONV.taps() * IMAGES * IMAGE) as f64;
        let yardstick = Some(Yardstick::Copy { bytes });
        let run = prepare(context);
        Ok(Task { amount, unit: Unit::Operations, effort: bytes as f64, yardstick, run })
    };
    Work { name: name.to_owned(), group: Group::Products, prepare: Box::new(prepare) }
}

fn bytes(context: &Context, layer: u32, n: usize) -> Vec<i8> {
    noise(context.isa, layer, n).into_iter().map(|word| word.to_le_bytes()[3].cast_signed()).collect()
}

/// Room for each thread: an image with zeros around it, and its sums.
fn rooms(context: &Context, layout: &RowsLayout) -> Vec<(Vec<u8>, Vec<i32>)> {
    let room = || (vec![0; layout.buffer_len(1)], vec![0; IMAGE]);
    (0..context.threads.current_num_threads()).map(|_| room()).collect()
}

/// Elements that a thread takes: whole images.
fn share(context: &Context) -> usize {
    IMAGES.div_ceil(context.threads.current_num_threads()) * IMAGE
}

/// Codes to codes behind a ReLU, as a network answers: without what a backward pass would ask for.
fn forward(context: &Context) -> Run {
    let (isa, threads, share) = (context.isa, Arc::clone(&context.threads), share(context));
    let (input, weights) = (bytes(context, 0, IMAGES * IMAGE), bytes(context, 1, CONV.taps() * CHANNELS));
    let mut out = vec![0_i8; IMAGES * IMAGE];
    let (layout, tables, init) = (CONV.forward_layout(), CONV.forward_by_channel(1), [0; CHANNELS]);
    let mut rooms = rooms(context, &layout);
    let of_image = move |a: &mut [u8], c: &mut [i32], input: &[i8], out: &mut [i8]| {
        let (rows, steps) = (&tables.rows, &tables.steps);
        stage_rows(input, &layout, a, 0);
        depthwise::multiply(isa, Multiply::<i8> { a, rows, steps, b: &weights, init: &init, c });
        let (round, first_element, words) = (Round::NearestDown, 0, None);
        let (sums, shift, min, max, trace) = (&*c, 9, 0, 127, Trace::None);
        let args = requantize::Args { sums, out, shift, round, min, max, words, first_element, trace };
        requantize::run(isa, args);
    };
    Box::new(move || {
        let items = out.par_chunks_mut(share).zip(input.par_chunks(share)).zip(&mut rooms);
        threads.install(|| {
            items.for_each(|((out, input), (a, c))| {
                out.chunks_mut(IMAGE)
                    .zip(input.chunks(IMAGE))
                    .for_each(|(out, input)| of_image(a, c, input, out));
            });
        });
    })
}

/// Codes to error sums.
fn error(context: &Context) -> Run {
    let (isa, threads, share) = (context.isa, Arc::clone(&context.threads), share(context));
    let (error, weights) = (bytes(context, 0, IMAGES * IMAGE), bytes(context, 1, CONV.taps() * CHANNELS));
    let mut sums = vec![0_i32; IMAGES * IMAGE];
    let (layout, tables, init) = (CONV.error_layout(), CONV.error_by_channel(1), [0; CHANNELS]);
    let mut rooms = rooms(context, &layout);
    Box::new(move || {
        let (rows, steps) = (&tables.rows, &tables.steps);
        let items = sums.par_chunks_mut(share).zip(error.par_chunks(share)).zip(&mut rooms);
        threads.install(|| {
            items.for_each(|((sums, error), (a, _))| {
                for (c, error) in sums.chunks_mut(IMAGE).zip(error.chunks(IMAGE)) {
                    stage_rows(error, &layout, a, 0);
                    depthwise::multiply(isa, Multiply::<i8> { a, rows, steps, b: &weights, init: &init, c });
                }
            });
        });
    })
}

/// Activations and errors to the sums of the gradient: each thread's are added up at the end.
fn gradient(context: &Context) -> Run {
    const SUMS: usize = CONV.taps() * CHANNELS;
    let (isa, threads, share) = (context.isa, Arc::clone(&context.threads), share(context));
    let (input, error) = (bytes(context, 0, IMAGES * IMAGE), bytes(context, 1, IMAGES * IMAGE));
    let (layout, tables) = (CONV.forward_layout(), CONV.forward_by_channel(1));
    let mut rooms = rooms(context, &layout);
    let mut sums = [0; SUMS];
    Box::new(move || {
        let (rows, steps) = (&tables.rows, &tables.steps);
        let items = input.par_chunks(share).zip(error.par_chunks(share)).zip(&mut rooms);
        threads.install(|| {
            items.for_each(|((input, error), (a, g))| {
                let g = &mut g[..SUMS];
                g.fill(0);
                for (input, e) in input.chunks(IMAGE).zip(error.chunks(IMAGE)) {
                    stage_rows(input, &layout, a, 0);
                    let args = Gradient::<i8> { a, rows, steps, channels: CHANNELS, e, g };
                    depthwise::gradient(isa, args);
                }
            });
        });
        sums.fill(0);
        for (_, part) in &rooms {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        std::hint::black_box(&sums);
    })
}
