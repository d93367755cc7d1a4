//! Networks on the simulated array against the engine of `intrain-nn`: the same recipe, equal gradients, step after step.

use std::sync::Arc;

use intrain_accel::{ArrayMachine, Machine, Rounding, account, check, drops};
use intrain_kernels::Isa;
use intrain_model::Model;
use intrain_nn::{Context, Gradient, Network, Parameters, Plan, StepKey};
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Quantizer, Round};
use intrain_recipe::{Recipe, preset};

const CONVOLUTIONS: &str = r#"
    name = "convolutions"
    input = { h = 9, w = 8, c = 2, pixels = "x/255" }
    layer = [
        { name = "conv1", kind = "conv", out = 6, kernel = 3, pad = 1, bias = true },
        { name = "relu1", kind = "relu" },
        { name = "pool1", kind = "max-pool", size = 3, stride = 2 },
        { name = "conv2", kind = "conv", out = 7, kernel = 2, stride = 2, pad = 1 },
        { name = "relu2", kind = "relu" },
        { name = "flatten", kind = "flatten" },
        { name = "fc1", kind = "linear", out = 11, bias = true },
        { name = "relu3", kind = "relu" },
        { name = "fc2", kind = "linear", out = 4, bias = true },
    ]
"#;

const RESIDUAL: &str = r#"
    name = "residual"
    input = { h = 8, w = 6, c = 3, pixels = "x/255" }
    layer = [
        { name = "conv1", kind = "conv", out = 6, kernel = 3, pad = 1 },
        { name = "norm1", kind = "batch-norm" },
        { name = "relu1", kind = "relu" },
        { name = "conv2", kind = "conv", out = 8, kernel = 3, stride = 2, pad = 1 },
        { name = "norm2", kind = "batch-norm" },
        { name = "around", kind = "shortcut", out = 8, stride = 2, from = ["relu1"] },
        { name = "sum", kind = "add", from = ["norm2", "around"] },
        { name = "relu2", kind = "relu" },
        { name = "conv3", kind = "conv", out = 8, kernel = 1 },
        { name = "norm3", kind = "layer-norm" },
        { name = "sum2", kind = "add", from = ["norm3", "relu2"] },
        { name = "relu3", kind = "relu" },
        { name = "largest", kind = "max-pool", size = 2, stride = 2, from = ["relu3"] },
        { name = "mean", kind = "avg-pool", size = 2, stride = 2, from = ["relu3"] },
        { name = "all", kind = "concat", from = ["largest", "mean"] },
        { name = "means", kind = "global-avg-pool" },
        { name = "fc", kind = "linear", out = 4, bias = true },
    ]
"#;

/// Norms, sums and means are the host's: what the array rounds has absolute formats there too.
#[test]
fn residual_networks_run_on_the_array() {
    let model = Model::from_toml(RESIDUAL).unwrap();
    let machine = Machine::default();
    for (batch_size, seed) in [(5, 1), (1, 2)] {
        let plan = Plan::build(&model, &recipe("gupta:array", None), batch_size).unwrap();
        check(&machine, &plan).unwrap_or_else(|e| panic!("{e}"));
        let array = Arc::new(ArrayMachine::new(&machine).unwrap());
        let key = StepKey { seed, step: 3 * seed };
        let (found, expected) = (step(&plan, Some(&array), key), step(&plan, None, key));
        assert_eq!(found, expected);
        assert_eq!(array.tally(), account::of_step(&machine, &plan));
    }
    // What '@shift' leaves has the unit of its row.
    let mut shifted = recipe("gupta:array", None);
    shifted.error_at_loss.base = "fixed<2,14>@shift nearest-even".parse().unwrap();
    check(&machine, &Plan::build(&model, &shifted, 4).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    // A product whose error is a sum of errors, as it arrives.
    let norm = r#"{ name = "norm3", kind = "layer-norm" },"#;
    let text = RESIDUAL.replace(norm, "").replace("norm3", "conv3");
    let model = Model::from_toml(&text).unwrap();
    let mut exact = recipe("gupta:array", None);
    let message = check(&machine, &Plan::build(&model, &exact, 4).unwrap()).unwrap_err().to_string();
    assert!(message.contains("'conv3'") && message.contains("'error.activation'"), "{message}");
    exact.error_at_activation.base = "fixed<2,14> nearest-down".parse().unwrap();
    let plan = Plan::build(&model, &exact, 4).unwrap();
    check(&machine, &plan).unwrap_or_else(|e| panic!("{e}"));
    let array = Arc::new(ArrayMachine::new(&machine).unwrap());
    let key = StepKey { seed: 3, step: 1 };
    assert_eq!(step(&plan, Some(&array), key), step(&plan, None, key));
}

fn integers(gradient: &Gradient) -> Vec<i64> {
    assert!(!matches!(gradient, Gradient::F32(_)), "a float gradient in an integer network");
    (0..gradient.len()).map(|i| gradient.integer(i)).collect()
}

/// Outcomes and gradients of a step and an evaluation.
fn step(plan: &Plan, machine: Option<&Arc<ArrayMachine>>, key: StepKey) -> (Vec<String>, Vec<Vec<i64>>) {
    let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
    let machine = machine.map(|machine| Arc::clone(machine) as Arc<dyn intrain_nn::Machine>);
    let mut network = Network::new(plan.clone(), Context { isa: Isa::best(), threads, machine });
    let mut parameters = Parameters::initial(plan, key.seed);
    for p in &mut parameters {
        let bias = p.bias.as_mut().into_iter();
        bias.for_each(|bias| (0..bias.len()).zip(0..).for_each(|(i, k)| bias.set_code(i, 37 * k - 90)));
    }
    let stream = Stream::new(key.seed, Purpose::Tool, 0, 0);
    let images: Vec<u8> = (0..plan.batch_size * plan.input.shape.len())
        .map(|i| stream.word(i as u64).to_le_bytes()[0])
        .collect();
    let labels: Vec<u16> = (0..4).cycle().take(plan.batch_size).collect();
    let mut outcomes = vec![];
    for key in [None, Some(key)] {
        network.load(&parameters, key);
        network.forward(&images, key);
        outcomes.push(format!("{:?}", network.outcome(&labels)));
    }
    network.backward(&labels, key);
    let gradients = network
        .gradients()
        .flat_map(|g| std::iter::once(integers(g.weight)).chain(g.bias.map(integers)))
        .collect();
    (outcomes, gradients)
}

fn recipe(spec: &str, random: Option<&str>) -> Recipe {
    let mut recipe = preset(spec).unwrap();
    recipe.random = random.map_or(recipe.random, |text| text.parse().unwrap());
    recipe
}

#[test]
fn steps_on_the_array_equal_those_on_the_cpu() {
    let model = Model::from_toml(CONVOLUTIONS).unwrap();
    for (spec, random, machine) in [
        ("gupta:array", None, Machine::default()),
        ("gupta:nearest", None, Machine { rounding: Rounding::Nearest, ..Machine::default() }),
        ("gupta:array", Some("array<5,2> lfsr<16,0x2d>"), Machine { n: 5, panel: 2, ..Machine::default() }),
        (
            "gupta:Q2.6:Q4.4:Q2.6:array",
            Some("array<3,1> lfsr<16,0x2d>"),
            Machine { n: 3, panel: 1, word: 8, accumulator: 40, drop: vec![6], ..Machine::default() },
        ),
        ("gupta:array", None, Machine { random_bits: Some(3), ..Machine::default() }),
    ] {
        let mut recipe = recipe(spec, random);
        if let Some(bits) = machine.random_bits {
            for row in [&mut recipe.activation_at_product, &mut recipe.error_at_product] {
                *row = Quantizer { round: Round::Stochastic { bits }, ..row.base }.into();
            }
        }
        for (batch_size, seed) in [(13, 1), (1, 2)] {
            let plan = Plan::build(&model, &recipe, batch_size).unwrap();
            assert_eq!(drops(&plan), machine.drop[..1], "{spec}");
            check(&machine, &plan).unwrap_or_else(|e| panic!("{spec}: {e}"));
            let array = Arc::new(ArrayMachine::new(&machine).unwrap());
            let key = StepKey { seed, step: 3 * seed };
            let (found, expected) = (step(&plan, Some(&array), key), step(&plan, None, key));
            assert_eq!(found.0, expected.0, "{spec}");
            assert_eq!(found.1, expected.1, "{spec}");
            assert_eq!(array.tally(), account::of_step(&machine, &plan), "{spec}");
        }
    }
}

#[test]
fn networks_that_do_not_fit_are_refused() {
    let model = Model::from_toml(CONVOLUTIONS).unwrap();
    let paper = Machine::default;
    for (spec, random, machine, part) in [
        ("wage", None, paper(), "make it exact"),
        ("gupta", None, paper(), "no register gives"),
        ("gupta:nearest", None, paper(), "the machine's rounding another"),
        ("gupta:array", None, Machine { n: 8, ..paper() }, "is not this machine's"),
        ("gupta:array", None, Machine { drop: vec![12], ..paper() }, "14 bits dropped"),
        (
            "gupta:array",
            None,
            Machine { random_bits: Some(5), ..paper() },
            "write stochastic<5> in the recipe",
        ),
        ("gupta:array", None, Machine { word: 12, ..paper() }, "words of 12 bits"),
        ("gupta:Q2.6:Q4.4:Q2.6:array", None, Machine { drop: vec![6], ..paper() }, "words of 16 bits"),
        (
            "gupta:Q4.12:Q1.15:array",
            None,
            Machine { drop: vec![12], ..paper() },
            "its bias would be multiplied by 2^15",
        ),
        (
            "gupta:nearest",
            None,
            Machine { rounding: Rounding::Nearest, drop: vec![3], ..paper() },
            "drop = [3]",
        ),
    ] {
        let plan = Plan::build(&model, &recipe(spec, random), 4).unwrap();
        let message = check(&machine, &plan).unwrap_err().to_string();
        assert!(message.contains(part), "{spec}: '{message}' lacks '{part}'");
    }
}
