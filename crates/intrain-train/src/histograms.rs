//! Histograms of weights: as they are stored, and as products read them where that is something else.

use intrain_nn::{BlockPlan, Stored};
use intrain_num::{Format, Overflow, Quantizer};

use crate::report::{Histogram, Weights};
use crate::step::Trainer;
use crate::update;

/// Bins of a histogram, at most.
const BINS: i64 = 64;

/// The weights of each layer.
pub(crate) fn of_layers(trainer: &Trainer) -> Vec<Weights> {
    let of_layer = |(block, parameters): (&BlockPlan, &intrain_nn::Parameters)| {
        let (master, stored) = (block.weight.master, &parameters.weight);
        let is_norm = block.product.kind.is_norm();
        let of_stored = match stored {
            Stored::F32(_) if is_norm => None,
            Stored::F32(values) => of_floats(&block.name, master, values),
            codes => histogram(&block.name, master, codes),
        };
        Some(Weights { stored: of_stored?, read: if is_norm { None } else { as_read(block, stored) } })
    };
    trainer.plan().blocks.iter().zip(trainer.parameters()).filter_map(of_layer).collect()
}

/// The histogram of one layer's stored integers; `None` for floats.
#[must_use]
pub fn histogram(layer: &str, master: Quantizer, stored: &Stored) -> Option<Histogram> {
    if matches!(stored, Stored::F32(_)) {
        return None;
    }
    let codes: Vec<i64> = (0..stored.len()).map(|i| stored.code(i)).collect();
    let histogram = of_codes(&codes, master.limits())?;
    Some(Histogram { layer: layer.to_owned(), format: master.format.to_string(), ..histogram })
}

/// Of floats, in steps of a power of two that make about as many bins as there may be.
fn of_floats(layer: &str, master: Quantizer, values: &[f32]) -> Option<Histogram> {
    let largest = values.iter().filter(|w| w.is_finite()).fold(0.0_f32, |largest, w| largest.max(w.abs()));
    // Between 15 and 31 steps from 0 to the largest.
    let step_log2 = if largest > 0.0 { libm::ilogb(f64::from(largest)) - 4 } else { 0 };
    #[allow(clippy::cast_possible_truncation, reason = "at most 32")]
    let code = |w: &f32| libm::ldexp(f64::from(*w), -step_log2).round() as i64;
    let codes: Vec<i64> = values.iter().map(code).collect();
    #[allow(clippy::cast_precision_loss, reason = "a limit of a weight")]
    let limit = match master.overflow {
        Overflow::Clip { limit } => Some(limit as f32),
        _ => None,
    };
    let count = |is_counted: &dyn Fn(f32) -> bool| values.iter().filter(|w| is_counted(**w)).count() as u64;
    let n = values.len() as u64;
    let at_limit_share = limit.map_or(f64::NAN, |limit| share(count(&|w| w.abs() >= limit), n));
    let zeros_share = share(count(&|w| w == 0.0), n);
    let (layer, format) = (layer.to_owned(), master.to_string());
    Some(Histogram { layer, format, step_log2, zeros_share, at_limit_share, ..of_codes(&codes, (0, 0))? })
}

/// As products read them outside training; none where that is what is stored.
fn as_read(block: &BlockPlan, stored: &Stored) -> Option<Histogram> {
    let read = Quantizer { round: block.weight.read.round.in_evaluation(), ..block.weight.read };
    if !read.format.is_quantized() {
        return None;
    }
    let codes: Vec<i64> = match stored {
        Stored::F32(values) if read.format == Format::Binary => {
            values.iter().map(|w| if *w < 0.0 { -1 } else { 1 }).collect()
        }
        Stored::F32(values) => values.iter().map(|w| read.code_of_float(*w, 0)).collect(),
        // Between floats, stored codes are read as they are.
        _ if update::is_float(block) => return None,
        codes => {
            let shift = block.weight.master.format.frac_bits() - read.format.frac_bits();
            let read: Vec<i64> =
                (0..codes.len()).map(|i| read.code_of_shifted(codes.code(i), shift, 0)).collect();
            if shift == 0 && read.iter().enumerate().all(|(i, code)| *code == codes.code(i)) {
                return None;
            }
            read
        }
    };
    let mut histogram = of_codes(&codes, read.limits())?;
    if read.format.max() == 1 {
        // All that is not 0 would be at a limit.
        histogram.at_limit_share = f64::NAN;
    }
    Some(Histogram { layer: block.name.clone(), format: read.format.to_string(), ..histogram })
}

/// The bins of codes, and how many of them are 0 or at the limits.
fn of_codes(codes: &[i64], (low, high): (i64, i64)) -> Option<Histogram> {
    let largest = codes.iter().map(|code| code.abs()).max()?.max(1);
    let width = (2 * largest + 1 + BINS - 1) / BINS;
    let n_bins = usize::try_from((2 * largest + width) / width).unwrap_or(1);
    let mut counts = vec![0u64; n_bins];
    let (mut zeros, mut at_limit) = (0u64, 0u64);
    for code in codes {
        counts[usize::try_from((code + largest) / width).unwrap_or(0)] += 1;
        zeros += u64::from(*code == 0);
        at_limit += u64::from(*code != 0 && (*code <= low || *code >= high));
    }
    let from = |i: usize| i64::try_from(i).unwrap_or(0) * width - largest;
    let n = codes.len() as u64;
    Some(Histogram {
        bins: counts.iter().enumerate().map(|(i, count)| (from(i), from(i) + width - 1, *count)).collect(),
        n,
        zeros_share: share(zeros, n),
        at_limit_share: share(at_limit, n),
        ..Histogram::default()
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts of weights are far below 2^53")]
fn share(count: u64, n: u64) -> f64 {
    count as f64 / n as f64
}

#[cfg(test)]
mod tests {
    use intrain_nn::{Parameters, Plan};

    use super::*;

    #[test]
    fn stored_weights_at_the_limit_of_the_overflow_are_counted() {
        let wage: Quantizer = "unit<8> nearest-even clip-before<64>".parse().unwrap();
        let stored = Stored::I8(vec![64, -65, 63, 0]);
        let of = histogram("a", wage, &stored).unwrap();
        assert_eq!((of.at_limit_share, of.zeros_share, of.n), (0.5, 0.25, 4));
        let saturating: Quantizer = "unit<8> nearest-even saturate".parse().unwrap();
        assert_eq!(histogram("a", saturating, &stored).unwrap().at_limit_share, 0.0);
        assert!(histogram("a", wage, &Stored::F32(vec![1.0])).is_none());
    }

    #[test]
    fn floats_have_steps_of_a_power_of_two() {
        let clip: Quantizer = "float32 clip<1>".parse().unwrap();
        let of = of_floats("a", clip, &[1.0, -1.0, 0.0, 0.25]).unwrap();
        assert_eq!((of.step_log2, of.n), (-4, 4));
        assert_eq!((of.at_limit_share, of.zeros_share), (0.5, 0.25));
        let filled: Vec<_> = of.bins.iter().filter(|bin| bin.2 > 0).map(|bin| bin.0).collect();
        assert_eq!(filled, [-16, 0, 4, 16]);
        let free = of_floats("a", Quantizer::FLOAT, &[1e-20, 3.0]).unwrap();
        assert!(free.at_limit_share.is_nan() && free.bins.len() <= 65, "no limit, so no share of it");
        assert!(of_floats("a", clip, &[]).is_none());
        assert_eq!(of_floats("a", clip, &[0.0]).unwrap().zeros_share, 1.0);
    }

    #[test]
    fn weights_are_shown_as_they_are_read_where_that_differs() {
        let model = intrain_model::preset("digits-cnn").unwrap();
        let read = |recipe| {
            let plan = Plan::build(&model, &intrain_recipe::preset(recipe).unwrap(), 4).unwrap();
            let parameters = Parameters::initial(&plan, 1);
            let of_block = |(block, of): (&BlockPlan, &Parameters)| as_read(block, &of.weight);
            plan.blocks.iter().zip(&parameters).map(of_block).collect::<Vec<_>>()
        };
        // BinaryConnect reads the floats of convolutions as signs, and the others as they are.
        let bc = read("li-bc");
        let signs = bc[0].as_ref().unwrap();
        assert_eq!((signs.format.as_str(), signs.zeros_share), ("binary", 0.0));
        assert!(signs.at_limit_share.is_nan(), "there is nothing but limits");
        assert!(bc[3].is_none());
        // WAGE reads 8 bits as 2: -1, 0 and 1.
        let wage = read("wage");
        assert!(wage.iter().all(|of| of.as_ref().unwrap().bins.len() == 3));
        assert!(read("float32").iter().all(Option::is_none));
        assert!(read("li-r").iter().all(Option::is_none));
    }
}
