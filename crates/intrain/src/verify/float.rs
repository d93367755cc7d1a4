//! The cases between floats: payloads of floats, activations and their ways back, scales of filters, codebooks.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_kernels::{Isa, activation};
use intrain_num::Quantizer;
use intrain_recipe::lloyd::{self, HalfNormal};

use super::Differences;

/// Whether the scalar crates have the operation; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::FloatQuantize(c) => quantize(c, found),
        Op::FloatActivation(c) => activate(c, Isa::Reference, found),
        Op::Filter(c) => filter(c, found),
        Op::Codebook(c) => codebook(c, found),
        _ => return false,
    }
    true
}

/// The same for kernels.
pub(super) fn run_kernels(op: &Op, isa: Isa, found: &mut Differences) -> bool {
    match op {
        Op::FloatActivation(c) => activate(c, isa, found),
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
        inputs.iter().enumerate().map(|(i, &x)| quantizer.payload_of_float(x, word(i))).collect();
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
    let (mut outputs, mut errors_in) = (vec![0.0; inputs.len()], vec![0.0; inputs.len()]);
    activation::forward(isa, &quantizer, &inputs, &mut outputs);
    activation::back(isa, &quantizer, [&inputs, &errors], &mut errors_in);
    found.same_elements("outputs", &bits(&outputs), &bits(&floats(&c.outputs)));
    found.same_elements("errors_in", &bits(&errors_in), &bits(&floats(&c.errors_in)));
}

fn filter(c: &golden::Filter, found: &mut Differences) {
    let weights = floats(&c.weights);
    let read = Quantizer::plain(intrain_num::Format::Binary, intrain_num::Round::NearestAway);
    let signs: Vec<i64> = weights.iter().map(|&w| read.payload_of_float(w, 0)).collect();
    found.same_elements("signs", &signs, &c.signs);
    found.same_elements(
        "means",
        &bits(&intrain_nn::mean_magnitudes(&weights, c.filters)),
        &bits(&floats(&c.means)),
    );
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
