//! Half-wave Gaussian quantization: Cai et al. 2017, arXiv 1702.00953, following `zhaoweicai/hwgq@ebc706b`.
//!
//! Binary weights with a scale per filter, activations of few levels, all else in float. The first product and the last
//! keep float weights, and the last activation is a plain ReLU (the code's networks).

use intrain_num::{Format, Levels, Quantizer, Round, Surrogate};

use super::{line, refuse};
use crate::RecipeError;
use crate::lloyd::{self, HalfNormal};
use crate::role::{Exception, Pattern, Recipe, Role};

const USAGE: &str = "write hwgq[:LEVELS][:vanilla|:clipped|:log-tailed] with LEVELS 1 to 15 (equally spaced), 1n to 15n \
                     (free), sign (the baseline) or float (binary weights alone), for example hwgq:3:clipped";

/// `hwgq` with its parameters.
pub(super) fn hwgq(spec: &str, parameters: &[&str]) -> Result<Recipe, RecipeError> {
    let (levels, surrogate) = match parameters {
        [] => ("3", "clipped"),
        [one @ ("vanilla" | "clipped" | "log-tailed")] => ("3", *one),
        [levels] => (*levels, "clipped"),
        [levels, surrogate] => (*levels, *surrogate),
        _ => return Err(refuse(spec, USAGE)),
    };
    let surrogate = match surrogate {
        "vanilla" => Surrogate::StraightThrough,
        "clipped" => Surrogate::Clipped,
        "log-tailed" => Surrogate::LogTailed,
        _ => return Err(refuse(spec, USAGE)),
    };
    let activation = match levels {
        "sign" if surrogate == Surrogate::Clipped => line("binary nearest-away saturate clipped"),
        "float" => Quantizer::FLOAT,
        levels => {
            let format = Format::Levels(codebook(levels).ok_or_else(|| refuse(spec, USAGE))?);
            Quantizer { surrogate, ..Quantizer::plain(format, Round::NearestEven) }
        }
    };
    let mut recipe = Recipe::of(Quantizer::FLOAT);
    recipe.name = if parameters.is_empty() { "hwgq".to_owned() } else { spec.to_owned() };
    recipe.source =
        "Cai et al. 2017, arXiv 1702.00953; zhaoweicai/hwgq@ebc706b; log-tailed: the paper alone".to_owned();
    recipe.weight = line("binary@filter nearest-away saturate").into();
    recipe.activation = activation.into();
    let float = |layers: &str| Exception {
        layers: Pattern(layers.to_owned()),
        from_epoch: 0,
        quantizer: Quantizer::FLOAT,
    };
    recipe.slot_mut(Role::Weight).except.extend([float(Pattern::FIRST), float(Pattern::LAST)]);
    if activation.format != Format::Float32 {
        recipe.slot_mut(Role::Activation).except.push(float(Pattern::LAST));
    }
    Ok(recipe)
}

/// The levels of `3`, `3n` and so on.
///
/// Two codebooks are the code's, which has three digits of them; the others come from the solver, to four digits. Equal
/// steps are multiples of the first level as it is written, so that a product can take their numbers.
fn codebook(text: &str) -> Option<Levels> {
    let (digits, is_free) = text.strip_suffix('n').map_or((text, false), |digits| (digits, true));
    let n: usize = digits.parse().ok().filter(|n| (1..=intrain_num::levels::LEVELS_MAX).contains(n))?;
    let levels = match (n, is_free) {
        (3, false) => return "0.538,1.076,1.614".parse().ok(),
        (2, true) => return "0.453,1.51".parse().ok(),
        (n, false) => {
            let step = (lloyd::uniform(&HalfNormal, n)[0] * 1e4).round() / 1e4;
            (1..=n).map(|i| step * i as f64).collect()
        }
        (n, true) => lloyd::free(&HalfNormal, n),
    };
    let texts: Vec<String> = levels.iter().map(|level| format!("{level:.4}")).collect();
    texts.join(",").parse().ok()
}
