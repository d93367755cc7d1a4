//! A convolution or linear layer in motion: forward with its epilogue, gradient, and the error in front of it.
//!
//! Dispatch is here, by the arithmetic that the plan gave the layer; `integers.rs` is written once over the two widths.

mod codes;
mod epilogue;
mod errors;
mod floats;
mod integers;
mod machine;

use intrain_kernels::Isa;

use crate::key::{Mode, StepKey};
use crate::layers::conv::linear_rows;
use crate::machine::MachineProduct;
use crate::parameters::{Gradient, Parameters};
use crate::plan::{Arithmetic, BlockPlan, Node, Product, ProductKind, Storage};
use crate::scratch::Scratch;
use crate::tensor::{Activation, Buffers, Error};
use crate::width::{Int8, Int16, Kept};
pub(crate) use errors::mask;
use floats::Floats;
use integers::Integers;
use machine::OnMachine;

/// What all nodes share, one after the other.
pub(crate) struct Workspace {
    pub(crate) isa: Isa,
    /// One for each thread.
    pub(crate) scratches: Vec<Scratch>,
    pub(crate) free: Buffers,
    pub(crate) kept: Kept,
    /// Random words of a whole tensor, where an array's registers give them.
    pub(crate) words: Vec<u32>,
}

/// A product's place in the network: its node, what the plan says of it there, and of its weights.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) plan: &'a BlockPlan,
    pub(crate) product: &'a Product,
    pub(crate) node: &'a Node,
}

/// The weights of a product as it wants them, by its arithmetic.
pub(crate) enum Weights {
    Int8(Box<Integers<Int8>>),
    Int16(Box<Integers<Int16>>),
    Float(Box<Floats>),
    Machine(Box<OnMachine>),
}

/// What a backward pass learns about a layer's parameters.
pub(crate) struct Gradients {
    pub(crate) weight: Gradient,
    /// 64-bit sums of a linear layer are kept in 32 bits until one does not fit: then all go here.
    pub(crate) wide: Option<Gradient>,
    /// The largest magnitude among them, where it is known: at least where the recipe divides by it.
    pub(crate) weight_max: Option<u64>,
    pub(crate) bias: Option<Gradient>,
    /// What a gradient's sum of 1 is worth, weights and biases.
    pub(crate) exponents: [i32; 2],
}

impl Gradients {
    /// In the narrowest type that holds the sums of `plan`, or mostly does.
    pub(crate) fn new(plan: &BlockPlan) -> Self {
        let (weight, bias) = match plan.arithmetic {
            Arithmetic::Float32 => (Gradient::F32(vec![]), Gradient::F32(vec![])),
            _ if plan.product.kind.is_norm() => (Gradient::I64(vec![]), Gradient::I64(vec![])),
            Arithmetic::Int8 if plan.sums.gradient.fits(32) => (Gradient::I32(vec![]), Gradient::I64(vec![])),
            Arithmetic::Int8 | Arithmetic::Int16 => (Gradient::I64(vec![]), Gradient::I64(vec![])),
        };
        // Sums over the pixels of all images are longer than those over a batch, and few beside them.
        let is_narrow = plan.arithmetic == Arithmetic::Int16 && plan.product.kind == ProductKind::Linear;
        let (weight, wide) = if is_narrow { (Gradient::I32(vec![]), Some(weight)) } else { (weight, None) };
        let bias = plan.product.bias.then_some(bias);
        Self { weight, wide, weight_max: None, bias, exponents: [0; 2] }
    }
}

/// The backward side of the product in front, whose error is rounded at once.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) result: &'a Activation,
}

impl Weights {
    /// On `machine` where there is one, else with this crate's kernels.
    pub(crate) fn new(plan: &BlockPlan, batch_size: usize, machine: Option<Box<dyn MachineProduct>>) -> Self {
        match plan.arithmetic {
            _ if let Some(machine) = machine => Self::Machine(Box::new(OnMachine::new(machine))),
            Arithmetic::Int8 => Self::Int8(Box::new(Integers::new(plan, batch_size))),
            Arithmetic::Int16 => Self::Int16(Box::new(Integers::new(plan, batch_size))),
            Arithmetic::Float32 => Self::Float(Box::new(Floats::new(plan, batch_size))),
        }
    }

    /// Reads the stored weights: the recipe's row `weight`.
    pub(crate) fn load(&mut self, isa: Isa, plan: &BlockPlan, parameters: &Parameters, mode: Mode) {
        match self {
            Self::Int8(integers) => integers.load(isa, plan, parameters, mode),
            Self::Int16(integers) => integers.load(isa, plan, parameters, mode),
            Self::Float(floats) => floats.load(isa, plan, parameters, mode),
            Self::Machine(machine) => machine.load(isa, plan, parameters, mode),
        }
    }

    /// From what enters to what the plan stores: the sums through the epilogue.
    pub(crate) fn forward(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        mode: Mode,
        space: &mut Workspace,
    ) {
        match self {
            Self::Int8(integers) => integers.forward(place, input, out, mode, space),
            Self::Int16(integers) => integers.forward(place, input, out, mode, space),
            Self::Float(floats) => floats.forward(place, input, out, mode, space),
            Self::Machine(machine) => machine.forward(place, input, out, mode, space),
        }
    }

    /// The gradients from what entered and the error at the product's output.
    pub(crate) fn gradient(
        &mut self,
        plan: &BlockPlan,
        input: &Activation,
        error: &Error,
        key: StepKey,
        gradients: &mut Gradients,
        space: &mut Workspace,
    ) {
        match self {
            Self::Int8(integers) => integers.gradient(plan, input, error, gradients, space),
            Self::Int16(integers) => integers.gradient(plan, input, error, gradients, space),
            Self::Float(floats) => floats.gradient(plan, (input, error), key, gradients, space),
            Self::Machine(machine) => machine.gradient(plan, input, error, gradients, key),
        }
    }

    /// The error in front of the product, rounded at once to that at the output of the product `before`.
    pub(crate) fn error_direct(
        &mut self,
        place: Place<'_>,
        before: Before<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        match self {
            Self::Int8(integers) => integers.error_direct(place, before, error, key, space),
            Self::Int16(integers) => integers.error_direct(place, before, error, key, space),
            Self::Float(floats) => floats.error(place, Some(before), error, key, space),
            Self::Machine(machine) => machine.error_direct(before, error, key, space),
        }
    }

    /// The error in front of the product, wide: it meets those of other readers.
    pub(crate) fn error_wide(
        &mut self,
        place: Place<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        match self {
            Self::Int8(integers) => integers.error_wide(place, error, key, space),
            Self::Int16(integers) => integers.error_wide(place, error, key, space),
            Self::Float(floats) => floats.error(place, None, error, key, space),
            Self::Machine(machine) => machine.error_wide(place, error, key, space),
        }
    }
}

/// Images of a batch that one thread takes at a time.
fn images_at_a_time(plan: &BlockPlan, batch_size: usize) -> usize {
    match plan.product.kind {
        ProductKind::Conv => 1,
        _ => linear_rows(batch_size),
    }
}

/// Lengths of one item.
#[derive(Debug, Clone, Copy)]
struct Items {
    input: usize,
    product: usize,
    output: usize,
}

impl Items {
    fn of(images: usize, place: Place<'_>) -> Self {
        let p = &place.plan.product;
        let output = images * place.node.output.len();
        Self { input: images * p.input.len(), product: images * p.output.len(), output }
    }
}

/// Whether the backward pass asks what the epilogue recorded of each element.
fn has_trace(place: Place<'_>) -> bool {
    let is_codes = matches!(place.node.storage, Storage::Codes(_));
    is_codes || (place.product.epilogue.pool.is_some() && place.node.storage != Storage::Wide)
}
