//! The loss and its error: squared error in integers, softmax cross-entropy in float.
//!
//! `error = output - target` in both cases; a batch's errors are not divided by its size.

use intrain_num::random::{Purpose, Stream};
use intrain_num::{Quantizer, Real, Scale, softmax};
use intrain_recipe::Loss;

use crate::key::StepKey;
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

/// Loss and mistakes, without any error; `logits` gives each of `[n, n_classes]` as a real number.
#[must_use]
pub fn evaluate(plan: &LossPlan, logits: impl Fn(usize) -> f64 + Copy, labels: &[u16]) -> Outcome {
    let mut outcome = Outcome { n: labels.len(), ..Outcome::default() };
    for (i, label) in labels.iter().map(|l| usize::from(*l)).enumerate() {
        let row = row(plan, logits, i);
        outcome.n_wrong += usize::from(first_largest(row.clone()) != label);
        outcome.loss += match plan.loss {
            Loss::SquaredError => {
                let square = |(c, y): (usize, f64)| (y - f64::from(u8::from(c == label))).powi(2);
                0.5 * row.enumerate().map(square).sum::<f64>()
            }
            Loss::SoftmaxCrossEntropy | Loss::SoftmaxIExp | Loss::SoftmaxBase2 => {
                let y = logits(i * plan.n_classes + label);
                cross_entropy(Softmax::of(row).probability(y))
            }
        };
    }
    outcome
}

/// `-ln p`, finite for a probability of 0; a network that has diverged has none, and must not look as if it had.
fn cross_entropy(p: f64) -> f64 {
    if p.is_nan() { p } else { -libm::log(p.max(f64::MIN_POSITIVE)) }
}

/// The logits of image `i`.
fn row(plan: &LossPlan, logits: impl Fn(usize) -> f64 + Copy, i: usize) -> impl Iterator<Item = f64> + Clone {
    (i * plan.n_classes..(i + 1) * plan.n_classes).map(logits)
}

/// A logit of an integer network as a real number, for reports and for softmax.
#[must_use]
pub fn real(frac_bits: i32, integer: i64) -> f64 {
    Real { mantissa: integer, exponent: -frac_bits }.to_f64()
}

/// The class that a network answers with: of its largest logit, of equal ones the first; 0 without any.
#[must_use]
pub fn first_largest(row: impl Iterator<Item = f64>) -> usize {
    let larger = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
    row.enumerate().reduce(larger).map_or(0, |(c, _)| c)
}

/// Whether a class is among the `k` that a network holds likeliest: those before it, with a larger logit or with an equal one and
/// a smaller number, are fewer than `k`. So the first of them is [`first_largest`]. Behind a logit that is not a number are all
/// others.
#[must_use]
pub fn is_among_largest(k: usize, row: &[f64], class: usize) -> bool {
    let y = row[class];
    let is_behind = |i: usize, x: f64| x < y || (x == y && i > class);
    row.iter().enumerate().filter(|(i, x)| *i != class && !is_behind(*i, **x)).count() < k
}

/// What all probabilities of an image share.
#[derive(Clone, Copy)]
struct Softmax {
    max: f64,
    sum: f64,
}

impl Softmax {
    fn of(row: impl Iterator<Item = f64> + Clone) -> Self {
        let max = row.clone().fold(f64::NEG_INFINITY, f64::max);
        Self { max, sum: row.map(|y| libm::exp(y - max)).sum() }
    }

    fn probability(self, y: f64) -> f64 {
        libm::exp(y - self.max) / self.sum
    }
}

/// The error at the logits of an integer network, element after element: codes of the recipe's row `error.loss`.
/// A code of 1 is worth 2 to the power that is given back, where the row keeps its power of two. `reals` is a buffer.
pub fn error_integers(
    plan: &LossPlan,
    logits: impl Fn(usize) -> i64 + Copy,
    labels: &[u16],
    layer: u32,
    key: StepKey,
    reals: &mut Vec<Real>,
    put: impl FnMut(i64),
) -> i32 {
    let stream = Stream::new(key.seed, Purpose::ErrorAtLoss, layer, key.step);
    match plan.loss {
        Loss::SquaredError => {
            // Exact: the target 1 is 2^frac_bits in the logits' units.
            let one = 1i64 << plan.logits_frac_bits;
            let target = |i: usize| {
                if i % plan.n_classes == usize::from(labels[i / plan.n_classes]) { one } else { 0 }
            };
            let error = |i| Real { mantissa: logits(i) - target(i), exponent: -plan.logits_frac_bits };
            quantize(&plan.quantizer, (0..labels.len() * plan.n_classes).map(error), stream, put)
        }
        Loss::SoftmaxCrossEntropy => {
            let errors = error_floats(plan, |i| real(plan.logits_frac_bits, logits(i)), labels);
            quantize(&plan.quantizer, errors.filter_map(Real::from_f64), stream, put)
        }
        Loss::SoftmaxIExp | Loss::SoftmaxBase2 => {
            softmax_integers(plan, logits, labels, reals);
            quantize(&plan.quantizer, reals.iter().copied(), stream, put)
        }
    }
}

/// Probabilities less targets by the integer softmax of the plan.
fn softmax_integers(
    plan: &LossPlan,
    logits: impl Fn(usize) -> i64 + Copy,
    labels: &[u16],
    errors: &mut Vec<Real>,
) {
    let (n, digits) = (plan.n_classes, plan.logits_frac_bits);
    errors.clear();
    for (i, label) in labels.iter().enumerate() {
        let (row, label) = ((i * n..(i + 1) * n).map(logits), usize::from(*label));
        let put = |exponent: i32| move |mantissa| Real { mantissa, exponent };
        match plan.loss {
            Loss::SoftmaxBase2 => {
                let real = put(-softmax::BASE_2_DIGITS);
                softmax::base_2_error(row, digits, label, |error| errors.push(real(error)));
            }
            _ => {
                let real = put(-softmax::I_EXP_DIGITS);
                softmax::i_exp_error(row, digits, label, |error| errors.push(real(error)));
            }
        }
    }
}

fn quantize(
    quantizer: &Quantizer,
    reals: impl Iterator<Item = Real> + Clone,
    stream: Stream,
    put: impl FnMut(i64),
) -> i32 {
    let scale_log2 = match quantizer.scale {
        Scale::Shift | Scale::Dynamic => reals.clone().filter_map(largest_key).max().map_or(0, |(_, _, n)| n),
        Scale::One | Scale::Alpha | Scale::Fan | Scale::Bound | Scale::Filter => 0,
    };
    reals.zip(0..).map(|(x, i)| quantizer.code(x, scale_log2, stream.word(i))).for_each(put);
    let kept = if quantizer.scale == Scale::Dynamic { scale_log2 } else { 0 };
    kept - quantizer.format.frac_bits()
}

/// Orders magnitudes: by the position of the top bit, then by the mantissa moved to the top; with `round(log2)`.
fn largest_key(x: Real) -> Option<(i32, u64, i32)> {
    let magnitude = x.mantissa.unsigned_abs();
    let zeros = magnitude.leading_zeros();
    let n = x.round_log2()?;
    Some((x.exponent - zeros.cast_signed(), magnitude << zeros, n))
}

/// `output - target` as floats, element after element: class probabilities for softmax.
pub(crate) fn error_floats(
    plan: &LossPlan,
    logits: impl Fn(usize) -> f64 + Copy,
    labels: &[u16],
) -> impl Iterator<Item = f64> + Clone {
    labels.iter().enumerate().flat_map(move |(i, label)| {
        let row = row(plan, logits, i);
        let softmax = match plan.loss {
            Loss::SquaredError => None,
            _ => Some(Softmax::of(row.clone())),
        };
        row.enumerate().map(move |(c, y)| {
            let output = softmax.map_or(y, |softmax| softmax.probability(y));
            output - f64::from(u8::from(c == usize::from(*label)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(loss: Loss, quantizer: &str) -> LossPlan {
        LossPlan { loss, n_classes: 3, logits_frac_bits: 7, quantizer: quantizer.parse().unwrap() }
    }

    const KEY: StepKey = StepKey { seed: 1, step: 0 };

    #[test]
    fn of_equal_logits_the_first_classes_are_the_likeliest() {
        let among =
            |k, row: &[f64]| (0..row.len()).filter(|c| is_among_largest(k, row, *c)).collect::<Vec<_>>();
        assert_eq!(among(2, &[1.0, 3.0, 2.0, 0.0]), [1, 2]);
        assert_eq!(among(2, &[1.0; 4]), [0, 1]);
        assert_eq!(among(3, &[0.0, 1.0, 0.0, 2.0, 0.0]), [0, 1, 3]);
        assert_eq!(among(1, &[0.0, -0.0, 0.0]), [0]);
        assert_eq!(among(5, &[1.0, 2.0]), [0, 1]);
        for row in [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, 5.0]] {
            assert_eq!(among(1, &row), [first_largest(row.into_iter())]);
        }
        assert_eq!(among(2, &[f64::NAN, 1.0, 0.0]), [1]);
    }

    fn evaluated(plan: &LossPlan, logits: &[i64], labels: &[u16]) -> Outcome {
        evaluate(plan, |i| real(plan.logits_frac_bits, logits[i]), labels)
    }

    fn errors(plan: &LossPlan, logits: &[i64], labels: &[u16]) -> Vec<i64> {
        let mut errors = vec![];
        error_integers(plan, |i| logits[i], labels, 0, KEY, &mut vec![], |e| errors.push(e));
        errors
    }

    #[test]
    fn wage_worked_example_on_the_grid() {
        // out [.4, -.1, .75] on the unit<8> grid is [51, -13, 96]/128; label 2. The largest |error| is .3984: 2^-1.
        let logits = [51, -13, 96];
        let plan = plan(Loss::SquaredError, "unit<8>@shift nearest-even saturate");
        assert_eq!(errors(&plan, &logits, &[2]), [102, -26, -64]);
        let outcome = evaluated(&plan, &logits, &[2]);
        assert_eq!((outcome.n_wrong, outcome.n), (0, 1));
        assert!((outcome.loss - 0.115_8).abs() < 1e-3, "{}", outcome.loss);
    }

    #[test]
    fn zero_error_stays_zero() {
        let plan = plan(Loss::SquaredError, "unit<8>@shift nearest-even saturate");
        assert_eq!(errors(&plan, &[128, 0, 0], &[0]), [0, 0, 0]);
    }

    #[test]
    fn softmax_errors_sum_to_zero() {
        let plan = plan(Loss::SoftmaxCrossEntropy, "fixed<2,14> nearest-down saturate");
        assert_eq!(errors(&plan, &[0, 0, 0], &[1]), [5461, -10_923, 5461]);
    }

    #[test]
    fn ties_go_to_the_first() {
        let plan = plan(Loss::SquaredError, "unit<8>@shift nearest-even saturate");
        assert_eq!(evaluated(&plan, &[5, 5, 1], &[1]).n_wrong, 1);
        assert_eq!(evaluated(&plan, &[5, 5, 1], &[0]).n_wrong, 0);
    }
}
