//! What a run is: recipe, model, data and hyperparameters, resolved so that the run can be repeated from it alone.
//!
//! The order of precedence: defaults for (recipe, model, data), then a file, then flags, then `--set key=value`.

mod defaults;
mod keys;
mod network;
mod recipe;
mod schedule;
mod seed;

use std::path::Path;
use std::sync::Arc;

use intrain_data::{Augment, Dataset, ImageShape, LastBatch, TrainBatches};
use intrain_model::{Model, ModelFile, Shape};
use intrain_recipe::Recipe;
use serde::{Deserialize, Serialize};

use keys::{in_words, number, parse_table, set};
use network::take_model;
use recipe::take_recipe;

pub use defaults::{check_model_defaults, check_recipe_defaults, default_recipe};
pub use keys::{KEYS, check_keys};
pub use schedule::{half_cosine, polynomial};
pub use seed::{deserialize_seeds, seed_value};

use crate::TrainError;
use crate::update::{Hyper, Method};

/// A resolved run. `threads` and kernels are not in it: they change no bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Data set, as on the command line.
    pub data: String,
    /// How each role is quantized.
    pub recipe: Recipe,
    /// The network.
    pub model: Model,
    /// What its file says of runs that say nothing; kept with the run, so that a copy of the model trains alike.
    pub model_defaults: toml::Table,
    /// The network whose weights it starts from; without one they are drawn from the seed.
    pub init: Option<Init>,
    /// The numbers.
    pub settings: Settings,
}

/// Batches from which the statistics of norms are estimated where weights are binary: such weights change sign at the least
/// update, and what a norm remembers trails behind them. Five batches nearly suffice.
const NORM_BATCHES_BINARY: u32 = 100;

/// Batches from which formats are chosen where weights of floats become integers: eight are over a thousand images.
const CALIBRATE: u32 = 8;

/// The weights that a run starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// A `model.safetensors`.
    pub path: String,
    /// SHA-256 over its weights and biases, once it was read: the run is repeated from the same ones, or not at all.
    pub sha256: Option<String>,
}

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Seed of every random bit.
    #[serde(serialize_with = "seed::serialize", deserialize_with = "seed::deserialize")]
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: u32,
    /// Stop after so many steps, where that is earlier; 0 is no such limit.
    pub max_steps: u64,
    /// Images in a step.
    pub batch_size: usize,
    /// Whether the images at an epoch's end that make no whole batch get one with the first images of the epoch; else they are
    /// left out of it.
    #[serde(default)]
    pub fill_last_batch: bool,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// From which epoch (counted from 0) which learning rate holds.
    pub schedule: Vec<(u32, f64)>,
    /// Factor of the learning rate after each epoch.
    pub decay: f64,
    /// Power of the share of steps that are left, by which the learning rate is multiplied; 0 changes nothing.
    #[serde(default)]
    pub poly: f64,
    /// Whether the learning rate falls along a half cosine, from its start to `cosine_floor` behind the last step.
    #[serde(default, skip_serializing_if = "is_off")]
    pub cosine: bool,
    /// Where the cosine ends.
    #[serde(default, skip_serializing_if = "is_off")]
    pub cosine_floor: f64,
    /// Epochs over which the learning rate rises, step by step; 0 is no rise.
    #[serde(default, skip_serializing_if = "is_off")]
    pub warmup: u32,
    /// The same in steps.
    #[serde(default, skip_serializing_if = "is_off")]
    pub warmup_steps: u64,
    /// How a gradient becomes an update: "sgd" or "adam".
    #[serde(default)]
    pub optimizer: Method,
    /// Share of the momentum that is kept.
    pub momentum: f64,
    /// Share of the weight that is added to its gradient.
    pub weight_decay: f64,
    /// Zeros around a training image, from which a crop of the original size is taken; 0 crops nothing.
    pub pad: usize,
    /// Whether training images are mirrored at random.
    pub flip: bool,
    /// Share of the training images that are taken for validation; 0 takes none.
    #[serde(default, skip_serializing_if = "is_off")]
    pub validation: f64,
    /// Steps between two checkpoints, besides those at the end of each epoch.
    pub checkpoint_every: u64,
    /// Epochs from one evaluation to the next; the last step is followed by one in any case.
    #[serde(default = "every_epoch")]
    pub evaluate_every: u32,
    /// The run ends when so many evaluations in a row have not lowered the best error: on the images for validation where there
    /// are some, else on the test images; 0 is no such end.
    #[serde(default)]
    pub patience: u32,
    /// Batches of training from which the statistics of norms are estimated anew, at fixed weights, before each evaluation and
    /// for the network that is deployed; 0 leaves those that training has kept.
    #[serde(default)]
    pub norm_batches: u32,
    /// Batches of training from which formats are chosen where weights of floats become integers; 0 keeps those of the recipe.
    #[serde(default, skip_serializing_if = "is_off")]
    pub calibrate: u32,
}

const fn every_epoch() -> u32 {
    1
}

/// Whether a setting is what a run has that says nothing; such ones of later versions are left out of files.
fn is_off<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Settings that say a network and a recipe, each the name of a preset or the text of a TOML file, and the data.
fn keys_of(network: &str, recipe: &str, data: &str) -> Result<toml::Table, TrainError> {
    let value = |text: &str| match text.contains('\n') {
        true => parse_table(text).map(toml::Value::from),
        false => Ok(text.into()),
    };
    let keys = [("model", value(network)?), ("recipe", value(recipe)?), ("data", data.into())];
    Ok(keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

impl Config {
    /// The data set that a table of keys means, before it is loaded: without a name, the one with images of the model's shape.
    ///
    /// # Errors
    /// `data` is there and not a text; without it, everything that `model` can have wrong.
    pub fn data_name(keys: &toml::Table) -> Result<String, TrainError> {
        match keys.get("data") {
            Some(toml::Value::String(name)) => Ok(name.clone()),
            Some(other) => {
                Err(TrainError::Setting(format!("data = {other} must be a name or a PATH in quotes")))
            }
            None => Ok(network::data_for(keys.get("model"))?.to_owned()),
        }
    }

    /// The run of a network and a recipe on a data set in memory: each the name of a preset, or the text of a TOML file. `sets`
    /// are settings as `--set` of the command line takes them, such as `epochs=3`; the rest are the defaults of recipe and
    /// network.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn for_data(
        network: &str,
        recipe: &str,
        dataset: &Dataset,
        sets: &[&str],
    ) -> Result<Self, TrainError> {
        let mut keys = keys_of(network, recipe, &dataset.name)?;
        // It decides what the rest means: a run that begins with weights looks for formats.
        let (init, sets): (Vec<&str>, Vec<&str>) = sets.iter().partition(|set| set.starts_with("init="));
        init.into_iter().try_for_each(|assignment| set(&mut keys, assignment))?;
        let sets: Vec<String> = sets.into_iter().map(str::to_owned).collect();
        Self::resolve_on(keys, &sets, dataset)
    }

    /// The same before there is data: for images of the network's own size, in as many classes as it has.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn without_data(network: &str, recipe: &str, sets: &[&str]) -> Result<Self, TrainError> {
        let keys = keys_of(network, recipe, "arrays")?;
        let model = network::model(keys.get("model"))?;
        let Shape { h: height, w: width, c: channels } = model.input.shape;
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Self::resolve(keys, &sets, ImageShape { height, width, channels }, model.n_classes()?)
    }

    /// As [`Config::resolve`], on this data. Where nobody says a batch size and the data has fewer images than the default, a step
    /// takes an eighth of them, rounded down to a power of two.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve_on(mut keys: toml::Table, sets: &[String], dataset: &Dataset) -> Result<Self, TrainError> {
        let config = Self::resolve(keys.clone(), sets, dataset.shape, dataset.n_classes)?;
        let is_said = keys.contains_key("batch_size")
            || sets.iter().any(|set| set.split('=').next().is_some_and(|key| key.trim() == "batch_size"));
        let n_images = dataset.n_train_without(config.settings.validation);
        if is_said || n_images >= config.settings.batch_size {
            return Ok(config);
        }
        // Bound: below the default, so the power of two fits.
        let eighth = (n_images / 8).max(1).ilog2();
        keys.insert("batch_size".to_owned(), (1_i64 << eighth).into());
        Self::resolve(keys, sets, dataset.shape, dataset.n_classes)
    }

    /// Resolves a table of keys (file and flags merged) and `--set` assignments for images of `shape` in `n_classes`.
    ///
    /// # Errors
    /// Unknown keys with the nearest known one, and everything that a recipe, a model or a setting can have wrong.
    pub fn resolve(
        mut keys: toml::Table,
        sets: &[String],
        shape: ImageShape,
        n_classes: usize,
    ) -> Result<Self, TrainError> {
        let data = Self::data_name(&keys)?;
        keys.insert("data".to_owned(), data.clone().into());
        let file = take_model(&mut keys, &data, shape, n_classes)?;
        // A whole recipe among the settings is of a run that was resolved, perhaps by an earlier version.
        let is_named = !matches!(keys.get("recipe"), Some(toml::Value::Table(_)));
        let recipe = take_recipe(&mut keys, &file)?;
        let asks = |defaults: &toml::Table| defaults.contains_key("norm_batches");
        let of_model = &file.defaults;
        let by_any_recipe = of_model.get("any_recipe").and_then(toml::Value::as_table);
        let is_said = asks(&recipe.defaults) || asks(of_model) || by_any_recipe.is_some_and(asks);
        if is_named && recipe.has_binary_weights() && !is_said {
            keys.entry("norm_batches").or_insert(NORM_BATCHES_BINARY.into());
        }
        if is_named && keys.contains_key("init") {
            keys.entry("calibrate").or_insert(CALIBRATE.into());
        }
        keys.insert("model".to_owned(), parse_table(&file.to_toml())?.into());
        keys.insert("recipe".to_owned(), parse_table(&recipe.to_toml_by_role())?.into());
        for assignment in sets {
            set(&mut keys, assignment)?;
            let roles = keys.get_mut("recipe").and_then(|recipe| recipe.get_mut("roles"));
            if let Some(toml::Value::Table(roles)) = roles {
                intrain_recipe::spread_operand(roles);
            }
        }
        let config = Self::from_keys(keys)?;
        config.check(shape, n_classes)?;
        Ok(config)
    }

    /// Reads a resolved run back.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn from_toml(text: &str) -> Result<Self, TrainError> {
        Self::from_keys(parse_table(text)?)
    }

    /// The run as TOML that [`Config::from_toml`] reads back to the same run.
    ///
    /// # Errors
    /// Never for a resolved run.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        let mut keys =
            toml::Table::try_from(&self.settings).map_err(|e| TrainError::Setting(e.to_string()))?;
        keys.insert("data".to_owned(), self.data.clone().into());
        if let Some(Init { path, sha256 }) = &self.init {
            keys.insert("init".to_owned(), path.clone().into());
            keys.extend(sha256.clone().map(|sha256| ("init_sha256".to_owned(), sha256.into())));
        }
        keys.insert("recipe".to_owned(), parse_table(&self.recipe.to_toml())?.into());
        let file = ModelFile { model: self.model.clone(), defaults: self.model_defaults.clone() };
        keys.insert("model".to_owned(), parse_table(&file.to_toml())?.into());
        Ok(keys.to_string())
    }

    fn from_keys(mut keys: toml::Table) -> Result<Self, TrainError> {
        check_keys(&keys)?;
        let table = |keys: &mut toml::Table, key: &str| match keys.remove(key) {
            Some(toml::Value::Table(table)) => Ok(table.to_string()),
            _ => Err(TrainError::Setting(format!("'{key}' must be a table in a resolved run"))),
        };
        let ModelFile { model, defaults: model_defaults } =
            ModelFile::from_toml(&table(&mut keys, "model")?)?;
        let recipe = Recipe::from_toml(&table(&mut keys, "recipe")?)?;
        let Some(toml::Value::String(data)) = keys.remove("data") else {
            return Err(TrainError::Setting("'data' must be a name or PATH in quotes".to_owned()));
        };
        let init = take_init(&mut keys)?;
        let defaults = Settings::default_for(&recipe, &model_defaults, &data, &keys)?;
        let mut all = toml::Table::try_from(defaults).map_err(|e| TrainError::Setting(e.to_string()))?;
        for (key, value) in keys {
            // A whole number is a number.
            let is_float = all.get(&key).is_some_and(toml::Value::is_float);
            let value = if is_float { number(&value).map_or(value, toml::Value::from) } else { value };
            let text = value.to_string();
            all.insert(key.clone(), value);
            Settings::deserialize(all.clone())
                .map_err(|e| TrainError::Setting(format!("{key} = {text}: {}", in_words(e.message()))))?;
        }
        let settings =
            all.try_into().map_err(|e: toml::de::Error| TrainError::Setting(e.message().to_owned()))?;
        let config = Self { data, recipe, model, model_defaults, init, settings };
        config.check_settings()?;
        Ok(config)
    }

    /// The batches that it trains on.
    ///
    /// # Errors
    /// A batch size of 0 or of more images than there are, or too much padding.
    pub fn batches(&self, dataset: Arc<Dataset>) -> Result<TrainBatches, TrainError> {
        let settings = &self.settings;
        let batches = TrainBatches::new(dataset, settings.batch_size, settings.seed, settings.augment())?;
        Ok(batches.ending_with(settings.last_batch()))
    }

    /// Checks that the network takes these images and tells these classes apart.
    ///
    /// # Errors
    /// The sizes that differ, and what to change.
    pub(crate) fn check(&self, shape: ImageShape, n_classes: usize) -> Result<(), TrainError> {
        let refuse = |reason: String| Err(TrainError::Setting(reason));
        let input = self.model.input.shape;
        if (input.h, input.w, input.c) != (shape.height, shape.width, shape.channels) {
            return refuse(format!(
                "model '{}' takes images of {input}, but data '{}' has {}x{}x{}; change the model's input or the data",
                self.model.name, self.data, shape.height, shape.width, shape.channels
            ));
        }
        let outputs = self.model.n_classes()?;
        if outputs < n_classes {
            return refuse(format!(
                "model '{}' has {outputs} outputs, but data '{}' has {n_classes} classes; widen its last layer",
                self.model.name, self.data
            ));
        }
        Ok(())
    }

    /// Checks the numbers by themselves, and the learning rates against the recipe.
    pub(crate) fn check_settings(&self) -> Result<(), TrainError> {
        let s = &self.settings;
        let refuse = |reason: String| Err(TrainError::Setting(reason));
        if s.epochs == 0 && self.init.is_none() {
            return refuse(
                "epochs = 0 learns nothing; use at least 1, or name weights to start from with init"
                    .to_owned(),
            );
        }
        if s.epochs > 100_000 {
            return refuse(format!("epochs = {} is not in 0..=100000", s.epochs));
        }
        s.check_rates(self.recipe.learning_rate)?;
        if !(0.0..=0.5).contains(&s.validation) {
            return refuse(format!("validation = {} is not in 0..=0.5", s.validation));
        }
        if s.evaluate_every == 0 {
            return refuse("evaluate_every = 0 would never evaluate; use at least 1".to_owned());
        }
        if s.norm_batches > 100_000 {
            return refuse(format!("norm_batches = {} is not in 0..=100000", s.norm_batches));
        }
        if s.calibrate > 10_000 {
            return refuse(format!("calibrate = {} is not in 0..=10000", s.calibrate));
        }
        if s.checkpoint_every == 0 {
            return refuse("checkpoint_every = 0 would never write a checkpoint; use at least 1".to_owned());
        }
        Ok(())
    }
}

impl Settings {
    /// The settings that change no bit on the way: how far a run goes, how often it is saved and measured, and how.
    pub const FREE: [&str; 6] =
        ["epochs", "max_steps", "checkpoint_every", "evaluate_every", "patience", "norm_batches"];

    /// What updates need to know.
    #[must_use]
    pub const fn hyper(&self) -> Hyper {
        Hyper { method: self.optimizer, momentum: self.momentum, weight_decay: self.weight_decay }
    }

    /// The first setting that another run of the same recipe and model has otherwise, with both values. How far a run
    /// goes, and how often it is saved, changes no bit on the way; with `poly` and `cosine`, the rates depend on the number of epochs, and
    /// those from here on follow the new one.
    pub(crate) fn difference(&self, other: &toml::Table) -> Option<String> {
        let table = |settings: &Self| toml::Table::try_from(settings).unwrap_or_default();
        let own = table(self);
        // A setting that an older checkpoint does not know has its default there.
        let other = &Self::deserialize(other.clone()).map_or_else(|_| other.clone(), |other| table(&other));
        let changed = own.keys().chain(other.keys()).find(|key| {
            !Self::FREE.contains(&key.as_str()) && other.get(key.as_str()) != own.get(key.as_str())
        });
        changed.map(|key| {
            let said = |table: &toml::Table| {
                table.get(key).map_or_else(|| "not there".to_owned(), toml::Value::to_string)
            };
            format!("{key} was {} and is {} now", said(other), said(&own))
        })
    }

    /// The data in the parts that the settings say: as they are, or with a share of the training images for validation.
    ///
    /// # Errors
    /// The data have images for validation already, or too few for the share.
    pub fn parted(&self, dataset: Arc<Dataset>) -> Result<Arc<Dataset>, TrainError> {
        if self.validation == 0.0 {
            return Ok(dataset);
        }
        Ok(Arc::new(Arc::unwrap_or_clone(dataset).with_validation(self.validation)?))
    }

    /// What becomes of the images that make no whole batch.
    #[must_use]
    pub const fn last_batch(&self) -> LastBatch {
        if self.fill_last_batch { LastBatch::Fill } else { LastBatch::Drop }
    }

    /// Steps of an epoch of `n_images`; at least 1.
    #[must_use]
    pub fn steps_per_epoch(&self, n_images: usize) -> u64 {
        self.last_batch().per_epoch(n_images, self.batch_size.max(1)).max(1) as u64
    }

    /// What is done to training images.
    #[must_use]
    pub const fn augment(&self) -> Augment {
        Augment { pad: self.pad, flip: self.flip }
    }
}

fn read(path: &str) -> Result<String, TrainError> {
    std::fs::read_to_string(Path::new(path)).map_err(|e| {
        TrainError::Setting(format!("{path}: cannot read: {e}; name a preset or a TOML file that exists"))
    })
}

fn in_file(path: &str, error: impl std::fmt::Display) -> TrainError {
    TrainError::Setting(format!("{path}: {error}"))
}

fn take_init(keys: &mut toml::Table) -> Result<Option<Init>, TrainError> {
    let mut text = |key: &str| match keys.remove(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(TrainError::Setting(format!("{key} = {other} must be a text in quotes"))),
    };
    let (path, sha256) = (text("init")?, text("init_sha256")?);
    if path.is_none() && sha256.is_some() {
        return Err(TrainError::Setting(
            "init_sha256 is there without init; name the model's file".to_owned(),
        ));
    }
    Ok(path.map(|path| Init { path, sha256 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MNIST: ImageShape = ImageShape { height: 28, width: 28, channels: 1 };

    fn resolve(keys: &str, sets: &[&str]) -> Result<Config, TrainError> {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        Config::resolve(keys.parse().unwrap(), &sets, MNIST, 10)
    }

    #[test]
    fn a_resolved_run_reads_back() {
        for keys in [
            "model = 'lenet5'",
            "model = 'mlp'\nrecipe = 'gupta:nearest'",
            "recipe = 'float32'\nlearning_rate = 1",
        ] {
            let config = resolve(keys, &["seed=7"]).unwrap();
            assert_eq!(Config::from_toml(&config.to_toml().unwrap()).unwrap(), config);
        }
    }

    /// The short form is an assignment to its three rows, in the order of all assignments.
    #[test]
    fn the_row_operand_can_be_set_and_taken_apart() {
        let rows = |recipe: &str, sets: &[&str]| {
            let config = resolve(&format!("recipe = '{recipe}'"), sets).unwrap();
            assert_eq!(Config::from_toml(&config.to_toml().unwrap()).unwrap(), config);
            let intrain_recipe::Recipe { weight, activation, error_at_product, .. } = config.recipe;
            [weight, activation, error_at_product].map(|slot| slot.base.to_string())
        };
        let operand = "recipe.roles.operand='mxfp4@even'";
        assert_eq!(rows("float32", &[operand]), ["mxfp4@even"; 3]);
        let weight = "recipe.roles.weight='mxint8@rceil'";
        assert_eq!(rows("float32", &[operand, weight]), ["mxint8@rceil", "mxfp4@even", "mxfp4@even"]);
        assert_eq!(rows("mxfp4", &[weight]), ["mxint8@rceil", "mxfp4@even", "mxfp4@even"]);
        assert_eq!(rows("nvfp4", &[weight, operand]), ["mxfp4@even"; 3]);
    }

    #[test]
    fn seeds_have_64_bits() {
        let seed = |keys: &str, sets: &[&str]| {
            let config = resolve(keys, sets).unwrap();
            assert_eq!(Config::from_toml(&config.to_toml().unwrap()).unwrap(), config);
            config.settings.seed
        };
        assert_eq!(seed("seed = '18446744073709551615'", &[]), u64::MAX);
        assert_eq!(seed("seed = '0xfedcba9876543210'", &[]), 0xfedc_ba98_7654_3210);
        assert_eq!(seed("seed = 0x7fffffffffffffff", &[]), u64::MAX >> 1);
        assert_eq!(seed("", &["seed=18446744073709551615"]), u64::MAX);
    }

    #[test]
    fn settings_that_are_off_are_no_difference_and_others_are() {
        let settings = |keys: &str| resolve(&format!("recipe = 'float32'\n{keys}"), &[]).unwrap().settings;
        let table = |settings: &Settings| toml::Table::try_from(settings).unwrap();
        let (plain, steered) = (settings(""), settings("validation = 0.1\nwarmup = 2"));
        assert!(["validation", "cosine", "warmup"].iter().all(|key| !table(&plain).contains_key(*key)));
        assert_eq!(plain.difference(&table(&plain)), None);
        let message = plain.difference(&table(&steered)).unwrap();
        assert_eq!(message, "validation was 0.1 and is not there now");
        assert_eq!(steered.difference(&table(&plain)).unwrap(), "validation was not there and is 0.1 now");
    }

    #[test]
    fn wage_schedule_has_the_papers_proportions() {
        let rates = |epochs: u32| {
            let config = resolve(&format!("model = 'lenet5'\nepochs = {epochs}"), &[]).unwrap();
            (0..epochs).map(|e| config.settings.learning_rate_at(e)).collect::<Vec<_>>()
        };
        let thirty = rates(30);
        assert_eq!((thirty[19], thirty[20], thirty[24], thirty[25]), (8.0, 1.0, 1.0, 0.125));
        assert_eq!(rates(5), [8.0, 8.0, 8.0, 8.0, 1.0]);
    }

    #[test]
    fn outputs_follow_guptas_network() {
        let name = |keys: &str| resolve(keys, &[]).unwrap().recipe.name;
        assert_eq!(name("model = 'gupta-cnn'\nrecipe = 'gupta'"), "gupta:Q2.14:Q6.10:Q2.14:stochastic");
        assert_eq!(name("model = 'gupta-cnn'\nrecipe = 'gupta:nearest'"), "gupta:Q2.14:Q6.10:Q2.14:nearest");
        assert_eq!(name("model = 'gupta-cnn'\nrecipe = 'gupta:array'"), "gupta:Q2.14:Q6.10:Q2.14:array");
        assert_eq!(name("model = 'gupta-cnn'\nrecipe = 'gupta:Q4.12'"), "gupta:Q4.12:Q6.10:Q2.14:stochastic");
        assert_eq!(name("model = 'mlp'\nrecipe = 'gupta'"), "gupta");
    }

    #[test]
    fn a_model_brings_the_data_that_it_was_made_for() {
        for (keys, data) in [
            ("", "digits"),
            ("model = 'digits-cnn'", "digits"),
            ("model = 'lenet5'", "mnist"),
            ("model = 'mlp'", "mnist"),
            ("model = 'mlp-norm'", "mnist"),
            ("model = 'gupta-cnn'", "mnist"),
            ("model = 'vgg7'", "cifar-10"),
            ("model = 'vgg7-norm'", "cifar-10"),
            ("model = 'gupta-cifar'", "cifar-10"),
            ("model = 'vgg9:16'", "cifar-10"),
            ("model = 'vgg-bc'", "cifar-10"),
            ("model = 'resnet56'", "cifar-10"),
            ("model = 'resnet20'\ndata = 'svhn'", "svhn"),
        ] {
            assert_eq!(Config::data_name(&keys.parse().unwrap()).unwrap(), data, "{keys}");
        }
    }

    /// A network of the user's own is not sent to data that it cannot learn.
    #[test]
    fn a_model_of_ones_own_needs_data_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.toml");
        for (from, outputs, data) in [
            ("vgg7", 10, Some("cifar-10")),
            ("lenet5", 12, Some("mnist")),
            ("digits-cnn", 10, Some("digits")),
            ("vgg7", 3, None),
            ("digits-cnn", 3, None),
            ("resnet18", 1000, None),
        ] {
            let mut file = ModelFile::preset(from).unwrap();
            if let Some(intrain_model::LayerKind::Linear { out, .. }) =
                file.model.layers.last_mut().map(|layer| &mut layer.kind)
            {
                *out = outputs;
            }
            std::fs::write(&path, file.to_toml()).unwrap();
            let keys = toml::Table::from_iter([("model".to_owned(), path.display().to_string().into())]);
            match (Config::data_name(&keys), data) {
                (Ok(name), Some(data)) => assert_eq!(name, data, "{from}"),
                (Err(error), None) => {
                    let message = error.to_string();
                    let told = format!(
                        "and has {outputs} outputs, and no data set with a name has such; name yours with --data"
                    );
                    assert!(message.contains(&told), "{message}");
                }
                (found, _) => panic!("{from} with {outputs} outputs: {found:?}"),
            }
        }
    }

    #[test]
    fn set_reaches_rows_with_dots() {
        let config =
            resolve("", &["recipe.roles.error.loss=unit<6>@shift nearest-even", "momentum=0"]).unwrap();
        assert_eq!(config.recipe.error_at_loss.base.format.bits(), 6);
    }

    #[test]
    fn few_images_make_small_batches_where_nobody_says_how_many() {
        let data = |n: usize| {
            let images = |n: usize| {
                let labels = [0, 1].into_iter().cycle().take(n).collect();
                intrain_data::Images::new([n, 1, 4, 1], vec![7; 4 * n], labels).unwrap()
            };
            Dataset::from_images("few", 2, images(n), Some(images(2))).unwrap()
        };
        let batch = |n, sets: &[&str]| {
            Config::for_data("mlp", "wage", &data(n), sets).map(|config| config.settings.batch_size)
        };
        for (n, expected) in [(128, 128), (127, 8), (120, 8), (16, 2), (15, 1), (1, 1)] {
            assert_eq!(batch(n, &[]).unwrap(), expected, "{n}");
        }
        assert_eq!(batch(120, &["batch_size = 100"]).unwrap(), 100);
        // What is said holds, also where it cannot: a step would have too few images.
        assert_eq!(batch(120, &["batch_size=130"]).unwrap(), 130);
    }

    #[test]
    fn data_without_a_network_get_one_of_their_size() {
        let network = |side: usize| {
            let shape = ImageShape { height: side, width: side, channels: 3 };
            Config::resolve(toml::Table::new(), &[], shape, 5).unwrap().model
        };
        for (side, name) in [
            (8, "digits-cnn"),
            (15, "digits-cnn"),
            (16, "lenet5"),
            (29, "vgg7"),
            (64, "vgg7"),
            (65, "resnet18"),
            (224, "resnet18"),
        ] {
            assert_eq!(network(side).name, name, "{side}");
        }
    }

    #[test]
    fn mistakes_name_the_remedy() {
        for (keys, sets, part) in [
            ("epoch = 3", &[][..], "did you mean 'epochs'"),
            ("model = 'lenet'", &[], "did you mean 'lenet5'"),
            ("recipe = 'wag'", &[], "did you mean 'wage'"),
            ("learning_rate = 0.3", &[], "not a power of two"),
            ("epochs = 0", &[], "epochs = 0 learns nothing"),
            ("epochs = 4294967295", &[], "0..=100000"),
            ("", &["checkpoint_every=0"], "use at least 1"),
            ("", &["evaluate_every=0"], "use at least 1"),
            ("decay = 0", &[], "above 0"),
            ("epochs = 'x'", &[], "expected a whole number of 0 to 4294967295"),
            (
                "",
                &["batch_size=-1"],
                "batch_size = -1: invalid value: integer `-1`, expected a whole number of 0 or more",
            ),
            ("momentum = 'x'", &[], "expected a number"),
            ("flip = 1", &[], "expected true or false"),
            ("", &["seed"], "key=value"),
            ("", &["nothing.here=3"], "no such table"),
            ("", &["recipe.roles.actvation=exact"], "did you mean 'activation'"),
            ("seed = 'x'", &[], "seed = \"x\": invalid value"),
            ("seed = -3", &[], "seed = -3: invalid value"),
            ("seed = 1.5", &[], "in 0..=18446744073709551615, in quotes where it is above"),
            ("seed = '18446744073709551616'", &[], "invalid value"),
            ("data = 3", &[], "data = 3 must be a name"),
            ("schedule = [[5, 1.0], [2, 4.0]]", &[], "rising order"),
            ("schedule = [[0, 8.0], [0, 4.0]]", &[], "rising order"),
            ("", &["lr=4"], "did you mean 'learning_rate'"),
            ("", &["threads=4"], "'threads' is not a setting. Settings are"),
            ("model = 'nowhere.toml'", &[], "nowhere.toml: cannot read"),
        ] {
            let message = resolve(keys, sets).unwrap_err().to_string();
            assert!(message.contains(part), "{keys} {sets:?}: {message}");
        }
    }
}
