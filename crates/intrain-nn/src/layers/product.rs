//! A block's product in all three directions: the general one, or one of kernels for its shape.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::Isa;
use intrain_num::Scale;

use crate::layers::conv::{General, Lend, Scratch};
use crate::layers::depthwise::Depthwise;
use crate::operands::{Operands, Staged};
use crate::parameters::Gradient;
use crate::plan::BlockPlan;

/// A block's weights, and how they are multiplied.
pub(crate) struct Product<O: Operands> {
    /// As read, before any layout.
    pub(crate) weights: Vec<O::Weight>,
    /// As the error's product reads them, where that differs; else empty.
    pub(crate) back: Vec<O::Weight>,
    /// Added to each output's sum, in units of the sum's last bit; empty without biases.
    pub(crate) bias: Vec<O::Sum>,
    kernels: Kernels<O>,
}

enum Kernels<O: Operands> {
    General(Box<General<O>>),
    Depthwise(Box<Depthwise<O>>),
}

impl<O: Operands> Product<O> {
    pub(crate) fn new(plan: &BlockPlan, batch_size: usize) -> Self {
        let kernels = if plan.product.is_depthwise() {
            Kernels::Depthwise(Box::new(Depthwise::new(plan)))
        } else {
            Kernels::General(Box::new(General::new(plan, batch_size)))
        };
        Self { weights: vec![], back: vec![], bias: vec![], kernels }
    }

    /// The weights have been read anew: what was laid out holds no longer.
    pub(crate) fn load(&mut self, isa: Isa, plan: &BlockPlan) {
        match &mut self.kernels {
            Kernels::General(general) => general.load(isa, plan, [&self.weights, &self.back]),
            Kernels::Depthwise(depthwise) => {
                let back = if self.back.is_empty() { &self.weights } else { &self.back };
                depthwise.load([&self.weights, back], &self.bias);
            }
        }
    }

    /// Packs the weights for [`Product::forward`] with items of `input`.
    pub(crate) fn prepare_forward(&mut self, isa: Isa, plan: &BlockPlan, input: &[O::Code]) {
        if let Kernels::General(general) = &mut self.kernels {
            general.prepare_forward(isa, plan, &self.weights, input);
        }
    }

    /// Packs the weights for [`Product::error`] with items of `error`.
    pub(crate) fn prepare_error(&mut self, isa: Isa, plan: &BlockPlan, error: &[O::Code]) {
        if let Kernels::General(general) = &mut self.kernels {
            let back = if self.back.is_empty() { &self.weights } else { &self.back };
            general.prepare_error(isa, plan, back, error);
        }
    }

    /// `sums[pixel][out] = bias[out] + sum over window of input * weight`, into the scratch.
    pub(crate) fn forward(&self, isa: Isa, plan: &BlockPlan, input: &[O::Code], scratch: &mut Scratch<O>) {
        let Scratch { staged, sums, .. } = scratch;
        let of_input = input.len() / plan.product.input.len() * plan.product.output.len();
        sums.resize(of_input, O::Sum::default());
        self.forward_into(isa, plan, input, staged, sums);
    }

    /// The same, into `sums`; `staged` is room for the input as the product wants it.
    pub(crate) fn forward_into(
        &self,
        isa: Isa,
        plan: &BlockPlan,
        input: &[O::Code],
        staged: &mut Vec<Staged<O>>,
        sums: &mut [O::Sum],
    ) {
        match &self.kernels {
            Kernels::General(general) => general.forward(isa, plan, (input, &self.bias), staged, sums),
            Kernels::Depthwise(depthwise) => depthwise.forward(isa, input, staged, sums),
        }
    }

    /// `sums[input pixel][in] = sum over outputs that saw it of error * weight`, into the scratch.
    pub(crate) fn error(&self, isa: Isa, plan: &BlockPlan, error: &[O::Code], scratch: &mut Scratch<O>) {
        let Scratch { staged, sums, .. } = scratch;
        let of_error = error.len() / plan.product.output.len() * plan.product.input.len();
        sums.resize(of_error, O::Sum::default());
        self.error_into(isa, plan, error, staged, sums);
    }

    /// The same, into `sums`.
    pub(crate) fn error_into(
        &self,
        isa: Isa,
        plan: &BlockPlan,
        error: &[O::Code],
        staged: &mut Vec<Staged<O>>,
        sums: &mut [O::Sum],
    ) {
        match &self.kernels {
            Kernels::General(general) => general.error(isa, plan, error, staged, sums),
            Kernels::Depthwise(depthwise) => depthwise.error(isa, error, staged, sums),
        }
    }

    /// `gradient[window][in][out] = sum over images and pixels of input * error`; and its largest magnitude, where the
    /// recipe divides by it.
    pub(crate) fn gradient<S: Lend<O>>(
        &mut self,
        isa: Isa,
        plan: &BlockPlan,
        operands: (&[O::Code], &[O::Code]),
        out: &mut Gradient,
        scratches: &mut [S],
    ) -> Option<u64> {
        match &mut self.kernels {
            Kernels::General(general) => general.gradient(isa, plan, operands, out, scratches),
            Kernels::Depthwise(depthwise) => {
                let target = O::target(out, plan.product.n_weights());
                let has_shift = plan.gradient.scale == Scale::Shift;
                depthwise.gradient(isa, plan, operands, target, has_shift, scratches)
            }
        }
    }
}
