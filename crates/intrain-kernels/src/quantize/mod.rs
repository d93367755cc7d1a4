//! Floats to codes: `out[i] = clamp(round(values[i] * 2^frac_bits), min, max)`, on the exact value of each float.
//!
//! Nothing here is float arithmetic: a float is a mantissa and a power of two, and rounding drops bits of the mantissa.
//! Invariant: equal to `Round::shift_right` of `Real::from_f32` and `overflow::clamp`, element by element.

use std::fmt;

use intrain_num::Round;
use intrain_num::random::Stream;

use crate::elementwise::{self, Integer};
use crate::isa::Isa;
use crate::requantize::rounding;

mod body;
mod reference;
#[cfg(test)]
mod tests;
mod values;

pub use values::{ValueArgs, values};

/// Arguments of [`run`].
#[derive(Debug)]
pub struct Args<'a, T> {
    /// What is quantized. Infinities lie beyond every limit; NaN is refused.
    pub values: &'a [f32],
    /// Codes of 8, 16 or 32 bits, as many as values.
    pub out: &'a mut [T],
    /// Fraction bits of a code, less the power of two that the tensor is divided by: -512 to 512.
    pub frac_bits: i32,
    /// How.
    pub round: Round,
    /// Smallest code, in `T`.
    pub min: i64,
    /// Largest code, in `T` and at least `min`.
    pub max: i64,
    /// The random words; a stochastic rounding needs them, others don't look.
    pub stream: Option<Stream>,
    /// The place of `values[0]` in the stream. Bound: `first_element + values.len() <= 2^34`.
    pub first_element: u64,
}

/// A value that has no code: the first NaN among the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NanAt(
    /// Its index.
    pub usize,
);

impl fmt::Display for NanAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "element {} is NaN, which no format holds; replace it", self.0)
    }
}

impl std::error::Error for NanAt {}

/// Quantizes floats.
///
/// # Errors
/// A value is NaN; what `out` then holds is not said.
///
/// # Panics
/// When this CPU lacks `isa`, lengths differ, codes are wider than 32 bits, `frac_bits` or a limit is out of range,
/// a stochastic rounding has no stream or not 1 to 32 bits.
pub fn run<T: Integer>(isa: Isa, args: Args<'_, T>) -> Result<(), NanAt> {
    let Args { values, out, frac_bits, min, max, .. } = &args;
    assert_eq!(values.len(), out.len(), "quantize: values and out differ in length");
    assert!(T::BITS <= 32, "quantize: codes have up to 32 bits, not {}", T::BITS);
    assert!((-512..=512).contains(frac_bits), "quantize: {frac_bits} fraction bits are not in -512..=512");
    assert!(
        T::MIN <= *min && min <= max && *max <= T::MAX,
        "quantize: limits {min}..={max} must rise and lie in {}..={}",
        T::MIN,
        T::MAX
    );
    rounding::check(args.round, args.stream.is_some());
    elementwise::run(isa, args)
}
