//! A network on the simulated array: every product of a training step as the machine computes it, the rest as the host does.
//!
//! The host's part is the contract in plain loops: layout, pooling, ReLU, masks, the loss. Nothing here is shared with the
//! engines of `intrain-nn`, so that equal weights say something about both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use intrain_kernels::Isa;
use intrain_nn::plan::BlockPlan;
use intrain_nn::{BlockGradient, Engine, Gradient, Mode, Outcome, Parameters, Plan, Seen, StepKey, loss};
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Overflow, Quantizer, RandomSource, Round, Scale};

use crate::array::Array;
use crate::lower::{Direction, Operands};
use crate::machine::{Machine, MachineError, Rounding};
use crate::order::{Format, Product};
use crate::vectors::Job;

/// How often the products of a block ran, by direction and shape.
pub type Tally = BTreeMap<(usize, Direction, Product), u64>;

/// Why a network cannot run on a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer '{layer}': {reason}")]
pub struct Unfit {
    /// The layer.
    pub layer: String,
    /// What does not fit, and what would.
    pub reason: String,
}

/// A machine for [`intrain_nn::Context`], and what has run on it.
#[derive(Debug)]
pub struct ArrayMachine {
    array: Array,
    /// The same with the constant in place of random bits: evaluation.
    nearest: Array,
    tally: Arc<Mutex<Tally>>,
    /// The training products with their operands, where they are recorded.
    jobs: Option<Arc<Mutex<Vec<Job>>>>,
}

impl ArrayMachine {
    /// A machine on which nothing has run yet.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn new(machine: &Machine) -> Result<Self, MachineError> {
        let nearest = Array::new(&Machine { rounding: Rounding::Nearest, ..machine.clone() })?;
        Ok(Self { array: Array::new(machine)?, nearest, tally: Arc::default(), jobs: None })
    }

    /// The same, keeping the operands of all training products.
    ///
    /// # Errors
    /// As [`ArrayMachine::new`].
    pub fn recording(machine: &Machine) -> Result<Self, MachineError> {
        Ok(Self { jobs: Some(Arc::default()), ..Self::new(machine)? })
    }

    /// The training products that were recorded, in their order.
    #[must_use]
    pub fn jobs(&self) -> Vec<Job> {
        let jobs = self.jobs.as_ref();
        jobs.map_or(vec![], |jobs| jobs.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The training products that have run so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl intrain_nn::Machine for ArrayMachine {
    fn engine(&self, plan: &Plan) -> Box<dyn Engine> {
        Box::new(ArrayEngine::new(self, plan))
    }
}

/// Whether every product of a network can run on `machine`, with the bits that its recipe asks for.
///
/// # Errors
/// The first layer that can't.
pub fn check(machine: &Machine, plan: &Plan) -> Result<(), Unfit> {
    for block in &plan.blocks {
        let unfit = |reason: String| Err(Unfit { layer: block.name.clone(), reason });
        if plan.graph.is_some() || !block.weight.master.format.is_fixed_point() {
            return unfit(
                "the array runs chains of fixed-point products; use a recipe such as gupta:array".to_owned(),
            );
        }
        if let Some(columns) = block.columns.filter(|columns| *columns != machine.columns()) {
            return unfit(format!(
                "the recipe's random = \"{}\" is not this machine's, \"{}\"; write the same in both",
                RandomSource::Columns(columns),
                RandomSource::Columns(machine.columns())
            ));
        }
        for (operand, what) in [
            (block.input_operand, "the activation that enters"),
            (block.weight.operand, "its weight"),
            (block.error_operand, "its error"),
        ] {
            let limit = 1_u64 << (machine.word - 1);
            if operand.magnitude() > limit {
                let reason = format!("{what} needs more than the machine's words of {} bits", machine.word);
                return unfit(reason);
            }
        }
        check_bias(machine, block).or_else(unfit)?;
        let is_last = block.index as usize + 1 == plan.blocks.len();
        let others = [
            (block.activation, "activation", true),
            (block.error_at_activation, "error.activation", !is_last),
        ];
        for (row, role, counts) in others {
            if counts && row.format.is_quantized() {
                return unfit(format!(
                    "its row '{role}' is {row}, and the array rounds products alone; make it exact"
                ));
            }
        }
        for (row, digits, role) in rounded(block) {
            check_row(machine, block, row, digits, role).or_else(unfit)?;
        }
    }
    Ok(())
}

/// The rows behind a block's products: each with the fractional digits of its sums and its name.
fn rounded(block: &BlockPlan) -> impl Iterator<Item = (Quantizer, i32, &'static str)> {
    let forward = (block.activation_at_product, block.sum_frac_bits, "activation.product");
    let error_digits = block.error_operand.frac_bits + block.weight.operand.frac_bits;
    let error = (block.error_at_product, error_digits, "error.product");
    [Some(forward), (block.index > 0).then_some(error)].into_iter().flatten()
}

/// How many bits the results of a network's products drop, each number once: a machine's `drop` for it.
#[must_use]
pub fn drops(plan: &Plan) -> Vec<u32> {
    let mut drops = Vec::new();
    for block in &plan.blocks {
        for (row, digits, role) in rounded(block) {
            let is_exact = block.has_exact_output() && role == "activation.product";
            let dropped = u32::try_from(digits - row.format.frac_bits());
            if let Some(dropped) = dropped.ok().filter(|drop| !is_exact && !drops.contains(drop)) {
                drops.push(dropped);
            }
        }
    }
    drops
}

/// The operand 1 of the step that adds the bias.
const fn one(block: &BlockPlan) -> Option<i32> {
    if block.product.bias { Some(1 << block.bias_shift()) } else { None }
}

fn check_bias(machine: &Machine, block: &BlockPlan) -> Result<(), String> {
    let places = block.bias_shift();
    if !block.product.bias || (0..machine.word.cast_signed() - 1).contains(&places) {
        return Ok(());
    }
    Err(format!(
        "its bias would be multiplied by 2^{places}, which no word of {} bits holds; give activations fewer fractional bits, \
         or set the recipe's bias to none",
        machine.word
    ))
}

fn check_row(
    machine: &Machine,
    block: &BlockPlan,
    row: Quantizer,
    digits: i32,
    role: &str,
) -> Result<(), String> {
    if block.has_exact_output() && role == "activation.product" {
        return if machine.exact {
            Ok(())
        } else {
            Err(no_format(role, "accumulators as they are; set exact = true"))
        };
    }
    let is_plain = row.scale == Scale::One && row.overflow == Overflow::Saturate;
    if !row.format.is_fixed_point() || !is_plain || row.format.bits() != machine.word {
        return Err(format!(
            "its row '{role}' is {row}, and the array leaves fixed-point words of {} bits, such as fixed<8,8>",
            machine.word
        ));
    }
    let dropped = digits - row.format.frac_bits();
    if dropped < 0 || !machine.drop.contains(&dropped.unsigned_abs()) {
        return Err(no_format(
            role,
            &format!("results with {dropped} bits dropped; add them to drop = {:?}", machine.drop),
        ));
    }
    let is_stochastic = machine.rounding == Rounding::Stochastic;
    if row.round.is_stochastic() != is_stochastic {
        return Err(format!(
            "its row '{role}' is {row}, and the machine's rounding another; make both the same"
        ));
    }
    if let Round::Stochastic { bits } = row.round {
        let (dropped, drawn) = (dropped.unsigned_abs(), machine.draw_bits(dropped.unsigned_abs()));
        if bits.min(dropped) != drawn {
            return Err(format!(
                "its row '{role}' compares {} random bits of the {dropped} that it drops, and the machine's units {drawn}; \
                 write stochastic<{drawn}> in the recipe, or another random_bits in the machine",
                bits.min(dropped)
            ));
        }
    }
    if is_stochastic && block.columns.is_none() {
        return Err(format!(
            "its row '{role}' takes random bits that no register gives; write random = \"{}\" in the recipe, or use \
             gupta:array",
            RandomSource::Columns(machine.columns())
        ));
    }
    Ok(())
}

/// How results leave that `row` rounds, from sums of so many `digits`.
pub(crate) fn format_of(machine: &Machine, row: Quantizer, digits: i32) -> Format {
    if !row.format.is_quantized() {
        return Format::Exact;
    }
    let dropped = digits - row.format.frac_bits();
    let index = machine.drop.iter().position(|drop| i32::try_from(*drop) == Ok(dropped));
    // Whole accumulators where `check` has not been asked.
    index.map_or(Format::Exact, Format::Rounded)
}

fn no_format(role: &str, what: &str) -> String {
    format!("its row '{role}' asks the machine for {what}")
}

/// A chain of products.
struct ArrayEngine {
    array: Array,
    /// The same with the constant in place of random bits: evaluation.
    nearest: Array,
    pixels: Vec<i32>,
    blocks: Vec<Block>,
    logits: Vec<i32>,
    tally: Arc<Mutex<Tally>>,
    jobs: Option<Arc<Mutex<Vec<Job>>>>,
}

/// A product and what follows it.
struct Block {
    plan: BlockPlan,
    /// `[taps, in, out]`, biases behind them.
    weights: Vec<i32>,
    /// What entered.
    input: Vec<i32>,
    /// Of each result of the block: where it was behind the product, and whether the ReLU let it pass.
    passed: Vec<Option<usize>>,
    gradient: Gradient,
    bias_gradient: Option<Gradient>,
}

/// Bound: a payload of at most 24 bits.
fn small(payload: i64) -> i32 {
    i32::try_from(payload).unwrap_or_else(|_| unreachable!("a payload of a word"))
}

impl ArrayEngine {
    fn new(machine: &ArrayMachine, plan: &Plan) -> Self {
        let block = |plan: &BlockPlan| Block {
            plan: plan.clone(),
            weights: vec![],
            input: vec![],
            passed: vec![],
            gradient: Gradient::I64(vec![]),
            bias_gradient: plan.product.bias.then(|| Gradient::I64(vec![])),
        };
        Self {
            array: machine.array.clone(),
            nearest: machine.nearest.clone(),
            pixels: plan.input.payloads().map(small).collect(),
            blocks: plan.blocks.iter().map(block).collect(),
            logits: vec![],
            tally: Arc::clone(&machine.tally),
            jobs: machine.jobs.clone(),
        }
    }

    /// A product on the array, rounded by `row`, whose sums have so many `digits`.
    fn run(
        &self,
        (block, direction): (usize, Direction),
        operands: &Operands,
        (row, digits): (Quantizer, i32),
        mode: Mode,
    ) -> Vec<i64> {
        let Operands { l, k, m, a, b } = operands;
        let plan = &self.blocks[block].plan;
        let format = format_of(self.array.machine(), row, digits);
        let product = Product { l: *l, k: *k, m: *m, format };
        let done = |result: Result<Vec<i64>, _>| {
            result.unwrap_or_else(|error| unreachable!("`check` has let it through: {error}"))
        };
        let Mode::Training(key) = mode else { return done(self.nearest.product(&product, a, b, &[])) };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally.entry((block, direction, product)).or_default() += 1;
        drop(tally);
        let purpose =
            if direction == Direction::Error { Purpose::ErrorAtProduct } else { Purpose::Activation };
        let stream = Stream::new(key.seed, purpose, plan.index, key.step);
        let seeds: Vec<u32> = plan.columns.map_or(vec![], |columns| {
            (0..columns.n as u64).map(|column| columns.seed(stream, column)).collect()
        });
        if let Some(jobs) = &self.jobs {
            let seeds = if seeds.is_empty() { vec![1; self.array.machine().n] } else { seeds.clone() };
            let job = Job { product, a: a.clone(), b: b.clone(), seeds };
            jobs.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        }
        done(self.array.product(&product, a, b, &seeds))
    }

    /// A block's results from what entered it.
    fn forward_block(&mut self, i: usize, input: Vec<i32>, mode: Mode) -> Vec<i32> {
        let block = &self.blocks[i];
        let plan = &block.plan;
        let operands = Operands::forward(&plan.product, &input, &block.weights, one(plan));
        let row = (plan.activation_at_product, plan.sum_frac_bits);
        let results = self.run((i, Direction::Forward), &operands, row, mode);
        let block = &mut self.blocks[i];
        block.input = input;
        block.finish(&results)
    }
}

impl Block {
    /// Pooling and ReLU, and what the way back must know of them.
    fn finish(&mut self, results: &[i64]) -> Vec<i32> {
        let product = self.plan.product.output;
        let n = results.len() / product.len();
        let size = self.plan.pool.map_or(1, |pool| pool.size);
        let stride = self.plan.pool.map_or(1, |pool| pool.stride);
        let (h, w) = ((product.h - size) / stride + 1, (product.w - size) / stride + 1);
        let mut out = Vec::with_capacity(n * h * w * product.c);
        self.passed.clear();
        for image in 0..n {
            for (y, x, channel) in places(h, w, product.c) {
                let at = |k: usize| {
                    let (v, u) = (y * stride + k / size, x * stride + k % size);
                    ((image * product.h + v) * product.w + u) * product.c + channel
                };
                let best = (1..size * size)
                    .map(at)
                    .fold(at(0), |best, next| if results[next] > results[best] { next } else { best });
                let passes = !self.plan.relu || results[best] > 0;
                self.passed.push(passes.then_some(best));
                out.push(if passes { small(results[best]) } else { 0 });
            }
        }
        out
    }

    /// Errors at the block's results become errors at its product; where windows overlap they are held in their format.
    fn unpool(&self, error: &[i32]) -> Vec<i32> {
        let n = self.input.len() / self.plan.product.input.len();
        let mut out = vec![0_i64; n * self.plan.product.output.len()];
        for (error, passed) in error.iter().zip(&self.passed) {
            if let Some(at) = passed {
                out[*at] += i64::from(*error);
            }
        }
        let operand = self.plan.error_operand;
        out.into_iter().map(|error| small(error.clamp(operand.min, operand.max))).collect()
    }
}

fn places(h: usize, w: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..h).flat_map(move |y| (0..w).flat_map(move |x| (0..c).map(move |channel| (y, x, channel))))
}

impl Engine for ArrayEngine {
    fn load(&mut self, _: Isa, parameters: &[Parameters], mode: Mode) {
        for (block, parameters) in self.blocks.iter_mut().zip(parameters) {
            let plan = &block.plan;
            let read = plan.weight.read;
            let payload = |i: usize| {
                let stored = parameters.weight.payload(i);
                if !read.format.is_quantized() {
                    return small(stored);
                }
                let places = plan.weight.master.format.frac_bits() - read.format.frac_bits();
                let (round, word) = match mode {
                    Mode::Training(key) => {
                        let stream = Stream::new(key.seed, Purpose::Weight, plan.index, key.step);
                        (read.round, stream.word(i as u64))
                    }
                    Mode::Evaluation => (read.round.in_evaluation(), 0),
                };
                small(Quantizer { round, ..read }.payload_of_shifted(stored, places, word))
            };
            block.weights = (0..parameters.weight.len()).map(payload).collect();
            if let Some(bias) = &parameters.bias {
                block.weights.extend((0..bias.len()).map(|i| small(bias.payload(i))));
            }
        }
    }

    fn forward(&mut self, _: Isa, images: &[u8], mode: Mode) {
        let mut x: Vec<i32> = images.iter().map(|pixel| self.pixels[usize::from(*pixel)]).collect();
        for i in 0..self.blocks.len() {
            x = self.forward_block(i, x, mode);
        }
        self.logits = x;
    }

    fn outcome(&self, plan: &Plan, labels: &[u16]) -> Outcome {
        loss::evaluate(&plan.loss, |i| loss::real(&plan.loss, self.logits[i].into()), labels)
    }

    fn backward(&mut self, _: Isa, plan: &Plan, labels: &[u16], key: StepKey) {
        let last = self.blocks.len() - 1;
        let mut error = Vec::with_capacity(self.logits.len());
        let layer = self.blocks[last].plan.index;
        let logits = |i: usize| i64::from(self.logits[i]);
        let _ = loss::error_integers(&plan.loss, logits, labels, layer, key, |e| error.push(small(e)));
        for i in (0..=last).rev() {
            let block = &self.blocks[i];
            let (plan, at_product) = (&block.plan, block.unpool(&error));
            let operands = Operands::gradient(&plan.product, &block.input, &at_product, plan.product.bias);
            let exact = (Quantizer::EXACT, 0);
            let mut gradient = self.run((i, Direction::Gradient), &operands, exact, Mode::Training(key));
            if i > 0 {
                let operands = Operands::error(&plan.product, &at_product, &block.weights);
                let digits = plan.error_operand.frac_bits + plan.weight.operand.frac_bits;
                let row = (plan.error_at_product, digits);
                let results = self.run((i, Direction::Error), &operands, row, Mode::Training(key));
                error = results.into_iter().map(small).collect();
            }
            let block = &mut self.blocks[i];
            if let Some(bias) = &mut block.bias_gradient {
                *bias = Gradient::I64(gradient.split_off(block.plan.product.n_weights()));
            }
            block.gradient = Gradient::I64(gradient);
        }
    }

    fn gradient(&self, block: usize) -> BlockGradient<'_> {
        let block = &self.blocks[block];
        BlockGradient {
            weight: &block.gradient,
            weight_max: None,
            bias: block.bias_gradient.as_ref(),
            exponents: None,
            moments: None,
        }
    }

    fn watch(&mut self, _: bool) {}

    fn seen(&self) -> &[Seen] {
        &[]
    }
}
