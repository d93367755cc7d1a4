//! Initial weights: a pure function of the seed, computed once and then integers like all others.
//!
//! Section 8.4 of `docs/arithmetic.md`. Only IEEE additions, products and a square root are used, which are the same
//! on every machine.

use intrain_model::Init;
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Format, Overflow, Quantizer, Real};

use crate::ops::norm::learned::initial;
use crate::parameters::{Parameters, Stored};
use crate::plan::{BlockPlan, Plan, ProductKind};

impl Parameters {
    /// The parameters of every block of `plan`, before the first step.
    #[must_use]
    pub fn initial(plan: &Plan, seed: u64) -> Vec<Self> {
        plan.blocks.iter().map(|block| initial_block(block, plan.init, seed)).collect()
    }

    /// What the first rounding takes from each weight of `block` that is drawn from `seed`: the number drawn less the one stored.
    /// None where weights are stored in binary32 or in fixed point, and for norms.
    #[must_use]
    pub fn initial_residual(plan: &Plan, block: &BlockPlan, seed: u64) -> Option<Vec<f32>> {
        let master = block.weight.master;
        if block.product.kind.is_norm() || !master.format.is_quantized() || master.format.is_fixed_point() {
            return None;
        }
        let stream = Stream::new(seed, Purpose::Init, block.index, 0);
        let nearest = Quantizer { round: master.round.in_evaluation(), ..master };
        let residual = |i: usize| {
            #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
            let x = initial_value(block, plan.init, &stream, i) as f32;
            x - master.value_as_float(nearest.code_of_float(x, 0))
        };
        Some((0..block.product.n_weights()).map(residual).collect())
    }
}

fn initial_block(block: &BlockPlan, init: Init, seed: u64) -> Parameters {
    let c = block.product.output.c;
    let float_bias = || block.product.bias.then(|| Stored::F32(vec![0.0; c]));
    if block.product.kind.is_norm() {
        if let Some(norm) = &block.norm {
            return initial(norm, block);
        }
        let weight = Parameters::initial_gain(block.product.n_weights());
        let is_over_batch = block.product.kind == ProductKind::BatchNorm;
        let moments = is_over_batch.then(|| Parameters::initial_moments(c));
        return Parameters { weight, bias: float_bias(), moments };
    }
    let stream = Stream::new(seed, Purpose::Init, block.index, 0);
    let master = block.weight.master;
    let mut weight = Stored::zeros(master, block.product.n_weights());
    for i in 0..block.product.n_weights() {
        initial_weight(block, init, &stream, i, &mut weight);
    }
    let bias = if master.format.is_quantized() && !master.format.is_fixed_point() {
        float_bias()
    } else {
        block.product.bias.then(|| Stored::zeros(master, c))
    };
    Parameters { weight, bias, moments: None }
}

fn initial_weight(block: &BlockPlan, init: Init, stream: &Stream, i: usize, weight: &mut Stored) {
    let master = block.weight.master;
    let x = initial_value(block, init, stream, i);
    // WAGE's weights start on the grid on which they are read (`W_q_op` of the code).
    let grid = if is_wage(block) { block.weight.read } else { master };
    store(weight, i, (x, block.weight.fan_shift), grid, master);
}

fn is_wage(block: &BlockPlan) -> bool {
    block.weight.read.scale == intrain_num::Scale::Alpha
}

/// A weight as it is drawn, before any rounding.
fn initial_value(block: &BlockPlan, init: Init, stream: &Stream, i: usize) -> f64 {
    let master = block.weight.master;
    match init {
        // The domain of BinaryConnect: with it signs are as far from changing as those of -1 and +1 are.
        _ if let Overflow::Clip { limit } = master.overflow
            && master.format == Format::Float32 =>
        {
            #[allow(clippy::cast_precision_loss, reason = "a limit of a weight")]
            let limit = limit as f64;
            limit * symmetric(stream, i as u64)
        }
        // Anywhere in the range of what is stored: for -1 and +1 alone, each as often (Li 2017).
        _ if matches!(master.format, Format::Binary | Format::Grid(_)) => {
            let limit = master.value_as_float(master.format.max());
            f64::from(limit) * symmetric(stream, i as u64)
        }
        _ if is_wage(block) => wage_limit(block) * symmetric(stream, i as u64),
        Init::Uniform => (6.0 / fan_in(block)).sqrt() * symmetric(stream, i as u64),
        Init::Normal { deviation_millionths } => {
            f64::from(deviation_millionths) / 1e6 * normal(stream, i as u64)
        }
    }
}

/// `x * 2^places` on the grid of the master.
fn store(weight: &mut Stored, i: usize, (x, places): (f64, i32), grid: Quantizer, master: Quantizer) {
    if let Stored::F32(values) = weight {
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        {
            let x = x as f32;
            values[i] = master.format.coded().map_or(x, |coded| coded.in_evaluation().value(x, 0));
        }
        return;
    }
    if !master.format.is_fixed_point() {
        let nearest = Quantizer { round: master.round.in_evaluation(), ..master };
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        weight.set_code(i, nearest.code_of_float(x as f32, 0));
        return;
    }
    let Some(real) = Real::from_f64(x) else { return };
    // The first weights are rounded to the nearest, whatever the row says for later.
    let grid = Quantizer { round: grid.round.in_evaluation(), ..grid };
    let code = grid.code(real, -places, 0);
    let finer = master.format.frac_bits() - grid.format.frac_bits();
    weight.set_code(i, code << finer);
}

#[allow(clippy::cast_precision_loss, reason = "a fan-in is far below 2^53")]
fn fan_in(block: &BlockPlan) -> f64 {
    block.product.fan_in() as f64
}

/// `L = max(sqrt(3 / fan_in), 1.5 * 2^(1 - k_W))`: arXiv 1802.04680 section 3.2, with the code's numerator.
fn wage_limit(block: &BlockPlan) -> f64 {
    let Format::Unit { bits } = block.weight.read.format else { return 0.0 };
    (3.0 / fan_in(block)).sqrt().max(1.5 / f64::from(1u32 << (bits - 1)))
}

/// Uniform in `(-1, 1)`: `(2 word + 1 - 2^32) / 2^32`, exact.
fn symmetric(stream: &Stream, element: u64) -> f64 {
    (2.0 * f64::from(stream.word(element)) + 1.0 - 4_294_967_296.0) / 4_294_967_296.0
}

/// Close to normal with variance 1: the sum of twelve uniform words less six (Irwin-Hall), exact.
fn normal(stream: &Stream, element: u64) -> f64 {
    let sum: f64 = (0..12).map(|k| f64::from(stream.word(12 * element + k))).sum();
    (sum + 6.0) / 4_294_967_296.0 - 6.0
}
