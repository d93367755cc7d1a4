//! The terms of an update with momentum and weight decay, as integers on one grid: what is rounded once behind them.
//!
//! Section 8.3 of `docs/arithmetic.md`. Invariant: the sum is exact; the check before a run has proven that it fits.

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::requantize::{self, Args, Trace};
use intrain_kernels::{Integer, Isa};
use intrain_nn::{BlockPlan, Gradient, StepKey, Stored};
use intrain_num::random::{Purpose, RandomBits, Stream};
use intrain_num::scale::round_log2;
use intrain_num::{Quantizer, Scale};
use rayon::prelude::*;

use super::{Hyper, Part, WeightUpdate, largest, rounding};
use crate::rate::Rate;

/// The exact sum in front of the one rounding: rate * G, decay * W, momentum * v, aligned.
pub(super) struct Terms {
    /// Mantissa of each term's rate, and the places by which its product is moved.
    factors: [(i64, i32); 3],
    /// Fraction bits of the sum.
    pub(super) frac_bits: i32,
}

impl Terms {
    pub(super) fn new(block: &BlockPlan, hyper: Hyper, rate: f64, rate_of_sum: f64, part: &Part) -> Self {
        let rates = [rate_of_sum, rate * hyper.weight_decay, hyper.momentum].map(Rate::new);
        let code_frac_bits = [
            part.gradient_frac_bits,
            block.weight.master_frac_bits(),
            rounding(block, hyper).0.format.frac_bits() + block.weight.fan_shift,
        ];
        let mut digits: [i32; 3] = std::array::from_fn(|i| code_frac_bits[i] - rates[i].exponent);
        let mut is_nothing = false;
        if let Some(bits) = part.kept_bits {
            // Bound: below 2^-40 of a step a gradient is nothing, and one so large that its places would pass 120 bits
            // saturates whatever it is.
            let others = (1..3).filter(|i| rates[*i].mantissa != 0).map(|i| digits[i]).max();
            let others = others.unwrap_or(code_frac_bits[2]);
            is_nothing = digits[0] > code_frac_bits[2] + bits + 55 || digits[0] - others > 84;
            digits[0] = if is_nothing { others } else { digits[0].max(others + bits - 105) };
        }
        let frac_bits = digits.into_iter().max().unwrap_or(0);
        let factor = |i: usize| match rates[i].mantissa {
            0 => (0, 0),
            _ if i == 0 && is_nothing => (0, 0),
            mantissa => (mantissa, frac_bits - digits[i]),
        };
        Self { factors: std::array::from_fn(factor), frac_bits }
    }

    /// Bits of the longest term: of gradients of `gradient_bits`, of weights and momentum of `block`.
    pub(super) fn bits(&self, gradient_bits: u32, block: &BlockPlan) -> u32 {
        let code_bits = [gradient_bits, block.weight.master.format.bits(), block.momentum.format.bits()];
        let bits = |((mantissa, places), code): (&(i64, i32), u32)| {
            bits_of(*mantissa) + code + places.unsigned_abs()
        };
        self.factors.iter().zip(code_bits).map(bits).max().unwrap_or(0)
    }

    /// Bound: [`super::check`] has proven that each term fits.
    fn sum(&self, codes: [i64; 3]) -> i128 {
        let term = |((mantissa, places), code): (&(i64, i32), i64)| {
            (i128::from(*mantissa) * i128::from(code)) << places
        };
        self.factors.iter().zip(codes).map(term).sum()
    }

    /// The same of the elements from number `start` on, where all sums fit 64 bits: term by term, in vectors.
    fn short_sums(
        &self,
        (gradient, master, momentum): (&Gradient, &Stored, Option<&Stored>),
        start: usize,
        sums: &mut [i64],
    ) {
        let [gradient_factor, master_factor, momentum_factor] = self.factors;
        let end = start + sums.len();
        match gradient {
            Gradient::I32(g) => add_term(gradient_factor, &g[start..end], sums),
            Gradient::I64(g) => add_term(gradient_factor, &g[start..end], sums),
            Gradient::F32(_) => {}
        }
        let stored = [Some(master), momentum].into_iter().zip([master_factor, momentum_factor]);
        for (stored, factor) in stored.filter(|(_, (mantissa, _))| *mantissa != 0) {
            match stored {
                Some(Stored::I8(v)) => add_term(factor, &v[start..end], sums),
                Some(Stored::I16(v)) => add_term(factor, &v[start..end], sums),
                Some(Stored::I32(v)) => add_term(factor, &v[start..end], sums),
                Some(Stored::F32(_)) | None => {}
            }
        }
    }

    /// Rounds the sum of each element, held in the row's format; how many came to nothing though the sum was not 0.
    pub(super) fn round(
        &self,
        rounding: &Rounding,
        (gradient, master, momentum): (&Gradient, &Stored, Option<&Stored>),
        first_element: u64,
        updates: &mut [i32],
    ) -> u64 {
        let codes = |i| [gradient.integer(i), master.code(i), momentum.map_or(0, |v| v.code(i))];
        let chunks = updates.par_chunks_mut(CHUNK).enumerate();
        let dead = chunks.map(|(chunk, updates)| {
            let start = chunk * CHUNK;
            let first = first_element + start as u64;
            if rounding.is_short {
                let mut sums = [0; CHUNK];
                let sums = &mut sums[..updates.len()];
                self.short_sums((gradient, master, momentum), start, sums);
                rounding.short(sums, first, updates)
            } else {
                let sums = (0..updates.len()).map(|i| self.sum(codes(start + i)));
                rounding.long(sums, first, updates)
            }
        });
        dead.sum()
    }
}

/// Elements that one thread rounds at a time.
const CHUNK: usize = 1024;

/// How sums become updates.
pub(super) struct Rounding {
    pub(super) isa: Isa,
    /// The row that rounds.
    pub(super) row: Quantizer,
    /// Fraction bits of the sums below the row's step.
    pub(super) shift: i32,
    pub(super) stream: Option<Stream>,
    /// Whether all sums fit 64 bits.
    pub(super) is_short: bool,
}

impl Rounding {
    /// Sums as codes of the row, held in its range, into `out`; the first is the element of that number.
    pub(super) fn codes<S: Integer + Sync>(&self, sums: &[S], first_element: u64, out: &mut Vec<i32>) {
        let Self { isa, row, shift, stream, .. } = *self;
        let (min, max, round) = (row.format.min(), row.format.max(), row.round);
        out.resize(sums.len(), 0);
        out.par_chunks_mut(CHUNK).zip(sums.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (out, sums))| {
            let first_element = first_element + (chunk * CHUNK) as u64;
            let trace = Trace::None;
            let words = stream.map(RandomBits::Stream);
            requantize::run(isa, Args { sums, out, shift, round, min, max, words, first_element, trace });
        });
    }

    fn short(&self, sums: &[i64], first_element: u64, updates: &mut [i32]) -> u64 {
        let Self { isa, row, shift, stream, .. } = *self;
        let (min, max, round) = (row.format.min(), row.format.max(), row.round);
        let out = &mut *updates;
        let trace = Trace::None;
        let words = stream.map(RandomBits::Stream);
        requantize::run(isa, Args { sums, out, shift, round, min, max, words, first_element, trace });
        let dead = |(update, sum): &(&mut i32, &i64)| **update == 0 && **sum != 0;
        updates.iter_mut().zip(sums).filter(dead).count() as u64
    }

    fn long(&self, sums: impl Iterator<Item = i128>, first_element: u64, updates: &mut [i32]) -> u64 {
        let Self { row, shift, stream, .. } = *self;
        let mut n_dead = 0;
        for ((i, sum), update) in (first_element..).zip(sums).zip(updates) {
            let word = stream.map_or(0, |s| s.word(i));
            let rounded = row.round.shift_right_wide(sum, shift, word);
            let held = rounded.clamp(row.format.min(), row.format.max());
            *update = i32::try_from(held).unwrap_or_else(|_| unreachable!("{held} exceeds a stored format"));
            n_dead += u64::from(held == 0 && sum != 0);
        }
        n_dead
    }
}

/// Adds `code * mantissa * 2^places` to each sum.
fn add_term<T: Integer>((mantissa, places): (i64, i32), codes: &[T], sums: &mut [i64]) {
    for (sum, code) in sums.iter_mut().zip(codes) {
        let code: i64 = (*code).into();
        *sum += (code * mantissa) << places;
    }
}

/// Replaces each code by that of `f(place, code)`; how many times `f` also said true.
pub(super) fn store(stored: &mut Stored, f: impl Fn(usize, i64) -> (i64, bool) + Sync) -> u64 {
    /// `f` over all threads.
    fn each<T: Integer + Send>(values: &mut [T], f: impl Fn(usize, i64) -> (i64, bool) + Sync) -> u64 {
        let n_true = AtomicU64::new(0);
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            let mut of_chunk = 0;
            for (i, value) in values.iter_mut().enumerate() {
                let (next, is_true) = f(chunk * CHUNK + i, (*value).into());
                // Bound: codes of a format that the type was chosen for.
                *value = T::from_i64(next);
                of_chunk += u64::from(is_true);
            }
            n_true.fetch_add(of_chunk, Ordering::Relaxed);
        });
        n_true.into_inner()
    }
    match stored {
        Stored::I8(values) => each(values, f),
        Stored::I16(values) => each(values, f),
        Stored::I32(values) => each(values, f),
        Stored::F32(_) => 0,
    }
}

/// Bits of a magnitude.
pub(super) const fn bits_of(x: i64) -> u32 {
    64 - x.unsigned_abs().leading_zeros()
}

/// Codes of one tensor, which the next one uses again.
#[derive(Debug, Clone, Default)]
pub(super) struct Rounded {
    pub(super) gradient: Vec<i32>,
    pub(super) updates: Vec<i32>,
}

impl WeightUpdate<'_> {
    /// The row `gradient` in front of a momentum: codes, which then are the gradient.
    pub(super) fn rounded(
        &self,
        gradient: &Gradient,
        part: &mut Part,
        key: StepKey,
        mut codes: Vec<i32>,
    ) -> Gradient {
        let row = self.block.gradient;
        let digits = row.format.frac_bits();
        let shift = match row.scale {
            Scale::Shift => {
                let largest = part.gradient_max.unwrap_or_else(|| largest(self.isa, gradient));
                round_log2(largest).unwrap_or(0) - digits
            }
            _ => part.gradient_frac_bits - digits,
        };
        let stream = Stream::new(key.seed, Purpose::Gradient, self.block.index, key.step);
        let stream = row.round.is_stochastic().then_some(stream);
        *part = Part {
            gradient_frac_bits: digits,
            gradient_max: None,
            kept_bits: None,
            first_element: part.first_element,
            is_bias: part.is_bias,
        };
        let rounding = Rounding { isa: self.isa, row, shift, stream, is_short: true };
        match gradient {
            Gradient::I32(sums) => rounding.codes(sums, part.first_element, &mut codes),
            Gradient::I64(sums) => rounding.codes(sums, part.first_element, &mut codes),
            Gradient::F32(_) => unreachable!("floats are not rounded here"),
        }
        Gradient::I32(codes)
    }
}
