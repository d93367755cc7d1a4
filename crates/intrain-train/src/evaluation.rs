//! What a network answers to a part of the data: loss, mistakes, and what is kept of each answer.

use std::sync::Arc;

use intrain_data::{Dataset, Part, evaluation};
use intrain_nn::{Network, Outcome, Plan};

use crate::TrainError;
use crate::config::Config;
use crate::metrics::OPTIONAL;
use crate::silence::Answers;
use crate::statistics;
use crate::step::Trainer;
use crate::verdicts::Verdicts;

/// Images that are evaluated at a time, here and by the commands on trained networks.
pub const EVALUATION_BATCH: usize = 250;
/// With more classes than these the top-5 error is measured.
const FEW_CLASSES: usize = 10;

/// Whether the top-5 error says something of data with so many classes.
#[must_use]
pub const fn has_top5(n_classes: usize) -> bool {
    n_classes > FEW_CLASSES
}

/// The columns of [`OPTIONAL`] that a run has.
pub(crate) fn optional_columns(config: &Config, plan: &Plan, dataset: &Dataset) -> Vec<&'static str> {
    let (top5, validation) = (has_top5(dataset.n_classes), dataset.chosen_by() == Part::Validation);
    let running = estimates_statistics(config, plan);
    let is_measured = [top5, validation, validation, top5 && validation, running, running];
    OPTIONAL.into_iter().zip(is_measured).filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

/// Whether evaluations and the deployed network have statistics of norms that are estimated at fixed weights.
pub(crate) fn estimates_statistics(config: &Config, plan: &Plan) -> bool {
    config.settings.norm_batches > 0 && statistics::has_any(plan)
}

/// Makes the trainer's network the one that is deployed: estimates the statistics of its norms anew, where the settings say so
/// and it has not been done since the last step.
pub(crate) fn deploy(
    trainer: &mut Trainer,
    config: &Config,
    dataset: &Arc<Dataset>,
) -> Result<(), TrainError> {
    if estimates_statistics(config, trainer.plan()) && !trainer.has_estimated_statistics() {
        let batches = config.batches(Arc::clone(dataset))?;
        trainer.estimate_statistics(statistics::first_batches(batches, config.settings.norm_batches));
    }
    Ok(())
}

/// The answers to a part of the data; without images where it was not evaluated.
#[derive(Debug, Default)]
pub(crate) struct Evaluation {
    pub(crate) outcome: Outcome,
    pub(crate) answers: Answers,
    pub(crate) verdicts: Verdicts,
    pub(crate) shares: Shares,
}

/// What a part came to, for each image; none where it was not evaluated or has no images.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shares {
    pub(crate) loss: Option<f64>,
    pub(crate) error: Option<f64>,
    pub(crate) top5_error: Option<f64>,
}

impl Evaluation {
    /// Evaluates the network on all images of a part, if it has some, with every rounding as the deployed model has it, and
    /// the statistics of norms that the trainer has for that.
    pub(crate) fn of(trainer: &mut Trainer, dataset: &Dataset, part: Part) -> Result<Self, TrainError> {
        if dataset.part(part).is_empty() {
            return Ok(Self::default());
        }
        let (n_classes, labels) = (trainer.plan().loss.n_classes, &dataset.part(part).labels);
        let (mut answers, mut verdicts) = (Answers::default(), Verdicts::default());
        let see = |network: &Network| {
            let logits = network.logits();
            answers.see(&logits, n_classes);
            verdicts.see(&logits, n_classes, labels);
        };
        let outcome = trainer.evaluate_with(evaluation(dataset, part, EVALUATION_BATCH)?, see);
        let n_beyond_top5 = has_top5(dataset.n_classes).then(|| verdicts.n_beyond_top5());
        Ok(Self { outcome, answers, verdicts, shares: Shares::of(outcome, n_beyond_top5) })
    }
}

impl Shares {
    #[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
    fn of(Outcome { loss, n_wrong, n }: Outcome, n_beyond_top5: Option<usize>) -> Self {
        let of_images = |sum: f64| (n > 0).then(|| sum / n as f64);
        let top5_error = n_beyond_top5.and_then(|n_beyond| of_images(n_beyond as f64));
        Self { loss: of_images(loss), error: of_images(n_wrong as f64), top5_error }
    }
}
