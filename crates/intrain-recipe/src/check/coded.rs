//! Small floats in a recipe's rows: which may have them, and what they may say there.

use intrain_num::minifloat::FloatRound;
use intrain_num::{Coded, Format, Quantizer};

use super::{Warning, quantizers, refuse};
use crate::RecipeError;
use crate::role::{Feedback, Recipe, Role};

/// Refuses small floats where they have no meaning; each message names the remedy.
pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    // What error.loss is decides what the others may be, so it is seen first.
    for role in [Role::ErrorAtLoss].into_iter().chain(Role::ALL) {
        for coded in quantizers(recipe.slot(role)).filter_map(|quantizer| quantizer.format.coded()) {
            check_row(recipe, role, coded)?;
        }
    }
    if recipe.activation_enters() {
        let other = quantizers(&recipe.activation).find(|quantizer| !is_operand(quantizer));
        if let Some(other) = other {
            let reason = format!(
                "'{other}' is what a ReLU leaves, and the row has a small float too, which a product makes of what enters it: \
                 their layers have other names; write small floats or float32 throughout"
            );
            return Err(refuse("activation", &reason));
        }
    }
    Ok(())
}

fn is_operand(quantizer: &Quantizer) -> bool {
    matches!(quantizer.format, Format::Float32 | Format::Coded(_))
}

fn check_row(recipe: &Recipe, role: Role, coded: Coded) -> Result<(), RecipeError> {
    let reason = match role {
        _ if !recipe.is_float() && role != Role::ErrorAtLoss => format!(
            "'{coded}' is a small float, and this recipe computes in integers, as its row error.loss is '{}'; write a \
             fixed-point format such as 'unit<8> nearest-even', or start from a recipe with float errors (`intrain recipe \
             show mxfp8 --toml`)",
            recipe.error_at_loss.base
        ),
        _ if coded.hadamard && role != Role::ErrorAtProduct => format!(
            "'{coded}' has the word 'hadamard', which belongs to error.product and transforms both operands of the \
             gradient's product; leave it out here"
        ),
        Role::Weight | Role::Activation | Role::ErrorAtProduct => return Ok(()),
        Role::Gradient if !coded.has_blocks() => return Ok(()),
        Role::Gradient => format!(
            "'{coded}' has blocks, which lie along a product's sums, and no product reads a gradient; write a float without \
             scale such as bfloat16, or with one for the tensor such as e5m2@rceil"
        ),
        Role::Master if coded.coding.extent().is_none() && recipe.error_feedback == Feedback::None => {
            return Ok(());
        }
        Role::Master if coded.coding.extent().is_none() => format!(
            "'{coded}' is a small float, and error_feedback keeps what rounding takes from weights that are binary or on a \
             grid; write error_feedback = \"none\""
        ),
        Role::Master => format!(
            "'{coded}' has scales, and a stored weight is rounded by itself; write a float without scale such as bfloat16, \
             or float32 here and '{coded}' in the row 'weight'"
        ),
        _ => format!(
            "'{coded}' cannot stand here: small floats belong to weight, activation and error.product, the operands of \
             products, and to gradient and master; write float32"
        ),
    };
    Err(refuse(role.name(), &reason))
}

/// A stored weight that is rounded to the nearest swallows small updates.
pub(super) fn warnings(recipe: &Recipe) -> impl Iterator<Item = Warning> {
    let rows = quantizers(&recipe.master).filter_map(|quantizer| quantizer.format.coded());
    let loses = |coded: &Coded| !coded.round.is_stochastic() && coded.round != FloatRound::ToOdd;
    rows.filter(loses).map(|coded| {
        let message = format!(
            "'{coded}' rounds the stored weight to the nearest, so an update below half of its last digit never changes it; \
             if learning stalls, use stochastic rounding, for example '{} sr-a<16>', or keep the weight in float32",
            Coded::nearest(coded.coding)
        );
        Warning { row: Role::Master.name(), message }
    })
}

#[cfg(test)]
mod tests {
    use crate::{Feedback, Role, preset};

    #[test]
    fn small_floats_that_mean_nothing_are_refused() {
        for (spec, role, row, part) in [
            ("wage", Role::Weight, "mxfp4@even", "computes in integers"),
            ("mxfp4", Role::ErrorAtLoss, "bfloat16", "row 'error.loss': 'bfloat16"),
            ("mxfp4", Role::ErrorAtLoss, "bfloat16", "cannot stand here"),
            ("gupta", Role::Activation, "bfloat16", "error.loss is 'fixed<2,14>"),
            ("intrain-int8", Role::NormGain, "e4m3@rceil", "computes in integers"),
            ("float32", Role::Master, "mxfp4@even", "in the row 'weight'"),
            ("float32", Role::Master, "e4m3@rceil", "without scale"),
            ("float32", Role::Gradient, "mxfp4@even", "no product reads a gradient"),
            ("float32", Role::Momentum, "bfloat16", "cannot stand here"),
            ("float32", Role::ErrorAtActivation, "mxfp8", "belong to weight, activation and error.product"),
            ("float32", Role::Weight, "nvfp4 hadamard", "belongs to error.product"),
            ("float32", Role::Input, "bfloat16", "write float32"),
        ] {
            let mut recipe = preset(spec).unwrap();
            recipe.slot_mut(role).base = row.parse().unwrap();
            let message = recipe.check().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(role.name()), "{spec} {row}: {message}");
        }
        let mut recipe = preset("hwgq").unwrap();
        recipe.activation.except[0].quantizer = "bfloat16".parse().unwrap();
        let message = recipe.check().unwrap_err().to_string();
        assert!(message.contains("what a ReLU leaves"), "{message}");
    }

    #[test]
    fn small_floats_where_they_mean_something_pass() {
        let mut recipe = preset("float32").unwrap();
        for (role, row) in [
            (Role::Weight, "nvfp4@te/16x16"),
            (Role::Activation, "mxfp6@even sr-c<12>"),
            (Role::ErrorAtProduct, "mxfp8-e5m2@rceil hadamard"),
            (Role::Gradient, "e5m2@rceil sr-a<8>"),
            (Role::Master, "bfloat16 sr-a<16>"),
        ] {
            recipe.slot_mut(role).base = row.parse().unwrap();
        }
        assert_eq!(recipe.check(), Ok(vec![]));
        recipe.master.base = "bfloat16".parse().unwrap();
        let warnings = recipe.check().unwrap();
        assert!(warnings[0].message.contains("'bfloat16 sr-a<16>'"), "{warnings:?}");
        recipe.error_feedback = Feedback::Momentum;
        assert!(recipe.check().unwrap_err().to_string().contains("error_feedback = \"none\""));
        for spec in ["bf16", "fp8", "mxfp8", "mxfp4", "mxint8", "nvfp4"] {
            assert_eq!(preset(spec).unwrap().check(), Ok(vec![]), "{spec}");
        }
    }
}
