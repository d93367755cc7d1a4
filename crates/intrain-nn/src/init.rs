//! Initial weights: a pure function of the seed, computed once and then integers like all others.
//!
//! Section 8.4 of `docs/arithmetic.md`. Only IEEE additions, products and a square root are used, which are the same
//! on every machine.

use intrain_model::Init;
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Format, Quantizer, Real};

use crate::parameters::{Parameters, Stored};
use crate::plan::{BlockPlan, Plan};

impl Parameters {
    /// The parameters of every block of `plan`, before the first step.
    #[must_use]
    pub fn initial(plan: &Plan, seed: u64) -> Vec<Self> {
        plan.blocks.iter().map(|block| initial_block(block, plan.init, seed)).collect()
    }
}

fn initial_block(block: &BlockPlan, init: Init, seed: u64) -> Parameters {
    let stream = Stream::new(seed, Purpose::Init, block.index, 0);
    let n = block.product.n_weights();
    let wage = block.weight.read.scale == intrain_num::Scale::Alpha;
    let mut weight = Stored::zeros(block.weight.master, n);
    for i in 0..n {
        let x = match init {
            _ if wage => wage_limit(block) * symmetric(&stream, i as u64),
            Init::Uniform => (6.0 / fan_in(block)).sqrt() * symmetric(&stream, i as u64),
            Init::Normal { deviation_millionths } => {
                f64::from(deviation_millionths) / 1e6 * normal(&stream, i as u64)
            }
        };
        // WAGE's weights start on the grid on which they are read (`W_q_op` of the code).
        let grid = if wage { block.weight.read } else { block.weight.master };
        store(&mut weight, i, x, grid, block.weight.master);
    }
    let bias = block.product.bias.then(|| Stored::zeros(block.weight.master, block.product.output.c));
    Parameters { weight, bias }
}

fn store(weight: &mut Stored, i: usize, x: f64, grid: Quantizer, master: Quantizer) {
    if let Stored::F32(values) = weight {
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        {
            values[i] = x as f32;
        }
        return;
    }
    let Some(real) = Real::from_f64(x) else { return };
    // The first weights are rounded to the nearest, whatever the row says for later.
    let grid = Quantizer { round: grid.round.in_evaluation(), ..grid };
    let payload = grid.payload(real, 0, 0);
    let finer = master.format.frac_bits() - grid.format.frac_bits();
    weight.set_payload(i, payload << finer);
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
