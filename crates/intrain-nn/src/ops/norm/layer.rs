//! A layer norm of integers: each pixel's channels by their own exact sums, forward and back.
//!
//! Section 7.5 of `docs/arithmetic.md`. Nothing is kept between the passes: a pixel's line is computed wherever it is needed.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::fixed_norm::Store;
use intrain_kernels::max_abs;
use intrain_num::norm::{Back, ChannelAffine, ErrorSums, Moments as Sums, NormBackward};
use intrain_num::{Quantizer, Spread};
use rayon::prelude::*;

use super::batch::add_up;
use super::learned::{Learned, chunk, found, mean_shift};
use crate::key::StepKey;
use crate::ops::product::Workspace;
use crate::parameters::Parameters;
use crate::plan::{BlockPlan, NormPlan};
use crate::requantize::ErrorQuantizer;
use crate::scratch::Scratch;
use crate::tensor::{Activation, Code, Element, Error};
use crate::threads;

/// One layer normalization.
pub(crate) struct LayerNorm {
    plan: NormPlan,
    learned: Learned,
    /// Gain and offset in the sum's last bit.
    scaled: [Vec<i64>; 2],
    /// Two sums of each channel over the batch.
    sums: [Vec<i64>; 2],
    /// Each pixel with its sums of errors.
    pixels: Vec<(Pixel, ErrorSums)>,
    line_back: Vec<NormBackward>,
}

/// What a pixel is normalized by.
struct Pixel {
    mean: i64,
    line: ChannelAffine,
}

impl LayerNorm {
    pub(crate) fn new(plan: NormPlan) -> Self {
        Self {
            plan,
            learned: Learned::default(),
            scaled: [vec![], vec![]],
            sums: [vec![], vec![]],
            pixels: vec![],
            line_back: vec![],
        }
    }

    pub(crate) fn load(&mut self, block: &BlockPlan, parameters: &Parameters) {
        self.learned.load(&self.plan, block, parameters);
    }

    /// The results are to be moved by `shift`.
    pub(crate) fn prepare(&mut self, shift: u32) {
        self.learned.scale(&self.plan, shift, &mut self.scaled);
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

    /// The sums of a pair of all threads: each channel's errors, and its errors times values.
    pub(crate) fn error_sums(&mut self, scratches: &[Scratch], pair: usize) -> &[Vec<i64>; 2] {
        add_up(scratches, pair, &mut self.sums);
        &self.sums
    }

    /// The affine maps of the backward pass of all pixels; what 1 of their unit is worth.
    fn lines_back(&mut self, x: &[i16], error: &Error) -> i32 {
        let (rows, c) = (self.plan.rows, self.learned.gain.len());
        let mut pixels = std::mem::take(&mut self.pixels);
        x.par_chunks_exact(c)
            .zip(i16::of(&error.tensor).par_chunks_exact(c))
            .map(|(x, error)| self.sums(x, error))
            .collect_into_vec(&mut pixels);
        // Bits with which no coefficient of an error is above 2^14.
        let bits = |(pixel, _): &(Pixel, ErrorSums)| {
            (64 - pixel.line.multiplier.leading_zeros()).cast_signed() - pixel.line.power.cast_signed()
        };
        let mut frac_bits = 14 - pixels.iter().map(bits).max().unwrap_or(0);
        let largest_gain = self.learned.gain.iter().map(|gain| gain.unsigned_abs()).max().unwrap_or(0);
        let (largest, value_max) = (error.max_abs * largest_gain, rows.value.format.magnitude());
        loop {
            let back = Back { rows, n: c as u64, frac_bits };
            self.line_back.clear();
            self.line_back.extend(pixels.iter().map(|(pixel, sums)| back.line(1, pixel.line, *sums)));
            // Bound: what the affine maps add up fits 63 bits.
            if self.line_back.iter().all(|line| line.bound(largest, value_max) < 1 << 62) {
                break;
            }
            frac_bits -= 1;
        }
        self.pixels = pixels;
        let finer = rows.spread_row.format.frac_bits() - self.plan.gain_frac_bits;
        error.exponent + finer - frac_bits
    }

    /// The error behind the norm becomes that at the output of the product in front, block `layer`, whose row is
    /// `quantizer`.
    pub(crate) fn back<P: Code>(
        &mut self,
        (quantizer, layer): (Quantizer, u32),
        (x, error): (&Activation, &Error),
        space: &mut Workspace,
        key: StepKey,
    ) -> Error {
        let unit = found(&self.plan.rows, x);
        let x = i16::of(&x.tensor);
        let unit = unit + self.lines_back(x, error);
        let (isa, c, this) = (space.isa, self.learned.gain.len(), &*self);
        let chunk = chunk(c);
        let run = |scratch: &mut Scratch, i: usize, x: &[i16], error: &[i16]| {
            scratch.wide.resize(x.len().max(scratch.wide.len()), 0);
            this.run_back(i * chunk / c, x, error, &mut scratch.wide[..x.len()]);
        };
        let error = i16::of(&error.tensor);
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).enumerate();
        let largest = threads::max(&mut space.scratches, chunks, |scratch, (i, (x, error))| {
            run(scratch, i, x, error);
            max_abs::run(isa, &scratch.wide[..x.len()])
        });
        let quantizer = ErrorQuantizer::new(quantizer, layer, largest, unit, key);
        let mut codes: Vec<P> = space.free.take(x.len());
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).zip(codes.chunks_mut(chunk));
        let max_abs =
            threads::max(&mut space.scratches, chunks.enumerate(), |scratch, (i, ((x, error), out))| {
                run(scratch, i, x, error);
                quantizer.run(isa, &scratch.wide[..x.len()], (i * chunk) as u64, out)
            });
        Error { tensor: P::tensor(codes), exponent: quantizer.exponent, max_abs }
    }

    /// The affine maps of whole pixels, the first of which has that number.
    fn run_back(&self, first: usize, x: &[i16], error: &[i16], out: &mut [i64]) {
        let (c, rows) = (self.learned.gain.len(), self.plan.rows);
        let pixels = x.chunks_exact(c).zip(error.chunks_exact(c)).zip(out.chunks_exact_mut(c));
        let lines = self.pixels[first..].iter().zip(&self.line_back[first..]);
        for (((x, error), out), ((pixel, _), line)) in pixels.zip(lines) {
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
