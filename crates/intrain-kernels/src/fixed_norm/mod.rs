//! Normalization of 16-bit integers, channels last: exact sums over pixels, a line per channel, and the line back.
//!
//! What each channel's line is, `intrain_num::norm` says; everything here is a product of at most 16 bits each, an addition
//! and a shift in 32-bit lanes. Sums are exact, so a part of a batch may be cut anywhere.

use std::ops::Range;

use intrain_num::Spread;

use crate::elementwise::{self, Operation};
use crate::isa::Isa;

mod lines;
mod sums;
#[cfg(test)]
mod tests;

pub use lines::{Affines, AffinesBackward, Means};
use lines::{LANES, Lane, OfVector, each};
pub use sums::{Sums, add_distances, add_moments, add_products, add_ranges};

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
pub fn apply(isa: Isa, x: &[i16], lines: &Affines, out: &mut [i32], store: Store) {
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
    (lines, back): (&Affines, &AffinesBackward),
    out: &mut [i32],
) {
    lines.check(x.len());
    assert!(x.len() == out.len() && x.len() == error.len(), "fixed_norm: lengths differ");
    assert_eq!(back.channels, lines.channels(), "fixed_norm: lines of another number of channels");
    elementwise::run(isa, Back { x, error, spread, lines, back, out });
}

/// `out[i] = x[i] * 2^places`, or added to `out`. Bound: the sum fits 32 bits.
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
    lines: &'a Affines,
    out: &'a mut [i32],
    store: Store,
}

impl Operation for Apply<'_> {
    type Output = ();

    fn reference(self) {
        let Self { x, lines, out, store } = self;
        for (i, (&x, out)) in x.iter().zip(out).enumerate() {
            let (k, lane) = lines.at(i);
            let row = &lines.rows[k];
            let y = lines.value(i, x) * row.gain[lane] + row.offset[lane];
            *out = if store == Store::Add { *out + y } else { y };
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        each([self.x], self.lines.rows.len(), self.lines, self.out, self.store);
    }
}

/// Normalized values with gain and offset.
impl OfVector<1> for Affines {
    type Output = Lane;

    #[inline(always)]
    fn of(&self, k: usize, [x]: [&[i16; LANES]; 1]) -> Lane {
        let (row, mut y) = (&self.rows[k], [0; LANES]);
        for i in 0..LANES {
            y[i] = row.value(i, x[i], self.limits) * row.gain[i] + row.offset[i];
        }
        y
    }
}

struct Back<'a> {
    x: &'a [i16],
    error: &'a [i16],
    spread: Spread,
    lines: &'a Affines,
    back: &'a AffinesBackward,
    out: &'a mut [i32],
}

impl Operation for Back<'_> {
    type Output = ();

    fn reference(self) {
        let Self { x, error, spread, lines, back, out } = self;
        for (i, out) in out.iter_mut().enumerate() {
            let (k, lane) = lines.at(i);
            let w = match spread {
                Spread::L1 => sign(x[i], lines.means.rows[k][lane], lines.means.places),
                Spread::L2 | Spread::Range => lines.value(i, x[i]),
            };
            let row = &back.rows[k];
            *out = i32::from(error[i]) * row.from_error[lane] + w * row.from_value[lane] + row.constant[lane];
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { x, error, spread, lines, back, out } = self;
        let (tensors, rows) = ([x, error], lines.rows.len());
        match spread {
            Spread::L1 => each(tensors, rows, &Errors::<true> { lines, back }, out, Store::Set),
            Spread::L2 | Spread::Range => {
                each(tensors, rows, &Errors::<false> { lines, back }, out, Store::Set);
            }
        }
    }
}

/// Errors in front of a norm, from integers and the errors behind it; with the signs of distances, or with values.
struct Errors<'a, const SIGNS: bool> {
    lines: &'a Affines,
    back: &'a AffinesBackward,
}

impl<const SIGNS: bool> OfVector<2> for Errors<'_, SIGNS> {
    type Output = Lane;

    #[inline(always)]
    fn of(&self, k: usize, [x, error]: [&[i16; LANES]; 2]) -> Lane {
        let Affines { rows, means, limits } = self.lines;
        let (row, mean, back, mut y) = (&rows[k], &means.rows[k], &self.back.rows[k], [0; LANES]);
        for i in 0..LANES {
            let w = if SIGNS { sign(x[i], mean[i], means.places) } else { row.value(i, x[i], *limits) };
            y[i] = i32::from(error[i]) * back.from_error[i] + w * back.from_value[i] + back.constant[i];
        }
        y
    }
}

/// On which side of the mean an integer lies.
#[inline(always)]
fn sign(x: i16, mean: i32, places: u32) -> i32 {
    ((i32::from(x) << places) - mean).signum()
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
            // All bits or none: a branch would be missed as often as not.
            *error &= -i16::from(t & self.mask == self.mask);
            largest = largest.max(error.unsigned_abs());
        }
        largest.into()
    }
}

/// Where each channel of the pixels `pixels` has its first largest and its first smallest integer: `[largest, smallest]` by
/// their numbers in `x`, into `ends`; nothing without pixels.
pub fn ends(x: &[i16], channels: usize, pixels: Range<usize>, ends: &mut Vec<[usize; 2]>) {
    ends.clear();
    let mut pixels = pixels.map(|pixel| pixel * channels);
    let Some(first) = pixels.next() else { return };
    ends.extend((first..first + channels).map(|i| [i, i]));
    for start in pixels {
        for (i, [largest, smallest]) in (start..start + channels).zip(&mut *ends) {
            if x[i] > x[*largest] {
                *largest = i;
            }
            if x[i] < x[*smallest] {
                *smallest = i;
            }
        }
    }
}
