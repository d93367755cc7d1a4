//! The integer carriers: 8-bit operands with 32-bit sums, 16-bit operands with 64-bit sums.
//!
//! Everything but the operands' width is written once. No float operation is in this file, nor in `layers/conv.rs`.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::pack::{Left, PackedI8, PackedI16, Source, pack_i8_into, pack_i16_into};
use intrain_kernels::product::{self, Packed};
use intrain_kernels::requantize::{self, Relu, TRACE_INDEX, TRACE_INSIDE, TRACE_RELU, Trace};
use intrain_kernels::{Integer, Isa, dot_i8, dot_i16, max_abs, max_pool, stage};
use intrain_num::random::{Purpose, Stream};
use intrain_num::{Overflow, Quantizer, Round};
use rayon::prelude::*;

use crate::carrier::{Carrier, Cut, FinishItem, Kept, Mode};
use crate::layers::conv::{Product, Scratch};
use crate::layers::image;
use crate::loss::{self, LogitsRef};
use crate::network::StepKey;
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::{BlockPlan, InputPlan, LossPlan, Operand};

/// 8-bit operands.
pub(crate) enum Int8 {}
/// 16-bit operands.
pub(crate) enum Int16 {}

/// An element of a staged operand.
pub(crate) type Staged<W> = <<W as Width>::Payload as stage::Payload>::Staged;

/// What differs between the two widths.
pub(crate) trait Width: Send + Sync + 'static {
    type Payload: stage::Payload<Staged: Send + Sync> + Integer + max_pool::Error + Send + Sync + 'static;
    type Sum: Integer + Send + Sync + 'static;
    /// Half as wide as a sum.
    type Narrow: Integer + Send + Sync + 'static;
    /// A weight as it is read.
    type Weight: Integer + Send + Sync;
    type Packed: Packed<Left = Staged<Self>, Sum = Self::Sum> + Default + Send + Sync;
    /// Largest magnitude that a sum can hold.
    const SUM_MAX: u128;

    fn dot(isa: Isa, args: product::Args<'_, Self::Packed>);
    /// How a payload of 0 is staged for products whose A is `left`.
    fn zero(left: Operand) -> Staged<Self>;
    /// How far payloads are from 0, as packing wants to know it: no less than the largest magnitude.
    fn reach(isa: Isa, operand: Operand, values: &[Self::Payload]) -> u64;
    /// The same of weights.
    fn weight_reach(isa: Isa, operand: Operand, weights: &[Self::Weight]) -> u64;
    /// Packs weights for products whose A is `left`, where A and the weights reach that far.
    fn pack_weights(
        isa: Isa,
        source: Source<'_, Self::Weight>,
        left: Operand,
        reach: [u64; 2],
        packed: &mut Self::Packed,
    );
    /// Packs errors for products whose A is `left`, where A and the errors reach that far.
    fn pack_errors(
        isa: Isa,
        source: Source<'_, Self::Payload>,
        left: Operand,
        reach: [u64; 2],
        packed: &mut Self::Packed,
    );
    /// The stored payloads as they are, where the row `weight` is exact.
    fn read_exact(stored: &Stored, weights: &mut Vec<Self::Weight>);
    fn payload(x: i64) -> Self::Payload;
    fn weight(x: i64) -> Self::Weight;
    fn sum(x: i64) -> Self::Sum;
    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// Sizes a gradient, and says in what it is summed.
    fn target(out: &mut Gradient, len: usize) -> Target<'_, Self::Sum>;
}

/// Where a gradient's sums go.
pub(crate) enum Target<'a, S> {
    /// Into as many bits as the kernels sum in.
    Sums(&'a mut [S]),
    /// Into more: a part of the batch fits the kernels' sums, all of it does not.
    Wide(&'a mut [i64]),
}

/// Narrows a value that its format holds.
macro_rules! narrow {
    ($x:expr) => {{
        // Bound: the plan has proven that the format fits the type; `Plan::build` chose the width by it.
        ($x).try_into().unwrap_or_else(|_| unreachable!("{} does not fit the width that was planned", $x))
    }};
}

impl Width for Int8 {
    type Payload = i8;
    type Sum = i32;
    type Narrow = i16;
    type Weight = i8;
    type Packed = PackedI8;
    const SUM_MAX: u128 = (1 << 31) - 1;

    fn dot(isa: Isa, args: product::Args<'_, PackedI8>) {
        dot_i8::run(isa, args);
    }

    fn zero(left: Operand) -> u8 {
        left_bytes(left).zero()
    }

    /// Exact whatever they are: no sum of bytes is cut by it.
    fn reach(_: Isa, operand: Operand, _: &[i8]) -> u64 {
        operand.magnitude()
    }

    fn weight_reach(_: Isa, operand: Operand, _: &[i8]) -> u64 {
        operand.magnitude()
    }

    fn pack_weights(isa: Isa, source: Source<'_, i8>, left: Operand, _: [u64; 2], packed: &mut PackedI8) {
        pack_i8_into(isa, source, left_bytes(left), packed);
    }

    fn pack_errors(isa: Isa, source: Source<'_, i8>, left: Operand, _: [u64; 2], packed: &mut PackedI8) {
        pack_i8_into(isa, source, left_bytes(left), packed);
    }

    fn read_exact(stored: &Stored, weights: &mut Vec<i8>) {
        match stored {
            Stored::I8(v) => weights.clone_from(v),
            Stored::I16(_) | Stored::I32(_) | Stored::F32(_) => {
                unreachable!("8-bit weights are stored in bytes")
            }
        }
    }

    fn payload(x: i64) -> i8 {
        narrow!(x)
    }

    fn weight(x: i64) -> i8 {
        narrow!(x)
    }

    fn sum(x: i64) -> i32 {
        narrow!(x)
    }

    fn add(a: i32, b: i32) -> i32 {
        a + b
    }

    fn target(out: &mut Gradient, len: usize) -> Target<'_, i32> {
        match out {
            Gradient::I32(out) => {
                out.resize(len, 0);
                Target::Sums(out)
            }
            Gradient::I64(out) => {
                out.resize(len, 0);
                Target::Wide(out)
            }
            Gradient::F32(_) => unreachable!("an integer network has integer gradients"),
        }
    }
}

/// How the byte product's A holds an operand.
const fn left_bytes(operand: Operand) -> Left {
    if operand.min < 0 { Left::Signed } else { Left::Unsigned }
}

impl Width for Int16 {
    type Payload = i16;
    type Sum = i64;
    type Narrow = i32;
    type Weight = i32;
    type Packed = PackedI16;
    const SUM_MAX: u128 = (1 << 63) - 1;

    fn dot(isa: Isa, args: product::Args<'_, PackedI16>) {
        dot_i16::run(isa, args);
    }

    fn zero(_: Operand) -> i16 {
        0
    }

    /// What the values are decides how many limbs B needs: formats leave room that tensors seldom use. In powers of two,
    /// so that an evaluation packs its weights once or twice, not for each batch.
    fn reach(isa: Isa, operand: Operand, values: &[i16]) -> u64 {
        largest(isa, values).next_power_of_two().min(operand.magnitude()).max(1)
    }

    fn weight_reach(isa: Isa, _: Operand, weights: &[i32]) -> u64 {
        largest(isa, weights)
    }

    fn pack_weights(isa: Isa, source: Source<'_, i32>, _: Operand, reach: [u64; 2], packed: &mut PackedI16) {
        pack_i16_into(isa, source, narrow!(reach[0]), range::<i32>(reach[1]), packed);
    }

    fn pack_errors(isa: Isa, source: Source<'_, i16>, _: Operand, reach: [u64; 2], packed: &mut PackedI16) {
        pack_i16_into(isa, source, narrow!(reach[0]), range::<i16>(reach[1]), packed);
    }

    fn read_exact(stored: &Stored, weights: &mut Vec<i32>) {
        weights.resize(stored.len(), 0);
        match stored {
            Stored::I8(v) => each(weights, v, i32::from),
            Stored::I16(v) => each(weights, v, i32::from),
            Stored::I32(v) => weights.clone_from(v),
            Stored::F32(_) => unreachable!("an integer network has integer weights"),
        }
    }

    fn payload(x: i64) -> i16 {
        narrow!(x)
    }

    fn weight(x: i64) -> i32 {
        narrow!(x)
    }

    fn sum(x: i64) -> i64 {
        x
    }

    fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    fn target(out: &mut Gradient, len: usize) -> Target<'_, i64> {
        match out {
            Gradient::I64(out) => {
                out.resize(len, 0);
                Target::Sums(out)
            }
            Gradient::I32(_) | Gradient::F32(_) => unreachable!("16-bit operands have 64-bit gradients"),
        }
    }
}

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
        let finer = plan.input_operand.frac_bits + plan.weight.operand.frac_bits
            - plan.weight.master.format.frac_bits();
        let bias = parameters.bias.as_ref().map_or_else(Vec::new, |bias| {
            (0..bias.len()).map(|i| W::sum(bias.payload(i) << finer)).collect()
        });
        product.load(isa, plan, bias);
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

    fn finish(isa: Isa, plan: &BlockPlan, item: FinishItem<'_, Self>, scratch: &mut Scratch<W>, mode: Mode) {
        let FinishItem { first_product, first_output, payload: out, sums: exact, trace } = item;
        let Scratch { sums, pooled, payload, .. } = scratch;
        // Only a pooling writes the trace's index, and all of it: without one it stays 0.
        if plan.activation_at_product.format.is_quantized() {
            let q = plan.activation_at_product;
            if plan.pool.is_some() {
                payload.resize(sums.len(), W::Payload::default());
                round_sums::<W>(isa, plan, q, mode, (sums, first_product), payload, Trace::None);
                image::pool(isa, plan, payload, out, trace);
            } else {
                round_sums::<W>(isa, plan, q, mode, (sums, first_product), out, Trace::None);
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
        round_sums::<W>(isa, plan, plan.activation, mode, (sums, first_output), out, trace);
    }

    fn with_logits<R>(
        _: &BlockPlan,
        payload: &[W::Payload],
        sums: &[W::Sum],
        f: impl FnOnce(&LogitsRef<'_>) -> R,
    ) -> R {
        let integers: Vec<i64> = if sums.is_empty() {
            payload.iter().map(|x| (*x).into()).collect()
        } else {
            sums.iter().map(|x| (*x).into()).collect()
        };
        f(&LogitsRef::Integers(&integers))
    }

    fn error_at_loss(
        plan: &LossPlan,
        logits: &LogitsRef<'_>,
        labels: &[u16],
        layer: u32,
        key: StepKey,
    ) -> Vec<W::Payload> {
        loss::error_integers(plan, logits, labels, layer, key).into_iter().map(W::payload).collect()
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

    fn bias_gradient(plan: &BlockPlan, error: &[W::Payload]) -> Gradient {
        let mut sums = vec![0i64; plan.product.output.c];
        for row in error.chunks_exact(sums.len()) {
            for (sum, e) in sums.iter_mut().zip(row) {
                let e: i64 = (*e).into();
                *sum += e;
            }
        }
        Gradient::I64(sums)
    }
}

impl<W: Width, T: Integer + Send + Sync + 'static> Kept<W> for T {
    const MAX: u64 = T::MAX.cast_unsigned();

    fn keep(isa: Isa, sums: &[W::Sum], trace: &[u8], mask: u8, kept: &mut [T]) -> u64 {
        max_abs::keep(isa, sums, trace, mask, kept)
    }

    fn cut(isa: Isa, cut: &Cut, sums: &[T], trace: &[u8], first_element: u64, out: &mut [W::Payload]) {
        let Cut { quantizer, shift, mask, stream } = *cut;
        let (min, max, round) = (quantizer.format.min(), quantizer.format.max(), quantizer.round);
        let (stream, trace) = (round.is_stochastic().then_some(stream), Trace::Gate { trace, mask });
        requantize::run(
            isa,
            requantize::Args { sums, out, shift, round, min, max, stream, first_element, trace },
        );
    }
}

/// Cuts a product's sums, the first of which is the element of that number, to the payloads of `q`.
fn round_sums<W: Width>(
    isa: Isa,
    plan: &BlockPlan,
    q: Quantizer,
    mode: Mode,
    (sums, first_element): (&[W::Sum], u64),
    out: &mut [W::Payload],
    trace: Trace<'_>,
) {
    let (round, stream) = rounding(q.round, Purpose::Activation, plan.index, mode);
    let (shift, min, max) = (plan.sum_frac_bits - q.format.frac_bits(), q.format.min(), q.format.max());
    requantize::run(
        isa,
        requantize::Args { sums, out, shift, round, min, max, stream, first_element, trace },
    );
}

/// A rounding and its random words, as they hold in training or in evaluation.
fn rounding(round: Round, purpose: Purpose, layer: u32, mode: Mode) -> (Round, Option<Stream>) {
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
const CHUNK: usize = 1 << 16;

/// The largest magnitude, over all threads.
fn largest<T: Integer + Sync>(isa: Isa, values: &[T]) -> u64 {
    values.par_chunks(CHUNK).map(|values| max_abs::run(isa, values)).max().unwrap_or(0)
}

/// The values of type `T` that are no further from 0 than `reach`.
fn range<T: Integer>(reach: u64) -> (i32, i32) {
    let reach: i64 = narrow!(reach);
    (narrow!((-reach).max(T::MIN)), narrow!(reach.min(T::MAX)))
}

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
        requantize::run(
            isa,
            requantize::Args { sums, out, shift, round, min, max, stream, first_element, trace },
        );
    });
}

/// `out[i] = f(values[i])`, over all threads.
fn each<S: Copy + Sync, T: Send>(out: &mut [T], values: &[S], f: impl Fn(S) -> T + Sync) {
    out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(out, values)| {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = f(*value));
    });
}
