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
    /// The share of mistakes on the test images at the best evaluation: the lowest one, where there are no images for
    /// validation. Infinite before the first.
    pub best_test_error: f64,
    /// Share of the test images whose class is not among the five likeliest, where the data has many classes.
    pub test_top5_error: Option<f64>,
    /// Share of mistakes on the images for validation, where there are some and they were evaluated after the last step.
    pub validation_error: Option<f64>,
    /// The lowest such share, which chooses the best checkpoint.
    pub best_validation_error: Option<f64>,
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
    /// So many evaluations in a row have not lowered the best error, on the images for validation or the test images.
    Patience {
        /// Evaluations.
        evaluations: u32,
    },
    /// Nothing yet: the observer broke.
    NotYet,
}
