//! What a quantizer does to an array: codes by the contract's scalar definition, and the error in numbers.
//!
//! The random word of element `i` (in file order) is word `i` of the stream (seed, tool, 0, 0). Invariant: codes
//! and statistics do not depend on the number of threads.
#![allow(clippy::cast_precision_loss, reason = "statistics: counts are below 2^53")]

use std::path::PathBuf;

use intrain_data::DataError;
use intrain_num::quantizer::parse_scaled_format;
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Format, Overflow, ParseError, Quantizer, Real, Scale};
use intrain_train::ArtefactError;
use rayon::prelude::*;

use crate::array::Values;

/// Elements that are summed before the sums are added up, in order: it fixes the result for any number of threads.
const CHUNK: usize = 1 << 16;

/// What cannot be measured. Each message names the value and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// A spelling.
    #[error("{flag} '{text}' is {error}")]
    Spelling {
        /// The flag.
        flag: &'static str,
        /// What was written.
        text: String,
        /// What it should be.
        error: ParseError,
    },
    /// A quantizer that means nothing without a network.
    #[error("{0}")]
    Quantizer(String),
    /// An array that cannot be quantized.
    #[error("{}: {problem}", .path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// The element, its value, and the remedy.
        problem: String,
    },
    /// The file is not an array.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A result that cannot be written.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

/// The quantizer that `FORMAT[@shift]`, a rounding and an overflow spell.
///
/// # Errors
/// A word that is none, and what means nothing outside of a network: `float32`, `exact`, `@alpha`, `clip-before`.
pub fn quantizer(format: &str, round: &str, overflow: &str) -> Result<Quantizer, MeasureError> {
    let spelling = |flag, text: &str| {
        let text = text.to_owned();
        move |error| MeasureError::Spelling { flag, text, error }
    };
    let (parsed, scale) = parse_scaled_format(format).map_err(spelling("--as", format))?;
    let round = round.parse().map_err(spelling("--round", round))?;
    let limit = overflow.parse().map_err(spelling("--overflow", overflow))?;
    let refuse = |reason: String| Err(MeasureError::Quantizer(reason));
    if matches!(parsed, Format::Float32 | Format::Exact) {
        return refuse(format!(
            "--as {format} quantizes nothing; write for example Q4.12, unit<8> or int<8>"
        ));
    }
    if !parsed.is_fixed_point() || scale == Scale::Filter {
        return refuse(format!(
            "--as {format} is for weights and activations of a network, between floats; write for example Q4.12, \
             unit<8> or int<8>"
        ));
    }
    if !matches!(scale, Scale::One | Scale::Shift) {
        return refuse(format!(
            "--as {format}: {scale} belongs to a network; write {parsed} or {parsed}@shift"
        ));
    }
    if matches!(limit, Overflow::ClipBefore { .. }) {
        return refuse(format!(
            "--overflow {overflow} belongs to an update; write saturate, wrap or clip<N>"
        ));
    }
    Ok(Quantizer { scale, overflow: limit, ..Quantizer::plain(parsed, round) })
}

/// A quantized array.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Codes, in the order of the input.
    pub codes: Vec<i64>,
    /// With `@shift`: the input was divided by `2^scale_log2`; else 0.
    pub scale_log2: i32,
    /// The error in numbers.
    pub statistics: Statistics,
}

/// The error `q - x` in numbers, where `q = code * step` and `x` is the input divided by the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Elements.
    pub n: u64,
    /// Mean of `q - x` over the finite elements; NaN without any.
    pub bias: f64,
    /// Mean of `(q - x)^2` over the finite elements; NaN without any.
    pub mse: f64,
    /// Largest `|q - x|` of the finite elements.
    pub error_max: f64,
    /// Elements whose rounded value lay outside of the range.
    pub saturated: u64,
    /// Elements with code 0.
    pub zeros: u64,
    /// Elements exactly between two codes, where a tie rule decides.
    pub ties: u64,
    /// Infinities: they saturate, and count in no error.
    pub infinite: u64,
    /// Smallest code; 0 without elements.
    pub code_min: i64,
    /// Largest code; 0 without elements.
    pub code_max: i64,
}

impl Statistics {
    /// `count` of `n` as a share of 0 to 1; NaN without elements.
    #[must_use]
    pub fn share(&self, count: u64) -> f64 {
        count as f64 / self.n as f64
    }
}

/// Quantizes `values` with the random bits of `seed`.
///
/// # Errors
/// The first NaN; with `@shift` also the first infinity. `path` is named.
pub fn run(
    values: &Values,
    quantizer: &Quantizer,
    seed: u64,
    path: &std::path::Path,
) -> Result<Measured, MeasureError> {
    let refuse = |problem: String| Err(MeasureError::Input { path: path.to_owned(), problem });
    let n = values.len();
    if let Some(i) = (0..n).into_par_iter().find_first(|i| values.real(*i).is_none()) {
        return refuse(format!(
            "element {i} is NaN, which no format holds; replace it, as with numpy.nan_to_num"
        ));
    }
    let scale_log2 = if quantizer.scale == Scale::Shift {
        if let Some(i) = (0..n).into_par_iter().find_first(|i| values.is_infinite(*i)) {
            return refuse(format!("element {i} is infinite, and @shift divides by the largest; replace it"));
        }
        // Exact: rounding log2 rises with |x|, so the largest of the rounded is the rounded largest.
        let largest = (0..n).into_par_iter().filter_map(|i| values.real(i)?.round_log2()).max();
        largest.unwrap_or(0)
    } else {
        0
    };
    let stream = Stream::new(seed, Purpose::Tool, 0, 0);
    let mut codes = vec![0; n];
    let chunks: Vec<Sums> = codes
        .par_chunks_mut(CHUNK)
        .enumerate()
        .map(|(chunk, out)| quantize(values, quantizer, scale_log2, &stream, chunk * CHUNK, out))
        .collect();
    let statistics = chunks.into_iter().fold(Sums::default(), Sums::and).statistics(&codes);
    Ok(Measured { codes, scale_log2, statistics })
}

/// Quantizes the elements from `first` on into `out`.
fn quantize(
    values: &Values,
    quantizer: &Quantizer,
    scale_log2: i32,
    stream: &Stream,
    first: usize,
    out: &mut [i64],
) -> Sums {
    let mut sums = Sums::default();
    for (i, code) in (first..).zip(out) {
        // NaN was refused before.
        let Some(x) = values.real(i) else { continue };
        let word = if quantizer.round.is_stochastic() { stream.word(i as u64) } else { 0 };
        *code = quantizer.code(x, scale_log2, word);
        let shift_bits = scale_log2 - x.exponent - quantizer.format.frac_bits();
        let rounded = quantizer.round.shift_right(x.mantissa, shift_bits, word);
        let (error, is_whole) = error(quantizer, *code, x, scale_log2);
        // What needs no rounding and is not its own code was held, at the latest by the 64 bits of a code.
        sums.saturated += u64::from(rounded != *code || (is_whole && error != 0.0));
        sums.ties += u64::from(is_tie(x.mantissa, shift_bits));
        if values.is_infinite(i) {
            sums.infinite += 1;
            continue;
        }
        sums.error += error;
        sums.square += error * error;
        sums.error_max = sums.error_max.max(error.abs());
    }
    sums
}

/// `q - x`, where `x` is the input divided by the scale, and whether `x` is a whole number of steps.
fn error(quantizer: &Quantizer, code: i64, x: Real, scale_log2: i32) -> (f64, bool) {
    let scaled = Real { mantissa: x.mantissa, exponent: x.exponent - scale_log2 };
    let frac_bits = quantizer.format.frac_bits();
    let value = quantizer.value(code).to_f64();
    let (code, mantissa) = (i128::from(code), i128::from(scaled.mantissa));
    // Bound: 64 bits moved by at most 60.
    let (steps, unit) = match scaled.exponent + frac_bits {
        whole @ 0..=60 => (code - (mantissa << whole), -frac_bits),
        part @ -60..0 => ((code << -part) - mantissa, scaled.exponent),
        far => return (value - scaled.to_f64(), far > 0),
    };
    (steps as f64 * Real { mantissa: 1, exponent: unit }.to_f64(), scaled.exponent + frac_bits >= 0)
}

/// Whether `mantissa * 2^-shift` lies exactly between two integers.
const fn is_tie(mantissa: i64, shift: i32) -> bool {
    // Bound: a tie has `shift - 1` trailing zeros, and no mantissa but 0 has more than 63.
    1 <= shift && shift <= 64 && mantissa != 0 && mantissa.trailing_zeros() == shift.cast_unsigned() - 1
}

#[derive(Default)]
struct Sums {
    error: f64,
    square: f64,
    error_max: f64,
    saturated: u64,
    ties: u64,
    infinite: u64,
}

impl Sums {
    fn and(self, next: Self) -> Self {
        Self {
            error: self.error + next.error,
            square: self.square + next.square,
            error_max: self.error_max.max(next.error_max),
            saturated: self.saturated + next.saturated,
            ties: self.ties + next.ties,
            infinite: self.infinite + next.infinite,
        }
    }

    fn statistics(self, codes: &[i64]) -> Statistics {
        let n = codes.len() as u64;
        let n_finite = (n - self.infinite) as f64;
        Statistics {
            n,
            bias: self.error / n_finite,
            mse: self.square / n_finite,
            error_max: self.error_max,
            saturated: self.saturated,
            zeros: codes.par_iter().filter(|p| **p == 0).count() as u64,
            ties: self.ties,
            infinite: self.infinite,
            code_min: codes.par_iter().copied().min().unwrap_or(0),
            code_max: codes.par_iter().copied().max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn measure(values: Values, format: &str, round: &str, overflow: &str) -> Measured {
        let quantizer = quantizer(format, round, overflow).unwrap();
        run(&values, &quantizer, 1, Path::new("x.npy")).unwrap()
    }

    #[test]
    fn gupta_rounds_ties_down_and_saturates() {
        let x = Values::F64(vec![0.0, 2f64.powi(-13), -(2f64.powi(-13)), 100.0, f64::NEG_INFINITY]);
        let measured = measure(x, "Q4.12", "nearest-down", "saturate");
        assert_eq!(measured.codes, [0, 0, -1, 32_767, -32_768]);
        let s = measured.statistics;
        assert_eq!((s.n, s.saturated, s.zeros, s.ties, s.infinite), (5, 2, 2, 2, 1));
        let errors = [0.0, -(2f64.powi(-13)), -(2f64.powi(-13)), 32_767.0 / 4096.0 - 100.0];
        assert_eq!(s.bias, errors.iter().sum::<f64>() / 4.0);
        assert_eq!(s.error_max, 100.0 - 32_767.0 / 4096.0);
    }

    #[test]
    fn shift_divides_by_the_power_of_two_of_the_largest() {
        // Shift(0.3) = 2^-2: 0.3 / 0.25 saturates at 127/128.
        let measured =
            measure(Values::F64(vec![0.3, -0.1, 0.0]), "unit<8>@shift", "nearest-even", "saturate");
        assert_eq!((measured.scale_log2, measured.codes.as_slice()), (-2, &[127, -51, 0][..]));
        assert_eq!(measured.statistics.error_max, 0.3 / 0.25 - 127.0 / 128.0);
        assert_eq!(measure(Values::F64(vec![0.0]), "unit<8>@shift", "floor", "saturate").scale_log2, 0);
    }

    #[test]
    fn integers_wrap_and_clip() {
        let x = || Values::Integers(vec![130, -5, i64::MIN]);
        assert_eq!(measure(x(), "int<8>", "floor", "wrap").codes[..2], [-126, -5]);
        assert_eq!(measure(x(), "int<8>", "floor", "clip<3>").codes, [3, -3, -3]);
        // 64 bits are held one short of what two's complement has, and that is an error of 1.
        let measured = measure(Values::Integers(vec![i64::MIN, i64::MAX, 7]), "int<64>", "floor", "saturate");
        assert_eq!(measured.codes, [-i64::MAX, i64::MAX, 7]);
        assert_eq!((measured.statistics.error_max, measured.statistics.saturated), (1.0, 1));
    }

    #[test]
    fn words_are_those_of_the_stream_whatever_the_chunk() {
        let n = CHUNK + 5;
        let x = Values::F32(vec![0.375; n]);
        let measured = measure(x, "int<8>", "stochastic<16>", "saturate");
        let stream = Stream::new(1, Purpose::Tool, 0, 0);
        // floor(0.375 + r / 2^16), with r the top 16 bits of the word.
        let expected: Vec<i64> = (0..n as u64).map(|i| i64::from((stream.word(i) >> 16) >= 40_960)).collect();
        assert_eq!(measured.codes, expected);
        assert!(measured.statistics.bias.abs() < 0.01);
    }

    #[test]
    fn mistakes_name_the_value_and_the_remedy() {
        for (format, round, overflow, part) in [
            ("Q0.8", "floor", "wrap", "--as 'Q0.8' is fixed<IL,FL> needs"),
            ("float32", "floor", "wrap", "quantizes nothing"),
            ("unit<8>@alpha", "floor", "wrap", "write unit<8> or"),
            ("unit<8>", "nearest", "wrap", "nearest-even"),
            ("unit<8>", "floor", "clip-before<4>", "clip<N>"),
        ] {
            let message = quantizer(format, round, overflow).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let run = |format, x| {
            let quantizer = quantizer(format, "floor", "saturate").unwrap();
            run(&Values::F64(vec![1.0, x]), &quantizer, 1, Path::new("x.npy")).unwrap_err().to_string()
        };
        assert!(run("int<8>", f64::NAN).starts_with("x.npy: element 1 is NaN"));
        assert!(run("int<8>@shift", f64::INFINITY).starts_with("x.npy: element 1 is infinite"));
    }
}
