//! The microscope: per layer and role, what of its format is in use and what rounding does, on the last step of an epoch.
//!
//! A watched step has the same bits as another one. Names are `LAYER/ROLE/WHAT`, in `metrics.csv` and in TensorBoard.

use intrain_nn::{BlockPlan, Measure, Parameters, Stored};

use crate::metrics::Details;
use crate::signs::Changed;
use crate::step::Trainer;
use crate::update::UpdateStats;

/// `ROLE/WHAT` of everything that is measured of a layer; `docs/metrics.md` says what each means.
pub(crate) const NAMES: [&str; 21] = [
    "master/zero",
    "master/limit",
    "master/bits",
    "master/oscillating",
    "master/signs",
    "update/dead",
    "update/limit",
    "update/bias",
    "activation/zero",
    "activation/limit",
    "activation/bits",
    "product/zero",
    "product/limit",
    "product/bits",
    "error/zero",
    "error/limit",
    "error/bits",
    "read/zero",
    "read/limit",
    "error.read/zero",
    "error.read/limit",
];

/// What is kept for the end of an epoch: stored weights before its last two steps.
#[derive(Default)]
pub(crate) struct Microscope {
    /// Numbers of steps, and what was stored before them.
    before: Vec<(u64, Vec<Stored>)>,
}

impl Microscope {
    /// To be called before each step, with the number of the last step before the next end of an epoch.
    pub(crate) fn before_step(&mut self, trainer: &mut Trainer, last: u64) {
        let step = trainer.steps();
        trainer.watch(step == last);
        if step + 1 < last || last < step {
            return;
        }
        self.before.retain(|(number, _)| number + 1 == step);
        let is_quantized = |block: &BlockPlan| block.weight.master.format.is_quantized();
        let keep = |(block, parameters): (&BlockPlan, &Parameters)| {
            if is_quantized(block) { parameters.weight.clone() } else { Stored::F32(vec![]) }
        };
        let stored = trainer.plan().blocks.iter().zip(trainer.parameters()).map(keep).collect();
        self.before.push((step, stored));
    }

    /// Everything, behind the last step of an epoch.
    pub(crate) fn details(&self, trainer: &Trainer, changed: &Changed) -> Details {
        let plan = trainer.plan();
        let mut details = Details::new();
        for (i, block) in plan.blocks.iter().enumerate() {
            if block.product.kind.is_norm() {
                continue;
            }
            self.of_weights(i, block, trainer, &mut details);
            let share =
                changed.layers.iter().find(|(layer, _)| *layer == block.name).map(|(_, share)| *share);
            details.push((format!("{}/master/signs", block.name), share));
        }
        // Errors are met from the last layer on.
        for seen in trainer.seen().iter().rev() {
            let name = |what: &str| format!("{}/{}/{what}", seen.layer, seen.role);
            details.push((name("zero"), Some(seen.measure.zero)));
            for (what, value) in [("limit", seen.measure.limit), ("bits", seen.measure.bits)] {
                details.extend(value.map(|value| (name(what), Some(value))));
            }
        }
        let is_known = |name: &str| NAMES.iter().any(|known| name.ends_with(&format!("/{known}")));
        debug_assert!(details.iter().all(|(name, _)| is_known(name)), "{details:?}");
        details
    }

    /// The stored weights of a block, and the updates that they had.
    fn of_weights(&self, i: usize, block: &BlockPlan, trainer: &Trainer, details: &mut Details) {
        let stored = &trainer.parameters()[i].weight;
        let format = block.weight.master.format;
        if !format.is_quantized() {
            return;
        }
        let mut put =
            |what: &str, value: Option<f64>| details.push((format!("{}/{what}", block.name), value));
        let codes = (0..stored.len()).map(|i| stored.code(i));
        let Measure { zero, limit, bits } =
            Measure::of_codes(codes, (format.min(), format.max()), block.weight.master.limits());
        put("master/zero", Some(zero));
        put("master/limit", limit);
        put("master/bits", bits);
        put("master/oscillating", self.oscillating(i, stored, trainer.steps()));
        let updates = trainer.optimizer().of_blocks().get(i);
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let share = |count: u64, n: u64| (n > 0).then(|| count as f64 / n as f64);
        put("update/dead", updates.and_then(|u| share(u.n_dead, u.n)));
        // One that is held on both sides counts once more than it should: it takes an update from limit to end of format.
        let held = |u: &UpdateStats| (u.n_saturated + u.n_held_before).min(u.n);
        put("update/limit", updates.and_then(|u| share(held(u), u.n)));
        #[allow(clippy::cast_precision_loss, reason = "for the eye")]
        let bias = |drift: i64, n: u64| (n > 0).then(|| drift as f64 / n as f64 / f64::from(1 << 20));
        put("update/bias", updates.and_then(|u| bias(u.drift, u.n_drift)));
    }

    /// Share of weights that the last step has brought back to where the step before had taken them from.
    fn oscillating(&self, block: usize, now: &Stored, steps: u64) -> Option<f64> {
        let [(first, two_before), (_, one_before)] = &self.before[..] else { return None };
        if first + 2 != steps {
            return None;
        }
        let (two_before, one_before) = (&two_before[block], &one_before[block]);
        let is_back = |&i: &usize| {
            let [a, b, c] = [two_before, one_before, now].map(|stored| stored.code(i));
            a == c && a != b
        };
        let n_back = (0..now.len()).filter(is_back).count();
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let share = n_back as f64 / now.len().max(1) as f64;
        Some(share)
    }
}
