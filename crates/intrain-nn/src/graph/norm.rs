//! Batch normalization, both ways (Ioffe and Szegedy 2015, arXiv 1502.03167), in floats.
//!
//! Moments are sums over images in their order, each image's own sum first: the same for any number of threads.

use intrain_kernels::{Isa, norm};
use rayon::prelude::*;

use crate::carrier::Mode;
use crate::float::FloatProduct;
use crate::parameters::{Gradient, Moments, Parameters, Stored};
use crate::plan::BlockPlan;

/// What is added to a variance before its root: that of both PyTorch and Caffe.
const EPSILON: f64 = 1e-5;

/// One normalization's state between its passes.
#[derive(Default)]
pub(super) struct Norm {
    /// Mean and variance of all batches, for evaluation.
    running: Option<Moments>,
    /// Mean and unbiased variance of this batch.
    batch: Moments,
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
    pub(super) fn load(&mut self, parameters: &Parameters) {
        self.running.clone_from(&parameters.moments);
    }

    /// Mean and unbiased variance of the last batch; none before there was one.
    pub(super) fn moments(&self) -> Option<&Moments> {
        (!self.batch.mean.is_empty()).then_some(&self.batch)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "moments are rounded to f32"
    )]
    pub(super) fn forward(
        &mut self,
        isa: Isa,
        (plan, affine): (&BlockPlan, &FloatProduct),
        x: &[f32],
        out: &mut [f32],
        mode: Mode,
    ) {
        let c = plan.product.output.c;
        self.mean.resize(c, 0.0);
        self.inverse.resize(c, 0.0);
        match (mode, &self.running) {
            (Mode::Evaluation, Some(running)) => {
                self.mean.copy_from_slice(&running.mean);
                let inverses = running.variance.iter().map(|&v| inverse(v.into()));
                self.inverse.iter_mut().zip(inverses).for_each(|(to, inverse)| *to = inverse);
            }
            _ => {
                let image = plan.product.output.len();
                self.sum(x, image, c, |x, sums| norm::add_moments(isa, x, sums));
                let n = (x.len() / c) as f64;
                self.batch.mean.resize(c, 0.0);
                self.batch.variance.resize(c, 0.0);
                for i in 0..c {
                    let mean = self.sums[i] / n;
                    let variance = (self.sums[c + i] / n - mean * mean).max(0.0);
                    self.mean[i] = mean as f32;
                    self.inverse[i] = inverse(variance);
                    self.batch.mean[i] = mean as f32;
                    self.batch.variance[i] = (variance * n / (n - 1.0).max(1.0)) as f32;
                }
            }
        }
        let [gain, offset] = &mut self.line;
        gain.clear();
        offset.clear();
        for i in 0..c {
            let (own_gain, own_offset) = affine.gain_and_offset(i);
            gain.push(own_gain * self.inverse[i]);
            offset.push(own_offset - self.mean[i] * gain[i]);
        }
        let line = [&gain[..], &offset[..]];
        let chunk = chunk(c);
        out.par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .for_each(|(out, x)| norm::apply(isa, x, line, out));
    }

    /// Sums of each image over all threads, then of all images in their order, into `self.sums`.
    fn sum(&mut self, x: &[f32], image: usize, c: usize, add: impl Fn(&[f32], &mut [f64]) + Sync) {
        self.sum_pairs([x, x], image, c, |[x, _], sums| add(x, sums));
    }

    fn sum_pairs(
        &mut self,
        [x, y]: [&[f32]; 2],
        image: usize,
        c: usize,
        add: impl Fn([&[f32]; 2], &mut [f64]) + Sync,
    ) {
        // Vectors come many at a time: a part of one pixel would be all overhead.
        let part = image * (PART / image).max(1);
        self.partial.clear();
        self.partial.resize(x.len().div_ceil(part) * 2 * c, 0.0);
        let parts = self.partial.par_chunks_mut(2 * c).zip(x.par_chunks(part)).zip(y.par_chunks(part));
        parts.for_each(|((sums, x), y)| add([x, y], sums));
        self.sums.clear();
        self.sums.resize(2 * c, 0.0);
        for part in self.partial.chunks_exact(2 * c) {
            self.sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }

    /// The gradients of gain and offset, and the line back.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sums are rounded to f32"
    )]
    pub(super) fn prepare_back(
        &mut self,
        isa: Isa,
        (plan, affine): (&BlockPlan, &FloatProduct),
        [x, dy]: [&[f32]; 2],
        (gain, offset): (&mut Gradient, Option<&mut Gradient>),
    ) {
        let c = plan.product.output.c;
        let (mean, inverse) = (std::mem::take(&mut self.mean), std::mem::take(&mut self.inverse));
        let statistics = [&mean[..], &inverse[..]];
        self.sum_pairs([x, dy], plan.product.output.len(), c, |pair, sums| {
            norm::add_products(isa, pair, statistics, sums);
        });
        let (errors, products) = self.sums.split_at(c);
        if let (Gradient::F32(gain), Some(Gradient::F32(offset))) = (gain, offset) {
            gain.clear();
            gain.extend(products.iter().map(|&sum| sum as f32));
            offset.clear();
            offset.extend(errors.iter().map(|&sum| sum as f32));
        }
        // dx = gain * inverse * (dy - mean(dy) - xhat * mean(dy * xhat)) with xhat = (x - mean) * inverse.
        let n = (x.len() / c) as f64;
        self.back.iter_mut().for_each(Vec::clear);
        for i in 0..c {
            let (mean, inverse) = (f64::from(mean[i]), f64::from(inverse[i]));
            let p = f64::from(affine.gain_and_offset(i).0) * inverse;
            let q = -p * inverse * products[i] / n;
            self.back[0].push(p as f32);
            self.back[1].push(q as f32);
            self.back[2].push((-p * errors[i] / n - q * mean) as f32);
        }
        (self.mean, self.inverse) = (mean, inverse);
    }

    pub(super) fn back(&self, isa: Isa, [x, dy]: [&[f32]; 2], out: &mut [f32]) {
        let [p, q, r] = &self.back;
        let chunk = chunk(p.len());
        out.par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .zip(dy.par_chunks(chunk))
            .for_each(|((out, x), dy)| norm::back(isa, [x, dy], [p, q, r], out));
    }
}

impl FloatProduct {
    /// Of a channel; 1 and 0 where none are learned.
    fn gain_and_offset(&self, channel: usize) -> (f32, f32) {
        let of = |values: &[f32], default: f32| values.get(channel).copied().unwrap_or(default);
        (of(&self.weight, 1.0), of(&self.bias, 0.0))
    }
}

impl Parameters {
    /// Mean 0 and variance 1: what evaluation takes before any step.
    pub(crate) fn initial_moments(channels: usize) -> Moments {
        Moments { mean: vec![0.0; channels], variance: vec![1.0; channels] }
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

/// Elements that a thread takes at a time, about.
const PART: usize = 1 << 14;

/// Whole pixels of about as many elements.
fn chunk(c: usize) -> usize {
    c * (PART / c).max(1)
}
