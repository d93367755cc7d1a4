//! What a session asks of its network between two steps: how it answers, with every rounding as the deployed model has it.

use std::sync::Arc;

use intrain_data::{Part, evaluation};
use intrain_model::Shape;
use intrain_nn::{Logits, Network, Outcome};

use super::{EVALUATION_BATCH, Session};
use crate::TrainError;
use crate::metrics::Details;
use crate::silence::Answers;
use crate::statistics;
use crate::verdicts::Verdicts;

/// What an evaluation at the end of an epoch found.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    /// Of the test images with the statistics that norms have kept in training, where the deployed network has others.
    pub(super) running: Option<Outcome>,
    /// Of the test images, with the deployed network.
    pub(super) test: Outcome,
    pub(super) answers: Answers,
}

/// Names of further metrics: of the test images, with the statistics that norms have kept in training.
pub(crate) const RUNNING_TEST_LOSS: &str = "running/test_loss";
/// As [`RUNNING_TEST_LOSS`].
pub(crate) const RUNNING_TEST_ERROR: &str = "running/test_error";

impl Session {
    /// Whether evaluations and the deployed network have statistics of norms that are estimated at fixed weights.
    fn estimates_statistics(&self) -> bool {
        self.config.settings.norm_batches > 0 && statistics::has_any(self.plan())
    }

    /// Makes the network the one that is deployed: estimates the statistics of its norms anew, where the settings say so and it
    /// has not been done since the last step.
    pub(super) fn estimate_statistics(&mut self) -> Result<(), TrainError> {
        if self.estimates_statistics() && !self.trainer.has_estimated_statistics() {
            let batches = self.config.batches(Arc::clone(&self.dataset))?;
            let first = statistics::first_batches(batches, self.config.settings.norm_batches);
            self.trainer.estimate_statistics(first);
        }
        Ok(())
    }

    /// Evaluates on the test images where the epoch is one that is evaluated.
    pub(super) fn evaluate_epoch(&mut self) -> Result<Evaluated, TrainError> {
        if !self.is_evaluated() {
            return Ok(Evaluated::default());
        }
        let running = if self.estimates_statistics() && !self.dataset.test.is_empty() {
            let batches = evaluation(&self.dataset, Part::Test, EVALUATION_BATCH)?;
            Some(self.trainer.evaluate(batches))
        } else {
            None
        };
        let (test, answers) = self.answers(Part::Test)?;
        Ok(Evaluated { running, test, answers })
    }

    /// Further numbers of an epoch, where the deployed network has other statistics than training.
    #[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
    pub(super) fn of_running_statistics(&self, running: Option<Outcome>) -> Details {
        if !self.estimates_statistics() {
            return Details::new();
        }
        let mean = |of: fn(&Outcome) -> f64| running.as_ref().map(|running| of(running) / running.n as f64);
        vec![
            (RUNNING_TEST_LOSS.to_owned(), mean(|running| running.loss)),
            (RUNNING_TEST_ERROR.to_owned(), mean(|running| running.n_wrong as f64)),
        ]
    }

    /// Loss and mistakes over a part of the data, with every rounding as the deployed model has it.
    ///
    /// # Errors
    /// None for data that a session holds.
    pub fn evaluate(&mut self, part: Part) -> Result<Outcome, TrainError> {
        Ok(self.answers(part)?.0)
    }

    fn answers(&mut self, part: Part) -> Result<(Outcome, Answers), TrainError> {
        self.estimate_statistics()?;
        let (mut answers, n_classes) = (Answers::default(), self.plan().loss.n_classes);
        let batches = evaluation(&self.dataset, part, EVALUATION_BATCH)?;
        let (mut verdicts, labels) = (Verdicts::default(), &self.dataset.part(part).labels);
        let see = |network: &Network| {
            let logits = network.logits();
            answers.see(&logits, n_classes);
            verdicts.see(&logits, n_classes, labels);
        };
        let outcome = self.trainer.evaluate_with(batches, see);
        if part == Part::Test {
            self.verdicts = Some((self.trainer.steps(), verdicts));
        }
        Ok((outcome, answers))
    }

    /// The answers to the test images, where they were evaluated behind the last step.
    pub(crate) fn verdicts(&self) -> Option<&Verdicts> {
        self.verdicts.as_ref().filter(|(step, _)| *step == self.trainer.steps()).map(|(_, verdicts)| verdicts)
    }

    /// What the network answers to images of its size, `[n, height, width, channels]`, class by class and image by image, with
    /// every rounding as the deployed model has it.
    ///
    /// # Errors
    /// No image, or a number of bytes that is no whole number of images.
    pub fn logits(&mut self, images: &[u8]) -> Result<Logits, TrainError> {
        let Shape { h, w, c } = self.config.model.input.shape;
        let size = h * w * c;
        if images.is_empty() || !images.len().is_multiple_of(size) {
            return Err(TrainError::Setting(format!(
                "{} bytes are no whole number of images of {h}x{w}x{c}; give {size} bytes for each, and at least one image",
                images.len()
            )));
        }
        self.estimate_statistics()?;
        self.trainer.logits(images.chunks(size * EVALUATION_BATCH))
    }
}
