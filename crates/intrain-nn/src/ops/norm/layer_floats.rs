//! Layer normalization, both ways (Ba et al. 2016, arXiv 1607.06450), in floats: a pixel's channels by their own moments.
//!
//! Nothing is kept between the passes: mean and deviation of a pixel are computed once more in the backward pass. Gradients are
//! sums over parts of whole images, part after part: the same for any number of threads.

use rayon::prelude::*;

use super::batch_floats::{Statistics, part};
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::BlockPlan;

/// Gain and offset of each channel, as read.
#[derive(Default)]
pub(crate) struct LayerNorm {
    gain: Vec<f32>,
    offset: Vec<f32>,
    /// Sums of each part of the batch, `[part, 2 * channels]`, and of all.
    partial: Vec<f64>,
    total: Vec<f64>,
}

/// Mean and `1 / sqrt(variance + epsilon)` of a pixel.
fn statistics(x: &[f32]) -> [f32; 2] {
    let (mut sum, mut squares) = (0.0, 0.0);
    for x in x {
        let x = f64::from(*x);
        sum += x;
        squares += x * x;
    }
    let Statistics { mean, inverse, .. } = Statistics::new(sum, squares, x.len());
    [mean, inverse]
}

impl LayerNorm {
    pub(crate) fn load(&mut self, plan: &BlockPlan, parameters: &Parameters) {
        let c = plan.product.output.c;
        if let (Stored::F32(gain), Some(Stored::F32(offset))) = (&parameters.weight, &parameters.bias) {
            self.gain.clone_from(gain);
            self.offset.clone_from(offset);
        } else {
            self.gain.clear();
            self.gain.resize(c, 1.0);
            self.offset.clear();
            self.offset.resize(c, 0.0);
        }
    }

    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32]) {
        let c = self.gain.len();
        out.par_chunks_exact_mut(c).zip(x.par_chunks_exact(c)).for_each(|(out, x)| {
            let [mean, inverse] = statistics(x);
            for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
                *out = (x - mean) * inverse * self.gain[i] + self.offset[i];
            }
        });
    }

    /// The error behind the norm becomes that in front of it; the gradients of gain and offset on the way.
    ///
    /// `dx = inverse * (u - mean(u) - value * mean(u * value))` with `u = dy * gain`, means over the pixel's channels.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sums are rounded to f32"
    )]
    pub(crate) fn back(
        &mut self,
        plan: &BlockPlan,
        (x, dy): (&[f32], &mut [f32]),
        (gain, offset): (&mut Gradient, Option<&mut Gradient>),
    ) {
        let c = self.gain.len();
        let part = part(plan.product.output.len());
        let mut partial = std::mem::take(&mut self.partial);
        partial.clear();
        partial.resize(x.len().div_ceil(part) * 2 * c, 0.0);
        let of_part = |(sums, (x, dy)): (&mut [f64], (&[f32], &mut [f32]))| {
            for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact_mut(c)) {
                let [mean, inverse] = statistics(x);
                let value = |i: usize| (x[i] - mean) * inverse;
                let (mut errors, mut products) = (0.0, 0.0);
                for (i, dy) in dy.iter().enumerate() {
                    let u = f64::from(dy * self.gain[i]);
                    errors += u;
                    products += u * f64::from(value(i));
                    sums[i] += f64::from(*dy) * f64::from(value(i));
                    sums[c + i] += f64::from(*dy);
                }
                let (errors, products) = ((errors / c as f64) as f32, (products / c as f64) as f32);
                for (i, dy) in dy.iter_mut().enumerate() {
                    *dy = inverse * (*dy * self.gain[i] - errors - value(i) * products);
                }
            }
        };
        let parts = x.par_chunks(part).zip(dy.par_chunks_mut(part));
        partial.par_chunks_mut(2 * c).zip(parts).for_each(of_part);
        self.total.clear();
        self.total.resize(2 * c, 0.0);
        for sums in partial.chunks_exact(2 * c) {
            self.total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        self.partial = partial;
        let total = &self.total;
        if let (Gradient::F32(gain), Some(Gradient::F32(offset))) = (gain, offset) {
            gain.clear();
            gain.extend(total[..c].iter().map(|sum| *sum as f32));
            offset.clear();
            offset.extend(total[c..].iter().map(|sum| *sum as f32));
        }
    }
}
