//! Quantization chunk by chunk: a float becomes the floor and the top 32 bits of the fraction of its code, in lanes
//! of 32 bits, and what the rounding adds to the fraction carries into the floor.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lanes change between signed and unsigned, and limits lie in 32 bits"
)]

use std::ops::RangeInclusive;

use intrain_num::Round;

use super::{Args, NanAt};
use crate::elementwise::{Integer, Operation};
use crate::isa::Isa;
use crate::requantize::rounding::{Biased, Lane, WordsOfChunk};

/// Elements with one fill of random words: what Philox computes at once, some times over, in the nearest cache.
const CHUNK: usize = 768;

/// Sign and infinity as the bits of a float; NaN lies above infinity.
const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;

/// The fraction bits that lanes serve.
///
/// Exact: with at most as many, what is below 2^-126 has a code below 2^-32, of which only the sign matters; with at
/// least as many, infinity, read as 2^128, has one beyond every limit.
const FRAC_BITS: RangeInclusive<i32> = -96..=94;

impl<T: Integer> Operation for Args<'_, T> {
    type Output = Result<(), NanAt>;

    fn reference(self) -> Result<(), NanAt> {
        super::reference::run(self)
    }

    #[inline(always)]
    fn vectorized(self, isa: Isa) -> Result<(), NanAt> {
        if !FRAC_BITS.contains(&self.frac_bits) {
            return self.reference();
        }
        let Self { values, out, frac_bits, round, min, max, stream, first_element } = self;
        let (last, min, max) = ((149 - frac_bits) as u32, min as i32, max as i32);
        let mut words = WordsOfChunk::<{ CHUNK + 4 }>::new(isa, stream.map(Into::into), round);
        let mut largest = 0;
        for (c, (values, out)) in values.chunks(CHUNK).zip(out.chunks_mut(CHUNK)).enumerate() {
            let words = words.get(first_element + (c * CHUNK) as u64, values.len());
            let largest = &mut largest;
            if matches!(round, Round::StochasticMagnitude { .. }) {
                let elements = Elements::<T, true> { values, out, words, last, min, max, largest };
                i32::with_bias(round, 32, elements);
            } else {
                let elements = Elements::<T, false> { values, out, words, last, min, max, largest };
                i32::with_bias(round, 32, elements);
            }
        }
        if largest <= INFINITY << 1 {
            return Ok(());
        }
        Err(NanAt(values.iter().position(|x| x.is_nan()).unwrap_or(0)))
    }
}

/// The elements of a chunk. Bits too small for the fraction are dropped from the magnitude, or rounded down.
struct Elements<'a, T, const OF_MAGNITUDE: bool> {
    values: &'a [f32],
    out: &'a mut [T],
    words: &'a [u32],
    /// The last biased exponent with a fraction: half a code is the last bit of its mantissa.
    last: u32,
    min: i32,
    max: i32,
    /// Largest magnitude so far, as the bits of its float without the sign.
    largest: &'a mut u32,
}

impl<T: Integer, const OF_MAGNITUDE: bool> Biased<i32> for Elements<'_, T, OF_MAGNITUDE> {
    #[inline(always)]
    fn run(self, bias: impl Fn(i32, u32) -> u32) {
        let Self { values, out, words, last, min, max, .. } = self;
        let mut largest = *self.largest;
        for ((code, &x), &word) in out.iter_mut().zip(values).zip(words) {
            let bits = x.to_bits();
            largest = largest.max(bits << 1);
            let (floor, fraction) = split::<T, OF_MAGNITUDE>(bits, last);
            // Exact: the carry out of `fraction + bias`. Bound: where the floor passes 2^23 there is no fraction.
            let rounded = if fraction > !bias(floor, word) { floor + 1 } else { floor };
            *code = T::from_i32(rounded.max(min).min(max));
        }
        *self.largest = largest;
    }
}

/// The floor of a float's code and the top 32 bits of its fraction; a number that is too large stays too large.
#[inline(always)]
fn split<T: Integer, const OF_MAGNITUDE: bool>(bits: u32, last: u32) -> (i32, u32) {
    // Exact: what is below 2^-126 gets a leading bit that it lacks, and keeps its sign; -0 is read as positive.
    let mantissa = (bits & 0x7f_ffff | 0x80_0000) as i32;
    let is_negative = bits > SIGN;
    let signed = |x: i32| if is_negative { -x } else { x };
    // Exact: held at `last`. Numbers above have no fraction, and even halved they have 22 bits or more.
    let exponent = (bits << 1).min(last << 24 | 0xff_ffff) >> 24;
    // One bit less than there are below the point: 32 of those become the fraction, the lowest are dropped.
    let below = last - exponent;
    let lost = below.saturating_sub(31).min(31);
    let x = if OF_MAGNITUDE { signed(mantissa >> lost) } else { signed(mantissa) >> lost };
    let (floor, fraction) = (x >> (below + 1).min(31), (x as u32) << 31u32.saturating_sub(below));
    let exponent = bits << 1 >> 24;
    if T::BITS <= 16 || exponent <= last {
        return (floor, fraction);
    }
    // Bound: mantissa < 2^24, and 2^23 * 2^8 is beyond 32 bits already, or their smallest.
    let whole = match exponent - last {
        up @ 1..9 => signed(mantissa) << (up - 1),
        _ if is_negative => i32::MIN,
        _ => i32::MAX,
    };
    (whole, 0)
}
