//! How a session begins: with weights drawn from the seed, or with those of a file, for which formats may be chosen first.

use std::sync::Arc;

use intrain_data::Dataset;
use intrain_nn::Context;

use crate::TrainError;
use crate::calibrate::calibrated;
use crate::config::Config;
use crate::statistics;
use crate::step::Trainer;
use crate::transfer::{self, Taken};

/// Puts the formats into the recipe of `config` that it leaves open, and says which.
///
/// # Errors
/// As [`calibrated`].
pub(crate) fn choose_formats(
    config: &mut Config,
    dataset: &Arc<Dataset>,
    context: &Context,
) -> Result<Vec<String>, TrainError> {
    Ok(match calibrated(config, dataset, context)? {
        Some((recipe, notes)) => {
            config.recipe = recipe;
            notes
        }
        None => vec![],
    })
}

/// Gives a trainer the weights of the file that `config` names, if it names one, and its norms the statistics that they find there, where
/// the file's are of floats and theirs of integers.
///
/// # Errors
/// As [`transfer::start`].
pub(crate) fn take_weights(
    trainer: &mut Trainer,
    config: &mut Config,
    dataset: &Arc<Dataset>,
    notes: Vec<String>,
) -> Result<Option<Taken>, TrainError> {
    let (parameters, taken) = transfer::start(config, trainer.plan())?;
    let (Some(init), Some(mut taken)) = (&mut config.init, taken) else { return Ok(None) };
    init.sha256 = Some(taken.sha256.clone());
    trainer.begin_with(parameters, &taken.is_taken);
    taken.notes.splice(..0, notes);
    if taken.needs_statistics {
        let n = config.settings.calibrate.max(config.settings.norm_batches).max(1);
        trainer.estimate_statistics(statistics::first_batches(config.batches(Arc::clone(dataset))?, n));
        let parameters = trainer.deployed().to_vec();
        trainer.begin_with(parameters, &taken.is_taken);
    }
    Ok(Some(taken))
}
