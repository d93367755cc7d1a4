//! A layer norm of integers: each pixel's channels by their own exact sums, forward and back.
//!
//! Section 7.5 of `docs/arithmetic.md`. Nothing is kept between the passes: a pixel's line is computed wherever it is needed.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::fixed_norm::Store;
use intrain_kernels::max_abs;
use intrain_num::norm::{Back, ErrorSums, Line, LineBack, Moments as Sums};
use intrain_num::{Quantizer, Spread};
use rayon::prelude::*;

use super::learned::{Learned, chunk, mean_shift};
use crate::key::StepKey;
use crate::ops::product::Workspace;
use crate::parameters::Parameters;
use crate::plan::{BlockPlan, NormPlan};
use crate::requantize::ErrorQuantizer;
use crate::scratch::Scratch;
use crate::tensor::{Code, Element, Error};
use crate::threads;

/// One layer normalization.
pub(crate) struct LayerNorm {
    plan: NormPlan,
    learned: Learned,
    /// Gain and offset in the sum's last bit.
    scaled: [Vec<i64>; 2],
}

/// What a pixel is normalized by.
struct Pixel {
    mean: i64,
    line: Line,
}

impl LayerNorm {
    pub(crate) fn new(plan: NormPlan) -> Self {
        Self { plan, learned: Learned::default(), scaled: [vec![], vec![]] }
    }

    pub(crate) fn load(&mut self, block: &BlockPlan, parameters: &Parameters) {
        self.learned.load(&self.plan, block, parameters);
    }

    /// The results are to be moved by `shift`.
    pub(crate) fn prepare(&mut self, shift: u32) {
        self.scaled = self.learned.scaled(&self.plan, shift);
    }

    fn pixel(&self, x: &[i16]) -> Pixel {
        let rows = self.plan.rows;
        let sum = x.iter().map(|x| i64::from(*x)).sum();
        let squares = x.iter().map(|x| i64::from(i32::from(*x) * i32::from(*x))).sum();
        let moments = Sums { n: x.len() as u64, sum, other: squares };
        let mean = rows.mean(moments);
        let other = match rows.spread {
            Spread::L1 => x.iter().map(|x| self.distance(*x, mean).abs()).sum(),
            // The plan refuses ranges, which are those of a batch's parts.
            Spread::L2 | Spread::Range => squares,
        };
        Pixel { mean, line: rows.line(mean, rows.spread(Sums { other, ..moments })) }
    }

    /// From the mean, in its last bit.
    fn distance(&self, x: i16, mean: i64) -> i64 {
        (i64::from(x) << mean_shift(&self.plan.rows)) - mean
    }

    /// `value * gain + offset` of whole pixels.
    pub(crate) fn apply(&self, x: &[i16], out: &mut [i32], store: Store) {
        let [gain, offset] = &self.scaled;
        let (c, rows) = (gain.len(), self.plan.rows);
        for (x, out) in x.chunks_exact(c).zip(out.chunks_exact_mut(c)) {
            let line = self.pixel(x).line;
            for (i, (x, out)) in x.iter().zip(out).enumerate() {
                // Bound: it fits 32 bits, as the plan has proven for the sum.
                let y =
                    i32::try_from(rows.value((*x).into(), line) * gain[i] + offset[i]).unwrap_or(i32::MAX);
                match store {
                    Store::Set => *out = y,
                    Store::Add => *out += y,
                }
            }
        }
    }

    /// Adds each channel's errors, and errors times values, of whole pixels.
    pub(crate) fn add_products(&self, x: &[i16], error: &[i16], [errors, products]: &mut [Vec<i64>; 2]) {
        let (c, rows) = (errors.len(), self.plan.rows);
        for (x, error) in x.chunks_exact(c).zip(error.chunks_exact(c)) {
            let line = self.pixel(x).line;
            for (i, (x, error)) in x.iter().zip(error).enumerate() {
                errors[i] += i64::from(*error);
                products[i] += i64::from(*error) * rows.value((*x).into(), line);
            }
        }
    }

    /// A pixel's line, and its sums of the errors times their gains.
    fn sums(&self, x: &[i16], error: &[i16]) -> (Pixel, ErrorSums) {
        let (pixel, mut sums) = (self.pixel(x), ErrorSums::default());
        for ((x, error), gain) in x.iter().zip(error).zip(&self.learned.gain) {
            let u = i64::from(*error) * gain;
            sums.errors += u;
            sums.products += u * self.plan.rows.value((*x).into(), pixel.line);
            sums.signs += self.distance(*x, pixel.mean).signum();
        }
        (pixel, sums)
    }

    /// The lines back of all pixels, and what 1 of their unit is worth.
    fn lines_back(&self, x: &[i16], error: &Error) -> (Vec<(Pixel, LineBack)>, i32) {
        let (rows, c) = (self.plan.rows, self.learned.gain.len());
        let of_pixel = |(x, error): (&[i16], &[i16])| self.sums(x, error);
        let sums: Vec<_> =
            x.par_chunks_exact(c).zip(i16::of(&error.tensor).par_chunks_exact(c)).map(of_pixel).collect();
        // Places with which no coefficient of an error is above 2^14.
        let bits = |(pixel, _): &(Pixel, ErrorSums)| {
            (64 - pixel.line.multiplier.leading_zeros()).cast_signed() - pixel.line.power.cast_signed()
        };
        let mut places = 14 - sums.iter().map(bits).max().unwrap_or(0);
        let largest_gain = self.learned.gain.iter().map(|gain| gain.unsigned_abs()).max().unwrap_or(0);
        let (largest, value_max) = (error.max_abs * largest_gain, rows.value.format.magnitude());
        let lines = loop {
            let back = Back { rows, n: c as u64, places };
            let lines: Vec<_> = sums.iter().map(|(pixel, sums)| back.line(1, pixel.line, *sums)).collect();
            // Bound: what the lines add up fits 63 bits.
            if lines.iter().all(|line| line.bound(largest, value_max) < 1 << 62) {
                break lines;
            }
            places -= 1;
        };
        let digits = rows.spread_row.format.frac_bits() - self.plan.gain_frac_bits;
        let pixels = sums.into_iter().map(|(pixel, _)| pixel).zip(lines).collect();
        (pixels, error.exponent + digits - places)
    }

    /// The error behind the norm becomes that at the output of the product in front, block `layer`, whose row is
    /// `quantizer`.
    pub(crate) fn back<P: Code>(
        &self,
        (quantizer, layer): (Quantizer, u32),
        (x, error): (&[i16], &Error),
        space: &mut Workspace,
        key: StepKey,
    ) -> Error {
        let (lines, unit) = self.lines_back(x, error);
        let (isa, c) = (space.isa, self.learned.gain.len());
        let chunk = chunk(c);
        let run = |scratch: &mut Scratch, i: usize, x: &[i16], error: &[i16]| {
            scratch.wide.resize(x.len().max(scratch.wide.len()), 0);
            self.run_back(&lines[i * chunk / c..], x, error, &mut scratch.wide[..x.len()]);
        };
        let error = i16::of(&error.tensor);
        let largest = AtomicU64::new(0);
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).enumerate();
        threads::for_each(&mut space.scratches, chunks, |scratch, (i, (x, error))| {
            run(scratch, i, x, error);
            largest.fetch_max(max_abs::run(isa, &scratch.wide[..x.len()]), Ordering::Relaxed);
        });
        let quantizer = ErrorQuantizer::new(quantizer, layer, largest.into_inner(), unit, key);
        let mut codes: Vec<P> = space.free.take(x.len());
        let largest = AtomicU64::new(0);
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).zip(codes.chunks_mut(chunk));
        threads::for_each(&mut space.scratches, chunks.enumerate(), |scratch, (i, ((x, error), out))| {
            run(scratch, i, x, error);
            let of_chunk = quantizer.run(isa, &scratch.wide[..x.len()], (i * chunk) as u64, out);
            largest.fetch_max(of_chunk, Ordering::Relaxed);
        });
        Error { tensor: P::tensor(codes), exponent: quantizer.exponent, max_abs: largest.into_inner() }
    }

    /// The lines back of whole pixels.
    fn run_back(&self, lines: &[(Pixel, LineBack)], x: &[i16], error: &[i16], out: &mut [i64]) {
        let (c, rows) = (self.learned.gain.len(), self.plan.rows);
        let pixels = x.chunks_exact(c).zip(error.chunks_exact(c)).zip(out.chunks_exact_mut(c));
        for (((x, error), out), (pixel, line)) in pixels.zip(lines) {
            for (i, ((x, error), out)) in x.iter().zip(error).zip(out).enumerate() {
                let w = match rows.spread {
                    Spread::L1 => self.distance(*x, pixel.mean).signum(),
                    Spread::L2 | Spread::Range => rows.value((*x).into(), pixel.line),
                };
                let u = i64::from(*error) * self.learned.gain[i];
                *out = u * line.from_error + w * line.from_value + line.constant;
            }
        }
    }
}
