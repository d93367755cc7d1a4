//! The executor: node by node over the whole batch, forward in topological order and back again.
//!
//! Nothing here is generic: each operation looks at the element types of what enters and takes its kernel. A node keeps its
//! result for the backward pass; errors are kept no longer than they are needed. Sums of integers are exact and those of
//! floats have an order that depends on shapes alone, so a result is the same for any number of threads.

mod backward;
mod forward;
mod measure;

use std::sync::Arc;

use intrain_kernels::Isa;
use intrain_num::Real;
use rayon::prelude::*;

use crate::block::{Block, Part};
use crate::key::{Mode, StepKey};
use crate::loss::{self, Outcome};
use crate::machine::Machine;
use crate::ops::product::Workspace;
use crate::parameters::{BlockGradient, Moments, Parameters};
use crate::plan::{Element as ElementType, InputPlan, LossPlan, Op, Plan};
use crate::scratch::Scratch;
use crate::stats::TensorStats;
use crate::tensor::{Activation, Buffers, Element, Error, Tensor};
use crate::width::Kept;

/// A network's nodes and buffers.
pub(crate) struct Executor {
    plan: Arc<Plan>,
    /// What each pixel value becomes, in the type of the image's node.
    pixels: Tensor,
    blocks: Vec<Block>,
    /// The result of each node.
    results: Vec<Activation>,
    /// Errors at nodes that have more than one reader or no product: they add up.
    wide: Vec<Option<Error>>,
    /// Errors at products, as their backward products read them.
    codes: Vec<Option<Error>>,
    space: Workspace,
    /// Errors at the logits, in front of their rounding.
    loss_errors: Vec<Real>,
    /// Of the last backward pass whose tensors were measured.
    stats: Vec<TensorStats>,
    collects_stats: bool,
}

impl Executor {
    /// With products on `machine` where there is one.
    pub(crate) fn new(plan: &Arc<Plan>, isa: Isa, n_threads: usize, machine: Option<&dyn Machine>) -> Self {
        let n = plan.nodes.len();
        let mut products: Vec<_> = plan.blocks.iter().map(|_| None).collect();
        if let Some(machine) = machine {
            for node in &plan.nodes {
                if let Op::Product(product) = &node.op {
                    let block = plan.blocks[product.block].dense();
                    products[product.block] = Some(machine.product(&block, product));
                }
            }
        }
        let blocks = plan.blocks.iter().zip(products);
        Self {
            plan: Arc::clone(plan),
            pixels: pixels(&plan.input, plan.nodes[0].storage.element()),
            blocks: blocks.map(|(block, machine)| Block::new(block, plan.batch_size, machine)).collect(),
            results: (0..n).map(|_| Activation::default()).collect(),
            wide: (0..n).map(|_| None).collect(),
            codes: (0..n).map(|_| None).collect(),
            space: Workspace {
                isa,
                scratches: (0..n_threads).map(|_| Scratch::default()).collect(),
                free: Buffers::default(),
                kept: Kept::default(),
                words: vec![],
            },
            loss_errors: vec![],
            stats: vec![],
            collects_stats: false,
        }
    }

    /// Reads the stored weights of all blocks.
    pub(crate) fn load(&mut self, parameters: &[Parameters], mode: Mode) {
        let isa = self.space.isa;
        let blocks = self.blocks.par_iter_mut().zip(parameters);
        blocks.for_each(|(block, parameters)| block.load(isa, parameters, mode));
    }

    /// Runs `images` (pixels `[n, h, w, c]`) to the logits.
    pub(crate) fn forward(&mut self, images: &[u8], mode: Mode) {
        for i in 0..self.plan.nodes.len() {
            self.run(i, images, mode);
        }
        Scratch::equalize_capacity(&mut self.space.scratches);
    }

    /// The last result, and the loss with the fraction bits that it has in this step.
    pub(crate) fn logits(&self) -> (&Tensor, LossPlan) {
        let last = &self.results[self.results.len() - 1];
        (&last.tensor, LossPlan { logits_frac_bits: last.frac_bits, ..self.plan.loss })
    }

    /// The result of a node, where it is one of floats.
    pub(crate) fn floats(&self, node: usize) -> &[f32] {
        match &self.results[node].tensor {
            Tensor::F32(values) => values,
            _ => &[],
        }
    }

    /// How well the last forward pass answered.
    pub(crate) fn outcome(&self, labels: &[u16]) -> Outcome {
        let (logits, loss) = self.logits();
        match logits {
            Tensor::F32(logits) => loss::evaluate(&loss, |i| logits[i].into(), labels),
            logits => loss::evaluate(&loss, |i| loss::real(loss.logits_frac_bits, logits.integer(i)), labels),
        }
    }

    /// Runs the errors of the last forward pass back and leaves the gradients.
    pub(crate) fn backward(&mut self, labels: &[u16], key: StepKey) {
        self.stats.clear();
        self.start(labels, key);
        for i in (1..self.plan.nodes.len()).rev() {
            self.run_back(i, key);
        }
        Scratch::equalize_capacity(&mut self.space.scratches);
    }

    /// The gradients of a block after a backward pass.
    pub(crate) fn gradient(&self, block: usize) -> BlockGradient<'_> {
        let Block { gradients, .. } = &self.blocks[block];
        BlockGradient {
            weight: &gradients.weight,
            weight_max: gradients.weight_max,
            bias: gradients.bias.as_ref(),
            exponents: self.plan.keeps_exponents.then_some(gradients.exponents),
            moments: self.batch_moments(block),
        }
    }

    pub(crate) fn batch_moments(&self, block: usize) -> Option<&Moments> {
        match &self.blocks[block].part {
            Part::Norm(norm) => norm.moments(),
            Part::Product(_) => None,
        }
    }

    pub(crate) fn collect_stats(&mut self, on: bool) {
        self.collects_stats = on;
    }

    pub(crate) fn stats(&self) -> &[TensorStats] {
        &self.stats
    }

    /// Images in the batch that has been run.
    fn n_images(&self) -> usize {
        self.results[0].tensor.len() / self.plan.nodes[0].output.len()
    }

    /// The block whose product leaves what a node reads, behind a pooling or not.
    fn product_behind(&self, node: usize) -> (usize, &crate::plan::Product) {
        match &self.plan.nodes[node].op {
            Op::Product(product) => (product.block, product),
            _ => self.product_behind(self.plan.nodes[node].sources[0]),
        }
    }
}

/// What each of the 256 values of a pixel becomes.
fn pixels(input: &InputPlan, element: Option<ElementType>) -> Tensor {
    fn narrow<T: intrain_kernels::Integer + Element>(input: &InputPlan) -> Tensor {
        T::tensor(input.codes().map(T::from_i64).collect())
    }
    #[allow(clippy::cast_precision_loss, reason = "both numbers are below 2^10")]
    let float = |p| {
        let (numerator, denominator) = input.pixels.fraction(p);
        numerator as f32 / denominator as f32
    };
    match element {
        Some(ElementType::I8) => narrow::<i8>(input),
        Some(ElementType::F32) => Tensor::F32((0..=255).map(float).collect()),
        _ => narrow::<i16>(input),
    }
}
