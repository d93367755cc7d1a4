//! Whether a plan's rows can carry updates: asked when a run is planned, so that no step can fail.

use intrain_nn::{BlockPlan, Plan};
use intrain_num::random::Purpose;
use intrain_recipe::Feedback;

use super::terms::{Terms, bits_of};
use super::{Hyper, Method, Part, is_float, rate_of_sum, rounding};
use crate::TrainError;
use crate::rate::Rate;

/// Checks that the plan's rows can carry updates at the learning rate `rate`, whatever the gradients will be.
///
/// # Errors
/// The row, or the number, that stands in the way.
pub(crate) fn check(plan: &Plan, hyper: Hyper, rate: f64) -> Result<(), TrainError> {
    check_rows(plan, hyper)?;
    for block in plan.blocks.iter().filter(|b| !is_float(b)) {
        let of_sum = rate_of_sum(block, plan.batch_size, rate);
        let row = block.gradient;
        let is_rounded = hyper.has_terms() && row.format.is_quantized();
        let gradient_bits = if is_rounded { row.format.bits() } else { block.sums.gradient.width_bits() };
        let (needed, limit) = if hyper.has_terms() {
            let parts = [Part::weight(block, None), Part::bias(block, None, 0)];
            let bits = |part: Part| {
                let gradient_frac_bits =
                    if is_rounded { row.format.frac_bits() } else { part.gradient_frac_bits };
                let part = Part { gradient_frac_bits, ..part };
                Terms::new(block, hyper, rate, of_sum, &part).bits(gradient_bits, block)
            };
            // Bound: three terms, and a bit for the rounding behind them, in 128 bits.
            (parts.into_iter().map(bits).max().unwrap_or(0), 124)
        } else {
            (gradient_bits + bits_of(Rate::new(of_sum).mantissa), 64)
        };
        if needed > limit {
            let reason = format!(
                "with the learning rate {rate}, momentum {} and weight decay {} the exact sum of an update needs \
                 {needed} bits, and there are {limit}; use rates nearer to 1 or a smaller batch",
                hyper.momentum, hyper.weight_decay
            );
            return Err(TrainError::Row { layer: block.name.clone(), reason });
        }
    }
    Ok(())
}

pub(super) fn check_rows(plan: &Plan, hyper: Hyper) -> Result<(), TrainError> {
    if hyper.method == Method::Adam && plan.blocks.iter().any(|block| !is_float(block)) {
        let reason =
            "optimizer = \"adam\" divides by roots, and this recipe updates in integers; use \"sgd\"";
        return Err(TrainError::Setting(reason.to_owned()));
    }
    if plan.error_feedback == Feedback::Momentum && hyper.method == Method::Sgd && hyper.momentum == 0.0 {
        let reason = "error_feedback = \"momentum\" needs a momentum to go into; set momentum above 0, or optimizer to \
                      \"adam\"";
        return Err(TrainError::Setting(reason.to_owned()));
    }
    if !(0.0..1.0).contains(&hyper.momentum) || !(0.0..1.0).contains(&hyper.weight_decay) {
        let reason = format!(
            "momentum {} and weight decay {} must be at least 0 and below 1",
            hyper.momentum, hyper.weight_decay
        );
        return Err(TrainError::Setting(reason));
    }
    plan.blocks.iter().try_for_each(|block| check_block(block, hyper))
}

/// The row that rounds the update of a block.
fn rounding_role(block: &BlockPlan, hyper: Hyper) -> &'static str {
    match rounding(block, hyper).1 {
        Purpose::Gradient => "gradient",
        Purpose::Momentum => "momentum",
        Purpose::Update => "update",
        _ => "master",
    }
}

fn check_block(block: &BlockPlan, hyper: Hyper) -> Result<(), TrainError> {
    if is_float(block) {
        return Ok(());
    }
    let refuse = |reason: String| Err(TrainError::Row { layer: block.name.clone(), reason });
    let (row, master) = (rounding(block, hyper).0, block.weight.master);
    if row.format.frac_bits() != master.format.frac_bits() {
        return refuse(format!(
            "an update in {} does not lie on the grid of the stored weight {}; give the rows 'master' and '{}' the same \
             fraction bits, for norms too (exceptions for '@norms')",
            row.format,
            master.format,
            rounding_role(block, hyper)
        ));
    }
    if hyper.has_terms() && block.gradient.format.is_quantized() && !block.momentum.format.is_quantized() {
        return refuse(
            "momentum and weight decay need the row 'gradient' to be exact, or a format in the row 'momentum' (a relative \
             gradient has no size of its own); set both to 0 for this recipe"
                .to_owned(),
        );
    }
    if hyper.momentum > 0.0 && !block.momentum.format.is_quantized() {
        return refuse(
            "the row 'momentum' is exact, so there is no format to store it in; give it one".to_owned(),
        );
    }
    Ok(())
}
