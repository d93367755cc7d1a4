//! A product of floats, with pooling and ReLU behind it; the forward product may be one of codes by signs (`codes.rs`).
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads.

use intrain_kernels::{Isa, activation};
use intrain_num::Quantizer;
use intrain_num::random::Purpose;

use super::codes::CodeProduct;
use super::{Before, Gradients, Items, Place, Workspace, has_trace, images_at_a_time};
use crate::float::operand::{self, Quantize};
use crate::float::{Float, read};
use crate::key::{Mode, StepKey};
use crate::layers::conv::{Lend, Scratch};
use crate::layers::image;
use crate::layers::product::Product;
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::BlockPlan;
use crate::tensor::{Activation, Element, Error, Tensor};
use crate::threads;

/// A layer's weights for products of floats.
pub(crate) struct Floats {
    product: Product<Float>,
    codes: Option<Box<CodeProduct>>,
    magnitudes: read::Magnitudes,
    images: usize,
}

impl Floats {
    pub(super) fn new(plan: &BlockPlan, batch_size: usize) -> Self {
        Self {
            product: Product::new(plan, batch_size),
            codes: plan.codes.map(|codes| Box::new(CodeProduct::new(plan, codes, batch_size))),
            magnitudes: read::Magnitudes::default(),
            images: images_at_a_time(plan, batch_size),
        }
    }

    pub(super) fn load(&mut self, isa: Isa, plan: &BlockPlan, parameters: &Parameters, mode: Mode) {
        let product = &mut self.product;
        match (&parameters.weight, plan.weight.read.format.coded()) {
            (Stored::F32(stored), Some(coded)) => {
                let quantize = |purpose| Quantize::new(isa, coded, purpose, plan.index, mode);
                operand::weights(quantize(Purpose::Weight), &plan.product, stored, &mut product.weights);
                if coded.has_direction() {
                    let quantize = quantize(Purpose::WeightBackward);
                    operand::weights_back(quantize, &plan.product, stored, &mut product.back);
                }
            }
            (stored, _) => {
                read::weights(plan, stored, mode, &mut product.weights, &mut self.magnitudes);
            }
        }
        product.bias.clear();
        if let Some(Stored::F32(bias)) = &parameters.bias {
            product.bias.extend_from_slice(bias);
        }
        product.load(isa, plan);
        if let Some(codes) = &mut self.codes {
            codes.load(isa, plan, &product.weights);
        }
    }

    /// From what enters, as the row `activation` has it, to what the plan stores.
    pub(super) fn forward(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        mode: Mode,
        space: &mut Workspace,
    ) {
        let (plan, input) = (place.plan, f32::of(&input.tensor));
        let Some(coded) = plan.operands.activation else { return self.multiply(place, input, out, space) };
        let quantize = Quantize::new(space.isa, coded, Purpose::OperandForward, plan.index, mode);
        let channels = (plan.product.input.c, plan.product.groups);
        let entered = operand::along_channels(quantize, channels, input, &mut space.free);
        self.multiply(place, &entered, out, space);
        space.free.put(Tensor::F32(entered));
    }

    fn multiply(&mut self, place: Place<'_>, input: &[f32], out: &mut Activation, space: &mut Workspace) {
        let (plan, epilogue) = (place.plan, &place.product.epilogue);
        let Items { input: item_in, output: item_out, .. } = Items::of(self.images, place);
        let len = input.len() / plan.product.input.len() * place.node.output.len();
        out.trace.resize(if has_trace(place) { len } else { 0 }, 0);
        let target = f32::of_mut(&mut out.tensor);
        target.resize(len, 0.0);
        let Workspace { isa, scratches, .. } = space;
        let isa = *isa;
        let (pool, relu) = (epilogue.pool, epilogue.relu);
        let finish = |out: &mut [f32]| {
            if relu {
                activation::forward(isa, &Quantizer::FLOAT, out);
            }
        };
        if let Some(codes) = &mut self.codes {
            codes.forward(isa, (plan, self.images), (input, &self.product.bias), target, scratches);
            finish(target);
            return;
        }
        self.product.prepare_forward(isa, plan, input);
        let product = &self.product;
        let Some(pool) = pool else {
            let items = input.chunks(item_in).zip(target.chunks_mut(item_out));
            threads::for_each(scratches, items, |scratch, (input, out)| {
                let scratch: &mut Scratch<Float> = scratch.lend();
                product.forward_into(isa, plan, input, &mut scratch.staged, out);
                finish(out);
            });
            return;
        };
        let (from, to) = (plan.product.output, place.node.output.len());
        let outputs = target.chunks_mut(item_out).zip(out.trace.chunks_mut(item_out));
        threads::for_each(scratches, input.chunks(item_in).zip(outputs), |scratch, (input, (out, trace))| {
            let scratch: &mut Scratch<Float> = scratch.lend();
            product.forward(isa, plan, input, scratch);
            let images = scratch.sums.chunks_exact(from.len()).zip(out.chunks_exact_mut(to));
            for ((sums, out), trace) in images.zip(trace.chunks_exact_mut(to)) {
                image::pool(isa, (from, pool), sums, out, trace);
            }
            finish(out);
        });
    }

    pub(super) fn gradient(
        &mut self,
        plan: &BlockPlan,
        (input, error): (&Activation, &Error),
        key: StepKey,
        gradients: &mut Gradients,
        space: &mut Workspace,
    ) {
        let operands = (f32::of(&input.tensor), f32::of(&error.tensor));
        let (p, isa) = (&plan.product, space.isa);
        let of = |coded, purpose| Quantize::new(isa, coded, purpose, plan.index, Mode::Training(key));
        let entered = plan.operands.activation.map(|coded| of(coded, Purpose::OperandOfGradient));
        let entered = operand::along_rows(isa, (plan, p.input.c), entered, operands.0, &mut space.free);
        let errors = plan.operands.error.map(|coded| of(coded, Purpose::ErrorOfGradient));
        let errors = operand::along_rows(isa, (plan, p.output.c), errors, operands.1, &mut space.free);
        let read = (entered.as_deref().unwrap_or(operands.0), errors.as_deref().unwrap_or(operands.1));
        let scratches = &mut space.scratches;
        let _ = self.product.gradient(isa, plan, read, &mut gradients.weight, scratches);
        if let (Some(coded), Gradient::F32(sums)) = (plan.gradient.format.coded(), &mut gradients.weight) {
            let rounded =
                of(coded, Purpose::Gradient).taken(operand::apart(sums.len()), sums, &mut space.free);
            space.free.put(Tensor::F32(std::mem::replace(sums, rounded)));
        }
        [entered, errors].into_iter().flatten().for_each(|buffer| space.free.put(Tensor::F32(buffer)));
        // No product reads them: biases learn from the errors as they are.
        if let Some(Gradient::F32(sums)) = &mut gradients.bias {
            sums.clear();
            sums.resize(plan.product.output.c, 0.0);
            for row in operands.1.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(s, e)| *s += e);
            }
        }
    }

    /// The error in front of the product, masked by the ReLU of the product `before` where it is handed to it at once.
    pub(super) fn error(
        &mut self,
        place: Place<'_>,
        before: Option<Before<'_>>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        let (plan, error) = (place.plan, f32::of(&error.tensor));
        let quantized = plan.operands.error.map(|coded| {
            let mode = Mode::Training(key);
            let quantize = Quantize::new(space.isa, coded, Purpose::ErrorBackward, plan.index, mode);
            let channels = (plan.product.output.c, plan.product.groups);
            operand::along_channels(quantize, channels, error, &mut space.free)
        });
        let error = quantized.as_deref().unwrap_or(error);
        let Items { input: item_in, product: item_product, .. } = Items::of(self.images, place);
        let len = error.len() / plan.product.output.len() * plan.product.input.len();
        let mut out: Vec<f32> = space.free.take(len);
        self.product.prepare_error(space.isa, plan, error);
        let (isa, product) = (space.isa, &self.product);
        let gate = before.filter(|before| before.place.product.epilogue.relu);
        let results = gate.map_or(&[][..], |before| f32::of(&before.result.tensor));
        let items = error.chunks(item_product).zip(out.chunks_mut(item_in)).enumerate();
        threads::for_each(&mut space.scratches, items, |scratch, (i, (error, out))| {
            let scratch: &mut Scratch<Float> = scratch.lend();
            product.error_into(isa, plan, error, &mut scratch.staged, out);
            if gate.is_some() {
                // What passed is positive.
                activation::back(isa, &Quantizer::FLOAT, &results[i * item_in..][..out.len()], out);
            }
        });
        if let Some(buffer) = quantized {
            space.free.put(Tensor::F32(buffer));
        }
        Error { tensor: f32::tensor(out), exponent: 0, max_abs: 0 }
    }
}
