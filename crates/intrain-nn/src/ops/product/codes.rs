//! The forward product of codes by signs, in integers: the sum first, then the step of the codes and the filter's scale.
//!
//! HWGQ, arXiv 1702.00953 section 3.3; section 9 of `docs/arithmetic.md`. The backward pass is one of floats: errors are.

use intrain_kernels::{Isa, activation};
use rayon::prelude::*;

use crate::layers::conv::Lend;
use crate::layers::product::Product;
use crate::plan::{BlockPlan, Codes};
use crate::scratch::Scratch;
use crate::threads;
use crate::width::Int8;

/// Elements that a thread turns to codes at a time.
const CHUNK: usize = 1 << 14;

/// A block's signs, and its codes of the batch.
pub(super) struct CodeProduct {
    codes: Codes,
    product: Product<Int8>,
    /// What a sum of 1 is worth, for each filter.
    scales: Vec<f32>,
    entered: Vec<i8>,
    zeros: Vec<f32>,
}

impl CodeProduct {
    pub(super) fn new(plan: &BlockPlan, codes: Codes, batch_size: usize) -> Self {
        Self {
            codes,
            product: Product::new(plan, batch_size),
            scales: vec![],
            entered: vec![],
            zeros: vec![],
        }
    }

    /// From the weights as they are read: signs, times a magnitude that all of a filter share.
    pub(super) fn load(&mut self, isa: Isa, plan: &BlockPlan, weights: &[f32]) {
        self.product.weights.clear();
        self.product.weights.extend(weights.iter().map(|w| if w.is_sign_negative() { -1_i8 } else { 1 }));
        self.scales.clear();
        let first = &weights[..plan.product.output.c];
        self.scales.extend(first.iter().map(|w| w.abs() * self.codes.step));
        self.product.load(isa, plan);
    }

    pub(super) fn forward(
        &mut self,
        isa: Isa,
        (plan, images): (&BlockPlan, usize),
        (input, bias): (&[f32], &[f32]),
        out: &mut [f32],
        scratches: &mut [Scratch],
    ) {
        let Self { codes, product, scales, entered, zeros } = self;
        entered.resize(input.len(), 0);
        entered
            .par_chunks_mut(CHUNK)
            .zip(input.par_chunks(CHUNK))
            .for_each(|(codes_out, x)| activation::codes(isa, &codes.quantizer, x, codes_out));
        product.prepare_forward(isa, plan, entered);
        let (p, product) = (&plan.product, &*product);
        zeros.resize(p.output.c, 0.0);
        let offsets = if bias.is_empty() { zeros } else { bias };
        let items = entered.chunks(images * p.input.len()).zip(out.chunks_mut(images * p.output.len()));
        threads::for_each(scratches, items, |scratch, (input, out)| {
            let scratch: &mut crate::layers::conv::Scratch<Int8> = scratch.lend();
            scratch.sums.resize(out.len(), 0);
            product.forward_into(isa, plan, input, &mut scratch.staged, &mut scratch.sums);
            activation::values(isa, &scratch.sums, [scales, offsets], out);
        });
    }
}

#[cfg(test)]
mod tests {
    use intrain_num::Format;

    use super::*;
    use crate::plan::Plan;

    /// Sums in the plainest loops, then one product and one rounding for each.
    #[test]
    fn the_sum_is_exact_and_scaled_once() {
        let model = intrain_model::preset("vgg-small:8").unwrap();
        for spec in ["hwgq", "hwgq:sign", "hwgq:7"] {
            let plan = Plan::build(&model, &intrain_recipe::preset(spec).unwrap(), 2).unwrap();
            let block = plan.blocks.iter().find(|block| block.codes.is_some()).unwrap();
            let codes = block.codes.unwrap();
            let p = &block.product;
            let noise = |i: usize| u32::try_from(i).unwrap().wrapping_mul(0x9E37_79B9) >> 16;
            let range = codes.quantizer.format.max() - codes.quantizer.format.min() + 1;
            let code = |i: usize| {
                let code = i64::from(noise(i)) % range + codes.quantizer.format.min();
                if codes.quantizer.format == Format::Binary && code == 0 { 1 } else { code }
            };
            let entered: Vec<i64> = (0..2 * p.input.len()).map(code).collect();
            let input: Vec<f32> = entered.iter().map(|&c| codes.quantizer.value_as_float(c)).collect();
            let n = p.output.c;
            let magnitude = |o: usize| 0.1 + f32::from(u8::try_from(o).unwrap()) / 16.0;
            let weights: Vec<f32> = (0..p.n_weights())
                .map(|i| if noise(i + 7) % 2 == 0 { magnitude(i % n) } else { -magnitude(i % n) })
                .collect();
            let mut product = CodeProduct::new(block, codes, 2);
            product.load(Isa::best(), block, &weights);
            let mut out = vec![0.0; 2 * p.output.len()];
            let mut scratches = [Scratch::default(), Scratch::default()];
            product.forward(Isa::best(), (block, 1), (&input, &[]), &mut out, &mut scratches);
            for (i, &value) in out.iter().enumerate() {
                let (image, pixel, o) = (i / p.output.len(), i % p.output.len() / n, i % n);
                let mut sum = 0_i32;
                for (tap, c) in (0..9).flat_map(|tap| (0..p.input.c).map(move |c| (tap, c))) {
                    let (y, x) = (pixel / p.output.w + tap / 3, pixel % p.output.w + tap % 3);
                    if y == 0 || x == 0 || y > p.input.h || x > p.input.w {
                        continue;
                    }
                    let at = image * p.input.len() + ((y - 1) * p.input.w + x - 1) * p.input.c + c;
                    let sign = if weights[(tap * p.input.c + c) * n + o] < 0.0 { -1 } else { 1 };
                    sum += sign * i32::try_from(entered[at]).unwrap();
                }
                #[allow(clippy::cast_precision_loss, reason = "small sums")]
                let expected = sum as f32 * (magnitude(o) * codes.step) + 0.0;
                assert_eq!(value.to_bits(), expected.to_bits(), "{spec}: element {i}");
            }
        }
    }
}
