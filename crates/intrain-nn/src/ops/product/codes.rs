//! The forward product of codes by signs, in integers: the sum first, then the step of the codes and the filter's scale.
//!
//! HWGQ, arXiv 1702.00953 section 3.3; section 9 of `docs/arithmetic.md`. The backward pass is one of floats: errors are.

use intrain_kernels::pack::{PackedSigns, pack_signs_into, quads_of_signs};
use intrain_kernels::stage::{Conv, Quad};
use intrain_kernels::{Isa, activation, dot_signs, product};
use intrain_num::Format;
use rayon::prelude::*;

use crate::layers::conv::{Direction, Lend, geometry, linear_rows};
use crate::layers::product::Product;
use crate::operands::Dot;
use crate::plan::{BlockPlan, Codes};
use crate::scratch::Scratch;
use crate::threads;
use crate::width::Int8;

/// Elements that a thread turns to codes at a time.
const CHUNK: usize = 1 << 14;

/// A block's signs, and its codes of the batch.
pub(super) struct CodeProduct {
    codes: Codes,
    kernels: Kernels,
    /// What a sum of 1 is worth, for each filter.
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

/// How codes and signs are multiplied.
enum Kernels {
    /// Both as bytes.
    Bytes(Box<Bytes>),
    /// Codes of 2 bits and signs of one: what has whole quads of channels in each step, and columns enough.
    Quads(Box<Quads>),
}

struct Bytes {
    product: Product<Int8>,
    entered: Vec<i8>,
}

/// Codes of 2 bits, four in a byte.
struct Quads {
    direction: Direction<Signs>,
    signs: Vec<u8>,
    entered: Vec<Quad>,
}

/// Products of quads by signs.
enum Signs {}

impl Dot for Signs {
    type Code = Quad;
    type Sum = i32;
    type Packed = PackedSigns;

    fn dot(isa: Isa, args: product::Args<'_, PackedSigns>) {
        dot_signs::run(isa, args);
    }
}

impl Quads {
    /// None where the byte product is the faster one, or the only one.
    fn new(plan: &BlockPlan, codes: Codes, batch_size: usize) -> Option<Self> {
        // Channels of a step, which must be whole; and fewer columns leave too many lanes idle.
        const CHANNELS: usize = 16;
        const COLUMNS: usize = 32;
        let p = &plan.product;
        let is_2_bits =
            matches!(codes.quantizer.format, Format::Levels(_)) && codes.quantizer.format.max() <= 3;
        if !is_2_bits || p.groups > 1 || !p.input.c.is_multiple_of(CHANNELS) || p.output.c < COLUMNS {
            return None;
        }
        let conv = geometry(p, linear_rows(batch_size));
        let conv = Conv { c_in: conv.c_in / 4, ..conv };
        let addresses = (conv.forward_layout(), conv.forward::<Quad>(1));
        let direction = Direction::new(addresses, PackedSigns::default);
        Some(Self { direction, signs: vec![], entered: vec![] })
    }
}

impl Kernels {
    /// Keeps the codes of all images.
    fn enter(&mut self, isa: Isa, (plan, codes): (&BlockPlan, Codes), input: &[f32]) {
        match self {
            Self::Bytes(bytes) => {
                bytes.entered.resize(input.len(), 0);
                let chunks = bytes.entered.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK));
                chunks.for_each(|(entered, x)| activation::codes(isa, &codes.quantizer, x, entered));
                bytes.product.prepare_forward(isa, plan, &bytes.entered);
            }
            Self::Quads(quads) => {
                quads.entered.resize(input.len() / 4, Quad::default());
                let chunks = quads.entered.par_chunks_mut(CHUNK / 4).zip(input.par_chunks(CHUNK));
                chunks.for_each(|(entered, x)| {
                    let mut buffer = [0; CHUNK];
                    let of_chunk = &mut buffer[..x.len()];
                    activation::codes(isa, &codes.quantizer, x, of_chunk);
                    Quad::from_codes(of_chunk, entered);
                });
            }
        }
    }
}

impl CodeProduct {
    pub(super) fn new(plan: &BlockPlan, codes: Codes, batch_size: usize) -> Self {
        let kernels = match Quads::new(plan, codes, batch_size) {
            Some(quads) => Kernels::Quads(Box::new(quads)),
            None => {
                Kernels::Bytes(Box::new(Bytes { product: Product::new(plan, batch_size), entered: vec![] }))
            }
        };
        Self { codes, kernels, scales: vec![], zeros: vec![] }
    }

    /// From the weights as they are read: signs, times a magnitude that all of a filter share.
    pub(super) fn load(&mut self, isa: Isa, plan: &BlockPlan, weights: &[f32]) {
        let n = plan.product.output.c;
        self.scales.clear();
        self.scales.extend(weights[..n].iter().map(|w| w.abs() * self.codes.step));
        match &mut self.kernels {
            Kernels::Bytes(bytes) => {
                bytes.product.weights.clear();
                let signs = weights.iter().map(|w| if w.is_sign_negative() { -1_i8 } else { 1 });
                bytes.product.weights.extend(signs);
                bytes.product.load(isa, plan);
            }
            Kernels::Quads(quads) => {
                quads_of_signs(weights, n, |w| !w.is_sign_negative(), &mut quads.signs);
                quads.direction.pack(&quads.signs, pack_signs_into);
            }
        }
    }

    pub(super) fn forward(
        &mut self,
        isa: Isa,
        (plan, images): (&BlockPlan, usize),
        (input, bias): (&[f32], &[f32]),
        out: &mut [f32],
        scratches: &mut [Scratch],
    ) {
        let Self { codes, kernels, scales, zeros } = self;
        kernels.enter(isa, (plan, *codes), input);
        let (p, kernels) = (&plan.product, &*kernels);
        zeros.resize(p.output.c, 0.0);
        let offsets = if bias.is_empty() { zeros } else { bias };
        let of_item = images * p.input.len();
        let items = out.chunks_mut(images * p.output.len()).enumerate();
        threads::for_each(scratches, items, |scratch, (i, out)| {
            let scratch: &mut crate::layers::conv::Scratch<Int8> = scratch.lend();
            let (start, end) = (i * of_item, ((i + 1) * of_item).min(input.len()));
            scratch.sums.resize(out.len(), 0);
            let (staged, sums) = (&mut scratch.staged, &mut scratch.sums);
            match kernels {
                Kernels::Bytes(bytes) => {
                    bytes.product.forward_into(isa, plan, &bytes.entered[start..end], staged, sums);
                }
                Kernels::Quads(quads) => {
                    let entered = &quads.entered[start / 4..end / 4];
                    quads.direction.run(isa, (entered, 0), None, staged, sums);
                }
            }
            activation::values(isa, &scratch.sums, [scales, offsets], out);
        });
    }
}

#[cfg(test)]
mod tests {
    use intrain_num::Format;

    use super::*;
    use crate::plan::Plan;

    /// Sums in the plainest loops, then one product and one rounding for each: as quads and as bytes.
    #[test]
    fn the_sum_is_exact_and_scaled_once() {
        for (model, spec) in [
            ("vgg-small:48", "hwgq"),
            ("vgg-small:32", "hwgq:2"),
            ("vgg-small:8", "hwgq"),
            ("vgg-small:8", "hwgq:sign"),
            ("vgg-small:32", "hwgq:7"),
        ] {
            let model = intrain_model::preset(model).unwrap();
            let plan = Plan::build(&model, &intrain_recipe::preset(spec).unwrap(), 2).unwrap();
            let blocks: Vec<_> = plan.blocks.iter().filter(|block| block.codes.is_some()).collect();
            assert_eq!(blocks.len(), 5, "{spec}");
            // Of two sizes, the last with several groups of columns where channels are many.
            check(blocks[0], spec);
            check(blocks[4], spec);
        }
    }

    fn check(block: &BlockPlan, spec: &str) {
        let (codes, p) = (block.codes.unwrap(), &block.product);
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
        let weight =
            |i: usize| if noise(i + 7).is_multiple_of(2) { magnitude(i % n) } else { -magnitude(i % n) };
        let weights: Vec<f32> = (0..p.n_weights()).map(weight).collect();
        let mut product = CodeProduct::new(block, codes, 2);
        product.load(Isa::best(), block, &weights);
        let mut out = vec![0.0; 2 * p.output.len()];
        let mut scratches = [Scratch::default(), Scratch::default()];
        product.forward(Isa::best(), (block, 1), (&input, &[]), &mut out, &mut scratches);
        for (i, &value) in out.iter().enumerate() {
            let (image, pixel, o) = (i / p.output.len(), i % p.output.len() / n, i % n);
            let mut sum = 0_i32;
            for tap in 0..9 {
                let (y, x) = (pixel / p.output.w + tap / 3, pixel % p.output.w + tap % 3);
                if y == 0 || x == 0 || y > p.input.h || x > p.input.w {
                    continue;
                }
                let at = image * p.input.len() + ((y - 1) * p.input.w + x - 1) * p.input.c;
                for c in 0..p.input.c {
                    let sign = if weights[(tap * p.input.c + c) * n + o] < 0.0 { -1 } else { 1 };
                    sum += sign * i32::try_from(entered[at + c]).unwrap();
                }
            }
            #[allow(clippy::cast_precision_loss, reason = "small sums")]
            let expected = sum as f32 * (magnitude(o) * codes.step) + 0.0;
            assert_eq!(value.to_bits(), expected.to_bits(), "{spec}: element {i}");
        }
    }
}
