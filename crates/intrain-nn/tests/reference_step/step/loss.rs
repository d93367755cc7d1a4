//! The loss of section 7.2: answers, losses, and the errors of the logits.

use intrain_num::random::Purpose;
use intrain_num::{Real, softmax};
use intrain_recipe::{Loss, Recipe};

use super::{Step, Tensor};

impl Step<'_> {
    /// Codes of `error.loss`.
    pub(super) fn error_at_loss(&self, labels: &[u16]) -> Tensor {
        let Tensor { x: y, digits, .. } = self.logits();
        let n_classes = y.len() / labels.len();
        let block = self.block(self.model.layers.len()) - 1;
        let last = self.model.layers.iter().rev().find(|layer| layer.kind.is_product()).unwrap();
        let q = self.recipe.error_at_loss.of_layer(&last.name);
        let (mut errors, mut unit) = (vec![], *digits);
        for (row, label) in y.chunks(n_classes).zip(labels.iter().map(|l| usize::from(*l))) {
            let integers = row.iter().map(|y| *y as i64);
            let put = |error: i64| errors.push(i128::from(error));
            match self.recipe.loss {
                Loss::SquaredError => {
                    errors
                        .extend(row.iter().enumerate().map(|(k, y)| y - (i128::from(k == label) << digits)));
                }
                Loss::SoftmaxIExp => {
                    unit = softmax::I_EXP_DIGITS;
                    softmax::i_exp_error(integers, *digits, label, put);
                }
                Loss::SoftmaxBase2 => {
                    unit = softmax::BASE_2_DIGITS;
                    softmax::base_2_error(integers, *digits, label, put);
                }
                Loss::SoftmaxCrossEntropy => {
                    let stream = self.stream(Purpose::ErrorAtLoss, block);
                    let p = float_softmax(row, *digits).into_iter().enumerate();
                    for error in p.map(|(k, p)| p - f64::from(u8::from(k == label))) {
                        let word = stream.word(errors.len() as u64);
                        errors.push(q.code(Real::from_f64(error).unwrap(), 0, word).into());
                    }
                }
            }
        }
        if self.recipe.loss == Loss::SoftmaxCrossEntropy {
            let limits = [q.format.min(), q.format.max()].map(i128::from);
            return Tensor { x: errors, digits: q.format.frac_bits(), limits };
        }
        // A loss of nothing has the power of two 1, whatever its unit.
        let unit = if errors.iter().all(|error| *error == 0) { 0 } else { unit };
        self.quantize(q, &Tensor::exact(errors, unit), Purpose::ErrorAtLoss, block)
    }
}

fn float_softmax(row: &[i128], digits: i32) -> Vec<f64> {
    let y: Vec<f64> = row.iter().map(|y| Real { mantissa: *y as i64, exponent: -digits }.to_f64()).collect();
    let largest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = y.iter().map(|y| libm::exp(y - largest)).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

/// `(wrong answers, loss)` of the logits.
pub(crate) fn answer(recipe: &Recipe, logits: &Tensor, labels: &[u16]) -> (usize, f64) {
    let (n_classes, digits) = (logits.x.len() / labels.len(), logits.digits);
    let (mut wrong, mut loss) = (0, 0.0);
    for (row, label) in logits.x.chunks(n_classes).zip(labels.iter().map(|l| usize::from(*l))) {
        let first_largest = row.iter().position(|y| y == row.iter().max().unwrap()).unwrap();
        wrong += usize::from(first_largest != label);
        loss += if recipe.loss == Loss::SquaredError {
            let squares =
                row.iter().enumerate().map(|(k, y)| (y - (i128::from(k == label) << digits)).pow(2));
            0.5 * squares.sum::<i128>() as f64 * 2f64.powi(-2 * digits)
        } else {
            -libm::log(float_softmax(row, digits)[label].max(f64::MIN_POSITIVE))
        };
    }
    (wrong, loss)
}
