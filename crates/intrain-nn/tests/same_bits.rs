//! The same bits for any number of threads and with every kernel: outcomes and gradients of a whole step.
//!
//! Networks are large enough that the work is cut differently for each number of threads.

mod network;

use intrain_kernels::Isa;
use intrain_model::{Logits, Model, Pixels};
use intrain_nn::{Gradient, Outcome, Plan, StepKey, Stored};
use network::{batch, conv, integer_residual, linear, model, network, parameters, recipe, residual};

/// All that a step gives, floats as their bits.
#[derive(PartialEq)]
struct Bits {
    outcomes: Vec<(u64, usize)>,
    gradients: Vec<Vec<i64>>,
}

fn bits(gradient: &Gradient) -> Vec<i64> {
    match gradient {
        Gradient::F32(g) => g.iter().map(|x| x.to_bits().into()).collect(),
        integer => network::integers(integer),
    }
}

fn stored_bits(stored: &Stored) -> Vec<i64> {
    match stored {
        Stored::F32(x) => x.iter().map(|x| x.to_bits().into()).collect(),
        integers => (0..integers.len()).map(|i| integers.code(i)).collect(),
    }
}

fn step(plan: &Plan, isa: Isa, threads: usize) -> Bits {
    let parameters = parameters(plan, 11);
    let (images, labels) = batch(plan, plan.batch_size, 11);
    let mut network = network(plan, isa, threads);
    let outcome = |outcome: Outcome| (outcome.loss.to_bits(), outcome.n_wrong);
    let mut outcomes = Vec::new();
    let mut gradients = Vec::new();
    // Twice, so that buffers of the step before are met; then an evaluation of fewer images.
    for step in 0..2 {
        let key = StepKey { seed: 11, step };
        network.load(&parameters, Some(key));
        network.forward(&images, Some(key));
        outcomes.push(outcome(network.outcome(&labels)));
        network.backward(&labels, key);
        for gradient in network.gradients() {
            gradients.push(bits(gradient.weight));
            gradients.extend(gradient.bias.map(bits));
            if let Some(moments) = gradient.moments {
                gradients.extend([&moments.mean, &moments.spread].map(stored_bits));
            }
            gradients.extend(gradient.exponents.map(|all| all.map(i64::from).to_vec()));
        }
    }
    let n = plan.batch_size / 3;
    network.load(&parameters, None);
    network.forward(&images[..n * plan.input.shape.len()], None);
    outcomes.push(outcome(network.outcome(&labels[..n])));
    Bits { outcomes, gradients }
}

fn networks() -> [(Model, usize); 2] {
    let mut convolutions = model((9, 9, 3), &[conv(40, 3, 1, 1).pooled(3, 2), conv(24, 3, 2, 1)], 10);
    convolutions.logits = Logits::Quantized;
    [(convolutions, 37), (model((1, 1, 250), &[linear(50), linear(33)], 10), 100)]
}

#[test]
fn integer_steps_are_the_same_with_any_threads_and_kernels() {
    for (model, batch_size) in networks() {
        for spec in [
            "wage",
            "wage:2-8-12-12",
            "gupta",
            "gupta:nearest",
            "gupta:array",
            "gupta:Q2.6:Q4.4:Q2.6:stochastic",
        ] {
            let plan = Plan::build(&model, &recipe(spec), batch_size).unwrap();
            assert_same(&plan, spec);
        }
    }
}

/// Images of which every pixel is cut to 0: products of nothing, which must still be products.
#[test]
fn black_images_make_a_step() {
    let (mut model, batch_size) = networks()[0].clone();
    model.input.pixels = Pixels::Unit256;
    let plan = Plan::build(&model, &recipe("wage | input = int<8> floor saturate"), batch_size).unwrap();
    assert_eq!(plan.blocks[0].input_operand.max_abs(), 0);
    let expected = step(&plan, Isa::Reference, 1);
    for isa in Isa::available() {
        assert!(step(&plan, isa, 2) == expected, "{}", isa.name());
    }
}

/// Weights and activations in few bits between floats, residual sums and norms.
#[test]
fn graphs_are_the_same_with_any_threads_and_kernels() {
    for spec in ["float32", "li-r", "li-sr", "li-bc:0.1", "hwgq", "hwgq:2n:log-tailed", "hwgq:sign"] {
        let plan = Plan::build(&residual(), &recipe(spec), 300).unwrap();
        assert_same(&plan, spec);
    }
}

/// Codes of 2 bits by signs, in a convolution of several groups of columns and in a linear layer whose batch ends with fewer rows.
#[test]
fn codes_by_signs_are_the_same_with_any_threads_and_kernels() {
    let blocks = [conv(32, 3, 1, 1), conv(160, 3, 1, 1).pooled(3, 2), linear(48)];
    for spec in ["hwgq", "hwgq:2", "hwgq:4"] {
        assert_same(&Plan::build(&model((6, 5, 3), &blocks, 10), &recipe(spec), 37).unwrap(), spec);
    }
}

/// Depthwise convolutions in floats and both widths of integers.
#[test]
fn depthwise_networks_are_the_same_with_any_threads_and_kernels() {
    let model = intrain_model::preset("ds-cnn").unwrap();
    for spec in ["float32", "intrain-int8", "gupta"] {
        let plan = Plan::build(&model, &recipe(spec), 21).unwrap();
        assert_same(&plan, spec);
    }
}

/// Small floats: blocks, scales of tensors, random words and the transform, with norms, residual sums and depthwise convolutions.
#[test]
fn small_floats_are_the_same_with_any_threads_and_kernels() {
    let others = "mxfp8 | activation = mxfp8@rceil/16x16 sr-a<8> | gradient = bfloat16 sr-a<8>";
    for spec in ["bf16", "mxfp4", "nvfp4", others] {
        assert_same(&Plan::build(&residual(), &recipe(spec), 70).unwrap(), spec);
    }
    assert_same(
        &Plan::build(&intrain_model::preset("ds-cnn").unwrap(), &recipe("nvfp4"), 9).unwrap(),
        "nvfp4",
    );
    for ((model, batch_size), spec) in networks().into_iter().zip(["fp8", "nvfp4"]) {
        assert_same(&Plan::build(&model, &recipe(spec), batch_size).unwrap(), spec);
    }
}

/// Norms, residual sums and softmax in integers, in both widths.
#[test]
fn graphs_of_integers_are_the_same_with_any_threads_and_kernels() {
    for spec in [
        "intrain-int8",
        "wage-l1bn",
        "wage-rangebn",
        "intrain-int8 | loss = softmax-base-2 | error.norm = unit<12>@dynamic stochastic | error.loss = unit<12>@dynamic stochastic",
    ] {
        let plan = Plan::build(&integer_residual(), &recipe(spec), 300).unwrap();
        assert!(plan.float_operations().is_empty(), "{spec}");
        assert_same(&plan, spec);
    }
}

#[test]
fn float_steps_are_the_same_with_any_threads_and_kernels() {
    for (model, batch_size) in networks() {
        assert_same(&Plan::build(&model, &recipe("float32"), batch_size).unwrap(), "float32");
    }
}

fn assert_same(plan: &Plan, spec: &str) {
    let expected = step(plan, Isa::Reference, 1);
    assert!(expected.gradients.iter().any(|g| g.iter().any(|x| *x != 0)), "{spec}: nothing learned");
    for isa in Isa::available() {
        for threads in 1..=3 {
            let same = step(plan, isa, threads) == expected;
            assert!(same, "{spec}: {threads} threads with {} differ from the reference", isa.name());
        }
    }
}
