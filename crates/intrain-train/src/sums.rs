//! What an epoch has come to so far, and the time of training: what a checkpoint holds beside the network.

use intrain_nn::Outcome;

use crate::metrics::Row;
use crate::update::UpdateStats;

/// What an epoch has come to so far; part of a checkpoint, so that a resumed epoch reports the same numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct EpochSums {
    pub(crate) outcome: Outcome,
    pub(crate) updates: UpdateStats,
}

/// Time of training proper: loading and evaluation left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Clock {
    pub(crate) seconds: f64,
    pub(crate) images: u64,
}

/// The best evaluation so far: of those on the images for validation, and where there are none, of those on the test images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Best {
    /// The lowest error on the images for validation; none without them, and before the first evaluation.
    pub(crate) validation_error: Option<f64>,
    /// The error on the test images after the same step; infinite where there is none.
    pub(crate) test_error: f64,
    /// Evaluations since.
    pub(crate) since: u32,
}

impl Default for Best {
    fn default() -> Self {
        Self { validation_error: None, test_error: f64::INFINITY, since: 0 }
    }
}

impl Best {
    /// Takes a row; says whether it is better than all before.
    pub(crate) fn take(&mut self, row: &Row) -> bool {
        let Some(error) = row.choosing_error() else { return false };
        let is_best = error < self.validation_error.unwrap_or(self.test_error);
        if is_best {
            let test_error = row.test_error.unwrap_or(f64::INFINITY);
            *self = Self { validation_error: row.validation_error, test_error, since: 0 };
        } else {
            self.since += 1;
        }
        is_best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_chooses_where_there_is_some() {
        let row = |validation_error, test_error| Row { validation_error, test_error, ..Row::default() };
        let mut best = Best::default();
        assert!(!best.take(&row(None, None)) && best == Best::default());
        assert!(best.take(&row(Some(0.5), Some(0.1))));
        assert!(!best.take(&row(Some(0.5), Some(0.0))));
        assert_eq!(best, Best { validation_error: Some(0.5), test_error: 0.1, since: 1 });
        assert!(best.take(&row(Some(0.4), Some(0.3))));
        assert_eq!(best, Best { validation_error: Some(0.4), test_error: 0.3, since: 0 });
        let mut best = Best::default();
        assert!(best.take(&row(None, Some(0.2))) && !best.take(&row(None, Some(0.2))));
        assert_eq!(best, Best { validation_error: None, test_error: 0.2, since: 1 });
    }
}
