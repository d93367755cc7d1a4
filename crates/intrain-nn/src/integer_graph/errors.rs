//! Errors on their way back: words with the power of two that they are worth, and the payloads that they are cut to.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::fixed_norm::{self, Store};
use intrain_kernels::requantize::{self, Trace};
use intrain_kernels::{Isa, max_abs};
use intrain_num::random::{Purpose, Stream, Words as RandomWords};
use intrain_num::scale::round_log2;
use intrain_num::{Quantizer, Round, Scale};
use rayon::prelude::*;

use super::Room;
use crate::network::StepKey;
use crate::plan::BlockPlan;
use crate::threads;
use crate::width::Width;

/// Errors of 16 bits: `value = word * 2^exponent`.
pub(super) struct Words {
    pub(super) words: Vec<i16>,
    pub(super) exponent: i32,
    /// Their largest magnitude.
    pub(super) largest: u64,
}

/// Errors as a product reads them: `value = payload * 2^exponent`.
pub(super) struct Cut<W: Width> {
    pub(super) payloads: Vec<W::Payload>,
    pub(super) exponent: i32,
    pub(super) largest: u64,
}

/// Elements that one thread takes at a time.
pub(super) const CHUNK: usize = 1 << 14;

impl<W: Width> Cut<W> {
    pub(super) fn new(isa: Isa, payloads: Vec<W::Payload>, exponent: i32) -> Self {
        let largest = payloads.par_chunks(CHUNK).map(|chunk| max_abs::run(isa, chunk)).max().unwrap_or(0);
        Self { payloads, exponent, largest }
    }
}

/// Bits to drop so that magnitudes of at most `bound` fit a word.
pub(super) const fn surplus(bound: u128) -> u32 {
    (128 - bound.leading_zeros()).saturating_sub(15)
}

/// How integers of which the largest is known become the payloads of a product's error.
pub(super) struct Station {
    pub(super) quantizer: Quantizer,
    /// Bits dropped.
    pub(super) shift: i32,
    /// What a payload of 1 is worth, as a power of two.
    pub(super) exponent: i32,
    stream: Option<Stream>,
}

impl Station {
    /// For the error at the output of `block`'s product, given as integers that are worth `2^exponent` each.
    pub(super) fn new(block: &BlockPlan, largest: u64, exponent: i32, key: StepKey) -> Self {
        let quantizer = block.error_at_activation;
        let digits = quantizer.format.frac_bits();
        let n = round_log2(largest).unwrap_or(0);
        let (shift, kept) = match quantizer.scale {
            Scale::Dynamic => (n - digits, exponent + n - digits),
            // The power of two is forgotten.
            Scale::Shift => (n - digits, -digits),
            _ => (-digits - exponent, -digits),
        };
        let stream = Stream::new(key.seed, Purpose::ErrorAtActivation, block.index, key.step);
        let stream = quantizer.round.is_stochastic().then_some(stream);
        Self { quantizer, shift, exponent: kept, stream }
    }

    /// Cuts `sums`, the first of which is the tensor's element of that number; the largest magnitude of what comes out.
    pub(super) fn cut<S: intrain_kernels::Integer, P: intrain_kernels::Integer>(
        &self,
        isa: Isa,
        sums: &[S],
        first_element: u64,
        out: &mut [P],
    ) -> u64 {
        let Quantizer { round, format, .. } = self.quantizer;
        let (shift, stream, trace) = (self.shift, self.stream, Trace::None);
        let (min, max, target) = (format.min(), format.max(), &mut *out);
        let words = stream.map(RandomWords::Stream);
        requantize::run(
            isa,
            requantize::Args { sums, out: target, shift, round, min, max, words, first_element, trace },
        );
        max_abs::run(isa, out)
    }
}

/// Words as the error at the output of `block`'s product.
pub(super) fn cut<W: Width>(isa: Isa, block: &BlockPlan, error: &Words, key: StepKey) -> Cut<W> {
    let station = Station::new(block, error.largest, error.exponent, key);
    let mut payloads = vec![W::Payload::default(); error.words.len()];
    let largest = payloads
        .par_chunks_mut(CHUNK)
        .zip(error.words.par_chunks(CHUNK))
        .enumerate()
        .map(|(i, (out, words))| station.cut(isa, words, (i * CHUNK) as u64, out))
        .max();
    Cut { payloads, exponent: station.exponent, largest: largest.unwrap_or(0) }
}

/// Places beyond which the smaller of two tensors of words counts as nothing.
const FAR: i32 = 30;

/// The sum of two tensors of errors, and a buffer that is free again.
///
/// The sum is exact, then rounded once to the fewest places with which no sum of the two largest magnitudes overflows.
pub(super) fn add(isa: Isa, a: Words, b: Words, rooms: &mut [Room]) -> (Words, Vec<i16>) {
    let (mut high, low) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
    let apart = high.exponent - low.exponent;
    if low.largest == 0 || (apart > FAR && high.largest > 0) {
        return (high, low.words);
    }
    if high.largest == 0 {
        return (low, high.words);
    }
    let bound = (u128::from(high.largest) << apart) + u128::from(low.largest);
    let shift = surplus(bound).cast_signed();
    let largest = AtomicU64::new(0);
    let chunks = high.words.chunks_mut(CHUNK).zip(low.words.chunks(CHUNK));
    threads::for_each(rooms, chunks, |room, (high, low)| {
        if bound < 1 << 31 {
            let lanes = room.lanes(low.len());
            fixed_norm::add_shifted(isa, high, apart.unsigned_abs(), lanes, Store::Set);
            fixed_norm::add_shifted(isa, low, 0, lanes, Store::Add);
            round(isa, lanes, shift, high);
        } else {
            let sum = |(h, l): (&i16, &i16)| (i64::from(*h) << apart) + i64::from(*l);
            room.wide.clear();
            room.wide.extend(high.iter().zip(low).map(sum));
            round(isa, &room.wide, shift, high);
        }
        largest.fetch_max(max_abs::run(isa, high), Ordering::Relaxed);
    });
    high.exponent = low.exponent + shift;
    high.largest = largest.into_inner();
    (high, low.words)
}

/// Sums to words, to the nearest, ties down.
pub(super) fn round<S: intrain_kernels::Integer>(isa: Isa, sums: &[S], shift: i32, out: &mut [i16]) {
    let (min, max) = (-i64::from(i16::MAX), i64::from(i16::MAX));
    let (round, words, first_element, trace) = (Round::NearestDown, None, 0, Trace::None);
    requantize::run(isa, requantize::Args { sums, out, shift, round, min, max, words, first_element, trace });
}
