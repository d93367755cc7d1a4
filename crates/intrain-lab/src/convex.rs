//! Convex problems: the bounds of Li 2017 (arXiv 1706.02379, theorems 1 and 4) beside what is measured.
//!
//! `F(w) = mu / 2 |w - w*|^2` in `d` dimensions, slopes with bounded noise, rates `1 / (mu (t + 1))`. SR's mean iterate
//! stops at a floor of `sqrt(d) Delta G / 2`; BinaryConnect's has none on a quadratic (corollary 1). That holds where the
//! weight is read stochastically, so that its mean is right; read to the nearest, the mean iterate stops within a step.

use intrain_num::random::{Purpose, Stream};
use intrain_num::{Format, Grid, ParseError, Quantizer, Round};

use crate::toy::When;

/// What is minimized.
#[derive(Debug, Clone, Copy)]
pub struct Problem {
    /// Dimensions.
    pub d: usize,
    /// Curvature.
    pub mu: f64,
    /// Half the width of the uniform noise of each slope.
    pub noise: f64,
    /// Distance of two values of a quantized weight.
    pub step: f32,
}

/// A point of the curves: after so many steps.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Steps.
    pub t: u64,
    /// `F(mean iterate) - F*`.
    pub measured: f64,
    /// What the theorem allows.
    pub bound: f64,
}

/// SR's bound: theorem 1.
#[must_use]
pub fn bound_sr(t: f64, mu: f64, g: f64, d: f64, delta: f64) -> f64 {
    bound_bc(t, mu, g) + d.sqrt() * delta * g / 2.0
}

/// BC's bound where the Hessian's Lipschitz constant is `l2` and the domain's diameter `diameter`: theorem 4.
#[must_use]
pub fn bound_bc_curved(t: f64, mu: f64, g: f64, diameter: f64, l2: f64, d: f64, delta: f64) -> f64 {
    bound_bc(t, mu, g) + diameter * l2 * d.sqrt() * delta / 2.0
}

/// BC's bound on a quadratic: corollary 1.
#[must_use]
pub fn bound_bc(t: f64, mu: f64, g: f64) -> f64 {
    (1.0 + libm::log(t + 1.0)) * g * g / (2.0 * mu * t)
}

impl Problem {
    /// The curve of a walk of `steps` steps, at powers of two.
    ///
    /// # Errors
    /// A step that is no step of a grid.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "steps and dimensions are few"
    )]
    pub fn curve(&self, when: When, steps: u64, seed: u64) -> Result<Vec<Point>, ParseError> {
        let grid = Grid::new(self.step, 32_767)?;
        let random = Quantizer::plain(Format::Grid(grid), Round::Stochastic { bits: 32 });
        let quantized =
            |q: &Quantizer, w: f64, word| f64::from(q.value_as_float(q.code_of_float(w as f32, word)));
        let goal = |k: usize| (k as f64 * 0.618_034).fract() - 0.5;
        let (mut w, mut sums) = (vec![0.0; self.d], vec![0.0; self.d]);
        let mut largest = 0.0_f64;
        let mut points = Vec::new();
        for t in 0..steps {
            let noises = Stream::new(seed, Purpose::Tool, 0, t);
            let words = Stream::new(seed, Purpose::Tool, 1, t);
            let mut square = 0.0;
            for (k, (w, sum)) in w.iter_mut().zip(&mut sums).enumerate() {
                *sum += *w;
                let at = if when == When::Bc { quantized(&random, *w, words.word(k as u64)) } else { *w };
                let uniform = f64::from(noises.word(k as u64)) / 2_147_483_648.0 - 1.0;
                let slope = self.mu * (at - goal(k)) + self.noise * uniform;
                square += slope * slope;
                let next = *w - slope / (self.mu * (t + 1) as f64);
                *w = if when == When::Sr { quantized(&random, next, words.word(k as u64)) } else { next };
            }
            largest = largest.max(square);
            let n = (t + 1) as f64;
            if (t + 1).is_power_of_two() || t + 1 == steps {
                let distance = |(k, sum): (usize, &f64)| (sum / n - goal(k)) * (sum / n - goal(k));
                let measured = 0.5 * self.mu * sums.iter().enumerate().map(distance).sum::<f64>();
                // The largest slope that was met stands for G.
                let g = largest.sqrt();
                let bound = match when {
                    When::Sr => bound_sr(n, self.mu, g, self.d as f64, self.step.into()),
                    When::Bc => bound_bc(n, self.mu, g),
                };
                points.push(Point { t: t + 1, measured, bound });
            }
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_the_worked_examples() {
        let text = |x: f64| format!("{x:.5}");
        assert_eq!(text(bound_sr(1000.0, 1.0, 1.0, 100.0, 0.1)), "0.50395");
        assert_eq!(text(bound_bc_curved(1000.0, 1.0, 1.0, 2.0, 0.1, 100.0, 0.1)), "0.10395");
        assert_eq!(text(bound_sr(1000.0, 1.0, 1.0, 100.0, 0.01)), "0.05395");
        assert_eq!(text(bound_bc_curved(1000.0, 1.0, 1.0, 2.0, 0.1, 100.0, 0.01)), "0.01395");
    }

    #[test]
    fn walks_stay_below_their_bounds() {
        let problem = Problem { d: 20, mu: 1.0, noise: 0.5, step: 0.1 };
        for when in [When::Sr, When::Bc] {
            let curve = problem.curve(when, 4096, 1).unwrap();
            assert!(curve.iter().skip(3).all(|point| point.measured <= point.bound), "{when:?}: {curve:?}");
        }
    }
}
