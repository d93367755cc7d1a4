//! The cases between floats: payloads of floats, activations and their backward passes, scales of filters, codebooks.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_kernels::{Isa, activation, norm};
use intrain_nn::Statistics;
use intrain_num::{Format, Quantizer};
use intrain_recipe::lloyd::{self, HalfNormal};

use super::{Differences, study};

/// Whether the scalar crates have the operation; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::FloatQuantize(c) => quantize(c, found),
        Op::FloatActivation(c) => activate(c, Isa::Reference, found),
        Op::Filter(c) => filter(c, found),
        Op::Codebook(c) => codebook(c, found),
        Op::BinaryProduct(c) => binary_product(c, found),
        Op::BatchNorm(c) => batch_norm(c, Isa::Reference, found),
        Op::PolynomialRate(c) => polynomial_rate(c, found),
        _ => return study::run(op, found),
    }
    true
}

/// The same for kernels.
pub(super) fn run_kernels(op: &Op, isa: Isa, found: &mut Differences) -> bool {
    match op {
        Op::FloatActivation(c) => activate(c, isa, found),
        Op::BatchNorm(c) => batch_norm(c, isa, found),
        _ => return false,
    }
    true
}

#[allow(clippy::cast_possible_truncation, reason = "rounding to binary32 is meant")]
fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

/// Floats by their bits, but for the sign of zero, which no value depends on.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if *x == 0.0 { 0 } else { x.to_bits() }).collect()
}

fn quantize(c: &golden::FloatQuantize, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let word = |i: usize| c.words.get(i).copied().unwrap_or(0);
    let inputs = floats(&c.inputs);
    let payloads: Vec<i64> =
        inputs.iter().enumerate().map(|(i, &x)| quantizer.code_of_float(x, word(i))).collect();
    found.same_elements("payloads", &payloads, &c.payloads);
    let values: Vec<f32> = payloads.iter().map(|&payload| quantizer.value_as_float(payload)).collect();
    found.same_elements("values", &bits(&values), &bits(&floats(&c.values)));
}

fn activate(c: &golden::FloatActivation, isa: Isa, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let (inputs, errors) = (floats(&c.inputs), floats(&c.errors));
    if inputs.len() != errors.len() {
        return found.same("number of errors", &errors.len(), &inputs.len());
    }
    let (mut outputs, mut errors_in) = (inputs.clone(), errors);
    activation::forward(isa, &quantizer, &mut outputs);
    activation::back(isa, &quantizer, &inputs, &mut errors_in);
    found.same_elements("outputs", &bits(&outputs), &bits(&floats(&c.outputs)));
    found.same_elements("errors_in", &bits(&errors_in), &bits(&floats(&c.errors_in)));
}

fn filter(c: &golden::Filter, found: &mut Differences) {
    let weights = floats(&c.weights);
    let read = Quantizer::plain(Format::Binary, intrain_num::Round::NearestAway);
    let signs: Vec<i64> = weights.iter().map(|&w| read.code_of_float(w, 0)).collect();
    found.same_elements("signs", &signs, &c.signs);
    found.same_elements(
        "means",
        &bits(&intrain_nn::mean_magnitudes(&weights, c.filters)),
        &bits(&floats(&c.means)),
    );
}

fn binary_product(c: &golden::BinaryProduct, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let Format::Levels(levels) = quantizer.format else {
        return found.same("format", &quantizer.format.to_string(), &"levels".to_owned());
    };
    let weights = floats(&c.weights);
    let read = Quantizer::plain(Format::Binary, intrain_num::Round::NearestAway);
    let mut sums = vec![0; c.filters];
    for (code, weights) in c.codes.iter().zip(weights.chunks_exact(c.filters)) {
        let products = weights.iter().map(|&w| code * read.code_of_float(w, 0));
        sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }
    found.same_elements("sums", &sums, &c.sums);
    let scales = intrain_nn::mean_magnitudes(&weights, c.filters);
    #[allow(clippy::cast_precision_loss, reason = "small sums")]
    let values: Vec<f64> = (sums.iter().zip(scales))
        .map(|(&sum, scale)| sum as f64 * f64::from(levels.value(1)) * f64::from(scale))
        .collect();
    found.same_texts("values", &values, &c.values);
}

fn batch_norm(c: &golden::BatchNorm, isa: Isa, found: &mut Differences) {
    let x = floats(&c.inputs);
    let mut sums = vec![0.0; 2 * c.channels];
    norm::add_moments(isa, &x, &mut sums);
    let (sums, squares) = sums.split_at(c.channels);
    let of = |(&sum, &square)| Statistics::new(sum, square, x.len() / c.channels);
    let all: Vec<Statistics> = sums.iter().zip(squares).map(of).collect();
    let gains: Vec<f32> = all.iter().map(|s| s.inverse).collect();
    let offsets: Vec<f32> = all.iter().map(|s| -s.mean * s.inverse).collect();
    let mut y = vec![0.0; x.len()];
    norm::apply(isa, &x, [&gains, &offsets], &mut y);
    let doubles = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).collect::<Vec<f64>>();
    found.same_texts("means", &doubles(&mut all.iter().map(|s| s.mean)), &c.means);
    found.same_texts("variances", &doubles(&mut all.iter().map(|s| s.variance)), &c.variances);
    found.same_texts("outputs", &doubles(&mut y.into_iter()), &c.outputs);
}

fn polynomial_rate(c: &golden::PolynomialRate, found: &mut Differences) {
    let rate =
        |&step| c.rate * intrain_train::config::polynomial(c.power, step, c.per_epoch * u64::from(c.epochs));
    found.same_elements("rates", &c.steps.iter().map(rate).collect::<Vec<f64>>(), &c.rates);
}

fn codebook(c: &golden::Codebook, found: &mut Differences) {
    for (i, expected) in c.levels.iter().enumerate() {
        let n = i + 1;
        let levels = match c.kind.as_str() {
            "uniform" => lloyd::uniform(&HalfNormal, n),
            "free" => lloyd::free(&HalfNormal, n),
            kind => return found.same("kind", &kind, &"uniform or free"),
        };
        let texts: Vec<String> = levels.iter().map(|level| format!("{level:.4}")).collect();
        found.same_elements(&format!("levels of {n}"), &texts, expected);
    }
}
