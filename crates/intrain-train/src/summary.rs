//! What a run came to, for people and programs.

use std::path::PathBuf;

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Name of the recipe.
    pub recipe: String,
    /// Name of the model.
    pub model: String,
    /// Name of the data.
    pub data: String,
    /// Seed.
    pub seed: u64,
    /// Whole epochs done.
    pub epochs: u32,
    /// Steps done.
    pub steps: u64,
    /// Mean loss of an image over the last epoch.
    pub train_loss: f64,
    /// Share of mistakes on the test images; not a number where a run was stopped since the last evaluation.
    pub test_error: f64,
    /// The same with the statistics that norms have kept in training, where the deployed network has others.
    pub running_test_error: Option<f64>,
    /// The lowest share of mistakes after an epoch; infinite before the first.
    pub best_test_error: f64,
    /// Training speed, evaluation left out.
    pub images_per_second: f64,
    /// SHA-256 over all stored weights and biases in layer order, little-endian.
    pub weights_sha256: String,
    /// Where everything lies.
    pub run_dir: PathBuf,
    /// Whether the observer ended it early.
    pub interrupted: bool,
    /// What ended it.
    pub ended: Ended,
}

/// What ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its epochs are done.
    Epochs,
    /// `max_steps`, earlier than the epochs, which would have so many steps.
    MaxSteps {
        /// Steps of all epochs.
        of: u64,
    },
    /// So many evaluations in a row have not lowered the best test error.
    Patience {
        /// Evaluations.
        evaluations: u32,
    },
    /// Nothing yet: the observer broke.
    NotYet,
}
