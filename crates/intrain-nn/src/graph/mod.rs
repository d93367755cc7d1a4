//! A network that is no chain, in motion: node by node over the whole batch, in floats between its products.
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads. A node keeps
//! its result for the way back; errors are kept no longer than they are needed.

mod codes;
mod layer_norm;
pub(crate) mod norm;
mod pointwise;

use intrain_kernels::Isa;
use intrain_num::Quantizer;
use rayon::prelude::*;

use crate::carrier::Carrier;
use crate::engine::Engine;
use crate::engine::Mode;
use crate::float::Float;
use crate::layers::conv::{Product, Scratch};
use crate::loss::{self, Outcome, error_floats};
use crate::network::{BlockGradient, StepKey};
use crate::parameters::{Gradient, Parameters};
use crate::plan::{BlockPlan, GraphPlan, Node, Op, Plan, ProductKind};
use crate::threads;
use crate::watch::{Measure, Seen};
use crate::width::Int8;
use codes::CodeProduct;
use layer_norm::LayerNorm;
use norm::Norm;

/// Nodes, blocks and their buffers.
pub(crate) struct Graph {
    pixels: Vec<f32>,
    nodes: Vec<Node>,
    /// How each node is computed.
    forms: Vec<Form>,
    /// The result of each node, `[batch, output]`; empty where the node behind it has taken its place.
    results: Vec<Vec<f32>>,
    /// Which element of its window each result of a max pooling is; else empty.
    places: Vec<Vec<u8>>,
    /// The error behind each node that has one already.
    errors: Vec<Option<Vec<f32>>>,
    /// Buffers of errors that nobody needs any more.
    free: Vec<Vec<f32>>,
    blocks: Vec<Block>,
    /// Of the last backward pass, where it is watched.
    seen: Vec<Seen>,
    is_watched: bool,
    scratches: Vec<Scratch<Float>>,
    code_scratches: Vec<Scratch<Int8>>,
}

/// Which buffers a node's result passes: a tensor that only the next node reads need not go to memory and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// From the results before it to one of its own.
    Alone,
    /// A norm with the activation of that number, in one pass; its own result is kept nowhere.
    WithActivation(usize),
    /// An activation that its norm computes.
    ByNorm,
    /// A ReLU that takes over the buffer of what enters it: what passed is positive.
    InPlace,
}

impl Form {
    fn of_all(nodes: &[Node], blocks: &[BlockPlan]) -> Vec<Self> {
        let mut readers = vec![0; nodes.len()];
        nodes.iter().flat_map(|node| &node.sources).for_each(|&source| readers[source] += 1);
        let mut forms = vec![Self::Alone; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            let (Op::Activation(quantizer), [source]) = (node.op, &node.sources[..]) else { continue };
            match nodes[*source].op {
                _ if readers[*source] > 1 => {}
                Op::Norm(b) if blocks[b].product.kind == ProductKind::BatchNorm => {
                    (forms[*source], forms[i]) = (Self::WithActivation(i), Self::ByNorm);
                }
                Op::Product(_) | Op::Add if quantizer == Quantizer::FLOAT => forms[i] = Self::InPlace,
                _ => {}
            }
        }
        forms
    }
}

/// A layer with parameters.
struct Block {
    plan: BlockPlan,
    part: Part,
    /// The forward product, where it is one of integers.
    codes: Option<Box<CodeProduct>>,
    gradient: Gradient,
    bias_gradient: Option<Gradient>,
    /// Images that a thread takes at a time.
    images: usize,
}

/// What a layer with parameters computes.
enum Part {
    Product(Box<Product<Float>>),
    BatchNorm(Box<Norm>),
    LayerNorm(LayerNorm),
}

impl Part {
    fn product(&mut self) -> &mut Product<Float> {
        match self {
            Self::Product(product) => product,
            Self::BatchNorm(_) | Self::LayerNorm(_) => {
                unreachable!("the plan says that the node is a product")
            }
        }
    }
}

impl Graph {
    pub(crate) fn new(plan: &Plan, graph: &GraphPlan, n_threads: usize) -> Self {
        let block = |block: &BlockPlan| Block {
            plan: block.clone(),
            part: match block.product.kind {
                ProductKind::BatchNorm => Part::BatchNorm(Box::default()),
                ProductKind::LayerNorm => Part::LayerNorm(LayerNorm::default()),
                ProductKind::Conv | ProductKind::Linear => {
                    Part::Product(Box::new(Product::new(block, plan.batch_size)))
                }
            },
            codes: block.codes.map(|codes| Box::new(CodeProduct::new(block, codes, plan.batch_size))),
            gradient: Gradient::F32(vec![]),
            bias_gradient: block.product.bias.then(|| Gradient::F32(vec![])),
            images: Float::images_at_a_time(block, plan.batch_size),
        };
        let n = graph.nodes.len();
        Self {
            pixels: Float::pixels(&plan.input),
            nodes: graph.nodes.clone(),
            forms: Form::of_all(&graph.nodes, &plan.blocks),
            results: vec![vec![]; n],
            places: vec![vec![]; n],
            errors: vec![None; n],
            free: vec![],
            blocks: plan.blocks.iter().map(block).collect(),
            seen: vec![],
            is_watched: false,
            scratches: (0..n_threads).map(|_| Scratch::default()).collect(),
            code_scratches: (0..n_threads).map(|_| Scratch::default()).collect(),
        }
    }

    fn logits(&self) -> &[f32] {
        self.results.last().map_or(&[], |result| result)
    }

    /// The result of a node from those before it.
    fn run(&mut self, isa: Isa, i: usize, images: &[u8], mode: Mode) {
        let node = &self.nodes[i];
        let n = images.len() / self.nodes[0].output.len();
        let (to, activation) = match self.forms[i] {
            Form::ByNorm => return,
            Form::InPlace => {
                self.results.swap(i, node.sources[0]);
                pointwise::activation(isa, &Quantizer::FLOAT, &mut self.results[i]);
                return;
            }
            Form::WithActivation(to) => (to, Some(to)),
            Form::Alone => (i, None),
        };
        let mut out = std::mem::take(&mut self.results[to]);
        out.resize(n * node.output.len(), 0.0);
        let source = |k: usize| &self.results[node.sources[k]][..];
        match node.op {
            Op::Image => pointwise::pixels(images, &self.pixels, &mut out),
            Op::Product(b) => {
                let Block { plan, part, images, codes, .. } = &mut self.blocks[b];
                let input = &self.results[node.sources[0]];
                if let Some(codes) = codes {
                    let operands = (&input[..], &part.product().bias[..]);
                    codes.forward(isa, (plan, *images), operands, &mut out, &mut self.code_scratches);
                    self.results[to] = out;
                    return;
                }
                part.product().forward_all(isa, (plan, *images), input, &mut out, &mut self.scratches);
            }
            Op::Norm(b) => {
                let activation = activation.and_then(|i| quantizer_of(&self.nodes[i]));
                let Block { plan, part, .. } = &mut self.blocks[b];
                let x = &self.results[node.sources[0]];
                match part {
                    Part::BatchNorm(norm) => norm.forward(isa, (plan, activation), x, &mut out, mode),
                    Part::LayerNorm(norm) => norm.forward(x, &mut out),
                    Part::Product(_) => unreachable!("the plan says that the node is a norm"),
                }
            }
            Op::MaxPool(pool) => {
                self.places[i].resize(out.len(), 0);
                pointwise::max_pool(isa, node, pool, source(0), &mut out, &mut self.places[i]);
            }
            Op::AvgPool(pool) => pointwise::avg_pool(node, pool, source(0), &mut out),
            Op::GlobalAvgPool => pointwise::global_avg_pool(node, source(0), &mut out),
            Op::Activation(quantizer) => {
                pointwise::copy(source(0), &mut out);
                pointwise::activation(isa, &quantizer, &mut out);
            }
            Op::Add => pointwise::add([source(0), source(1)], &mut out),
            Op::Concat => {
                let mut first = 0;
                for &source in &node.sources {
                    let c = self.nodes[source].output.c;
                    let channels = first..first + c;
                    pointwise::put_channels(&self.results[source], channels, node.output.c, &mut out);
                    first += c;
                }
            }
            Op::Shortcut { stride } => pointwise::shortcut(node, stride, source(0), &mut out),
        }
        self.results[to] = out;
    }

    /// The errors in front of a node, from the error behind it; a block's gradients on the way.
    fn run_back(&mut self, isa: Isa, i: usize) {
        let Some(mut error) = self.errors[i].take() else { return };
        if self.is_watched {
            self.see(i, &error);
        }
        let node = &self.nodes[i];
        let source = node.sources.first().copied().unwrap_or(0);
        match node.op {
            Op::Norm(b) => {
                let activation = match self.forms[i] {
                    Form::WithActivation(i) => quantizer_of(&self.nodes[i]),
                    _ => None,
                };
                let Block { plan, part, gradient, bias_gradient, .. } = &mut self.blocks[b];
                let (tensors, gradients) =
                    ((&self.results[source][..], &mut error[..]), (gradient, bias_gradient.as_mut()));
                match part {
                    Part::BatchNorm(norm) => {
                        norm.back(isa, (plan, activation), tensors, gradients, &mut self.scratches);
                    }
                    Part::LayerNorm(norm) => norm.back(plan, tensors, gradients),
                    Part::Product(_) => unreachable!("the plan says that the node is a norm"),
                }
                self.give(source, error);
            }
            Op::Activation(quantizer) => {
                match self.forms[i] {
                    Form::ByNorm => {}
                    Form::InPlace => {
                        pointwise::activation_back(isa, &quantizer, &self.results[i], &mut error);
                    }
                    _ => pointwise::activation_back(isa, &quantizer, &self.results[source], &mut error),
                }
                self.give(source, error);
            }
            Op::Add => {
                let other = node.sources[1];
                self.give_copy(source, &error);
                self.give(other, error);
            }
            Op::Concat => {
                let (sources, whole) = (node.sources.clone(), node.output.c);
                let mut first = 0;
                for source in sources {
                    let c = self.nodes[source].output.c;
                    let mut before = self.buffer(source);
                    pointwise::take_channels(&error, first..first + c, whole, &mut before);
                    self.give(source, before);
                    first += c;
                }
                self.free.push(error);
            }
            op => {
                if let Op::Product(b) = op {
                    self.learn(isa, b, source, &error);
                }
                // The image learns nothing.
                if source != 0 {
                    let mut before = self.buffer(source);
                    self.error_of(isa, i, &error, &mut before);
                    self.give(source, before);
                }
                self.free.push(error);
            }
        }
    }

    /// Measures what leaves a quantizer, and the error at a product.
    fn see(&mut self, i: usize, error: &[f32]) {
        let node = &self.nodes[i];
        let (role, measure) = match node.op {
            Op::Activation(quantizer) => ("activation", Measure::of_floats(&self.results[i], &quantizer)),
            Op::Product(_) => ("error", Measure::of_floats(error, &Quantizer::FLOAT)),
            _ => return,
        };
        self.seen.push(Seen { layer: node.name.clone(), role, measure });
    }

    /// The gradients of a product.
    fn learn(&mut self, isa: Isa, block: usize, source: usize, error: &[f32]) {
        let Block { plan, part, gradient, bias_gradient, .. } = &mut self.blocks[block];
        let operands = (&self.results[source][..], error);
        let _ = part.product().gradient(isa, plan, operands, gradient, &mut self.scratches);
        if let Some(sums) = bias_gradient {
            Float::bias_gradient(plan, error, sums, &mut self.scratches);
        }
    }

    /// What a node's error is in front of it, where that has another shape.
    fn error_of(&mut self, isa: Isa, i: usize, error: &[f32], out: &mut [f32]) {
        let node = &self.nodes[i];
        match node.op {
            Op::Product(b) => {
                let Block { plan, part, images, .. } = &mut self.blocks[b];
                part.product().error_all(isa, (plan, *images), error, out, &mut self.scratches);
            }
            Op::MaxPool(pool) => pointwise::max_pool_back(isa, node, pool, error, &self.places[i], out),
            Op::AvgPool(pool) => pointwise::avg_pool_back(node, pool, error, out),
            Op::GlobalAvgPool => pointwise::global_avg_pool_back(node, error, out),
            Op::Shortcut { stride } => pointwise::shortcut_back(node, stride, error, out),
            Op::Image | Op::Norm(_) | Op::Activation(_) | Op::Add | Op::Concat => {
                unreachable!("its errors pass by themselves")
            }
        }
    }

    /// A buffer for errors behind a node, with anything in it.
    fn buffer(&mut self, node: usize) -> Vec<f32> {
        let n = self.results[0].len() / self.nodes[0].output.len();
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.resize(n * self.nodes[node].output.len(), 0.0);
        buffer
    }

    /// One of the errors behind a node: they add up.
    fn give(&mut self, node: usize, error: Vec<f32>) {
        match &mut self.errors[node] {
            Some(sum) => {
                pointwise::add_to(sum, &error);
                self.free.push(error);
            }
            none => *none = Some(error),
        }
    }

    /// The same where the error is needed elsewhere too.
    fn give_copy(&mut self, node: usize, error: &[f32]) {
        if let Some(sum) = &mut self.errors[node] {
            pointwise::add_to(sum, error);
        } else {
            let mut copy = self.buffer(node);
            pointwise::copy(error, &mut copy);
            self.errors[node] = Some(copy);
        }
    }
}

/// What an activation does.
const fn quantizer_of(node: &Node) -> Option<Quantizer> {
    match node.op {
        Op::Activation(quantizer) => Some(quantizer),
        _ => None,
    }
}

impl Engine for Graph {
    fn load(&mut self, isa: Isa, parameters: &[Parameters], mode: Mode) {
        self.blocks.par_iter_mut().zip(parameters).for_each(|(block, parameters)| {
            let Block { plan, part, codes, .. } = block;
            match part {
                Part::Product(product) => {
                    Float::load(isa, plan, product, parameters, mode);
                    if let Some(codes) = codes {
                        codes.load(isa, plan, &product.weights);
                    }
                }
                Part::BatchNorm(norm) => norm.load(parameters),
                Part::LayerNorm(norm) => norm.load(plan, parameters),
            }
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
        self.seen.clear();
        let mut error = self.free.pop().unwrap_or_default();
        error.clear();
        let logits = self.logits();
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        error.extend(error_floats(&plan.loss, |i| logits[i].into(), labels).map(|e| e as f32));
        let last = self.nodes.len() - 1;
        self.errors[last] = Some(error);
        (0..self.nodes.len()).rev().for_each(|i| self.run_back(isa, i));
    }

    fn watch(&mut self, on: bool) {
        self.is_watched = on;
    }

    fn seen(&self) -> &[Seen] {
        &self.seen
    }

    fn gradient(&self, block: usize) -> BlockGradient<'_> {
        let Block { part, gradient, bias_gradient, .. } = &self.blocks[block];
        let moments = match part {
            Part::BatchNorm(norm) => norm.moments(),
            Part::Product(_) | Part::LayerNorm(_) => None,
        };
        BlockGradient {
            weight: gradient,
            weight_max: None,
            bias: bias_gradient.as_ref(),
            exponents: None,
            moments,
        }
    }
}

impl Product<Float> {
    /// All images through a product.
    fn forward_all(
        &mut self,
        isa: Isa,
        (plan, images): (&BlockPlan, usize),
        input: &[f32],
        out: &mut [f32],
        scratches: &mut [Scratch<Float>],
    ) {
        let p = &plan.product;
        self.prepare_forward(isa, plan, input);
        let items = input.chunks(images * p.input.len()).zip(out.chunks_mut(images * p.output.len()));
        threads::for_each(scratches, items, |scratch, (input, out)| {
            self.forward_into(isa, plan, input, &mut scratch.staged, out);
        });
    }

    /// All errors back through it.
    fn error_all(
        &mut self,
        isa: Isa,
        (plan, images): (&BlockPlan, usize),
        error: &[f32],
        out: &mut [f32],
        scratches: &mut [Scratch<Float>],
    ) {
        let p = &plan.product;
        self.prepare_error(isa, plan, error);
        let items = error.chunks(images * p.output.len()).zip(out.chunks_mut(images * p.input.len()));
        threads::for_each(scratches, items, |scratch, (error, out)| {
            self.error_into(isa, plan, error, &mut scratch.staged, out);
        });
    }
}
