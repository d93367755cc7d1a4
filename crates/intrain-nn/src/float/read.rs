//! Stored weights as float products read them: the recipe's rows `master` and `weight`, between floats.
//!
//! Section 1.6 of `docs/arithmetic.md`.

use intrain_num::random::Stream;
use intrain_num::{Format, Quantizer, Scale};

use crate::key::{Mode, rounding};
use crate::parameters::Stored;
use crate::plan::{BlockPlan, WeightPlan};

/// Weights of `[.., out]` into floats.
pub(crate) fn weights(
    plan: &BlockPlan,
    stored: &Stored,
    mode: Mode,
    out: &mut Vec<f32>,
    magnitudes: &mut Magnitudes,
) {
    let WeightPlan { master, read, .. } = plan.weight;
    match stored {
        Stored::F32(values) if !read.format.is_quantized() => out.clone_from(values),
        Stored::F32(values) => {
            let (round, stream) =
                rounding(read.round, intrain_num::random::Purpose::Weight, plan.index, mode);
            quantized(&Quantizer { round, ..read }, values, plan.product.output.c, stream, out, magnitudes);
        }
        codes => {
            out.clear();
            out.extend((0..codes.len()).map(|i| master.value_as_float(codes.code(i))));
        }
    }
}

/// Floats as `read` has them, times each filter's mean magnitude where it asks for it.
fn quantized(
    read: &Quantizer,
    values: &[f32],
    filters: usize,
    stream: Option<Stream>,
    out: &mut Vec<f32>,
    magnitudes: &mut Magnitudes,
) {
    out.clear();
    if read.format == Format::Binary && stream.is_none() {
        out.extend(values.iter().map(|&w| if w < 0.0 { -1.0_f32 } else { 1.0 }));
    } else {
        out.extend(values.iter().zip(0..).map(|(&w, i)| {
            let word = stream.map_or(0, |stream| stream.word(i));
            read.value_as_float(read.code_of_float(w, word))
        }));
    }
    if read.scale == Scale::Filter {
        magnitudes.measure(values, filters);
        for row in out.chunks_exact_mut(filters) {
            row.iter_mut().zip(&magnitudes.means).for_each(|(w, mean)| *w *= mean);
        }
    }
}

/// Of each column of `[.., filters]`: a sum in binary64 in the order of the rows, divided and rounded once.
#[must_use]
pub fn mean_magnitudes(values: &[f32], filters: usize) -> Vec<f32> {
    let mut magnitudes = Magnitudes::default();
    magnitudes.measure(values, filters);
    magnitudes.means
}

/// Mean magnitudes of filters, and what they are computed in.
#[derive(Debug, Default)]
pub(crate) struct Magnitudes {
    sums: Vec<f64>,
    means: Vec<f32>,
}

impl Magnitudes {
    fn measure(&mut self, values: &[f32], filters: usize) {
        self.sums.clear();
        self.sums.resize(filters, 0.0);
        for row in values.chunks_exact(filters) {
            self.sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(w.abs()));
        }
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "one rounding to binary32"
        )]
        let mean = |sum: &f64| (sum / (values.len() / filters) as f64) as f32;
        self.means.clear();
        self.means.extend(self.sums.iter().map(mean));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked examples of HWGQ 2017.
    #[test]
    fn a_filter_keeps_its_mean_magnitude() {
        let read: Quantizer = "binary@filter nearest-away saturate".parse().unwrap();
        let mut out = vec![];
        quantized(&read, &[0.2, -0.1, 0.0, 0.5], 1, None, &mut out, &mut Magnitudes::default());
        assert_eq!(out, [0.2, -0.2, 0.2, 0.2]);
        // Two filters, side by side.
        quantized(
            &read,
            &[0.2, -0.3, -0.1, 0.3, 0.0, -0.05, 0.5, -0.01],
            2,
            None,
            &mut out,
            &mut Magnitudes::default(),
        );
        assert_eq!(out, [0.2, -0.165, -0.2, 0.165, 0.2, -0.165, 0.2, -0.165]);
    }
}
