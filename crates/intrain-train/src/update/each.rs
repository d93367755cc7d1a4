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
                let counts = update::run(
                    self.isa,
                    Args {
                        gradient,
                        master,
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
                UpdateStats { n_dead: counts.dead, n_saturated: counts.clamped, n: 0 }
            })
            .reduce(UpdateStats::default, UpdateStats::and);
        UpdateStats { n, ..stats }
    }
}
