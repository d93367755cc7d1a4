//! Each node back: from the error behind it to those in front of it; a block's gradients on the way.

use std::sync::Arc;

use intrain_kernels::Integer;
use intrain_kernels::requantize::TRACE_INSIDE;
use intrain_model::LayerKind;
use intrain_num::{Quantizer, Surrogate};

use super::Executor;
use crate::block::{Block, Part};
use crate::key::StepKey;
use crate::loss::{error_floats, error_integers};
use crate::ops::activation::{self, Terms};
use crate::ops::norm::{Norm, learned};
use crate::ops::pool::{self, Windows};
use crate::ops::product::{Before, Place, mask};
use crate::ops::route;
use crate::plan::{Arithmetic, ErrorRule, Node, Op, Operand, Pool, Storage, Term};
use crate::requantize::{self, ErrorQuantizer};
use crate::stats::Measure;
use crate::stats::TensorStats;
use crate::tensor::{Code, Element, Error, Pooled, Tensor, for_integers, integer};
use crate::width::largest;

impl Executor {
    /// The error at the logits: the recipe's row `error.loss`.
    pub(super) fn start(&mut self, labels: &[u16], key: StepKey) {
        let last = self.plan.nodes.len() - 1;
        let error = if self.plan.is_float() {
            self.float_error(labels)
        } else {
            let (block, _) = self.product_behind(last);
            match self.blocks[block].plan.arithmetic {
                Arithmetic::Int8 => self.code_error::<i8>(block, labels, key),
                _ => self.code_error::<i16>(block, labels, key),
            }
        };
        // The last node of a float network may be no product.
        match &self.plan.nodes[last].op {
            Op::Product(_) => self.codes[last] = Some(error),
            _ => self.wide[last] = Some(error),
        }
    }

    fn float_error(&mut self, labels: &[u16]) -> Error {
        let mut out: Vec<f32> = self.space.free.take(0);
        let (logits, loss) = self.logits();
        let logits = f32::of(logits);
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        out.extend(error_floats(&loss, |i| logits[i].into(), labels).map(|e| e as f32));
        Error { tensor: Tensor::F32(out), exponent: 0, max_abs: 0 }
    }

    fn code_error<P: Code>(&mut self, block: usize, labels: &[u16], key: StepKey) -> Error {
        let mut out: Vec<P> = self.space.free.take(0);
        let mut reals = std::mem::take(&mut self.loss_errors);
        let (logits, loss) = self.logits();
        let put = |error| out.push(P::from_i64(error));
        let layer = self.blocks[block].plan.index;
        let exponent = error_integers(&loss, |i| logits.integer(i), labels, layer, key, &mut reals, put);
        self.loss_errors = reals;
        let last = self.plan.nodes.len() - 1;
        if let Op::Product(product) = &self.plan.nodes[last].op
            && product.epilogue.activation.surrogate == Surrogate::Clipped
        {
            // The clip of the quantized logits lies behind the error's quantizer, as in WAGE's code.
            let outside = |(_, trace): &(&mut P, &u8)| *trace & TRACE_INSIDE == 0;
            let trace = &self.results[last].trace;
            out.iter_mut().zip(trace).filter(outside).for_each(|(e, _)| *e = P::default());
        }
        let max_abs = largest(self.space.isa, &out);
        Error { tensor: P::tensor(out), exponent, max_abs }
    }

    /// The errors in front of node `i` from the error behind it; a block's gradients on the way.
    pub(super) fn run_back(&mut self, i: usize, key: StepKey) {
        self.measure_result(i);
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[i];
        match &node.op {
            Op::Product(_) => self.product_back(i, key),
            Op::MaxPool(pool) if self.codes[i].is_some() => {
                let (pool, source) = (*pool, node.sources[0]);
                let Some(error) = self.codes[i].take() else { return };
                let operand = self.blocks[self.product_behind(i).0].plan.error_operand;
                let error = self.unpool(i, pool, error, operand);
                self.codes[source] = Some(error);
            }
            Op::Image => {}
            _ if node.storage == Storage::Fused => {}
            _ => {
                let Some(error) = self.wide[i].take() else { return };
                if plan.is_float() {
                    self.float_back(i, node, error);
                } else {
                    self.wide_back(i, node, error, key);
                }
            }
        }
    }

    /// One of the errors behind a node: they add up. The image has none.
    fn accumulate_error(&mut self, node: usize, error: Error) {
        if node == 0 {
            self.space.free.put(error.tensor);
            return;
        }
        let sum = match (self.wide[node].take(), error) {
            (None, error) => error,
            (Some(mut sum), Error { tensor: Tensor::F32(x), .. }) => {
                route::add_float_errors(f32::of_mut(&mut sum.tensor), &x);
                self.space.free.put(Tensor::F32(x));
                sum
            }
            (Some(other), error) => {
                let space = &mut self.space;
                requantize::add(space.isa, other, error, &mut space.scratches, &mut space.free)
            }
        };
        self.wide[node] = Some(sum);
    }

    /// The same where the error is needed elsewhere too.
    fn accumulate_copy<T: Pooled>(&mut self, node: usize, error: &Error) {
        if node == 0 {
            return;
        }
        let from = T::of(&error.tensor);
        let mut copy: Vec<T> = self.space.free.take(from.len());
        route::copy(from, &mut copy);
        self.accumulate_error(node, Error { tensor: T::tensor(copy), ..*error });
    }

    fn product_back(&mut self, i: usize, key: StepKey) {
        let error = match (self.codes[i].take(), self.wide[i].take()) {
            (Some(error), _) => error,
            (None, Some(error)) => self.masked_codes(i, error, key),
            (None, None) => return,
        };
        let node = &self.plan.nodes[i];
        let Op::Product(product) = &node.op else { return };
        let (product, source) = (*product, node.sources[0]);
        let operand = self.blocks[product.block].plan.error_operand;
        let error = match product.epilogue.pool {
            Some(pool) => self.unpool(i, pool, error, operand),
            None => error,
        };
        self.measure_error(i, &error);
        self.measure_operands(i, &error, key);
        let node = &self.plan.nodes[i];
        let (block, before) = match self.plan.nodes[source].op {
            // A product's block lies behind that of the product in front.
            Op::Product(before) if product.error.rule == ErrorRule::Direct => {
                let (front, rest) = self.blocks.split_at_mut(product.block);
                let node = &self.plan.nodes[source];
                (&mut rest[0], Some((&front[before.block].plan, before, node)))
            }
            _ => (&mut self.blocks[product.block], None),
        };
        let (plan, weights, gradients) = block.product_mut();
        weights.gradient(plan, &self.results[source], &error, key, gradients, &mut self.space);
        let place = Place { plan, product: &product, node };
        match before {
            Some((plan, before, node)) => {
                let place_before = Place { plan, product: &before, node };
                let before = Before { place: place_before, result: &self.results[source] };
                let in_front = weights.error_direct(place, before, &error, key, &mut self.space);
                self.codes[source] = Some(in_front);
            }
            None if product.error.rule == ErrorRule::Wide => {
                let in_front = weights.error_wide(place, &error, key, &mut self.space);
                self.accumulate_error(source, in_front);
            }
            None => {}
        }
        self.space.free.put(error.tensor);
    }

    /// A wide error behind a product and its epilogue, masked by what that recorded, as the product reads it.
    fn masked_codes(&mut self, i: usize, mut error: Error, key: StepKey) -> Error {
        let Op::Product(product) = self.plan.nodes[i].op else { return error };
        let result = &self.results[i];
        let isa = self.space.isa;
        if let Tensor::F32(error) = &mut error.tensor {
            if product.epilogue.relu {
                let relu = (LayerKind::Relu, &Quantizer::FLOAT);
                activation::floats_back(isa, relu, f32::of(&result.tensor), error);
            }
            return Error { tensor: Tensor::F32(std::mem::take(error)), exponent: 0, max_abs: 0 };
        }
        activation::gate(isa, &result.trace, mask(product.epilogue.activation), &mut error);
        self.quantize_error(product.block, product.error.at_output, error, key)
    }

    /// A wide error rounded to the codes of a product, or as it is where no row rounds it.
    fn quantize_error(&mut self, block: usize, row: Quantizer, error: Error, key: StepKey) -> Error {
        if !row.format.is_quantized() {
            return error;
        }
        let plan = &self.blocks[block].plan;
        let quantizer = ErrorQuantizer::new(row, plan.index, error.max_abs, error.exponent, key);
        let (isa, wide) = (self.space.isa, i16::of(&error.tensor));
        let codes = match plan.arithmetic {
            Arithmetic::Int8 => quantizer.run_all::<i8>(isa, wide, &mut self.space.free),
            _ => quantizer.run_all::<i16>(isa, wide, &mut self.space.free),
        };
        self.space.free.put(error.tensor);
        codes
    }

    /// The error behind a maximum becomes that in front of it.
    fn unpool(&mut self, i: usize, pool: Pool, error: Error, operand: Operand) -> Error {
        let node = &self.plan.nodes[i];
        let from = match &node.op {
            Op::Product(product) => self.blocks[product.block].plan.product.output,
            _ => node.input,
        };
        let (isa, index) = (self.space.isa, &self.results[i].trace);
        let len = error.tensor.len() / node.output.len() * from.len();
        let tensor = match &error.tensor {
            Tensor::I8(codes) => {
                let mut out = self.space.free.take(len);
                let limits = (i8::from_i64(operand.min), i8::from_i64(operand.max));
                pool::max_back(isa, (from, pool), (codes, index), &mut out, limits);
                Tensor::I8(out)
            }
            Tensor::F32(errors) => {
                let mut out = self.space.free.take(len);
                let limits = (f32::NEG_INFINITY, f32::INFINITY);
                pool::max_back(isa, (from, pool), (errors, index), &mut out, limits);
                Tensor::F32(out)
            }
            tensor => {
                let mut out = self.space.free.take(len);
                let limits = (i16::from_i64(operand.min), i16::from_i64(operand.max));
                pool::max_back(isa, (from, pool), (i16::of(tensor), index), &mut out, limits);
                Tensor::I16(out)
            }
        };
        self.space.free.put(error.tensor);
        let max_abs = match (&tensor, &node.op) {
            (Tensor::F32(_), _) => 0,
            // Nothing asks for it where sums are rounded at once.
            (_, Op::Product(product)) if product.error.rule != ErrorRule::Wide => 0,
            (tensor, _) => for_integers!(tensor, x => largest(isa, x)),
        };
        Error { tensor, exponent: error.exponent, max_abs }
    }
}

impl Executor {
    /// The wide error behind a node of integers that is no product.
    fn wide_back(&mut self, i: usize, node: &Node, mut error: Error, key: StepKey) {
        let source = node.sources.first().copied().unwrap_or(0);
        match &node.op {
            Op::Activation(activation) => {
                let terms = Terms { activation, results: &self.results, blocks: &self.blocks };
                let trace = &self.results[i].trace;
                activation::mask_error(terms, node.output.c, trace, &mut error, &mut self.space);
                self.terms_back(&activation.terms, error, key);
            }
            Op::Concat => {
                self.concat_back::<i16>(i, &error);
                self.space.free.put(error.tensor);
            }
            _ if source == 0 => self.space.free.put(error.tensor),
            Op::MaxPool(pool) => {
                let operand = Operand { frac_bits: 0, min: -i64::from(i16::MAX), max: i64::from(i16::MAX) };
                let in_front = self.unpool(i, *pool, error, operand);
                self.accumulate_error(source, in_front);
            }
            _ => {
                let mut out: Vec<i16> = self.space.free.take(self.n_images() * node.input.len());
                let wide = i16::of(&error.tensor);
                let exponent = match &node.op {
                    Op::MeanPool(pool) => pool::mean_back(node, Windows::of(*pool), wide, &mut out),
                    Op::GlobalMean => pool::mean_back(node, Windows::whole(node), wide, &mut out),
                    Op::Shortcut { stride } => {
                        route::shortcut_back(node, *stride, wide, &mut out);
                        0
                    }
                    _ => unreachable!("its errors pass by themselves"),
                };
                let (max_abs, exponent) = (largest(self.space.isa, &out), error.exponent + exponent);
                self.space.free.put(error.tensor);
                self.accumulate_error(source, Error { tensor: Tensor::I16(out), exponent, max_abs });
            }
        }
    }

    /// A masked error goes to each term of an activation: through a norm, rounded for a product, or as it is.
    fn terms_back(&mut self, terms: &[Term], error: Error, key: StepKey) {
        let mut as_it_is = [None; 2];
        for (pair, term) in terms.iter().enumerate() {
            if self.plan.nodes[term.source].storage != Storage::Wide {
                as_it_is[pair] = Some(term.source);
                continue;
            }
            let (block, product) = self.product_behind(term.source);
            let row = product.error.at_output;
            let codes = match term.norm {
                Some(norm) => self.norm_back((norm, pair), (block, row), term.source, &error, key),
                None => {
                    let copy = self.copy_of(&error);
                    self.quantize_error(block, row, copy, key)
                }
            };
            self.codes[term.source] = Some(codes);
        }
        // The last of those that the error reaches as it is gets its buffer.
        let mut sources = as_it_is.into_iter().flatten().peekable();
        while let Some(source) = sources.next() {
            if sources.peek().is_none() {
                return self.accumulate_error(source, error);
            }
            self.accumulate_copy::<i16>(source, &error);
        }
        self.space.free.put(error.tensor);
    }

    fn copy_of(&mut self, error: &Error) -> Error {
        let from = i16::of(&error.tensor);
        let mut copy: Vec<i16> = self.space.free.take(from.len());
        route::copy(from, &mut copy);
        Error { tensor: Tensor::I16(copy), ..*error }
    }

    /// The error behind a norm, by the sums of the threads' pair, becomes that of the product in front.
    fn norm_back(
        &mut self,
        (norm, pair): (usize, usize),
        (product, row): (usize, Quantizer),
        source: usize,
        error: &Error,
        key: StepKey,
    ) -> Error {
        let place = (row, self.blocks[product].plan.index);
        let is_int8 = self.blocks[product].plan.arithmetic == Arithmetic::Int8;
        let Block { plan, part, gradients } = &mut self.blocks[norm];
        let frac_bits = plan.norm.map_or(0, |norm| norm.rows.value.format.frac_bits());
        gradients.exponents = [error.exponent - frac_bits, error.exponent];
        let scratches = &self.space.scratches;
        let sums = match part {
            Part::Norm(Norm::Batch(norm)) => norm.error_sums(scratches, pair),
            Part::Norm(Norm::Layer(norm)) => norm.error_sums(scratches, pair),
            _ => unreachable!("the plan says that it is a norm of integers"),
        };
        learned::gradients_of(sums, (&mut gradients.weight, gradients.bias.as_mut()));
        let (x, space) = (&self.results[source], &mut self.space);
        match part {
            Part::Norm(Norm::Batch(norm)) if is_int8 => norm.back::<i8>(place, (x, error), space, key),
            Part::Norm(Norm::Batch(norm)) => norm.back::<i16>(place, (x, error), space, key),
            Part::Norm(Norm::Layer(norm)) if is_int8 => norm.back::<i8>(place, (x, error), space, key),
            Part::Norm(Norm::Layer(norm)) => norm.back::<i16>(place, (x, error), space, key),
            _ => unreachable!("the plan says that it is a norm of integers"),
        }
    }

    /// The error behind a node of floats that is no product.
    fn float_back(&mut self, i: usize, node: &Node, mut error: Error) {
        let isa = self.space.isa;
        let source = node.sources.first().copied().unwrap_or(0);
        match &node.op {
            Op::Norm(block) => {
                self.norm_floats_back(*block, None, source, &mut error);
                self.accumulate_error(source, error);
            }
            Op::Activation(activation) => {
                let term = activation.terms[0];
                if let Some(block) = term.norm {
                    self.norm_floats_back(block, Some(activation.row), term.source, &mut error);
                } else {
                    let entered = if activation.in_place { i } else { source };
                    let x = f32::of(&self.results[entered].tensor);
                    let which = (activation.kind, &activation.row);
                    activation::floats_back(isa, which, x, f32::of_mut(&mut error.tensor));
                }
                self.accumulate_error(term.source, error);
            }
            Op::Add => {
                let other = node.sources[1];
                self.accumulate_copy::<f32>(source, &error);
                self.accumulate_error(other, error);
            }
            Op::Concat => {
                self.concat_back::<f32>(i, &error);
                self.space.free.put(error.tensor);
            }
            _ if source == 0 => self.space.free.put(error.tensor),
            Op::MaxPool(pool) => {
                let operand = Operand { frac_bits: 0, min: 0, max: 0 };
                let in_front = self.unpool(i, *pool, error, operand);
                self.accumulate_error(source, in_front);
            }
            _ => {
                let mut out: Vec<f32> = self.space.free.take(self.n_images() * node.input.len());
                let x = f32::of(&error.tensor);
                match &node.op {
                    Op::MeanPool(pool) => pool::mean_floats_back(node, Windows::of(*pool), x, &mut out),
                    Op::GlobalMean => pool::mean_floats_back(node, Windows::whole(node), x, &mut out),
                    Op::Shortcut { stride } => route::shortcut_back(node, *stride, x, &mut out),
                    _ => unreachable!("its errors pass by themselves"),
                }
                self.space.free.put(error.tensor);
                self.accumulate_error(source, Error { tensor: Tensor::F32(out), exponent: 0, max_abs: 0 });
            }
        }
    }

    /// The error behind a norm of floats, or behind the activation that it computes along, becomes that in front of it.
    fn norm_floats_back(
        &mut self,
        block: usize,
        activation: Option<Quantizer>,
        source: usize,
        error: &mut Error,
    ) {
        let Block { plan, part, gradients } = &mut self.blocks[block];
        let tensors = (f32::of(&self.results[source].tensor), &mut f32::of_mut(&mut error.tensor)[..]);
        let gradients = (&mut gradients.weight, gradients.bias.as_mut());
        match part {
            Part::Norm(Norm::BatchFloats(norm)) => {
                let scratches = &mut self.space.scratches;
                norm.back(self.space.isa, (plan, activation), tensors, gradients, scratches);
            }
            Part::Norm(Norm::LayerFloats(norm)) => norm.back(plan, tensors, gradients),
            _ => unreachable!("the plan says that it is a norm of floats"),
        }
    }

    /// Each source of a concatenation gets the error of its channels.
    fn concat_back<T: Pooled>(&mut self, i: usize, error: &Error) {
        let (n, whole) = (self.n_images(), self.plan.nodes[i].output.c);
        let mut first = 0;
        for k in 0..self.plan.nodes[i].sources.len() {
            let source = self.plan.nodes[i].sources[k];
            let shape = self.plan.nodes[source].output;
            let mut out: Vec<T> = self.space.free.take(n * shape.len());
            route::take_channels(T::of(&error.tensor), first..first + shape.c, whole, &mut out);
            self.accumulate_error(source, Error { tensor: T::tensor(out), ..*error });
            first += shape.c;
        }
    }

    /// Measures what a node leaves, where diagnostics ask for it.
    fn measure_result(&mut self, i: usize) {
        let node = &self.plan.nodes[i];
        let Some(layer) = node.reported_as.as_ref().filter(|_| self.collects_stats) else { return };
        if matches!(node.storage, Storage::Accumulators(_) | Storage::Wide) {
            return;
        }
        let row = match &node.op {
            Op::Activation(activation) => activation.row,
            _ => Quantizer::FLOAT,
        };
        let measure = match (&self.results[i].tensor, &node.op) {
            (Tensor::F32(x), _) => Measure::of_floats(x, &row),
            (tensor, Op::Product(product)) => of_codes(tensor, node.operand, product.epilogue.row()),
            (tensor, _) => of_codes(tensor, node.operand, row),
        };
        self.stats.push(TensorStats { layer: layer.clone(), role: "activation", measure });
    }

    /// Measures the error at a product, and what it left in 16 bits.
    fn measure_error(&mut self, i: usize, error: &Error) {
        if !self.collects_stats {
            return;
        }
        let node = &self.plan.nodes[i];
        let Op::Product(product) = &node.op else { return };
        let stats = |role, measure| TensorStats { layer: node.name.clone(), role, measure };
        if node.storage == Storage::Wide {
            self.stats.push(stats(
                "product",
                of_codes(&self.results[i].tensor, node.operand, product.epilogue.row()),
            ));
        }
        let measure = match &error.tensor {
            Tensor::F32(x) => Measure::of_floats(x, &Quantizer::FLOAT),
            tensor => {
                let operand = self.blocks[product.block].plan.error_operand;
                of_codes(tensor, operand, product.error.at_output)
            }
        };
        self.stats.push(stats("error", measure));
    }
}

fn of_codes(tensor: &Tensor, operand: Operand, row: Quantizer) -> Measure {
    for_integers!(tensor, x => Measure::of_operand(x.iter().map(|x| integer(*x)), operand, row))
}
