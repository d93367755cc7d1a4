//! A norm of integers: its rows, and the proof that each channel's line fits 32 bits.

use intrain_model::{Layer, LayerKind, Shape};
use intrain_num::norm::Rows;
use intrain_num::{Quantizer, Spread, Sum};
use intrain_recipe::Slot;

use super::{Builder, constant, refuse};
use crate::build::operand_of;
use crate::{BlockPlan, Operand, PlanError, ProductKind, ProductPlan, WeightPlan};

/// How a norm of integers computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormPlan {
    /// Mean, spread and value.
    pub rows: Rows,
    /// Recipe row `norm.gain`.
    pub gain: Quantizer,
    /// Recipe row `norm.offset`.
    pub offset: Quantizer,
    /// Binary digits behind the point of a gain as it is read.
    pub gain_frac_bits: i32,
    /// Binary digits behind the point of an offset as it is read.
    pub offset_frac_bits: i32,
}

impl Builder<'_> {
    /// A row that a norm must have.
    fn row(&self, layer: &Layer, role: &'static str, slot: &Slot) -> Result<Quantizer, PlanError> {
        let row = slot.of_norm(&layer.name);
        if row.format.is_quantized() {
            return Ok(row);
        }
        let reason = format!(
            "it is a norm, and the recipe '{}' has no row '{role}'; use intrain-int8, wage-l1bn or wage-rangebn, or \
             write the rows norm.mean, norm.spread and norm.value",
            self.recipe.name
        );
        Err(refuse(layer, reason))
    }

    /// A norm's block, and what its line leaves, exactly.
    pub(super) fn norm(
        &self,
        layer: &Layer,
        [input, output]: [Shape; 2],
        affine: bool,
        entering: Operand,
    ) -> Result<(BlockPlan, Operand), PlanError> {
        let (recipe, name) = (self.recipe, layer.name.as_str());
        let product = ProductPlan {
            kind: if layer.kind == (LayerKind::LayerNorm { affine }) {
                ProductKind::LayerNorm
            } else {
                ProductKind::BatchNorm
            },
            input,
            output,
            kernel: 1,
            stride: 1,
            pad: 0,
            bias: affine,
        };
        let rows = Rows {
            spread: recipe.norm,
            frac_bits: entering.frac_bits,
            mean: self.row(layer, "norm.mean", &recipe.norm_mean)?,
            spread_row: self.row(layer, "norm.spread", &recipe.norm_spread)?,
            value: constant(layer, "norm.value", self.row(layer, "norm.value", &recipe.norm_value)?)?,
        };
        check_rows(layer, &rows)?;
        if product.kind == ProductKind::LayerNorm && rows.spread == Spread::Range {
            let reason = "it normalizes the channels of each pixel, and 'norm = range' means ranges over parts of a batch; \
                          use norm = l2 or l1";
            return Err(refuse(layer, reason.to_owned()));
        }
        let master = recipe.master.of_norm(name);
        let [gain, offset] = [&recipe.norm_gain, &recipe.norm_offset].map(|slot| slot.of_norm(name));
        let read = |row: Quantizer| if row.format.is_quantized() { row } else { master };
        let weight =
            WeightPlan { master, read: gain, operand: operand_of(read(gain)), alpha_log2: 0, places: 0 };
        if (1i64 << master.format.frac_bits()) > master.format.max() {
            let reason = format!(
                "its gains start at 1, which {} cannot hold; give the row 'master' an exception for '@norms', for example \
                 'fixed<3,12>'",
                master.format
            );
            return Err(refuse(layer, reason));
        }
        let value = rows.value.format;
        let (gain_operand, offset_operand) = (operand_of(read(gain)), operand_of(read(offset)));
        let frac_bits = value.frac_bits() + gain_operand.frac_bits;
        let offset_places = frac_bits - offset_operand.frac_bits;
        let bound = bound(affine, value.magnitude(), [gain_operand, offset_operand], offset_places);
        // Bound: it is checked where the activation adds up.
        let max = i64::try_from(bound).unwrap_or(i64::MAX);
        let mut block = self.block(layer, product, weight, entering);
        block.norm = Some(NormPlan {
            rows,
            gain,
            offset,
            gain_frac_bits: gain_operand.frac_bits,
            offset_frac_bits: offset_operand.frac_bits,
        });
        Ok((block, Operand { frac_bits, min: -max, max }))
    }
}

/// Largest magnitude of `value * gain + offset`.
fn bound(affine: bool, value: u64, [gain, offset]: [Operand; 2], offset_places: i32) -> u128 {
    if affine {
        u128::from(value) * u128::from(gain.magnitude())
            + (u128::from(offset.magnitude()) << offset_places.clamp(0, 64))
    } else {
        u128::from(value) << gain.frac_bits.clamp(0, 64)
    }
}

/// Bound: a channel's line fits 32 bits, see [`Rows::shifts`].
fn check_rows(layer: &Layer, rows: &Rows) -> Result<(), PlanError> {
    let finer = rows.mean.format.frac_bits() - rows.frac_bits;
    let [least, largest] = rows.shifts();
    let mean_max = rows.mean.format.magnitude() >> finer.clamp(0, 63);
    let reason = if !(0..=9).contains(&finer) || mean_max > 1 << 15 {
        format!(
            "'norm.mean' is {}; it must have the range of the words (activation.product) and up to 9 more fractional bits",
            rows.mean.format
        )
    } else if rows.spread_row.format.frac_bits() < rows.frac_bits {
        format!("'norm.spread' is {}, coarser than the words of activation.product", rows.spread_row.format)
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
pub(super) fn prove_norm(block: &mut BlockPlan, batch_size: usize) -> Result<(), PlanError> {
    let Some(norm) = &block.norm else { return Ok(()) };
    let pixels = (batch_size * block.product.output.h * block.product.output.w) as u64;
    if pixels >= 1 << 28 {
        let reason =
            format!("a channel has {pixels} words in a batch, and 2^28 can be added; use a smaller batch");
        return Err(PlanError::Layer { layer: block.name.clone(), reason });
    }
    if block.product.kind == ProductKind::LayerNorm {
        let gain = u128::from(block.weight.operand.magnitude());
        let terms = u128::from(norm.rows.value.format.magnitude()) * block.product.output.c as u128;
        if gain.saturating_mul(terms) >= 1 << 47 {
            let reason = format!(
                "a pixel's {} errors of 16 bits, times gains and values of up to {gain} and {}, may not fit 63 bits; give \
                 norm.value or norm.gain fewer bits",
                block.product.output.c,
                norm.rows.value.format.magnitude()
            );
            return Err(PlanError::Layer { layer: block.name.clone(), reason });
        }
    }
    block.sums.gradient = Sum::of_products(pixels, 1 << 15, norm.rows.value.format.magnitude(), 0);
    Ok(())
}
