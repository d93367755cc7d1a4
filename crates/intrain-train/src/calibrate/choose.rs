//! The format of so many bits with the least squared error.

use intrain_num::{Format, Quantizer};

/// Squared errors of the numbers that were seen, for each place of the point.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    bits: u32,
    /// Of `fixed<i + 1, bits - i - 1>`.
    errors: Vec<f64>,
    n: u64,
}

impl Choice {
    /// Formats of as many bits as this one.
    pub(super) fn of(format: Format) -> Self {
        let bits = format.bits();
        Self { bits, errors: vec![0.0; bits as usize], n: 0 }
    }

    fn format(&self, i: usize) -> Format {
        let int_bits = u32::try_from(i).unwrap_or(0) + 1;
        Format::Fixed { int_bits, frac_bits: self.bits - int_bits }
    }

    /// Counts a number.
    pub(super) fn see(&mut self, x: f64) {
        let limit = libm::exp2(f64::from(self.bits - 1));
        // The step of `fixed<1, bits - 1>`, and twice that from one to the next.
        let mut step = 1.0 / limit;
        for error in &mut self.errors {
            let code = (x / step).round().clamp(-limit, limit - 1.0);
            *error += (code * step - x).powi(2);
            step *= 2.0;
        }
        self.n += 1;
    }

    /// Both together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.errors.iter_mut().zip(&other.errors).for_each(|(sum, error)| *sum += error);
        self.n += other.n;
        self
    }

    /// The format with the least error, of equal ones the finest; none where nothing was seen.
    pub(super) fn best(&self) -> Option<Format> {
        let (mut best, mut least) = (None, f64::INFINITY);
        for (i, error) in self.errors.iter().enumerate() {
            if *error < least {
                (best, least) = (Some(self.format(i)), *error);
            }
        }
        best.filter(|_| self.n > 0)
    }

    /// The same, where it is coarser than `format`; finer ones have no digits in front of the point to give.
    pub(super) fn wider(&self, format: Format) -> Option<Format> {
        self.best().filter(|best| best.frac_bits() < format.frac_bits())
    }
}

/// The row with another format.
pub(super) fn with_format(row: Quantizer, format: Format) -> Quantizer {
    Quantizer { format, ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_follows_what_is_seen() {
        let format = "fixed<4,4>".parse::<Format>().unwrap();
        for (largest, expected) in
            [(0.9, "fixed<1,7>"), (1.9, "fixed<2,6>"), (7.0, "fixed<4,4>"), (30.0, "fixed<6,2>")]
        {
            let mut choice = Choice::of(format);
            (0..1000).for_each(|i| choice.see(largest * f64::from(i) / 1000.0));
            assert_eq!(choice.best().unwrap().to_string(), expected, "{largest}");
        }
        assert_eq!(Choice::of(format).best(), None);
    }

    #[test]
    fn a_rare_large_number_is_held_at_the_limit() {
        let mut choice = Choice::of("fixed<4,4>".parse().unwrap());
        (0..100_000).for_each(|i| choice.see(f64::from(i) / 100_000.0));
        choice.see(1.5);
        assert_eq!(choice.best().unwrap().to_string(), "fixed<1,7>");
    }
}
