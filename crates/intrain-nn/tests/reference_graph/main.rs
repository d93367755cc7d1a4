//! A step of a graph of integers against the contract in plain loops: sections 6, 7.4 and 7.5 of `docs/arithmetic.md`.
//!
//! The scalar step below walks the model's layers in 128-bit integers and calls `intrain-num` alone; it shares no code with
//! the network. Equality is exact.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "sums are small here")]
#![allow(clippy::cast_sign_loss, reason = "positions in an image are small")]

#[path = "../network/mod.rs"]
mod network;
mod step;

use intrain_kernels::Isa;
use intrain_model::{Layer, LayerKind, Model};
use intrain_nn::{Plan, StepKey};
use network::{batch, integer_residual, integers, parameters, recipe};
use step::Step;

fn compare(model: &Model, spec: &str, n: usize, seed: u64, black: bool) {
    let recipe = recipe(spec);
    let plan = Plan::build(model, &recipe, n).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let parameters = parameters(&plan, seed);
    let (mut images, labels) = batch(&plan, n, seed);
    if black {
        images.fill(0);
    }
    // As the plan has resolved '@last'.
    let last =
        model.layers.iter().rev().find(|l| {
            matches!(l.kind, LayerKind::Relu | LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool)
        });
    let names = [String::new(), last.unwrap().name.clone()];
    let recipe = recipe.with_ends(|_| names.clone());
    let key = StepKey { seed, step: seed >> 5 };
    let isa = Isa::available()[seed as usize % Isa::available().len()];
    let mut network = network::network(&plan, isa, 1 + seed as usize % 3);
    for key in [Some(key), None] {
        let mut step = Step::new(model, &recipe, &parameters, key);
        step.run(&images);
        network.load(&parameters, key);
        network.forward(&images, key);
        let logits = step.results.last().unwrap();
        for class in 0..4_u16 {
            let outcome = network.outcome(&vec![class; n]);
            let right = |row: &[i128]| row.iter().position(|y| y == row.iter().max().unwrap());
            let wrong = logits.x.chunks(4).filter(|row| right(row) != Some(usize::from(class))).count();
            assert_eq!(outcome.n_wrong, wrong, "{spec}, {n} images, seed {seed}: class {class}");
        }
        let Some(key) = key else { continue };
        network.backward(&labels, key);
        let expected = step.backward(&labels);
        for (found, block) in network.gradients().zip(&plan.blocks) {
            let Some((weight, bias, exponents)) = expected.get(&block.name) else {
                assert_eq!(block.product.n_weights(), 0, "{}", block.name);
                continue;
            };
            let what = format!("{spec}, {n} images, seed {seed}: {}", block.name);
            assert_eq!(&integers(found.weight), weight, "{what}");
            assert_eq!(found.bias.map(integers).as_ref(), bias.as_ref(), "{what}");
            assert_eq!(found.exponents, Some(*exponents), "{what}");
        }
    }
}

const SPECS: [&str; 7] = [
    "intrain-int8",
    "wageubn",
    "wage-l1bn",
    "wage-rangebn",
    "intrain-int8 | error.norm = unit<8>@dynamic stochastic | error.product = int<16>@bound stochastic",
    "intrain-int8 | norm.gain = fixed<2,6> nearest-even | norm.offset = fixed<2,6> nearest-even | norm.value = fixed<3,5> floor",
    "intrain-int8 | error.norm = unit<12>@dynamic nearest-even | error.activation = unit<12>@dynamic nearest-even",
];

/// Layer norms instead: of pixels, and of vectors.
fn layer_norms() -> Model {
    let mut model = integer_residual();
    for layer in &mut model.layers {
        if let LayerKind::BatchNorm { affine } = layer.kind {
            layer.kind = LayerKind::LayerNorm { affine };
        }
    }
    let at = model.layers.len() - 1;
    let linear = LayerKind::Linear { out: 24, bias: false };
    let added =
        [("fc1", linear), ("norm9", LayerKind::LayerNorm { affine: true }), ("relu9", LayerKind::Relu)];
    model.layers.splice(at..at, added.map(|(name, kind)| Layer::new(name, kind)));
    model
}

#[test]
fn layer_norms_equal_the_contract() {
    let model = layer_norms();
    for spec in SPECS.into_iter().filter(|spec| *spec != "wage-rangebn") {
        for (n, seed) in [(5, 1), (2, 2), (8, 4), (7, 9)] {
            compare(&model, spec, n, seed, false);
        }
        compare(&model, spec, 1, 5, false);
        compare(&model, spec, 3, 7, true);
    }
}

#[test]
fn a_step_equals_the_contract() {
    let model = integer_residual();
    for spec in SPECS {
        for (n, seed) in [(5, 1), (2, 2), (3, 3), (8, 4), (4, 6), (7, 9)] {
            compare(&model, spec, n, seed, false);
        }
    }
}

/// Channels that are constant, a batch of one, and nothing to learn from: defined, and the same as the contract.
#[test]
fn nothing_is_divided_by_zero() {
    let model = integer_residual();
    for spec in SPECS {
        compare(&model, spec, 1, 5, false);
        compare(&model, spec, 3, 7, true);
        compare(&model, spec, 1, 8, true);
    }
}
