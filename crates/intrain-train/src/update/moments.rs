//! What a norm remembers of all batches, for evaluation.

use intrain_nn::{Moments, Stored};
use intrain_num::norm;

/// Share of the running moments of a norm that a batch leaves.
const KEPT_MOMENTS: f32 = 0.9;

/// What evaluation normalizes with: a mean over all batches in which the last ones count most.
pub(super) fn blend(running: &mut Moments, batch: &Moments) {
    let each = |running: &mut Stored, batch: &Stored| match (running, batch) {
        (Stored::F32(running), Stored::F32(batch)) => {
            let blend = |r: f32, b: f32| KEPT_MOMENTS * r + (1.0 - KEPT_MOMENTS) * b;
            running.iter_mut().zip(batch).for_each(|(r, b)| *r = blend(*r, *b));
        }
        (running, batch) => {
            for i in 0..running.len() {
                running.set_code(i, norm::blend(running.code(i), batch.code(i)));
            }
        }
    };
    each(&mut running.mean, &batch.mean);
    each(&mut running.spread, &batch.spread);
}
