//! A product that another machine computes: codes out, results in, and the epilogue on the host.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::requantize::Trace;
use intrain_kernels::{Integer, Isa, max_abs, requantize};
use intrain_num::Round;

use super::epilogue::{Epilogue, Item};
use super::errors::mask;
use super::{Before, Gradients, Place, Workspace, has_trace};
use crate::key::{Mode, StepKey};
use crate::layers::groups;
use crate::machine::MachineProduct;
use crate::parameters::{Gradient, Parameters};
use crate::plan::{Arithmetic, BlockPlan, Storage};
use crate::tensor::{Activation, Code, Element, Error, Tensor, for_integers, integer, with_codes};
use crate::weights;
use crate::width::Int16;

/// A layer's product on a machine, and what goes to it.
pub(crate) struct OnMachine {
    product: Box<dyn MachineProduct>,
    weights: Vec<i32>,
    /// Those of a grouped convolution, with zeros between the groups.
    spread: Vec<i32>,
    /// The step of the last forward pass.
    key: Option<StepKey>,
}

impl OnMachine {
    pub(super) fn new(product: Box<dyn MachineProduct>) -> Self {
        Self { product, weights: vec![], spread: vec![], key: None }
    }

    pub(super) fn load(&mut self, isa: Isa, plan: &BlockPlan, parameters: &Parameters, mode: Mode) {
        weights::read::<Int16>(isa, plan, &parameters.weight, mode, &mut self.weights);
        let weights = if plan.product.groups == 1 {
            &self.weights
        } else {
            groups::spread(&plan.product, &self.weights, &mut self.spread);
            &self.spread
        };
        let bias = parameters.bias.as_ref();
        let biases: Vec<i32> =
            bias.map_or(vec![], |bias| (0..bias.len()).map(|i| i32::from_i64(bias.code(i))).collect());
        self.product.load(weights, &biases);
    }

    pub(super) fn forward(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        mode: Mode,
        space: &mut Workspace,
    ) {
        self.key = if let Mode::Training(key) = mode { Some(key) } else { None };
        let mut results = self.product.forward(&codes(&input.tensor), self.key);
        let n = input.tensor.len() / place.plan.product.input.len();
        let len = n * place.node.output.len();
        out.trace.resize(if has_trace(place) { len } else { 0 }, 0);
        out.frac_bits = place.node.operand.frac_bits;
        let at_product = place.product.epilogue.at_product;
        // What the machine has rounded is on its grid: rounding it again, to the nearest, changes nothing.
        let (mode, sum_frac_bits) = if at_product.format.is_quantized() {
            (Mode::Evaluation, at_product.format.frac_bits())
        } else {
            (mode, place.plan.sum_frac_bits)
        };
        let epilogue = Epilogue { isa: space.isa, place, sum_frac_bits, mode, words: &[] };
        let (mut pooled, trace) = (vec![], &mut out.trace[..]);
        match place.node.storage {
            Storage::Codes(_) | Storage::Wide => {
                let element = place.node.storage.element().unwrap_or(crate::plan::Element::I16);
                with_codes!(element, P => {
                    let target = P::of_mut(&mut out.tensor);
                    target.resize(len, P::default());
                    let item = Item { first_product: 0, first_output: 0, out: target, trace };
                    epilogue.run(&results, item, &mut pooled, &mut vec![]);
                });
            }
            _ => {
                if place.product.epilogue.pool.is_some() {
                    pooled.resize(len, 0);
                    epilogue.pool(&results, &mut pooled, trace);
                    results = pooled;
                }
                out.tensor = Tensor::I64(results);
                out.frac_bits = place.plan.sum_frac_bits;
            }
        }
    }

    pub(super) fn gradient(
        &mut self,
        plan: &BlockPlan,
        input: &Activation,
        error: &Error,
        gradients: &mut Gradients,
        key: StepKey,
    ) {
        let (weight, bias) = self.product.gradient(&codes(&input.tensor), &codes(&error.tensor), key);
        gradients.exponents = [error.exponent - input.frac_bits, error.exponent];
        gradients.weight_max = None;
        gradients.weight = Gradient::I64(weight);
        if plan.product.groups > 1 {
            let dense = std::mem::replace(&mut gradients.weight, Gradient::I64(vec![]));
            let _ = groups::gather(&plan.product, &dense, &mut gradients.weight);
        }
        if let Some(gradient) = &mut gradients.bias {
            *gradient = Gradient::I64(bias);
        }
    }

    pub(super) fn error_direct(
        &mut self,
        before: Before<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        let results = self.product.error(&codes(&error.tensor), key);
        match before.place.plan.arithmetic {
            Arithmetic::Int8 => direct::<i8>(before, &results, space),
            _ => direct::<i16>(before, &results, space),
        }
    }

    pub(super) fn error_wide(
        &mut self,
        place: Place<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        let results = self.product.error(&codes(&error.tensor), key);
        let max = i64::from(i16::MAX);
        let mut out: Vec<i16> = space.free.take(results.len());
        out.iter_mut().zip(&results).for_each(|(out, x)| *out = i16::from_i64((*x).clamp(-max, max)));
        let max_abs = max_abs::run(space.isa, &out);
        let exponent = -place.product.error.at_input.format.frac_bits();
        Error { tensor: i16::tensor(out), exponent, max_abs }
    }
}

/// Results that the machine has rounded, masked by what the product in front recorded.
fn direct<P: Code>(before: Before<'_>, results: &[i64], space: &mut Workspace) -> Error {
    let operand = before.place.plan.error_operand;
    let mask = mask(before.place.product.epilogue.activation);
    let mut out: Vec<P> = space.free.take(results.len());
    let args = requantize::Args {
        sums: results,
        out: &mut out,
        shift: 0,
        round: Round::NearestDown,
        min: operand.min,
        max: operand.max,
        words: None,
        first_element: 0,
        trace: Trace::Gate { trace: &before.result.trace, mask },
    };
    requantize::run(space.isa, args);
    Error { tensor: P::tensor(out), exponent: -operand.frac_bits, max_abs: 0 }
}

/// Codes as a machine takes them.
fn codes(tensor: &Tensor) -> Vec<i32> {
    for_integers!(tensor, codes => codes.iter().map(|x| i32::from_i64(integer(*x))).collect())
}
