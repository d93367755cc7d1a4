//! Networks on disk: the tensors of checkpoints, and `model.safetensors` with the integers as integers.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use intrain_data::Encoder;
use intrain_model::Model;
use intrain_nn::plan::ProductKind;
use intrain_nn::{BlockPlan, Moments, Parameters, Plan, Stored};
use intrain_num::{Format, Quantizer, Round};
use intrain_recipe::Recipe;

use crate::checkpoint::{self, Checkpoint, NamedTensor, TensorData};
use crate::config::Config;
use crate::convert::convert;
use crate::step::Trainer;

use crate::evaluation::estimates_statistics;
use crate::update::{bias_master, is_float};
use crate::{ArtefactError, TrainError, atomic_write};

use self::state::check_identity;
pub(crate) use self::state::{State, has_other_data, read_checkpoint, write_checkpoint};

/// A network that was saved: enough to evaluate it.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedModel {
    /// The network.
    pub model: Model,
    /// Its recipe, as it held at the end.
    pub recipe: Recipe,
    /// The data that it was trained on.
    pub data: String,
    /// The share of its training images that was taken for validation; 0 took none.
    pub validation: f64,
    /// Names of its classes, output by output; none in files of earlier versions.
    pub classes: Vec<String>,
    /// How the numbers of its data became bytes, where they were none.
    pub encoder: Option<Encoder>,
    /// Stored weights and biases, block by block.
    pub parameters: Vec<Parameters>,
    /// Whether the norms have the statistics of training though the run estimates others (`norm_batches`): in a checkpoint behind
    /// whose step nothing was evaluated.
    pub statistics_trail: bool,
}

impl From<Stored> for TensorData {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::I8(v) => Self::I8(v),
            Stored::I16(v) => Self::I16(v),
            Stored::I32(v) => Self::I32(v),
            Stored::F32(v) => Self::F32(v),
        }
    }
}

fn stored(data: TensorData) -> Option<Stored> {
    match data {
        TensorData::I8(v) => Some(Stored::I8(v)),
        TensorData::I16(v) => Some(Stored::I16(v)),
        TensorData::I32(v) => Some(Stored::I32(v)),
        TensorData::F32(v) => Some(Stored::F32(v)),
        TensorData::I64(_) | TensorData::U8(_) => None,
    }
}

/// A tensor on its way to a file: name, shape, elements.
type Part<'a> = (String, Vec<usize>, &'a Stored);

fn parameter_parts<'a>(plan: &Plan, parameters: &'a [Parameters]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for (block, p) in plan.blocks.iter().zip(parameters) {
        let mut add = |part: &str, shape: Vec<usize>, stored: &'a Stored| {
            parts.push((format!("{}.{part}", block.name), shape, stored));
        };
        if !p.weight.is_empty() {
            add("weight", block.product.weight_shape(), &p.weight);
        }
        if let Some(bias) = &p.bias {
            add("bias", vec![block.product.output.c], bias);
        }
        if let Some(Moments { mean, spread }) = &p.moments {
            add("mean", vec![mean.len()], mean);
            add(spread_name(block), vec![spread.len()], spread);
        }
    }
    parts
}

/// The tensors of a network as its `model.safetensors` has them: `plan` is its plan.
#[must_use]
pub fn model_tensors(plan: &Plan, parameters: &[Parameters]) -> Vec<NamedTensor> {
    tensors(parameter_parts(plan, parameters))
}

/// What stands behind the names of a norm's statistics that are not those of training but of the deployed network.
const DEPLOYED: &str = "deployed";

/// Everything that a checkpoint keeps of a trainer.
fn parts(trainer: &Trainer) -> Vec<Part<'_>> {
    let mut parts = parameter_parts(trainer.plan(), trainer.parameters());
    if trainer.has_estimated_statistics() {
        for (block, p) in trainer.plan().blocks.iter().zip(trainer.deployed()) {
            if let Some(Moments { mean, spread }) = &p.moments {
                for (part, stored) in [("mean", mean), (spread_name(block), spread)] {
                    parts.push((format!("{}.{part}.{DEPLOYED}", block.name), vec![stored.len()], stored));
                }
            }
        }
    }
    for (moment, of_blocks) in trainer.optimizer().moments() {
        for (block, of_parts) in trainer.plan().blocks.iter().zip(of_blocks) {
            for (part, stored) in ["weight", "bias"].iter().zip(of_parts) {
                if let Some(stored) = stored {
                    parts.push((format!("{}.{part}.{moment}", block.name), vec![stored.len()], stored));
                }
            }
        }
    }
    parts
}

fn tensors(parts: Vec<Part<'_>>) -> Vec<NamedTensor> {
    let tensor = |(name, shape, stored): Part<'_>| NamedTensor { name, shape, data: stored.clone().into() };
    parts.into_iter().map(tensor).collect()
}

/// Checks that a checkpoint can hold the trainer: each of its tensors has a name of its own.
pub(crate) fn check_names(trainer: &Trainer) -> Result<(), TrainError> {
    let mut seen = BTreeSet::new();
    match parts(trainer).into_iter().find(|(name, ..)| !seen.insert(name.clone())) {
        Some((name, ..)) => Err(TrainError::Setting(format!(
            "the tensors of two layers would both be called '{name}' in a checkpoint; rename the layer whose name has a dot"
        ))),
        None => Ok(()),
    }
}

/// The run that a file is of.
#[derive(Debug, Clone, Copy)]
pub struct OfRun<'a> {
    /// The resolved run.
    pub config: &'a Config,
    /// Names of the data's classes.
    pub classes: &'a [String],
    /// How the data's numbers became bytes, where they were none.
    pub encoder: Option<&'a Encoder>,
}

/// SHA-256 over all stored weights and biases in layer order, little-endian.
#[must_use]
pub fn weights_sha256(parameters: &[Parameters]) -> String {
    let data: Vec<TensorData> = parameters
        .iter()
        .flat_map(|p| std::iter::once(&p.weight).chain(&p.bias))
        .map(|stored| stored.clone().into())
        .collect();
    checkpoint::weights_sha256(data.iter())
}

/// Writes `model.safetensors`, with the recipe as it holds in `epoch`: `plan` is its plan.
///
/// # Errors
/// What the system refuses.
pub fn write_model(
    path: &Path,
    run: OfRun<'_>,
    epoch: u32,
    plan: &Plan,
    parameters: &[Parameters],
) -> Result<(), TrainError> {
    Ok(atomic_write(path, &model_bytes(path, run, epoch, plan, parameters)?)?)
}

/// The bytes that [`write_model`] writes; `path` is what errors name.
///
/// # Errors
/// A tensor that no file can hold.
pub fn model_bytes(
    path: &Path,
    run: OfRun<'_>,
    epoch: u32,
    plan: &Plan,
    parameters: &[Parameters],
) -> Result<Vec<u8>, ArtefactError> {
    let OfRun { config, classes, encoder } = run;
    let recipe = config.recipe.at_epoch(epoch);
    let mut metadata = BTreeMap::from([
        ("intrain".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("recipe".to_owned(), recipe.to_toml()),
        ("model".to_owned(), config.model.to_toml()),
        ("data".to_owned(), config.data.clone()),
        ("classes".to_owned(), serde_json::Value::from(classes).to_string()),
        ("seed".to_owned(), config.settings.seed.to_string()),
        ("weights_sha256".to_owned(), weights_sha256(parameters)),
    ]);
    if config.settings.validation != 0.0 {
        metadata.insert("validation".to_owned(), config.settings.validation.to_string());
    }
    metadata.extend(encoder.map(|encoder| (ENCODER.to_owned(), encoder.to_toml())));
    for block in &plan.blocks {
        metadata.insert(format!("{}.format", block.name), block.weight.master.format.to_string());
        metadata.insert(format!("{}.alpha_log2", block.name), block.weight.alpha_log2.to_string());
    }
    checkpoint::safetensors_bytes(path, &metadata, &model_tensors(plan, parameters))
}

/// Reads a `model.safetensors` that [`write_model`] wrote.
///
/// # Errors
/// A file that is missing, damaged, or not of this program; the tensor that does not fit.
pub fn read_model(path: &Path) -> Result<SavedModel, TrainError> {
    parse_model(checkpoint::read_safetensors(path)?, path)
}

/// As [`read_model`], of what [`checkpoint::parse_safetensors`] made of a file's bytes.
///
/// # Errors
/// As [`read_model`].
pub fn parse_model(
    (metadata, tensors): (BTreeMap<String, String>, Vec<NamedTensor>),
    path: &Path,
) -> Result<SavedModel, TrainError> {
    let key = |name: &str| {
        metadata.get(name).cloned().ok_or_else(|| {
            let reason = format!(
                "{}: no '{name}' in its metadata; only a model.safetensors of a run can be read",
                path.display()
            );
            TrainError::Setting(reason)
        })
    };
    let (model, recipe) = (Model::from_toml(&key("model")?)?, Recipe::from_toml(&key("recipe")?)?);
    let plan = Plan::build(&model, &recipe, 1)?;
    let mut by_name: BTreeMap<String, NamedTensor> =
        tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
    let parameters: Vec<_> =
        plan.blocks.iter().map(|b| take_parameters(path, b, &mut by_name)).collect::<Result<_, _>>()?;
    let (expected, found) = (key("weights_sha256")?, weights_sha256(&parameters));
    if found != expected {
        let problem = format!("its weights have the SHA-256 {found}, but {expected} were written");
        return Err(TrainError::Artefact(ArtefactError::Damaged { path: path.to_owned(), problem }));
    }
    // Bound: the metadata are as long as the file at most.
    let classes =
        metadata.get("classes").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    // Most files have no such key.
    let validation = metadata.get("validation").and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let encoder = read_encoder(&metadata, path)?;
    let data = key("data")?;
    Ok(SavedModel { model, recipe, data, validation, classes, encoder, parameters, statistics_trail: false })
}

/// Reads the network in a checkpoint of the run that `config` describes, as it is deployed.
///
/// # Errors
/// A file that is missing, damaged, or of another run.
pub fn read_model_of_checkpoint(path: &Path, config: &Config) -> Result<SavedModel, TrainError> {
    let Checkpoint { header, tensors } = checkpoint::read(path)?;
    check_identity(path, &header, config, None)?;
    let classes = header.get("classes").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let epoch = header.get("epoch").and_then(|text| text.parse().ok()).unwrap_or(0);
    let (model, recipe) = (config.model.clone(), config.recipe.at_epoch(epoch));
    let plan = Plan::build(&model, &recipe, 1)?;
    let mut by_name: BTreeMap<_, _> = tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
    let has_deployed = by_name.keys().any(|name| name.ends_with(&format!(".{DEPLOYED}")));
    let statistics_trail = estimates_statistics(config, &plan) && !has_deployed;
    let parameters =
        plan.blocks.iter().map(|b| take_deployed(path, b, &mut by_name)).collect::<Result<_, _>>()?;
    let (data, validation) = (config.data.clone(), config.settings.validation);
    let encoder = read_encoder(&header, path)?;
    Ok(SavedModel { model, recipe, data, validation, classes, encoder, parameters, statistics_trail })
}

/// Where the encoder stands in a model and in a checkpoint.
const ENCODER: &str = "encoder";

/// The encoder of a network; files of earlier versions have none.
fn read_encoder(metadata: &BTreeMap<String, String>, path: &Path) -> Result<Option<Encoder>, ArtefactError> {
    let damaged = || {
        let problem = format!("'{ENCODER}' in its metadata is not one");
        ArtefactError::Damaged { path: path.to_owned(), problem }
    };
    metadata.get(ENCODER).map(|text| Encoder::from_toml(text).ok_or_else(damaged)).transpose()
}

fn take_parameters(
    path: &Path,
    block: &BlockPlan,
    tensors: &mut BTreeMap<String, NamedTensor>,
) -> Result<Parameters, TrainError> {
    let (product, master) = (&block.product, block.weight.master);
    let c = product.output.c;
    let mut part = |part: &str, quantizer: Quantizer, len: usize| match len {
        0 => Ok(Stored::zeros(quantizer, 0)),
        len => take(path, &format!("{}.{part}", block.name), (quantizer, len), tensors),
    };
    let weight = part("weight", master, product.n_weights())?;
    let bias = if product.bias { Some(part("bias", bias_master(block), c)?) } else { None };
    let moments = if product.kind == ProductKind::BatchNorm {
        let row = running_row(block);
        Some(Moments { mean: part("mean", row, c)?, spread: part(spread_name(block), row, c)? })
    } else {
        None
    };
    Ok(Parameters { weight, bias, moments })
}

/// The same with the statistics of the deployed network, where a checkpoint has them.
fn take_deployed(
    path: &Path,
    block: &BlockPlan,
    tensors: &mut BTreeMap<String, NamedTensor>,
) -> Result<Parameters, TrainError> {
    let mut parameters = take_parameters(path, block, tensors)?;
    if let Some(Moments { mean, spread }) = &mut parameters.moments {
        for (part, stored) in [("mean", mean), (spread_name(block), spread)] {
            let name = format!("{}.{part}.{DEPLOYED}", block.name);
            if tensors.contains_key(&name) {
                *stored = take(path, &name, (running_row(block), stored.len()), tensors)?;
            }
        }
    }
    Ok(parameters)
}

/// Running statistics of a norm of integers.
const RUNNING: Quantizer = Quantizer::plain(Format::Int { bits: 32 }, Round::NearestDown);

/// What a norm's running statistics are stored as.
const fn running_row(block: &BlockPlan) -> Quantizer {
    if block.norm.is_some() { RUNNING } else { Quantizer::FLOAT }
}

/// What a norm's running spread is called.
const fn spread_name(block: &BlockPlan) -> &'static str {
    if block.norm.is_some() { "spread" } else { "variance" }
}

/// The tensor of that name, in the type and range of a quantizer, of that length.
fn take(
    path: &Path,
    name: &str,
    (quantizer, len): (Quantizer, usize),
    tensors: &mut BTreeMap<String, NamedTensor>,
) -> Result<Stored, TrainError> {
    let damaged =
        |problem: String| TrainError::Artefact(ArtefactError::Damaged { path: path.to_owned(), problem });
    let tensor = tensors
        .remove(name)
        .ok_or_else(|| damaged(format!("there is no tensor '{name}'; it belongs to another network")))?;
    let like = Stored::zeros(quantizer, 0);
    let found = stored(tensor.data)
        .filter(|s| std::mem::discriminant(s) == std::mem::discriminant(&like) && s.len() == len);
    let found = found.ok_or_else(|| {
        damaged(format!("tensor '{name}' has another type or length; it belongs to another network"))
    })?;
    let format = quantizer.format;
    // The proofs of all sums rest on this range.
    let outside = |i: &usize| !(format.min()..=format.max()).contains(&found.code(*i));
    match (0..len).find(outside).filter(|_| format != Format::Float32) {
        Some(i) => Err(damaged(format!(
            "element {i} of tensor '{name}' is {}, outside {}..={} of {format}",
            found.code(i),
            format.min(),
            format.max()
        ))),
        None => Ok(found),
    }
}

/// Puts a checkpoint's tensors into a trainer of the same network.
pub(crate) fn restore(
    path: &Path,
    tensors: Vec<NamedTensor>,
    trainer: &mut Trainer,
    step: u64,
) -> Result<(), TrainError> {
    let mut by_name: BTreeMap<String, NamedTensor> =
        tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
    let blocks = trainer.plan().blocks.clone();
    let (parameters, optimizer, steps) = trainer.restore();
    for (block, parameters) in blocks.iter().zip(parameters) {
        *parameters = take_parameters(path, block, &mut by_name)?;
    }
    for (moment, of_blocks) in optimizer.moments_mut() {
        for (block, of_parts) in blocks.iter().zip(of_blocks) {
            for (part, stored) in ["weight", "bias"].iter().zip(of_parts) {
                if let Some(stored) = stored {
                    let like =
                        (if is_float(block) { Quantizer::FLOAT } else { block.momentum }, stored.len());
                    *stored = take(path, &format!("{}.{part}.{moment}", block.name), like, &mut by_name)?;
                }
            }
        }
    }
    *steps = step;
    Ok(())
}

/// Moves stored weights and momentum from one plan's formats to another's of the same network: exactly where the new
/// step is finer, else to the nearest.
pub(crate) fn move_parameters(from: &Trainer, to: &mut Trainer) {
    let plans: Vec<_> = from.plan().blocks.iter().cloned().zip(to.plan().blocks.clone()).collect();
    let step = from.steps();
    let (parameters, optimizer, steps) = to.restore();
    *steps = step;
    for (i, (old, new)) in plans.into_iter().enumerate() {
        let (weights, rows) = ((old.weight.master, new.weight.master), (old.momentum, new.momentum));
        let source = &from.parameters()[i];
        convert(&source.weight, &mut parameters[i].weight, weights, 0);
        if let (Some(a), Some(b)) = (&source.bias, &mut parameters[i].bias) {
            convert(a, b, (bias_master(&old), bias_master(&new)), 0);
        }
        parameters[i].moments.clone_from(&source.moments);
        for ((_, a), (_, b)) in from.optimizer().moments().into_iter().zip(optimizer.moments_mut()) {
            for (a, b) in a[i].iter().zip(&mut b[i]) {
                if let (Some(a), Some(b)) = (a, b) {
                    convert(a, b, rows, 0);
                }
            }
        }
    }
}
