//! One block in motion: its buffers, its items, its forward and backward passes over all threads.
//!
//! Written once over [`Carrier`]. Threads share nothing but slices that belong to different items, and integer sums
//! are order-free, so the number of threads cannot change a bit.
#![deny(clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::Isa;
use intrain_kernels::requantize::{TRACE_INSIDE, TRACE_RELU};
use intrain_num::random::{Purpose, Stream, Words};
use intrain_num::scale::round_log2;
use intrain_num::{Columns, Scale, Surrogate};
use rayon::prelude::*;

use crate::carrier::{Carrier, Cut, FinishItem, Kept, Logits};
use crate::engine::Mode;
use crate::network::StepKey;
use crate::parameters::Gradient;
use crate::plan::BlockPlan;
use crate::threads;

/// Rows of a linear layer's batch that one thread takes at a time: about 32, and as many items as threads share evenly.
#[must_use]
pub fn linear_rows(batch_size: usize) -> usize {
    const ROWS: usize = 32;
    if batch_size < ROWS {
        batch_size
    } else {
        batch_size.div_ceil(batch_size.div_ceil(ROWS).next_multiple_of(4))
    }
}

/// Lengths of one item of a block.
#[derive(Debug, Clone, Copy)]
struct Items {
    input: usize,
    product: usize,
    output: usize,
}

impl Items {
    fn of<C: Carrier>(plan: &BlockPlan, batch_size: usize) -> Self {
        let images = C::images_at_a_time(plan, batch_size);
        Self {
            input: images * plan.product.input.len(),
            product: images * plan.product.output.len(),
            output: images * plan.output.len(),
        }
    }
}

/// A block's plan, weights and buffers.
pub(crate) struct Block<C: Carrier> {
    pub(crate) plan: BlockPlan,
    pub(crate) product: C::Product,
    items: Items,
    /// Output payloads `[batch, output]`; empty for exact logits.
    pub(crate) payload: Vec<C::Payload>,
    /// Exact logits `[batch, classes]`; else empty.
    pub(crate) sums: Vec<C::Sum>,
    /// What the way back needs to know of each output element: pooling's choice, ReLU's and the clip's mask.
    pub(crate) trace: Vec<u8>,
    pub(crate) gradient: Gradient,
    /// Its largest magnitude, where the recipe divides by it.
    pub(crate) gradient_max: Option<u64>,
    pub(crate) bias_gradient: Option<Gradient>,
    /// Random words of the product's results, where an array's registers give them; else empty.
    words: Vec<u32>,
    /// Sums of a whole batch, where its largest decides how they are rounded.
    kept: Vec<C::Sum>,
    /// Binary digits behind the point of the last output.
    pub(crate) digits: i32,
    /// Whether a sum of errors was once too large for the narrow type.
    is_wide: bool,
}

impl<C: Carrier> Block<C> {
    pub(crate) fn new(plan: BlockPlan, gradient: Gradient, batch_size: usize) -> Self {
        let items = Items::of::<C>(&plan, batch_size);
        let product = C::product(&plan, batch_size);
        let bias_gradient = plan.product.bias.then(|| match gradient {
            Gradient::F32(_) => Gradient::F32(vec![]),
            Gradient::I32(_) | Gradient::I64(_) => Gradient::I64(vec![]),
        });
        Self {
            plan,
            product,
            items,
            payload: vec![],
            sums: vec![],
            trace: vec![],
            gradient,
            gradient_max: None,
            bias_gradient,
            words: vec![],
            kept: vec![],
            digits: 0,
            is_wide: false,
        }
    }

    /// Its output, where it is the last block.
    pub(crate) fn logits(&self) -> Logits<'_, C> {
        (&self.payload, &self.sums)
    }

    /// `n` images from `input` payloads, with so many binary digits, to this block's output.
    pub(crate) fn forward(
        &mut self,
        isa: Isa,
        (input, digits): (&[C::Payload], i32),
        n: usize,
        mode: Mode,
        scratches: &mut [C::Scratch],
    ) {
        let Items { input: item_in, product: item_product, output: item_out } = self.items;
        let len = n * self.plan.output.len();
        let (payload_len, sums_len) = if self.plan.has_exact_output() { (0, len) } else { (len, 0) };
        self.payload.resize(payload_len, C::Payload::default());
        self.sums.resize(sums_len, C::Sum::default());
        self.trace.resize(len, 0);
        C::prepare_forward(isa, &self.plan, &mut self.product, input);
        self.digits = self.plan.output_operand.frac_bits;
        if self.plan.activation_at_product.scale == Scale::Dynamic
            || digits != self.plan.input_operand.frac_bits
        {
            self.forward_by_largest(isa, (input, digits), mode, scratches);
            return;
        }
        if let (Mode::Training(key), Some(columns)) = (mode, self.plan.columns)
            && self.plan.activation_at_product.round.is_stochastic()
        {
            let stream = Stream::new(key.seed, Purpose::Activation, self.plan.index, key.step);
            list(
                columns,
                stream,
                n * self.plan.product.output.len(),
                self.plan.product.output.c,
                &mut self.words,
            );
        }
        let (plan, product, words) = (&self.plan, &self.product, &self.words[..]);
        let payloads = Chunks::new(&mut self.payload, item_out);
        let sums = Chunks::new(&mut self.sums, item_out);
        let outputs = payloads.zip(sums).zip(self.trace.chunks_mut(item_out));
        let items = input.chunks(item_in).zip(outputs).enumerate();
        threads::for_each(scratches, items, |scratch, (i, (input, ((payload, sums), trace)))| {
            C::forward(isa, plan, product, input, scratch);
            let (first_product, first_output) = ((i * item_product) as u64, (i * item_out) as u64);
            let item = FinishItem { first_product, first_output, payload, sums, trace, words };
            C::finish(isa, plan, item, scratch, mode);
        });
    }

    /// The same in two passes, where the largest sum of the batch decides how all are rounded (`activation.product @dynamic`),
    /// or where what enters was rounded so.
    fn forward_by_largest(
        &mut self,
        isa: Isa,
        (input, digits): (&[C::Payload], i32),
        mode: Mode,
        scratches: &mut [C::Scratch],
    ) {
        let Items { input: item_in, product: item_product, output: item_out } = self.items;
        let len = input.len() / self.plan.product.input.len() * self.plan.product.output.len();
        self.kept.resize(len, C::Sum::default());
        let (mut plan, product) = (self.plan.clone(), &self.product);
        let largest = AtomicU64::new(0);
        let items = input.chunks(item_in).zip(self.kept.chunks_mut(item_product));
        threads::for_each(scratches, items, |scratch, (input, kept)| {
            C::forward(isa, &plan, product, input, scratch);
            largest.fetch_max(C::keep(isa, scratch, kept), Ordering::Relaxed);
        });
        let sum_digits = digits + plan.weight.operand.frac_bits + plan.weight.alpha_log2;
        self.digits = if plan.has_exact_output() { sum_digits } else { self.digits };
        plan.sum_frac_bits = sum_digits;
        let row = plan.activation_at_product;
        if row.scale == Scale::Dynamic {
            let n = round_log2(largest.into_inner()).unwrap_or(0);
            // The sums count as numbers of n digits: the largest is about 1.
            plan.sum_frac_bits = n;
            self.digits = row.format.frac_bits() + sum_digits - n;
        }
        let payloads = Chunks::new(&mut self.payload, item_out);
        let sums = Chunks::new(&mut self.sums, item_out);
        let outputs = payloads.zip(sums).zip(self.trace.chunks_mut(item_out));
        let items = self.kept.chunks(item_product).zip(outputs).enumerate();
        threads::for_each(scratches, items, |scratch, (i, (kept, ((payload, sums), trace)))| {
            C::bring(kept, scratch);
            let (first_product, first_output) = ((i * item_product) as u64, (i * item_out) as u64);
            let item = FinishItem { first_product, first_output, payload, sums, trace, words: &[] };
            C::finish(isa, &plan, item, scratch, mode);
        });
    }

    /// Errors at the block's output become errors at its product, where a pooling lies between.
    pub(crate) fn unpool(&self, isa: Isa, error: &[C::Payload], out: &mut Vec<C::Payload>) {
        let (item_out, item_product) = (self.plan.output.len(), self.plan.product.output.len());
        out.resize(error.len() / item_out * item_product, C::Payload::default());
        out.par_chunks_mut(item_product)
            .zip(error.par_chunks(item_out))
            .zip(self.trace.par_chunks(item_out))
            .for_each(|((out, error), trace)| C::unpool(isa, &self.plan, error, trace, out));
    }

    /// The gradients from the activations that entered and the errors at the product.
    pub(crate) fn learn(
        &mut self,
        isa: Isa,
        input: &[C::Payload],
        error: &[C::Payload],
        scratches: &mut [C::Scratch],
    ) {
        let (plan, product) = (&self.plan, &mut self.product);
        self.gradient_max = C::gradient(isa, plan, product, (input, error), &mut self.gradient, scratches);
        if let Some(out) = &mut self.bias_gradient {
            C::bias_gradient(plan, error, out, scratches);
        }
    }

    /// From the errors at this product to the errors at the output of `previous`: mask of the surrogate, cut, ReLU.
    pub(crate) fn error(
        &mut self,
        isa: Isa,
        error: &[C::Payload],
        previous: &Self,
        key: StepKey,
        buffers: &mut Buffers<C>,
    ) {
        let Items { input: item_in, product: item_product, .. } = self.items;
        C::prepare_error(isa, &self.plan, &mut self.product, error);
        let Buffers { error: out, narrow, wide, words, scratches } = buffers;
        out.resize(previous.trace.len(), C::Payload::default());
        let mut cut = self.cut_behind(&previous.plan, key, out.len(), words);
        if cut.quantizer.scale == Scale::Shift {
            let tensor = (error, &previous.trace[..]);
            // Room that nobody has written to costs nothing, and the step that needs it need not ask for it.
            wide.reserve_exact(out.len().saturating_sub(wide.len()));
            self.is_wide =
                self.is_wide || !self.cut_by_largest(isa, &mut cut, tensor, narrow, scratches, out);
            if self.is_wide {
                let fits = self.cut_by_largest(isa, &mut cut, tensor, wide, scratches, out);
                debug_assert!(fits, "a sum fits the type of sums");
            }
            return;
        }
        let ends = out.chunks_mut(item_in).zip(previous.trace.chunks(item_in));
        let items = error.chunks(item_product).zip(ends).enumerate();
        threads::for_each(scratches, items, |scratch, (i, (error, (out, trace)))| {
            C::error(isa, &self.plan, &self.product, error, scratch);
            C::Sum::cut(isa, &cut, C::sums(scratch), trace, (i * item_in) as u64, out);
        });
    }

    /// How error sums are cut to the errors at the output of the block `before`; a shift by size is still to come.
    fn cut_behind<'a>(
        &self,
        before: &BlockPlan,
        key: StepKey,
        len: usize,
        words: &'a mut Vec<u32>,
    ) -> Cut<'a> {
        let inside = match before.activation.surrogate {
            Surrogate::Clipped => TRACE_INSIDE,
            // A logarithm's tail belongs to activations between floats.
            Surrogate::StraightThrough | Surrogate::LogTailed => 0,
        };
        let at_activation = before.error_at_activation;
        let (quantizer, purpose, layer) = if at_activation.format.is_quantized() {
            (at_activation, Purpose::ErrorAtActivation, before.index)
        } else {
            (self.plan.error_at_product, Purpose::ErrorAtProduct, self.plan.index)
        };
        let stream = Stream::new(key.seed, purpose, layer, key.step);
        let frac_bits = self.plan.error_operand.frac_bits + self.plan.weight.operand.frac_bits;
        let shift = frac_bits - quantizer.format.frac_bits();
        let words = match self.plan.columns {
            Some(columns) if purpose == Purpose::ErrorAtProduct && quantizer.round.is_stochastic() => {
                list(columns, stream, len, self.plan.product.input.c, words);
                Words::Listed(words)
            }
            _ => Words::Stream(stream),
        };
        Cut { quantizer, shift, mask: inside | TRACE_RELU, words }
    }

    /// Two passes, as the largest magnitude of the whole tensor must be known before the first element is cut: the
    /// product leaves its sums in `kept`, then they are cut. False, and nothing cut, where a sum did not fit there.
    fn cut_by_largest<K: Kept<C>>(
        &self,
        isa: Isa,
        cut: &mut Cut<'_>,
        (error, trace): (&[C::Payload], &[u8]),
        kept: &mut Vec<K>,
        scratches: &mut [C::Scratch],
        out: &mut [C::Payload],
    ) -> bool {
        let Items { input: item_in, product: item_product, .. } = self.items;
        // The largest is that of the sums before ReLU's mask.
        let inside = cut.mask & !TRACE_RELU;
        kept.resize(trace.len(), K::default());
        let largest = AtomicU64::new(0);
        let ends = kept.chunks_mut(item_in).zip(trace.chunks(item_in));
        threads::for_each(
            scratches,
            error.chunks(item_product).zip(ends),
            |scratch, (error, (kept, trace))| {
                C::error(isa, &self.plan, &self.product, error, scratch);
                let of_item = K::keep(isa, C::sums(scratch), trace, inside, kept);
                largest.fetch_max(of_item, Ordering::Relaxed);
            },
        );
        let largest = largest.into_inner();
        if largest > K::MAX {
            return false;
        }
        let quantizer = &cut.quantizer;
        cut.shift = round_log2(largest).unwrap_or(0) - quantizer.format.frac_bits();
        out.par_chunks_mut(CUT_CHUNK)
            .zip(kept.par_chunks(CUT_CHUNK))
            .zip(trace.par_chunks(CUT_CHUNK))
            .enumerate()
            .for_each(|(i, ((out, kept), trace))| {
                K::cut(isa, cut, kept, trace, (i * CUT_CHUNK) as u64, out);
            });
        true
    }
}

/// The random words of `len` results of an array, of `columns` numbers in a row.
fn list(array: Columns, stream: Stream, len: usize, columns: usize, words: &mut Vec<u32>) {
    words.resize(len, 0);
    array.words(stream, [len / columns, columns], words);
}

/// Elements of an error tensor that one thread cuts at a time.
const CUT_CHUNK: usize = 1 << 16;

/// Buffers that all blocks share, one after the other.
pub(crate) struct Buffers<C: Carrier> {
    /// Errors at the output of the block before.
    pub(crate) error: Vec<C::Payload>,
    /// Their sums, where they must be seen twice.
    pub(crate) narrow: Vec<C::Narrow>,
    /// The same, where half the bits were too few.
    pub(crate) wide: Vec<C::Sum>,
    /// Their random words, where an array's registers give them.
    pub(crate) words: Vec<u32>,
    /// One for each thread.
    pub(crate) scratches: Vec<C::Scratch>,
}

/// Mutable chunks of a slice, or empty slices for ever where the slice is empty.
struct Chunks<'a, T> {
    rest: std::slice::ChunksMut<'a, T>,
    is_empty: bool,
}

impl<'a, T> Chunks<'a, T> {
    fn new(slice: &'a mut [T], len: usize) -> Self {
        Self { is_empty: slice.is_empty(), rest: slice.chunks_mut(len) }
    }
}

impl<'a, T> Iterator for Chunks<'a, T> {
    type Item = &'a mut [T];

    fn next(&mut self) -> Option<&'a mut [T]> {
        if self.is_empty { Some(&mut []) } else { self.rest.next() }
    }
}

/// Every bit of a trace that lets an error through.
pub(crate) const TRACE_OPEN: u8 = TRACE_RELU | TRACE_INSIDE;
