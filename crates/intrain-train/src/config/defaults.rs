//! The settings that a run has where nobody says otherwise: what its network and its recipe say of themselves, else what works.
//!
//! No name decides anything here. Tables named `defaults` do, of the model and of the recipe, so a copy under another name
//! trains as the original. The later of these wins, key by key: what works, the model, the recipe, the model's table for
//! updates that are relative to the largest gradient, the model's table for any recipe.

use intrain_model::ModelFile;
use intrain_recipe::{LearningRate, Recipe, check_keys};
use serde::Deserialize;
use toml::{Table, Value};

use super::{Settings, number};
use crate::TrainError;
use crate::update::Method;

/// Keys of a recipe's table: settings by their names, and a schedule in shares.
const KEYS: [&str; 12] = [
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "decay",
    "poly",
    "optimizer",
    "momentum",
    "weight_decay",
    "pad",
    "flip",
    "norm_batches",
];
/// Keys that a model's table has besides.
const MODEL_KEYS: [&str; 4] = ["recipe", "gupta_outputs", "power_of_two", "any_recipe"];

/// What works, with updates relative to the largest gradient. Wu 2018: 8, then 1 from two thirds, 1/8 from five sixths.
const RELATIVE: &str = "epochs = 30\nbatch_size = 128\nlearning_rate = 8.0\ndecay = 1.0\npoly = 0.0\noptimizer = 'sgd'\n\
                        momentum = 0.0\nweight_decay = 0.0\nschedule = [['2/3', 8.0], ['5/6', 64.0]]";
/// What works with all other updates.
const PLAIN: &str = "epochs = 30\nbatch_size = 128\nlearning_rate = 0.02\ndecay = 1.0\npoly = 0.0\noptimizer = 'sgd'\n\
                     momentum = 0.9\nweight_decay = 5e-4\nschedule = [['2/3', 10.0], ['5/6', 100.0]]";

/// The tables, one over the other.
#[derive(Debug, Deserialize)]
struct Defaults {
    epochs: u32,
    batch_size: usize,
    learning_rate: f64,
    schedule: Vec<(At, f64)>,
    decay: f64,
    poly: f64,
    optimizer: Method,
    momentum: f64,
    weight_decay: f64,
    pad: Option<usize>,
    flip: Option<bool>,
    norm_batches: Option<u32>,
}

/// Where the learning rate falls: at a share of the epochs such as `"2/3"`, or at an epoch counted from 0.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum At {
    Epoch(u32),
    Share(String),
}

impl At {
    /// The epoch, in a run of so many: in a run of one epoch no rate falls before it.
    fn epoch(&self, epochs: u32) -> Result<u32, String> {
        let text = match self {
            Self::Epoch(epoch) => return Ok(*epoch),
            Self::Share(text) => text,
        };
        let share = text.split_once('/').and_then(|(part, of)| {
            let (part, of) = (part.trim().parse::<u32>().ok()?, of.trim().parse::<u32>().ok()?);
            (of > 0 && part < of).then_some((u64::from(part), u64::from(of)))
        });
        let (part, of) = share.ok_or_else(|| {
            format!("schedule: '{text}' is not a share of the epochs; write for example \"2/3\", or an epoch as 20")
        })?;
        // Bound: 2^32 by 2^32, and a share is below 1.
        Ok(u32::try_from((u64::from(epochs) * part).div_ceil(of)).unwrap_or(u32::MAX))
    }
}

/// Checks the keys and values of a recipe's table `defaults`.
///
/// # Errors
/// A key that is not known, or a value of another kind.
pub fn check_recipe_defaults(table: &Table) -> Result<(), TrainError> {
    check("[defaults] of the recipe", table, &[])
}

/// Checks the keys and values of a model's table `defaults`.
///
/// # Errors
/// A key that is not known, or a value of another kind.
pub fn check_model_defaults(table: &Table) -> Result<(), TrainError> {
    check("[defaults] of the model", table, &MODEL_KEYS)?;
    for key in ["recipe", "gupta_outputs"] {
        text_of(table, key)?;
    }
    for name in ["power_of_two", "any_recipe"] {
        check(&format!("[defaults.{name}] of the model"), &sub_table(table, name)?, &[])?;
    }
    Ok(())
}

fn check(place: &str, table: &Table, more: &[&str]) -> Result<(), TrainError> {
    let refuse = |reason: &dyn std::fmt::Display| TrainError::Setting(format!("{place}: {reason}"));
    let known = [&KEYS[..], more].concat();
    check_keys(place, table, &known).map_err(|error| TrainError::Setting(error.to_string()))?;
    for (key, value) in table.iter().filter(|(key, _)| KEYS.contains(&key.as_str())) {
        let mut all = parsed(PLAIN);
        all.insert(key.clone(), value.clone());
        let defaults: Defaults = all
            .try_into()
            .map_err(|e: toml::de::Error| refuse(&format!("{key} = {value}: {}", e.message())))?;
        defaults.falls(1).map_err(|reason| refuse(&reason))?;
    }
    Ok(())
}

/// A text of a model's table.
fn text_of<'a>(table: &'a Table, key: &str) -> Result<Option<&'a str>, TrainError> {
    match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(TrainError::Setting(format!(
            "[defaults] of the model: {key} = {other} must be a text in quotes"
        ))),
    }
}

fn sub_table(table: &Table, name: &str) -> Result<Table, TrainError> {
    match table.get(name) {
        None => Ok(Table::new()),
        Some(Value::Table(table)) => Ok(table.clone()),
        Some(other) => {
            let reason = format!("[defaults] of the model: {name} = {other} must be a table of settings");
            Err(TrainError::Setting(reason))
        }
    }
}

fn parsed(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| unreachable!("a table of this file: {error}"))
}

/// The recipe of a run that names none: the model's own, else `wage` for a chain and `intrain-int8` for a network that has norms,
/// sums or branches.
#[must_use]
pub fn default_recipe(file: &ModelFile) -> &str {
    let named = file.defaults.get("recipe").and_then(Value::as_str);
    let fallback = if file.model.beyond_a_chain().is_none() { "wage" } else { "intrain-int8" };
    named.unwrap_or(fallback)
}

/// The format of outputs that a network asks of `gupta`, where the user names none (Gupta 2015, sections 4.1 and 4.2).
pub(super) fn gupta_outputs(file: &ModelFile) -> Option<&str> {
    file.defaults.get("gupta_outputs").and_then(Value::as_str)
}

impl Defaults {
    fn of(recipe: &Recipe, model: &Table) -> Result<Self, TrainError> {
        check_recipe_defaults(&recipe.defaults)?;
        check_model_defaults(model)?;
        let is_relative = recipe.learning_rate == LearningRate::PowerOfTwo;
        let mut all = parsed(if is_relative { RELATIVE } else { PLAIN });
        if !is_relative {
            all.extend(model.clone());
        }
        all.extend(recipe.defaults.clone());
        if is_relative {
            all.extend(sub_table(model, "power_of_two")?);
        }
        all.extend(sub_table(model, "any_recipe")?);
        all.try_into().map_err(|e: toml::de::Error| TrainError::Setting(e.message().to_owned()))
    }

    /// From which epoch by what the learning rate is divided.
    fn falls(&self, epochs: u32) -> Result<Vec<(u32, f64)>, String> {
        self.schedule.iter().map(|(at, divisor)| Ok((at.epoch(epochs)?, *divisor))).collect()
    }
}

impl Settings {
    /// The settings of a run of these where `keys`, which say the rest, say nothing.
    pub(super) fn default_for(
        recipe: &Recipe,
        model: &Table,
        data: &str,
        keys: &Table,
    ) -> Result<Self, TrainError> {
        let mut defaults = Defaults::of(recipe, model)?;
        let epochs = keys.get("epochs").and_then(Value::as_integer);
        let epochs = epochs.and_then(|e| u32::try_from(e).ok()).unwrap_or(defaults.epochs);
        let learning_rate = keys.get("learning_rate").and_then(number).unwrap_or(defaults.learning_rate);
        if keys.get("cosine").and_then(Value::as_bool) == Some(true) {
            // A curve of its own: none that falls by default goes on top.
            (defaults.schedule, defaults.decay, defaults.poly) = (Vec::new(), 1.0, 0.0);
        }
        let falls = defaults.falls(epochs).map_err(TrainError::Setting)?;
        let mut schedule: Vec<_> = falls.into_iter().map(|(epoch, by)| (epoch, learning_rate / by)).collect();
        // In a short run two of these fall on one epoch; the later one holds.
        schedule.reverse();
        schedule.dedup_by_key(|(epoch, _)| *epoch);
        schedule.reverse();
        let is_augmented = ["cifar-10", "cifar-100"].contains(&data);
        let is_cropped = data.starts_with("folder:") && data.contains(",crop=");
        Ok(Self {
            seed: 1,
            epochs,
            max_steps: 0,
            batch_size: defaults.batch_size,
            fill_last_batch: false,
            learning_rate,
            schedule,
            decay: defaults.decay,
            poly: defaults.poly,
            cosine: false,
            cosine_floor: 0.0,
            warmup: 0,
            warmup_steps: 0,
            optimizer: defaults.optimizer,
            momentum: defaults.momentum,
            weight_decay: defaults.weight_decay,
            pad: defaults.pad.unwrap_or(if is_augmented { 4 } else { 0 }),
            flip: defaults.flip.unwrap_or(is_augmented || is_cropped),
            validation: 0.0,
            checkpoint_every: 500,
            evaluate_every: 1,
            patience: 0,
            norm_batches: defaults.norm_batches.unwrap_or(0),
            calibrate: 0,
        })
    }
}
