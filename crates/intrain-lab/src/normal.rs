//! The normal distribution: draws from the contract's generator, and the integrals that a chain is made of.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use intrain_num::random::Stream;

/// Draws from a standard normal distribution, by Box and Muller: element `i` takes the words `2 i` and `2 i + 1`.
pub(crate) fn draw(stream: &Stream, i: u64) -> f64 {
    let uniform = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
    let (a, b) = (uniform(stream.word(2 * i)), uniform(stream.word(2 * i + 1)));
    (-2.0 * libm::log(a)).sqrt() * libm::cos(2.0 * PI * b)
}

/// Mean of `max(x - t, 0)` for `x` normal with this mean and deviation.
pub(crate) fn excess(mean: f64, deviation: f64, t: f64) -> f64 {
    let d = (mean - t) / deviation;
    let density = libm::exp(-0.5 * d * d) / (2.0 * PI).sqrt();
    let below = 0.5 * libm::erfc(-d * FRAC_1_SQRT_2);
    deviation * density + (mean - t) * below
}

#[cfg(test)]
mod tests {
    use super::*;
    use intrain_num::random::Purpose;

    #[test]
    fn draws_have_mean_0_and_variance_1() {
        let stream = Stream::new(1, Purpose::Tool, 0, 0);
        let draws: Vec<f64> = (0..20_000).map(|i| draw(&stream, i)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let square = draws.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        let excess_of = draws.iter().map(|x| (3.0 + 2.0 * x - 4.0).max(0.0)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        assert!((excess_of - excess(3.0, 2.0, 4.0)).abs() < 0.03, "{excess_of}");
    }
}
