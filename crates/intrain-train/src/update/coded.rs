//! Stored weights that are rounded to a float of few bits: the difference in binary32, rounded once, no float copy.

use intrain_kernels::blocks::{self, Args, Axis};
use intrain_num::Coded;
use intrain_num::block::Coding;

use super::UpdateStats;
use super::floats::{CHUNK, Floats, Weight};

impl Floats {
    /// Subtracts the update of each weight of a chunk and stores the difference in the format of the row `master`.
    pub(super) fn store_coded<W: Weight>(
        &self,
        coded: Coded,
        chunk: usize,
        weights: &mut [W],
        mut update: impl FnMut(usize, f32) -> f32,
    ) -> UpdateStats {
        let (mut exact, mut stored, mut is_change) = ([0.0_f32; CHUNK], [0.0_f32; CHUNK], [false; CHUNK]);
        let n = weights.len();
        for (i, weight) in weights.iter().enumerate() {
            let w = weight.value(&self.master);
            let update = update(i, w);
            (exact[i], is_change[i]) = (w - update, update != 0.0);
        }
        let Coded { coding, round, .. } = coded;
        let axis = Axis { outer: n, len: 1, inner: 1 };
        let first_element = (chunk * CHUNK) as u64;
        let args = Args { coding, round, axis, values: &exact[..n], stream: self.stream, first_element };
        blocks::values(self.isa, args, &mut stored[..n]);
        let limit = limit(coding);
        let mut stats = UpdateStats::default();
        for (i, weight) in weights.iter_mut().enumerate() {
            stats.n_dead += u64::from(is_change[i] && stored[i] == weight.value(&self.master));
            stats.n_saturated += u64::from(exact[i].abs() > limit);
            *weight = W::stored(&self.master, stored[i], 0);
        }
        stats
    }
}

/// The largest value of a float without scale.
fn limit(coding: Coding) -> f32 {
    match coding {
        Coding::Plain { format, .. } => format.max().to_f32(),
        Coding::Scaled { .. } | Coding::Nvfp4 { .. } => f32::INFINITY,
    }
}
