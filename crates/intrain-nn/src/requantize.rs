//! The one place where errors are rounded, and where those that meet are added up.
//!
//! Section 7 of `docs/arithmetic.md`. An error carries the power of two that it is worth, so that errors of two readers can be
//! added; every sum is exact before its one rounding.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::fixed_norm::{self, Store};
use intrain_kernels::requantize::{self, Trace};
use intrain_kernels::{Integer, Isa, max_abs};
use intrain_num::random::{Purpose, RandomBits, Stream};
use intrain_num::scale::round_log2;
use intrain_num::{Quantizer, Round, Scale};
use rayon::prelude::*;

use crate::key::StepKey;
use crate::scratch::Scratch;
use crate::tensor::{Buffers, Element, Error, Pooled};
use crate::threads;

/// Elements that one thread takes at a time.
pub(crate) const CHUNK: usize = 1 << 12;

/// Bits to drop so that magnitudes of at most `bound` fit 16 bits.
pub(crate) const fn surplus(bound: u128) -> u32 {
    (128 - bound.leading_zeros()).saturating_sub(15)
}

/// How integers of which the largest magnitude is known become the error codes of a product.
pub(crate) struct ErrorQuantizer {
    quantizer: Quantizer,
    /// Bits dropped.
    shift: i32,
    /// What a code of 1 is worth, as a power of two.
    pub(crate) exponent: i32,
    stream: Option<Stream>,
}

impl ErrorQuantizer {
    /// By the row `quantizer` for the output of block `layer`, of integers that are worth `2^exponent` each.
    pub(crate) fn new(quantizer: Quantizer, layer: u32, max_abs: u64, exponent: i32, key: StepKey) -> Self {
        let frac_bits = quantizer.format.frac_bits();
        let n = round_log2(max_abs).unwrap_or(0);
        let (shift, kept) = match quantizer.scale {
            Scale::Dynamic => (n - frac_bits, exponent + n - frac_bits),
            // The power of two is forgotten.
            Scale::Shift => (n - frac_bits, -frac_bits),
            _ => (-frac_bits - exponent, -frac_bits),
        };
        let stream = key.stream(Purpose::ErrorAtActivation, layer);
        let stream = quantizer.round.is_stochastic().then_some(stream);
        Self { quantizer, shift, exponent: kept, stream }
    }

    /// Rounds `sums`, the first of which is the tensor's element of that number; the largest magnitude of what comes out.
    pub(crate) fn run<S: Integer, P: Integer>(
        &self,
        isa: Isa,
        sums: &[S],
        first_element: u64,
        out: &mut [P],
    ) -> u64 {
        let Quantizer { round, format, .. } = self.quantizer;
        let (shift, trace, target) = (self.shift, Trace::None, &mut *out);
        let (min, max, words) = (format.min(), format.max(), self.stream.map(RandomBits::Stream));
        let args =
            requantize::Args { sums, out: target, shift, round, min, max, words, first_element, trace };
        requantize::run(isa, args);
        max_abs::run(isa, out)
    }

    /// A whole tensor of wide errors.
    pub(crate) fn run_all<P: Integer + Pooled>(&self, isa: Isa, wide: &[i16], free: &mut Buffers) -> Error {
        let mut codes: Vec<P> = free.take(wide.len());
        let max_abs = codes
            .par_chunks_mut(CHUNK)
            .zip(wide.par_chunks(CHUNK))
            .enumerate()
            .map(|(i, (out, wide))| self.run(isa, wide, (i * CHUNK) as u64, out))
            .max();
        Error { tensor: P::tensor(codes), exponent: self.exponent, max_abs: max_abs.unwrap_or(0) }
    }
}

/// Bits beyond which the smaller of two tensors of errors counts as nothing.
const FAR: i32 = 30;

/// The sum of two tensors of wide errors; the buffer that it does not need is free again.
///
/// The sum is exact, then rounded once to the fewest bits with which no sum of the two largest magnitudes overflows.
pub(crate) fn add(isa: Isa, a: Error, b: Error, scratches: &mut [Scratch], free: &mut Buffers) -> Error {
    let (mut high, low) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
    let apart = high.exponent - low.exponent;
    if low.max_abs == 0 || (apart > FAR && high.max_abs > 0) {
        free.put(low.tensor);
        return high;
    }
    if high.max_abs == 0 {
        free.put(high.tensor);
        return low;
    }
    let bound = (u128::from(high.max_abs) << apart) + u128::from(low.max_abs);
    let shift = surplus(bound).cast_signed();
    let wide = i16::of_mut(&mut high.tensor);
    let chunks = wide.chunks_mut(CHUNK).zip(i16::of(&low.tensor).chunks(CHUNK));
    let max_abs = threads::max(scratches, chunks, |scratch, (high, low)| {
        if bound < 1 << 31 {
            let lanes = scratch.lanes(low.len());
            fixed_norm::add_shifted(isa, high, apart.unsigned_abs(), lanes, Store::Set);
            fixed_norm::add_shifted(isa, low, 0, lanes, Store::Add);
            to_wide(isa, lanes, shift, high);
        } else {
            let sum = |(h, l): (&i16, &i16)| (i64::from(*h) << apart) + i64::from(*l);
            scratch.wide.clear();
            scratch.wide.extend(high.iter().zip(low).map(sum));
            to_wide(isa, &scratch.wide, shift, high);
        }
        max_abs::run(isa, high)
    });
    high.exponent = low.exponent + shift;
    high.max_abs = max_abs;
    free.put(low.tensor);
    high
}

/// Sums to wide errors, to the nearest, ties down.
fn to_wide<S: Integer>(isa: Isa, sums: &[S], shift: i32, out: &mut [i16]) {
    let (min, max) = (-i64::from(i16::MAX), i64::from(i16::MAX));
    let (round, words, first_element, trace) = (Round::NearestDown, None, 0, Trace::None);
    requantize::run(isa, requantize::Args { sums, out, shift, round, min, max, words, first_element, trace });
}
