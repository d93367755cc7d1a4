//! Products on the simulated array: each product of a training step as the machine computes it. The rest is the host's, which
//! is the executor of `intrain-nn`, so every network runs whose products the array can hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use intrain_nn::plan::{BlockPlan, ErrorRule, Op, Operand, Product as Placed};
use intrain_nn::{MachineProduct, Plan, StepKey};
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

/// Which products a machine counts, and keeps where it records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Those of training steps.
    Training,
    /// Those of answers, which round to the nearest.
    Answers,
}

/// A machine for [`intrain_nn::Context`], and what has run on it.
#[derive(Debug)]
pub struct ArrayMachine {
    array: Array,
    /// The same with the constant in place of random bits: evaluation.
    nearest: Array,
    counted: Counted,
    tally: Arc<Mutex<Tally>>,
    /// These products with their operands, where they are recorded.
    jobs: Option<Arc<Mutex<Vec<Job>>>>,
}

impl ArrayMachine {
    /// A machine on which nothing has run yet.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn new(machine: &Machine) -> Result<Self, MachineError> {
        let nearest = Array::new(&Machine { rounding: Rounding::Nearest, ..machine.clone() })?;
        let counted = Counted::Training;
        Ok(Self { array: Array::new(machine)?, nearest, counted, tally: Arc::default(), jobs: None })
    }

    /// A machine that answers and does not train: it counts the products of evaluation, and keeps their operands where it
    /// `records`.
    ///
    /// # Errors
    /// As [`ArrayMachine::new`].
    pub fn answering(machine: &Machine, records: bool) -> Result<Self, MachineError> {
        let jobs = records.then(Arc::default);
        Ok(Self { counted: Counted::Answers, jobs, ..Self::new(machine)? })
    }

    /// The same, keeping the operands of all training products.
    ///
    /// # Errors
    /// As [`ArrayMachine::new`].
    pub fn recording(machine: &Machine) -> Result<Self, MachineError> {
        Ok(Self { jobs: Some(Arc::default()), ..Self::new(machine)? })
    }

    /// The products that were recorded, in their order.
    #[must_use]
    pub fn jobs(&self) -> Vec<Job> {
        let jobs = self.jobs.as_ref();
        jobs.map_or(vec![], |jobs| jobs.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The products that were counted so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl intrain_nn::Machine for ArrayMachine {
    fn product(&self, block: &BlockPlan, product: &Placed) -> Box<dyn MachineProduct> {
        Box::new(ArrayProduct {
            array: self.array.clone(),
            nearest: self.nearest.clone(),
            plan: block.clone(),
            placed: *product,
            weights: vec![],
            counted: self.counted,
            tally: Arc::clone(&self.tally),
            jobs: self.jobs.clone(),
        })
    }
}

/// The products by which a network answers `n` images, each with its block's number.
#[must_use]
pub fn answers(machine: &Machine, plan: &Plan, n: usize) -> Vec<(usize, Product)> {
    products(plan).map(|(_, placed)| (placed.block, forward(machine, plan, &placed, n))).collect()
}

/// The forward product of a block for `n` images.
pub(crate) fn forward(machine: &Machine, plan: &Plan, placed: &Placed, n: usize) -> Product {
    let block = plan.blocks[placed.block].dense();
    let p = &block.product;
    let (l, k) = (n * p.output.h * p.output.w, p.fan_in() + usize::from(p.bias));
    Product {
        l,
        k,
        m: p.output.c,
        format: format_of(machine, placed.epilogue.at_product, block.sum_frac_bits),
    }
}

/// Whether every product of a network that answers `n` images can run on `machine`, whose results are then rounded to the
/// nearest.
///
/// # Errors
/// The first layer that can't.
pub fn check_answers(machine: &Machine, plan: &Plan, n: usize) -> Result<(), Unfit> {
    for (node, placed) in products(plan) {
        let block = &plan.blocks[placed.block];
        let unfit = |reason: String| Err(Unfit { layer: block.name.clone(), reason });
        if !block.weight.master.format.is_fixed_point() {
            return unfit("the array runs fixed-point products; use a recipe such as gupta:array".to_owned());
        }
        if plan.nodes[plan.nodes[node].sources[0]].finds_unit {
            return unfit(NO_FIXED_UNIT.to_owned());
        }
        check_size(block).or_else(unfit)?;
        let operands =
            [(block.input_operand, "the activation that enters"), (block.weight.operand, "its weight")];
        check_operands(machine, &operands).or_else(unfit)?;
        check_bias(machine, block).or_else(unfit)?;
        check_nearest(machine, (block, &placed)).or_else(unfit)?;
        let sum = block.sums.forward;
        if !sum.fits(machine.accumulator) {
            return unfit(format!(
                "its sums need {} bits, and the accumulators have {}; set a larger accumulator in the machine",
                sum.width_bits(),
                machine.accumulator
            ));
        }
    }
    for (block, product) in answers(machine, plan, n) {
        let layer = plan.blocks[block].name.clone();
        let unfit = |error| Unfit { layer, reason: format!("{error}; answer fewer images at once") };
        product.check(machine).map_err(unfit)?;
    }
    Ok(())
}

/// A block's results leave as evaluation rounds them, by units that round to the nearest, ties down, or whole.
fn check_nearest(machine: &Machine, (block, placed): (&BlockPlan, &Placed)) -> Result<(), String> {
    if placed.epilogue.is_exact() {
        let whole = "its results leave as whole accumulators, which a machine with exact = false does not build; set exact = true";
        return if machine.exact { Ok(()) } else { Err(whole.to_owned()) };
    }
    let (row, role) = (placed.epilogue.at_product, "activation.product");
    let dropped = check_format(machine, row, block.sum_frac_bits, role)?;
    if dropped == 0 || row.round.in_evaluation() == Round::NearestDown {
        return Ok(());
    }
    Err(format!(
        "its row '{role}' is {row}, and an array that answers rounds to the nearest, ties down; train with stochastic or nearest-down"
    ))
}

/// Whether every product of a network can run on `machine`, with the bits that its recipe asks for.
///
/// # Errors
/// The first layer that can't.
pub fn check(machine: &Machine, plan: &Plan) -> Result<(), Unfit> {
    for (node, placed) in products(plan) {
        let block = &plan.blocks[placed.block];
        let unfit = |reason: String| Err(Unfit { layer: block.name.clone(), reason });
        if !block.weight.master.format.is_fixed_point() {
            return unfit("the array runs fixed-point products; use a recipe such as gupta:array".to_owned());
        }
        if !machine.exact {
            return unfit(
                "its gradient leaves the array as whole accumulators, which a machine with exact = false does not build; set \
                 exact = true"
                    .to_owned(),
            );
        }
        check_units(plan, node, &placed).or_else(unfit)?;
        check_size(block).or_else(unfit)?;
        if let Some(columns) = block.columns.filter(|columns| *columns != machine.columns()) {
            return unfit(format!(
                "the recipe's random = \"{}\" is not this machine's, \"{}\"; write the same in both",
                RandomSource::Columns(columns),
                RandomSource::Columns(machine.columns())
            ));
        }
        let operands = [
            (block.input_operand, "the activation that enters"),
            (block.weight.operand, "its weight"),
            (block.error_operand, "its error"),
        ];
        check_operands(machine, &operands).or_else(unfit)?;
        check_bias(machine, block).or_else(unfit)?;
        let epilogue = &placed.epilogue;
        let is_fused = epilogue.activation.format.is_quantized();
        let others = [
            (epilogue.activation, "activation", is_fused),
            (placed.error.at_output, "error.activation", is_read_directly(plan, node)),
        ];
        for (row, role, counts) in others {
            if counts && row.format.is_quantized() {
                return unfit(format!(
                    "its row '{role}' is {row}, and the array rounds products alone; make it exact"
                ));
            }
        }
        for (row, digits, role) in rounded(block, &placed) {
            check_row(machine, (block, &placed), row, digits, role).or_else(unfit)?;
        }
    }
    Ok(())
}

/// Weights are addressed by 32 bits.
fn check_size(block: &BlockPlan) -> Result<(), String> {
    let dense = block.dense().product.n_weights();
    if u32::try_from(dense).is_ok() {
        return Ok(());
    }
    Err(format!(
        "the array multiplies all channels by all, which are {dense} weights, and {} can be addressed; make it smaller",
        u32::MAX
    ))
}

/// Operands, each with its name, are the machine's words.
fn check_operands(machine: &Machine, operands: &[(Operand, &str)]) -> Result<(), String> {
    let limit = 1_u64 << (machine.word - 1);
    match operands.iter().find(|(operand, _)| operand.max_abs() > limit) {
        None => Ok(()),
        Some((_, what)) => {
            Err(format!("{what} needs more than the machine's words of {} bits", machine.word))
        }
    }
}

/// Why an operand whose unit each batch finds does not enter.
const NO_FIXED_UNIT: &str = "the activation that enters has a power of two that each step finds (@dynamic), and the array drops a number of bits that is \
     fixed; give the row 'activation.product' a format such as fixed<8,8>";

/// Whether the error sums of another product become the error of that of a node at once.
fn is_read_directly(plan: &Plan, node: usize) -> bool {
    let is_direct = |placed: &Placed| placed.error.rule == ErrorRule::Direct;
    products(plan).any(|(reader, placed)| plan.nodes[reader].sources.contains(&node) && is_direct(&placed))
}

/// How many bits a result drops is fixed when the machine is built, so the units of its operands must be.
fn check_units(plan: &Plan, node: usize, placed: &Placed) -> Result<(), String> {
    if plan.nodes[plan.nodes[node].sources[0]].finds_unit {
        return Err(NO_FIXED_UNIT.to_owned());
    }
    let at_output = &placed.error.at_output;
    let arrives = !at_output.format.is_quantized() && !is_read_directly(plan, node);
    if placed.error.rule != ErrorRule::None && (arrives || at_output.scale == Scale::Dynamic) {
        return Err("the error at its output has a power of two that each step finds, and the array drops a number of bits that \
                    is fixed; give the rows 'error.activation' and 'error.norm' a format such as fixed<2,14>"
            .to_owned());
    }
    Ok(())
}

/// The products of a network with the numbers of their nodes.
pub(crate) fn products(plan: &Plan) -> impl Iterator<Item = (usize, Placed)> + '_ {
    plan.nodes.iter().enumerate().filter_map(|(i, node)| match node.op {
        Op::Product(product) => Some((i, product)),
        _ => None,
    })
}

/// The rows behind a block's products: each with the fraction bits of its sums and its name.
fn rounded(block: &BlockPlan, placed: &Placed) -> impl Iterator<Item = (Quantizer, i32, &'static str)> {
    let forward = (placed.epilogue.at_product, block.sum_frac_bits, "activation.product");
    let error_digits = block.error_operand.frac_bits + block.weight.operand.frac_bits;
    let error = (placed.error.at_input, error_digits, "error.product");
    [Some(forward), (placed.error.rule != ErrorRule::None).then_some(error)].into_iter().flatten()
}

/// How many bits the results of a network's products drop, each number once: a machine's `drop` for it.
#[must_use]
pub fn drops(plan: &Plan) -> Vec<u32> {
    let mut drops = Vec::new();
    for (_, placed) in products(plan) {
        for (row, digits, role) in rounded(&plan.blocks[placed.block], &placed) {
            let is_exact = placed.epilogue.is_exact() && role == "activation.product";
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
    (block, placed): (&BlockPlan, &Placed),
    row: Quantizer,
    digits: i32,
    role: &str,
) -> Result<(), String> {
    if placed.epilogue.is_exact() && role == "activation.product" {
        return Ok(());
    }
    let dropped = check_format(machine, row, digits, role)?;
    let is_stochastic = machine.rounding == Rounding::Stochastic;
    if row.round.is_stochastic() != is_stochastic {
        return Err(format!(
            "its row '{role}' is {row}, and the machine's rounding another; make both the same"
        ));
    }
    if let Round::Stochastic { bits } = row.round {
        let drawn = machine.draw_bits(dropped);
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

/// The bits that results of a row drop, which the machine has to know.
fn check_format(machine: &Machine, row: Quantizer, digits: i32, role: &str) -> Result<u32, String> {
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
    Ok(dropped.unsigned_abs())
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

/// One layer's products on the array.
struct ArrayProduct {
    array: Array,
    /// The same with the constant in place of random bits: evaluation.
    nearest: Array,
    plan: BlockPlan,
    placed: Placed,
    /// `[taps, in, out]`, biases behind them.
    weights: Vec<i32>,
    counted: Counted,
    tally: Arc<Mutex<Tally>>,
    jobs: Option<Arc<Mutex<Vec<Job>>>>,
}

impl ArrayProduct {
    /// A product on the array, rounded by `row`, whose sums have so many fraction bits; in evaluation without a key.
    fn run(
        &self,
        direction: Direction,
        operands: &Operands,
        (row, digits): (Quantizer, i32),
        key: Option<StepKey>,
    ) -> Vec<i64> {
        let Operands { l, k, m, a, b } = operands;
        let format = format_of(self.array.machine(), row, digits);
        let product = Product { l: *l, k: *k, m: *m, format };
        let done = |result: Result<Vec<i64>, _>| {
            result.unwrap_or_else(|error| unreachable!("`check` has let it through: {error}"))
        };
        let Some(key) = key else {
            if self.counted == Counted::Answers {
                self.count(direction, product, operands, &[]);
            }
            return done(self.nearest.product(&product, a, b, &[]));
        };
        let purpose =
            if direction == Direction::Error { Purpose::ErrorAtProduct } else { Purpose::Activation };
        let stream = Stream::new(key.seed, purpose, self.plan.index, key.step);
        let seeds: Vec<u32> = self.plan.columns.map_or(vec![], |columns| columns.seeds(stream).collect());
        if self.counted == Counted::Training {
            self.count(direction, product, operands, &seeds);
        }
        done(self.array.product(&product, a, b, &seeds))
    }

    /// A product has run, with these start states of the registers.
    fn count(&self, direction: Direction, product: Product, operands: &Operands, seeds: &[u32]) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally.entry((self.placed.block, direction, product)).or_default() += 1;
        drop(tally);
        if let Some(jobs) = &self.jobs {
            let seeds = if seeds.is_empty() { vec![1; self.array.machine().n] } else { seeds.to_vec() };
            let (a, b) = (operands.a.clone(), operands.b.clone());
            let job = Job { product, a, b, seeds };
            jobs.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        }
    }
}

impl MachineProduct for ArrayProduct {
    fn load(&mut self, weights: &[i32], biases: &[i32]) {
        self.weights.clear();
        self.weights.extend(weights.iter().chain(biases));
    }

    fn forward(&mut self, input: &[i32], key: Option<StepKey>) -> Vec<i64> {
        let operands = Operands::forward(&self.plan.product, input, &self.weights, one(&self.plan));
        let row = (self.placed.epilogue.at_product, self.plan.sum_frac_bits);
        self.run(Direction::Forward, &operands, row, key)
    }

    fn error(&mut self, error: &[i32], key: StepKey) -> Vec<i64> {
        let operands = Operands::error(&self.plan.product, error, &self.weights);
        let frac_bits = self.plan.error_operand.frac_bits + self.plan.weight.operand.frac_bits;
        self.run(Direction::Error, &operands, (self.placed.error.at_input, frac_bits), Some(key))
    }

    fn gradient(&mut self, input: &[i32], error: &[i32], key: StepKey) -> (Vec<i64>, Vec<i64>) {
        let p = &self.plan.product;
        let operands = Operands::gradient(p, input, error, p.bias);
        let mut gradient = self.run(Direction::Gradient, &operands, (Quantizer::EXACT, 0), Some(key));
        let bias = gradient.split_off(p.n_weights());
        (gradient, bias)
    }
}
