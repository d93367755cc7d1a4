//! From times to what a reader compares: medians with their spread, rates, and shares of a yardstick.

use super::Yardstick;

/// What a work's rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Multiplications and additions, each one operation.
    Operations,
    /// Bytes that are read or written.
    Bytes,
    /// Elements of a tensor.
    Elements,
    /// Images of training steps, or answered.
    Images,
}

impl Unit {
    /// Its name with the prefix that [`Unit::scale`] divides by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operations => "GOP/s",
            Self::Bytes => "GB/s",
            Self::Elements => "Gelem/s",
            Self::Images => "images/s",
        }
    }

    /// What a rate is divided by to be in units of [`Unit::name`].
    #[must_use]
    pub const fn scale(self) -> f64 {
        match self {
            Self::Operations | Self::Bytes | Self::Elements => 1e9,
            Self::Images => 1.0,
        }
    }
}

/// The middle of some figures, and their ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the figures are below, half above; between the two in the middle of an even number.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of at least one figure.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        Self { median: f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]), min: sorted[0], max: sorted[n - 1] }
    }

    /// The rates at which `amount` was done in these times.
    #[must_use]
    pub fn rate(self, amount: f64) -> Self {
        Self { median: amount / self.median, min: amount / self.max, max: amount / self.min }
    }
}

/// The share that a work has of the most that the machine can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// What it is compared with.
    pub of: Yardstick,
    /// Median rate by median rate; 1 is as fast as the yardstick.
    pub ratio: f64,
    /// What a run of the work does, in the yardstick's unit.
    pub effort: f64,
}

/// What the rounds of a work, or of a yardstick, came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the work, or of the yardstick.
    pub name: String,
    /// What [`Row::rate`] counts.
    pub unit: Unit,
    /// Per second, in units of [`Unit::name`].
    pub rate: Spread,
    /// Of a run.
    pub seconds: Spread,
    /// None for a yardstick.
    pub share: Option<Share>,
}

impl Row {
    /// From the seconds of a run in each round, what a run does, and its yardstick with the effort of a run and the
    /// yardstick's own rate in the same unit.
    pub(super) fn new(
        name: &str,
        seconds: &[f64],
        (amount, unit): (f64, Unit),
        of: Option<(Yardstick, f64, f64)>,
    ) -> Self {
        let seconds = Spread::of(seconds);
        let share =
            of.map(|(of, effort, best)| Share { of, ratio: seconds.rate(effort).median / best, effort });
        Self { name: name.to_owned(), unit, rate: seconds.rate(amount / unit.scale()), seconds, share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_the_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(&[7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
    }

    #[test]
    fn rates_and_shares_come_from_medians() {
        // 4 Gop in 2 s, in the slowest round 4 s; the machine can do 8 Gop/s.
        let of = Some((Yardstick::Int8, 4e9, 8e9));
        let row = Row::new("x", &[2.0, 4.0, 1.0], (4e9, Unit::Operations), of);
        assert_eq!(row.rate, Spread { median: 2.0, min: 1.0, max: 4.0 });
        assert_eq!(row.seconds.median, 2.0);
        assert_eq!(row.share.map(|share| share.ratio), Some(0.25));

        // A rate of images, a share of bytes: time of copy by time of work.
        let of = Some((Yardstick::Copy { bytes: 100 }, 100.0, 100.0 / 0.25));
        let row = Row::new("y", &[0.5], (10.0, Unit::Images), of);
        assert_eq!((row.rate.median, row.share.map(|share| share.ratio)), (20.0, Some(0.5)));
    }
}
