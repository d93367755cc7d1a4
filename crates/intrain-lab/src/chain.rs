//! SR's walk on the toy problem as a Markov chain, exactly: where it ends and how fast it forgets where it began.
//!
//! Li 2017, section 5 and theorems 5 and 6: as the rate falls, the chain's stationary distribution approaches one that
//! does not depend on it, while mixing slows in proportion.

use crate::normal::excess;
use crate::toy::{STATES, STEP, slope, state};

/// Probabilities from each state (row) to each state.
pub type Matrix = Vec<Vec<f64>>;

/// SR's transitions at the rate `rate`, slopes having normal noise of this deviation; the domain's ends hold.
#[must_use]
pub fn transitions(rate: f64, noise: f64) -> Matrix {
    let row = |from: usize| {
        let (mean, deviation) = (state(from) - rate * slope(state(from)), rate * noise);
        let above = |t: f64| excess(mean, deviation, t);
        // The mean of the hat that is 1 at a state and 0 at its neighbours; an end takes all that lies beyond.
        let to = |to: usize| {
            let y = state(to);
            let (left, here, right) = (above(y - STEP), above(y), above(y + STEP));
            match to {
                0 => 1.0 - (here - right) / STEP,
                _ if to + 1 == STATES => (left - here) / STEP,
                _ => (left - 2.0 * here + right) / STEP,
            }
        };
        (0..STATES).map(to).collect()
    };
    (0..STATES).map(row).collect()
}

/// The stationary distribution that the chain approaches as the rate falls: that of steps to neighbours alone, up with
/// the mean of the slope's negative part, down with that of its positive part (the definition of U in theorem 5).
#[must_use]
pub fn limit(noise: f64) -> Vec<f64> {
    let up = |i: usize| excess(-slope(state(i)), noise, 0.0);
    let down = |i: usize| excess(slope(state(i)), noise, 0.0);
    // A chain of neighbours is in balance across each link.
    let mut weights = vec![1.0];
    for i in 1..STATES {
        weights.push(weights[i - 1] * up(i - 1) / down(i));
    }
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// The stationary distribution of any chain that mixes.
#[must_use]
pub fn stationary(chain: &Matrix) -> Vec<f64> {
    let mut power = chain.clone();
    // 2^60 steps; rounding is undone by making rows sum to 1 again.
    for _ in 0..60 {
        power = product(&power, &power);
        for row in &mut power {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
        }
    }
    power.swap_remove(0)
}

/// 1 less the second largest magnitude of an eigenvalue: how much of what is left to forget goes in one step.
#[must_use]
pub fn spectral_gap(chain: &Matrix) -> f64 {
    let pi = stationary(chain);
    // Without the part that stays; the power's size is then that of the second eigenvalue.
    let mut rest: Matrix =
        chain.iter().map(|row| row.iter().zip(&pi).map(|(p, stays)| p - stays).collect()).collect();
    let (mut log_size, mut steps) = (0.0, 1.0);
    for _ in 0..40 {
        rest = product(&rest, &rest);
        (log_size, steps) = (2.0 * log_size, 2.0 * steps);
        let size = rest.iter().flatten().fold(0.0_f64, |max, x| max.max(x.abs()));
        if size == 0.0 {
            return 1.0;
        }
        log_size += libm::log(size);
        rest.iter_mut().flatten().for_each(|x| *x /= size);
    }
    -libm::expm1(log_size / steps)
}

/// Half the sum of what two distributions differ by.
#[must_use]
pub fn total_variation(a: &[f64], b: &[f64]) -> f64 {
    0.5 * a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>()
}

/// A chain that stays where it is half of the time, and else moves as `chain` does.
#[must_use]
pub fn lazy(chain: &Matrix) -> Matrix {
    let entry = |i: usize, j: usize, p: f64| if i == j { f64::midpoint(1.0, p) } else { p / 2.0 };
    chain
        .iter()
        .enumerate()
        .map(|(i, row)| row.iter().enumerate().map(|(j, &p)| entry(i, j, p)).collect())
        .collect()
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let n = b[0].len();
    let row = |row: &Vec<f64>| (0..n).map(|j| row.iter().zip(b).map(|(x, b)| x * b[j]).sum()).collect();
    a.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: f64 = 3.0;

    fn rounded(x: &[f64]) -> Vec<f64> {
        x.iter().map(|x| (x * 1e5).round() / 1e5).collect()
    }

    #[test]
    fn the_limit_of_the_worked_example() {
        assert_eq!(
            rounded(&limit(NOISE)),
            [
                0.00006, 0.00019, 0.00027, 0.00019, 0.00057, 0.00406, 0.01307, 0.01925, 0.01307, 0.02933,
                0.14035, 0.30496, 0.30496, 0.14035, 0.02933
            ]
        );
    }

    #[test]
    fn the_chain_keeps_its_distribution_and_mixes_slower() {
        let limit = limit(NOISE);
        for (rate, gap, digits) in [
            (0.1, 0.0265, 4),
            (0.03, 0.00738, 5),
            (0.01, 0.00246, 5),
            (0.003, 0.00074, 5),
            (0.001, 0.00025, 5),
        ] {
            let chain = transitions(rate, NOISE);
            assert!(chain.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-12));
            let distance = total_variation(&stationary(&chain), &limit);
            if rate == 0.1 {
                assert_eq!(format!("{distance:.4}"), "0.0418");
            } else {
                assert!(distance < 1e-4, "{rate}: {distance}");
            }
            assert_eq!(format!("{:.digits$}", spectral_gap(&chain)), format!("{gap:.digits$}"), "{rate}");
        }
        let near = |rate| {
            let pi = stationary(&transitions(rate, NOISE));
            format!("{:.4}", pi[11] + pi[12])
        };
        assert_eq!([near(0.1), near(0.01), near(0.001)], ["0.5682", "0.6099", "0.6099"]);
    }

    #[test]
    fn staying_half_of_the_time_changes_no_distribution() {
        let chain = vec![vec![0.2, 0.6, 0.2], vec![0.3, 0.1, 0.6], vec![0.4, 0.4, 0.2]];
        for chain in [chain.clone(), lazy(&chain)] {
            assert_eq!(rounded(&stationary(&chain)), [0.30380, 0.35443, 0.34177]);
        }
    }
}
