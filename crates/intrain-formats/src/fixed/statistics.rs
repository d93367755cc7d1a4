//! What a quantizer loses: the error `q - x`, where `q = code * step` and `x` is the number divided by the scale.
#![allow(clippy::cast_precision_loss, reason = "statistics: counts are below 2^53")]

use intrain_num::{Quantizer, Real};

use super::{CodeInt, Fixed, Numbers, Piece, Rounded};

/// What was lost by an array's codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// With `@shift`: the numbers were divided by `2^scale_log2`; else 0.
    pub scale_log2: i32,
    /// The error in numbers.
    pub statistics: Statistics,
}

/// The error in numbers.
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

/// Sums over some elements, in their order.
#[derive(Default)]
pub(super) struct Sums {
    error: f64,
    square: f64,
    error_max: f64,
    saturated: u64,
    zeros: u64,
    ties: u64,
    infinite: u64,
    /// Least and largest code.
    codes: Option<(i64, i64)>,
}

impl Sums {
    /// Adds a piece, and writes its codes.
    pub(super) fn add<T: CodeInt>(
        &mut self,
        fixed: &Fixed,
        scale_log2: i32,
        piece: &Piece<'_>,
        out: &mut [T],
    ) {
        match (&piece.rounded, piece.numbers) {
            (Rounded::Narrow(rounded), Numbers::F32(values)) => {
                self.add_narrow((fixed, scale_log2), values, rounded, out);
            }
            (Rounded::Narrow(_), _) => unreachable!("lanes serve binary32 alone"),
            (Rounded::Wide(rounded), numbers) => {
                for (i, (out, rounded)) in out.iter_mut().zip(*rounded).enumerate() {
                    let code = fixed.apply(*rounded);
                    *out = T::of(code);
                    // NaN was refused before.
                    let Some(x) = numbers.real(i) else { continue };
                    self.add_wide(fixed, scale_log2, (x, numbers.is_infinite(i)), *rounded, code);
                }
            }
        }
        for code in out {
            let code: i64 = (*code).into();
            self.zeros += u64::from(code == 0);
            let (min, max) = self.codes.unwrap_or((code, code));
            self.codes = Some((min.min(code), max.max(code)));
        }
    }

    /// Codes of few bits: all numbers here are exact in binary64, and a difference is rounded once.
    fn add_narrow<T: CodeInt>(
        &mut self,
        (fixed, scale_log2): (&Fixed, i32),
        values: &[f32],
        rounded: &[i32],
        out: &mut [T],
    ) {
        fixed.held(rounded, out, |code| T::of(code.into()));
        let power = |n: i32| Real { mantissa: 1, exponent: n }.to_f64();
        let (step, scale) = (fixed.step(), power(-scale_log2));
        let steps = power(fixed.quantizer().format.frac_bits());
        for ((x, rounded), code) in values.iter().zip(rounded).zip(out) {
            let code: i64 = (*code).into();
            self.saturated += u64::from(i64::from(*rounded) != code);
            if x.is_infinite() {
                self.infinite += 1;
                continue;
            }
            let x = f64::from(*x) * scale;
            let in_steps = x * steps;
            self.ties += u64::from(in_steps - in_steps.floor() == 0.5);
            self.add_error(code as f64 * step - x);
        }
    }

    fn add_wide(
        &mut self,
        fixed: &Fixed,
        scale_log2: i32,
        (x, is_infinite): (Real, bool),
        rounded: i64,
        code: i64,
    ) {
        let quantizer = fixed.quantizer();
        let shift_bits = scale_log2 - x.exponent - quantizer.format.frac_bits();
        let (error, is_whole) = error(quantizer, code, x, scale_log2);
        // What needs no rounding and is not its own code was held, at the latest by the 64 bits of a code.
        self.saturated += u64::from(rounded != code || (is_whole && error != 0.0));
        self.ties += u64::from(is_tie(x.mantissa, shift_bits));
        if is_infinite {
            self.infinite += 1;
        } else {
            self.add_error(error);
        }
    }

    fn add_error(&mut self, error: f64) {
        self.error += error;
        self.square += error * error;
        self.error_max = self.error_max.max(error.abs());
    }

    pub(super) fn and(self, next: Self) -> Self {
        let codes = match (self.codes, next.codes) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (codes, None) | (None, codes) => codes,
        };
        Self {
            error: self.error + next.error,
            square: self.square + next.square,
            error_max: self.error_max.max(next.error_max),
            saturated: self.saturated + next.saturated,
            zeros: self.zeros + next.zeros,
            ties: self.ties + next.ties,
            infinite: self.infinite + next.infinite,
            codes,
        }
    }

    pub(super) fn statistics(self, n: u64) -> Statistics {
        let n_finite = (n - self.infinite) as f64;
        let (code_min, code_max) = self.codes.unwrap_or((0, 0));
        Statistics {
            n,
            bias: self.error / n_finite,
            mse: self.square / n_finite,
            error_max: self.error_max,
            saturated: self.saturated,
            zeros: self.zeros,
            ties: self.ties,
            infinite: self.infinite,
            code_min,
            code_max,
        }
    }
}

/// `q - x`, where `x` is the number divided by the scale, and whether `x` is a whole number of steps.
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
