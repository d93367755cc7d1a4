//! Li's toy problem (arXiv 1706.02379, eq. 8): one weight on a curve with three valleys, and a noisy slope.
//!
//! SR rounds the weight stochastically behind each step and stays as restless with small steps as with large ones; BC
//! keeps a float weight, and its quantized weight settles in the lowest valley. The paper does not say which noise it
//! took; here it is normal.

use intrain_num::random::{Purpose, Stream};
use intrain_num::{Format, Grid, Quantizer, Round};

use crate::normal;

/// Distance of two values of a quantized weight.
pub const STEP: f64 = 0.5;
/// The grid's ends: the domain is bounded.
pub const ENDS: [f64; 2] = [-1.0, 6.0];
/// Values of the grid.
pub const STATES: usize = 15;
/// Where a walk starts.
pub const START: f64 = 4.0;

/// The curve: three parabolas, the lowest valley at 4.75.
#[must_use]
pub fn value(w: f64) -> f64 {
    let (valley, depth) = piece(w);
    (w - valley) * (w - valley) + depth
}

/// Its slope.
#[must_use]
pub fn slope(w: f64) -> f64 {
    2.0 * (w - piece(w).0)
}

const fn piece(w: f64) -> (f64, f64) {
    if w < 1.0 {
        (0.0, 2.0)
    } else if w < 3.5 {
        (2.5, 0.75)
    } else {
        (4.75, 0.19)
    }
}

/// The value of a state of the grid.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a few states")]
pub const fn state(i: usize) -> f64 {
    ENDS[0] + STEP * i as f64
}

/// When the weight is quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Stochastically, behind the step.
    Sr,
    /// To the nearest, in front of the slope.
    Bc,
}

/// How often each state was met in a walk of `steps` steps at the rate `rate`, with slopes whose noise has this
/// deviation.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a state of the grid")]
pub fn histogram(when: When, rate: f64, noise: f64, steps: u64, seed: u64) -> [u64; STATES] {
    let stream = |layer| Stream::new(seed, Purpose::Tool, layer, 0);
    let (noises, words) = (stream(0), stream(1));
    let quantizer = |round| {
        let grid =
            Grid::new(STEP as f32, 64).unwrap_or_else(|error| unreachable!("a grid of the toy: {error}"));
        Quantizer::plain(Format::Grid(grid), round)
    };
    let (near, random) = (quantizer(Round::NearestAway), quantizer(Round::Stochastic { bits: 32 }));
    let quantized =
        |q: &Quantizer, w: f64, word| f64::from(q.value_as_float(q.code_of_float(w as f32, word)));
    let mut w = START;
    let mut counts = [0; STATES];
    for i in 0..steps {
        let at = match when {
            When::Sr => w,
            When::Bc => quantized(&near, w, 0),
        };
        counts[((at - ENDS[0]) / STEP) as usize] += 1;
        let next = w - rate * (slope(at) + noise * normal::draw(&noises, i));
        let held = next.clamp(ENDS[0], ENDS[1]);
        w = match when {
            When::Sr => quantized(&random, held, words.word(i)),
            When::Bc => held,
        };
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_meet() {
        assert_eq!(value(1.0 - 1e-12).round(), 3.0);
        assert!((value(3.5 - 1e-12) - value(3.5)).abs() < 3e-3);
        assert_eq!((slope(0.5), slope(2.0), slope(4.0)), (1.0, -1.0, -1.5));
    }

    /// What the paper's figure shows: BC settles with smaller steps, SR does not.
    #[test]
    fn binary_connect_settles_and_sr_does_not() {
        let near = |when, rate| {
            let counts = histogram(when, rate, 3.0, 100_000, 1);
            // 4.5 and 5, on both sides of the lowest point.
            (counts[11] + counts[12]) as f64 / 1e5
        };
        assert!(near(When::Bc, 0.001) > 0.9);
        assert!(near(When::Sr, 0.01) < 0.75);
        assert!(near(When::Bc, 0.001) > near(When::Bc, 1.0) + 0.3);
    }
}
