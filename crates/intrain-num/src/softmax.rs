//! The derivative of softmax cross-entropy in integers: exponentials by a polynomial, or by powers of two.
//!
//! Section 7.2 of `docs/arithmetic.md`. Both give errors that add up to 0 exactly, whatever was rounded.

/// Fraction bits of the errors of [`i_exp_error`].
pub const I_EXP_DIGITS: i32 = 16;
/// Fraction bits of the errors of [`base_2_error`].
pub const BASE_2_DIGITS: i32 = 11;
/// Fraction bits of a logit that [`i_exp_error`] looks at.
const LOGIT_DIGITS: u32 = 12;

/// I-BERT's exponential (arXiv 2101.01321, `kssteven418/I-BERT`) of `q * 2^-digits <= 0`: `exp(x)` is about that times
/// `0.35815147 * 2^(-2 digits - 30)`.
///
/// Bound: `digits <= 16`.
#[must_use]
pub const fn i_exp(q: i64, digits: u32) -> i64 {
    // The code's constants, as the fractions that its decimals are.
    let ln_2 = -((6_931_i64 << digits) + 9_999).div_euclid(10_000);
    let b = (96_963_238_i64 << digits).div_euclid(35_815_147);
    let c = (100_000_000_i64 << (2 * digits)) / 35_815_147;
    let q = if q < 30 * ln_2 { 30 * ln_2 } else { q };
    let z = q / ln_2;
    let r = q - ln_2 * z;
    (r * (r + b) + c) << (30 - z)
}

/// `softmax(logits) - target` of one image in parts of `2^-16`, for logits with that many fraction bits.
///
/// `p = floor(2^16 exp / sum exp)`; the label's error is less the sum of all others.
pub fn i_exp_error(
    logits: impl Iterator<Item = i64> + Clone,
    digits: i32,
    label: usize,
    mut put: impl FnMut(i64),
) {
    let shift = digits - LOGIT_DIGITS.cast_signed();
    let q = logits.map(|y| crate::Round::NearestDown.shift_right(y, shift, 0));
    let max = q.clone().max().unwrap_or(0);
    let exp = q.map(|q| i128::from(i_exp(q.saturating_sub(max), LOGIT_DIGITS)));
    let sum: i128 = exp.clone().sum();
    let p = exp.map(|exp| narrow((exp << I_EXP_DIGITS) / sum));
    put_errors(p, label, &mut put);
}

/// The same in parts of `2^-11` with powers of two: NITI's loss (arXiv 2009.13108, `wangmaolin/niti`, `ti_loss.py`).
///
/// `t = s * log2(e) * 2^-digits` as an integer, ten above the largest at most 0, and `2^t - 1` as the exponential; where all
/// logits are codes of 8 bits below 1, twice the second Taylor polynomial of `exp`.
pub fn base_2_error(
    logits: impl Iterator<Item = i64> + Clone,
    digits: i32,
    label: usize,
    mut put: impl FnMut(i64),
) {
    /// The code's `log2(e)`, in parts of `2^-15`.
    const LOG2_E: i128 = 47_274;
    let is_small = digits >= 7 && logits.clone().all(|s| s.unsigned_abs() < 128);
    // Bound: sums of 128 bits. Beyond 50 digits the logits decide no more than on which side of the mean each lies, and that
    // does not change.
    let small_digits = digits.min(50);
    let power = |s: i64| -> i128 {
        let t = i128::from(s) * LOG2_E / (1 << 15);
        if digits >= 0 { t / (1 << digits.min(100)) } else { t << (-digits).min(20) }
    };
    let max = logits.clone().map(power).max().unwrap_or(0);
    let exp = logits.map(|s| {
        if is_small {
            let s = i128::from(s);
            (2 << (2 * small_digits)) + (s << (1 + small_digits)) + s * s
        } else {
            (1 << (power(s) - max + 10).max(0)) - 1
        }
    });
    // Bound: the largest has 2^10 - 1.
    let sum: i128 = exp.clone().sum();
    put_errors(exp.map(|exp| narrow((exp << BASE_2_DIGITS) / sum)), label, &mut put);
}

fn narrow(p: i128) -> i64 {
    i64::try_from(p).unwrap_or(i64::MAX)
}

/// Probabilities as errors: the label's is what makes the sum 0.
fn put_errors(p: impl Iterator<Item = i64> + Clone, label: usize, put: &mut impl FnMut(i64)) {
    let others: i64 = p.clone().enumerate().filter(|(class, _)| *class != label).map(|(_, p)| p).sum();
    p.enumerate().for_each(|(class, p)| put(if class == label { -others } else { p }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A network whose logits are all but 0 has ever more fraction bits; nothing overflows.
    #[test]
    fn tiny_logits_have_errors_too() {
        let errors = |digits: i32| {
            let mut errors = Vec::new();
            base_2_error([3, -127, 0, 127].into_iter(), digits, 1, |error| errors.push(error));
            errors
        };
        assert_eq!(errors(50), errors(51));
        assert_eq!(errors(50), errors(200));
        assert_eq!(errors(200).iter().sum::<i64>(), 0);
    }

    fn base_2(logits: &[i64], digits: i32, label: usize) -> Vec<i64> {
        let mut errors = Vec::new();
        base_2_error(logits.iter().copied(), digits, label, |e| errors.push(e));
        errors
    }

    #[test]
    fn nitis_worked_examples() {
        let logits = [40, -10, 5, 0];
        assert_eq!(base_2(&logits, 4, 2), [1492, 185, -1862, 185]);
        assert_eq!(base_2(&logits, 5, 2), [819, 409, -1637, 409]);
        assert_eq!(base_2(&logits, 2, 2), [2048, 0, -2048, 0]);
    }

    #[test]
    fn i_berts_worked_examples() {
        let scale = 0.358_151_47 / 2.0_f64.powi(38);
        for (q, value) in [(0, 0.998_906_8), (-5, 0.733_091_3), (-16, 0.390_329_1), (-48, 0.062_431_7)] {
            #[allow(clippy::cast_precision_loss)]
            let exp = i_exp(q, 4) as f64 * scale;
            assert!((exp - value).abs() < 5e-8, "{q}: {exp}");
        }
        let exp: Vec<i64> = [0, -16, -32, -48].map(|q| i_exp(q, 4)).into();
        let sum: i64 = exp.iter().sum();
        let p: Vec<i64> = exp.iter().map(|e| e * 256 / sum).collect();
        assert_eq!(p, [159, 62, 24, 9]);
    }

    #[test]
    fn errors_are_close_to_floats_and_add_up_to_nothing() {
        for (logits, digits) in [([0, 0, 0], 7), ([300, -200, 100], 8), ([1 << 20, -(1 << 20), 77], 12)] {
            let real = logits.map(|y| f64::from(y) / f64::from(1 << digits));
            let exp = real.map(|y| (y - real[0].max(real[1]).max(real[2])).exp());
            let mut errors = Vec::new();
            i_exp_error(logits.iter().map(|y| i64::from(*y)), digits, 1, |e| errors.push(e));
            assert_eq!(errors.iter().sum::<i64>(), 0);
            for (class, error) in errors.iter().enumerate() {
                let p = exp[class] / exp.iter().sum::<f64>() - f64::from(u8::from(class == 1));
                #[allow(clippy::cast_precision_loss)]
                let error = *error as f64 / 65_536.0;
                assert!((error - p).abs() < 3e-3, "{logits:?}: {error} for {p}");
            }
        }
    }
}
