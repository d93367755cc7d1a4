//! What of a tensor's format is in use: zeros, limits, effective bits. Measured on a step that collects statistics.
//!
//! A zero is never at a limit: behind a ReLU the least code is 0, and what lies there was not held by the format. Nothing here changes a result; sums are counts, so that they are the same for any number of threads.

use intrain_num::{Format, Quantizer};

use crate::plan::Operand;

/// A tensor of a step, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorStats {
    /// The layer.
    pub layer: String,
    /// The role, in short: `activation`, `error`, or as products between floats read them `read` and `error.read`.
    pub role: &'static str,
    /// What was found.
    pub measure: Measure,
}

/// What of a format is in use.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// Share of zeros, 0 to 1.
    pub zero: f64,
    /// Share of all values that are not zero and lie at a limit or beyond it: the least or the largest code of the format, or
    /// the limit that the overflow of its row states inside them; none for floats. Of small floats the share of blocks in which
    /// something was clipped.
    pub limit: Option<f64>,
    /// Entropy of the values in bits; none for floats.
    pub bits: Option<f64>,
}

/// Widest range of codes that is counted value by value.
const VALUES_MAX: i64 = 1 << 17;

impl Measure {
    /// Of codes of `min..=max` with the limits `low` and `high`.
    #[must_use]
    pub fn of_codes(
        codes: impl Iterator<Item = i64>,
        (min, max): (i64, i64),
        (low, high): (i64, i64),
    ) -> Self {
        let range = (max - min).clamp(0, VALUES_MAX);
        let mut counts = vec![0_u64; usize::try_from(range).unwrap_or(0) + 1];
        let last = counts.len() - 1;
        let (mut zeros, mut limits, mut n) = (0_u64, 0_u64, 0_u64);
        for code in codes {
            zeros += u64::from(code == 0);
            limits += u64::from(code != 0 && (code <= low || code >= high));
            n += 1;
            // Wider formats are counted in parts.
            let part = (code - min).clamp(0, max - min) / ((max - min) / VALUES_MAX + 1);
            counts[usize::try_from(part).unwrap_or(0).min(last)] += 1;
        }
        Self { zero: share(zeros, n), limit: Some(share(limits, n)), bits: Some(entropy(&counts, n)) }
    }

    /// Of numbers that a quantizer left: the levels of a codebook, two signs, or floats.
    #[must_use]
    pub fn of_floats(values: &[f32], quantizer: &Quantizer) -> Self {
        let code: Box<dyn Fn(f32) -> i64> = match quantizer.format {
            // A level is its own code's value, and above the threshold in front of it.
            Format::Levels(levels) => Box::new(move |x| levels.code(x).into()),
            Format::Binary => Box::new(|x| if x < 0.0 { -1 } else { 1 }),
            _ => {
                let zeros = values.iter().filter(|x| **x == 0.0).count();
                return Self { zero: share(zeros as u64, values.len() as u64), limit: None, bits: None };
            }
        };
        let range = (quantizer.format.min(), quantizer.format.max());
        Self::of_codes(values.iter().map(|&x| code(x)), range, quantizer.limits())
    }

    /// Of the integers of an operand, which `row` has rounded if it rounds at all.
    pub(crate) fn of_operand(codes: impl Iterator<Item = i64>, operand: Operand, row: Quantizer) -> Self {
        let range = (operand.min, operand.max);
        let limits = match row.limits() {
            (low, high) if row.format.is_quantized() => (low.max(range.0), high.min(range.1)),
            _ => range,
        };
        Self::of_codes(codes, range, limits)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn share(count: u64, n: u64) -> f64 {
    count as f64 / n.max(1) as f64
}

/// `-sum p log2 p`.
fn entropy(counts: &[u64], n: u64) -> f64 {
    let terms = counts.iter().filter(|count| **count > 0).map(|&count| {
        let p = share(count, n);
        -p * libm::log2(p)
    });
    // Exact for one value: minus zero would be shown as such.
    terms.sum::<f64>() + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_measured() {
        let measure = Measure::of_codes([0, 0, 1, 3].into_iter(), (0, 3), (0, 3));
        assert_eq!(measure, Measure { zero: 0.5, limit: Some(0.25), bits: Some(1.5) });
        let wide = (i64::from(i32::MIN), i64::from(i32::MAX));
        let one = Measure::of_codes([5; 9].into_iter(), wide, wide);
        assert_eq!(one, Measure { zero: 0.0, limit: Some(0.0), bits: Some(0.0) });
        let levels = "levels<0.538,1.076,1.614>".parse().unwrap();
        let measure = Measure::of_floats(&[0.0, 0.538, 1.076, 1.614], &levels);
        assert_eq!(measure, Measure { zero: 0.25, limit: Some(0.25), bits: Some(2.0) });
        let floats = Measure::of_floats(&[0.0, -1.0], &Quantizer::FLOAT);
        assert_eq!(floats, Measure { zero: 0.5, limit: None, bits: None });
    }

    #[test]
    fn limits_are_those_of_the_overflow_and_zeros_are_none_of_them() {
        // WAGE's stored weights: held at 64, beyond it by one update, and far from the ends of the format.
        let wage: Quantizer = "unit<8> nearest-even clip-before<64>".parse().unwrap();
        let range = (wage.format.min(), wage.format.max());
        let measure = Measure::of_codes([64, -64, 65, 63, 0, 1, 2, 3].into_iter(), range, wage.limits());
        assert_eq!((measure.limit, measure.zero), (Some(0.375), 0.125));
        // Behind a ReLU: 0 is the least code, and no limit.
        let row: Quantizer = "unit<8> nearest-even saturate clipped".parse().unwrap();
        let operand = Operand { frac_bits: 7, min: 0, max: 127 };
        let measure = Measure::of_operand([0, 0, 0, 127].into_iter(), operand, row);
        assert_eq!((measure.limit, measure.zero), (Some(0.25), 0.75));
        let clipped: Quantizer = "unit<8> nearest-even clip<100>".parse().unwrap();
        let measure = Measure::of_operand([0, 99, 100, 100].into_iter(), operand, clipped);
        assert_eq!(measure.limit, Some(0.5));
        let measure = Measure::of_operand([0, 100, 100, 127].into_iter(), operand, Quantizer::EXACT);
        assert_eq!(measure.limit, Some(0.25));
    }
}
