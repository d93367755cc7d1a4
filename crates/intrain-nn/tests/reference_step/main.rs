//! Forward, loss, backward and gradients against the contract in plain loops.
//!
//! The scalar step below follows sections 6 and 7 of `docs/arithmetic.md` line by line, in 128-bit sums, and calls
//! `intrain-num` alone; it shares no code with the network. Equality is exact: an integer test has no tolerance.
#![allow(clippy::cast_possible_truncation, reason = "sums are small here, and 128 bits wide")]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "positions in an image are small")]
#![allow(clippy::cast_precision_loss, reason = "the reference's float loss is compared with a tolerance")]

#[path = "../network/mod.rs"]
mod network;
mod step;

use intrain_kernels::Isa;
use intrain_model::{Logits, Model, Pixels};
use intrain_nn::{Arithmetic, Parameters, Plan, StepKey, Stored};
use intrain_recipe::Recipe;
use network::{BlockShape, batch, conv, integers, linear, model, parameters, recipe};
use proptest::prelude::*;
use step::{Step, answer};

/// A network and a step of it.
#[derive(Debug, Clone)]
struct Case {
    model: Model,
    recipe: String,
    n: usize,
    seed: u64,
}

/// Runs one step of the network and of the reference, in training and as evaluation; gives the arithmetic met.
fn compare(case: &Case) -> Arithmetic {
    let Case { model, recipe: spec, n, seed } = case;
    let (n, seed) = (*n, *seed);
    let recipe = recipe(spec);
    let plan = Plan::build(model, &recipe, n).unwrap_or_else(|error| panic!("{case:?}: {error}"));
    let parameters = parameters(&plan, seed);
    let (images, labels) = batch(&plan, n, seed);
    let isa = Isa::available()[seed as usize % Isa::available().len()];
    let mut network = network::network(&plan, isa, 2);
    let key = StepKey { seed, step: seed >> 7 };

    for (key, n) in [(Some(key), n), (None, n), (None, n.div_ceil(2))] {
        let (images, labels) = (&images[..n * plan.input.shape.len()], &labels[..n]);
        let step = Step { model, recipe: &recipe, parameters: &parameters, key };
        let (logits, traces) = step.run(images);
        network.load(&parameters, key);
        network.forward(images, key);
        // The losses for each class as the label, and the places of the maxima, tell the logits apart.
        for class in 0..plan.loss.n_classes as u16 {
            let all = vec![class; n];
            let outcome = network.outcome(&all);
            let (wrong, loss) = answer(&recipe, &logits, &all);
            assert_eq!((outcome.n_wrong, outcome.n), (wrong, n), "mistakes for class {class}: {case:?}");
            let far = (outcome.loss - loss).abs() > 1e-12 * loss.abs();
            assert!(!far, "loss {} instead of {loss} for class {class}: {case:?}", outcome.loss);
        }
        let Some(key) = key else { continue };
        network.backward(labels, key);
        let expected = step.backward(&logits, &traces, labels);
        assert_eq!(network.gradients().len(), expected.len());
        for ((found, (weight, bias)), block) in network.gradients().zip(expected).zip(&plan.blocks) {
            assert_eq!(
                integers(found.weight),
                weight,
                "weights of {} ({}): {case:?}",
                block.name,
                isa.name()
            );
            assert_eq!(found.bias.map(integers), bias, "biases of {} ({}): {case:?}", block.name, isa.name());
        }
    }
    plan.arithmetic
}

const INT8: [&str; 12] = [
    "gupta:Q2.6:Q4.4:Q1.7:array | random = array<9,1> lfsr<8,0x1d>",
    "niti",
    "wage",
    "wage | loss = softmax-i-exp",
    "wage | loss = softmax-base-2 | error.loss = unit<6>@shift stochastic saturate",
    "wage:3-6-8-4",
    "wage:7-8-8-8",
    "wage:2-2-3-2",
    // Two's complement operands reach -128.
    "gupta:Q2.6:Q4.4:Q1.7:stochastic",
    "gupta:Q1.7:Q3.5:Q2.6:nearest",
    // Exceptions by layer, other roundings, a stochastic activation.
    "wage | block0:activation = unit<5> stochastic<12> saturate clipped | last:weight = unit<3>@alpha floor saturate \
     | block1:error.activation = unit<6>@shift nearest-away saturate",
    "wage | error.loss = unit<8>@shift stochastic saturate \
     | error.activation = unit<7>@shift stochastic-magnitude<10> saturate | input = unit<8> toward-zero clip<100>",
];

const INT16: [&str; 8] = [
    "gupta:array | random = array<5,2> lfsr<16,0x2d>",
    "wage:2-8-12-12",
    "wage:4-16-16-16",
    "gupta",
    "gupta:nearest",
    "gupta:Q4.16:stochastic",
    "gupta:Q4.16:Q6.10:Q2.14:nearest",
    // Weights that are read coarsely, errors cut at the activation, mixed widths.
    "gupta | weight = fixed<2,10> stochastic<16> saturate | block0:error.activation = fixed<2,12> stochastic<9> saturate \
     | block1:error.product = exact",
];

#[test]
fn fixed_networks_equal_the_reference() {
    let networks = [
        // More channels than a kernel's columns or a task's block; stride and padding; overlapping pooling.
        (model((7, 6, 3), &[conv(35, 3, 1, 1).pooled(3, 2), conv(17, 2, 2, 1)], 10), 5),
        // Only linear layers, more rows than a thread takes at a time and more inputs than a task.
        (model((1, 1, 200), &[linear(33), linear(16)], 3), 67),
        // A batch of one, windows with gaps between them, a pooling with gaps.
        (model((9, 8, 1), &[conv(4, 2, 3, 0), conv(3, 2, 1, 1).pooled(2, 3)], 2), 1),
        // Heavily overlapping windows.
        (model((6, 6, 2), &[conv(5, 3, 1, 2).pooled(4, 1), conv(6, 3, 1, 0).pooled(3, 1)], 4), 3),
    ];
    let mut met = Vec::new();
    for (k, (network, n)) in networks.into_iter().enumerate() {
        for (j, spec) in INT8.iter().chain(&INT16).enumerate() {
            let mut model = network.clone();
            model.logits = if j % 2 == 0 { Logits::Exact } else { Logits::Quantized };
            let arithmetic =
                compare(&Case { model, recipe: (*spec).to_owned(), n, seed: (17 * j + k) as u64 });
            met.push(arithmetic);
            let expected = if j < INT8.len() { Arithmetic::Int8 } else { Arithmetic::Int16 };
            assert_eq!(arithmetic, expected, "{spec}");
        }
    }
}

/// Payloads that no rounding of the contract could have made must still give the sums that the contract says.
#[test]
fn extreme_weights_and_images_equal_the_reference() {
    let model = model((5, 5, 4), &[conv(20, 3, 1, 1).pooled(3, 2), linear(9)], 3);
    for spec in INT8.iter().chain(&INT16) {
        let recipe = recipe(spec);
        let plan = Plan::build(&model, &recipe, 2).unwrap();
        let format = recipe.master.base.format;
        for payload in [format.min(), format.max()] {
            let mut parameters = Parameters::initial(&plan, 0);
            let all = parameters.iter_mut().flat_map(|p| std::iter::once(&mut p.weight).chain(&mut p.bias));
            all.for_each(|stored| fill(stored, payload));
            let images = vec![255; 2 * plan.input.shape.len()];
            compare_gradients((&model, &recipe, &plan), &parameters, (&images, &[0, 2]), spec);
        }
    }
}

/// Sums of errors that do not fit the bits in which such sums are mostly kept, behind layers that are not saturated.
#[test]
fn large_sums_of_errors_equal_the_reference() {
    let model = model((5, 5, 4), &[conv(20, 3, 1, 1).pooled(3, 2), linear(9)], 30);
    for spec in ["wage:7-8-8-8", "wage:7-15-16-16"] {
        let recipe = recipe(spec);
        let plan = Plan::build(&model, &recipe, 2).unwrap();
        let mut parameters = Parameters::initial(&plan, 0);
        fill(&mut parameters.last_mut().unwrap().weight, recipe.master.base.format.max());
        let (images, labels) = network::batch(&plan, 2, 5);
        compare_gradients((&model, &recipe, &plan), &parameters, (&images, &labels), spec);
    }
}

fn fill(stored: &mut Stored, payload: i64) {
    (0..stored.len()).for_each(|i| stored.set_payload(i, payload));
}

/// The gradients of one training step on every instruction set.
fn compare_gradients(
    (model, recipe, plan): (&Model, &Recipe, &Plan),
    parameters: &[Parameters],
    (images, labels): (&[u8], &[u16]),
    name: &str,
) {
    let key = StepKey { seed: 3, step: 1 };
    let step = Step { model, recipe, parameters, key: Some(key) };
    let (logits, traces) = step.run(images);
    let expected = step.backward(&logits, &traces, labels);
    for isa in Isa::available() {
        let mut network = network::network(plan, isa, 1);
        network.load(parameters, Some(key));
        network.forward(images, Some(key));
        network.backward(labels, key);
        for (found, (weight, bias)) in network.gradients().zip(&expected) {
            assert_eq!(&integers(found.weight), weight, "{name}, {}", isa.name());
            assert_eq!(&found.bias.map(integers), bias, "{name}, {}", isa.name());
        }
    }
}

fn any_block() -> impl Strategy<Value = BlockShape> {
    let window = proptest::option::weighted(0.75, (1usize..5, 1usize..4, 0usize..4));
    let pool = proptest::option::of((1usize..5, 1usize..4));
    (window, 1usize..9, pool, any::<bool>(), any::<bool>())
        .prop_map(|(conv, out, pool, relu, bias)| BlockShape { conv, out, pool, relu, bias })
}

fn any_case() -> impl Strategy<Value = Case> {
    let input = (1usize..9, 1usize..9, 1usize..5);
    // Two blocks at least, so that the recipes' exceptions find their layers.
    let shapes = (input, prop::collection::vec(any_block(), 2..4), 2usize..6);
    let pixels = prop_oneof![Just(Pixels::Unit255), Just(Pixels::Unit256), Just(Pixels::Symmetric)];
    let recipe = prop::sample::select([&INT8[..], &INT16[..]].concat());
    (shapes, pixels, any::<bool>(), recipe, 1usize..5, any::<u64>()).prop_map(
        |((input, blocks, n_classes), pixels, exact, recipe, n, seed)| {
            let mut model = model(input, &blocks, n_classes);
            model.input.pixels = pixels;
            model.logits = if exact { Logits::Exact } else { Logits::Quantized };
            Case { model, recipe: recipe.to_owned(), n, seed }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_network_equals_the_reference(case in any_case()) {
        compare(&case);
    }
}
