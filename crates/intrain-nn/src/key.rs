//! What the random bits of a step depend on.

use intrain_num::Round;
use intrain_num::random::{Purpose, Stream};

/// What the random bits of a step depend on, besides layer, role and element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the step, from 0.
    pub step: u64,
}

/// How a result is rounded where a rounding is stochastic: with the step's random bits, or as in evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In a step.
    Training(StepKey),
    /// Outside of one.
    Evaluation,
}

impl From<Option<StepKey>> for Mode {
    fn from(key: Option<StepKey>) -> Self {
        key.map_or(Self::Evaluation, Self::Training)
    }
}

/// A rounding and its random words, as they hold in training or in evaluation.
pub(crate) fn rounding(round: Round, purpose: Purpose, layer: u32, mode: Mode) -> (Round, Option<Stream>) {
    match mode {
        Mode::Training(key) if round.is_stochastic() => (round, Some(key.stream(purpose, layer))),
        Mode::Training(_) => (round, None),
        Mode::Evaluation => (round.in_evaluation(), None),
    }
}

impl StepKey {
    /// The random words of a purpose in this step.
    pub(crate) fn stream(self, purpose: Purpose, layer: u32) -> Stream {
        Stream::new(self.seed, purpose, layer, self.step)
    }
}
