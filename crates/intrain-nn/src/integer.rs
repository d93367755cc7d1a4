//! The integer carriers, written once over the operands' widths, which are in `width.rs`.
//!
//! No float operation is in this file, nor in `layers/conv.rs`.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::requantize::{self, Relu, TRACE_INDEX, TRACE_INSIDE, TRACE_RELU, Trace};
use intrain_kernels::{Integer, Isa, max_abs};
use intrain_num::random::{Purpose, Stream, Words};
use intrain_num::{Overflow, Quantizer, Round};
use rayon::prelude::*;

use crate::carrier::{Carrier, Cut, FinishItem, Kept, Logits};
use crate::engine::Mode;
use crate::layers::conv::{Product, Scratch};
use crate::layers::image;
use crate::loss;
use crate::network::StepKey;
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::{BlockPlan, InputPlan, LossPlan, Operand};
use crate::threads;
use crate::watch::Measure;
use crate::width::Width;

impl<W: Width> Carrier for W {
    type Payload = W::Payload;
    type Sum = W::Sum;
    type Narrow = W::Narrow;
    type Product = Product<W>;
    type Scratch = Scratch<W>;

    fn product(plan: &BlockPlan, batch_size: usize) -> Product<W> {
        Product::new(plan, batch_size)
    }

    fn load(isa: Isa, plan: &BlockPlan, product: &mut Product<W>, parameters: &Parameters, mode: Mode) {
        read_weights::<W>(isa, plan, &parameters.weight, mode, &mut product.weights);
        // A bias is stored on the weights' grid and added to the exact sum.
        let finer =
            plan.input_operand.frac_bits + plan.weight.operand.frac_bits - plan.weight.master_frac_bits();
        product.bias.clear();
        if let Some(bias) = &parameters.bias {
            product.bias.extend((0..bias.len()).map(|i| W::sum(bias.payload(i) << finer)));
        }
        product.load(isa, plan);
    }

    fn prepare_forward(isa: Isa, plan: &BlockPlan, product: &mut Product<W>, input: &[W::Payload]) {
        product.prepare_forward(isa, plan, input);
    }

    fn prepare_error(isa: Isa, plan: &BlockPlan, product: &mut Product<W>, error: &[W::Payload]) {
        product.prepare_error(isa, plan, error);
    }

    fn pixels(plan: &InputPlan) -> Vec<W::Payload> {
        plan.payloads().map(W::payload).collect()
    }

    fn forward(
        isa: Isa,
        plan: &BlockPlan,
        product: &Product<W>,
        input: &[W::Payload],
        scratch: &mut Scratch<W>,
    ) {
        product.forward(isa, plan, input, scratch);
    }

    fn keep(isa: Isa, scratch: &Scratch<W>, kept: &mut [W::Sum]) -> u64 {
        kept.copy_from_slice(&scratch.sums);
        max_abs::run(isa, kept)
    }

    fn bring(kept: &[W::Sum], scratch: &mut Scratch<W>) {
        scratch.sums.clear();
        scratch.sums.extend_from_slice(kept);
    }

    fn finish(isa: Isa, plan: &BlockPlan, item: FinishItem<'_, Self>, scratch: &mut Scratch<W>, mode: Mode) {
        let FinishItem { first_product, first_output, payload: out, sums: exact, trace, words } = item;
        let Scratch { sums, pooled, payload, .. } = scratch;
        // Only a pooling writes the trace's index, and all of it: without one it stays 0.
        if plan.activation_at_product.format.is_quantized() {
            let q = plan.activation_at_product;
            if plan.pool.is_some() {
                payload.resize(sums.len(), W::Payload::default());
                round_sums::<W>(isa, plan, (q, words), mode, (sums, first_product), payload, Trace::None);
                image::pool(isa, plan, payload, out, trace);
            } else {
                round_sums::<W>(isa, plan, (q, words), mode, (sums, first_product), out, Trace::None);
            }
            relu(plan.relu, out, trace);
            return;
        }
        let sums = if plan.pool.is_some() {
            pooled.resize(trace.len(), W::Sum::default());
            image::pool(isa, plan, sums, pooled, trace);
            pooled
        } else {
            sums
        };
        if plan.has_exact_output() {
            exact.copy_from_slice(sums);
            return;
        }
        let relu = if plan.relu { Relu::Yes } else { Relu::No };
        let trace = Trace::Write { trace, relu };
        round_sums::<W>(isa, plan, (plan.activation, &[]), mode, (sums, first_output), out, trace);
    }

    fn logit(plan: &LossPlan, logits: Logits<'_, W>, i: usize) -> f64 {
        loss::real(plan, logit::<W>(logits, i))
    }

    fn error_at_loss(
        plan: &LossPlan,
        logits: Logits<'_, W>,
        labels: &[u16],
        layer: u32,
        key: StepKey,
        out: &mut Vec<W::Payload>,
    ) {
        out.clear();
        let put = |error| out.push(W::payload(error));
        let _ = loss::error_integers(plan, |i| logit::<W>(logits, i), labels, layer, key, put);
    }

    fn unpool(isa: Isa, plan: &BlockPlan, error: &[W::Payload], trace: &[u8], out: &mut [W::Payload]) {
        let limits = (W::payload(plan.error_operand.min), W::payload(plan.error_operand.max));
        image::unpool(isa, plan, error, trace, out, limits);
    }

    fn error(
        isa: Isa,
        plan: &BlockPlan,
        product: &Product<W>,
        error: &[W::Payload],
        scratch: &mut Scratch<W>,
    ) {
        product.error(isa, plan, error, scratch);
    }

    fn sums(scratch: &Scratch<W>) -> &[W::Sum] {
        &scratch.sums
    }

    fn gradient(
        isa: Isa,
        plan: &BlockPlan,
        product: &mut Product<W>,
        operands: (&[W::Payload], &[W::Payload]),
        out: &mut Gradient,
        scratches: &mut [Scratch<W>],
    ) -> Option<u64> {
        product.gradient(isa, plan, operands, out, scratches)
    }

    fn bias_gradient(
        plan: &BlockPlan,
        error: &[W::Payload],
        out: &mut Gradient,
        scratches: &mut [Scratch<W>],
    ) {
        let Gradient::I64(sums) = out else {
            unreachable!("biases of an integer network are summed in 64 bits")
        };
        let n = plan.product.output.c;
        sums.clear();
        sums.resize(n, 0);
        for scratch in &mut *scratches {
            scratch.bias.clear();
            scratch.bias.resize(n, 0);
        }
        let items = error.chunks(plan.product.output.len());
        threads::for_each(scratches, items, |scratch, error| {
            add_rows(error, &mut scratch.bias);
        });
        for scratch in scratches {
            sums.iter_mut().zip(&scratch.bias).for_each(|(sum, part)| *sum += part);
        }
    }

    fn measure(operand: Operand, payloads: &[W::Payload]) -> Measure {
        Measure::of_operand(payloads.iter().map(|payload| (*payload).into()), operand)
    }

    fn level(scratches: &mut [Scratch<W>]) {
        Scratch::level(scratches);
    }
}

/// Adds rows as long as `sums` to it. Several rows side by side fill a vector where rows are short.
fn add_rows<P: Integer>(rows: &[P], sums: &mut [i64]) {
    const LANES: usize = 64;
    let n = sums.len();
    let wide = if n < LANES { LANES / n * n } else { n };
    let mut lanes = [0; LANES];
    let (wide_rows, rest) = rows.split_at(rows.len() / wide * wide);
    let add = |sums: &mut [i64], row: &[P]| {
        for (sum, x) in sums.iter_mut().zip(row) {
            let x: i64 = (*x).into();
            *sum += x;
        }
    };
    if n < LANES {
        let lanes = &mut lanes[..wide];
        wide_rows.chunks_exact(wide).for_each(|row| add(lanes, row));
        for lanes in lanes.chunks_exact(n) {
            sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += lane);
        }
    } else {
        wide_rows.chunks_exact(n).for_each(|row| add(sums, row));
    }
    rest.chunks_exact(n).for_each(|row| add(sums, row));
}

/// The last block's output `i`.
fn logit<W: Width>((payload, sums): Logits<'_, W>, i: usize) -> i64 {
    if sums.is_empty() { payload[i].into() } else { sums[i].into() }
}

impl<W: Width, T: Integer + Send + Sync + 'static> Kept<W> for T {
    const MAX: u64 = T::MAX.cast_unsigned();

    fn keep(isa: Isa, sums: &[W::Sum], trace: &[u8], mask: u8, kept: &mut [T]) -> u64 {
        max_abs::keep(isa, sums, trace, mask, kept)
    }

    fn cut(isa: Isa, cut: &Cut<'_>, sums: &[T], trace: &[u8], first_element: u64, out: &mut [W::Payload]) {
        let Cut { quantizer, shift, mask, words } = *cut;
        let (min, max, round) = (quantizer.format.min(), quantizer.format.max(), quantizer.round);
        let (words, trace) = (round.is_stochastic().then_some(words), Trace::Gate { trace, mask });
        requantize::run(
            isa,
            requantize::Args { sums, out, shift, round, min, max, words, first_element, trace },
        );
    }
}

/// Cuts a product's sums, the first of which is the element of that number, to the payloads of `q`; with `listed` random
/// words where there are any.
fn round_sums<W: Width>(
    isa: Isa,
    plan: &BlockPlan,
    (q, listed): (Quantizer, &[u32]),
    mode: Mode,
    (sums, first_element): (&[W::Sum], u64),
    out: &mut [W::Payload],
    trace: Trace<'_>,
) {
    let (round, stream) = rounding(q.round, Purpose::Activation, plan.index, mode);
    let words = stream.map(|stream| if listed.is_empty() { stream.into() } else { Words::Listed(listed) });
    let (shift, min, max) = (plan.sum_frac_bits - q.format.frac_bits(), q.format.min(), q.format.max());
    requantize::run(isa, requantize::Args { sums, out, shift, round, min, max, words, first_element, trace });
}

/// A rounding and its random words, as they hold in training or in evaluation.
pub(crate) fn rounding(round: Round, purpose: Purpose, layer: u32, mode: Mode) -> (Round, Option<Stream>) {
    match mode {
        Mode::Training(key) if round.is_stochastic() => {
            (round, Some(Stream::new(key.seed, purpose, layer, key.step)))
        }
        Mode::Training(_) => (round, None),
        Mode::Evaluation => (round.in_evaluation(), None),
    }
}

/// ReLU on payloads, and the trace's two top bits; a value on the grid is inside its format.
fn relu<P: Integer>(relu: bool, out: &mut [P], trace: &mut [u8]) {
    for (y, trace) in out.iter_mut().zip(trace) {
        let passes = !relu || *y > P::default();
        *trace = (*trace & TRACE_INDEX) | TRACE_INSIDE | if passes { TRACE_RELU } else { 0 };
        *y = if passes { *y } else { P::default() };
    }
}

/// Elements that one thread reads at a time.
pub(crate) const CHUNK: usize = 1 << 16;

/// The stored weights as products read them: the recipe's row `weight`.
fn read_weights<W: Width>(
    isa: Isa,
    plan: &BlockPlan,
    stored: &Stored,
    mode: Mode,
    weights: &mut Vec<W::Weight>,
) {
    let read = plan.weight.read;
    if !read.format.is_quantized() {
        W::read_exact(stored, weights);
        return;
    }
    weights.resize(stored.len(), W::Weight::default());
    let shift = plan.weight.master.format.frac_bits() - read.format.frac_bits();
    let (round, stream) = rounding(read.round, Purpose::Weight, plan.index, mode);
    let quantizer = Quantizer { round, ..read };
    if read.overflow == Overflow::Saturate {
        match stored {
            Stored::I8(v) => round_weights(isa, v, &quantizer, shift, stream, weights),
            Stored::I16(v) => round_weights(isa, v, &quantizer, shift, stream, weights),
            Stored::I32(v) => round_weights(isa, v, &quantizer, shift, stream, weights),
            Stored::F32(_) => unreachable!("an integer network has integer weights"),
        }
        return;
    }
    weights.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, weights)| {
        for (i, weight) in weights.iter_mut().enumerate() {
            let i = chunk * CHUNK + i;
            let word = stream.map_or(0, |s| s.word(i as u64));
            *weight = W::weight(quantizer.payload_of_shifted(stored.payload(i), shift, word));
        }
    });
}

/// A quantizer that saturates, over all threads.
fn round_weights<S: Integer + Sync, T: Integer + Send>(
    isa: Isa,
    stored: &[S],
    quantizer: &Quantizer,
    shift: i32,
    stream: Option<Stream>,
    weights: &mut [T],
) {
    let Quantizer { format, round, .. } = *quantizer;
    let (min, max) = (format.min(), format.max());
    stored.par_chunks(CHUNK).zip(weights.par_chunks_mut(CHUNK)).enumerate().for_each(|(i, (sums, out))| {
        let (first_element, trace) = ((i * CHUNK) as u64, Trace::None);
        let words = stream.map(Words::Stream);
        requantize::run(
            isa,
            requantize::Args { sums, out, shift, round, min, max, words, first_element, trace },
        );
    });
}
