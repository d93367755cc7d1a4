//! A norm of integers: its rows, and the proof that each channel's line fits 32 bits.

use intrain_model::Layer;
use intrain_num::norm::Rows;
use intrain_num::{Quantizer, Round, Spread, Sum};
use intrain_recipe::{Recipe, Slot};

use crate::block::{BlockPlan, NormPlan, Operand, ProductKind, ProductPlan, WeightPlan};
use crate::error::{PlanError, refuse};
use crate::formats::{block, constant, operand_of};

/// A row that a norm must have.
fn required(recipe: &Recipe, layer: &Layer, role: &'static str, slot: &Slot) -> Result<Quantizer, PlanError> {
    let row = slot.of_norm(&layer.name);
    if row.format.is_quantized() {
        return Ok(row);
    }
    let reason = format!(
        "it is a norm, and the recipe '{}' has no row '{role}'; use intrain-int8, wage-l1bn or wage-rangebn, or write the \
         rows norm.mean = 'fixed<8,12> nearest-down saturate', norm.spread = 'fixed<8,12> floor saturate' and norm.value = \
         'fixed<4,12> nearest-down saturate', which go with activation.product = 'fixed<8,8> nearest-down saturate'",
        recipe.name
    );
    Err(refuse(&layer.name, reason))
}

/// A spread is rounded down, by the contract.
fn rounded_down(layer: &str, row: Quantizer) -> Result<Quantizer, PlanError> {
    if row.round == Round::Floor {
        return Ok(row);
    }
    Err(refuse(layer, format!("its row 'norm.spread' is '{row}', and a spread is rounded down; write floor")))
}

/// A norm's block, and what its affine map leaves, exactly.
pub(crate) fn block_of(
    recipe: &Recipe,
    layer: &Layer,
    (index, product): (usize, ProductPlan),
    entering: Operand,
) -> Result<(BlockPlan, Operand), PlanError> {
    let name = layer.name.as_str();
    let rows = Rows {
        spread: recipe.norm,
        frac_bits: entering.frac_bits,
        mean: constant(name, "norm.mean", required(recipe, layer, "norm.mean", &recipe.norm_mean)?)?,
        spread_row: rounded_down(name, required(recipe, layer, "norm.spread", &recipe.norm_spread)?)?,
        value: constant(name, "norm.value", required(recipe, layer, "norm.value", &recipe.norm_value)?)?,
    };
    check_rows(name, &rows)?;
    if product.kind == ProductKind::LayerNorm && rows.spread == Spread::Range {
        let reason = "it normalizes the channels of each pixel, and 'norm = range' means ranges over parts of a batch; use \
                      norm = l2 or l1";
        return Err(refuse(name, reason));
    }
    let master = recipe.master.of_norm(name);
    let [gain, offset] = [&recipe.norm_gain, &recipe.norm_offset].map(|slot| slot.of_norm(name));
    let read = |row: Quantizer| if row.format.is_quantized() { row } else { master };
    let weight =
        WeightPlan { master, read: gain, operand: operand_of(read(gain)), alpha_log2: 0, fan_shift: 0 };
    if (1i64 << master.format.frac_bits()) > master.format.max() {
        let (other, rows) = if recipe.momentum.base.format.is_quantized() {
            ("momentum", "'fixed<3,12> nearest-even saturate' for both")
        } else {
            ("gradient", "'fixed<2,10> nearest-even saturate' and 'unit<11>@shift stochastic saturate'")
        };
        let reason = format!(
            "its gains start at 1, which {} cannot hold; give the rows 'master' and '{other}' exceptions for '@norms', for example \
             {rows}: their updates have the fraction bits of 'master'",
            master.format
        );
        return Err(refuse(name, reason));
    }
    let value = rows.value.format;
    let (gain_operand, offset_operand) = (operand_of(read(gain)), operand_of(read(offset)));
    let frac_bits = value.frac_bits() + gain_operand.frac_bits;
    let bound = bound(&product, value.magnitude(), [gain_operand, offset_operand], frac_bits);
    // Bound: it is checked where the activation adds up.
    let max = i64::try_from(bound).unwrap_or(i64::MAX);
    let mut block = block(recipe, name, index, product, weight, entering);
    block.norm = Some(NormPlan {
        rows,
        gain,
        offset,
        gain_frac_bits: gain_operand.frac_bits,
        offset_frac_bits: offset_operand.frac_bits,
    });
    Ok((block, Operand { frac_bits, min: -max, max }))
}

/// Largest magnitude of `value * gain + offset` with so many fraction bits.
fn bound(product: &ProductPlan, value: u64, [gain, offset]: [Operand; 2], frac_bits: i32) -> u128 {
    if product.bias {
        let shift = (frac_bits - offset.frac_bits).clamp(0, 64);
        u128::from(value) * u128::from(gain.max_abs()) + (u128::from(offset.max_abs()) << shift)
    } else {
        u128::from(value) << gain.frac_bits.clamp(0, 64)
    }
}

/// Bound: a channel's line fits 32 bits, see [`Rows::shifts`].
fn check_rows(layer: &str, rows: &Rows) -> Result<(), PlanError> {
    let finer = rows.mean.format.frac_bits() - rows.frac_bits;
    let [least, largest] = rows.shifts();
    let mean_max = rows.mean.format.magnitude() >> finer.clamp(0, 63);
    let reason = if !(0..=9).contains(&finer) || mean_max > 1 << 15 {
        format!(
            "'norm.mean' is {}; it must have the range of activation.product and {} to {} fraction bits",
            rows.mean.format,
            rows.frac_bits,
            rows.frac_bits + 9
        )
    } else if rows.spread_row.format.frac_bits() < rows.frac_bits {
        format!("'norm.spread' is {}, coarser than activation.product", rows.spread_row.format)
    } else if !(1 <= least && largest <= 30) {
        format!(
            "'norm.value' is {} and 'norm.spread' {}: a line would drop {least} to {largest} bits, and 1 to 30 can be; give \
             norm.value fewer fractional bits, or norm.spread fewer bits",
            rows.value.format, rows.spread_row.format
        )
    } else {
        return Ok(());
    };
    Err(refuse(layer, reason))
}

/// Bound: gains' gradients are sums over batch and pixels of errors by values.
pub(crate) fn prove_norm(block: &mut BlockPlan, batch_size: usize) -> Result<(), PlanError> {
    let Some(norm) = &block.norm else { return Ok(()) };
    let pixels = (batch_size * block.product.output.h * block.product.output.w) as u64;
    if pixels >= 1 << 28 {
        let reason =
            format!("a channel has {pixels} integers in a batch, and 2^28 can be added; use a smaller batch");
        return Err(refuse(&block.name, reason));
    }
    if block.product.kind == ProductKind::LayerNorm {
        let gain = u128::from(block.weight.operand.max_abs());
        let terms = u128::from(norm.rows.value.format.magnitude()) * block.product.output.c as u128;
        if gain.saturating_mul(terms) >= 1 << 47 {
            let reason = format!(
                "a pixel's {} errors of 16 bits, times gains and values of up to {gain} and {}, may not fit 63 bits; give \
                 norm.value or norm.gain fewer bits",
                block.product.output.c,
                norm.rows.value.format.magnitude()
            );
            return Err(refuse(&block.name, reason));
        }
    }
    block.sums.gradient = Sum::of_products(pixels, 1 << 15, norm.rows.value.format.magnitude(), 0);
    Ok(())
}
