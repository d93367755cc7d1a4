//! One training step against the contract's section 8, and its borders: one image, no gradient, a dead network.
//!
//! The update below is written from the text, in 128 bits and with `intrain-num` alone; gradients come from a network
//! of its own, whose proof is `intrain-nn/tests/reference_step`.
#![allow(clippy::cast_precision_loss, reason = "a batch's size is small")]

use std::sync::Arc;

use intrain_data::{Batch, Dataset, Part, evaluation};
use intrain_golden::Op;
use intrain_kernels::Isa;
use intrain_model::Model;
use intrain_nn::{BlockPlan, Context, Gradient, Network, Outcome, Parameters, Plan, StepKey, Stored};
use intrain_num::random::{Purpose, Stream};
use intrain_num::scale::round_log2;
use intrain_num::{Overflow, Scale};
use intrain_recipe::preset;
use intrain_train::Trainer;
use intrain_train::rate::Rate;
use intrain_train::update::{Hyper, Method, Optimizer};

/// Overlapping pooling, stride, padding, biases where the recipe has them.
const MODEL: &str = r#"
name = "small"
input = { h = 8, w = 8, c = 1, pixels = "x/256" }
layer = [
    { name = "conv1", kind = "conv", out = 5, kernel = 3, pad = 1, bias = true },
    { name = "pool1", kind = "max-pool", size = 3, stride = 2 },
    { name = "relu1", kind = "relu" },
    { name = "conv2", kind = "conv", out = 7, kernel = 2, stride = 1, pad = 1, bias = true },
    { name = "relu2", kind = "relu" },
    { name = "flatten1", kind = "flatten" },
    { name = "fc1", kind = "linear", out = 10, bias = true },
]
"#;

const NO_TERMS: Hyper = Hyper { method: Method::Sgd, momentum: 0.0, weight_decay: 0.0 };

fn digits() -> Dataset {
    intrain_data::digits::load().unwrap()
}

fn plan(spec: &str, batch_size: usize) -> Plan {
    Plan::build(&Model::from_toml(MODEL).unwrap(), &preset(spec).unwrap(), batch_size).unwrap()
}

fn context() -> Context {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    Context { isa: Isa::best(), threads: Arc::new(threads), machine: None }
}

fn batch(digits: &Dataset, from: usize, n: usize) -> Batch {
    let len = digits.shape.n_values();
    let images = digits.train.images[from * len..(from + n) * len].to_vec();
    Batch { images, labels: digits.train.labels[from..from + n].to_vec(), ..Batch::default() }
}

fn integers(gradient: &Gradient) -> Vec<i64> {
    assert!(!matches!(gradient, Gradient::F32(_)), "a float gradient in an integer network");
    (0..gradient.len()).map(|i| gradient.integer(i)).collect()
}

fn codes(stored: &Stored) -> Vec<i64> {
    (0..stored.len()).map(|i| stored.code(i)).collect()
}

/// Sections 8.2 and 8.3 for the weights (`first` = 0) or biases (`first` = number of weights) of a block.
struct Update<'a> {
    block: &'a BlockPlan,
    hyper: Hyper,
    rate: f64,
    batch_size: usize,
    key: StepKey,
}

impl Update<'_> {
    /// The parameters and momentum after the step.
    fn run(&self, g: &[i64], digits: i32, w: &[i64], v: &[i64], first: u64) -> (Vec<i64>, Vec<i64>) {
        let (block, hyper) = (self.block, self.hyper);
        let relative = block.gradient.scale == Scale::Shift;
        let is_quantized = block.gradient.format.is_quantized();
        // In front of a momentum a gradient is rounded on its own.
        let is_rounded = is_quantized && (hyper.momentum > 0.0 || hyper.weight_decay > 0.0);
        let rounded = if is_rounded { self.rounded(g, first) } else { g.to_vec() };
        let (g, digits) = (&rounded[..], if is_rounded { block.gradient.format.frac_bits() } else { digits });
        let (row, purpose) = match (is_quantized && !is_rounded, hyper.momentum > 0.0) {
            (true, _) => (block.gradient, Purpose::Gradient),
            (false, true) => (block.momentum, Purpose::Momentum),
            (false, false) => (block.update, Purpose::Update),
        };
        let stream = Stream::new(self.key.seed, purpose, block.index, self.key.step);
        let master = block.weight.master;
        let step = master.format.frac_bits() + block.weight.fan_shift;
        // What one unit of each term is worth, as a power of two: relative gradients count steps of the weight.
        let (rho, unit) = if row.scale == Scale::Shift {
            let largest = g.iter().map(|g| g.unsigned_abs()).max().unwrap_or(0);
            (Rate::new(self.rate), -step - round_log2(largest).unwrap_or(0))
        } else {
            let batch_size = if relative { 1.0 } else { self.batch_size as f64 };
            (Rate::new(self.rate / batch_size), -digits)
        };
        let (mu, lambda) = (Rate::new(hyper.momentum), Rate::new(self.rate * hyper.weight_decay));
        let lowest = (unit + rho.exponent).min(mu.exponent - step).min(lambda.exponent - step);
        let term = |rate: Rate, x: i64, unit: i32| {
            (i128::from(rate.mantissa) * i128::from(x)) << (unit + rate.exponent - lowest)
        };
        let mut after = (Vec::new(), Vec::new());
        for i in 0..w.len() {
            let sum = term(rho, g[i], unit) + term(mu, v[i], -step) + term(lambda, w[i], -step);
            let word = stream.word(first + i as u64);
            let mut u = row.round.shift_right_wide(sum, -step - lowest, word);
            if row.scale != Scale::Shift {
                u = u.clamp(row.format.min(), row.format.max());
            }
            let held = match master.overflow {
                Overflow::ClipBefore { limit } => w[i].clamp(-limit, limit),
                _ => w[i],
            };
            after.0.push((held - u).clamp(master.format.min(), master.format.max()));
            after.1.push(u);
        }
        after
    }
}

impl Update<'_> {
    /// A relative gradient as codes of its row.
    fn rounded(&self, g: &[i64], first: u64) -> Vec<i64> {
        let (row, block) = (self.block.gradient, self.block);
        let n = round_log2(g.iter().map(|g| g.unsigned_abs()).max().unwrap_or(0)).unwrap_or(0);
        let stream = Stream::new(self.key.seed, Purpose::Gradient, block.index, self.key.step);
        let code = |(i, g): (u64, &i64)| {
            let rounded = row.round.shift_right(*g, n - row.format.frac_bits(), stream.word(i));
            rounded.clamp(row.format.min(), row.format.max())
        };
        (first..).zip(g).map(code).collect()
    }
}

fn momentum_of(optimizer: &Optimizer, block: usize, part: usize, n: usize) -> Vec<i64> {
    optimizer.moments()[0].1[block][part].as_ref().map_or_else(|| vec![0; n], codes)
}

fn compare(spec: &str, hyper: Hyper, rate: f64) {
    let digits = digits();
    let (batch_size, seed) = (9, 77);
    let plan = plan(spec, batch_size);
    let mut trainer = Trainer::new(plan.clone(), hyper, seed, context()).unwrap();
    let mut network = Network::new(plan.clone(), context());
    for step in 0..4 {
        let batch = batch(&digits, 20 * step, batch_size);
        let key = StepKey { seed, step: step as u64 };
        let before = trainer.parameters().to_vec();
        let optimizer = trainer.optimizer().clone();
        network.load(&before, Some(key));
        network.forward(&batch.images, Some(key));
        network.backward(&batch.labels, key);
        let expected_outcome = network.outcome(&batch.labels);
        let (outcome, stats) = trainer.step(&batch, rate);
        assert_eq!(outcome, expected_outcome);
        let n_parameters: usize =
            before.iter().map(|p| p.weight.len() + p.bias.as_ref().map_or(0, Stored::len)).sum();
        assert_eq!(stats.n, n_parameters as u64);
        for (i, (block, gradient)) in plan.blocks.iter().zip(network.gradients()).enumerate() {
            let update = Update { block, hyper, rate, batch_size, key };
            let mut parts =
                vec![(0, gradient.weight, &before[i].weight, Some(&trainer.parameters()[i].weight))];
            if let (Some(gradient), Some(bias)) = (gradient.bias, &before[i].bias) {
                parts.push((1, gradient, bias, trainer.parameters()[i].bias.as_ref()));
            }
            let gradient_exponents = gradient.exponents;
            for (part, gradient, stored, found) in parts {
                let unit =
                    block.error_operand.frac_bits + if part == 0 { block.input_operand.frac_bits } else { 0 };
                let unit = gradient_exponents.map_or(unit, |all: [i32; 2]| -all[part]);
                let first = if part == 0 { 0 } else { before[i].weight.len() as u64 };
                let v = momentum_of(&optimizer, i, part, stored.len());
                let (w, v) = update.run(&integers(gradient), unit, &codes(stored), &v, first);
                assert_eq!(found.map(codes), Some(w), "{spec}: {}, part {part}, step {step}", block.name);
                if hyper.momentum > 0.0 {
                    assert_eq!(
                        momentum_of(trainer.optimizer(), i, part, stored.len()),
                        v,
                        "{spec}: {}",
                        block.name
                    );
                }
            }
        }
    }
}

#[test]
fn updates_equal_the_contract() {
    for (spec, rate) in [("wage", 8.0), ("wage:3-6-8-4", 0.125), ("wage:2-8-12-12", 64.0)] {
        compare(spec, NO_TERMS, rate);
    }
    for spec in ["gupta", "gupta:nearest", "gupta:Q4.16:stochastic", "gupta:Q2.6:Q4.4:Q2.6:stochastic"] {
        for (momentum, weight_decay) in [(0.0, 0.0), (0.9, 0.0), (0.0, 5e-4), (0.9, 0.01)] {
            compare(spec, Hyper { method: Method::Sgd, momentum, weight_decay }, 0.5);
        }
    }
    // Errors that keep their power of two, weights whose unit follows their fan-in, relative gradients in a momentum.
    for (momentum, weight_decay) in [(0.9, 0.0), (0.9, 0.01)] {
        compare("intrain-int8", Hyper { method: Method::Sgd, momentum, weight_decay }, 0.5);
        compare("wageubn", Hyper { method: Method::Sgd, momentum, weight_decay }, 0.001);
    }
    compare("niti", NO_TERMS, 16.0);
}

#[test]
fn rates_are_those_of_the_golden_suite() {
    let mut n_rates = 0;
    for (_, case) in intrain_golden::load().unwrap() {
        let Op::LearningRate(rates) = &case.op else { continue };
        for (rate, (mantissa, exponent)) in
            rates.rates.iter().zip(rates.mantissas.iter().zip(&rates.exponents))
        {
            let expected = Rate { mantissa: *mantissa, exponent: *exponent };
            assert_eq!(Rate::new(*rate), expected, "{}: {rate}", case.name);
            n_rates += 1;
        }
    }
    assert!(n_rates > 0);
}

/// Every code of a network's parameters, block by block.
fn all(parameters: &[Parameters]) -> Vec<[Vec<i64>; 2]> {
    let part = |stored: Option<&Stored>| stored.map(codes).unwrap_or_default();
    parameters.iter().map(|p| [part(Some(&p.weight)), part(p.bias.as_ref())]).collect()
}

/// Black images: no activation, so no gradient but the biases'.
#[test]
fn a_dead_network_keeps_its_weights() {
    for spec in ["wage", "wage:2-8-12-12", "gupta", "gupta:nearest"] {
        let plan = plan(spec, 4);
        let mut trainer = Trainer::new(plan.clone(), NO_TERMS, 3, context()).unwrap();
        for (block, p) in plan.blocks.iter().zip(trainer.restore().0) {
            // From end to end of the stored format, so that `clip-before` has something to hold.
            let (min, max) = (block.weight.master.format.min(), block.weight.master.format.max());
            for (i, spread) in (0..p.weight.len()).zip((0..).step_by(7919)) {
                p.weight.set_code(i, min + spread % (max - min + 1));
            }
        }
        let before = all(trainer.parameters());
        let batch = Batch { images: vec![0; 4 * 64], labels: vec![0, 3, 3, 9], ..Batch::default() };
        let (outcome, stats) = trainer.step(&batch, 8.0);
        assert_eq!((outcome.n, outcome.n_wrong), (4, 3), "{spec}");
        assert_eq!(stats.n_dead, 0, "{spec}: gradients of 0 are no dead updates");
        for ((block, before), after) in plan.blocks.iter().zip(before).zip(all(trainer.parameters())) {
            let limit = match block.weight.master.overflow {
                Overflow::ClipBefore { limit } => limit,
                _ => i64::MAX,
            };
            let expected: Vec<i64> = before[0].iter().map(|w| (*w).clamp(-limit, limit)).collect();
            assert_eq!(after[0], expected, "{spec}: {}", block.name);
            if block.name != "fc1" {
                assert_eq!(after[1], before[1], "{spec}: biases of {}", block.name);
            }
        }
    }
}

#[test]
fn single_images_are_learned_from() {
    let digits = digits();
    for (spec, rate) in
        [("wage:8-8-16-16", 256.0), ("gupta", 0.05), ("float32", 0.05), ("intrain-int8", 0.05)]
    {
        let mut trainer = Trainer::new(plan(spec, 1), NO_TERMS, 1, context()).unwrap();
        // The same three images again and again are soon known by heart.
        let mut last = Outcome::default();
        for step in 0..240 {
            let (outcome, _) = trainer.step(&batch(&digits, step % 3, 1), rate);
            last = if step % 3 == 0 { outcome } else { last.and(outcome) };
        }
        assert_eq!((last.n, last.n_wrong), (3, 0), "{spec}: loss {}", last.loss);
        assert_eq!(trainer.steps(), 240);
    }
}

/// 359 test images: the last batch is shorter than the others, and how they are cut changes no answer.
#[test]
fn the_last_part_of_an_evaluation_counts() {
    let digits = digits();
    for spec in ["wage", "gupta", "float32", "intrain-int8"] {
        let mut trainer = Trainer::new(plan(spec, 8), NO_TERMS, 1, context()).unwrap();
        let mut outcome = |n| trainer.evaluate(evaluation(&digits, Part::Test, n).unwrap());
        let expected = outcome(359);
        assert_eq!(expected.n, 359);
        for n in [1, 7, 33, 250, 358, 1000] {
            let found = outcome(n);
            assert_eq!((found.n, found.n_wrong), (359, expected.n_wrong), "{spec} in batches of {n}");
            assert!((found.loss - expected.loss).abs() <= 1e-9 * expected.loss, "{spec} in batches of {n}");
        }
    }
}
