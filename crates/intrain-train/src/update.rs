//! Where stored weights change: gradient -> learning rate, momentum, weight decay -> update -> master.
//!
//! Sections 7 and 8 of `docs/arithmetic.md`: one rounding between the gradient's exact sum and the stored weight.

use intrain_kernels::{Isa, max_abs};
use intrain_nn::plan::Operand;
use intrain_nn::{Arithmetic, BlockGradient, BlockPlan, Gradient, Parameters, Plan, StepKey, Stored};
use intrain_num::random::{Purpose, Stream};
use intrain_num::scale::round_log2;
use intrain_num::{Overflow, Quantizer, Scale};
use intrain_recipe::{Feedback, Role};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::rate::Rate;

mod check;
mod coded;
mod each;
mod floats;
mod moments;
mod stats;
mod terms;

pub(crate) use check::check;
use check::check_rows;
use each::Each;
use floats::Floats;
use moments::blend;
pub use stats::UpdateStats;
use terms::{Rounded, Terms};

/// How a gradient becomes an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Gradient descent, with momentum where there is any.
    #[default]
    Sgd,
    /// Kingma and Ba 2015; for recipes with float gradients.
    Adam,
}

/// What stays the same over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyper {
    /// How a gradient becomes an update.
    pub method: Method,
    /// Share of the momentum that is kept; 0 without momentum.
    pub momentum: f64,
    /// Share of the weight that is added to its gradient.
    pub weight_decay: f64,
}

impl Hyper {
    /// Tensors that the optimizer keeps for each of the parameters.
    #[must_use]
    pub fn n_tensors(self) -> usize {
        match self.method {
            Method::Adam => 2,
            Method::Sgd => usize::from(self.momentum > 0.0),
        }
    }

    /// Whether anything is added to the gradient.
    fn has_terms(self) -> bool {
        self.momentum > 0.0 || self.weight_decay > 0.0
    }
}

/// The optimizer's tensors for a block's weights, then for its biases: none where it needs none.
pub type OfParts = [Option<Stored>; 2];

/// Momentum of each block's weights and biases, and how updates are made.
#[derive(Debug, Clone)]
pub struct Optimizer {
    hyper: Hyper,
    /// `[weight, bias]` of each block; empty without momentum. Adam's first moment.
    momentum: Vec<OfParts>,
    /// Adam's second moment.
    variance: Vec<OfParts>,
    /// Rounded gradients and updates of one tensor after the other.
    updates: Rounded,
    /// Whether steps keep numbers of each block.
    collects_stats: bool,
    /// Of each block's weights, on the last step that was watched.
    of_blocks: Vec<UpdateStats>,
}

impl Optimizer {
    /// Checks that the plan's rows can carry an update, and starts with no momentum.
    ///
    /// # Errors
    /// The row that stands in the way.
    pub fn new(plan: &Plan, hyper: Hyper) -> Result<Self, TrainError> {
        check_rows(plan, hyper)?;
        let of_part = |b: &BlockPlan, n: usize| {
            let quantizer = if is_float(b) { Quantizer::FLOAT } else { b.momentum };
            (n > 0).then(|| Stored::zeros(quantizer, n))
        };
        let zeros = |is_used: bool| {
            let of_block = |b: &BlockPlan| match is_used {
                false => [None, None],
                true => {
                    let biases = if b.product.bias { b.product.output.c } else { 0 };
                    [of_part(b, b.product.n_weights()), of_part(b, biases)]
                }
            };
            plan.blocks.iter().map(of_block).collect()
        };
        let (momentum, variance) = (zeros(hyper.n_tensors() > 0), zeros(hyper.n_tensors() > 1));
        Ok(Self {
            hyper,
            momentum,
            variance,
            updates: Rounded::default(),
            collects_stats: false,
            of_blocks: vec![],
        })
    }

    /// Under error feedback, what rounding has taken from weights that are drawn from `seed`, before the first step; 0 of blocks
    /// that `is_drawn` says no of.
    pub(crate) fn start_residuals(&mut self, plan: &Plan, seed: u64, is_drawn: impl Fn(usize) -> bool) {
        if plan.error_feedback == Feedback::None {
            return;
        }
        for (i, ([weight, _], block)) in self.momentum.iter_mut().zip(&plan.blocks).enumerate() {
            if let (Some(Stored::F32(residual)), Some(initial)) =
                (weight, Parameters::initial_residual(plan, block, seed))
            {
                *residual = if is_drawn(i) { initial } else { vec![0.0; residual.len()] };
            }
        }
    }

    /// How updates are made.
    #[must_use]
    pub const fn hyper(&self) -> Hyper {
        self.hyper
    }

    /// Tensors that last from step to step, by name: `[weight, bias]` of each block.
    #[must_use]
    pub fn moments(&self) -> [(&'static str, &[OfParts]); 2] {
        [("momentum", &self.momentum), ("variance", &self.variance)]
    }

    /// The same, to restore a checkpoint.
    pub fn moments_mut(&mut self) -> [(&'static str, &mut [OfParts]); 2] {
        [("momentum", &mut self.momentum), ("variance", &mut self.variance)]
    }

    /// Whether the next steps keep numbers of each block, for [`Optimizer::of_blocks`].
    pub const fn watch(&mut self, on: bool) {
        self.collects_stats = on;
    }

    /// What happened to each block's weights on the last step that was watched.
    #[must_use]
    pub fn of_blocks(&self) -> &[UpdateStats] {
        &self.of_blocks
    }

    /// Changes every parameter once. `rate` is the learning rate of this step, for a batch of `batch_size`.
    pub fn update<'a>(
        &mut self,
        isa: Isa,
        plan: &Plan,
        parameters: &mut [Parameters],
        gradients: impl Iterator<Item = BlockGradient<'a>>,
        rate: f64,
        key: StepKey,
    ) -> UpdateStats {
        let mut stats = UpdateStats::default();
        self.of_blocks.clear();
        let moments = self.momentum.iter_mut().zip(&mut self.variance);
        for (((block, parameters), gradients), (momentum, variance)) in
            plan.blocks.iter().zip(parameters).zip(gradients).zip(moments)
        {
            if let (Some(running), Some(batch)) = (&mut parameters.moments, gradients.moments) {
                blend(running, batch);
            }
            let rate_of_sum = rate_of_sum(block, plan.batch_size, rate);
            let (hyper, collects_stats) = (self.hyper, self.collects_stats);
            let feeds_back = plan.error_feedback == Feedback::Momentum;
            let station = WeightUpdate { isa, block, rate, rate_of_sum, hyper, collects_stats, feeds_back };
            let [weight_momentum, bias_momentum] = momentum;
            let [weight_variance, bias_variance] = variance;
            let n = parameters.weight.len() as u64;
            let exponents = gradients.exponents.map_or([None; 2], |exponents| exponents.map(Some));
            let of_weights = station.run(
                gradients.weight,
                &mut parameters.weight,
                [weight_momentum.as_mut(), weight_variance.as_mut()],
                Part { gradient_max: gradients.weight_max, ..Part::weight(block, exponents[0]) },
                key,
                &mut self.updates,
            );
            stats = stats.and(of_weights);
            if collects_stats {
                self.of_blocks.push(of_weights);
            }
            if let (Some(gradient), Some(bias)) = (gradients.bias, &mut parameters.bias) {
                stats = stats.and(station.run(
                    gradient,
                    bias,
                    [bias_momentum.as_mut(), bias_variance.as_mut()],
                    Part::bias(block, exponents[1], n),
                    key,
                    &mut self.updates,
                ));
            }
        }
        stats
    }
}

/// Whether a block's gradients, biases and moments are floats; its weights may be stored in fewer bits.
pub(crate) fn is_float(block: &BlockPlan) -> bool {
    block.arithmetic == Arithmetic::Float32
}

/// How a block's biases are stored.
pub(crate) fn bias_master(block: &BlockPlan) -> Quantizer {
    if is_float(block) { Quantizer::FLOAT } else { block.weight.master }
}

/// The one quantizer that rounds an update, and the purpose of its random words: the first of the rows gradient,
/// momentum (where there is any), update that is not exact, else master.
fn rounding(block: &BlockPlan, hyper: Hyper) -> (Quantizer, Purpose) {
    let momentum = (block.momentum, Purpose::Momentum);
    // In front of a momentum a gradient is rounded on its own.
    let rows = [
        (!hyper.has_terms()).then_some((block.gradient, Purpose::Gradient)),
        (hyper.momentum > 0.0).then_some(momentum),
        Some((block.update, Purpose::Update)),
    ];
    let first = rows.into_iter().flatten().find(|(row, _)| row.format.is_quantized());
    first.unwrap_or((block.weight.master, Purpose::Master))
}

/// The one row that rounds a block's updates, with its quantizer.
pub(crate) fn rounding_row(block: &BlockPlan, hyper: Hyper) -> (Role, Quantizer) {
    let (quantizer, purpose) = rounding(block, hyper);
    let role = match purpose {
        Purpose::Gradient => Role::Gradient,
        Purpose::Momentum => Role::Momentum,
        Purpose::Update => Role::Update,
        _ => Role::Master,
    };
    (role, quantizer)
}

/// The rate of a gradient that is a sum over the batch.
fn rate_of_sum(block: &BlockPlan, batch_size: usize, rate: f64) -> f64 {
    // A relative gradient (`@shift`) has no size, so neither has its batch.
    if block.gradient.scale == Scale::Shift {
        return rate;
    }
    rate / f64::from(u32::try_from(batch_size).unwrap_or(u32::MAX))
}

/// What an update of one block needs.
struct WeightUpdate<'a> {
    isa: Isa,
    block: &'a BlockPlan,
    rate: f64,
    /// Learning rate for a gradient that was summed over the batch.
    rate_of_sum: f64,
    hyper: Hyper,
    collects_stats: bool,
    /// Whether the momentum of a quantized weight is the error of its rounding.
    feeds_back: bool,
}

/// Weights or biases of a block.
struct Part {
    /// Fraction bits of the gradient's sum.
    gradient_frac_bits: i32,
    /// Number of the first element in the block's random streams: biases follow the weights.
    first_element: u64,
    /// Largest magnitude of the gradient, where it is known.
    gradient_max: Option<u64>,
    /// Bits of that, where the gradient's power of two is known when it is there and no sooner.
    kept_bits: Option<i32>,
    is_bias: bool,
}

impl Part {
    /// Whose gradients are sums in that power of two, or in that of the operands' formats.
    fn weight(block: &BlockPlan, exponent: Option<i32>) -> Self {
        let Operand { frac_bits, .. } = block.input_operand;
        let of_formats = frac_bits + block.error_operand.frac_bits;
        let gradient_frac_bits = exponent.map_or(of_formats, i32::wrapping_neg);
        let kept_bits = exponent.map(|_| 0);
        Self { gradient_frac_bits, first_element: 0, gradient_max: None, kept_bits, is_bias: false }
    }

    fn bias(block: &BlockPlan, exponent: Option<i32>, n_weights: u64) -> Self {
        let gradient_frac_bits = exponent.map_or(block.error_operand.frac_bits, i32::wrapping_neg);
        let kept_bits = exponent.map(|_| 0);
        Self { gradient_frac_bits, first_element: n_weights, gradient_max: None, kept_bits, is_bias: true }
    }
}

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 15;

impl WeightUpdate<'_> {
    fn run(
        &self,
        gradient: &Gradient,
        master: &mut Stored,
        moments: [Option<&mut Stored>; 2],
        mut part: Part,
        key: StepKey,
        updates: &mut Rounded,
    ) -> UpdateStats {
        let n_held_before = if self.collects_stats { self.n_held_before(master) } else { 0 };
        let stats = self.apply(gradient, master, moments, &mut part, key, updates);
        UpdateStats { n_held_before, ..stats }
    }

    /// How many stored weights lie beyond the limit that `clip-before` states.
    fn n_held_before(&self, master: &Stored) -> u64 {
        let Overflow::ClipBefore { limit } = self.block.weight.master.overflow else { return 0 };
        (0..master.len()).filter(|i| master.code(*i).abs() > limit).count() as u64
    }

    fn apply(
        &self,
        gradient: &Gradient,
        master: &mut Stored,
        moments: [Option<&mut Stored>; 2],
        part: &mut Part,
        key: StepKey,
        updates: &mut Rounded,
    ) -> UpdateStats {
        match (gradient, master) {
            (Gradient::F32(g), master) => self.float(g, master, moments, part, key),
            (gradient, master) if self.hyper.has_terms() => {
                let [momentum, _] = moments;
                if self.block.gradient.format.is_quantized() {
                    let rounded = self.rounded(gradient, part, key, std::mem::take(&mut updates.gradient));
                    let stats = self.with_terms(&rounded, master, momentum, part, key, &mut updates.updates);
                    if let Gradient::I32(codes) = rounded {
                        updates.gradient = codes;
                    }
                    return stats;
                }
                self.with_terms(gradient, master, momentum, part, key, &mut updates.updates)
            }
            (gradient, master) => self.fused(gradient, master, part, key),
        }
    }

    fn float(
        &self,
        gradient: &[f32],
        master: &mut Stored,
        moments: [Option<&mut Stored>; 2],
        part: &Part,
        key: StepKey,
    ) -> UpdateStats {
        let block = self.block;
        let quantizer = if part.is_bias { bias_master(block) } else { block.weight.master };
        let floats = Floats {
            isa: self.isa,
            hyper: self.hyper,
            rate: self.rate,
            rate_of_sum: self.rate_of_sum,
            step: key.step,
            master: quantizer,
            stream: Floats::stream(quantizer, key.seed, block.index, key.step),
            collects_stats: self.collects_stats,
            feeds_back: self.feeds_back,
        };
        let moments = moments.map(|moment| match moment {
            Some(Stored::F32(moment)) => Some(moment),
            _ => None,
        });
        match master {
            Stored::F32(w) => floats.run(gradient, w, moments),
            Stored::I8(w) => floats.run(gradient, w, moments),
            Stored::I16(w) => floats.run(gradient, w, moments),
            Stored::I32(w) => floats.run(gradient, w, moments),
        }
    }

    fn stream(&self, key: StepKey) -> Option<Stream> {
        let (row, purpose) = rounding(self.block, self.hyper);
        row.round.is_stochastic().then(|| Stream::new(key.seed, purpose, self.block.index, key.step))
    }

    /// `(limit before the update, least and largest stored code)`.
    fn limits(&self) -> (Option<i64>, i64, i64) {
        let master = self.block.weight.master;
        let (min, max) = (master.format.min(), master.format.max());
        match master.overflow {
            Overflow::ClipBefore { limit } => (Some(limit), min, max),
            Overflow::Clip { limit } => (None, min.max(-limit), max.min(limit)),
            Overflow::Saturate | Overflow::Wrap => (None, min, max),
        }
    }

    /// Learning rate times gradient, rounded once, subtracted: one pass over the weights.
    fn fused(&self, gradient: &Gradient, master: &mut Stored, part: &Part, key: StepKey) -> UpdateStats {
        let (row, _) = rounding(self.block, self.hyper);
        let rate = Rate::new(self.rate_of_sum);
        let shift = match row.scale {
            // Exact: rate * G / 2^n in steps of one code, whatever the gradient's own last bit is worth.
            Scale::Shift => {
                let largest = part.gradient_max.unwrap_or_else(|| largest(self.isa, gradient));
                round_log2(largest).unwrap_or(0) - rate.exponent
            }
            _ => {
                part.gradient_frac_bits - rate.exponent - row.format.frac_bits() - self.block.weight.fan_shift
            }
        };
        // A relative update (`@shift`) is not held: WAGE's steps may be as large as the learning rate.
        let (update_min, update_max) = if row.scale == Scale::Shift {
            (-(1 << 62), 1 << 62)
        } else {
            (row.format.min(), row.format.max())
        };
        let (before, master_min, master_max) = self.limits();
        let stream = self.stream(key);
        let each = Each {
            isa: self.isa,
            multiplier: rate.mantissa,
            shift,
            row,
            stream,
            first_element: part.first_element,
            update: (update_min, update_max),
            before,
            master: (master_min, master_max),
            collects_stats: self.collects_stats,
        };
        match (gradient, master) {
            (Gradient::I32(g), Stored::I8(w)) => each.run(g, w),
            (Gradient::I32(g), Stored::I16(w)) => each.run(g, w),
            (Gradient::I32(g), Stored::I32(w)) => each.run(g, w),
            (Gradient::I64(g), Stored::I8(w)) => each.run(g, w),
            (Gradient::I64(g), Stored::I16(w)) => each.run(g, w),
            (Gradient::I64(g), Stored::I32(w)) => each.run(g, w),
            (Gradient::F32(_), _) | (_, Stored::F32(_)) => {
                unreachable!("integer gradients belong to integer weights")
            }
        }
    }

    /// `v = round(mu * v + rate * (G / batch + decay * W))`, exact before the one rounding; `W = W - v`.
    fn with_terms(
        &self,
        gradient: &Gradient,
        master: &mut Stored,
        momentum: Option<&mut Stored>,
        part: &mut Part,
        key: StepKey,
        updates: &mut Vec<i32>,
    ) -> UpdateStats {
        let (row, _) = rounding(self.block, self.hyper);
        let gradient_max = part.gradient_max.unwrap_or_else(|| largest(self.isa, gradient));
        let gradient_bits = 64 - gradient_max.leading_zeros();
        part.kept_bits = part.kept_bits.map(|_| gradient_bits.cast_signed());
        let terms = Terms::new(self.block, self.hyper, self.rate, self.rate_of_sum, part);
        let shift = terms.frac_bits - row.format.frac_bits() - self.block.weight.fan_shift;
        // Bound: three terms of 60 bits and their sign fit in 63.
        let is_short = terms.bits(gradient_bits + 2, self.block) <= 60;
        let round = terms::Rounding { isa: self.isa, row, shift, stream: self.stream(key), is_short };
        updates.resize(master.len().max(updates.len()), 0);
        let updates = &mut updates[..master.len()];
        let first = part.first_element;
        let n_dead = terms.round(&round, (gradient, master, momentum.as_deref()), first, updates);
        if let Some(momentum) = momentum {
            terms::store(momentum, |i, _| (updates[i].into(), false));
        }
        let (before, min, max) = self.limits();
        let n_saturated = terms::store(master, |i, w| {
            let next = before.map_or(w, |limit| w.clamp(-limit, limit)) - i64::from(updates[i]);
            let stored = next.clamp(min, max);
            (stored, stored != next)
        });
        UpdateStats { n_dead, n_saturated, n: master.len() as u64, ..UpdateStats::default() }
    }
}

fn largest(isa: Isa, gradient: &Gradient) -> u64 {
    match gradient {
        Gradient::I32(g) => g.par_chunks(CHUNK).map(|g| max_abs::run(isa, g)).max().unwrap_or(0),
        Gradient::I64(g) => g.par_chunks(CHUNK).map(|g| max_abs::run(isa, g)).max().unwrap_or(0),
        Gradient::F32(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use intrain_model::Model;
    use intrain_recipe::preset;

    use super::*;

    /// A gradient that sums over 2^28 pixels of 15-bit and 16-bit operands needs 58 bits: six are left for the rate.
    #[test]
    fn products_of_gradient_and_rate_fit_64_bits() {
        let model = Model::from_toml(
            r#"
            name = "large"
            input = { h = 2048, w = 2048, c = 1, pixels = "x/256" }
            layer = [
                { name = "conv1", kind = "conv", out = 1, kernel = 1 },
                { name = "pool1", kind = "max-pool", size = 8, stride = 8 },
                { name = "flatten1", kind = "flatten" },
                { name = "fc1", kind = "linear", out = 2 },
            ]
            "#,
        );
        let mut recipe = preset("gupta").unwrap();
        recipe.accumulator.base = "int<64> floor wrap".parse().unwrap();
        let plan = Plan::build(&model.unwrap(), &recipe, 64).unwrap();
        let hyper = Hyper { method: Method::Sgd, momentum: 0.0, weight_decay: 0.0 };
        assert!(check(&plan, hyper, 64.0).is_ok());
        let message = check(&plan, hyper, 0.1).unwrap_err().to_string();
        assert!(message.contains("'conv1'") && message.contains("and there are 64"), "{message}");
        // With momentum the sum is exact in 128 bits.
        assert!(check(&plan, Hyper { method: Method::Sgd, momentum: 0.9, weight_decay: 5e-4 }, 0.1).is_ok());
    }
}
