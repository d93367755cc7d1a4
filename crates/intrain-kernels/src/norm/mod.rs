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
    elementwise::run(isa, Line { x, gain, offset, y });
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

/// The way back: `dx = p * dy + (q * x + r)`, channel by channel.
///
/// # Panics
/// When lengths differ.
pub fn back(isa: Isa, [x, dy]: [&[f32]; 2], [p, q, r]: [&[f32]; 3], dx: &mut [f32]) {
    check(x, p.len());
    assert!(x.len() == dy.len() && x.len() == dx.len(), "norm: lengths differ");
    assert!(p.len() == q.len() && q.len() == r.len(), "norm: lengths differ");
    elementwise::run(isa, Back { x, dy, p, q, r, dx });
}

fn check(x: &[f32], c: usize) {
    assert!(c > 0 && x.len().is_multiple_of(c), "norm: {} elements are not pixels of {c} channels", x.len());
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
        let c = self.sums.len() / 2;
        let (sums, squares) = self.sums.split_at_mut(c);
        for pixel in self.x.chunks_exact(c) {
            for ((sum, square), &x) in sums.iter_mut().zip(&mut *squares).zip(pixel) {
                let x = f64::from(x);
                *sum += x;
                *square += x * x;
            }
        }
    }
}

struct Line<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    offset: &'a [f32],
    y: &'a mut [f32],
}

impl Operation for Line<'_> {
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
        let c = self.mean.len();
        let (sums, products) = self.sums.split_at_mut(c);
        for (x, dy) in self.x.chunks_exact(c).zip(self.dy.chunks_exact(c)) {
            let channels = sums.iter_mut().zip(&mut *products).zip(self.mean.iter().zip(self.inverse));
            for (((sum, product), (&mean, &inverse)), (&x, &dy)) in channels.zip(x.iter().zip(dy)) {
                *sum += f64::from(dy);
                *product += f64::from(dy * ((x - mean) * inverse));
            }
        }
    }
}

struct Back<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    p: &'a [f32],
    q: &'a [f32],
    r: &'a [f32],
    dx: &'a mut [f32],
}

impl Operation for Back<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let c = self.p.len();
        let pixels = self.x.chunks_exact(c).zip(self.dy.chunks_exact(c)).zip(self.dx.chunks_exact_mut(c));
        for ((x, dy), dx) in pixels {
            let lines = self.p.iter().zip(self.q).zip(self.r);
            for ((dx, (&x, &dy)), ((&p, &q), &r)) in dx.iter_mut().zip(x.iter().zip(dy)).zip(lines) {
                *dx = p * dy + (q * x + r);
            }
        }
    }
}
