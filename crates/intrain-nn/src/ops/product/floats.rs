//! A product of floats, with pooling and ReLU behind it; the forward product may be one of codes by signs (`codes.rs`).
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads.

use intrain_kernels::{Isa, activation};
use intrain_num::Quantizer;

use super::codes::CodeProduct;
use super::{Before, Gradients, Items, Place, Workspace, has_trace, images_at_a_time};
use crate::float::{Float, read};
use crate::key::Mode;
use crate::layers::conv::{Lend, Scratch};
use crate::layers::image;
use crate::layers::product::Product;
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::BlockPlan;
use crate::tensor::{Activation, Element, Error};
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
        read::weights(plan, &parameters.weight, mode, &mut product.weights, &mut self.magnitudes);
        product.bias.clear();
        if let Some(Stored::F32(bias)) = &parameters.bias {
            product.bias.extend_from_slice(bias);
        }
        product.load(isa, plan);
        if let Some(codes) = &mut self.codes {
            codes.load(isa, plan, &product.weights);
        }
    }

    pub(super) fn forward(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        space: &mut Workspace,
    ) {
        let (plan, epilogue) = (place.plan, &place.product.epilogue);
        let input = f32::of(&input.tensor);
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
        input: &Activation,
        error: &Error,
        gradients: &mut Gradients,
        space: &mut Workspace,
    ) {
        let operands = (f32::of(&input.tensor), f32::of(&error.tensor));
        let scratches = &mut space.scratches;
        let _ = self.product.gradient(space.isa, plan, operands, &mut gradients.weight, scratches);
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
        space: &mut Workspace,
    ) -> Error {
        let (plan, error) = (place.plan, f32::of(&error.tensor));
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
        Error { tensor: f32::tensor(out), exponent: 0, max_abs: 0 }
    }
}
