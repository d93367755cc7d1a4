//! From a product's sums to what is stored: the rows `activation.product` and `activation`, pooling, ReLU.
//!
//! All of it works on one item while its sums are in cache.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::requantize::{self, Relu, TRACE_INDEX, TRACE_INSIDE, TRACE_RELU, Trace};
use intrain_kernels::{Integer, Isa, max_pool};
use intrain_num::Quantizer;
use intrain_num::random::{Purpose, RandomBits};

use super::Place;
use crate::key::{Mode, rounding};
use crate::layers::image;

/// How the sums of an item are rounded.
pub(super) struct Epilogue<'a> {
    pub(super) isa: Isa,
    pub(super) place: Place<'a>,
    /// Fraction bits of the sums.
    pub(super) sum_frac_bits: i32,
    pub(super) mode: Mode,
    /// Random words of the product's whole output, where they are listed; else empty.
    pub(super) words: &'a [u32],
}

/// Where an item's results go.
pub(super) struct Item<'a, P> {
    /// Number of the item's first element in the product's whole output.
    pub(super) first_product: u64,
    /// Number of the item's first element in the node's whole result.
    pub(super) first_output: u64,
    pub(super) out: &'a mut [P],
    /// Empty where nothing of it is asked for.
    pub(super) trace: &'a mut [u8],
}

impl Epilogue<'_> {
    /// Rounds `sums`; `pooled` and `rounded` are buffers.
    pub(super) fn run<S: Integer, P: Integer>(
        &self,
        sums: &[S],
        item: Item<'_, P>,
        pooled: &mut Vec<S>,
        rounded: &mut Vec<P>,
    ) {
        let Item { first_product, first_output, out, trace } = item;
        let epilogue = &self.place.product.epilogue;
        // Only a pooling writes the trace's index, and all of it: without one it stays 0.
        if epilogue.at_product.format.is_quantized() {
            let row = epilogue.at_product;
            if epilogue.pool.is_some() {
                rounded.resize(sums.len(), P::default());
                self.round(row, sums, first_product, rounded, Trace::None);
                self.pool(rounded, out, trace);
            } else {
                self.round(row, sums, first_product, out, Trace::None);
            }
            if !trace.is_empty() {
                relu(epilogue.relu, out, trace);
            }
            return;
        }
        let relu = if epilogue.relu { Relu::Yes } else { Relu::No };
        if epilogue.pool.is_some() {
            pooled.resize(trace.len(), S::default());
            self.pool(sums, pooled, trace);
            self.round(epilogue.activation, pooled, first_output, out, Trace::Write { trace, relu });
        } else {
            self.round(epilogue.activation, sums, first_output, out, Trace::Write { trace, relu });
        }
    }

    /// Max pooling, image by image.
    pub(super) fn pool<T: max_pool::Element>(&self, input: &[T], out: &mut [T], index: &mut [u8]) {
        let Some(pool) = self.place.product.epilogue.pool else { return };
        let (from, to) = (self.place.plan.product.output, self.place.node.output.len());
        let images = input.chunks_exact(from.len()).zip(out.chunks_exact_mut(to));
        for ((input, out), index) in images.zip(index.chunks_exact_mut(to)) {
            image::pool(self.isa, (from, pool), input, out, index);
        }
    }

    /// Rounds sums, the first of which is the element of that number, to the codes of `row`.
    fn round<S: Integer, P: Integer>(
        &self,
        row: Quantizer,
        sums: &[S],
        first_element: u64,
        out: &mut [P],
        trace: Trace<'_>,
    ) {
        let (round, stream) = rounding(row.round, Purpose::Activation, self.place.plan.index, self.mode);
        let words = stream
            .map(|stream| if self.words.is_empty() { stream.into() } else { RandomBits::Listed(self.words) });
        let (min, max) = (row.format.min(), row.format.max());
        let shift = self.sum_frac_bits - row.format.frac_bits();
        let args = requantize::Args { sums, out, shift, round, min, max, words, first_element, trace };
        requantize::run(self.isa, args);
    }
}

/// ReLU on codes, and the trace's two top bits; a value on the grid is inside its format.
fn relu<P: Integer>(relu: bool, out: &mut [P], trace: &mut [u8]) {
    for (y, trace) in out.iter_mut().zip(trace) {
        let passes = !relu || *y > P::default();
        *trace = (*trace & TRACE_INDEX) | TRACE_INSIDE | if passes { TRACE_RELU } else { 0 };
        *y = if passes { *y } else { P::default() };
    }
}
