//! Recipes whose norms, residual sums and losses are integers too: no float from the pixel to the stored weight.
//!
//! Wu, Li, Chen, Shi name norms and softmax as what WAGE leaves open; how each number here was found is in `docs/log.md`.

use intrain_num::{Quantizer, Spread};

use super::line;
use crate::role::{Bias, Exception, Feedback, LearningRate, Loss, Pattern, Recipe, Slot};

/// The recipe of that name.
pub(super) fn normed(name: &str) -> Recipe {
    match name {
        "wage-l1bn" => wage(name, Spread::L1),
        "wage-rangebn" => wage(name, Spread::Range),
        _ => int8(name),
    }
}

/// The residual network's recipe.
fn int8(name: &str) -> Recipe {
    Recipe {
        name: name.to_owned(),
        source: "Intrain: docs/log.md, 'Norms in integers'".to_owned(),
        loss: Loss::SoftmaxIExp,
        bias: Bias::None,
        input: line("unit<8> nearest-even saturate").into(),
        weight: line("unit<8>@fan nearest-even saturate").into(),
        accumulator: line("int<64> floor wrap").into(),
        activation_at_product: line("fixed<8,8> nearest-down saturate").into(),
        norm: Spread::L2,
        norm_mean: line("fixed<8,12> nearest-down saturate").into(),
        norm_spread: line("fixed<8,12> floor saturate").into(),
        norm_value: line("fixed<4,12> nearest-down saturate").into(),
        norm_gain: Quantizer::EXACT.into(),
        norm_offset: Quantizer::EXACT.into(),
        // A mean of activations is below 2, and the last product reads it with all of its 8 bits.
        activation: with(
            "fixed<4,4> nearest-down saturate clipped",
            Pattern::LAST,
            "fixed<2,6> nearest-down saturate",
        ),
        error_at_loss: line("unit<8>@dynamic stochastic saturate").into(),
        error_at_activation: line("unit<8>@dynamic nearest-down saturate").into(),
        error_at_norm: line("unit<8>@dynamic nearest-down saturate").into(),
        error_at_product: line("int<16>@bound nearest-down saturate").into(),
        gradient: Quantizer::EXACT.into(),
        momentum: with("fixed<1,15> stochastic saturate", Pattern::NORMS, "fixed<3,12> stochastic saturate"),
        learning_rate: LearningRate::Mantissa15,
        error_feedback: Feedback::None,
        update: Quantizer::EXACT.into(),
        master: with("fixed<1,15> stochastic saturate", Pattern::NORMS, "fixed<3,12> stochastic saturate"),
    }
}

/// WAGE with a norm in front of each activation; its weights are ternary and its updates relative, as ever.
fn wage(name: &str, spread: Spread) -> Recipe {
    let plain = super::preset("wage").unwrap_or_else(|_| unreachable!("wage is a preset"));
    Recipe {
        name: name.to_owned(),
        source: "Wu et al. 2018, arXiv 1802.04680, with a norm of arXiv 1802.09769 or arXiv 1805.11046 in integers"
            .to_owned(),
        activation_at_product: line("fixed<8,8> nearest-even saturate").into(),
        norm: spread,
        norm_mean: line("fixed<8,12> nearest-down saturate").into(),
        norm_spread: line("fixed<8,12> floor saturate").into(),
        norm_value: line("fixed<4,12> nearest-down saturate").into(),
        norm_gain: Quantizer::EXACT.into(),
        norm_offset: Quantizer::EXACT.into(),
        error_at_norm: plain.error_at_activation.clone(),
        // Gains are about 1, which weights in WAGE never are.
        gradient: Slot {
            except: vec![norms("unit<11>@shift stochastic-magnitude<16> saturate")],
            ..plain.gradient.clone()
        },
        master: Slot { except: vec![norms("fixed<2,10> nearest-even saturate")], ..plain.master.clone() },
        error_at_product: line("int<16>@bound nearest-even saturate").into(),
        ..plain
    }
}

/// A row with an exception for some layers.
fn with(base: &str, layers: &str, exception: &str) -> Slot {
    Slot { base: line(base), except: vec![exception_for(layers, exception)] }
}

fn norms(row: &str) -> Exception {
    exception_for(Pattern::NORMS, row)
}

fn exception_for(layers: &str, row: &str) -> Exception {
    Exception { layers: Pattern(layers.to_owned()), from_epoch: 0, quantizer: line(row) }
}
