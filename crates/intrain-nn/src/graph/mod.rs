//! A network that is no chain, in motion: node by node over the whole batch, in floats between its products.
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads. A node keeps
//! its result for the way back; errors are kept no longer than they are needed.

mod norm;
mod pointwise;

use intrain_kernels::Isa;
use rayon::prelude::*;

use crate::carrier::{Carrier, Mode};
use crate::float::{Float, FloatProduct, FloatScratch, Way};
use crate::loss::{self, Outcome, error_floats};
use crate::network::{BlockGradient, Engine, StepKey};
use crate::parameters::{Gradient, Parameters};
use crate::plan::{BlockPlan, GraphPlan, Node, Op, Plan};
use crate::threads;
use norm::Norm;

/// Nodes, blocks and their buffers.
pub(crate) struct Graph {
    pixels: Vec<f32>,
    nodes: Vec<Node>,
    /// The result of each node, `[batch, output]`.
    results: Vec<Vec<f32>>,
    /// Which element of its window each result of a max pooling is; else empty.
    places: Vec<Vec<u8>>,
    /// The error behind each node that has one already.
    errors: Vec<Option<Vec<f32>>>,
    /// Buffers of errors that nobody needs any more.
    free: Vec<Vec<f32>>,
    blocks: Vec<Block>,
    scratches: Vec<FloatScratch>,
}

/// A layer with parameters.
struct Block {
    plan: BlockPlan,
    product: FloatProduct,
    norm: Norm,
    gradient: Gradient,
    bias_gradient: Option<Gradient>,
    /// Images that a thread takes at a time.
    images: usize,
}

impl Graph {
    pub(crate) fn new(plan: &Plan, graph: &GraphPlan, n_threads: usize) -> Self {
        let block = |block: &BlockPlan| Block {
            plan: block.clone(),
            product: FloatProduct::default(),
            norm: Norm::default(),
            gradient: Gradient::F32(vec![]),
            bias_gradient: block.product.bias.then(|| Gradient::F32(vec![])),
            images: Float::images_at_a_time(block, plan.batch_size),
        };
        let n = graph.nodes.len();
        Self {
            pixels: Float::pixels(&plan.input),
            nodes: graph.nodes.clone(),
            results: vec![vec![]; n],
            places: vec![vec![]; n],
            errors: vec![None; n],
            free: vec![],
            blocks: plan.blocks.iter().map(block).collect(),
            scratches: (0..n_threads).map(|_| FloatScratch::default()).collect(),
        }
    }

    fn logits(&self) -> &[f32] {
        self.results.last().map_or(&[], |result| result)
    }

    /// The result of a node from those before it.
    fn run(&mut self, isa: Isa, i: usize, images: &[u8], mode: Mode) {
        let node = &self.nodes[i];
        let n = images.len() / self.nodes[0].output.len();
        let mut out = std::mem::take(&mut self.results[i]);
        out.resize(n * node.output.len(), 0.0);
        let source = |k: usize| &self.results[node.sources[k]][..];
        match node.op {
            Op::Image => pointwise::pixels(images, &self.pixels, &mut out),
            Op::Product(b) => {
                let Block { plan, product, images, .. } = &self.blocks[b];
                product.forward_all(isa, (plan, *images), source(0), &mut out, &mut self.scratches);
            }
            Op::Norm(b) => {
                let Block { plan, product, norm, .. } = &mut self.blocks[b];
                norm.forward(isa, (plan, product), &self.results[node.sources[0]], &mut out, mode);
            }
            Op::MaxPool(pool) => {
                self.places[i].resize(out.len(), 0);
                pointwise::max_pool(isa, node, pool, source(0), &mut out, &mut self.places[i]);
            }
            Op::AvgPool(pool) => pointwise::avg_pool(node, pool, source(0), &mut out),
            Op::GlobalAvgPool => pointwise::global_avg_pool(node, source(0), &mut out),
            Op::Activation(quantizer) => pointwise::activation(isa, &quantizer, source(0), &mut out),
            Op::Add => pointwise::add([source(0), source(1)], &mut out),
            Op::Shortcut { stride } => pointwise::shortcut(node, stride, source(0), &mut out),
        }
        self.results[i] = out;
    }

    /// The errors in front of a node, from the error behind it; a block's gradients on the way.
    fn run_back(&mut self, isa: Isa, i: usize) {
        let Some(error) = self.errors[i].take() else { return };
        let node = &self.nodes[i];
        let sources = node.sources.clone();
        if let Op::Product(b) = node.op {
            let Block { plan, product, gradient, bias_gradient, .. } = &mut self.blocks[b];
            let operands = (&self.results[sources[0]][..], &error[..]);
            let _ = Float::gradient(isa, plan, product, operands, gradient, &mut self.scratches);
            if let Some(sums) = bias_gradient {
                Float::bias_gradient(plan, &error, sums, &mut self.scratches);
            }
        }
        if let Op::Norm(b) = node.op {
            let Block { plan, product, norm, gradient, bias_gradient, .. } = &mut self.blocks[b];
            let gradients = (gradient, bias_gradient.as_mut());
            norm.prepare_back(isa, (plan, product), [&self.results[sources[0]], &error], gradients);
        }
        for (k, &source) in sources.iter().enumerate() {
            // The image learns nothing.
            if source == 0 {
                continue;
            }
            let mut buffer = self.free.pop().unwrap_or_default();
            buffer.resize(self.results[source].len(), 0.0);
            self.error_of(isa, i, &error, &mut buffer);
            match &mut self.errors[source] {
                Some(sum) => {
                    pointwise::add_to(sum, &buffer);
                    self.free.push(buffer);
                }
                none => *none = Some(buffer),
            }
            debug_assert!(k < 2, "at most two outputs enter a node");
        }
        self.free.push(error);
    }

    /// What a node's error is in front of it.
    fn error_of(&mut self, isa: Isa, i: usize, error: &[f32], out: &mut [f32]) {
        let node = &self.nodes[i];
        let entered = &self.results[node.sources[0]][..];
        match node.op {
            Op::Image => {}
            Op::Product(b) => {
                let Block { plan, product, images, .. } = &mut self.blocks[b];
                Float::prepare_error(isa, plan, product, error);
                product.error_all(isa, (plan, *images), error, out, &mut self.scratches);
            }
            Op::Norm(b) => self.blocks[b].norm.back(isa, [entered, error], out),
            Op::MaxPool(pool) => pointwise::max_pool_back(isa, node, pool, error, &self.places[i], out),
            Op::AvgPool(pool) => pointwise::avg_pool_back(node, pool, error, out),
            Op::GlobalAvgPool => pointwise::global_avg_pool_back(node, error, out),
            Op::Activation(quantizer) => pointwise::activation_back(isa, &quantizer, [entered, error], out),
            Op::Add => out.copy_from_slice(error),
            Op::Shortcut { stride } => pointwise::shortcut_back(node, stride, error, out),
        }
    }
}

impl Engine for Graph {
    fn load(&mut self, isa: Isa, parameters: &[Parameters], mode: Mode) {
        self.blocks.par_iter_mut().zip(parameters).for_each(|(block, parameters)| {
            Float::load(isa, &block.plan, &mut block.product, parameters, mode);
            block.norm.load(parameters);
        });
    }

    fn forward(&mut self, isa: Isa, images: &[u8], mode: Mode) {
        (0..self.nodes.len()).for_each(|i| self.run(isa, i, images, mode));
    }

    fn outcome(&self, plan: &Plan, labels: &[u16]) -> Outcome {
        let logits = self.logits();
        loss::evaluate(&plan.loss, |i| logits[i].into(), labels)
    }

    fn backward(&mut self, isa: Isa, plan: &Plan, labels: &[u16], _: StepKey) {
        let mut error = self.free.pop().unwrap_or_default();
        error.clear();
        let logits = self.logits();
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        error.extend(error_floats(&plan.loss, |i| logits[i].into(), labels).map(|e| e as f32));
        let last = self.nodes.len() - 1;
        self.errors[last] = Some(error);
        (0..self.nodes.len()).rev().for_each(|i| self.run_back(isa, i));
    }

    fn gradient(&self, block: usize) -> BlockGradient<'_> {
        let Block { norm, gradient, bias_gradient, .. } = &self.blocks[block];
        BlockGradient {
            weight: gradient,
            weight_max: None,
            bias: bias_gradient.as_ref(),
            moments: norm.moments(),
        }
    }
}

impl FloatProduct {
    /// All images through a product.
    fn forward_all(
        &self,
        isa: Isa,
        (plan, images): (&BlockPlan, usize),
        input: &[f32],
        out: &mut [f32],
        scratches: &mut [FloatScratch],
    ) {
        let p = &plan.product;
        let items = input.chunks(images * p.input.len()).zip(out.chunks_mut(images * p.output.len()));
        threads::for_each(scratches, items, |scratch, (input, out)| {
            self.multiply(isa, plan, Way::Forward, input, scratch, out);
        });
    }

    /// All errors back through it.
    fn error_all(
        &self,
        isa: Isa,
        (plan, images): (&BlockPlan, usize),
        error: &[f32],
        out: &mut [f32],
        scratches: &mut [FloatScratch],
    ) {
        let p = &plan.product;
        let items = error.chunks(images * p.output.len()).zip(out.chunks_mut(images * p.input.len()));
        threads::for_each(scratches, items, |scratch, (error, out)| {
            self.multiply(isa, plan, Way::Back, error, scratch, out);
        });
    }
}
