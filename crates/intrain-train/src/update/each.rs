//! Learning rate times gradient, rounded once and subtracted: the update of integer recipes without momentum.
//!
//! Section 8.2 of `docs/arithmetic.md`: the kernel `update`, over all threads.

use intrain_kernels::update::{self, Args};
use intrain_kernels::{Integer, Isa};
use intrain_num::Quantizer;
use intrain_num::random::Stream;
use rayon::prelude::*;

use super::{CHUNK, UpdateStats};

/// What the update kernel needs for each chunk.
pub(super) struct Each {
    pub(super) isa: Isa,
    pub(super) multiplier: i64,
    pub(super) shift: i32,
    pub(super) row: Quantizer,
    pub(super) stream: Option<Stream>,
    pub(super) first_element: u64,
    pub(super) update: (i64, i64),
    pub(super) before: Option<i64>,
    pub(super) master: (i64, i64),
    /// Whether `drift` is measured.
    pub(super) collects_stats: bool,
}

impl Each {
    /// One pass over the weights.
    pub(super) fn run<G: Integer + Sync, W: Integer + Send>(
        &self,
        gradient: &[G],
        master: &mut [W],
    ) -> UpdateStats {
        let n = master.len() as u64;
        let stats = master
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .enumerate()
            .map(|(i, (master, gradient))| {
                let before = if self.collects_stats { master.to_vec() } else { vec![] };
                let counts = update::run(
                    self.isa,
                    Args {
                        gradient,
                        master: &mut *master,
                        multiplier: self.multiplier,
                        shift: self.shift,
                        round: self.row.round,
                        stream: self.stream,
                        first_element: self.first_element + (i * CHUNK) as u64,
                        update_min: self.update.0,
                        update_max: self.update.1,
                        before: self.before,
                        master_min: self.master.0,
                        master_max: self.master.1,
                    },
                );
                let n_drift = before.len() as u64;
                let drift = self.drift(gradient, &before, master);
                let (n_dead, n_saturated) = (counts.dead, counts.clamped);
                UpdateStats { n_dead, n_saturated, drift, n_drift, ..UpdateStats::default() }
            })
            .reduce(UpdateStats::default, UpdateStats::and);
        UpdateStats { n, ..stats }
    }

    /// What rounding has added to weights, in parts of 2^-20; nothing where nothing is known of them `before`.
    fn drift<G: Integer, W: Integer>(&self, gradient: &[G], before: &[W], after: &[W]) -> i64 {
        let of_one = |(&g, (&before, &after)): (&G, (&W, &W))| {
            let (g, before, after): (i64, i64, i64) = (g.into(), before.into(), after.into());
            let exact = i128::from(g) * i128::from(self.multiplier);
            // `after = before - exact / 2^shift`, were it not for the rounding.
            let exact =
                if self.shift >= 20 { exact >> (self.shift - 20) } else { exact << (20 - self.shift) };
            let drift = (i128::from(after - before) << 20) + exact;
            i64::try_from(drift).unwrap_or(0)
        };
        gradient.iter().zip(before.iter().zip(after)).map(of_one).fold(0, i64::saturating_add)
    }
}
