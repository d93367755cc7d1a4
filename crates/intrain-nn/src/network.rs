//! The front door: a network that can run forward and backward, whatever its plan says.
#![deny(clippy::float_arithmetic)]

use std::sync::Arc;

use intrain_kernels::Isa;
use rayon::ThreadPool;

use crate::awake::awake;
use crate::executor::Executor;
use crate::key::StepKey;
use crate::loss::{self, Outcome};
use crate::machine::Machine;
use crate::parameters::{BlockGradient, Moments, Parameters};
use crate::plan::Plan;
use crate::stats::TensorStats;
use crate::tensor::Tensor;

/// Where and with what a network computes; it changes no bit of an integer network's result.
#[derive(Debug, Clone)]
pub struct Context {
    /// Which kernels.
    pub isa: Isa,
    /// Which threads.
    pub threads: Arc<ThreadPool>,
    /// A machine that computes products in place of this crate's kernels.
    pub machine: Option<Arc<dyn Machine>>,
}

impl Context {
    /// Calls `f` in the pool of threads, none of which sleeps until it returns: for many short parallel parts in a row.
    ///
    /// It is free where the caller is one of these threads and runs within another such call.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.threads.install(|| awake(f))
    }
}

/// A network that can run forward and backward. It holds no stored weights: [`Network::load`] reads them.
pub struct Network {
    context: Context,
    plan: Arc<Plan>,
    executor: Executor,
}

/// What a network answers, class by class and image by image.
#[derive(Debug, Clone, PartialEq)]
pub enum Logits {
    /// `value = integer * 2^-frac_bits`.
    Integers {
        /// `[n, classes]`.
        values: Vec<i64>,
        /// Fraction bits of all of them.
        frac_bits: i32,
    },
    /// binary32, `[n, classes]`.
    Floats(Vec<f32>),
}

impl Logits {
    /// Each logit as a real number, `[n, classes]`.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::Integers { values, frac_bits } => {
                values.iter().map(|x| loss::real(*frac_bits, *x)).collect()
            }
            Self::Floats(values) => values.iter().map(|x| f64::from(*x)).collect(),
        }
    }
}

impl Network {
    /// A network for `plan`, without weights yet.
    #[must_use]
    pub fn new(plan: Plan, context: Context) -> Self {
        let plan = Arc::new(plan);
        let n_threads = context.threads.current_num_threads();
        let executor = Executor::new(&plan, context.isa, n_threads, context.machine.as_deref());
        Self { context, plan, executor }
    }

    /// What it was built from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it computes.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Reads the stored weights, as a training step does at its start (`key`) or as evaluation does.
    pub fn load(&mut self, parameters: &[Parameters], key: Option<StepKey>) {
        self.context.run(|| self.executor.load(parameters, key.into()));
    }

    /// Runs `images` (pixels `[n, h, w, c]`) to the logits; with `key` as a training step, else as evaluation.
    pub fn forward(&mut self, images: &[u8], key: Option<StepKey>) {
        self.context.run(|| self.executor.forward(images, key.into()));
    }

    /// What the last forward pass answered.
    #[must_use]
    pub fn logits(&self) -> Logits {
        match self.executor.logits() {
            (Tensor::F32(values), _) => Logits::Floats(values.clone()),
            (tensor, loss) => Logits::Integers {
                values: (0..tensor.len()).map(|i| tensor.integer(i)).collect(),
                frac_bits: loss.logits_frac_bits,
            },
        }
    }

    /// What a node of a float network has answered to the last images; nothing where the node is none of floats, or another one has
    /// taken over its memory.
    #[must_use]
    pub fn floats(&self, node: usize) -> &[f32] {
        self.executor.floats(node)
    }

    /// How well the last forward pass answered.
    #[must_use]
    pub fn outcome(&self, labels: &[u16]) -> Outcome {
        self.executor.outcome(labels)
    }

    /// Runs the errors of the last forward pass back and leaves the gradients in [`Network::gradients`].
    pub fn backward(&mut self, labels: &[u16], key: StepKey) {
        self.context.run(|| self.executor.backward(labels, key));
    }

    /// Whether the next backward passes measure what they meet, for [`Network::stats`].
    pub fn collect_stats(&mut self, on: bool) {
        self.executor.collect_stats(on);
    }

    /// What the last backward pass that was measured has met.
    #[must_use]
    pub fn stats(&self) -> &[TensorStats] {
        self.executor.stats()
    }

    /// Mean and spread of the last batch in each norm that knows a batch's, block by block. They are of the last forward pass where
    /// it normalized by them: in a training step, and in any pass of parameters without statistics of their own.
    pub fn batch_moments(&self) -> impl ExactSizeIterator<Item = Option<&Moments>> {
        (0..self.plan.blocks.len()).map(|block| self.executor.batch_moments(block))
    }

    /// The gradients of the last backward pass, block by block.
    pub fn gradients(&self) -> impl ExactSizeIterator<Item = BlockGradient<'_>> {
        (0..self.plan.blocks.len()).map(|block| self.executor.gradient(block))
    }
}
