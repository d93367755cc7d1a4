//! A network with norms or residual sums in motion, in integers: node by node over the whole batch.
//!
//! Payloads enter products and words leave them; an activation adds up its terms and rounds once (`intrain-plan/src/integer_graph.rs`).
//! Errors keep the power of two that they are worth, so that those of two ways around can be added. Every sum is exact, so
//! nothing depends on how the work is cut.
#![deny(clippy::float_arithmetic)]

mod between;
mod errors;
mod layer_norm;
mod norm;
mod product;

use intrain_kernels::Isa;
use rayon::prelude::*;

use crate::carrier::Carrier;
use crate::engine::Engine;
use crate::engine::Mode;
use crate::layers::conv::{Product, Scratch};
use crate::loss::{self, Outcome};
use crate::network::{BlockGradient, StepKey};
use crate::parameters::{Gradient, Parameters};
use crate::plan::{BlockPlan, GraphPlan, Node, Op, Plan, ProductKind};
use crate::watch::{Measure, Seen};
use crate::width::Width;
use errors::{Cut, Words};
use layer_norm::LayerNorm;
use norm::Norm;
pub(crate) use norm::initial;

/// Nodes, blocks and their buffers.
pub(crate) struct IntegerGraph<W: Width> {
    pixels: Vec<W::Payload>,
    nodes: Vec<Node>,
    tensors: Tensors<W>,
    /// Errors behind nodes that leave payloads, where there are any yet.
    errors: Vec<Option<Words>>,
    /// Errors behind nodes that leave words.
    cuts: Vec<Option<Cut<W>>>,
    /// Buffers of errors that nobody needs any more.
    free: Vec<Vec<i16>>,
    blocks: Vec<Block<W>>,
    seen: Vec<Seen>,
    is_watched: bool,
    rooms: Vec<Room>,
    scratches: Vec<Scratch<W>>,
}

/// What each node leaves, `[batch, output]`; all but one are empty.
struct Tensors<W: Width> {
    /// Of nodes whose results enter products.
    payloads: Vec<Vec<W::Payload>>,
    /// Of products and poolings behind them.
    words: Vec<Vec<i16>>,
    /// What the way back must know of an activation.
    traces: Vec<Vec<u8>>,
    /// Which element of its window each result of a max pooling is.
    places: Vec<Vec<u8>>,
    /// Of the last product, exactly.
    logits: Vec<W::Sum>,
}

/// One thread's buffers.
#[derive(Default)]
struct Room {
    /// Sums of 32 bits of some pixels.
    lanes: Vec<i32>,
    /// The same of 64 bits.
    wide: Vec<i64>,
    /// Of each channel of each norm of an activation.
    sums: [[Vec<i64>; 2]; 2],
}

impl Room {
    /// Lanes for `n` sums, with anything in them.
    fn lanes(&mut self, n: usize) -> &mut [i32] {
        self.lanes.resize(n.max(self.lanes.len()), 0);
        &mut self.lanes[..n]
    }
}

/// A layer with parameters.
struct Block<W: Width> {
    plan: BlockPlan,
    part: Part<W>,
    gradient: Gradient,
    /// The largest magnitude of the gradient, where the recipe divides by it.
    gradient_max: Option<u64>,
    bias_gradient: Option<Gradient>,
    /// What a gradient's sum of 1 is worth, weights and biases.
    exponents: [i32; 2],
    /// Images that a thread takes at a time.
    images: usize,
}

/// What a layer with parameters computes.
enum Part<W: Width> {
    Product {
        product: Box<Product<W>>,
        /// The largest sum of a weight's magnitudes that an input channel meets.
        reach: u64,
    },
    BatchNorm(Box<Norm>),
    LayerNorm(Box<LayerNorm>),
}

impl<W: Width> Part<W> {
    fn product(&mut self) -> (&mut Product<W>, &mut u64) {
        match self {
            Self::Product { product, reach } => (product, reach),
            Self::BatchNorm(_) | Self::LayerNorm(_) => {
                unreachable!("the plan says that the node is a product")
            }
        }
    }
}

impl<W: Width> IntegerGraph<W> {
    pub(crate) fn new(plan: &Plan, graph: &GraphPlan, n_threads: usize) -> Self {
        let block = |block: &BlockPlan| {
            let is_short = block.norm.is_none() && W::SUM_MAX < 1 << 32 && block.sums.gradient.fits(32);
            Block {
                plan: block.clone(),
                part: match block.norm {
                    Some(norm) if block.product.kind == ProductKind::LayerNorm => {
                        Part::LayerNorm(Box::new(LayerNorm::new(norm)))
                    }
                    Some(norm) => Part::BatchNorm(Box::new(Norm::new(norm))),
                    None => {
                        Part::Product { product: Box::new(Product::new(block, plan.batch_size)), reach: 0 }
                    }
                },
                gradient: if is_short { Gradient::I32(vec![]) } else { Gradient::I64(vec![]) },
                gradient_max: None,
                bias_gradient: block.product.bias.then(|| Gradient::I64(vec![])),
                exponents: [0; 2],
                images: W::images_at_a_time(block, plan.batch_size),
            }
        };
        let n = graph.nodes.len();
        Self {
            pixels: W::pixels(&plan.input),
            nodes: graph.nodes.clone(),
            tensors: Tensors {
                payloads: (0..n).map(|_| vec![]).collect(),
                words: vec![vec![]; n],
                traces: vec![vec![]; n],
                places: vec![vec![]; n],
                logits: vec![],
            },
            errors: (0..n).map(|_| None).collect(),
            cuts: (0..n).map(|_| None).collect(),
            free: vec![],
            blocks: plan.blocks.iter().map(block).collect(),
            seen: vec![],
            is_watched: false,
            rooms: (0..n_threads).map(|_| Room::default()).collect(),
            scratches: (0..n_threads).map(|_| Scratch::default()).collect(),
        }
    }

    /// The block whose product leaves the words of a node, behind a pooling or not.
    fn product_behind(&self, node: usize) -> usize {
        match self.nodes[node].op {
            Op::Product(block) => block,
            _ => self.product_behind(self.nodes[node].sources[0]),
        }
    }

    /// Measures what an activation left.
    fn see_activation(&mut self, i: usize) {
        let node = &self.nodes[i];
        let payloads = self.tensors.payloads[i].iter().map(|payload| (*payload).into());
        let measure = Measure::of_operand(payloads, node.operand);
        self.seen.push(Seen { layer: node.name.clone(), role: "activation", measure });
    }

    /// Measures the words and the error of a product.
    fn see_product(&mut self, i: usize, error: &Cut<W>) {
        let node = &self.nodes[i];
        let Op::Product(block) = node.op else { return };
        let words = &self.tensors.words[i];
        if !words.is_empty() {
            let measure = Measure::of_operand(words.iter().map(|word| i64::from(*word)), node.operand);
            self.seen.push(Seen { layer: node.name.clone(), role: "product", measure });
        }
        let payloads = error.payloads.iter().map(|payload| (*payload).into());
        let measure = Measure::of_operand(payloads, self.blocks[block].plan.error_operand);
        self.seen.push(Seen { layer: node.name.clone(), role: "error", measure });
    }

    /// One of the errors behind a node: they add up.
    fn give(&mut self, isa: Isa, node: usize, error: Words) {
        let sum = match self.errors[node].take() {
            None => error,
            Some(other) => {
                let (sum, spare) = errors::add(isa, other, error, &mut self.rooms);
                self.free.push(spare);
                sum
            }
        };
        self.errors[node] = Some(sum);
    }

    /// A buffer for errors behind a node, with anything in it.
    fn buffer(&mut self, node: usize) -> Vec<i16> {
        let n = self.tensors.payloads[0].len() / self.nodes[0].output.len();
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.resize(n * self.nodes[node].output.len(), 0);
        buffer
    }
}

impl<W: Width> Engine for IntegerGraph<W> {
    fn load(&mut self, isa: Isa, parameters: &[Parameters], mode: Mode) {
        self.blocks.par_iter_mut().zip(parameters).for_each(|(block, parameters)| match &mut block.part {
            Part::Product { product, reach } => {
                W::load(isa, &block.plan, product, parameters, mode);
                *reach = product::reach::<W>(&block.plan, &product.weights);
            }
            Part::BatchNorm(norm) => norm.load(&block.plan, parameters),
            Part::LayerNorm(norm) => norm.load(&block.plan, parameters),
        });
    }

    fn forward(&mut self, isa: Isa, images: &[u8], mode: Mode) {
        for i in 0..self.nodes.len() {
            self.run(isa, i, images, mode);
        }
        W::level(&mut self.scratches);
    }

    fn outcome(&self, plan: &Plan, labels: &[u16]) -> Outcome {
        let logits = &self.tensors.logits;
        loss::evaluate(&plan.loss, |i| loss::real(&plan.loss, logits[i].into()), labels)
    }

    fn backward(&mut self, isa: Isa, plan: &Plan, labels: &[u16], key: StepKey) {
        self.seen.clear();
        let last = self.nodes.len() - 1;
        let (logits, layer) = (&self.tensors.logits, self.blocks[self.blocks.len() - 1].plan.index);
        let mut payloads = Vec::with_capacity(logits.len());
        let put = |error| payloads.push(W::payload(error));
        let exponent = loss::error_integers(&plan.loss, |i| logits[i].into(), labels, layer, key, put);
        self.cuts[last] = Some(Cut::new(isa, payloads, exponent));
        for i in (1..=last).rev() {
            self.run_back(isa, i, key);
        }
        W::level(&mut self.scratches);
    }

    fn gradient(&self, block: usize) -> BlockGradient<'_> {
        let block = &self.blocks[block];
        BlockGradient {
            weight: &block.gradient,
            weight_max: block.gradient_max,
            bias: block.bias_gradient.as_ref(),
            exponents: Some(block.exponents),
            moments: match &block.part {
                Part::BatchNorm(norm) => norm.moments(),
                Part::Product { .. } | Part::LayerNorm(_) => None,
            },
        }
    }

    fn watch(&mut self, on: bool) {
        self.is_watched = on;
    }

    fn seen(&self) -> &[Seen] {
        &self.seen
    }
}
