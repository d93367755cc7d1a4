//! A whole network in motion: forward, loss, backward, in the order of the blocks.
#![deny(clippy::float_arithmetic)]

use std::sync::Arc;

use intrain_kernels::Isa;
use intrain_kernels::requantize::TRACE_INSIDE;
use intrain_num::{Format, Surrogate};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::block::{Block, Buffers};
use crate::carrier::Carrier;
use crate::engine::{Engine, Machine, Mode};
use crate::float::Float;
use crate::graph::Graph;
use crate::integer_graph::IntegerGraph;
use crate::loss::{self, Outcome};
use crate::parameters::{Gradient, Moments, Parameters};
use crate::plan::{Arithmetic, LossPlan, Plan};
use crate::watch::Seen;
use crate::width::{Int8, Int16, Width};

/// Where and with what a network computes; it changes no bit of an integer network's result.
#[derive(Debug, Clone)]
pub struct Context {
    /// Which kernels.
    pub isa: Isa,
    /// Which threads.
    pub threads: Arc<ThreadPool>,
    /// Another machine than this one.
    pub machine: Option<Arc<dyn Machine>>,
}

/// What the random bits of a step depend on, besides layer, role and element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the step, from 0.
    pub step: u64,
}

/// A block's gradients after a backward pass.
#[derive(Debug, Clone, Copy)]
pub struct BlockGradient<'a> {
    /// Weights `[kernel, kernel, in, out]`.
    pub weight: &'a Gradient,
    /// The largest magnitude among them, where the recipe's row `gradient` divides by it.
    pub weight_max: Option<u64>,
    /// Biases `[out]`, in units of the error's last bit.
    pub bias: Option<&'a Gradient>,
    /// The powers of two that a gradient's sum of 1 is worth, weights and biases, where the errors keep theirs.
    pub exponents: Option<[i32; 2]>,
    /// A norm's mean and unbiased variance of the batch.
    pub moments: Option<&'a Moments>,
}

/// A network that can run forward and backward. It holds no stored weights: [`Network::load`] reads them.
pub struct Network {
    plan: Plan,
    context: Context,
    engine: Box<dyn Engine>,
}

impl Network {
    /// A network for `plan`, without weights yet.
    #[must_use]
    pub fn new(plan: Plan, context: Context) -> Self {
        let n_threads = context.threads.current_num_threads();
        let engine: Box<dyn Engine> = match plan.arithmetic {
            _ if let Some(machine) = &context.machine => machine.engine(&plan),
            Arithmetic::Int8 => integers::<Int8>(&plan, n_threads),
            Arithmetic::Int16 => integers::<Int16>(&plan, n_threads),
            Arithmetic::Float32 => match &plan.graph {
                None => Box::new(Chain::<Float>::new(&plan, n_threads)),
                Some(graph) => Box::new(Graph::new(&plan, graph, n_threads)),
            },
        };
        Self { plan, context, engine }
    }

    /// What it was built from.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it computes.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Reads the stored weights, as a training step does at its start (`key`) or as evaluation does.
    pub fn load(&mut self, parameters: &[Parameters], key: Option<StepKey>) {
        let isa = self.context.isa;
        self.context.threads.install(|| self.engine.load(isa, parameters, mode(key)));
    }

    /// Runs `images` (pixels `[n, h, w, c]`) to the logits; with `key` as a training step, else as evaluation.
    pub fn forward(&mut self, images: &[u8], key: Option<StepKey>) {
        let isa = self.context.isa;
        self.context.threads.install(|| self.engine.forward(isa, images, mode(key)));
    }

    /// How well the last forward pass answered.
    #[must_use]
    pub fn outcome(&self, labels: &[u16]) -> Outcome {
        self.engine.outcome(&self.plan, labels)
    }

    /// Runs the errors of the last forward pass back and leaves the gradients in [`Network::gradients`].
    pub fn backward(&mut self, labels: &[u16], key: StepKey) {
        let isa = self.context.isa;
        self.context.threads.install(|| self.engine.backward(isa, &self.plan, labels, key));
    }

    /// Whether the next backward passes measure what they meet, for [`Network::seen`].
    pub fn watch(&mut self, on: bool) {
        self.engine.watch(on);
    }

    /// What the last backward pass that was watched has met.
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        self.engine.seen()
    }

    /// The gradients of the last backward pass, block by block.
    pub fn gradients(&self) -> impl ExactSizeIterator<Item = BlockGradient<'_>> {
        (0..self.plan.blocks.len()).map(|block| self.engine.gradient(block))
    }
}

/// A chain of integers, or a graph of them.
fn integers<W: Width>(plan: &Plan, n_threads: usize) -> Box<dyn Engine> {
    match &plan.graph {
        None => Box::new(Chain::<W>::new(plan, n_threads)),
        Some(graph) => Box::new(IntegerGraph::<W>::new(plan, graph, n_threads)),
    }
}

const fn mode(key: Option<StepKey>) -> Mode {
    match key {
        Some(key) => Mode::Training(key),
        None => Mode::Evaluation,
    }
}

/// A chain of blocks, whatever carries it.
struct Chain<C: Carrier> {
    pixels: Vec<C::Payload>,
    image_len: usize,
    /// Binary digits behind the point of a pixel.
    digits: i32,
    input: Vec<C::Payload>,
    blocks: Vec<Block<C>>,
    buffers: Buffers<C>,
    /// Errors at the output of one block after the other.
    error: Vec<C::Payload>,
    /// Errors at a product behind a pooling.
    unpooled: Vec<C::Payload>,
    /// Of the last backward pass, where it is watched.
    seen: Vec<Seen>,
    is_watched: bool,
}

impl<C: Carrier> Chain<C> {
    fn new(plan: &Plan, n_threads: usize) -> Self {
        let block = |block: &crate::BlockPlan| {
            let gradient = match (block.weight.master.format, plan.arithmetic) {
                (Format::Float32, _) => Gradient::F32(vec![]),
                (_, Arithmetic::Int8) if block.sums.gradient.fits(32) => Gradient::I32(vec![]),
                _ => Gradient::I64(vec![]),
            };
            Block::new(block.clone(), gradient, plan.batch_size)
        };
        Self {
            pixels: C::pixels(&plan.input),
            image_len: plan.input.shape.len(),
            digits: plan.blocks.first().map_or(0, |block| block.input_operand.frac_bits),
            input: vec![],
            blocks: plan.blocks.iter().map(block).collect(),
            buffers: Buffers {
                error: vec![],
                narrow: vec![],
                wide: vec![],
                words: vec![],
                scratches: (0..n_threads).map(|_| C::Scratch::default()).collect(),
            },
            error: vec![],
            unpooled: vec![],
            seen: vec![],
            is_watched: false,
        }
    }

    fn last(&self) -> &Block<C> {
        &self.blocks[self.blocks.len() - 1]
    }
}

impl<C: Carrier> Engine for Chain<C> {
    fn load(&mut self, isa: Isa, parameters: &[Parameters], mode: Mode) {
        self.blocks.par_iter_mut().zip(parameters).for_each(|(block, parameters)| {
            C::load(isa, &block.plan, &mut block.product, parameters, mode);
        });
    }

    fn forward(&mut self, isa: Isa, images: &[u8], mode: Mode) {
        let n = images.len() / self.image_len;
        self.input.resize(images.len(), C::Payload::default());
        let pixels = &self.pixels;
        self.input.par_chunks_mut(self.image_len).zip(images.par_chunks(self.image_len)).for_each(
            |(out, image)| out.iter_mut().zip(image).for_each(|(o, p)| *o = pixels[usize::from(*p)]),
        );
        let (mut input, mut digits) = (&self.input, self.digits);
        for block in &mut self.blocks {
            block.forward(isa, (input, digits), n, mode, &mut self.buffers.scratches);
            (input, digits) = (&block.payload, block.digits);
        }
        C::level(&mut self.buffers.scratches);
    }

    fn outcome(&self, plan: &Plan, labels: &[u16]) -> Outcome {
        let last = self.last();
        let loss = LossPlan { logits_frac_bits: last.digits, ..plan.loss };
        loss::evaluate(&loss, |i| C::logit(&loss, last.logits(), i), labels)
    }

    fn watch(&mut self, on: bool) {
        self.is_watched = on;
    }

    fn seen(&self) -> &[Seen] {
        &self.seen
    }

    fn backward(&mut self, isa: Isa, plan: &Plan, labels: &[u16], key: StepKey) {
        self.seen.clear();
        let mut error = std::mem::take(&mut self.error);
        let last = self.last();
        let loss = LossPlan { logits_frac_bits: last.digits, ..plan.loss };
        C::error_at_loss(&loss, last.logits(), labels, last.plan.index, key, &mut error);
        if last.plan.activation.surrogate == Surrogate::Clipped {
            // The clip of the quantized logits lies behind the error's quantizer, as in the code's graph.
            let outside = |(_, trace): &(&mut C::Payload, &u8)| *trace & TRACE_INSIDE == 0;
            error.iter_mut().zip(&last.trace).filter(outside).for_each(|(e, _)| *e = C::Payload::default());
        }
        for i in (0..self.blocks.len()).rev() {
            let (before, rest) = self.blocks.split_at_mut(i);
            let block = &mut rest[0];
            let at_product = if block.plan.pool.is_some() {
                block.unpool(isa, &error, &mut self.unpooled);
                &self.unpooled
            } else {
                &error
            };
            if self.is_watched {
                let see = |role, measure| Seen { layer: block.plan.name.clone(), role, measure };
                if !block.payload.is_empty() {
                    let measure = C::measure(block.plan.output_operand, &block.payload);
                    self.seen.push(see("activation", measure));
                }
                self.seen.push(see("error", C::measure(block.plan.error_operand, at_product)));
            }
            let input = before.last().map_or(&self.input, |previous| &previous.payload);
            block.learn(isa, input, at_product, &mut self.buffers.scratches);
            if let Some(previous) = before.last() {
                block.error(isa, at_product, previous, key, &mut self.buffers);
                std::mem::swap(&mut error, &mut self.buffers.error);
            }
        }
        self.error = error;
        C::level(&mut self.buffers.scratches);
    }

    fn gradient(&self, block: usize) -> BlockGradient<'_> {
        let block = &self.blocks[block];
        BlockGradient {
            weight: &block.gradient,
            weight_max: block.gradient_max,
            bias: block.bias_gradient.as_ref(),
            exponents: None,
            moments: None,
        }
    }
}
