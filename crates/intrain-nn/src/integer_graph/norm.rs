//! A norm of integers between its passes: exact sums over the batch, a line for each channel, and the line back.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::fixed_norm::{self, Lines, LinesBack, Means};
use intrain_kernels::{Isa, max_abs};
use intrain_num::norm::Moments as Sums;
use intrain_num::norm::{
    Back, ErrorSums, Line, LineBack, RUNNING_BITS, Rows, of_running, range_part, range_parts,
};
use intrain_num::{Quantizer, Spread};

use super::Room;
use super::errors::{Cut, Station, Words};
use crate::engine::Mode;
use crate::network::StepKey;
use crate::parameters::{Gradient, Moments, Parameters, Stored};
use crate::plan::{BlockPlan, NormPlan, ProductKind};
use crate::threads;
use crate::width::Width;

/// One normalization's state between its passes.
pub(super) struct Norm {
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
    pub(super) lines: Lines,
    back: LinesBack,
}

/// Gain and offset of each channel, as read; 1 and 0 where none are learned.
#[derive(Default)]
pub(super) struct Learned {
    pub(super) gain: Vec<i64>,
    offset: Vec<i64>,
}

/// Elements that stay in the first-level cache, with what is made of them.
const CHUNK: usize = 1 << 12;

/// Whole pixels of `c` channels.
pub(super) fn chunk(c: usize) -> usize {
    c * (CHUNK / c).max(1)
}

/// A norm's parameters before the first step: gains of 1, offsets and means of 0, spreads of 1.
pub(crate) fn initial(plan: &NormPlan, block: &BlockPlan) -> Parameters {
    let (c, master) = (block.product.output.c, block.weight.master);
    let mut weight = Stored::zeros(master, block.product.n_weights());
    (0..weight.len()).for_each(|i| weight.set_payload(i, 1 << master.format.frac_bits()));
    let one = 1_i32 << (plan.rows.spread_row.format.frac_bits() + RUNNING_BITS.cast_signed()).clamp(0, 30);
    let moments = || Moments { mean: Stored::I32(vec![0; c]), spread: Stored::I32(vec![one; c]) };
    Parameters {
        weight,
        bias: block.product.bias.then(|| Stored::zeros(master, c)),
        moments: (block.product.kind == ProductKind::BatchNorm).then(moments),
    }
}

impl Learned {
    /// Rows `norm.gain` and `norm.offset`.
    pub(super) fn load(&mut self, plan: &NormPlan, block: &BlockPlan, parameters: &Parameters) {
        let c = block.product.output.c;
        let master = block.weight.master.format.frac_bits();
        let read = |stored: &Stored, row: Quantizer| -> Vec<i64> {
            let of = |i: usize| {
                let payload = stored.payload(i);
                if !row.format.is_quantized() {
                    return payload;
                }
                let row = Quantizer { round: row.round.in_evaluation(), ..row };
                row.payload_of_shifted(payload, master - row.format.frac_bits(), 0)
            };
            (0..c).map(of).collect()
        };
        match &parameters.bias {
            Some(offset) => {
                self.gain = read(&parameters.weight, plan.gain);
                self.offset = read(offset, plan.offset);
            }
            None => {
                self.gain = vec![1 << plan.gain_frac_bits; c];
                self.offset = vec![0; c];
            }
        }
    }

    /// Gains moved by `places`, and offsets in the last bit of a value times such a gain.
    pub(super) fn scaled(&self, plan: &NormPlan, places: u32) -> [Vec<i64>; 2] {
        let digits = plan.rows.value.format.frac_bits() + plan.gain_frac_bits;
        let down = plan.offset_frac_bits - digits;
        let offset = |offset: &i64| intrain_num::Round::NearestEven.shift_right(*offset, down, 0) << places;
        [self.gain.iter().map(|gain| gain << places).collect(), self.offset.iter().map(offset).collect()]
    }
}

impl Norm {
    pub(super) fn new(plan: NormPlan) -> Self {
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

    pub(super) fn load(&mut self, block: &BlockPlan, parameters: &Parameters) {
        self.learned.load(&self.plan, block, parameters);
        self.running.clone_from(&parameters.moments);
    }

    /// Mean and spread of the last batch; none before there was one.
    pub(super) const fn moments(&self) -> Option<&Moments> {
        self.batch.as_ref()
    }

    /// The line of each channel of the words `x`, whose results are to be moved by `places`.
    pub(super) fn prepare(&mut self, isa: Isa, x: &[i16], places: u32, mode: Mode, rooms: &mut [Room]) {
        let rows = self.plan.rows;
        let spread = match (mode, &self.running) {
            (Mode::Evaluation, Some(Moments { mean, spread })) => {
                let c = self.learned.gain.len();
                self.mean = (0..c).map(|i| of_running(mean.payload(i))).collect();
                (0..c).map(|i| of_running(spread.payload(i)).max(1)).collect()
            }
            _ => {
                let spread = self.measure(isa, x, rooms);
                let stored = |payloads: &[i64]| {
                    Stored::I32(payloads.iter().map(|x| i32::try_from(*x).unwrap_or(i32::MAX)).collect())
                };
                self.batch = Some(Moments { mean: stored(&self.mean), spread: stored(&spread) });
                spread
            }
        };
        self.line = self.mean.iter().zip(&spread).map(|(mean, spread)| rows.line(*mean, *spread)).collect();
        let [gain, offset] = self.learned.scaled(&self.plan, places);
        let format = rows.value.format;
        self.lines.set(
            &self.line,
            Means::new(&self.mean, mean_places(&rows)),
            [&gain, &offset],
            rows.value.round,
            (format.min(), format.max()),
        );
    }

    /// Mean and spread of each channel of the batch; the means stay here.
    fn measure(&mut self, isa: Isa, x: &[i16], rooms: &mut [Room]) -> Vec<i64> {
        let (rows, c) = (self.plan.rows, self.learned.gain.len());
        let n = (x.len() / c) as u64;
        let chunks = || x.chunks(chunk(c));
        let mut sums = total(rooms, c, chunks(), |sums, x| fixed_norm::add_moments(isa, x, sums));
        let of = |sum: &i64, other: &i64| Sums { n, sum: *sum, other: *other };
        self.mean = sums[0].iter().zip(&sums[1]).map(|(sum, other)| rows.mean(of(sum, other))).collect();
        match rows.spread {
            Spread::L2 => {}
            Spread::L1 => {
                let means = Means::new(&self.mean, mean_places(&rows));
                let [distances, signs] = total(rooms, c, chunks(), |sums, x| {
                    fixed_norm::add_distances(isa, x, &means, sums);
                });
                (sums[1], self.signs) = (distances, signs);
            }
            Spread::Range => {
                let parts = (0..range_parts(x.len() / c)).map(|part| range_part(part, x.len() / c));
                let [ranges, _] = total(rooms, c, parts, |sums, pixels| {
                    fixed_norm::add_ranges(x, pixels, sums);
                });
                sums[1] = ranges;
            }
        }
        sums[0].iter().zip(&sums[1]).map(|(sum, other)| rows.spread(of(sum, other))).collect()
    }

    /// From the sums of the errors behind it, `[errors, products]`: the lines back, and what 1 of their unit is worth.
    fn lines_back(&self, error: &Words, sums: &[Vec<i64>; 2]) -> (Vec<LineBack>, i32) {
        let (rows, n) = (self.plan.rows, error.words.len() / self.learned.gain.len());
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
            if lines.iter().all(|line| line.bound(error.largest, value_max) < 1 << 31) {
                let digits = rows.spread_row.format.frac_bits() - self.plan.gain_frac_bits;
                return (lines, error.exponent + digits - places);
            }
            places -= 1;
        }
    }

    /// The error behind the norm becomes that at the output of the product before it, whose plan is `product`.
    pub(super) fn back<W: Width>(
        &mut self,
        isa: Isa,
        product: &BlockPlan,
        (x, error): (&[i16], &Words),
        sums: &[Vec<i64>; 2],
        rooms: &mut [Room],
        key: StepKey,
    ) -> Cut<W> {
        let spread = self.plan.rows.spread;
        let (lines_back, unit) = self.lines_back(error, sums);
        self.back.set(&lines_back);
        let c = self.learned.gain.len();
        let points = if spread == Spread::Range { points(x, &lines_back) } else { vec![] };
        let chunk = chunk(c);
        let run = |room: &mut Room, first: usize, x: &[i16], error: &[i16]| {
            let lanes = room.lanes(x.len());
            fixed_norm::back(isa, spread, [x, error], (&self.lines, &self.back), lanes);
            let start = points.partition_point(|(at, _)| *at < first);
            for (at, add) in points[start..].iter().take_while(|(at, _)| *at < first + x.len()) {
                lanes[at - first] += add;
            }
        };
        let largest = AtomicU64::new(0);
        let chunks = x.chunks(chunk).zip(error.words.chunks(chunk)).enumerate();
        threads::for_each(rooms, chunks, |room, (i, (x, error))| {
            run(room, i * chunk, x, error);
            largest.fetch_max(max_abs::run(isa, &room.lanes[..x.len()]), Ordering::Relaxed);
        });
        let station = Station::new(product, largest.into_inner(), unit, key);
        let mut payloads = vec![W::Payload::default(); x.len()];
        let largest = AtomicU64::new(0);
        let chunks =
            x.chunks(chunk).zip(error.words.chunks(chunk)).zip(payloads.chunks_mut(chunk)).enumerate();
        threads::for_each(rooms, chunks, |room, (i, ((x, error), out))| {
            run(room, i * chunk, x, error);
            let of_chunk = station.cut(isa, &room.lanes[..x.len()], (i * chunk) as u64, out);
            largest.fetch_max(of_chunk, Ordering::Relaxed);
        });
        Cut { payloads, exponent: station.exponent, largest: largest.into_inner() }
    }
}

/// The gradients of gain and offset are the channels' sums of errors times values, and of errors.
pub(super) fn gradients_of(
    [errors, products]: &[Vec<i64>; 2],
    (gain, offset): (&mut Gradient, Option<&mut Gradient>),
) {
    if let (Gradient::I64(gain), Some(Gradient::I64(offset))) = (gain, offset) {
        gain.clone_from(products);
        offset.clone_from(errors);
    }
}

/// Places by which words are moved to the mean's last bit.
pub(super) const fn mean_places(rows: &Rows) -> u32 {
    (rows.mean.format.frac_bits() - rows.frac_bits).unsigned_abs()
}

/// The two sums of each channel over all items, whoever adds them up.
fn total<I: Iterator + Send>(
    rooms: &mut [Room],
    c: usize,
    items: I,
    add: impl Fn(&mut [Vec<i64>], I::Item) + Sync,
) -> [Vec<i64>; 2] {
    clear(rooms, 0, c);
    threads::for_each(rooms, items, |room, item| add(&mut room.sums[0], item));
    sums(rooms, 0)
}

/// Empties one pair of sums of all threads.
pub(super) fn clear(rooms: &mut [Room], pair: usize, c: usize) {
    for sums in rooms.iter_mut().flat_map(|room| &mut room.sums[pair]) {
        sums.clear();
        sums.resize(c, 0);
    }
}

/// One pair of sums, all threads together.
pub(super) fn sums(rooms: &[Room], pair: usize) -> [Vec<i64>; 2] {
    [0, 1].map(|k| {
        let mut total = rooms[0].sums[pair][k].clone();
        for room in &rooms[1..] {
            total.iter_mut().zip(&room.sums[pair][k]).for_each(|(total, sum)| *total += sum);
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
