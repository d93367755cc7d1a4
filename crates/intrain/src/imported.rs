//! From the network of another program to a saved model of this one.

use std::path::Path;

use intrain_data::ImageShape;
use intrain_import::{Imported, Weights};
use intrain_model::{ModelFile, Shape};
use intrain_nn::{Moments, Parameters, Plan, PlanError, Stored};
use intrain_recipe::Recipe;
use intrain_train::config::Config;
use intrain_train::saved::{OfRun, model_bytes};
use intrain_train::{ArtefactError, TrainError};
use toml::{Table, Value};

/// Settings of a run that trains an imported network on: it has learned already.
const DEFAULTS: &str = "
epochs = 2
batch_size = 128
learning_rate = 0.01
momentum = 0.9
weight_decay = 1e-4
schedule = []
";

/// A run of the network that has no step, on the data that it was made for where nobody names others.
///
/// # Errors
/// A network that is no classifier of images.
pub fn config(imported: &Imported, data: Option<&str>) -> Result<Config, TrainError> {
    let model = &imported.model;
    let refuse = |e: toml::de::Error| TrainError::Setting(e.to_string());
    let defaults: Table = DEFAULTS.parse().map_err(refuse)?;
    let table: Table = ModelFile { model: model.clone(), defaults }.to_toml().parse().map_err(refuse)?;
    let mut keys =
        Table::from_iter([("model".to_owned(), Value::from(table)), ("recipe".to_owned(), "float32".into())]);
    let data = data.map(str::to_owned).or_else(|| Config::data_name(&keys).ok());
    keys.insert("data".to_owned(), data.unwrap_or_else(|| "none".to_owned()).into());
    let Shape { h: height, w: width, c: channels } = model.input.shape;
    Config::resolve(keys, &[], ImageShape { height, width, channels }, model.n_classes()?)
}

/// The network as two files: its layers with their settings as a text, and the bytes of a `model.safetensors`.
///
/// # Errors
/// As [`config`] and [`parameters`].
pub fn files(imported: &Imported) -> Result<(String, Vec<u8>), TrainError> {
    let (plan, parameters) = parameters(imported, &intrain_recipe::preset("float32")?)?;
    let config = config(imported, None)?;
    let model = ModelFile { model: imported.model.clone(), defaults: config.model_defaults.clone() };
    let run = OfRun { config: &config, classes: &[], encoder: None };
    let bytes = model_bytes(Path::new("model.safetensors"), run, 0, &plan, &parameters);
    Ok((model.to_toml(), bytes.map_err(|error: ArtefactError| TrainError::Artefact(error))?))
}

/// The plan of an imported network in floats, and its parameters, block by block.
///
/// # Errors
/// A network that cannot be planned.
pub fn parameters(imported: &Imported, floats: &Recipe) -> Result<(Plan, Vec<Parameters>), PlanError> {
    let plan = Plan::build(&imported.model, floats, 1)?;
    let of_block = |name: &str| imported.weights.iter().find(|weights| weights.layer == name);
    let parameters =
        plan.blocks.iter().map(|block| of_block(&block.name).map_or_else(none, stored)).collect();
    Ok((plan, parameters))
}

fn stored(weights: &Weights) -> Parameters {
    let floats = |values: &Vec<f32>| Stored::F32(values.clone());
    Parameters {
        weight: floats(&weights.weight),
        bias: weights.bias.as_ref().map(floats),
        moments: weights
            .moments
            .as_ref()
            .map(|[mean, variance]| Moments { mean: floats(mean), spread: floats(variance) }),
    }
}

/// Every block with parameters was read with them.
fn none() -> Parameters {
    unreachable!("a layer was read without its weights")
}
