//! The network that the settings name: a preset, a file, or a table among them; and the one for data without a name of one.

use intrain_data::ImageShape;
use intrain_model::{LayerKind, Model, ModelFile, Shape};

use super::defaults::check_model_defaults;
use super::{in_file, read};
use crate::TrainError;

/// A model as the key `model` says it: a name, a file, a table.
fn read_model(value: Option<&toml::Value>) -> Result<Option<ModelFile>, TrainError> {
    Ok(Some(match value {
        None => return Ok(None),
        Some(toml::Value::Table(table)) => ModelFile::from_toml(&table.to_string())?,
        Some(toml::Value::String(path)) if path.ends_with(".toml") => {
            let file = ModelFile::from_toml(&read(path)?).map_err(|e| in_file(path, e))?;
            check_model_defaults(&file.defaults).map_err(|e| in_file(path, e))?;
            file
        }
        Some(toml::Value::String(name)) => ModelFile::preset(name)?,
        Some(other) => {
            let message = format!("model = {other} must be a name, a TOML file or a table");
            return Err(TrainError::Setting(message));
        }
    }))
}

/// The network that the key `model` says, as it is.
pub(super) fn model(value: Option<&toml::Value>) -> Result<Model, TrainError> {
    let file = read_model(value)?;
    file.map(|file| file.model).ok_or_else(|| TrainError::Setting("no network is named".to_owned()))
}

/// The data set that a network was made for, where nobody names one: it has images of that size, and no more classes than the
/// network has outputs. A preset takes the size of whatever data there are.
pub(super) fn data_for(model: Option<&toml::Value>) -> Result<&'static str, TrainError> {
    /// Each of the sets has so many classes.
    const CLASSES: usize = 10;
    let is_preset = matches!(model, Some(toml::Value::String(name)) if !name.ends_with(".toml"));
    let Some(ModelFile { model, .. }) = read_model(model)? else { return Ok("digits") };
    let (Shape { h, w, c }, outputs) = (model.input.shape, model.n_classes()?);
    match (h, w, c) {
        _ if !is_preset && outputs < CLASSES => {}
        (28, 28, 1) => return Ok("mnist"),
        (32, 32, 3) => return Ok("cifar-10"),
        (8, 8, 1) => return Ok("digits"),
        _ if is_preset => return Ok("digits"),
        _ => {}
    }
    Err(TrainError::Setting(format!(
        "model '{}' takes images of {h}x{w}x{c} and has {outputs} outputs, and no data set with a name has such; name yours with \
         --data",
        model.name
    )))
}

pub(super) fn take_model(
    keys: &mut toml::Table,
    data: &str,
    shape: ImageShape,
    n_classes: usize,
) -> Result<ModelFile, TrainError> {
    let value = keys.remove("model");
    let is_preset = matches!(&value, Some(toml::Value::String(name)) if !name.ends_with(".toml"));
    match read_model(value.as_ref())? {
        Some(file) if is_preset => fit(file, data, shape, n_classes),
        Some(file) => Ok(file),
        None => {
            let name = match (data, shape.height.min(shape.width)) {
                ("cifar-10", _) => "vgg7",
                (_, 1) => "table-mlp",
                (_, 0..=15) => "digits-cnn",
                (_, 16..=28) => "lenet5",
                (_, 29..=64) => "vgg7",
                // VGG-7's first linear layer grows with the image: it would have 400 million weights at 224 x 224.
                _ => "resnet18",
            };
            fit(ModelFile::preset(name)?, data, shape, n_classes)
        }
    }
}

/// A preset takes the data's shape and number of classes; a model of the user's own must fit as it is.
fn fit(
    mut file: ModelFile,
    data: &str,
    shape: ImageShape,
    n_classes: usize,
) -> Result<ModelFile, TrainError> {
    let model = &mut file.model;
    model.input.shape = Shape { h: shape.height, w: shape.width, c: shape.channels };
    if let Some(LayerKind::Linear { out, .. }) = model.layers.last_mut().map(|layer| &mut layer.kind) {
        *out = n_classes.max(2);
    }
    let name = model.name.clone();
    model.n_classes().map_err(|e| {
        TrainError::Setting(format!(
            "model '{name}' on data '{data}': {e}; choose another model with --model"
        ))
    })?;
    Ok(file)
}
