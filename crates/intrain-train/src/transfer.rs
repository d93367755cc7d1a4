//! A training that starts from the weights of a file: what a network of another recipe has stored, in the formats of this one.
//!
//! Layers are found by their names. What a layer computes with is kept: its stored weight is worth `code * 2^-(fraction bits)`
//! of its product, WAGE's alpha included, under either recipe; it is rounded to the nearest where the new format is coarser,
//! and held where the new range is smaller. Weights of floats in front of a norm are scaled by a power of two, which the norm takes back.

use std::path::Path;

use intrain_nn::plan::Op;
use intrain_nn::{BlockPlan, Moments, Parameters, Plan, Stored};
use intrain_num::Format;

use crate::TrainError;
use crate::calibrate::needs_statistics;
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
    /// Whether there are norms whose statistics the file does not have in integers.
    pub needs_statistics: bool,
    /// What a person should know: what was chosen for the file's floats; layers that start anew, and why; what was held at a limit; biases that are dropped.
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
    let moments_of = |name: &str| {
        let at = old_plan.blocks.iter().position(|old| old.name == name)?;
        old[at].moments.as_ref()
    };
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
        taken.needs_statistics |= needs_statistics(from, block);
        let of_norm = into_norm(plan, i).and_then(|norm| moments_of(&plan.blocks[norm].name));
        let scale = scale((from, old), block, of_norm, limit_of_results(plan, i));
        taken.notes.extend(take((from, block), (old, parameters), scale));
    }
    if taken.n_layers == 0 {
        return Err(TrainError::Setting(format!(
            "{}: no layer of the file has the name and the shape of a layer here; name the file's network ('{}'), or one with the same layers, by --model",
            path.display(),
            model.name
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
    // Gains and offsets of floats are worth the same in integers; statistics are estimated anew.
    let is_other = to.product.kind.is_norm() && from.norm != to.norm && !needs_statistics(from, to);
    is_other.then(|| "the two recipes compute its norm differently".to_owned())
}

/// The norm that alone reads what a block's product leaves, perhaps behind a max pooling.
pub(crate) fn into_norm(plan: &Plan, block: usize) -> Option<usize> {
    let is_its =
        |op: &Op| matches!(op, Op::Product(product) if product.block == block && !product.epilogue.relu);
    let mut at = plan.nodes.iter().position(|node| is_its(&node.op))?;
    loop {
        let mut readers = plan.nodes.iter().enumerate().filter(|(_, node)| node.sources.contains(&at));
        let ((next, reader), None) = (readers.next()?, readers.next()) else { return None };
        match reader.op {
            Op::Norm(norm) => return Some(norm),
            Op::MaxPool(_) => at = next,
            _ => return None,
        }
    }
}

/// What a stored float is worth.
pub(crate) fn value(block: &BlockPlan, stored: &Stored, i: usize) -> f32 {
    #[allow(clippy::cast_possible_truncation, reason = "a float weight is binary32")]
    match stored {
        Stored::F32(values) => {
            let shift = block.weight.fan_shift + block.weight.alpha_log2;
            (f64::from(values[i]) * libm::exp2(f64::from(-shift))) as f32
        }
        _ => 0.0,
    }
}

/// Bits by which weights of floats may be larger in integers, because a norm divides by their size: as many as fill their format, and
/// leave the product's results in theirs. 0 for weights that no norm follows.
fn scale(
    (from, old): (&BlockPlan, &Parameters),
    to: &BlockPlan,
    of_norm: Option<&Moments>,
    of_results: f64,
) -> i32 {
    /// Deviations from the mean that results may have.
    const DEVIATIONS: f64 = 6.0;
    let (Some(moments), Stored::F32(_)) = (of_norm, &old.weight) else { return 0 };
    let is_norm = to.product.kind.is_norm();
    if is_norm || to.weight.alpha_log2 != 0 || !to.weight.master.format.is_fixed_point() {
        return 0;
    }
    let largest =
        (0..old.weight.len()).fold(0.0, |max, i| f64::max(max, value(from, &old.weight, i).abs().into()));
    let results = match (&moments.mean, &moments.spread) {
        (Stored::F32(mean), Stored::F32(variance)) => {
            mean.iter().zip(variance).fold(0.0, |max: f64, (mean, variance)| {
                max.max(f64::from(mean.abs()) + DEVIATIONS * f64::from(variance.max(0.0)).sqrt())
            })
        }
        _ => return 0,
    };
    let operand = to.weight.operand;
    #[allow(clippy::cast_precision_loss, reason = "a weight has at most 24 bits")]
    let limit = (operand.max as f64 + 0.5) * libm::exp2(f64::from(-operand.frac_bits));
    let room = |limit: f64, largest: f64| libm::floor(libm::log2(limit / largest));
    let room = room(limit, largest).min(room(of_results, results));
    #[allow(clippy::cast_possible_truncation, reason = "it is held")]
    if room.is_finite() { room.clamp(-24.0, 24.0) as i32 } else { 0 }
}

/// The largest result that a block's product can leave; there is none where no row rounds it.
fn limit_of_results(plan: &Plan, block: usize) -> f64 {
    let row = plan.nodes.iter().find_map(|node| match &node.op {
        Op::Product(product) if product.block == block => Some(product.epilogue.row()),
        _ => None,
    });
    #[allow(clippy::cast_precision_loss, reason = "formats of results have at most 32 bits")]
    let limit = |format: Format| format.max() as f64 * libm::exp2(f64::from(-format.frac_bits()));
    row.map(|row| row.format).filter(|format| format.is_fixed_point()).map_or(f64::INFINITY, limit)
}

/// One layer's parameters from their old formats into their new ones, so many bits larger.
fn take(
    (from, to): (&BlockPlan, &BlockPlan),
    (old, new): (&Parameters, &mut Parameters),
    scale: i32,
) -> Vec<String> {
    let mut notes = Vec::new();
    // Bits by which a code is worth less than its format says.
    let bits = |block: &BlockPlan| block.weight.fan_shift + block.weight.alpha_log2;
    let shift = bits(from) - bits(to) - scale;
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
    if old.moments.is_some() && new.moments.is_some() && !needs_statistics(from, to) {
        new.moments.clone_from(&old.moments);
    }
    notes
}
