//! Batch normalization, both ways (Ioffe and Szegedy 2015, arXiv 1502.03167), in floats.
//!
//! Moments are sums over images in their order, each image's own sum first: the same for any number of threads.

use intrain_kernels::{Isa, activation, norm};
use intrain_num::Quantizer;
use rayon::prelude::*;

use crate::key::Mode;
use crate::parameters::{Gradient, Moments, Parameters, Stored};
use crate::plan::BlockPlan;
use crate::scratch::{Rounded, Scratch};
use crate::threads;

/// What is added to a variance before its root: that of both PyTorch and Caffe.
const EPSILON: f64 = 1e-5;

/// What a channel is normalized by: section 9 of `docs/arithmetic.md`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Mean.
    pub mean: f32,
    /// `1 / sqrt(biased variance + epsilon)`.
    pub inverse: f32,
    /// Unbiased variance.
    pub variance: f32,
}

impl Statistics {
    /// From the sum of `n` values and that of their squares.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "each is rounded to f32 once"
    )]
    pub fn new(sum: f64, squares: f64, n: usize) -> Self {
        let n = n as f64;
        let mean = sum / n;
        let variance = (squares / n - mean * mean).max(0.0);
        let unbiased = variance * n / (n - 1.0).max(1.0);
        Self { mean: mean as f32, inverse: inverse(variance), variance: unbiased as f32 }
    }
}

/// One normalization's state between its passes.
#[derive(Default)]
pub(crate) struct Norm {
    /// Of each channel; empty where none are learned.
    gain: Vec<f32>,
    offset: Vec<f32>,
    /// Mean and variance of all batches, for evaluation.
    running: Option<[Vec<f32>; 2]>,
    /// Mean and unbiased variance of this batch; none before the first.
    batch: Option<Moments>,
    mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)`.
    inverse: Vec<f32>,
    /// Gain and offset of the line that normalizes.
    line: [Vec<f32>; 2],
    /// Of the line back: see [`norm::back`].
    back: [Vec<f32>; 3],
    /// Sums of each image, `[image, 2 * channels]`.
    partial: Vec<f64>,
    sums: Vec<f64>,
}

impl Norm {
    pub(crate) fn load(&mut self, parameters: &Parameters) {
        let read = |stored: &Stored, to: &mut Vec<f32>| match stored {
            Stored::F32(values) => to.clone_from(values),
            Stored::I8(_) | Stored::I16(_) | Stored::I32(_) => {
                unreachable!("a float norm is stored in floats")
            }
        };
        match &parameters.moments {
            Some(Moments { mean, spread }) => {
                let [running_mean, running_variance] = self.running.get_or_insert_default();
                read(mean, running_mean);
                read(spread, running_variance);
            }
            None => self.running = None,
        }
        // Without an offset there is no gain that would be learned.
        if let Some(offset) = &parameters.bias {
            read(&parameters.weight, &mut self.gain);
            read(offset, &mut self.offset);
        }
    }

    /// Mean and unbiased variance of the last batch; none before there was one.
    pub(crate) const fn moments(&self) -> Option<&Moments> {
        self.batch.as_ref()
    }

    pub(crate) fn forward(
        &mut self,
        isa: Isa,
        (plan, activation): (&BlockPlan, Option<Quantizer>),
        x: &[f32],
        out: &mut [f32],
        mode: Mode,
    ) {
        let c = plan.product.output.c;
        self.mean.resize(c, 0.0);
        self.inverse.resize(c, 0.0);
        match (mode, &self.running) {
            (Mode::Evaluation, Some([mean, variance])) => {
                self.mean.copy_from_slice(mean);
                let inverses = variance.iter().map(|&v| inverse(v.into()));
                self.inverse.iter_mut().zip(inverses).for_each(|(to, inverse)| *to = inverse);
            }
            _ => {
                let image = plan.product.output.len();
                self.sum(isa, x, image);
                let empty = || Moments { mean: Stored::F32(vec![]), spread: Stored::F32(vec![]) };
                let batch = self.batch.get_or_insert_with(empty);
                if let Moments { mean: Stored::F32(means), spread: Stored::F32(variances) } = batch {
                    variances.clear();
                    for i in 0..c {
                        let Statistics { mean, inverse, variance } =
                            Statistics::new(self.sums[i], self.sums[c + i], x.len() / c);
                        (self.mean[i], self.inverse[i]) = (mean, inverse);
                        variances.push(variance);
                    }
                    means.clone_from(&self.mean);
                }
            }
        }
        self.line.iter_mut().for_each(Vec::clear);
        for i in 0..c {
            let (gain, offset) = self.gain_and_offset(i);
            let gain = gain * self.inverse[i];
            self.line[0].push(gain);
            self.line[1].push(offset - self.mean[i] * gain);
        }
        let [gain, offset] = &self.line;
        let line = [&gain[..], &offset[..]];
        let chunk = chunk(c);
        out.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(out, x)| {
            norm::apply(isa, x, line, out);
            if let Some(quantizer) = &activation {
                activation::forward(isa, quantizer, out);
            }
        });
    }

    /// The batch's sums and sums of squares.
    fn sum(&mut self, isa: Isa, x: &[f32], image: usize) {
        let (part, c) = (part(image), self.mean.len());
        let partial = cleared(&mut self.partial, x.len().div_ceil(part) * 2 * c);
        partial.par_chunks_mut(2 * c).zip(x.par_chunks(part)).for_each(|(sums, x)| {
            norm::add_moments(isa, x, sums);
        });
        self.add_parts(c);
    }

    /// Adds the sums of all parts up, in their order.
    fn add_parts(&mut self, c: usize) {
        let sums = cleared(&mut self.sums, 2 * c);
        for part in self.partial.chunks_exact(2 * c) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }

    /// The error behind the norm, or behind its activation, becomes that in front of it; the gradients of gain and
    /// offset on the way. `x` is what had entered.
    pub(crate) fn back(
        &mut self,
        isa: Isa,
        (plan, activation): (&BlockPlan, Option<Quantizer>),
        (x, dy): (&[f32], &mut [f32]),
        gradients: (&mut Gradient, Option<&mut Gradient>),
        scratches: &mut [Scratch],
    ) {
        let c = plan.product.output.c;
        let (part, chunk) = (part(plan.product.output.len()), chunk(c));
        let partial = cleared(&mut self.partial, x.len().div_ceil(part) * 2 * c);
        let (line, statistics) = ([&self.line[0][..], &self.line[1]], [&self.mean[..], &self.inverse]);
        let parts = partial.chunks_mut(2 * c).zip(x.chunks(part)).zip(dy.chunks_mut(part));
        threads::for_each(scratches, parts, |scratch, ((sums, x), dy)| {
            for (x, dy) in x.chunks(chunk).zip(dy.chunks_mut(chunk)) {
                if let Some(quantizer) = &activation {
                    // What entered the activation, once more: cheaper than to keep it.
                    let y = f32::of_scratch(scratch);
                    y.resize(x.len(), 0.0);
                    norm::apply(isa, x, line, y);
                    activation::back(isa, quantizer, y, dy);
                }
                norm::add_products(isa, [x, dy], statistics, sums);
            }
        });
        self.add_parts(c);
        self.weight_gradient(x.len() / c, gradients);
        let [p, q, r] = &self.back;
        dy.par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .for_each(|(dy, x)| norm::back(isa, x, [p, q, r], dy));
    }

    /// The gradients of gain and offset, and the line back, from the sums over `n` pixels.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sums are rounded to f32"
    )]
    fn weight_gradient(&mut self, n: usize, (gain, offset): (&mut Gradient, Option<&mut Gradient>)) {
        let c = self.mean.len();
        let (errors, products) = self.sums.split_at(c);
        if let (Gradient::F32(gain), Some(Gradient::F32(offset))) = (gain, offset) {
            gain.clear();
            gain.extend(products.iter().map(|&sum| sum as f32));
            offset.clear();
            offset.extend(errors.iter().map(|&sum| sum as f32));
        }
        // dx = gain * inverse * (dy - mean(dy) - xhat * mean(dy * xhat)) with xhat = (x - mean) * inverse.
        let n = n as f64;
        let mut lines = std::mem::take(&mut self.back);
        lines.iter_mut().for_each(Vec::clear);
        for i in 0..c {
            let (mean, inverse) = (f64::from(self.mean[i]), f64::from(self.inverse[i]));
            let p = f64::from(self.gain_and_offset(i).0) * inverse;
            let q = -p * inverse * products[i] / n;
            lines[0].push(p as f32);
            lines[1].push(q as f32);
            lines[2].push((-p * errors[i] / n - q * mean) as f32);
        }
        self.back = lines;
    }

    /// Of a channel; 1 and 0 where none are learned.
    fn gain_and_offset(&self, channel: usize) -> (f32, f32) {
        let of = |values: &[f32], default: f32| values.get(channel).copied().unwrap_or(default);
        (of(&self.gain, 1.0), of(&self.offset, 0.0))
    }
}

impl Parameters {
    /// Mean 0 and variance 1: what evaluation takes before any step.
    pub(crate) fn initial_moments(channels: usize) -> Moments {
        Moments { mean: Stored::F32(vec![0.0; channels]), spread: Stored::F32(vec![1.0; channels]) }
    }

    /// A gain of 1 for each channel.
    pub(crate) fn initial_gain(channels: usize) -> Stored {
        Stored::F32(vec![1.0; channels])
    }
}

#[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
fn inverse(variance: f64) -> f32 {
    (1.0 / (variance + EPSILON).sqrt()) as f32
}

/// Elements whose sums a thread takes on their own, at least.
const PART: usize = 1 << 14;
/// Elements that stay in the first-level cache, with what is made of them.
const CHUNK: usize = 1 << 12;

/// Whole images.
pub(super) fn part(image: usize) -> usize {
    image * (PART / image).max(1)
}

/// Whole pixels.
fn chunk(c: usize) -> usize {
    c * (CHUNK / c).max(1)
}

/// So many zeros.
fn cleared(buffer: &mut Vec<f64>, len: usize) -> &mut [f64] {
    buffer.clear();
    buffer.resize(len, 0.0);
    buffer
}
