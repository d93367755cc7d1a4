//! What each tensor holds: formats from the recipe's rows, shapes from the model.

use intrain_model::{LayerKind, Shape, Window};
use intrain_num::scale::fan_log2;
use intrain_num::{Quantizer, Round, Scale, Sum};
use intrain_recipe::{Bias, Loss, Recipe, Slot};

use crate::block::{Arithmetic, BlockPlan, Operand, OperandRows, ProductKind, ProductPlan, Sums, WeightPlan};
use crate::error::{PlanError, refuse};

/// Floats are no integers of any operand.
pub(crate) const NOTHING: Operand = Operand { frac_bits: 0, min: 0, max: 0 };

pub(crate) const fn operand_of(quantizer: Quantizer) -> Operand {
    Operand {
        frac_bits: quantizer.format.frac_bits(),
        min: quantizer.format.min(),
        max: quantizer.format.max(),
    }
}

/// What leaves an activation: behind a ReLU nothing is negative.
pub(crate) const fn activation_operand(quantizer: Quantizer, relu: bool) -> Operand {
    let operand = operand_of(quantizer);
    if relu { Operand { min: 0, ..operand } } else { operand }
}

/// The shape of a layer with parameters; none where it has none.
pub(crate) fn product_plan(
    kind: LayerKind,
    [input, output]: [Shape; 2],
    biases: Bias,
) -> Option<ProductPlan> {
    let plan = |kind, window, bias| ProductPlan { kind, input, output, window, groups: 1, bias };
    let has_bias = |bias: bool| bias && biases == Bias::Model;
    match kind {
        LayerKind::Conv { window, bias, .. } => Some(plan(ProductKind::Conv, window, has_bias(bias))),
        LayerKind::GroupedConv { window, groups, bias, .. } => {
            Some(ProductPlan { groups, ..plan(ProductKind::Conv, window, has_bias(bias)) })
        }
        LayerKind::Linear { bias, .. } => Some(plan(ProductKind::Linear, Window::PIXEL, has_bias(bias))),
        LayerKind::BatchNorm { affine } => Some(plan(ProductKind::BatchNorm, Window::PIXEL, affine)),
        LayerKind::LayerNorm { affine } => Some(plan(ProductKind::LayerNorm, Window::PIXEL, affine)),
        _ => None,
    }
}

/// A block with the recipe's rows of its stored weights; its sums are proven later.
pub(crate) fn block(
    recipe: &Recipe,
    name: &str,
    index: usize,
    product: ProductPlan,
    weight: WeightPlan,
    entering: Operand,
) -> BlockPlan {
    let is_norm = product.kind.is_norm();
    let of = |slot: &Slot| if is_norm { slot.of_norm(name) } else { slot.of_layer(name) };
    BlockPlan {
        name: name.to_owned(),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        product,
        arithmetic: if recipe.is_float() { Arithmetic::Float32 } else { Arithmetic::Int16 },
        input_operand: entering,
        weight,
        sum_frac_bits: 0,
        error_operand: NOTHING,
        // Gradients of gains and offsets between floats stay floats.
        gradient: if is_norm && recipe.is_float() { Quantizer::FLOAT } else { of(&recipe.gradient) },
        momentum: of(&recipe.momentum),
        update: of(&recipe.update),
        sums: Sums { forward: Sum { bound: 0 }, error: None, gradient: Sum { bound: 0 } },
        accumulator_bits: recipe.accumulator.of_layer(name).format.bits(),
        columns: None,
        norm: None,
        codes: None,
        operands: OperandRows::default(),
    }
}

pub(crate) fn weight_plan(recipe: &Recipe, name: &str, fan_in: usize) -> WeightPlan {
    let master = recipe.master.of_layer(name);
    let read = recipe.weight.of_layer(name);
    let operand = operand_of(if read.format.is_quantized() { read } else { master });
    let alpha_log2 = if read.scale == Scale::Alpha { alpha_log2(fan_in, read.format.bits()) } else { 0 };
    let fan_shift =
        if read.scale == Scale::Fan || master.scale == Scale::Fan { -fan_log2(fan_in) } else { 0 };
    let operand = Operand { frac_bits: operand.frac_bits + fan_shift, ..operand };
    WeightPlan { master, read, operand, alpha_log2, fan_shift }
}

/// `log2 alpha = max(round(log2(Lmin / L0)), 0)` with `Lmin = 1.5 * 2^(1 - k_W)` and `L0 = sqrt(3 / fan_in)`.
///
/// Differs from the paper (`L0 = sqrt(6 / fan_in)`): the code's logs show `sqrt(3 / fan_in)`.
/// Exact: `(Lmin / L0)^2 = 3 * fan_in * 2^(-2 k_W)`, and `round(x / 2) = floor((x + 1) / 2)` needs only `floor(x)`.
pub(crate) fn alpha_log2(fan_in: usize, weight_bits: u32) -> i32 {
    let floor = (3 * fan_in as u64).ilog2().cast_signed();
    ((floor - 2 * weight_bits.cast_signed() + 1).div_euclid(2)).max(0)
}

/// The loss is the only float operation that an integer recipe may name.
pub(crate) const fn loss_is_float(loss: Loss) -> bool {
    matches!(loss, Loss::SoftmaxCrossEntropy)
}

/// Rows between products round without random bits.
pub(crate) fn constant(layer: &str, role: &'static str, row: Quantizer) -> Result<Quantizer, PlanError> {
    let is_affine = role == "norm.value";
    let fits = match row.round {
        Round::NearestDown | Round::Floor => true,
        Round::Stochastic { .. } | Round::StochasticMagnitude { .. } => false,
        _ => !is_affine,
    };
    if row.format.is_quantized() && fits {
        return Ok(row);
    }
    let remedy = if is_affine { "nearest-down or floor" } else { "a format with a nearest rounding" };
    Err(refuse(layer, format!("its row '{role}' is '{row}'; write {remedy}")))
}

#[cfg(test)]
mod tests {
    use super::alpha_log2;

    #[test]
    fn alpha_of_the_authors_log() {
        for (fan_in, alpha) in [
            (27, 2),
            (1152, 16),
            (2304, 16),
            (4608, 32),
            (8192, 32),
            (1024, 16),
            (25, 2),
            (800, 16),
            (512, 8),
        ] {
            assert_eq!(1 << alpha_log2(fan_in, 2), alpha, "fan-in {fan_in}");
        }
    }
}
