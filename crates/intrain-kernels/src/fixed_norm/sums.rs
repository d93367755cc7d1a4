//! Exact sums of words over the pixels of a part of a batch, channel by channel.

use std::ops::Range;

use super::Lines;
use crate::elementwise::{self, Operation};
use crate::isa::Isa;

/// Sums of each channel; what each is, says who adds to them.
pub type Sums = [Vec<i64>];

/// Adds each channel's sum of words to `sums[0]`, and that of their squares to `sums[1]`.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn add_moments(isa: Isa, x: &[i16], sums: &mut Sums) {
    check(x.len(), sums, 2);
    elementwise::run(isa, AddMoments { x, sums });
}

/// Adds each channel's sum of `|x * 2^places - mean|` to `sums[0]`, and that of the signs of `x * 2^places - mean` to
/// `sums[1]`. Bound: distances of at most 26 bits.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn add_distances(isa: Isa, x: &[i16], (mean, places): (&[i32], u32), sums: &mut Sums) {
    check(x.len(), sums, 2);
    assert_eq!(mean.len(), sums[0].len(), "fixed_norm: lengths differ");
    elementwise::run(isa, AddDistances { x, mean, places, sums });
}

/// Adds each channel's sum of errors to `sums[0]`, and that of error times value to `sums[1]`.
///
/// # Panics
/// When lengths differ, or `x` is not whole pixels.
pub fn add_products(isa: Isa, [x, error]: [&[i16]; 2], lines: &Lines, sums: &mut Sums) {
    check(x.len(), sums, 2);
    assert_eq!(x.len(), error.len(), "fixed_norm: lengths differ");
    elementwise::run(isa, AddProducts { x, error, lines, sums });
}

/// Adds each channel's largest word less its smallest, of the pixels `pixels`, to `sums[0]`.
///
/// # Panics
/// When `x` is not whole pixels.
pub fn add_ranges(x: &[i16], pixels: Range<usize>, sums: &mut Sums) {
    check(x.len(), sums, 1);
    let c = sums[0].len();
    let Some(first) = x.get(pixels.start * c..).and_then(|x| x.get(..c)).filter(|_| !pixels.is_empty())
    else {
        return;
    };
    let (mut largest, mut smallest) = (first.to_vec(), first.to_vec());
    for pixel in x[pixels.start * c..pixels.end * c].chunks_exact(c) {
        for ((x, largest), smallest) in pixel.iter().zip(&mut largest).zip(&mut smallest) {
            *largest = (*largest).max(*x);
            *smallest = (*smallest).min(*x);
        }
    }
    for ((sum, largest), smallest) in sums[0].iter_mut().zip(largest).zip(smallest) {
        *sum += i64::from(largest) - i64::from(smallest);
    }
}

fn check(x: usize, sums: &Sums, n: usize) {
    let c = sums.first().map_or(0, Vec::len);
    assert!(sums.len() >= n && sums.iter().all(|sums| sums.len() == c), "fixed_norm: sums of one length");
    assert!(c > 0 && x.is_multiple_of(c), "fixed_norm: {x} words are not pixels of {c} channels");
}

/// Channels whose sums stay in registers while pixels pass.
const CHANNELS: usize = 16;
/// Pixels whose sums fit 32 bits, split as they are.
const PIXELS: usize = 1 << 14;

/// Adds two terms of each pixel, of at most 31 bits and a sign, to two sums per channel.
///
/// Exact: a term is split in its low 16 bits and the rest, whose sums over [`PIXELS`] fit 32 bits.
#[inline(always)]
fn add_pairs<const N: usize>(
    tensors: [&[i16]; N],
    sums: &mut Sums,
    terms: impl Fn(usize, [i32; N]) -> [i32; 2],
) {
    let (a, b) = sums.split_at_mut(1);
    let (a, b) = (&mut a[0][..], &mut b[0][..]);
    let c = a.len();
    let (blocks, len) = (c / CHANNELS, tensors[0].len());
    for part in (0..len).step_by(PIXELS * c) {
        let end = len.min(part + PIXELS * c);
        for first in (0..blocks).map(|block| block * CHANNELS) {
            let mut totals = [[0_i32; CHANNELS]; 4];
            for start in (part + first..end).step_by(c) {
                let pixel: [&[i16; CHANNELS]; N] =
                    tensors.map(|tensor| tensor[start..].first_chunk().expect("whole pixels"));
                for i in 0..CHANNELS {
                    let [a, b] = terms(first + i, pixel.map(|pixel| pixel[i].into()));
                    totals[0][i] += a & 0xffff;
                    totals[1][i] += a >> 16;
                    totals[2][i] += b & 0xffff;
                    totals[3][i] += b >> 16;
                }
            }
            for i in 0..CHANNELS {
                let of = |k: usize| i64::from(totals[k][i]) + (i64::from(totals[k + 1][i]) << 16);
                a[first + i] += of(0);
                b[first + i] += of(2);
            }
        }
        for start in (part..end).step_by(c) {
            for i in blocks * CHANNELS..c {
                let [x, y] = terms(i, tensors.map(|tensor| tensor[start + i].into()));
                a[i] += i64::from(x);
                b[i] += i64::from(y);
            }
        }
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
        add_pairs([self.x], self.sums, |_, [x]| [x, x * x]);
    }
}

struct AddDistances<'a> {
    x: &'a [i16],
    mean: &'a [i32],
    places: u32,
    sums: &'a mut Sums,
}

impl Operation for AddDistances<'_> {
    type Output = ();

    fn reference(self) {
        let c = self.mean.len();
        for (i, &x) in self.x.iter().enumerate() {
            let i = i % c;
            let distance = (i64::from(x) << self.places) - i64::from(self.mean[i]);
            self.sums[0][i] += distance.abs();
            self.sums[1][i] += distance.signum();
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { mean, places, .. } = self;
        add_pairs([self.x], self.sums, |i, [x]| {
            let distance = (x << places) - mean[i];
            [distance.abs(), distance.signum()]
        });
    }
}

struct AddProducts<'a> {
    x: &'a [i16],
    error: &'a [i16],
    lines: &'a Lines,
    sums: &'a mut Sums,
}

impl Operation for AddProducts<'_> {
    type Output = ();

    fn reference(self) {
        let c = self.sums[0].len();
        for (i, (&x, &error)) in self.x.iter().zip(self.error).enumerate() {
            self.sums[0][i % c] += i64::from(error);
            self.sums[1][i % c] += i64::from(error) * i64::from(self.lines.value(i % c, x));
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let (c, (min, max)) = (self.lines.channels, self.lines.limits);
        let lines = self.lines;
        let (multiplier, addend, shift) = (&lines.multiplier[..c], &lines.addend[..c], &lines.shift[..c]);
        add_pairs([self.x, self.error], self.sums, |i, [x, error]| {
            let sum = x * multiplier[i] + addend[i];
            [error, error * (sum >> (shift[i] & 31)).max(min).min(max)]
        });
    }
}
