//! Batch normalization in integers: exact sums over the batch, then an affine map for each channel, forward and back.
//!
//! Section 7.5 of `docs/arithmetic.md`.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::fixed_norm::{self, Lines, LinesBack, Means};
use intrain_kernels::{Isa, max_abs};
use intrain_num::norm::Moments as Sums;
use intrain_num::norm::{Back, ErrorSums, Line, LineBack, of_running, range_part, range_parts};
use intrain_num::{Quantizer, Spread};

use super::learned::{Learned, chunk, mean_shift};
use crate::key::{Mode, StepKey};
use crate::ops::product::Workspace;
use crate::parameters::{Moments, Parameters, Stored};
use crate::plan::{BlockPlan, NormPlan};
use crate::requantize::ErrorQuantizer;
use crate::scratch::Scratch;
use crate::tensor::{Code, Element, Error};
use crate::threads;

/// One normalization's state between its passes.
pub(crate) struct Norm {
    plan: NormPlan,
    learned: Learned,
    /// Mean and spread of all batches, for evaluation.
    running: Option<Moments>,
    /// Mean and spread of this batch; none before there was one.
    batch: Option<Moments>,
    mean: Vec<i64>,
    line: Vec<Line>,
    /// Sums of the signs of this batch, for a mean distance.
    signs: Vec<i64>,
    pub(crate) lines: Lines,
    back: LinesBack,
}

impl Norm {
    pub(crate) fn new(plan: NormPlan) -> Self {
        Self {
            plan,
            learned: Learned::default(),
            running: None,
            batch: None,
            mean: vec![],
            line: vec![],
            signs: vec![],
            lines: Lines::default(),
            back: LinesBack::default(),
        }
    }

    pub(crate) fn load(&mut self, block: &BlockPlan, parameters: &Parameters) {
        self.learned.load(&self.plan, block, parameters);
        self.running.clone_from(&parameters.moments);
    }

    /// Mean and spread of the last batch; none before there was one.
    pub(crate) const fn moments(&self) -> Option<&Moments> {
        self.batch.as_ref()
    }

    /// The affine map of each channel of `x`, whose results are to be moved by `shift`.
    pub(crate) fn prepare(&mut self, isa: Isa, x: &[i16], shift: u32, mode: Mode, scratches: &mut [Scratch]) {
        let rows = self.plan.rows;
        let spread = match (mode, &self.running) {
            (Mode::Evaluation, Some(Moments { mean, spread })) => {
                let c = self.learned.gain.len();
                self.mean = (0..c).map(|i| of_running(mean.payload(i))).collect();
                (0..c).map(|i| of_running(spread.payload(i)).max(1)).collect()
            }
            _ => {
                let spread = self.measure(isa, x, scratches);
                let stored = |payloads: &[i64]| {
                    Stored::I32(payloads.iter().map(|x| i32::try_from(*x).unwrap_or(i32::MAX)).collect())
                };
                self.batch = Some(Moments { mean: stored(&self.mean), spread: stored(&spread) });
                spread
            }
        };
        self.line = self.mean.iter().zip(&spread).map(|(mean, spread)| rows.line(*mean, *spread)).collect();
        let [gain, offset] = self.learned.scaled(&self.plan, shift);
        let format = rows.value.format;
        self.lines.set(
            &self.line,
            Means::new(&self.mean, mean_shift(&rows)),
            [&gain, &offset],
            rows.value.round,
            (format.min(), format.max()),
        );
    }

    /// Mean and spread of each channel of the batch; the means stay here.
    fn measure(&mut self, isa: Isa, x: &[i16], scratches: &mut [Scratch]) -> Vec<i64> {
        let (rows, c) = (self.plan.rows, self.learned.gain.len());
        let n = (x.len() / c) as u64;
        let chunks = || x.chunks(chunk(c));
        let mut sums = total(scratches, c, chunks(), |sums, x| fixed_norm::add_moments(isa, x, sums));
        let of = |sum: &i64, other: &i64| Sums { n, sum: *sum, other: *other };
        self.mean = sums[0].iter().zip(&sums[1]).map(|(sum, other)| rows.mean(of(sum, other))).collect();
        match rows.spread {
            Spread::L2 => {}
            Spread::L1 => {
                let means = Means::new(&self.mean, mean_shift(&rows));
                let [distances, signs] = total(scratches, c, chunks(), |sums, x| {
                    fixed_norm::add_distances(isa, x, &means, sums);
                });
                (sums[1], self.signs) = (distances, signs);
            }
            Spread::Range => {
                let parts = (0..range_parts(x.len() / c)).map(|part| range_part(part, x.len() / c));
                let [ranges, _] = total(scratches, c, parts, |sums, pixels| {
                    fixed_norm::add_ranges(x, pixels, sums);
                });
                sums[1] = ranges;
            }
        }
        sums[0].iter().zip(&sums[1]).map(|(sum, other)| rows.spread(of(sum, other))).collect()
    }

    /// From the sums of the errors behind it, `[errors, products]`: the lines back, and what 1 of their unit is worth.
    fn lines_back(&self, error: &Error, sums: &[Vec<i64>; 2]) -> (Vec<LineBack>, i32) {
        let (rows, n) = (self.plan.rows, error.tensor.len() / self.learned.gain.len());
        // Places with which no coefficient of an error is above 2^14.
        let bits = |(gain, line): (&i64, &Line)| {
            let factor = (gain * line.multiplier).unsigned_abs();
            (factor > 0).then(|| (64 - factor.leading_zeros()).cast_signed() - line.power.cast_signed())
        };
        let most = self.learned.gain.iter().zip(&self.line).filter_map(bits).max().unwrap_or(0);
        let value_max = rows.value.format.magnitude();
        let mut places = 14 - most;
        loop {
            let back = Back { rows, n: n as u64, places };
            let of = |i: usize| {
                let signs = self.signs.get(i).copied().unwrap_or(0);
                let sums = ErrorSums { errors: sums[0][i], products: sums[1][i], signs };
                back.line(self.learned.gain[i], self.line[i], sums)
            };
            let lines: Vec<LineBack> = (0..self.learned.gain.len()).map(of).collect();
            // Bound: what the lines add up fits 32 bits.
            if lines.iter().all(|line| line.bound(error.max_abs, value_max) < 1 << 31) {
                let digits = rows.spread_row.format.frac_bits() - self.plan.gain_frac_bits;
                return (lines, error.exponent + digits - places);
            }
            places -= 1;
        }
    }

    /// The error behind the norm becomes that at the output of the product in front, block `layer`, whose row is
    /// `quantizer`.
    pub(crate) fn back<P: Code>(
        &mut self,
        (quantizer, layer): (Quantizer, u32),
        (x, error): (&[i16], &Error),
        sums: &[Vec<i64>; 2],
        space: &mut Workspace,
        key: StepKey,
    ) -> Error {
        let spread = self.plan.rows.spread;
        let (lines_back, unit) = self.lines_back(error, sums);
        self.back.set(&lines_back);
        let c = self.learned.gain.len();
        let points = if spread == Spread::Range { points(x, &lines_back) } else { vec![] };
        let chunk = chunk(c);
        let isa = space.isa;
        let run = |scratch: &mut Scratch, first: usize, x: &[i16], error: &[i16]| {
            let lanes = scratch.lanes(x.len());
            fixed_norm::back(isa, spread, [x, error], (&self.lines, &self.back), lanes);
            let start = points.partition_point(|(at, _)| *at < first);
            for (at, add) in points[start..].iter().take_while(|(at, _)| *at < first + x.len()) {
                lanes[at - first] += add;
            }
        };
        let error = i16::of(&error.tensor);
        let largest = AtomicU64::new(0);
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).enumerate();
        threads::for_each(&mut space.scratches, chunks, |scratch, (i, (x, error))| {
            run(scratch, i * chunk, x, error);
            largest.fetch_max(max_abs::run(isa, scratch.lanes(x.len())), Ordering::Relaxed);
        });
        let quantizer = ErrorQuantizer::new(quantizer, layer, largest.into_inner(), unit, key);
        let mut codes: Vec<P> = space.free.take(x.len());
        let largest = AtomicU64::new(0);
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).zip(codes.chunks_mut(chunk)).enumerate();
        threads::for_each(&mut space.scratches, chunks, |scratch, (i, ((x, error), out))| {
            run(scratch, i * chunk, x, error);
            let of_chunk = quantizer.run(isa, scratch.lanes(x.len()), (i * chunk) as u64, out);
            largest.fetch_max(of_chunk, Ordering::Relaxed);
        });
        Error { tensor: P::tensor(codes), exponent: quantizer.exponent, max_abs: largest.into_inner() }
    }
}

/// The two sums of each channel over all items, whoever adds them up.
fn total<I: Iterator + Send>(
    scratches: &mut [Scratch],
    c: usize,
    items: I,
    add: impl Fn(&mut [Vec<i64>], I::Item) + Sync,
) -> [Vec<i64>; 2] {
    clear(scratches, 0, c);
    threads::for_each(scratches, items, |scratch, item| add(&mut scratch.channel_sums[0], item));
    sums(scratches, 0)
}

/// Empties one pair of sums of all threads.
pub(crate) fn clear(scratches: &mut [Scratch], pair: usize, c: usize) {
    for sums in scratches.iter_mut().flat_map(|scratch| &mut scratch.channel_sums[pair]) {
        sums.clear();
        sums.resize(c, 0);
    }
}

/// One pair of sums, all threads together.
pub(crate) fn sums(scratches: &[Scratch], pair: usize) -> [Vec<i64>; 2] {
    [0, 1].map(|k| {
        let mut total = scratches[0].channel_sums[pair][k].clone();
        for scratch in &scratches[1..] {
            total.iter_mut().zip(&scratch.channel_sums[pair][k]).for_each(|(total, sum)| *total += sum);
        }
        total
    })
}

/// What is added to which error, beside its line: at the ends of each part of the batch, in the order of their places.
fn points(x: &[i16], lines: &[LineBack]) -> Vec<(usize, i32)> {
    let c = lines.len();
    let mut points = Vec::new();
    for part in 0..range_parts(x.len() / c) {
        for (line, [largest, smallest]) in
            lines.iter().zip(fixed_norm::ends(x, c, range_part(part, x.len() / c)))
        {
            // Bound: it is in the line's bound.
            let point = i32::try_from(line.point).unwrap_or(i32::MAX);
            points.extend([(largest, -point), (smallest, point)]);
        }
    }
    points.sort_unstable();
    points
}
