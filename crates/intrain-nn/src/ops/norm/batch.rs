//! Batch normalization in integers: exact sums over the batch, then an affine map for each channel, forward and back.
//!
//! Section 7.5 of `docs/arithmetic.md`.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::fixed_norm::{self, Affines, AffinesBackward, Means};
use intrain_kernels::{Integer, Isa, max_abs};
use intrain_num::norm::Moments as Sums;
use intrain_num::norm::{Back, ChannelAffine, ErrorSums, NormBackward, range_part, range_parts};
use intrain_num::{Quantizer, Round, Spread};

use super::learned::{Learned, chunk, found, mean_shift};
use crate::key::{Mode, StepKey};
use crate::ops::product::Workspace;
use crate::parameters::{Moments, Parameters, Stored};
use crate::plan::{BlockPlan, NormPlan};
use crate::requantize::ErrorQuantizer;
use crate::scratch::Scratch;
use crate::tensor::{Activation, Code, Element, Error};
use crate::threads;

/// One normalization's state between its passes. All of it lasts from step to step, so that no step takes memory.
pub(crate) struct Norm {
    plan: NormPlan,
    learned: Learned,
    /// Mean and spread of all batches, for evaluation.
    running: Option<Moments>,
    /// Mean and spread of this batch; none before there was one.
    batch: Option<Moments>,
    mean: Vec<i64>,
    spread: Vec<i64>,
    line: Vec<ChannelAffine>,
    /// Two sums of each channel over the batch.
    sums: [Vec<i64>; 2],
    /// Sums of the signs of this batch, for a mean distance.
    signs: Vec<i64>,
    /// Gains and offsets in the sum's last bit.
    scaled: [Vec<i64>; 2],
    /// The affine map of each channel.
    pub(crate) lines: Affines,
    line_back: Vec<NormBackward>,
    back: AffinesBackward,
    /// What is added to which error, where the spread is a range.
    points: Vec<(usize, i32)>,
    ends: Vec<[usize; 2]>,
}

impl Norm {
    pub(crate) fn new(plan: NormPlan) -> Self {
        Self {
            plan,
            learned: Learned::default(),
            running: None,
            batch: None,
            mean: vec![],
            spread: vec![],
            line: vec![],
            sums: [vec![], vec![]],
            signs: vec![],
            scaled: [vec![], vec![]],
            lines: Affines::default(),
            line_back: vec![],
            back: AffinesBackward::default(),
            points: vec![],
            ends: vec![],
        }
    }

    pub(crate) fn load(&mut self, block: &BlockPlan, parameters: &Parameters) {
        self.learned.load(&self.plan, block, parameters);
        Moments::copy_to(parameters.moments.as_ref(), &mut self.running);
    }

    /// Mean and spread of the last batch; none before there was one.
    pub(crate) const fn moments(&self) -> Option<&Moments> {
        self.batch.as_ref()
    }

    /// The affine map of each channel of `x`, whose results are to be moved by `shift`.
    pub(crate) fn prepare(
        &mut self,
        isa: Isa,
        x: &Activation,
        shift: u32,
        mode: Mode,
        scratches: &mut [Scratch],
    ) {
        let rows = self.plan.rows;
        let mut means = self.lines.take_means();
        // What is kept of all batches is worth what the rows say, whatever unit this step has found.
        let finer = found(&rows, x);
        match (mode, &self.running) {
            (Mode::Evaluation, Some(Moments { mean, spread })) => {
                let of = |i: usize| rows.of_running([mean.code(i), spread.code(i)], finer);
                let c = self.learned.gain.len();
                fill(&mut self.mean, (0..c).map(|i| of(i)[0]));
                fill(&mut self.spread, (0..c).map(|i| of(i)[1]));
            }
            _ => {
                self.measure(isa, i16::of(&x.tensor), &mut means, scratches);
                let empty = || Moments { mean: Stored::I32(vec![]), spread: Stored::I32(vec![]) };
                let batch = self.batch.get_or_insert_with(empty);
                store(&mut batch.mean, &self.mean, finer);
                store(&mut batch.spread, &self.spread, finer);
            }
        }
        let lines = self.mean.iter().zip(&self.spread).map(|(mean, spread)| rows.line(*mean, *spread));
        fill(&mut self.line, lines);
        self.learned.scale(&self.plan, shift, &mut self.scaled);
        means.set(&self.mean, mean_shift(&rows));
        let (format, [gain, offset]) = (rows.value.format, &self.scaled);
        let limits = (format.min(), format.max());
        self.lines.set(&self.line, means, [gain, offset], rows.value.round, limits);
    }

    /// Mean and spread of each channel of the batch.
    fn measure(&mut self, isa: Isa, x: &[i16], means: &mut Means, scratches: &mut [Scratch]) {
        let (rows, c) = (self.plan.rows, self.learned.gain.len());
        let n = (x.len() / c) as u64;
        let chunks = || x.chunks(chunk(c));
        let of = |(sum, other): (&i64, &i64)| Sums { n, sum: *sum, other: *other };
        total(scratches, c, chunks(), |sums, x| fixed_norm::add_moments(isa, x, sums));
        add_up(scratches, 0, &mut self.sums);
        let [sum, squares] = &self.sums;
        fill(&mut self.mean, sum.iter().zip(squares).map(of).map(|sums| rows.mean(sums)));
        match rows.spread {
            Spread::L2 => {}
            Spread::L1 => {
                means.set(&self.mean, mean_shift(&rows));
                total(scratches, c, chunks(), |sums, x| fixed_norm::add_distances(isa, x, means, sums));
                add_channel_sums(scratches, 0, 0, &mut self.sums[1]);
                add_channel_sums(scratches, 0, 1, &mut self.signs);
            }
            Spread::Range => {
                let parts = (0..range_parts(x.len() / c)).map(|part| range_part(part, x.len() / c));
                total(scratches, c, parts, |sums, pixels| fixed_norm::add_ranges(x, pixels, sums));
                add_channel_sums(scratches, 0, 0, &mut self.sums[1]);
            }
        }
        let [sum, other] = &self.sums;
        fill(&mut self.spread, sum.iter().zip(other).map(of).map(|sums| rows.spread(sums)));
    }

    /// From the threads' sums of the errors behind it: the affine maps of the backward pass, and what 1 of their unit is
    /// worth where a wide integer is worth what the rows say.
    fn lines_back(&mut self, error: &Error) -> i32 {
        let (rows, n) = (self.plan.rows, error.tensor.len() / self.learned.gain.len());
        // Bits with which no coefficient of an error is above 2^14.
        let bits = |(gain, line): (&i64, &ChannelAffine)| {
            let factor = (gain * line.multiplier).unsigned_abs();
            (factor > 0).then(|| (64 - factor.leading_zeros()).cast_signed() - line.power.cast_signed())
        };
        let most = self.learned.gain.iter().zip(&self.line).filter_map(bits).max().unwrap_or(0);
        let value_max = rows.value.format.magnitude();
        let mut frac_bits = 14 - most;
        loop {
            let back = Back { rows, n: n as u64, frac_bits };
            let of = |i: usize| {
                let signs = self.signs.get(i).copied().unwrap_or(0);
                let sums = ErrorSums { errors: self.sums[0][i], products: self.sums[1][i], signs };
                back.line(self.learned.gain[i], self.line[i], sums)
            };
            fill(&mut self.line_back, (0..self.learned.gain.len()).map(of));
            // Bound: what the affine maps add up fits 32 bits.
            if self.line_back.iter().all(|line| line.bound(error.max_abs, value_max) < 1 << 31) {
                let finer = rows.spread_row.format.frac_bits() - self.plan.gain_frac_bits;
                return error.exponent + finer - frac_bits;
            }
            frac_bits -= 1;
        }
    }

    /// The sums of a pair of all threads: each channel's errors, and its errors times values.
    pub(crate) fn error_sums(&mut self, scratches: &[Scratch], pair: usize) -> &[Vec<i64>; 2] {
        add_up(scratches, pair, &mut self.sums);
        &self.sums
    }

    /// The error behind the norm, whose sums have been taken, becomes that at the output of the product in front, block
    /// `layer`, whose row is `quantizer`.
    pub(crate) fn back<P: Code>(
        &mut self,
        (quantizer, layer): (Quantizer, u32),
        (x, error): (&Activation, &Error),
        space: &mut Workspace,
        key: StepKey,
    ) -> Error {
        let spread = self.plan.rows.spread;
        let unit = self.lines_back(error) + found(&self.plan.rows, x);
        let x = i16::of(&x.tensor);
        self.back.set(&self.line_back);
        self.points.clear();
        if spread == Spread::Range {
            self.find_points(x);
        }
        let (chunk, isa, points) = (chunk(self.learned.gain.len()), space.isa, &self.points);
        let run = |scratch: &mut Scratch, first: usize, x: &[i16], error: &[i16]| {
            let lanes = scratch.lanes(x.len());
            fixed_norm::back(isa, spread, [x, error], (&self.lines, &self.back), lanes);
            let start = points.partition_point(|(at, _)| *at < first);
            for (at, add) in points[start..].iter().take_while(|(at, _)| *at < first + x.len()) {
                lanes[at - first] += add;
            }
        };
        let error = i16::of(&error.tensor);
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).enumerate();
        let largest = threads::max(&mut space.scratches, chunks, |scratch, (i, (x, error))| {
            run(scratch, i * chunk, x, error);
            max_abs::run(isa, scratch.lanes(x.len()))
        });
        let quantizer = ErrorQuantizer::new(quantizer, layer, largest, unit, key);
        let mut codes: Vec<P> = space.free.take(x.len());
        let chunks = x.chunks(chunk).zip(error.chunks(chunk)).zip(codes.chunks_mut(chunk)).enumerate();
        let max_abs = threads::max(&mut space.scratches, chunks, |scratch, (i, ((x, error), out))| {
            run(scratch, i * chunk, x, error);
            quantizer.run(isa, scratch.lanes(x.len()), (i * chunk) as u64, out)
        });
        Error { tensor: P::tensor(codes), exponent: quantizer.exponent, max_abs }
    }

    /// What is added to which error, beside its affine map: at the ends of each part of the batch, in the order of their
    /// positions.
    fn find_points(&mut self, x: &[i16]) {
        let c = self.line_back.len();
        for part in 0..range_parts(x.len() / c) {
            fixed_norm::ends(x, c, range_part(part, x.len() / c), &mut self.ends);
            for (line, [largest, smallest]) in self.line_back.iter().zip(&self.ends) {
                // Bound: it is in the map's bound.
                let point = i32::try_from(line.point).unwrap_or(i32::MAX);
                self.points.extend([(*largest, -point), (*smallest, point)]);
            }
        }
        self.points.sort_unstable();
    }
}

/// Replaces what is in a buffer.
fn fill<T>(buffer: &mut Vec<T>, values: impl Iterator<Item = T>) {
    buffer.clear();
    buffer.extend(values);
}

/// Integers as moments are stored: `finer` bits coarser.
fn store(stored: &mut Stored, integers: &[i64], finer: i32) {
    // Bound: with the further bits of what is kept of all batches it fits 32 bits.
    let held = |x: i64| i32::from_i64(x.clamp(-(1 << 24), 1 << 24));
    if let Stored::I32(to) = stored {
        fill(to, integers.iter().map(|x| held(Round::NearestDown.shift_right(*x, finer, 0))));
    }
}

/// Adds each item to the first pair of sums of whichever thread takes it.
fn total<I: Iterator + Send>(
    scratches: &mut [Scratch],
    c: usize,
    items: I,
    add: impl Fn(&mut [Vec<i64>], I::Item) + Sync,
) {
    clear(scratches, 0, c);
    threads::for_each(scratches, items, |scratch, item| add(&mut scratch.channel_sums[0], item));
}

/// Empties one pair of sums of all threads.
pub(crate) fn clear(scratches: &mut [Scratch], pair: usize, c: usize) {
    for sums in scratches.iter_mut().flat_map(|scratch| &mut scratch.channel_sums[pair]) {
        sums.clear();
        sums.resize(c, 0);
    }
}

/// One pair of sums, all threads together.
pub(crate) fn add_up(scratches: &[Scratch], pair: usize, sums: &mut [Vec<i64>; 2]) {
    sums.iter_mut().enumerate().for_each(|(k, sums)| add_channel_sums(scratches, pair, k, sums));
}

/// One of the sums of a pair, all threads together.
fn add_channel_sums(scratches: &[Scratch], pair: usize, k: usize, total: &mut Vec<i64>) {
    total.clone_from(&scratches[0].channel_sums[pair][k]);
    for scratch in &scratches[1..] {
        total.iter_mut().zip(&scratch.channel_sums[pair][k]).for_each(|(total, sum)| *total += sum);
    }
}
