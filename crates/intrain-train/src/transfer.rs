//! A training that starts from the weights of a file: what a network of another recipe has stored, in the formats of this one.
//!
//! Layers are found by their names. What a layer computes with is kept: its stored weight is worth `code * 2^-(fraction bits)`
//! of its product, WAGE's alpha included, under either recipe; it is rounded to the nearest where the new format is coarser,
//! and held where the new range is smaller.

use std::path::Path;

use intrain_nn::{BlockPlan, Parameters, Plan};

use crate::TrainError;
use crate::config::{Config, Init};
use crate::convert::convert;
use crate::saved::{self, SavedModel};
use crate::update::bias_master;

/// What was taken from the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taken {
    /// SHA-256 over the file's weights and biases.
    pub sha256: String,
    /// Layers whose weights were taken.
    pub n_layers: usize,
    /// Whether those of each block of the plan were.
    pub is_taken: Vec<bool>,
    /// What a person should know: layers that start anew, and why; what was held at a limit; biases that are dropped.
    pub notes: Vec<String>,
}

/// The weights before the first step: drawn from the seed, or from the file that the run begins with.
///
/// # Errors
/// As [`initial`], and a file with other weights than the run began with.
pub(crate) fn start(config: &Config, plan: &Plan) -> Result<(Vec<Parameters>, Option<Taken>), TrainError> {
    let seed = config.settings.seed;
    let Some(Init { path, sha256 }) = &config.init else {
        return Ok((Parameters::initial(plan, seed), None));
    };
    let (parameters, taken) = initial(Path::new(path), plan, seed)?;
    match sha256.as_ref().filter(|expected| **expected != taken.sha256) {
        Some(expected) => Err(TrainError::Setting(format!(
            "{path}: its weights have the SHA-256 {}, and the run began with {expected}; put that file back, or leave out \
             init_sha256",
            taken.sha256
        ))),
        None => Ok((parameters, Some(taken))),
    }
}

/// What a network of this plan starts from: initial weights drawn from `seed`, those of a `model.safetensors` in their place
/// where it has the layer.
///
/// # Errors
/// A file that is missing, damaged or no model of this program, or of which no layer has the name and shape of one here.
fn initial(path: &Path, plan: &Plan, seed: u64) -> Result<(Vec<Parameters>, Taken), TrainError> {
    let SavedModel { model, recipe, parameters: old, .. } = saved::read_model(path)?;
    let old_plan = Plan::build(&model, &recipe, 1)?;
    let is_taken = vec![false; plan.blocks.len()];
    let mut taken = Taken { sha256: saved::weights_sha256(&old), is_taken, ..Taken::default() };
    let mut all = Parameters::initial(plan, seed);
    for (i, (block, parameters)) in plan.blocks.iter().zip(&mut all).enumerate() {
        let place = old_plan.blocks.iter().position(|old| old.name == block.name);
        let Some((from, old)) = place.map(|at| (&old_plan.blocks[at], &old[at])) else {
            taken.notes.push(format!("layer '{}' starts anew: the file has none of this name", block.name));
            continue;
        };
        if let Some(reason) = difference(from, block) {
            taken.notes.push(format!("layer '{}' starts anew: {reason}", block.name));
            continue;
        }
        taken.n_layers += 1;
        taken.is_taken[i] = true;
        taken.notes.extend(take(from, old, block, parameters));
    }
    if taken.n_layers == 0 {
        return Err(TrainError::Setting(format!(
            "{}: no layer of the file has the name and the shape of a layer here; take a network with the same layers",
            path.display()
        )));
    }
    Ok((all, taken))
}

/// Why the weights of one layer say nothing to another.
fn difference(from: &BlockPlan, to: &BlockPlan) -> Option<String> {
    let [old, new] = [from, to].map(|block| (block.product.weight_shape(), block.product.kind));
    if old != new {
        return Some(format!("its weights are {:?} in the file and {:?} here", old.0, new.0));
    }
    let is_other = to.product.kind.is_norm() && from.norm != to.norm;
    is_other.then(|| "the two recipes compute its norm differently".to_owned())
}

/// One layer's parameters from their old formats into their new ones.
fn take(from: &BlockPlan, old: &Parameters, to: &BlockPlan, new: &mut Parameters) -> Vec<String> {
    let mut notes = Vec::new();
    // Bits by which a code is worth less than its format says.
    let bits = |block: &BlockPlan| block.weight.fan_shift + block.weight.alpha_log2;
    let shift = bits(from) - bits(to);
    let masters = (from.weight.master, to.weight.master);
    let n_held = convert(&old.weight, &mut new.weight, masters, shift);
    if n_held > 0 {
        notes.push(format!(
            "layer '{}': {n_held} of {} weights are held at a limit of {}",
            to.name,
            new.weight.len(),
            to.weight.master
        ));
    }
    match (&old.bias, &mut new.bias) {
        (Some(a), Some(b)) => {
            let n_held = convert(a, b, (bias_master(from), bias_master(to)), shift);
            if n_held > 0 {
                notes.push(format!("layer '{}': {n_held} biases are held at a limit", to.name));
            }
        }
        (Some(_), None) => notes
            .push(format!("layer '{}': the recipe has no biases, those of the file are dropped", to.name)),
        (None, _) => {}
    }
    if old.moments.is_some() && new.moments.is_some() {
        new.moments.clone_from(&old.moments);
    }
    notes
}
