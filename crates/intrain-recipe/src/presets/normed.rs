//! Recipes whose norms, residual sums and losses are integers too: no float from the pixel to the stored weight.
//!
//! Wu, Li, Chen, Shi name norms and softmax as what WAGE leaves open; how each number here was found is in `docs/log.md`.

use intrain_num::{Quantizer, Spread};

use super::{defaults, line};
use crate::role::{Bias, Exception, LearningRate, Loss, Pattern, Recipe, Slot};

/// The recipe of that name.
pub(super) fn normed(name: &str) -> Recipe {
    match name {
        "wage-l1bn" => wage(name, Spread::L1),
        "wage-rangebn" => wage(name, Spread::Range),
        "niti" => niti(name),
        "wageubn" => wageubn(name),
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
        norm_mean: line("fixed<8,12> nearest-down saturate").into(),
        norm_spread: line("fixed<8,12> floor saturate").into(),
        norm_value: line("fixed<4,12> nearest-down saturate").into(),
        // A mean of activations is below 2, and the last product reads it with all of its 8 bits.
        activation: with(
            "fixed<4,4> nearest-down saturate clipped",
            Pattern::LAST,
            "fixed<2,6> nearest-down saturate",
        ),
        error_at_loss: line("unit<8>@dynamic stochastic saturate").into(),
        error_at_activation: line("unit<8>@dynamic stochastic saturate").into(),
        // To the nearest, half of all errors would become 0: see the log.
        error_at_norm: line("unit<8>@dynamic stochastic saturate").into(),
        error_at_product: line("int<16>@bound nearest-down saturate").into(),
        momentum: with("fixed<1,15> stochastic saturate", Pattern::NORMS, "fixed<3,12> stochastic saturate"),
        learning_rate: LearningRate::Mantissa15,
        master: with("fixed<1,15> stochastic saturate", Pattern::NORMS, "fixed<3,12> stochastic saturate"),
        ..Recipe::of(Quantizer::EXACT)
    }
}

/// NITI, following its code (`wangmaolin/niti`): every tensor 8 bits and a power of two. The code trains chains of layers
/// without norms; the rows of norms are this project's.
///
/// Differs from it: the power of two is that of WAGE's `Shift`, which the largest value may pass by a half, where the code's
/// never is passed; updates and the error at the loss are rounded with the contract's random words, where the code takes them
/// from the low bits of what it rounds; initial weights use a quarter to a half of their range, not all of it.
fn niti(name: &str) -> Recipe {
    let plain = super::preset("wage").unwrap_or_else(|_| unreachable!("wage is a preset"));
    Recipe {
        name: name.to_owned(),
        source: "Wang et al. 2020, arXiv 2009.13108; wangmaolin/niti@d097335".to_owned(),
        loss: Loss::SoftmaxBase2,
        weight: Quantizer::EXACT.into(),
        activation_at_product: line("unit<8>@dynamic nearest-away saturate").into(),
        activation: Quantizer::EXACT.into(),
        // The code has no norms. Theirs see integers of 8 bits whose largest is about 1.
        norm_mean: line("fixed<2,14> nearest-down saturate").into(),
        norm_spread: line("fixed<2,14> floor saturate").into(),
        norm_value: line("fixed<4,12> nearest-down saturate").into(),
        error_at_loss: line("unit<8> stochastic-magnitude<16> saturate").into(),
        // In a chain of layers, where updates are relative, nobody asks for the power of two.
        error_at_activation: line("unit<8>@dynamic nearest-away saturate").into(),
        error_at_norm: line("unit<8>@dynamic stochastic saturate").into(),
        gradient: with(
            "unit<8>@shift stochastic-magnitude<16> saturate",
            Pattern::NORMS,
            "unit<11>@shift stochastic-magnitude<16> saturate",
        ),
        master: with(
            "unit<8>@fan nearest-even saturate",
            Pattern::NORMS,
            "fixed<2,10> nearest-even saturate",
        ),
        // The code's: the largest gradient moves a weight by 2^4 to 2^5 steps.
        defaults: defaults("epochs = 200\nbatch_size = 256\nlearning_rate = 16.0"),
        ..plain
    }
}

/// WAGEUBN in full 8 bits, following its code (`yang-yk/wageubn`).
///
/// Differs from it: roots are those of integers; the code's quantizers of activations and norms have no range, these have
/// one; errors behind norms have one scale where the code has two and a flag; the momentum holds the rate, in as many digits
/// as the weight, where the code's has 13 bits; first and last layer are quantized too.
fn wageubn(name: &str) -> Recipe {
    let int8 = int8(name);
    let norms = |base: &str, exception: &str| with(base, Pattern::NORMS, exception);
    Recipe {
        source: "Yang et al. 2019, arXiv 1909.02384; yang-yk/wageubn".to_owned(),
        weight: line("unit<8> nearest-even saturate").into(),
        activation: line("fixed<3,5> nearest-even saturate").into(),
        norm_mean: line("fixed<8,8> nearest-down saturate").into(),
        norm_spread: line("fixed<8,8> floor saturate").into(),
        norm_value: line("fixed<4,7> nearest-down saturate").into(),
        norm_gain: line("fixed<3,7> nearest-even saturate").into(),
        norm_offset: line("fixed<3,7> nearest-even saturate").into(),
        error_at_loss: line("unit<8>@dynamic nearest-even saturate").into(),
        error_at_activation: line("unit<8>@dynamic nearest-even saturate").into(),
        error_at_norm: line("unit<8>@dynamic nearest-even saturate").into(),
        gradient: line("unit<8>@shift stochastic saturate").into(),
        momentum: norms("fixed<1,23> nearest-even saturate", "fixed<3,20> nearest-even saturate"),
        master: norms("fixed<1,23> nearest-even saturate", "fixed<3,20> nearest-even saturate"),
        // The code's: rate 0.05 of gradients in steps of 2^-14 below 128, momentum 1/4, decay 1e-4 at that rate.
        defaults: defaults(
            "epochs = 100\nbatch_size = 64\nlearning_rate = 0.000390625\ndecay = 1.0\nmomentum = 0.25\nweight_decay = 0.0128",
        ),
        ..int8
    }
}

/// WAGE with a norm in front of each activation; its weights are ternary, its updates relative and its loss the squared error,
/// as ever.
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
        // Behind a norm with a gain of 1, WAGE's range, which ends at 1, would cut off a sixth of the values.
        activation: line("fixed<3,5> nearest-even saturate clipped").into(),
        // To the nearest, nine of ten errors would become 0: see the log.
        error_at_norm: line("unit<8>@shift stochastic saturate").into(),
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
