//! Where a run is, in the header of a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use intrain_data::Dataset;
use intrain_recipe::Feedback;

use super::{ENCODER, OfRun, parts, tensors};
use crate::checkpoint::{self, Checkpoint, NamedTensor};
use crate::config::Config;
use crate::step::Trainer;
use crate::sums::{Best, Bests, Clock, EpochSums};
use crate::update::UpdateStats;
use crate::{ArtefactError, TrainError};

/// Where a run is, besides its tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct State {
    /// Epoch whose recipe is in force.
    pub(crate) epoch: u32,
    /// Steps done.
    pub(crate) step: u64,
    pub(crate) sums: EpochSums,
    pub(crate) best: Bests,
    pub(crate) clock: Clock,
}

/// Writes a checkpoint in place of the one that was there.
pub(crate) fn write_checkpoint(
    path: &Path,
    (OfRun { config, classes, encoder }, fingerprint): (OfRun<'_>, &str),
    trainer: &Trainer,
    state: &State,
) -> Result<(), TrainError> {
    let EpochSums { outcome, updates } = state.sums;
    let float = |x: f64| format!("{:016x}", x.to_bits());
    let header = [
        ("recipe_sha256", config.recipe.sha256()),
        ("model_sha256", config.model.sha256()),
        ("data_sha256", fingerprint.to_owned()),
        ("classes", serde_json::Value::from(classes).to_string()),
        ("settings", settings_table(config)?.to_string()),
        ("epoch", state.epoch.to_string()),
        ("step", state.step.to_string()),
        ("loss", float(outcome.loss)),
        ("n_wrong", outcome.n_wrong.to_string()),
        ("n", outcome.n.to_string()),
        ("n_dead", updates.n_dead.to_string()),
        ("n_saturated", updates.n_saturated.to_string()),
        ("n_updates", updates.n.to_string()),
        ("seconds", float(state.clock.seconds)),
        ("images", state.clock.images.to_string()),
    ];
    let feedback = (config.recipe.error_feedback != Feedback::None).then(|| (FEEDBACK, RESIDUAL.to_owned()));
    let encoder = encoder.map(|encoder| (ENCODER, encoder.to_toml()));
    let header = header.into_iter().chain(feedback).chain(encoder).map(|(k, v)| (k.to_owned(), v));
    let Bests { now, due } = &state.best;
    let due = (due != now).then(|| best_keys(DUE, due)).into_iter().flatten();
    let header = header.chain(best_keys("", now)).chain(due).collect();
    checkpoint::write(path, &Checkpoint { header, tensors: tensors(parts(trainer)) })?;
    Ok(())
}

/// What the keys of the best evaluation that is due begin with; they are there where it is not the best of all.
const DUE: &str = "due_";

/// The best evaluation as keys of a header.
fn best_keys(prefix: &str, best: &Best) -> Vec<(String, String)> {
    let float = |x: f64| format!("{:016x}", x.to_bits());
    let keys = [("best_test_error", float(best.test_error)), ("since_best", best.since.to_string())];
    let by_validation = best.validation_error.map(|error| ("best_validation_error", float(error)));
    keys.into_iter().chain(by_validation).map(|(key, value)| (format!("{prefix}{key}"), value)).collect()
}

/// Key of a header that says what the tensors of the momentum hold under error feedback.
const FEEDBACK: &str = "error_feedback";
/// What rounding took from each weight (section 9 of the contract); earlier versions kept something else there, without the key.
const RESIDUAL: &str = "residual";

/// Refuses a checkpoint of an earlier version whose error feedback kept other numbers.
fn check_feedback(path: &Path, header: &BTreeMap<String, String>, config: &Config) -> Result<(), TrainError> {
    let is_known = header.get(FEEDBACK).is_some_and(|kept| kept == RESIDUAL);
    if config.recipe.error_feedback == Feedback::None || is_known {
        return Ok(());
    }
    Err(TrainError::Setting(format!(
        "{}: it is of an earlier version, whose error feedback was another; start a new run, or go on with that version",
        path.display()
    )))
}

fn settings_table(config: &Config) -> Result<toml::Table, TrainError> {
    toml::Table::try_from(&config.settings).map_err(|e| TrainError::Setting(e.to_string()))
}

/// Checks that a checkpoint is of that recipe and model, and of that data where there is some.
pub(super) fn check_identity(
    path: &Path,
    header: &BTreeMap<String, String>,
    config: &Config,
    dataset: Option<&Dataset>,
) -> Result<(), TrainError> {
    // Checkpoints of earlier versions have the earlier fingerprint.
    let of_data = dataset.map(|dataset| ("data", dataset.fingerprints().to_vec()));
    let known = [("model", vec![config.model.sha256()]), ("recipe", vec![config.recipe.sha256()])];
    for (what, expected) in known.into_iter().chain(of_data) {
        let found = header.get(&format!("{what}_sha256")).ok_or_else(|| {
            let problem = format!("'{what}_sha256' is not in its header");
            TrainError::Artefact(ArtefactError::Damaged { path: path.to_owned(), problem })
        })?;
        if !expected.contains(found) {
            return Err(TrainError::Setting(format!(
                "{}: it belongs to {} {what}; resume it in the run folder that it came from, on the same data",
                path.display(),
                if what == "data" { "other" } else { "another" }
            )));
        }
    }
    Ok(())
}

/// Whether the data that a checkpoint's run was trained on have none of these fingerprints.
///
/// # Errors
/// A file that is missing or damaged.
pub(crate) fn has_other_data(path: &Path, fingerprints: &[String]) -> Result<bool, TrainError> {
    let header = checkpoint::read(path)?.header;
    Ok(header.get("data_sha256").is_some_and(|found| !fingerprints.contains(found)))
}

/// Reads a checkpoint of the run that `config` describes, on its data.
pub(crate) fn read_checkpoint(
    path: &Path,
    config: &Config,
    dataset: &Dataset,
) -> Result<(State, Vec<NamedTensor>), TrainError> {
    let Checkpoint { header, tensors } = checkpoint::read(path)?;
    let damaged =
        |problem: String| TrainError::Artefact(ArtefactError::Damaged { path: path.to_owned(), problem });
    let text = |key: &str| header.get(key).ok_or_else(|| damaged(format!("'{key}' is not in its header")));
    check_identity(path, &header, config, None)?;
    check_feedback(path, &header, config)?;
    let settings: toml::Table = text("settings")?
        .parse()
        .map_err(|_| damaged("'settings' in its header are not settings".to_owned()))?;
    if let Some(difference) = config.settings.difference(&settings) {
        return Err(TrainError::Setting(format!(
            "{}: it belongs to another run: {difference}; put config.toml back as it was, or start a new run",
            path.display()
        )));
    }
    // Behind the settings: another share for validation makes other parts of the same data.
    check_identity(path, &header, config, Some(dataset))?;
    let number = |key: &str| -> Result<u64, TrainError> {
        text(key)?.parse().map_err(|_| damaged(format!("'{key}' in its header is not a number")))
    };
    let float = |key: &str| -> Result<f64, TrainError> {
        let bits = u64::from_str_radix(text(key)?, 16)
            .map_err(|_| damaged(format!("'{key}' in its header is not a number")))?;
        Ok(f64::from_bits(bits))
    };
    let small = |key: &str| number(key).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let outcome = intrain_nn::Outcome { loss: float("loss")?, n_wrong: small("n_wrong")?, n: small("n")? };
    let updates = UpdateStats {
        n_dead: number("n_dead")?,
        n_saturated: number("n_saturated")?,
        n: number("n_updates")?,
        ..UpdateStats::default()
    };
    let best = |prefix: &str| -> Result<Best, TrainError> {
        let [by_validation, by_test, since] =
            ["best_validation_error", "best_test_error", "since_best"].map(|key| format!("{prefix}{key}"));
        Ok(Best {
            // There is none without images for validation, and before their first evaluation.
            validation_error: header
                .contains_key(&by_validation)
                .then(|| float(&by_validation))
                .transpose()?,
            test_error: float(&by_test)?,
            // Older checkpoints do not count them.
            since: header.get(&since).and_then(|text| text.parse().ok()).unwrap_or(0),
        })
    };
    let now = best("")?;
    let has_due = header.contains_key(&format!("{DUE}best_test_error"));
    let due = if has_due { best(DUE)? } else { now };
    let state = State {
        epoch: u32::try_from(number("epoch")?)
            .map_err(|_| damaged("'epoch' in its header is too large".to_owned()))?,
        step: number("step")?,
        sums: EpochSums { outcome, updates },
        best: Bests { now, due },
        clock: Clock { seconds: float("seconds")?, images: number("images")? },
    };
    Ok((state, tensors))
}
