//! Post-training quantization: the formats that a recipe of integers leaves open, chosen from the weights of a float network and from
//! what its layers answer to training images.
//!
//! A recipe's `fixed` rows were found for networks that learn with it from the start. A network of floats has other ranges: each ReLU and
//! each mean gets the format of as many bits with the least squared error, and so do weights that no norm follows. What is chosen
//! is written into the recipe as exceptions, by layer, so that the run is repeated from its recipe alone. Weights in front of a norm need
//! none: `transfer.rs` scales them by a power of two, and the norm takes it back.

mod choose;
mod watch;

use std::path::Path;
use std::sync::Arc;

use intrain_data::Dataset;
use intrain_nn::plan::ProductKind;
use intrain_nn::{BlockPlan, Context, Parameters, Plan, Stored};
use intrain_num::{Format, Quantizer};
use intrain_recipe::{Bias, Exception, Pattern, Recipe, Role};

use self::choose::{Choice, with_format};
use self::watch::watch;
use crate::TrainError;
use crate::config::{Config, Init};
use crate::saved::{self, SavedModel};
use crate::transfer::{into_norm, value};

/// The rows of `config` for the weights that it starts from, and what was chosen, for a person; none where its recipe leaves nothing open:
/// no weights of floats become integers, or no batches are to be looked at.
///
/// # Errors
/// A file that cannot be read, and a network that cannot be planned.
pub(crate) fn calibrated(
    config: &Config,
    dataset: &Arc<Dataset>,
    context: &Context,
) -> Result<Option<(Recipe, Vec<String>)>, TrainError> {
    let n = config.settings.calibrate;
    let Some(Init { path, .. }) = config.init.as_ref().filter(|_| n > 0) else { return Ok(None) };
    let saved = saved::read_model(Path::new(path))?;
    let rows = [&config.recipe.master, &config.recipe.activation];
    let is_open = rows.iter().all(|row| matches!(row.base.format, Format::Fixed { .. }));
    let is_same = saved.model.input.shape == config.model.input.shape;
    if !saved.recipe.is_float() || config.recipe.is_float() || !is_open || !is_same {
        return Ok(None);
    }
    let mut chosen = Chosen { recipe: config.recipe.clone(), notes: vec![] };
    chosen.activations(config, dataset, &saved, context)?;
    chosen.weights(config, &saved)?;
    Ok(Some((chosen.recipe, chosen.notes)))
}

struct Chosen {
    recipe: Recipe,
    notes: Vec<String>,
}

impl Chosen {
    /// Formats of what ReLUs, means and products leave.
    fn activations(
        &mut self,
        config: &Config,
        dataset: &Arc<Dataset>,
        saved: &SavedModel,
        context: &Context,
    ) -> Result<(), TrainError> {
        let plan = self.plan(config)?;
        let mut rows = watch::rows(&plan, &self.recipe);
        watch(&mut rows, config, dataset, saved, context)?;
        for group in watch::groups(&plan, &rows) {
            let mut choice: Option<Choice> = None;
            for row in &group {
                choice =
                    Some(choice.map_or_else(|| rows[*row].choice.clone(), |sum| sum.and(&rows[*row].choice)));
            }
            for row in group {
                let watch::Row { layer, role, quantizer, .. } = &rows[row];
                // What a product leaves is rounded once more: all that can be wrong with its 16 bits is their range.
                let format = choice.as_ref().and_then(|choice| match role {
                    Role::ActivationAtProduct => choice.wider(quantizer.format),
                    _ => choice.best(),
                });
                if let Some(format) = format {
                    self.except(*role, layer, *quantizer, format);
                }
            }
        }
        Ok(())
    }

    /// Formats of weights that no norm follows, of biases, and of gains and offsets.
    fn weights(&mut self, config: &Config, saved: &SavedModel) -> Result<(), TrainError> {
        let plan = self.plan(config)?;
        let old_plan = Plan::build(&saved.model, &saved.recipe, 1)?;
        for (i, block) in plan.blocks.iter().enumerate() {
            let Some(at) = old_plan.blocks.iter().position(|old| old.name == block.name) else { continue };
            let (old, parameters) = (&old_plan.blocks[at], &saved.parameters[at]);
            let values = Values::of(old, parameters);
            if block.product.kind.is_norm() {
                self.widen(block, values.largest());
            } else {
                if values.bias > 0.0 && self.recipe.bias == Bias::None {
                    self.recipe.bias = Bias::Model;
                    self.notes
                        .push("the recipe has no biases, and the network does: bias = \"model\"".to_owned());
                }
                let is_batch_norm = |norm: usize| plan.blocks[norm].product.kind == ProductKind::BatchNorm;
                let is_scaled = into_norm(&plan, i).is_some_and(is_batch_norm);
                self.product(block, &values, is_scaled);
            }
        }
        Ok(())
    }

    /// The plan of the recipe as it is now, without biases: their formats are not chosen yet.
    fn plan(&self, config: &Config) -> Result<Plan, TrainError> {
        let recipe = Recipe { bias: Bias::None, ..self.recipe.at_epoch(0) };
        Ok(Plan::build(&config.model, &recipe, config.settings.batch_size)?)
    }

    /// Weights of a product: as they are read, and as they are stored, where a bias must fit too.
    fn product(&mut self, block: &BlockPlan, values: &Values, is_scaled: bool) {
        let weight = &block.weight;
        let Format::Fixed { int_bits, frac_bits } = weight.master.format else { return };
        let bits = int_bits + frac_bits;
        let read = if weight.read.format.is_quantized() { weight.read } else { weight.master };
        let mut read_frac_bits = read.format.frac_bits();
        if !is_scaled {
            // What a stored number is worth, in units of the layer's power of two.
            let unit = libm::exp2(f64::from(weight.fan_shift));
            let mut choice = Choice::of(read.format);
            values.weights.iter().for_each(|weight| choice.see(f64::from(*weight) * unit));
            if let Some(format) = choice.wider(read.format) {
                read_frac_bits = format.frac_bits();
                if weight.read.format.is_quantized() {
                    self.except(Role::Weight, &block.name, weight.read, format);
                }
            }
        }
        let master_frac_bits = weight.master.format.frac_bits();
        let lost = (read.format.frac_bits() - read_frac_bits).max(0);
        let mut stored = master_frac_bits - lost;
        if values.bias > 0.0 {
            // A bias is added at the unit of the sum, and cannot be finer.
            stored = stored.min(block.input_operand.frac_bits + read_frac_bits);
            let limit =
                |frac_bits: i32| libm::exp2(f64::from(bits.cast_signed() - 1 - frac_bits - weight.fan_shift));
            while stored > 0 && limit(stored) <= values.bias {
                stored -= 1;
            }
        }
        self.store(block, bits, stored);
    }

    /// Gains and offsets of a norm.
    fn widen(&mut self, block: &BlockPlan, largest: f64) {
        let Format::Fixed { int_bits, frac_bits } = block.weight.master.format else { return };
        let mut stored = frac_bits.cast_signed();
        let limit = |stored: i32| libm::exp2(f64::from((int_bits + frac_bits).cast_signed() - 1 - stored));
        while stored > 0 && limit(stored) <= largest {
            stored -= 1;
        }
        self.store(block, int_bits + frac_bits, stored);
    }

    /// Stored numbers of a layer with so many fraction bits, and what their updates are rounded to.
    fn store(&mut self, block: &BlockPlan, bits: u32, frac_bits: i32) {
        let Ok(frac_bits) = u32::try_from(frac_bits) else { return };
        let old = block.weight.master.format;
        let format = Format::Fixed { int_bits: bits.saturating_sub(frac_bits).max(1), frac_bits };
        self.except(Role::Master, &block.name, block.weight.master, format);
        for (role, row) in [(Role::Momentum, block.momentum), (Role::Update, block.update)] {
            if row.format == old {
                self.except(role, &block.name, row, format);
            }
        }
    }

    /// Another format for a layer, where it is another one.
    fn except(&mut self, role: Role, layer: &str, row: Quantizer, format: Format) {
        if row.format == format {
            return;
        }
        let quantizer = with_format(row, format);
        let slot = self.recipe.slot_mut(role);
        slot.except.retain(|exception| exception.layers.0 != layer);
        slot.except.push(Exception { layers: Pattern(layer.to_owned()), from_epoch: 0, quantizer });
        if !matches!(role, Role::Momentum | Role::Update) {
            self.notes.push(format!("layer '{layer}': {role} is {format} in place of {}", row.format));
        }
    }
}

/// The numbers of a layer in floats.
struct Values {
    weights: Vec<f32>,
    /// Largest magnitude of its biases, or offsets.
    bias: f64,
}

impl Values {
    fn of(block: &BlockPlan, parameters: &Parameters) -> Self {
        let weights = (0..parameters.weight.len()).map(|i| value(block, &parameters.weight, i)).collect();
        let bias = parameters.bias.as_ref().map_or(0.0, |bias| match bias {
            Stored::F32(values) => values.iter().fold(0.0, |max, x| f64::max(max, f64::from(x.abs()))),
            _ => 0.0,
        });
        Self { weights, bias }
    }

    fn largest(&self) -> f64 {
        self.weights.iter().fold(self.bias, |max, x| max.max(f64::from(x.abs())))
    }
}

/// Whether a norm's statistics of floats say nothing to a norm of integers.
pub(crate) fn needs_statistics(from: &BlockPlan, to: &BlockPlan) -> bool {
    to.product.kind == ProductKind::BatchNorm && from.norm.is_none() && to.norm.is_some()
}
