//! Chains of products, with poolings and ReLUs between them: section 7.3 of the contract.

use intrain_model::{Logits, Pixels};
use intrain_nn::{Arithmetic, Parameters, Stored};
use proptest::prelude::*;

use super::Case;
use super::network::{self, BlockShape, conv, linear, model, recipe};

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
    for (k, (network, n)) in networks.into_iter().enumerate() {
        for (j, spec) in INT8.iter().chain(&INT16).enumerate() {
            let mut model = network.clone();
            model.logits = if j % 2 == 0 { Logits::Exact } else { Logits::Quantized };
            let case = Case { model, recipe: (*spec).to_owned(), n, seed: (17 * j + k) as u64 };
            let arithmetic = case.compare(false).arithmetic;
            let expected = if j < INT8.len() { Arithmetic::Int8 } else { Arithmetic::Int16 };
            assert_eq!(arithmetic, expected, "{spec}");
        }
    }
}

/// Layers of 8 and of 16 bits in one network: each computes in the narrowest arithmetic that holds it.
#[test]
fn layers_of_both_widths_equal_the_reference() {
    use Arithmetic::{Int8, Int16};
    let networks = [
        model((7, 6, 3), &[conv(9, 3, 1, 1).pooled(3, 2), conv(7, 2, 2, 1)], 10),
        model((1, 1, 50), &[linear(33), linear(16)], 3),
    ];
    for (spec, expected) in [
        ("wage | last:error.loss = unit<12>@shift nearest-even saturate", [Int8, Int8, Int16]),
        ("wage | block0:activation = unit<12> nearest-even saturate clipped", [Int8, Int16, Int8]),
        ("wage | block1:error.activation = unit<12>@shift nearest-even saturate", [Int8, Int16, Int8]),
        ("wage | block0:error.activation = unit<12>@shift floor saturate", [Int16, Int8, Int8]),
    ] {
        for (k, network) in networks.iter().enumerate() {
            for (n, seed) in [(5, 3), (2, 40), (33, 71)] {
                let seed = seed + k as u64;
                let case = Case { model: network.clone(), recipe: spec.to_owned(), n, seed };
                let plan = case.compare(false);
                let found: Vec<_> = plan.blocks.iter().map(|block| block.arithmetic).collect();
                assert_eq!(found, expected, "{spec}");
                assert_eq!(plan.arithmetic, Int16, "{spec}");
            }
        }
    }
}

/// Codes that no rounding of the contract could have made must still give the sums that the contract says.
#[test]
fn extreme_weights_and_images_equal_the_reference() {
    let model = model((5, 5, 4), &[conv(20, 3, 1, 1).pooled(3, 2), linear(9)], 3);
    for spec in INT8.iter().chain(&INT16) {
        let case = Case { model: model.clone(), recipe: (*spec).to_owned(), n: 2, seed: 0 };
        let (plan, format) = (case.plan(), recipe(spec).master.base.format);
        for code in [format.min(), format.max()] {
            let mut parameters = Parameters::initial(&plan, 0);
            let all = parameters.iter_mut().flat_map(|p| std::iter::once(&mut p.weight).chain(&mut p.bias));
            all.for_each(|stored| fill(stored, code));
            let images = vec![255; 2 * plan.input.shape.len()];
            case.compare_all(&parameters, (&images, &[0, 2]));
        }
    }
}

/// Sums of errors that do not fit the bits in which such sums are mostly kept, behind layers that are not saturated.
#[test]
fn large_sums_of_errors_equal_the_reference() {
    let model = model((5, 5, 4), &[conv(20, 3, 1, 1).pooled(3, 2), linear(9)], 30);
    for spec in ["wage:7-8-8-8", "wage:7-15-16-16"] {
        let case = Case { model: model.clone(), recipe: spec.to_owned(), n: 2, seed: 5 };
        let plan = case.plan();
        let mut parameters = Parameters::initial(&plan, 0);
        fill(&mut parameters.last_mut().unwrap().weight, recipe(spec).master.base.format.max());
        let (images, labels) = network::batch(&plan, 2, 5);
        case.compare_all(&parameters, (&images, &labels));
    }
}

fn fill(stored: &mut Stored, code: i64) {
    (0..stored.len()).for_each(|i| stored.set_code(i, code));
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
        case.compare(false);
    }
}
