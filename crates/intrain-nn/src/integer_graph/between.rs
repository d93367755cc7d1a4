//! What lies between products, both ways: activations with the norms and sums in front of them, poolings, shortcuts.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::fixed_norm::{self, Store};
use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image};
use intrain_kernels::requantize::{self, Relu, TRACE_INSIDE, TRACE_RELU, Trace};
use intrain_kernels::{Integer, Isa, max_abs};
use intrain_num::{Quantizer, Round, Surrogate};
use rayon::prelude::*;

use super::errors::{CHUNK, Cut, Words, cut};
use super::{Block, IntegerGraph, Part, norm};
use crate::engine::Mode;
use crate::layers::image::windows;
use crate::network::StepKey;
use crate::plan::{Node, Op, Pool};
use crate::threads;
use crate::width::Width;

impl<W: Width> IntegerGraph<W> {
    /// The result of a node from those before it.
    pub(super) fn run(&mut self, isa: Isa, i: usize, images: &[u8], mode: Mode) {
        let node = &self.nodes[i];
        let n = images.len() / self.nodes[0].output.len();
        let len = n * node.output.len();
        match node.op {
            Op::Product(b) => return self.product(isa, i, b, n, mode),
            // An activation computes them.
            Op::Norm(_) | Op::Add => return,
            Op::Activation(row) => return self.activation(isa, i, row, mode),
            Op::MaxPool(pool) => return self.max_pool(isa, i, pool, len),
            _ => {}
        }
        let mut out = std::mem::take(&mut self.tensors.payloads[i]);
        out.resize(len, W::Payload::default());
        let source = |k: usize| &self.tensors.payloads[node.sources[k]][..];
        match node.op {
            Op::Image => {
                let pixels = &self.pixels;
                out.par_chunks_mut(CHUNK).zip(images.par_chunks(CHUNK)).for_each(|(out, images)| {
                    out.iter_mut().zip(images).for_each(|(out, pixel)| *out = pixels[usize::from(*pixel)]);
                });
            }
            Op::AvgPool(pool) => {
                let from = self.nodes[node.sources[0]].operand.frac_bits;
                mean::<W>(node, [pool.size; 2], [pool.stride; 2], from, source(0), &mut out);
            }
            Op::GlobalAvgPool => {
                let from = self.nodes[node.sources[0]].operand.frac_bits;
                let size = [node.input.h, node.input.w];
                mean::<W>(node, size, [0; 2], from, source(0), &mut out);
            }
            Op::Shortcut { stride } => shortcut(node, stride, source(0), &mut out),
            _ => {
                let mut first = 0;
                for &source in &node.sources {
                    let c = self.nodes[source].output.c;
                    let from = self.tensors.payloads[source].par_chunks(c);
                    out.par_chunks_mut(node.output.c)
                        .zip(from)
                        .for_each(|(out, pixel)| out[first..first + c].copy_from_slice(pixel));
                    first += c;
                }
            }
        }
        self.tensors.payloads[i] = out;
    }

    /// Adds up what enters an activation, each norm a line over its words, and rounds once.
    fn activation(&mut self, isa: Isa, i: usize, row: Quantizer, mode: Mode) {
        let Some(sum) = self.nodes[i].sum.clone() else { return };
        for term in &sum.terms {
            if let Some(b) = term.norm {
                let x = &self.tensors.words[term.source];
                match &mut self.blocks[b].part {
                    Part::BatchNorm(norm) => norm.prepare(isa, x, term.places, mode, &mut self.rooms),
                    Part::LayerNorm(norm) => norm.prepare(term.places),
                    Part::Product { .. } => {}
                }
            }
        }
        let len = match sum.terms[0].source {
            source if self.tensors.words[source].is_empty() => self.tensors.payloads[source].len(),
            source => self.tensors.words[source].len(),
        };
        let (mut out, mut trace) =
            (std::mem::take(&mut self.tensors.payloads[i]), std::mem::take(&mut self.tensors.traces[i]));
        out.resize(len, W::Payload::default());
        trace.resize(len, 0);
        let (tensors, blocks) = (&self.tensors, &self.blocks);
        let chunk = norm::chunk(self.nodes[i].output.c);
        let (shift, round) = (sum.frac_bits - row.format.frac_bits(), row.round);
        let (min, max) = (row.format.min(), row.format.max());
        let chunks = out.chunks_mut(chunk).zip(trace.chunks_mut(chunk)).enumerate();
        threads::for_each(&mut self.rooms, chunks, |room, (k, (out, trace))| {
            let lanes = room.lanes(out.len());
            let span = k * chunk..k * chunk + out.len();
            for (t, term) in sum.terms.iter().enumerate() {
                let store = if t == 0 { Store::Set } else { Store::Add };
                let words = &tensors.words[term.source];
                match term.norm.map(|b| &blocks[b].part) {
                    Some(Part::BatchNorm(norm)) => {
                        fixed_norm::apply(isa, &words[span.clone()], &norm.lines, lanes, store);
                    }
                    Some(Part::LayerNorm(norm)) => norm.apply(&words[span.clone()], lanes, store),
                    _ if words.is_empty() => {
                        let payloads = &tensors.payloads[term.source][span.clone()];
                        fixed_norm::add_shifted(isa, payloads, term.places, lanes, store);
                    }
                    _ => fixed_norm::add_shifted(isa, &words[span.clone()], term.places, lanes, store),
                }
            }
            let (sums, first_element) = (&*lanes, span.start as u64);
            let trace = Trace::Write { trace, relu: Relu::Yes };
            requantize::run(
                isa,
                requantize::Args { sums, out, shift, round, min, max, words: None, first_element, trace },
            );
        });
        (self.tensors.payloads[i], self.tensors.traces[i]) = (out, trace);
    }

    /// Of payloads, or of words.
    fn max_pool(&mut self, isa: Isa, i: usize, pool: Pool, len: usize) {
        let (node, tensors) = (&self.nodes[i], &mut self.tensors);
        let (source, places) = (node.sources[0], &mut tensors.places[i]);
        places.resize(len, 0);
        if tensors.words[source].is_empty() {
            let mut out = std::mem::take(&mut tensors.payloads[i]);
            out.resize(len, W::Payload::default());
            pool_images(isa, node, pool, &tensors.payloads[source], &mut out, places);
            tensors.payloads[i] = out;
        } else {
            let mut out = std::mem::take(&mut tensors.words[i]);
            out.resize(len, 0);
            pool_images(isa, node, pool, &tensors.words[source], &mut out, places);
            tensors.words[i] = out;
        }
    }

    /// The errors in front of a node from the error behind it; a block's gradients on the way.
    pub(super) fn run_back(&mut self, isa: Isa, i: usize, key: StepKey) {
        let node = &self.nodes[i];
        match node.op {
            Op::Product(b) => {
                let Some(error) = self.cuts[i].take() else { return };
                if self.is_watched {
                    self.see_product(i, &error);
                }
                self.product_back(isa, i, b, &error, key);
            }
            Op::MaxPool(pool) if let Some(error) = self.cuts[i].take() => {
                let source = node.sources[0];
                let operand = self.blocks[self.product_behind(i)].plan.error_operand;
                let limits = (W::payload(operand.min), W::payload(operand.max));
                let n = error.payloads.len() / node.output.len();
                let mut payloads = vec![W::Payload::default(); n * node.input.len()];
                let places = &self.tensors.places[i];
                unpool_images(isa, node, pool, (&error.payloads, places), &mut payloads, limits);
                self.cuts[source] = Some(Cut::new(isa, payloads, error.exponent));
            }
            Op::Activation(row) => {
                if self.is_watched {
                    self.see_activation(i);
                }
                let Some(error) = self.errors[i].take() else { return };
                self.activation_back(isa, i, row, error, key);
            }
            Op::Image | Op::Norm(_) | Op::Add => {}
            Op::Concat => {
                let Some(error) = self.errors[i].take() else { return };
                let (sources, whole) = (node.sources.clone(), node.output.c);
                let mut first = 0;
                for source in sources {
                    let c = self.nodes[source].output.c;
                    let mut words = self.buffer(source);
                    words
                        .par_chunks_mut(c)
                        .zip(error.words.par_chunks(whole))
                        .for_each(|(out, pixel)| out.copy_from_slice(&pixel[first..first + c]));
                    self.give(isa, source, Words { words, ..error });
                    first += c;
                }
                self.free.push(error.words);
            }
            op => {
                let Some(error) = self.errors[i].take() else { return };
                let source = node.sources[0];
                if source == 0 {
                    return;
                }
                let mut words = self.buffer(source);
                let node = &self.nodes[i];
                let exponent =
                    error.exponent + pass_back(isa, node, op, &error, &self.tensors.places[i], &mut words);
                let largest =
                    words.par_chunks(CHUNK).map(|words| max_abs::run(isa, words)).max().unwrap_or(0);
                self.give(isa, source, Words { words, exponent, largest });
                self.free.push(error.words);
            }
        }
    }

    /// The error behind an activation, gated, goes to each of its terms: through a norm, cut for a product, or as it is.
    fn activation_back(&mut self, isa: Isa, i: usize, row: Quantizer, mut error: Words, key: StepKey) {
        let Some(sum) = self.nodes[i].sum.clone() else { return };
        let mask = match row.surrogate {
            Surrogate::Clipped => TRACE_INSIDE | TRACE_RELU,
            Surrogate::StraightThrough | Surrogate::LogTailed => TRACE_RELU,
        };
        let c = self.nodes[i].output.c;
        (0..2).for_each(|pair| norm::clear(&mut self.rooms, pair, c));
        let largest = AtomicU64::new(0);
        let (tensors, blocks, chunk) = (&self.tensors, &self.blocks, norm::chunk(c));
        let chunks = error.words.chunks_mut(chunk).zip(tensors.traces[i].chunks(chunk)).enumerate();
        threads::for_each(&mut self.rooms, chunks, |room, (k, (error, trace))| {
            largest.fetch_max(fixed_norm::gate(isa, trace, mask, error), Ordering::Relaxed);
            for (term, sums) in sum.terms.iter().zip(&mut room.sums) {
                let x = || &tensors.words[term.source][k * chunk..k * chunk + error.len()];
                match term.norm.map(|b| &blocks[b].part) {
                    Some(Part::BatchNorm(norm)) => {
                        fixed_norm::add_products(isa, [x(), error], &norm.lines, sums);
                    }
                    Some(Part::LayerNorm(norm)) => norm.add_products(x(), error, sums),
                    _ => {}
                }
            }
        });
        error.largest = largest.into_inner();
        let mut by_themselves = vec![];
        for (pair, term) in sum.terms.iter().enumerate() {
            if self.tensors.words[term.source].is_empty() {
                by_themselves.push(term.source);
                continue;
            }
            let product = self.product_behind(term.source);
            let cut = match term.norm {
                Some(b) => {
                    let sums = norm::sums(&self.rooms, pair);
                    self.norm_back(isa, (b, product), term.source, &error, &sums, key)
                }
                None => cut(isa, &self.blocks[product].plan, &error, key),
            };
            self.cuts[term.source] = Some(cut);
        }
        // The last of those that the error reaches as it is has its buffer.
        let last = by_themselves.pop();
        for source in by_themselves {
            let mut words = self.buffer(source);
            words.par_chunks_mut(CHUNK).zip(error.words.par_chunks(CHUNK)).for_each(|(to, from)| {
                to.copy_from_slice(from);
            });
            self.give(isa, source, Words { words, ..error });
        }
        match last {
            Some(source) => self.give(isa, source, error),
            None => self.free.push(error.words),
        }
    }

    fn norm_back(
        &mut self,
        isa: Isa,
        (b, product): (usize, usize),
        source: usize,
        error: &Words,
        sums: &[Vec<i64>; 2],
        key: StepKey,
    ) -> Cut<W> {
        let product = self.blocks[product].plan.clone();
        let Block { plan, part, gradient, bias_gradient, exponents, .. } = &mut self.blocks[b];
        let digits = plan.norm.map_or(0, |norm| norm.rows.value.format.frac_bits());
        *exponents = [error.exponent - digits, error.exponent];
        norm::gradients_of(sums, (gradient, bias_gradient.as_mut()));
        let tensors = (&self.tensors.words[source][..], error);
        match part {
            Part::BatchNorm(norm) => norm.back(isa, &product, tensors, sums, &mut self.rooms, key),
            Part::LayerNorm(norm) => norm.back(isa, &product, tensors, &mut self.rooms, key),
            Part::Product { .. } => unreachable!("the plan says that the node is a norm"),
        }
    }
}

const fn image(node: &Node) -> Image {
    Image { h: node.input.h, w: node.input.w, c: node.input.c, pixel_stride: node.input.c }
}

fn pool_images<T: max_pool::Element + Send + Sync>(
    isa: Isa,
    node: &Node,
    pool: Pool,
    input: &[T],
    out: &mut [T],
    places: &mut [u8],
) {
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

fn unpool_images<T: max_pool::Error + Send + Sync>(
    isa: Isa,
    node: &Node,
    pool: Pool,
    (error, places): (&[T], &[u8]),
    out: &mut [T],
    (min, max): (T, T),
) {
    let (from, to) = (node.input.len(), node.output.len());
    out.par_chunks_mut(from).zip(places.par_chunks(to)).zip(error.par_chunks(to)).for_each(
        |((out, index), error)| {
            max_pool::backward(
                isa,
                BackwardArgs { error, index, image: image(node), pool: windows(pool), out, min, max },
            );
        },
    );
}

/// The mean over windows of `size`, `stride` apart, of payloads with `from` binary digits, rounded once.
fn mean<W: Width>(
    node: &Node,
    size: [usize; 2],
    stride: [usize; 2],
    from: i32,
    input: &[W::Payload],
    out: &mut [W::Payload],
) {
    let (c, w) = (node.input.c, node.input.w);
    let places = node.operand.frac_bits - from;
    let pixels = i64::try_from(size[0] * size[1]).unwrap_or(i64::MAX);
    let (up, down) = (places.max(0), (-places).max(0));
    out.par_chunks_mut(node.output.len()).zip(input.par_chunks(node.input.len())).for_each(|(out, input)| {
        let mut sums = vec![0_i64; c];
        for (o, out) in out.chunks_exact_mut(c).enumerate() {
            let (oy, ox) = (o / node.output.w * stride[0], o % node.output.w * stride[1]);
            sums.fill(0);
            for y in oy..oy + size[0] {
                for pixel in input[(y * w + ox) * c..][..size[1] * c].chunks_exact(c) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += (*x).into());
                }
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                let mean = Round::NearestDown.ratio(sum << up, pixels << down);
                *out = W::payload(mean.clamp(node.operand.min, node.operand.max));
            }
        }
    });
}

/// Every `stride`-th pixel, and zeros for new channels.
fn shortcut<T: Copy + Default + Send + Sync>(node: &Node, stride: usize, input: &[T], out: &mut [T]) {
    let (c, wide) = (node.input.c, node.output.c);
    out.par_chunks_mut(node.output.len()).zip(input.par_chunks(node.input.len())).for_each(|(out, input)| {
        each_kept(node, stride, |to, from| {
            let (same, new) = out[to..to + wide].split_at_mut(c);
            same.copy_from_slice(&input[from..from + c]);
            new.fill(T::default());
        });
    });
}

/// Calls `f(output, input)` with the first elements of the pixels that a shortcut connects.
fn each_kept(node: &Node, stride: usize, mut f: impl FnMut(usize, usize)) {
    for (y, x) in (0..node.output.h).flat_map(|y| (0..node.output.w).map(move |x| (y, x))) {
        let from = (y * stride * node.input.w + x * stride) * node.input.c;
        f((y * node.output.w + x) * node.output.c, from);
    }
}

/// The words in front of a node from those behind it; the places by which their unit has moved.
fn pass_back(isa: Isa, node: &Node, op: Op, error: &Words, places: &[u8], out: &mut [i16]) -> i32 {
    let (from, to, c) = (node.output.len(), node.input.len(), node.input.c);
    let images = || error.words.par_chunks(from);
    match op {
        Op::MaxPool(pool) => {
            unpool_images(isa, node, pool, (&error.words, places), out, (-i16::MAX, i16::MAX));
            0
        }
        Op::AvgPool(Pool { size, stride, .. }) => {
            let (share, places) = share(size * size);
            out.par_chunks_mut(to).zip(images()).for_each(|(out, error)| {
                out.fill(0);
                let mut shares = vec![0; c];
                for (o, error) in error.chunks_exact(c).enumerate() {
                    let (oy, ox) = (o / node.output.w * stride, o % node.output.w * stride);
                    shares.iter_mut().zip(error).for_each(|(to, error)| *to = share(*error));
                    for y in oy..oy + size {
                        for pixel in out[(y * node.input.w + ox) * c..][..size * c].chunks_exact_mut(c) {
                            pixel.copy_from_slice(&shares);
                        }
                    }
                }
            });
            places
        }
        Op::GlobalAvgPool => {
            let (share, places) = share(node.input.h * node.input.w);
            out.par_chunks_mut(to).zip(images()).for_each(|(out, error)| {
                let shares: Vec<i16> = error.iter().map(|error| share(*error)).collect();
                out.chunks_exact_mut(c).for_each(|pixel| pixel.copy_from_slice(&shares));
            });
            places
        }
        Op::Shortcut { stride } => {
            out.par_chunks_mut(to).zip(images()).for_each(|(out, error)| {
                out.fill(0);
                each_kept(node, stride, |from, to| out[to..to + c].copy_from_slice(&error[from..from + c]));
            });
            0
        }
        _ => unreachable!("its errors pass by themselves"),
    }
}

/// An error's share in a mean of `pixels`: `word * 2^m / pixels`, rounded, with the largest `2^m <= pixels`; and `-m`.
fn share(pixels: usize) -> (impl Fn(i16) -> i16 + Sync, i32) {
    let m = pixels.ilog2();
    let pixels = i64::try_from(pixels).unwrap_or(i64::MAX);
    let share = move |word: i16| {
        let share = Round::NearestDown.ratio(i64::from(word) << m, pixels);
        let held = share.clamp(-i64::from(i16::MAX), i64::from(i16::MAX));
        <i16 as Integer>::from_i64(held)
    };
    (share, -m.cast_signed())
}
