//! Batch normalization in binary32, channels last: sums over the pixels of a part of a batch, and one line per channel.
//!
//! Sums are in binary64, pixel after pixel, so a part's sums depend on the part alone; whoever adds parts up in a fixed
//! order gets the same moments for any number of threads. Everything else is one multiplication and one addition for each
//! element, rounded twice, never fused: the same bits with every kernel.
#![allow(clippy::float_arithmetic, reason = "a float role")]

use crate::elementwise::{self, Operation};
use crate::isa::Isa;

#[cfg(test)]
mod tests;

/// Adds each channel's sum to `sums[..c]`, and its sum of squares to `sums[c..]`.
///
/// # Panics
/// When `sums` is not twice as long as a pixel, or `x` is not whole pixels.
pub fn add_moments(isa: Isa, x: &[f32], sums: &mut [f64]) {
    check(x, sums.len() / 2);
    elementwise::run(isa, Moments { x, sums });
}

/// `y = gain * x + offset`, channel by channel.
///
/// # Panics
/// When lengths differ.
pub fn apply(isa: Isa, x: &[f32], [gain, offset]: [&[f32]; 2], y: &mut [f32]) {
    check(x, gain.len());
    assert!(x.len() == y.len() && gain.len() == offset.len(), "norm: lengths differ");
    elementwise::run(isa, ChannelAffine { x, gain, offset, y });
}

/// Adds each channel's sum of the errors `dy` to `sums[..c]`, and that of `dy * (x - mean) * inverse` to `sums[c..]`.
///
/// # Panics
/// When lengths differ.
pub fn add_products(isa: Isa, [x, dy]: [&[f32]; 2], [mean, inverse]: [&[f32]; 2], sums: &mut [f64]) {
    check(x, mean.len());
    assert!(
        x.len() == dy.len() && sums.len() == 2 * mean.len() && mean.len() == inverse.len(),
        "norm: lengths differ"
    );
    elementwise::run(isa, Products { x, dy, mean, inverse, sums });
}

/// The backward pass: `dy = p * dy + (q * x + r)`, channel by channel.
///
/// # Panics
/// When lengths differ.
pub fn back(isa: Isa, x: &[f32], [p, q, r]: [&[f32]; 3], dy: &mut [f32]) {
    check(x, p.len());
    assert!(x.len() == dy.len() && p.len() == q.len() && q.len() == r.len(), "norm: lengths differ");
    elementwise::run(isa, Back { x, p, q, r, dy });
}

fn check(x: &[f32], c: usize) {
    assert!(c > 0 && x.len().is_multiple_of(c), "norm: {} elements are not pixels of {c} channels", x.len());
}

/// Channels whose sums stay in registers while pixels pass.
const CHANNELS: usize = 16;

/// Adds `terms(pixel's elements of these channels)` of all pixels to two sums per channel, pixel after pixel.
#[inline(always)]
fn add_pairs<const N: usize>(
    tensors: [&[f32]; N],
    (sums, others): (&mut [f64], &mut [f64]),
    terms: impl Fn(usize, [f32; N]) -> [f64; 2],
) {
    let c = sums.len();
    let blocks = c / CHANNELS;
    for first in (0..blocks).map(|block| block * CHANNELS) {
        // Copies, so that they stay in registers.
        let mut totals = [[0.0; CHANNELS]; 2];
        totals[0].copy_from_slice(&sums[first..][..CHANNELS]);
        totals[1].copy_from_slice(&others[first..][..CHANNELS]);
        for start in (first..tensors[0].len()).step_by(c) {
            let pixel: [&[f32; CHANNELS]; N] =
                tensors.map(|tensor| tensor[start..].first_chunk().expect("whole pixels"));
            for i in 0..CHANNELS {
                let [a, b] = terms(first + i, pixel.map(|pixel| pixel[i]));
                totals[0][i] += a;
                totals[1][i] += b;
            }
        }
        sums[first..][..CHANNELS].copy_from_slice(&totals[0]);
        others[first..][..CHANNELS].copy_from_slice(&totals[1]);
    }
    for start in (0..tensors[0].len()).step_by(c) {
        for i in blocks * CHANNELS..c {
            let [a, b] = terms(i, tensors.map(|tensor| tensor[start + i]));
            sums[i] += a;
            others[i] += b;
        }
    }
}

struct Moments<'a> {
    x: &'a [f32],
    sums: &'a mut [f64],
}

impl Operation for Moments<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let sums = self.sums.split_at_mut(self.sums.len() / 2);
        add_pairs([self.x], sums, |_, [x]| {
            let x = f64::from(x);
            [x, x * x]
        });
    }
}

struct ChannelAffine<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    offset: &'a [f32],
    y: &'a mut [f32],
}

impl Operation for ChannelAffine<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let c = self.gain.len();
        for (x, y) in self.x.chunks_exact(c).zip(self.y.chunks_exact_mut(c)) {
            for (((y, &x), &gain), &offset) in y.iter_mut().zip(x).zip(self.gain).zip(self.offset) {
                *y = gain * x + offset;
            }
        }
    }
}

struct Products<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    mean: &'a [f32],
    inverse: &'a [f32],
    sums: &'a mut [f64],
}

impl Operation for Products<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let sums = self.sums.split_at_mut(self.mean.len());
        let (mean, inverse) = (self.mean, self.inverse);
        add_pairs([self.x, self.dy], sums, |i, [x, dy]| {
            [f64::from(dy), f64::from(dy * ((x - mean[i]) * inverse[i]))]
        });
    }
}

struct Back<'a> {
    x: &'a [f32],
    p: &'a [f32],
    q: &'a [f32],
    r: &'a [f32],
    dy: &'a mut [f32],
}

impl Operation for Back<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let c = self.p.len();
        for (x, dy) in self.x.chunks_exact(c).zip(self.dy.chunks_exact_mut(c)) {
            let lines = self.p.iter().zip(self.q).zip(self.r);
            for ((dy, &x), ((&p, &q), &r)) in dy.iter_mut().zip(x).zip(lines) {
                *dy = p * *dy + (q * x + r);
            }
        }
    }
}
