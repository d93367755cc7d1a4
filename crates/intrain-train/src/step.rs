//! One training step, on one page: load, forward, loss, backward, update, in the order of the recipe's rows.
//!
//! Read this first. Each line names the rows of the recipe that act in it; what the rows mean is
//! `docs/arithmetic.md`, section 7.

use intrain_data::Batch;
use intrain_nn::{Context, Logits, Network, Outcome, Parameters, Plan, StepKey, TensorStats};

use crate::TrainError;
use crate::logits;
use crate::statistics;
use crate::update::{self, Hyper, Optimizer, UpdateStats};

/// A network that learns: the only owner of stored weights, momentum and the count of steps.
pub struct Trainer {
    network: Network,
    parameters: Vec<Parameters>,
    optimizer: Optimizer,
    /// The parameters as they are evaluated, where the statistics of their norms have been estimated anew since the last step.
    deployed: Option<Vec<Parameters>>,
    seed: u64,
    step: u64,
}

impl Trainer {
    /// A trainer before its first step, with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// Rows of the recipe that cannot carry an update.
    pub fn new(plan: Plan, hyper: Hyper, seed: u64, context: Context) -> Result<Self, TrainError> {
        let mut optimizer = Optimizer::new(&plan, hyper)?;
        optimizer.start_residuals(&plan, seed, |_| true);
        let parameters = Parameters::initial(&plan, seed);
        let network = Network::new(plan, context);
        Ok(Self { network, parameters, optimizer, deployed: None, seed, step: 0 })
    }

    /// Begins with these weights; from those of a file, as `is_taken` says for each block, nothing has been taken by rounding.
    pub(crate) fn begin_with(&mut self, parameters: Vec<Parameters>, is_taken: &[bool]) {
        self.parameters = parameters;
        self.optimizer.start_residuals(self.network.plan(), self.seed, |i| !is_taken[i]);
        self.deployed = None;
    }

    /// Proves that the exact sums of updates with the learning rate `rate` fit their registers, whatever the gradients will be.
    ///
    /// A [`crate::Session`] has done so for all its rates before its first step.
    ///
    /// # Errors
    /// The layer whose sums would not fit, and what to change.
    pub fn check_rate(&self, rate: f64) -> Result<(), TrainError> {
        update::check(self.plan(), self.optimizer.hyper(), rate)
    }

    /// Learns from one batch with the learning rate `rate`, which [`Trainer::check_rate`] has proven: with another one the
    /// sums of integer updates may overflow.
    ///
    /// An integer network takes no memory after its first steps. All of a step is one call into the pool of threads;
    /// it is free where the caller is one of them, else the pool takes memory for its queue now and then.
    pub fn step(&mut self, batch: &Batch, rate: f64) -> (Outcome, UpdateStats) {
        let context = self.network.context().clone();
        context.run(|| self.step_in_pool(batch, rate))
    }

    fn step_in_pool(&mut self, batch: &Batch, rate: f64) -> (Outcome, UpdateStats) {
        let key = StepKey { seed: self.seed, step: self.step };
        self.deployed = None;

        self.network.load(&self.parameters, Some(key)); // weight
        self.network.forward(&batch.images, Some(key)); // input, accumulator, activation.product, activation
        let outcome = self.network.outcome(&batch.labels);
        self.network.backward(&batch.labels, key); // error.loss, error.product, error.activation
        let stats = self.update(rate, key); // gradient, learning_rate, momentum, update, master

        self.step += 1;
        (outcome, stats)
    }

    fn update(&mut self, rate: f64, key: StepKey) -> UpdateStats {
        let Self { network, parameters, optimizer, .. } = self;
        let (plan, isa) = (network.plan(), network.context().isa);
        optimizer.update(isa, plan, parameters, network.gradients(), rate, key)
    }

    /// Loss and mistakes over `batches`, with every rounding as the deployed model has it: nothing random.
    pub fn evaluate(&mut self, batches: impl Iterator<Item = Batch>) -> Outcome {
        self.evaluate_with(batches, |_| ())
    }

    /// The same; `see` looks at the network behind each batch.
    pub fn evaluate_with(
        &mut self,
        batches: impl Iterator<Item = Batch>,
        mut see: impl FnMut(&Network),
    ) -> Outcome {
        self.network.load(self.deployed.as_ref().unwrap_or(&self.parameters), None);
        batches.fold(Outcome::default(), |total, batch| {
            self.network.forward(&batch.images, None);
            see(&self.network);
            total.and(self.network.outcome(&batch.labels))
        })
    }

    /// Estimates the statistics of norms anew, from `batches` and with the weights as they are: evaluations and the deployed
    /// network have them until the next step, and training goes on with its own. The same bits whenever it is called.
    pub fn estimate_statistics(&mut self, batches: impl Iterator<Item = Batch>) {
        self.deployed = Some(statistics::estimate(&mut self.network, &self.parameters, batches));
    }

    /// The parameters as they are evaluated: those that are stored, perhaps with other statistics of norms.
    #[must_use]
    pub fn deployed(&self) -> &[Parameters] {
        self.deployed.as_ref().unwrap_or(&self.parameters)
    }

    /// Whether the statistics of norms have been estimated anew since the last step.
    #[must_use]
    pub const fn has_estimated_statistics(&self) -> bool {
        self.deployed.is_some()
    }

    /// What the network answers to all images of `batches`, in order, with every rounding as the deployed model has it.
    ///
    /// # Errors
    /// No image at all; integers that do not fit 64 bits with the fraction bits of other batches.
    pub fn logits<'a>(&mut self, batches: impl Iterator<Item = &'a [u8]>) -> Result<Logits, TrainError> {
        self.network.load(self.deployed.as_ref().unwrap_or(&self.parameters), None);
        let mut all = None;
        for images in batches {
            self.network.forward(images, None);
            logits::append(&mut all, self.network.logits())?;
        }
        all.ok_or_else(|| TrainError::Setting("0 images have no logits; give at least one".to_owned()))
    }

    /// What the network answered to the images that it met last, in a step or in an evaluation.
    #[must_use]
    pub fn last_logits(&self) -> Logits {
        self.network.logits()
    }

    /// Whether the next steps measure what they meet: the same bits, a little slower.
    pub fn watch(&mut self, on: bool) {
        self.network.collect_stats(on);
        self.optimizer.watch(on);
    }

    /// What the last step that was watched has met on its backward pass.
    #[must_use]
    pub fn seen(&self) -> &[TensorStats] {
        self.network.stats()
    }

    /// Steps done.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.step
    }

    /// Name of the kernels that compute.
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        self.network.context().isa.name()
    }

    /// What it was built from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.network.plan()
    }

    /// The stored weights and biases, block by block.
    #[must_use]
    pub fn parameters(&self) -> &[Parameters] {
        &self.parameters
    }

    /// The momentum.
    #[must_use]
    pub const fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Everything that changes in a step, to restore a checkpoint.
    pub fn restore(&mut self) -> (&mut Vec<Parameters>, &mut Optimizer, &mut u64) {
        self.deployed = None;
        (&mut self.parameters, &mut self.optimizer, &mut self.step)
    }
}
