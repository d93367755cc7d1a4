//! Exact sums of integers over the pixels of a part of a batch, channel by channel.

use std::ops::Range;

use super::lines::{Affines, LANES, Lane, Means, OfVector, at, filled, period, vectors};
use crate::elementwise::{self, Operation};
use crate::isa::Isa;

/// Sums of each channel; what each is, says who adds to them.
pub type Sums = [Vec<i64>];

/// Adds each channel's sum of integers to `sums[0]`, and that of their squares to `sums[1]`.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn add_moments(isa: Isa, x: &[i16], sums: &mut Sums) {
    check(x.len(), sums, 2);
    elementwise::run(isa, AddMoments { x, sums });
}

/// Adds each channel's sum of `|x * 2^places - mean|` to `sums[0]`, and that of the signs of `x * 2^places - mean` to
/// `sums[1]`, with the places of `means`. Bound: distances of at most 26 bits.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn add_distances(isa: Isa, x: &[i16], means: &Means, sums: &mut Sums) {
    check(x.len(), sums, 2);
    assert_eq!(means.channels(), sums[0].len(), "fixed_norm: lengths differ");
    elementwise::run(isa, AddDistances { x, means, sums });
}

/// Adds each channel's sum of errors to `sums[0]`, and that of error times value to `sums[1]`. Bound: values of at most 16
/// bits.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn add_products(isa: Isa, [x, error]: [&[i16]; 2], lines: &Affines, sums: &mut Sums) {
    check(x.len(), sums, 2);
    assert_eq!(x.len(), error.len(), "fixed_norm: lengths differ");
    assert_eq!(lines.channels(), sums[0].len(), "fixed_norm: lengths differ");
    elementwise::run(isa, AddProducts { x, error, lines, sums });
}

/// Adds each channel's largest integer less its smallest, of the pixels `pixels`, to `sums[0]`.
///
/// # Panics
/// When `x` is not whole pixels.
pub fn add_ranges(x: &[i16], pixels: Range<usize>, sums: &mut Sums) {
    check(x.len(), sums, 1);
    let c = sums[0].len();
    /// Channels whose ends are found together, on the stack.
    const CHANNELS: usize = 64;
    if pixels.is_empty() {
        return;
    }
    for (block, sums) in sums[0].chunks_mut(CHANNELS).enumerate() {
        let first = block * CHANNELS;
        let (mut largest, mut smallest) = ([i16::MIN; CHANNELS], [i16::MAX; CHANNELS]);
        for pixel in x[pixels.start * c..pixels.end * c].chunks_exact(c) {
            let pixel = &pixel[first..first + sums.len()];
            for ((x, largest), smallest) in pixel.iter().zip(&mut largest).zip(&mut smallest) {
                *largest = (*largest).max(*x);
                *smallest = (*smallest).min(*x);
            }
        }
        for ((sum, largest), smallest) in sums.iter_mut().zip(largest).zip(smallest) {
            *sum += i64::from(largest) - i64::from(smallest);
        }
    }
}

fn check(x: usize, sums: &Sums, n: usize) {
    let c = sums.first().map_or(0, Vec::len);
    assert!(sums.len() >= n && sums.iter().all(|sums| sums.len() == c), "fixed_norm: sums of one length");
    assert!(c > 0 && x.is_multiple_of(c), "fixed_norm: {x} words are not pixels of {c} channels");
}

/// Vectors whose sums fit 32 bits: those of short terms, and those of long terms split as they are.
const VECTORS: usize = 1 << 14;

/// Adds two terms of each integer to two sums per channel: a short one of at most 16 bits and a sign, and a long one of at most
/// 31 and a sign. `terms` are those of a vector, with the channels of row `k`.
///
/// Exact: a long term is split in its low 16 bits and the rest, whose sums over [`VECTORS`] fit 32 bits.
#[inline(always)]
fn add_pairs<const N: usize>(
    tensors: [&[i16]; N],
    [short, long]: [&mut [i64]; 2],
    terms: &impl OfVector<N, Output = [Lane; 2]>,
) {
    let (channels, len) = (short.len(), tensors[0].len());
    let (rows, whole) = (period(channels), len / LANES * LANES);
    let part = rows * LANES * VECTORS;
    let mut add = |k: usize, lanes: usize, [shorts, lows, highs]: [Lane; 3]| {
        let mut channel = k * LANES % channels;
        for i in 0..lanes {
            short[channel] += i64::from(shorts[i]);
            long[channel] += i64::from(lows[i]) + (i64::from(highs[i]) << 16);
            channel = if channel + 1 < channels { channel + 1 } else { 0 };
        }
    };
    for first in (0..whole).step_by(part) {
        let end = whole.min(first + part);
        for k in 0..rows {
            let mut totals = [[0; LANES]; 3];
            for start in (first + k * LANES..end).step_by(rows * LANES) {
                add_to(&mut totals, terms.of(k, vectors(tensors, start)));
            }
            add(k, LANES, totals);
        }
    }
    let (k, mut totals) = (whole / LANES % rows, [[0; LANES]; 3]);
    add_to(&mut totals, terms.of(k, filled(tensors, whole).each_ref()));
    add(k, len - whole, totals);
}

/// Adds terms to the sums of short ones, of low halves and of high halves.
#[inline(always)]
fn add_to([shorts, lows, highs]: &mut [Lane; 3], [short, long]: [Lane; 2]) {
    for i in 0..LANES {
        shorts[i] += short[i];
        lows[i] += long[i] & 0xffff;
        highs[i] += long[i] >> 16;
    }
}

struct AddMoments<'a> {
    x: &'a [i16],
    sums: &'a mut Sums,
}

impl Operation for AddMoments<'_> {
    type Output = ();

    fn reference(self) {
        let c = self.sums[0].len();
        for (i, &x) in self.x.iter().enumerate() {
            self.sums[0][i % c] += i64::from(x);
            self.sums[1][i % c] += i64::from(x) * i64::from(x);
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        add_pairs([self.x], pair(self.sums), &Moments);
    }
}

/// Integers and their squares.
struct Moments;

impl OfVector<1> for Moments {
    type Output = [Lane; 2];

    #[inline(always)]
    fn of(&self, _: usize, [x]: [&[i16; LANES]; 1]) -> [Lane; 2] {
        let [mut words, mut squares] = [[0; LANES]; 2];
        for i in 0..LANES {
            words[i] = i32::from(x[i]);
            squares[i] = words[i] * words[i];
        }
        [words, squares]
    }
}

struct AddDistances<'a> {
    x: &'a [i16],
    means: &'a Means,
    sums: &'a mut Sums,
}

impl Operation for AddDistances<'_> {
    type Output = ();

    fn reference(self) {
        let (c, rows) = (self.sums[0].len(), &self.means.rows);
        for (i, &x) in self.x.iter().enumerate() {
            let (k, lane) = at(i, rows.len());
            let mean = rows[k][lane];
            let distance = (i64::from(x) << self.means.places) - i64::from(mean);
            self.sums[0][i % c] += distance.abs();
            self.sums[1][i % c] += distance.signum();
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let [distances, signs] = pair(self.sums);
        add_pairs([self.x], [signs, distances], self.means);
    }
}

/// Signs of distances, and distances.
impl OfVector<1> for Means {
    type Output = [Lane; 2];

    #[inline(always)]
    fn of(&self, k: usize, [x]: [&[i16; LANES]; 1]) -> [Lane; 2] {
        let (mean, [mut signs, mut distances]) = (&self.rows[k], [[0; LANES]; 2]);
        for i in 0..LANES {
            let distance = (i32::from(x[i]) << self.places) - mean[i];
            (signs[i], distances[i]) = (distance.signum(), distance.abs());
        }
        [signs, distances]
    }
}

struct AddProducts<'a> {
    x: &'a [i16],
    error: &'a [i16],
    lines: &'a Affines,
    sums: &'a mut Sums,
}

impl Operation for AddProducts<'_> {
    type Output = ();

    fn reference(self) {
        let c = self.sums[0].len();
        for (i, (&x, &error)) in self.x.iter().zip(self.error).enumerate() {
            self.sums[0][i % c] += i64::from(error);
            self.sums[1][i % c] += i64::from(error) * i64::from(self.lines.value(i, x));
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        add_pairs([self.x, self.error], pair(self.sums), self.lines);
    }
}

/// Errors, and errors times values.
impl OfVector<2> for Affines {
    type Output = [Lane; 2];

    #[inline(always)]
    fn of(&self, k: usize, [x, error]: [&[i16; LANES]; 2]) -> [Lane; 2] {
        let (row, [mut errors, mut products]) = (&self.rows[k], [[0; LANES]; 2]);
        for i in 0..LANES {
            errors[i] = i32::from(error[i]);
            products[i] = errors[i] * row.value(i, x[i], self.limits);
        }
        [errors, products]
    }
}

/// The first two sums.
fn pair(sums: &mut Sums) -> [&mut [i64]; 2] {
    let (first, others) = sums.split_at_mut(1);
    [&mut first[0], &mut others[0]]
}
