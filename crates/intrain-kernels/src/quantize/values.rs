//! Floats to the values of their codes: `out[i] = clamp(round(values[i] * 2^frac_bits), min, max) * step`, in lanes of floats.
//!
//! Every operation of the lanes is exact, so this equals rounding the mantissa's bits: a product with a power of two, the whole part
//! and what it leaves, and comparisons of numbers of at most 24 bits. A stochastic rounding compares the fraction, times
//! `2^bits`, with a word's top bits, `r`: `floor(y + r / 2^bits)` is one above the whole part where the fraction is at least
//! `2^bits - r`, and below 0 one below it where the fraction is less than `-r`.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_arithmetic,
    reason = "every number here is exact: at most 24 bits, or a power of two"
)]

use intrain_num::overflow::clamp;
use intrain_num::random::Stream;
use intrain_num::{Real, Round};

use super::NanAt;
use crate::elementwise::{self, Operation};
use crate::isa::Isa;
use crate::requantize::rounding::{WordsOfChunk, word};

/// Elements with one fill of random words.
const CHUNK: usize = 768;
/// The largest magnitude of a code, all below which are binary32 numbers; and the most random bits.
const EXACT_BITS: u32 = 24;

/// Arguments of [`values`].
#[derive(Debug)]
pub struct ValueArgs<'a> {
    /// What is quantized. Infinities lie beyond every limit; NaN is refused.
    pub values: &'a [f32],
    /// As many values.
    pub out: &'a mut [f32],
    /// Fraction bits of a code, less the power of two that the tensor is divided by.
    pub frac_bits: i32,
    /// What a code is worth, as a power of two: -126 to 0.
    pub step_log2: i32,
    /// How.
    pub round: Round,
    /// Smallest code.
    pub min: i64,
    /// Largest code, at least `min`.
    pub max: i64,
    /// The random words; a stochastic rounding needs them, others don't look.
    pub stream: Option<Stream>,
    /// The place of `values[0]` in the stream. Bound: `first_element + values.len() <= 2^34`.
    pub first_element: u64,
}

impl ValueArgs<'_> {
    /// Whether [`values`] takes them: codes of at most 24 bits and a sign, at most as many random bits, and a scale by which no number
    /// loses a bit.
    #[must_use]
    pub const fn is_served(&self) -> bool {
        let limit = 1 << EXACT_BITS;
        let bits = match self.round {
            Round::Stochastic { bits } | Round::StochasticMagnitude { bits } => bits,
            _ => 0,
        };
        0 <= self.frac_bits
            && self.frac_bits <= 126
            && -126 <= self.step_log2
            && self.step_log2 <= 0
            && -limit <= self.min
            && self.min <= self.max
            && self.max <= limit
            && bits <= EXACT_BITS
    }
}

/// Quantizes floats to values.
///
/// # Errors
/// A value is NaN; what `out` then holds is not said.
///
/// # Panics
/// When this CPU lacks `isa`, lengths differ, the arguments are not served, or a stochastic rounding has no stream.
pub fn values(isa: Isa, args: ValueArgs<'_>) -> Result<(), NanAt> {
    assert_eq!(args.values.len(), args.out.len(), "quantize: values and out differ in length");
    assert!(args.is_served(), "quantize: codes, scale or random bits are too wide for lanes of floats");
    assert!(!args.round.is_stochastic() || args.stream.is_some(), "{} needs random words", args.round);
    elementwise::run(isa, args)
}

/// `2^n`. Bound: a normal number.
const fn power(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

impl Operation for ValueArgs<'_> {
    type Output = Result<(), NanAt>;

    fn reference(self) -> Result<(), NanAt> {
        let Self { values, out, frac_bits, step_log2, round, min, max, stream, first_element } = self;
        for (i, (out, &x)) in out.iter_mut().zip(values).enumerate() {
            let x = Real::from_f32(x).ok_or(NanAt(i))?;
            let word = word(stream.map(Into::into), round, first_element, i);
            let code = clamp(round.shift_right(x.mantissa, -x.exponent - frac_bits, word), min, max);
            *out = Real { mantissa: code, exponent: step_log2 }.to_f64() as f32;
        }
        Ok(())
    }

    #[inline(always)]
    fn vectorized(self, isa: Isa) -> Result<(), NanAt> {
        let Self { values, out, frac_bits, step_log2, round, min, max, stream, first_element } = self;
        let lanes = Lanes {
            scale: power(frac_bits),
            step: power(step_log2),
            // Exact: at most 24 bits.
            min: min as f32,
            max: max as f32,
        };
        let mut words = WordsOfChunk::<{ CHUNK + 4 }>::new(isa, stream.map(Into::into), round);
        let mut largest = 0;
        for (c, (values, out)) in values.chunks(CHUNK).zip(out.chunks_mut(CHUNK)).enumerate() {
            let words = words.get(first_element + (c * CHUNK) as u64, values.len());
            largest = largest.max(lanes.chunk(round, values, words, out));
        }
        if largest <= 0x7f80_0000 << 1 {
            return Ok(());
        }
        Err(NanAt(values.iter().position(|x| x.is_nan()).unwrap_or(0)))
    }
}

/// What each element needs.
struct Lanes {
    scale: f32,
    step: f32,
    min: f32,
    max: f32,
}

impl Lanes {
    /// Quantizes a chunk; gives the largest of its magnitudes as the bits of a float without the sign.
    #[inline(always)]
    fn chunk(&self, round: Round, values: &[f32], words: &[u32], out: &mut [f32]) -> u32 {
        match round {
            Round::NearestEven => self.plain(values, out, f32::round_ties_even),
            Round::Floor => self.plain(values, out, f32::floor),
            Round::TowardZero => self.plain(values, out, f32::trunc),
            Round::NearestDown => self.by_fraction(values, words, out, |f, _| one(f > 0.5) - one(f <= -0.5)),
            Round::NearestAway => self.by_fraction(values, words, out, |f, _| one(f >= 0.5) - one(f <= -0.5)),
            Round::Stochastic { bits } => {
                let (unused, whole) = (32 - bits, power(bits as i32));
                self.by_fraction(values, words, out, |f, word| {
                    let (g, r) = (f * whole, (word >> unused) as i32 as f32);
                    one(g >= whole - r) - one(g < -r)
                })
            }
            Round::StochasticMagnitude { bits } => {
                let (unused, whole) = (32 - bits, power(bits as i32));
                self.by_fraction(values, words, out, |f, word| {
                    let (g, above) = (f * whole, (word >> unused) as i32 as f32 + 1.0);
                    one(g >= above) - one(g <= -above)
                })
            }
        }
    }

    /// A rounding that is an instruction.
    #[inline(always)]
    fn plain(&self, values: &[f32], out: &mut [f32], round: impl Fn(f32) -> f32) -> u32 {
        let mut largest = 0;
        for (out, &x) in out.iter_mut().zip(values) {
            largest = largest.max(x.to_bits() << 1);
            *out = self.value(round(x * self.scale));
        }
        largest
    }

    /// A rounding that adds to the whole part what the fraction, with its sign, decides.
    #[inline(always)]
    fn by_fraction(
        &self,
        values: &[f32],
        words: &[u32],
        out: &mut [f32],
        adds: impl Fn(f32, u32) -> f32,
    ) -> u32 {
        let mut largest = 0;
        for ((out, &x), &word) in out.iter_mut().zip(values).zip(words) {
            largest = largest.max(x.to_bits() << 1);
            let y = x * self.scale;
            let whole = y.trunc();
            // Exact. Infinity leaves NaN, by which no comparison holds.
            *out = self.value(whole + adds(y - whole, word));
        }
        largest
    }

    /// The value of a code that may lie beyond the limits; never -0.
    #[inline(always)]
    fn value(&self, code: f32) -> f32 {
        let held = if code > self.min { code } else { self.min };
        let held = if held < self.max { held } else { self.max };
        held * self.step + 0.0
    }
}

/// 1 where a comparison holds.
#[inline(always)]
fn one(holds: bool) -> f32 {
    if holds { 1.0 } else { 0.0 }
}
