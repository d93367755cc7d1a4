//! Products of a graph of integers: payloads to words, errors' payloads to words, gradients.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::requantize::{self, Trace};
use intrain_kernels::{Isa, max_abs};
use intrain_num::Scale;
use intrain_num::random::{Purpose, Stream, Words as RandomWords};

use super::errors::{Cut, Words, surplus};
use super::{Block, IntegerGraph};
use crate::carrier::Carrier;
use crate::engine::Mode;
use crate::integer::rounding;
use crate::network::StepKey;
use crate::plan::BlockPlan;
use crate::threads;
use crate::width::Width;

/// The largest sum of magnitudes of the weights that one input channel meets: no error sum is larger than that times the
/// largest error.
pub(super) fn reach<W: Width>(plan: &BlockPlan, weights: &[W::Weight]) -> u64 {
    let p = &plan.product;
    let mut sums = vec![0_u64; p.input.c];
    for (row, weights) in weights.chunks_exact(p.output.c).enumerate() {
        let magnitude = |w: &W::Weight| -> u64 {
            let w: i64 = (*w).into();
            w.unsigned_abs()
        };
        sums[row % p.input.c] += weights.iter().map(magnitude).sum::<u64>();
    }
    sums.into_iter().max().unwrap_or(0)
}

impl<W: Width> IntegerGraph<W> {
    /// The product of node `i`: words, or exact logits where it is the last one.
    pub(super) fn product(&mut self, isa: Isa, i: usize, b: usize, n: usize, mode: Mode) {
        let (node, is_last) = (&self.nodes[i], i + 1 == self.nodes.len());
        let Block { plan, part, images, .. } = &mut self.blocks[b];
        let (product, _) = part.product();
        let input = &self.tensors.payloads[node.sources[0]];
        product.prepare_forward(isa, plan, input);
        let product = &*product;
        let (item_in, item_out) = (*images * plan.product.input.len(), *images * plan.product.output.len());
        if is_last {
            let logits = &mut self.tensors.logits;
            logits.resize(n * plan.product.output.len(), W::Sum::default());
            let items = input.chunks(item_in).zip(logits.chunks_mut(item_out));
            threads::for_each(&mut self.scratches, items, |scratch, (input, out)| {
                product.forward_into(isa, plan, input, &mut scratch.staged, out);
            });
            return;
        }
        let q = plan.activation_at_product;
        let (round, stream) = rounding(q.round, Purpose::Activation, plan.index, mode);
        let (shift, min, max) = (plan.sum_frac_bits - q.format.frac_bits(), q.format.min(), q.format.max());
        let words = &mut self.tensors.words[i];
        words.resize(n * plan.product.output.len(), 0);
        let items = input.chunks(item_in).zip(words.chunks_mut(item_out)).enumerate();
        threads::for_each(&mut self.scratches, items, |scratch, (i, (input, out))| {
            product.forward(isa, plan, input, scratch);
            let (sums, first_element, trace) = (&scratch.sums[..], (i * item_out) as u64, Trace::None);
            let words = stream.map(RandomWords::Stream);
            requantize::run(
                isa,
                requantize::Args { sums, out, shift, round, min, max, words, first_element, trace },
            );
        });
    }

    /// What the product of node `i` learns from the error at its output, and the error in front of it.
    pub(super) fn product_back(&mut self, isa: Isa, i: usize, b: usize, error: &Cut<W>, key: StepKey) {
        let source = self.nodes[i].sources[0];
        let Block { plan, part, gradient, gradient_max, bias_gradient, exponents, .. } = &mut self.blocks[b];
        let (product, _) = part.product();
        let operands = (&self.tensors.payloads[source][..], &error.payloads[..]);
        *gradient_max = product.gradient(isa, plan, operands, gradient, &mut self.scratches);
        *exponents = [error.exponent - plan.input_operand.frac_bits, error.exponent];
        if let Some(sums) = bias_gradient {
            W::bias_gradient(plan, &error.payloads, sums, &mut self.scratches);
        }
        // The image learns nothing.
        if source != 0 {
            let words = self.buffer(source);
            let before = self.error_of_product(isa, b, error, words, key);
            self.give(isa, source, before);
        }
    }

    /// The error in front of a product: the row `error.product`, shifted by what it provably needs.
    fn error_of_product(
        &mut self,
        isa: Isa,
        b: usize,
        error: &Cut<W>,
        mut words: Vec<i16>,
        key: StepKey,
    ) -> Words {
        let Block { plan, part, images, .. } = &mut self.blocks[b];
        let (product, reach) = part.product();
        let bound = u128::from(error.largest) * u128::from(*reach);
        product.prepare_error(isa, plan, &error.payloads);
        let product = &*product;
        let q = plan.error_at_product;
        debug_assert_eq!(q.scale, Scale::Bound, "the plan has refused others");
        let narrower = 16_u32.saturating_sub(q.format.bits());
        let shift = (surplus(bound) + narrower).cast_signed();
        let stream = Stream::new(key.seed, Purpose::ErrorAtProduct, plan.index, key.step);
        let (round, stream) = (q.round, q.round.is_stochastic().then_some(stream));
        let (min, max) = (-q.format.max(), q.format.max());
        let (item_in, item_out) = (*images * plan.product.input.len(), *images * plan.product.output.len());
        let largest = AtomicU64::new(0);
        let items = error.payloads.chunks(item_out).zip(words.chunks_mut(item_in)).enumerate();
        threads::for_each(&mut self.scratches, items, |scratch, (i, (error, out))| {
            product.error(isa, plan, error, scratch);
            let (sums, first_element, trace) = (&scratch.sums[..], (i * item_in) as u64, Trace::None);
            let target = &mut *out;
            let words = stream.map(RandomWords::Stream);
            requantize::run(
                isa,
                requantize::Args { sums, out: target, shift, round, min, max, words, first_element, trace },
            );
            largest.fetch_max(max_abs::run(isa, out), Ordering::Relaxed);
        });
        let exponent = error.exponent - plan.weight.operand.frac_bits + shift;
        Words { words, exponent, largest: largest.into_inner() }
    }
}
