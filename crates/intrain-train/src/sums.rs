//! What an epoch has come to so far, and the time of training: what a checkpoint holds beside the network.

use intrain_nn::Outcome;

use crate::update::UpdateStats;

/// What an epoch has come to so far; part of a checkpoint, so that a resumed epoch reports the same numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct EpochSums {
    pub(crate) outcome: Outcome,
    pub(crate) updates: UpdateStats,
}

/// Time of training proper: loading and evaluation left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Clock {
    pub(crate) seconds: f64,
    pub(crate) images: u64,
}
