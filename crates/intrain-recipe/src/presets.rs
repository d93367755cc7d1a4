//! The presets: each method a table of rows, with the paper and the code that it follows.

mod coded;
mod hwgq;
mod li;
mod normed;

use intrain_num::{Columns, Format, Quantizer, RandomSource, Round};

use crate::RecipeError;
use crate::keys::nearest;
use crate::role::{Bias, Feedback, LearningRate, Loss, Recipe};

/// A preset's line in `intrain recipe list`.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Name, before any parameters.
    pub name: &'static str,
    /// How it is written with parameters.
    pub usage: &'static str,
    /// What it is.
    pub summary: &'static str,
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "wage",
        usage: "wage[:W-A-G-E]",
        summary: "weights, activations, gradients and errors in integers; 2-8-8-8 by default (Wu 2018)",
    },
    Preset {
        name: "gupta",
        usage: "gupta[:PARAMETERS[:OUTPUTS[:ERRORS]]][:stochastic|:nearest|:array]",
        summary: "16-bit fixed point, by default Q2.14 parameters, Q8.8 outputs, stochastic (Gupta 2015)",
    },
    Preset {
        name: "li-r",
        usage: "li-r[:DELTA][:all]",
        summary: "binary weights, rounded to the nearest behind the update (Li 2017)",
    },
    Preset {
        name: "li-sr",
        usage: "li-sr[:DELTA][:all]",
        summary: "binary weights, rounded stochastically behind the update (Li 2017)",
    },
    Preset {
        name: "li-big-sr",
        usage: "li-big-sr[:DELTA][:all]",
        summary: "li-sr with batches of 1024 (Li 2017)",
    },
    Preset {
        name: "li-bc",
        usage: "li-bc[:DELTA][:all]",
        summary: "float weights, binary when they are read: BinaryConnect (Li 2017)",
    },
    Preset {
        name: "li-ef",
        usage: "li-ef[:DELTA][:all]",
        summary: "li-r with the error of rounding carried into the momentum: no float copy, and nothing is lost",
    },
    Preset {
        name: "hwgq",
        usage: "hwgq[:LEVELS][:vanilla|:clipped|:log-tailed]",
        summary: "binary weights with a scale per filter, activations of few levels (Cai 2017)",
    },
    Preset {
        name: "intrain-int8",
        usage: "intrain-int8",
        summary: "8-bit products, norms and softmax in integers: residual networks with no float in the step",
    },
    Preset {
        name: "niti",
        usage: "niti",
        summary: "8-bit weights, activations and errors, a power of two for each tensor (Wang 2020)",
    },
    Preset {
        name: "wageubn",
        usage: "wageubn",
        summary: "8-bit weights, activations and errors, norms of 8 and 16 bits, relative gradients (Yang 2019)",
    },
    Preset {
        name: "wage-l1bn",
        usage: "wage-l1bn",
        summary: "wage with a norm in integers that divides by the mean distance (Wu 2018b)",
    },
    Preset {
        name: "wage-rangebn",
        usage: "wage-rangebn",
        summary: "wage with a norm in integers that divides by the range (Banner 2018)",
    },
    Preset {
        name: "bf16",
        usage: "bf16",
        summary: "products of bfloat16, sums and stored weights in binary32 (Micikevicius 2018)",
    },
    Preset {
        name: "fp8",
        usage: "fp8",
        summary: "products of E4M3, errors in E5M2, a power of two for each tensor (Micikevicius 2022)",
    },
    Preset {
        name: "mxfp8",
        usage: "mxfp8",
        summary: "products of E4M3 in blocks of 32 that share a power of two (Mishra 2025)",
    },
    Preset {
        name: "mxfp4",
        usage: "mxfp4",
        summary: "products of E2M1 in blocks of 32 that share a power of two, rounded to the nearest",
    },
    Preset {
        name: "mxint8",
        usage: "mxint8",
        summary: "products of 8-bit integers in blocks of 32 that share a power of two: one row from mxfp4",
    },
    Preset {
        name: "nvfp4",
        usage: "nvfp4",
        summary: "products of E2M1 in blocks of 16, square for weights; errors stochastic, transformed (NVIDIA 2025)",
    },
    Preset { name: "float32", usage: "float32", summary: "everything in binary32: the baseline" },
];

/// The preset that `spec` names, with its parameters: `wage:2-8-8-8`, `gupta:Q2.14:Q8.8:nearest`, `float32`.
///
/// # Errors
/// [`RecipeError::UnknownPreset`] with the nearest name; [`RecipeError::Preset`] for wrong parameters.
pub fn preset(spec: &str) -> Result<Recipe, RecipeError> {
    let (name, parameters) = match spec.split_once(':') {
        Some((name, parameters)) => (name, parameters.split(':').collect()),
        None => (spec, Vec::new()),
    };
    match name {
        "wage" => wage(spec, &parameters),
        "gupta" => gupta(spec, &parameters),
        "li-r" | "li-sr" | "li-big-sr" | "li-bc" | "li-ef" => li::li(spec, name, &parameters),
        "hwgq" => hwgq::hwgq(spec, &parameters),
        "intrain-int8" | "niti" | "wageubn" | "wage-l1bn" | "wage-rangebn" if parameters.is_empty() => {
            Ok(normed::normed(name))
        }
        "intrain-int8" | "niti" | "wageubn" | "wage-l1bn" | "wage-rangebn" => {
            Err(refuse(spec, &format!("{name} has no parameters")))
        }
        "float32" if parameters.is_empty() => Ok(Recipe::of(Quantizer::FLOAT)),
        "float32" => Err(refuse(spec, "float32 has no parameters")),
        _ if let Some(recipe) = coded::coded(spec, name, &parameters) => recipe,
        _ => Err(RecipeError::UnknownPreset {
            name: name.to_owned(),
            nearest: nearest(name, PRESETS.iter().map(|p| p.name)).to_owned(),
        }),
    }
}

fn refuse(spec: &str, reason: &str) -> RecipeError {
    RecipeError::Preset { spec: spec.to_owned(), reason: reason.to_owned() }
}

fn line(text: &str) -> Quantizer {
    text.parse().unwrap_or_else(|error| unreachable!("a preset's own row '{text}' is {error}"))
}

/// Settings of a preset's own.
fn defaults(text: &str) -> toml::Table {
    text.parse().unwrap_or_else(|error| unreachable!("a preset's own defaults '{text}': {error}"))
}

/// WAGE, arXiv 1802.04680, following the code that made the published logs (`boluoweifenda/WAGE@9d57688`).
fn wage(spec: &str, parameters: &[&str]) -> Result<Recipe, RecipeError> {
    let usage = "write wage:W-A-G-E with bits 2 to 16, for example wage:2-8-8-8";
    let bits = match parameters {
        [] => vec![2, 8, 8, 8],
        [bits] => bits
            .split('-')
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>()
            .map_err(|_| refuse(spec, usage))?,
        _ => return Err(refuse(spec, usage)),
    };
    let [w, a, g, e] = bits[..] else { return Err(refuse(spec, usage)) };
    if bits.iter().any(|bits| !(2..=16).contains(bits)) {
        return Err(refuse(spec, usage));
    }
    if g <= w {
        return Err(RecipeError::Check {
            role: "gradient",
            reason: format!(
                "k_G = {g} is not above k_W = {w}: stored weights would have no steps between two weights and \
                 training diverges; use at least {} gradient bits",
                w + 1
            ),
        });
    }
    // Differs from the paper: the code clips the stored weight to the *weight's* range before the update
    // (paper eq. 12 clips to the gradient's range after it).
    let limit = (1i64 << (g - 1)) - (1i64 << (g - w));
    Ok(Recipe {
        name: if parameters.is_empty() { "wage".to_owned() } else { format!("wage:{w}-{a}-{g}-{e}") },
        source: "Wu et al. 2018, arXiv 1802.04680; boluoweifenda/WAGE@9d57688".to_owned(),
        loss: Loss::SquaredError,
        bias: Bias::None,
        input: line(&format!("unit<{a}> nearest-even saturate")).into(),
        weight: line(&format!("unit<{w}>@alpha nearest-even saturate")).into(),
        accumulator: line("int<64> floor wrap").into(),
        activation_at_product: Quantizer::EXACT.into(),
        activation: line(&format!("unit<{a}> nearest-even saturate clipped")).into(),
        error_at_loss: line(&format!("unit<{e}>@shift nearest-even saturate")).into(),
        error_at_activation: line(&format!("unit<{e}>@shift nearest-even saturate")).into(),
        error_at_product: Quantizer::EXACT.into(),
        // 'saturate' is the row's default and never acts: an update relative to the largest gradient counts steps of
        // the stored weight, up to about the learning rate, and only the stored weight is held.
        gradient: line(&format!("unit<{g}>@shift stochastic-magnitude<16> saturate")).into(),
        momentum: Quantizer::EXACT.into(),
        learning_rate: LearningRate::PowerOfTwo,
        error_feedback: Feedback::None,
        update: Quantizer::EXACT.into(),
        master: line(&format!("unit<{g}> nearest-even clip-before<{limit}>")).into(),
        // No norms.
        ..Recipe::of(Quantizer::EXACT)
    })
}

/// Gupta 2015, arXiv 1502.02551, section 4: one rounding for each output, error and update element.
///
/// The paper leaves open the errors' format, the momentum's, and where the learning rate is rounded: errors have
/// `Q2.14` (they start as differences of probabilities), the momentum has the parameters' format, and the update is
/// rounded once, behind the learning rate. With `array` the random bits of products are those of the paper's array (section
/// 5), a register per column; what the host rounds keeps its own.
fn gupta(spec: &str, parameters: &[&str]) -> Result<Recipe, RecipeError> {
    let mut formats = Vec::new();
    let mut rounding = None;
    for parameter in parameters {
        match *parameter {
            "stochastic" | "nearest" | "array" if rounding.is_some() => {
                return Err(refuse(spec, "name one rounding: stochastic, nearest or array"));
            }
            "stochastic" | "nearest" | "array" => rounding = Some(*parameter),
            text => match text.parse() {
                Ok(format @ Format::Fixed { .. }) => formats.push(format),
                Ok(other) => {
                    return Err(refuse(
                        spec,
                        &format!("{other} is not fixed point; write for example Q2.14"),
                    ));
                }
                Err(error) => return Err(refuse(spec, &format!("'{text}' is {error}"))),
            },
        }
    }
    let q = |int_bits, frac_bits| Format::Fixed { int_bits, frac_bits };
    let (parameter, output, error) = match formats[..] {
        [] => (q(2, 14), q(8, 8), q(2, 14)),
        [parameter] => (parameter, q(8, 8), q(2, 14)),
        [parameter, output] => (parameter, output, q(2, 14)),
        [parameter, output, error] => (parameter, output, error),
        _ => return Err(refuse(spec, "at most three formats: parameters, outputs, errors")),
    };
    let word = rounding.unwrap_or("stochastic");
    let round = if word == "nearest" { Round::NearestDown } else { Round::Stochastic { bits: 32 } };
    let random = if word == "array" { RandomSource::Columns(Columns::paper()) } else { RandomSource::Philox };
    let name = if parameters.is_empty() {
        "gupta".to_owned()
    } else {
        format!("gupta:{}:{}:{}:{word}", q_name(parameter), q_name(output), q_name(error))
    };
    Ok(Recipe {
        name,
        source: "Gupta et al. 2015, arXiv 1502.02551, sections 3 and 4".to_owned(),
        loss: Loss::SoftmaxCrossEntropy,
        bias: Bias::Model,
        random,
        input: Quantizer::plain(output, Round::NearestDown).into(),
        weight: Quantizer::EXACT.into(),
        accumulator: line("int<48> floor wrap").into(),
        activation_at_product: Quantizer::plain(output, round).into(),
        activation: Quantizer::EXACT.into(),
        error_at_loss: Quantizer::plain(error, round).into(),
        error_at_activation: Quantizer::EXACT.into(),
        error_at_product: Quantizer::plain(error, round).into(),
        gradient: Quantizer::EXACT.into(),
        momentum: Quantizer::plain(parameter, round).into(),
        learning_rate: LearningRate::Mantissa15,
        error_feedback: Feedback::None,
        update: Quantizer::plain(parameter, round).into(),
        master: Quantizer::plain(parameter, Round::NearestDown).into(),
        // The paper has no norms. Theirs hold what outputs hold, with four more bits for sums over a batch.
        norm_mean: Quantizer::plain(finer(output, 4), Round::NearestDown).into(),
        norm_spread: Quantizer::plain(finer(output, 4), Round::Floor).into(),
        norm_value: Quantizer::plain(output, Round::NearestDown).into(),
        norm_gain: line("fixed<2,10> nearest-even saturate").into(),
        error_at_norm: Quantizer::plain(error, round).into(),
        ..Recipe::of(Quantizer::EXACT)
    })
}

/// The format with so many more fraction bits.
fn finer(format: Format, bits: u32) -> Format {
    match format {
        Format::Fixed { int_bits, frac_bits } => Format::Fixed { int_bits, frac_bits: frac_bits + bits },
        other => other,
    }
}

fn q_name(format: Format) -> String {
    match format {
        Format::Fixed { int_bits, frac_bits } => format!("Q{int_bits}.{frac_bits}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intrain_num::Overflow;

    #[test]
    fn wage_limits_follow_the_widths() {
        let limit = |spec: &str| match preset(spec).unwrap().master.base.overflow {
            Overflow::ClipBefore { limit } => limit,
            other => panic!("{other}"),
        };
        // 1 - 2^(1-k_W) in steps of 2^(1-k_G).
        assert_eq!(limit("wage"), 64);
        assert_eq!(limit("wage:3-8-8-8"), 96);
        assert_eq!(limit("wage:2-8-12-12"), 1024);
    }

    #[test]
    fn wrong_parameters_say_what_to_write() {
        for (spec, part) in [
            ("wage:2-8-8", "wage:2-8-8-8"),
            ("wage:1-8-8-8", "bits 2 to 16"),
            ("wage:8-8-8-8", "not above k_W"),
            ("gupta:unit<8>", "not fixed point"),
            ("gupta:Q0.8", "the sign"),
            ("gupta:nearest:stochastic", "one rounding"),
            ("float32:8", "no parameters"),
            ("wagee", "did you mean 'wage'"),
        ] {
            let message = preset(spec).unwrap_err().to_string();
            assert!(message.contains(part), "{spec}: {message}");
        }
    }
}
