//! What a few equal experiments come to: mean, deviation, and how well the mean is known.

/// Of a few values, such as the test errors of runs that differ in their seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Their mean; NaN without values.
    pub mean: f64,
    /// Deviation of one from it, with `n - 1`; NaN for a single one.
    pub deviation: f64,
    /// Half the width of the mean's 95 % interval, by Student's distribution; NaN for a single one.
    pub interval: f64,
}

impl Spread {
    /// What these values come to.
    #[allow(clippy::cast_precision_loss, reason = "a few values")]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let deviation = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { f64::NAN };
        let interval = student(n) * deviation / (n as f64).sqrt();
        Self { mean, deviation, interval }
    }
}

/// Student's 97.5 % point for the mean of `n` values.
fn student(n: usize) -> f64 {
    const POINTS: [f64; 14] =
        [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145];
    match n {
        0 | 1 => f64::NAN,
        // Beyond, the points are held from above: an interval is never too short.
        n => POINTS[(n - 2).min(POINTS.len() - 1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_values_have_an_interval_and_one_has_none() {
        let Spread { mean, deviation, interval } = Spread::of(&[0.1, 0.2, 0.3]);
        assert!((mean - 0.2).abs() < 1e-12 && (deviation - 0.1).abs() < 1e-12);
        assert!((interval - 4.303 * 0.1 / 3f64.sqrt()).abs() < 1e-9);
        let one = Spread::of(&[0.5]);
        assert!(one.mean == 0.5 && one.deviation.is_nan() && one.interval.is_nan());
        assert!(Spread::of(&[]).mean.is_nan());
    }
}
