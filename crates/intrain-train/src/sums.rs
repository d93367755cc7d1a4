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

/// The best evaluation, and the one that a longer run would know of after the same step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Bests {
    /// Of all evaluations.
    pub(crate) now: Best,
    /// Of those that are due whenever the run ends. The last step is evaluated besides, and a run that goes on from there must
    /// choose, and lose its patience, as one that was never stopped.
    pub(crate) due: Best,
}

impl Bests {
    /// Takes a row; says whether it is better than all before.
    pub(crate) fn take(&mut self, row: &Row, is_due: bool) -> bool {
        let is_best = self.now.take(row);
        if is_due {
            self.due = self.now;
        }
        is_best
    }

    /// What the run goes on with: from the last step of a run that is to be longer now, without the evaluation of its end.
    pub(crate) const fn going_on(self, has_steps: bool) -> Self {
        if has_steps { Self { now: self.due, due: self.due } } else { self }
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

    #[test]
    fn a_longer_run_knows_nothing_of_the_end_of_a_shorter_one() {
        let row = |error| Row { test_error: Some(error), ..Row::default() };
        let mut bests = Bests::default();
        assert!(bests.take(&row(0.5), true) && !bests.take(&row(0.6), true));
        let due = Best { test_error: 0.5, since: 1, ..Best::default() };
        for (error, is_best) in [(0.4, true), (0.7, false)] {
            let mut ended = bests;
            assert_eq!(ended.take(&row(error), false), is_best);
            assert_eq!((ended.now != due, ended.due), (true, due));
            assert_eq!(ended.going_on(true), Bests { now: due, due });
            assert_eq!(ended.going_on(false), ended);
        }
    }
}
