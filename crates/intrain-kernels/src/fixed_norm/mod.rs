//! Normalization of 16-bit words, channels last: exact sums over pixels, a line per channel, and the line back.
//!
//! What each channel's line is, `intrain_num::norm` says; everything here is a product of at most 16 bits each, an addition
//! and a shift in 32-bit lanes. Sums are exact, so a part of a batch may be cut anywhere.

use std::ops::Range;

use intrain_num::norm::{Line, LineBack};
use intrain_num::{Round, Spread};

use crate::elementwise::{self, Operation};
use crate::isa::Isa;

mod sums;
#[cfg(test)]
mod tests;

pub use sums::{Sums, add_distances, add_moments, add_products, add_ranges};

/// The lines of all channels as lanes, repeated until a vector is full.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    channels: usize,
    multiplier: Vec<i32>,
    /// What is added before the shift: the offset, and the rounding's constant.
    addend: Vec<i32>,
    /// The mean, in a bit that lies `mean_places` below the words' last.
    mean: Vec<i32>,
    mean_places: u32,
    shift: Vec<i32>,
    gain: Vec<i32>,
    gain_offset: Vec<i32>,
    /// Least and largest value.
    limits: (i32, i32),
}

/// The lines back of all channels, repeated as often.
#[derive(Debug, Clone, Default)]
pub struct LinesBack {
    from_error: Vec<i32>,
    from_value: Vec<i32>,
    constant: Vec<i32>,
}

/// Lanes that a channel's numbers are repeated for, at least.
const LANES: usize = 64;

/// `f` of each channel, repeated to at least [`LANES`].
fn repeat(channels: usize, lanes: &mut Vec<i32>, f: impl Fn(usize) -> i64) {
    lanes.clear();
    let n = if channels < LANES { LANES / channels * channels } else { channels };
    // Bound: what the plan has proven to fit 32 bits.
    lanes.extend((0..n).map(|i| i32::try_from(f(i % channels)).unwrap_or(i32::MAX)));
}

impl Lines {
    /// From each channel's line, and what its values are multiplied by and what is added: `value * gain + offset`.
    ///
    /// `round` is one that adds a constant: to the nearest with ties down, or floor.
    ///
    /// # Panics
    /// When it is another, when lengths differ, or a shift is not in 1 to 30.
    pub fn set(
        &mut self,
        lines: &[Line],
        (mean, mean_places): (&[i64], u32),
        [gain, offset]: [&[i64]; 2],
        round: Round,
        limits: (i64, i64),
    ) {
        let c = lines.len();
        let same = [mean.len(), gain.len(), offset.len()].iter().all(|len| *len == c);
        assert!(c > 0 && same, "fixed_norm: lengths differ");
        assert!(
            lines.iter().all(|line| (1..=30).contains(&line.shift)),
            "fixed_norm: shifts must be 1 to 30"
        );
        let constant = |shift: i32| match round {
            Round::NearestDown => (1i64 << (shift - 1)) - 1,
            Round::Floor => 0,
            other => panic!("fixed_norm: {other} adds no constant"),
        };
        self.channels = c;
        repeat(c, &mut self.multiplier, |i| lines[i].multiplier);
        repeat(c, &mut self.addend, |i| constant(lines[i].shift) - lines[i].offset);
        repeat(c, &mut self.mean, |i| mean[i]);
        self.mean_places = mean_places;
        repeat(c, &mut self.shift, |i| lines[i].shift.into());
        repeat(c, &mut self.gain, |i| gain[i]);
        repeat(c, &mut self.gain_offset, |i| offset[i]);
        let lane = |x: i64| i32::try_from(x).unwrap_or(0);
        self.limits = (lane(limits.0), lane(limits.1));
    }

    /// Channels of a pixel.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels
    }

    #[inline(always)]
    fn value(&self, i: usize, x: i16) -> i32 {
        let sum = i32::from(x) * self.multiplier[i] + self.addend[i];
        (sum >> self.shift[i]).max(self.limits.0).min(self.limits.1)
    }

    fn check(&self, x: usize) {
        let c = self.channels;
        assert!(c > 0 && x.is_multiple_of(c), "fixed_norm: {x} words are not pixels of {c} channels");
    }
}

impl LinesBack {
    /// From each channel's line back.
    pub fn set(&mut self, lines: &[LineBack]) {
        let c = lines.len();
        repeat(c, &mut self.from_error, |i| lines[i].from_error);
        repeat(c, &mut self.from_value, |i| lines[i].from_value);
        repeat(c, &mut self.constant, |i| lines[i].constant);
    }
}

/// What a normalized value is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Nothing: it is written.
    Set,
    /// What is there.
    Add,
}

/// `out = value(x) * gain + offset`, or added to `out`, channel by channel.
///
/// Bound: the sum fits 32 bits.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn apply(isa: Isa, x: &[i16], lines: &Lines, out: &mut [i32], store: Store) {
    lines.check(x.len());
    assert_eq!(x.len(), out.len(), "fixed_norm: lengths differ");
    elementwise::run(isa, Apply { x, lines, out, store });
}

/// The error in front of a norm: `out = error * from_error + w * from_value + constant`, channel by channel, where `w` is
/// the value, or the sign of `x - mean` for [`Spread::L1`].
///
/// Bound: the sum fits 32 bits.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn back(
    isa: Isa,
    spread: Spread,
    [x, error]: [&[i16]; 2],
    (lines, back): (&Lines, &LinesBack),
    out: &mut [i32],
) {
    lines.check(x.len());
    assert!(x.len() == out.len() && x.len() == error.len(), "fixed_norm: lengths differ");
    assert_eq!(back.constant.len(), lines.mean.len(), "fixed_norm: lines of another number of channels");
    elementwise::run(isa, Back { x, error, spread, lines, back, out });
}

/// `out[i] += x[i] * 2^places`. Bound: the sum fits 32 bits.
///
/// # Panics
/// When lengths differ.
pub fn add_shifted<T: crate::Integer>(isa: Isa, x: &[T], places: u32, out: &mut [i32], store: Store) {
    assert_eq!(x.len(), out.len(), "fixed_norm: lengths differ");
    elementwise::run(isa, AddShifted { x, places, out, store });
}

/// Zeroes the errors whose trace lacks a bit of `mask`; the largest magnitude of the others.
///
/// # Panics
/// When lengths differ.
pub fn gate(isa: Isa, trace: &[u8], mask: u8, error: &mut [i16]) -> u64 {
    assert_eq!(trace.len(), error.len(), "fixed_norm: lengths differ");
    elementwise::run(isa, Gate { trace, mask, error })
}

struct Apply<'a> {
    x: &'a [i16],
    lines: &'a Lines,
    out: &'a mut [i32],
    store: Store,
}

impl Operation for Apply<'_> {
    type Output = ();

    fn reference(self) {
        let Self { x, lines, out, store } = self;
        for (i, (&x, out)) in x.iter().zip(out).enumerate() {
            let c = i % lines.channels;
            let y = lines.value(c, x) * lines.gain[c] + lines.gain_offset[c];
            *out = if store == Store::Add { *out + y } else { y };
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { x, lines, out, store } = self;
        let n = lines.multiplier.len();
        for (x, out) in x.chunks(n).zip(out.chunks_mut(n)) {
            let m = x.len();
            let (multiplier, addend, shift) = (&lines.multiplier[..m], &lines.addend[..m], &lines.shift[..m]);
            let (gain, offset, out) = (&lines.gain[..m], &lines.gain_offset[..m], &mut out[..m]);
            let (min, max) = lines.limits;
            for i in 0..m {
                let sum = i32::from(x[i]) * multiplier[i] + addend[i];
                let value = (sum >> (shift[i] & 31)).max(min).min(max);
                let y = value * gain[i] + offset[i];
                out[i] = if store == Store::Add { out[i] + y } else { y };
            }
        }
    }
}

struct Back<'a> {
    x: &'a [i16],
    error: &'a [i16],
    spread: Spread,
    lines: &'a Lines,
    back: &'a LinesBack,
    out: &'a mut [i32],
}

impl Operation for Back<'_> {
    type Output = ();

    fn reference(self) {
        let Self { x, error, spread, lines, back, out } = self;
        for (i, out) in out.iter_mut().enumerate() {
            let c = i % lines.channels;
            let w = match spread {
                Spread::L1 => ((i32::from(x[i]) << lines.mean_places) - lines.mean[c]).signum(),
                Spread::L2 | Spread::Range => lines.value(c, x[i]),
            };
            *out = i32::from(error[i]) * back.from_error[c] + w * back.from_value[c] + back.constant[c];
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { x, error, spread, lines, back, out } = self;
        let n = lines.multiplier.len();
        for ((x, error), out) in x.chunks(n).zip(error.chunks(n)).zip(out.chunks_mut(n)) {
            let m = x.len();
            let (multiplier, addend, shift) = (&lines.multiplier[..m], &lines.addend[..m], &lines.shift[..m]);
            let (a, b, constant) = (&back.from_error[..m], &back.from_value[..m], &back.constant[..m]);
            let (error, out, mean) = (&error[..m], &mut out[..m], &lines.mean[..m]);
            let (min, max) = lines.limits;
            if spread == Spread::L1 {
                for i in 0..m {
                    let sign = ((i32::from(x[i]) << lines.mean_places) - mean[i]).signum();
                    out[i] = i32::from(error[i]) * a[i] + sign * b[i] + constant[i];
                }
            } else {
                for i in 0..m {
                    let sum = i32::from(x[i]) * multiplier[i] + addend[i];
                    let value = (sum >> (shift[i] & 31)).max(min).min(max);
                    out[i] = i32::from(error[i]) * a[i] + value * b[i] + constant[i];
                }
            }
        }
    }
}

struct AddShifted<'a, T> {
    x: &'a [T],
    places: u32,
    out: &'a mut [i32],
    store: Store,
}

impl<T: crate::Integer> Operation for AddShifted<'_, T> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { x, places, out, store } = self;
        for (x, out) in x.iter().zip(out) {
            let y = x.to_i32() << places;
            *out = if store == Store::Add { *out + y } else { y };
        }
    }
}

struct Gate<'a> {
    trace: &'a [u8],
    mask: u8,
    error: &'a mut [i16],
}

impl Operation for Gate<'_> {
    type Output = u64;

    fn reference(self) -> u64 {
        self.vectorized(Isa::Reference)
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) -> u64 {
        let mut largest = 0;
        for (t, error) in self.trace.iter().zip(self.error) {
            *error = if t & self.mask == self.mask { *error } else { 0 };
            largest = largest.max(error.unsigned_abs());
        }
        largest.into()
    }
}

/// Where each channel of the pixels `pixels` has its first largest and its first smallest word: `[largest, smallest]` by
/// their numbers in `x`; nothing without pixels.
#[must_use]
pub fn ends(x: &[i16], channels: usize, pixels: Range<usize>) -> Vec<[usize; 2]> {
    let mut pixels = pixels.map(|pixel| pixel * channels);
    let Some(first) = pixels.next() else { return vec![] };
    let mut ends: Vec<[usize; 2]> = (first..first + channels).map(|i| [i, i]).collect();
    for start in pixels {
        for (i, [largest, smallest]) in (start..start + channels).zip(&mut ends) {
            if x[i] > x[*largest] {
                *largest = i;
            }
            if x[i] < x[*smallest] {
                *smallest = i;
            }
        }
    }
    ends
}
