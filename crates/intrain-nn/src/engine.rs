//! What runs a network: this crate's engines, or a machine that somebody else describes.
//!
//! `Network` holds one and calls it in the order of a step: load, forward, outcome, backward, gradients.

use std::fmt;

use intrain_kernels::Isa;

use crate::loss::Outcome;
use crate::network::{BlockGradient, StepKey};
use crate::parameters::Parameters;
use crate::plan::Plan;
use crate::watch::Seen;

/// How a result is rounded where a rounding is stochastic: with the step's random bits, or as in evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In a step.
    Training(StepKey),
    /// Outside of one.
    Evaluation,
}

/// What runs a network. It gives the bits that the contract says, whatever it is.
pub trait Engine: Send {
    /// Reads the stored weights of all blocks.
    fn load(&mut self, isa: Isa, parameters: &[Parameters], mode: Mode);
    /// Runs `images` (pixels `[n, h, w, c]`) to the logits.
    fn forward(&mut self, isa: Isa, images: &[u8], mode: Mode);
    /// How well the last forward pass answered.
    fn outcome(&self, plan: &Plan, labels: &[u16]) -> Outcome;
    /// Runs the errors of the last forward pass back; leaves the gradients.
    fn backward(&mut self, isa: Isa, plan: &Plan, labels: &[u16], key: StepKey);
    /// The gradients of a block after a backward pass.
    fn gradient(&self, block: usize) -> BlockGradient<'_>;
    /// Whether the next backward passes measure what they meet.
    fn watch(&mut self, on: bool);
    /// What the last backward pass that was watched has met.
    fn seen(&self) -> &[Seen];
}

/// A machine that networks can run on in place of this crate's engines.
pub trait Machine: fmt::Debug + Send + Sync {
    /// An engine for networks of that plan.
    fn engine(&self, plan: &Plan) -> Box<dyn Engine>;
}
