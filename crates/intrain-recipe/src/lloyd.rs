//! Levels that quantize a distribution of positive numbers with the least squared error: Lloyd's iteration.
//!
//! HWGQ, arXiv 1702.00953 section 3.1: `Q(x) = q_i` between the middles of neighbouring levels, and everything above 0 up
//! to the first middle becomes `q_1`. Invariant: the same levels on every machine; no function of the system is called.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// A distribution on the positive half line.
pub trait Density {
    /// Probability of `a..b`, up to a factor.
    fn mass(&self, a: f64, b: f64) -> f64;
    /// Integral of `x` over it, up to the same factor.
    fn moment(&self, a: f64, b: f64) -> f64;
    /// Integral of `x^2` over it, up to the same factor.
    fn second_moment(&self, a: f64, b: f64) -> f64;
    /// About where most of it ends: where the search begins.
    fn scale(&self) -> f64;
}

/// The positive half of a standard normal distribution.
#[derive(Debug, Clone, Copy)]
pub struct HalfNormal;

fn phi(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { libm::exp(-0.5 * x * x) / (2.0 * PI).sqrt() }
}

impl Density for HalfNormal {
    fn mass(&self, a: f64, b: f64) -> f64 {
        0.5 * (libm::erfc(a * FRAC_1_SQRT_2) - libm::erfc(b * FRAC_1_SQRT_2))
    }

    fn moment(&self, a: f64, b: f64) -> f64 {
        phi(a) - phi(b)
    }

    fn second_moment(&self, a: f64, b: f64) -> f64 {
        let end = |x: f64| if x.is_infinite() { 0.0 } else { x * phi(x) };
        self.mass(a, b) + end(a) - end(b)
    }

    fn scale(&self) -> f64 {
        3.0
    }
}

/// Numbers that were counted: those of a bin lie anywhere in it, evenly.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Width of each bin; the first begins at 0.
    width: f64,
    counts: Vec<f64>,
}

impl Histogram {
    /// Counts in bins of equal width, the first from 0 on.
    ///
    /// # Errors
    /// No positive count, or a width that is not above 0.
    pub fn new(width: f64, counts: &[u64]) -> Result<Self, String> {
        if !(width > 0.0 && width.is_finite()) {
            return Err(format!("a bin width of {width} is not above 0"));
        }
        #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
        let counts: Vec<f64> = counts.iter().map(|&n| n as f64).collect();
        if counts.iter().all(|n| *n == 0.0) {
            return Err("a histogram without a count has no levels".to_owned());
        }
        Ok(Self { width, counts })
    }

    /// Sum over the bins of `f(end) - f(start)` of their part in `a..b`, with `f` the integral of what is asked for.
    fn sum(&self, a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
        let part = |(i, n): (usize, &f64)| {
            let (low, high) = (as_f64(i) * self.width, as_f64(i + 1) * self.width);
            let (low, high) = (low.max(a), high.min(b));
            if low < high { n / self.width * (f(high) - f(low)) } else { 0.0 }
        };
        self.counts.iter().enumerate().map(part).sum()
    }
}

impl Density for Histogram {
    fn mass(&self, a: f64, b: f64) -> f64 {
        self.sum(a, b, |x| x)
    }

    fn moment(&self, a: f64, b: f64) -> f64 {
        self.sum(a, b, |x| x * x / 2.0)
    }

    fn second_moment(&self, a: f64, b: f64) -> f64 {
        self.sum(a, b, |x| x * x * x / 3.0)
    }

    fn scale(&self) -> f64 {
        (3.0 * self.second_moment(0.0, f64::INFINITY) / self.mass(0.0, f64::INFINITY)).sqrt()
    }
}

/// Most rounds of the iteration; 15 free levels of a normal distribution need some thousands.
const ROUNDS_MAX: usize = 100_000;
/// Where levels have stopped to move.
const STILL: f64 = 1e-14;

/// Levels `i * step` for `i = 1..=n`, with the best step.
#[must_use]
pub fn uniform(density: &impl Density, n: usize) -> Vec<f64> {
    let multiples = |step: f64| (1..=n).map(|i| as_f64(i) * step).collect::<Vec<_>>();
    let mut step = density.scale() / as_f64(n + 1);
    for _ in 0..ROUNDS_MAX {
        let ends = ends(&multiples(step));
        // The least squares of x ~ i * step, with the intervals held.
        let (mut above, mut below) = (0.0, 0.0);
        for (i, end) in ends.windows(2).enumerate() {
            let i = as_f64(i + 1);
            above += i * density.moment(end[0], end[1]);
            below += i * i * density.mass(end[0], end[1]);
        }
        let next = above / below;
        let moved = (next - step).abs();
        step = next;
        if moved <= STILL * step {
            break;
        }
    }
    multiples(step)
}

/// Levels at the means of their intervals.
#[must_use]
pub fn free(density: &impl Density, n: usize) -> Vec<f64> {
    let mut levels = uniform(density, n);
    for _ in 0..ROUNDS_MAX {
        let ends = ends(&levels);
        let mut moved: f64 = 0.0;
        for (level, end) in levels.iter_mut().zip(ends.windows(2)) {
            let mass = density.mass(end[0], end[1]);
            // An interval of a histogram may be empty: its level stays where it is.
            let next = if mass > 0.0 { density.moment(end[0], end[1]) / mass } else { *level };
            moved = moved.max((next - *level).abs());
            *level = next;
        }
        if moved <= STILL * levels[n - 1] {
            break;
        }
    }
    levels
}

/// The mean squared error over all numbers of which half are positive and the others become zero, as in HWGQ's tables: half of
/// [`mean_squared_error`].
#[must_use]
pub fn squared_error(density: &impl Density, levels: &[f64]) -> f64 {
    0.5 * mean_squared_error(density, levels)
}

/// The mean squared error of the positive numbers.
#[must_use]
pub fn mean_squared_error(density: &impl Density, levels: &[f64]) -> f64 {
    let of_level = |(level, end): (&f64, &[f64])| {
        let (a, b) = (end[0], end[1]);
        density.second_moment(a, b) - 2.0 * level * density.moment(a, b) + level * level * density.mass(a, b)
    };
    let sum: f64 = levels.iter().zip(ends(levels).windows(2)).map(of_level).sum();
    sum / density.mass(0.0, f64::INFINITY)
}

/// 0, the middles of neighbouring levels, infinity.
fn ends(levels: &[f64]) -> Vec<f64> {
    let middles = levels.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    std::iter::once(0.0).chain(middles).chain([f64::INFINITY]).collect()
}

#[allow(clippy::cast_precision_loss, reason = "numbers of levels")]
const fn as_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(levels: &[f64]) -> Vec<String> {
        levels.iter().map(|level| format!("{level:.4}")).collect()
    }

    /// The table of optimal values of the half normal, to its last digit.
    #[test]
    fn levels_of_the_half_normal() {
        for (n, step, error) in [
            (1, "0.7979", "0.18169"),
            (2, "0.6510", "0.07906"),
            (3, "0.5388", "0.04322"),
            (7, "0.3217", "0.01020"),
            (15, "0.1842", "0.00251"),
        ] {
            let levels = uniform(&HalfNormal, n);
            assert_eq!(format!("{:.4}", levels[0]), step, "{n}");
            assert_eq!(format!("{:.5}", squared_error(&HalfNormal, &levels)), error, "{n}");
        }
        for (n, free_levels, error) in [
            (1, &["0.7979"][..], "0.18169"),
            (2, &["0.4528", "1.5104"], "0.05874"),
            (3, &["0.3177", "1.0001", "1.8936"], "0.02899"),
            (7, &["0.1457", "0.4413", "0.7504", "1.0856", "1.4675", "1.9386", "2.6251"], "0.00612"),
        ] {
            let levels = free(&HalfNormal, n);
            assert_eq!(texts(&levels), free_levels, "{n}");
            assert_eq!(format!("{:.5}", squared_error(&HalfNormal, &levels)), error, "{n}");
        }
        assert_eq!(format!("{:.5}", squared_error(&HalfNormal, &free(&HalfNormal, 15))), "0.00142");
    }

    #[test]
    fn a_histogram_of_a_normal_has_its_levels() {
        let counts: Vec<u64> = (0..600)
            .map(|i| {
                let (a, b) = (f64::from(i) / 100.0, f64::from(i + 1) / 100.0);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                let count = (1e12 * HalfNormal.mass(a, b)).round() as u64;
                count
            })
            .collect();
        let histogram = Histogram::new(0.01, &counts).unwrap();
        for n in [1, 3, 7] {
            for (a, b) in free(&histogram, n).iter().zip(free(&HalfNormal, n)) {
                assert!((a - b).abs() < 1e-4, "{n}: {a} and {b}");
            }
        }
        // Numbers evenly from 0 to 4 with one level at 2: the mean of x^2 over -2..2 is 4/3, however many there are.
        for n in [1, 1000] {
            let even = Histogram::new(1.0, &[n; 4]).unwrap();
            assert!((mean_squared_error(&even, &free(&even, 1)) - 4.0 / 3.0).abs() < 1e-12, "{n}");
        }
        assert!(Histogram::new(0.0, &[1]).is_err());
        assert!(Histogram::new(1.0, &[0, 0]).is_err());
    }
}
