//! The loss and its error: squared error in integers, softmax cross-entropy in float.
//!
//! `error = output - target` in both cases; a batch's errors are not divided by its size.

use intrain_num::random::{Purpose, Stream};
use intrain_num::{Quantizer, Real, Scale};
use intrain_recipe::Loss;

use crate::network::StepKey;
use crate::plan::LossPlan;

/// How well a batch was answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Sum of the loss over the images.
    pub loss: f64,
    /// Images whose largest logit was not the label's (the first largest counts).
    pub n_wrong: usize,
    /// Images.
    pub n: usize,
}

impl Outcome {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { loss: self.loss + other.loss, n_wrong: self.n_wrong + other.n_wrong, n: self.n + other.n }
    }
}

/// Logits of a batch, `[n, n_classes]`, in units of `2^-logits_frac_bits`; or floats.
pub(crate) enum LogitsRef<'a> {
    Integers(&'a [i64]),
    Floats(&'a [f32]),
}

/// Loss and mistakes, without any error.
pub(crate) fn evaluate(plan: &LossPlan, logits: &LogitsRef<'_>, labels: &[u16]) -> Outcome {
    let mut outcome = Outcome { n: labels.len(), ..Outcome::default() };
    for (i, label) in labels.iter().map(|l| usize::from(*l)).enumerate() {
        let row = values(plan, logits, i);
        outcome.n_wrong += usize::from(first_largest(&row) != label);
        outcome.loss += match plan.loss {
            Loss::SquaredError => {
                let square = |(c, y): (usize, &f64)| (y - f64::from(u8::from(c == label))).powi(2);
                0.5 * row.iter().enumerate().map(square).sum::<f64>()
            }
            Loss::SoftmaxCrossEntropy => cross_entropy(softmax(&row)[label]),
        };
    }
    outcome
}

/// `-ln p`, finite for a probability of 0; a network that has diverged has none, and must not look as if it had.
fn cross_entropy(p: f64) -> f64 {
    if p.is_nan() { p } else { -p.max(f64::MIN_POSITIVE).ln() }
}

/// The logits of image `i` as real numbers, for reports and for softmax.
fn values(plan: &LossPlan, logits: &LogitsRef<'_>, i: usize) -> Vec<f64> {
    let range = i * plan.n_classes..(i + 1) * plan.n_classes;
    match logits {
        LogitsRef::Floats(v) => v[range].iter().map(|x| f64::from(*x)).collect(),
        LogitsRef::Integers(v) => v[range]
            .iter()
            .map(|x| Real { mantissa: *x, exponent: -plan.logits_frac_bits }.to_f64())
            .collect(),
    }
}

fn first_largest(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best })
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = row.iter().map(|y| (y - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

/// The error at the logits of an integer network: payloads of the recipe's row `error.loss`.
pub(crate) fn error_integers(
    plan: &LossPlan,
    logits: &LogitsRef<'_>,
    labels: &[u16],
    layer: u32,
    key: StepKey,
) -> Vec<i64> {
    let reals: Vec<Real> = match (plan.loss, logits) {
        (Loss::SquaredError, LogitsRef::Integers(v)) => {
            // Exact: the target 1 is 2^frac_bits in the logits' units.
            let one = 1i64 << plan.logits_frac_bits;
            let target = |i: usize| {
                if i % plan.n_classes == usize::from(labels[i / plan.n_classes]) { one } else { 0 }
            };
            let error =
                |(i, y): (usize, &i64)| Real { mantissa: y - target(i), exponent: -plan.logits_frac_bits };
            v.iter().enumerate().map(error).collect()
        }
        _ => float_errors(plan, logits, labels).into_iter().filter_map(Real::from_f64).collect(),
    };
    quantize(&plan.quantizer, &reals, Stream::new(key.seed, Purpose::ErrorAtLoss, layer, key.step))
}

fn quantize(quantizer: &Quantizer, reals: &[Real], stream: Stream) -> Vec<i64> {
    let scale_log2 = match quantizer.scale {
        Scale::Shift => reals.iter().filter_map(largest_key).max().map_or(0, |(_, _, n)| n),
        Scale::One | Scale::Alpha => 0,
    };
    reals.iter().zip(0..).map(|(x, i)| quantizer.payload(*x, scale_log2, stream.word(i))).collect()
}

/// Orders magnitudes: by the position of the top bit, then by the mantissa moved to the top; with `round(log2)`.
fn largest_key(x: &Real) -> Option<(i32, u64, i32)> {
    let magnitude = x.mantissa.unsigned_abs();
    let zeros = magnitude.leading_zeros();
    let n = x.round_log2()?;
    Some((x.exponent - zeros.cast_signed(), magnitude << zeros, n))
}

/// `output - target` as floats: class probabilities for softmax.
fn float_errors(plan: &LossPlan, logits: &LogitsRef<'_>, labels: &[u16]) -> Vec<f64> {
    let mut errors = Vec::with_capacity(labels.len() * plan.n_classes);
    for (i, label) in labels.iter().enumerate() {
        let row = values(plan, logits, i);
        let outputs = match plan.loss {
            Loss::SquaredError => row,
            Loss::SoftmaxCrossEntropy => softmax(&row),
        };
        errors.extend(
            outputs.iter().enumerate().map(|(c, y)| y - f64::from(u8::from(c == usize::from(*label)))),
        );
    }
    errors
}

/// The error at the logits of a float network.
pub(crate) fn error_floats(plan: &LossPlan, logits: &LogitsRef<'_>, labels: &[u16]) -> Vec<f32> {
    #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
    float_errors(plan, logits, labels).into_iter().map(|e| e as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(loss: Loss, quantizer: &str) -> LossPlan {
        LossPlan { loss, n_classes: 3, logits_frac_bits: 7, quantizer: quantizer.parse().unwrap() }
    }

    const KEY: StepKey = StepKey { seed: 1, step: 0 };

    #[test]
    fn wage_worked_example_on_the_grid() {
        // out [.4, -.1, .75] on the unit<8> grid is [51, -13, 96]/128; label 2. The largest |error| is .3984: 2^-1.
        let logits = LogitsRef::Integers(&[51, -13, 96]);
        let plan = plan(Loss::SquaredError, "unit<8>@shift nearest-even saturate");
        assert_eq!(error_integers(&plan, &logits, &[2], 0, KEY), [102, -26, -64]);
        let outcome = evaluate(&plan, &logits, &[2]);
        assert_eq!((outcome.n_wrong, outcome.n), (0, 1));
        assert!((outcome.loss - 0.115_8).abs() < 1e-3, "{}", outcome.loss);
    }

    #[test]
    fn zero_error_stays_zero() {
        let plan = plan(Loss::SquaredError, "unit<8>@shift nearest-even saturate");
        let logits = LogitsRef::Integers(&[128, 0, 0]);
        assert_eq!(error_integers(&plan, &logits, &[0], 0, KEY), [0, 0, 0]);
    }

    #[test]
    fn softmax_errors_sum_to_zero() {
        let plan = plan(Loss::SoftmaxCrossEntropy, "fixed<2,14> nearest-down saturate");
        let errors = error_integers(&plan, &LogitsRef::Integers(&[0, 0, 0]), &[1], 0, KEY);
        assert_eq!(errors, [5461, -10_923, 5461]);
    }

    #[test]
    fn ties_go_to_the_first() {
        let plan = plan(Loss::SquaredError, "unit<8>@shift nearest-even saturate");
        assert_eq!(evaluate(&plan, &LogitsRef::Integers(&[5, 5, 1]), &[1]).n_wrong, 1);
        assert_eq!(evaluate(&plan, &LogitsRef::Integers(&[5, 5, 1]), &[0]).n_wrong, 0);
    }
}
