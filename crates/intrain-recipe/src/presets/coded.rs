//! Training in small floats: the operands of all products quantized, each along its sum, everything else in binary32.
//!
//! The accelerators' recipes leave some layers alone, mostly embeddings and the head of a language model. Here the first layer
//! and the last are treated like the others; exceptions for `@first` and `@last` spare them.

use intrain_num::Quantizer;

use super::{line, refuse};
use crate::RecipeError;
use crate::role::Recipe;

/// Rows `weight`, `activation` and `error.product`, and where they come from.
const RECIPES: [(&str, [&str; 3], &str); 6] = [
    ("bf16", ["bfloat16"; 3], "Micikevicius et al. 2018, arXiv 1710.03740, with bfloat16; torch.autocast"),
    // Weights and activations are finer, errors reach further (section 3 there). TransformerEngine's current scaling, with
    // scales that are powers of two (`Float8CurrentScaling`, `force_pow_2_scales`).
    (
        "fp8",
        ["e4m3@rceil", "e4m3@rceil", "e5m2@rceil"],
        "Micikevicius et al. 2022, arXiv 2209.05433; NVIDIA/TransformerEngine@d0067d0",
    ),
    (
        "mxfp8",
        ["mxfp8@rceil"; 3],
        "Mishra et al. 2025, arXiv 2506.08027; NVIDIA/TransformerEngine@d0067d0, MXFP8BlockScaling",
    ),
    // The two differ in the elements alone, so that training tells what those cost. Published recipes for MXFP4 round
    // stochastically behind a transform (arXiv 2502.20586).
    ("mxfp4", ["mxfp4@even"; 3], "OCP microscaling formats 1.0; the scales of pytorch/ao and AMD Quark"),
    ("mxint8", ["mxint8@even"; 3], "OCP microscaling formats 1.0; the scales of pytorch/ao and AMD Quark"),
    // The paper keeps some of the last layers in bfloat16.
    (
        "nvfp4",
        ["nvfp4@te/16x16", "nvfp4@te", "nvfp4@te sr-a<8> hadamard"],
        "NVIDIA 2025, arXiv 2509.25149; NVIDIA/TransformerEngine@d0067d0, NVFP4BlockScaling",
    ),
];

/// The preset of that name, if it is one of these.
pub(super) fn coded(spec: &str, name: &str, parameters: &[&str]) -> Option<Result<Recipe, RecipeError>> {
    let (name, [weight, activation, error], source) = RECIPES.iter().find(|(known, ..)| *known == name)?;
    if !parameters.is_empty() {
        return Some(Err(refuse(spec, &format!("{name} has no parameters"))));
    }
    Some(Ok(Recipe {
        name: (*name).to_owned(),
        source: (*source).to_owned(),
        weight: line(weight).into(),
        activation: line(activation).into(),
        error_at_product: line(error).into(),
        ..Recipe::of(Quantizer::FLOAT)
    }))
}

#[cfg(test)]
mod tests {
    use crate::{PRESETS, Recipe, preset};

    #[test]
    fn presets_round_trip_and_are_listed() {
        for (name, ..) in super::RECIPES {
            let recipe = preset(name).unwrap();
            assert!(PRESETS.iter().any(|preset| preset.name == name), "{name}");
            assert!(recipe.is_float() && recipe.activation_enters(), "{name}");
            assert_eq!(Recipe::from_toml(&recipe.to_toml()), Ok(recipe), "{name}");
            let message = preset(&format!("{name}:4")).unwrap_err().to_string();
            assert!(message.contains("has no parameters"), "{message}");
        }
    }
}
