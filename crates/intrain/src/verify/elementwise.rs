//! The cases that are kernels over whole tensors: random words, quantize, requantize, activation, error, pooling, update.
//!
//! A case names the types that it is meant for, and the kernel runs in those.

use intrain_golden as golden;
use intrain_golden::Op;
use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image, Pool};
use intrain_kernels::requantize::{self, Relu, TRACE_INDEX, TRACE_INSIDE, TRACE_RELU, Trace};
use intrain_kernels::update;
use intrain_kernels::{Integer, Isa, max_abs, philox, quantize};
use intrain_num::scale::round_log2;
use intrain_num::{Overflow, Quantizer, Round, Scale};

use super::Differences;
use intrain_num::random::RandomBits;

use super::scalar::{relu6_limit, stream};

/// Runs a generic function in the integer types that two names say.
macro_rules! in_types {
    ($wide:expr, $narrow:expr, $run:ident($($arg:expr),*)) => {
        match ($wide, $narrow) {
            ("i32", "i8") => $run::<i32, i8>($($arg),*),
            ("i32", "i16") => $run::<i32, i16>($($arg),*),
            ("i32", "i32") => $run::<i32, i32>($($arg),*),
            ("i64", "i8") => $run::<i64, i8>($($arg),*),
            ("i64", "i16") => $run::<i64, i16>($($arg),*),
            ("i64", "i32") => $run::<i64, i32>($($arg),*),
            _ => return false,
        }
    };
}

/// Whether there are kernels for the operation; differences go to `found`.
pub(super) fn run(op: &Op, isa: Isa, found: &mut Differences) -> bool {
    match op {
        Op::Philox(c) => {
            let [first_block, high @ ..] = c.counter;
            let mut words = [0; 4];
            philox::fill(isa, c.key, high, first_block, &mut words);
            found.same("words", &words, &c.words);
        }
        Op::Stream(c) => stream_words(c, isa, found),
        // A kernel draws its own words; a case that lists them is for engines that are given them.
        Op::Quantize(c) if c.words.is_empty() => return quantize(c, isa, found),
        Op::Requantize(c) => {
            in_types!(c.sum_type.as_str(), c.payload_type.as_str(), requantize(c, isa, found))
        }
        Op::Activate(c) => in_types!(c.sum_type.as_str(), c.payload_type.as_str(), activate(c, isa, found)),
        Op::Relu6(c) => relu6(c, isa, found),
        Op::Error(c) => return error(c, isa, found),
        Op::MaxPool(c) if c.payload_type == "i8" => max_pool::<i8>(c, isa, found),
        Op::MaxPool(c) if c.payload_type == "i16" => max_pool::<i16>(c, isa, found),
        Op::Update(c) if c.words.is_empty() => {
            in_types!(c.sum_type.as_str(), c.master_type.as_str(), update(c, isa, found));
        }
        _ => return false,
    }
    true
}

/// The case's integers in a kernel's type; `None` where one does not fit it.
pub(super) fn narrow<T: TryFrom<i64>>(values: &[i64]) -> Option<Vec<T>> {
    values.iter().map(|x| T::try_from(*x).ok()).collect()
}

pub(super) fn widen<T: Copy + Into<i64>>(values: &[T]) -> Vec<i64> {
    values.iter().map(|x| (*x).into()).collect()
}

fn unfit(found: &mut Differences) {
    found.same("the case's integers", &"outside of the types that it names", &"inside");
}

fn stream_words(c: &golden::StreamWords, isa: Isa, found: &mut Differences) {
    let stream = stream(c.stream);
    // The kernel fills whole blocks of four words.
    let skipped = usize::try_from(c.stream.first_element % 4).unwrap_or(0);
    let Ok(first_block) = u32::try_from(c.stream.first_element / 4) else { return unfit(found) };
    let mut words = vec![0; skipped + c.words.len()];
    philox::fill(isa, stream.key, stream.counter_high, first_block, &mut words);
    found.same_elements("words", &words[skipped..], &c.words);
}

/// Whether the case's numbers are float32 and its payloads held in the range of a kernel's type.
fn quantize(c: &golden::Quantize, isa: Isa, found: &mut Differences) -> bool {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return true };
    #[allow(clippy::cast_possible_truncation, reason = "a case whose numbers change is left out")]
    let values: Vec<f32> = c.inputs.iter().map(|x| *x as f32).collect();
    let is_exact = values.iter().zip(&c.inputs).all(|(narrow, x)| f64::from(*narrow) == *x);
    if !is_exact || quantizer.overflow == Overflow::Wrap {
        return false;
    }
    match quantizer.format.bits() {
        ..=8 => quantize_in::<i8>(c, &values, quantizer, isa, found),
        9..=16 => quantize_in::<i16>(c, &values, quantizer, isa, found),
        17..=32 => quantize_in::<i32>(c, &values, quantizer, isa, found),
        _ => return false,
    }
    true
}

fn quantize_in<T: Integer>(
    c: &golden::Quantize,
    values: &[f32],
    quantizer: Quantizer,
    isa: Isa,
    found: &mut Differences,
) {
    let Quantizer { format, round, overflow, .. } = quantizer;
    let [min, max] = [format.min(), format.max()]
        .map(|end| overflow.apply(end, format.min(), format.max(), format.bits()));
    let frac_bits = format.frac_bits() - c.scale_log2;
    let mut out = vec![T::default(); values.len()];
    let args =
        quantize::Args { values, out: &mut out, frac_bits, round, min, max, stream: None, first_element: 0 };
    found.same("the first NaN", &quantize::run(isa, args), &Ok(()));
    found.same_elements("payloads", &widen(&out), &c.payloads);
}

fn requantize<S, T>(c: &golden::Requantize, isa: Isa, found: &mut Differences)
where
    S: Integer + TryFrom<i64>,
    T: Integer,
{
    let (Some(round), Some(sums)) = (found.parsed::<Round>(&c.round), narrow::<S>(&c.sums)) else {
        return unfit(found);
    };
    let mut out = vec![T::default(); sums.len()];
    requantize::run(
        isa,
        requantize::Args {
            sums: &sums,
            out: &mut out,
            shift: c.shift,
            round,
            min: c.min,
            max: c.max,
            words: c.stream.map(stream).map(RandomBits::Stream),
            first_element: c.stream.map_or(0, |at| at.first_element),
            trace: Trace::None,
        },
    );
    found.same_elements("payloads", &widen(&out), &c.payloads);
}

fn activate<S, T>(c: &golden::Activate, isa: Isa, found: &mut Differences)
where
    S: Integer + TryFrom<i64>,
    T: Integer,
{
    let (Some(round), Some(sums)) = (found.parsed::<Round>(&c.round), narrow::<S>(&c.sums)) else {
        return unfit(found);
    };
    let mut out = vec![T::default(); sums.len()];
    let mut trace = vec![TRACE_INDEX; sums.len()];
    requantize::run(
        isa,
        requantize::Args {
            sums: &sums,
            out: &mut out,
            shift: c.shift,
            round,
            min: c.min,
            max: c.max,
            words: c.stream.map(stream).map(RandomBits::Stream),
            first_element: c.stream.map_or(0, |at| at.first_element),
            trace: Trace::Write { trace: &mut trace, relu: if c.relu { Relu::Yes } else { Relu::No } },
        },
    );
    let bit = |mask: u8| trace.iter().map(|t| u8::from(t & mask != 0)).collect::<Vec<_>>();
    found.same_elements("payloads", &widen(&out), &c.payloads);
    found.same_elements("passes", &bit(TRACE_RELU), &c.passes);
    found.same_elements("inside", &bit(TRACE_INSIDE), &c.inside);
    let kept = trace.iter().all(|t| t & TRACE_INDEX == TRACE_INDEX);
    found.same("the pooling's bits of the trace", &kept, &true);
}

/// As a node of its own computes it: words of 16 bits, and a sum of 32 bits in front of them.
fn relu6(c: &golden::Relu6, isa: Isa, found: &mut Differences) {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return };
    let Some(sums) = narrow::<i32>(&c.sums) else { return unfit(found) };
    let (shift, max) = relu6_limit(&quantizer, c.sum_frac_bits);
    let mut out = vec![0i16; sums.len()];
    let mut trace = vec![0; sums.len()];
    let (round, min) = (quantizer.round, quantizer.format.min());
    let kept = Trace::Write { trace: &mut trace, relu: Relu::Yes };
    let (sums, words, first_element) = (&sums[..], None, 0);
    let args =
        requantize::Args { sums, out: &mut out, shift, round, min, max, words, first_element, trace: kept };
    requantize::run(isa, args);
    found.same_elements("payloads", &widen(&out), &c.payloads);
    let both = TRACE_INSIDE | TRACE_RELU;
    let passes: Vec<u8> = trace.iter().map(|t| u8::from(t & both == both)).collect();
    found.same_elements("passes", &passes, &c.passes);
}

fn error(c: &golden::Error, isa: Isa, found: &mut Differences) -> bool {
    let Some(quantizer) = found.parsed::<Quantizer>(&c.quantizer) else { return true };
    if quantizer.format.bits() <= 8 {
        error_in::<i8>(c, quantizer, isa, found);
    } else {
        error_in::<i16>(c, quantizer, isa, found);
    }
    quantizer.format.bits() <= 16
}

fn error_in<T: Integer>(c: &golden::Error, quantizer: Quantizer, isa: Isa, found: &mut Differences) {
    let bit = |mask: &[u8], i: usize, bit: u8| if mask.get(i).is_none_or(|m| *m == 1) { bit } else { 0 };
    let trace: Vec<u8> =
        (0..c.sums.len()).map(|i| bit(&c.inside, i, TRACE_INSIDE) | bit(&c.passes, i, TRACE_RELU)).collect();
    let mut sums = vec![0i64; c.sums.len()];
    let largest = max_abs::keep(isa, &c.sums, &trace, TRACE_INSIDE, &mut sums);
    let is_shift = quantizer.scale == Scale::Shift;
    let max_log2 = round_log2(largest).filter(|_| is_shift).unwrap_or(0);
    found.same("max_log2", &max_log2, &c.max_log2);
    let point = if is_shift { max_log2 } else { c.sum_frac_bits };
    let mut out = vec![T::default(); sums.len()];
    requantize::run(
        isa,
        requantize::Args {
            sums: &sums,
            out: &mut out,
            shift: point - quantizer.format.frac_bits(),
            round: quantizer.round,
            min: quantizer.format.min(),
            max: quantizer.format.max(),
            words: c.stream.map(stream).map(RandomBits::Stream),
            first_element: c.stream.map_or(0, |at| at.first_element),
            trace: Trace::Gate { trace: &trace, mask: TRACE_INSIDE | TRACE_RELU },
        },
    );
    found.same_elements("payloads", &widen(&out), &c.payloads);
}

fn max_pool<T>(c: &golden::MaxPool, isa: Isa, found: &mut Differences)
where
    T: Integer + max_pool::Error + TryFrom<i64>,
{
    let limits = narrow::<T>(&[c.min, c.max]);
    let (Some(input), Some(error), Some(limits)) = (narrow::<T>(&c.input), narrow::<T>(&c.error), limits)
    else {
        return unfit(found);
    };
    let image = Image { h: c.h, w: c.w, c: c.c, pixel_stride: c.c };
    let pool = Pool { size: c.size, stride: c.stride, pad: 0 };
    let (mut out, mut index) = (vec![T::default(); c.output.len()], vec![0; c.output.len()]);
    max_pool::forward(isa, ForwardArgs { input: &input, image, pool, out: &mut out, index: &mut index });
    let mut error_in = vec![T::default(); input.len()];
    let (min, max) = (limits[0], limits[1]);
    max_pool::backward(
        isa,
        BackwardArgs { error: &error, index: &index, image, pool, out: &mut error_in, min, max },
    );
    found.same_elements("output", &widen(&out), &c.output);
    found.same_elements("index", &index, &c.index);
    found.same_elements("error_in", &widen(&error_in), &c.error_in);
}

fn update<G, M>(c: &golden::Update, isa: Isa, found: &mut Differences)
where
    G: Integer + TryFrom<i64>,
    M: Integer + TryFrom<i64>,
{
    let round = found.parsed::<Round>(&c.round);
    let (Some(round), Some(gradient), Some(mut master)) =
        (round, narrow::<G>(&c.gradient), narrow::<M>(&c.master))
    else {
        return unfit(found);
    };
    let counts = update::run(
        isa,
        update::Args {
            gradient: &gradient,
            master: &mut master,
            multiplier: c.multiplier,
            shift: c.shift,
            round,
            stream: c.stream.map(stream),
            first_element: c.stream.map_or(0, |at| at.first_element),
            update_min: c.update_min,
            update_max: c.update_max,
            before: c.clip_before,
            master_min: c.master_min,
            master_max: c.master_max,
        },
    );
    found.same_elements("masters", &widen(&master), &c.masters);
    let is_dead = |(g, u): &(&i64, &i64)| **g != 0 && **u == 0;
    let n_dead = c.gradient.iter().zip(&c.updates).filter(is_dead).count() as u64;
    found.same("updates to nothing", &counts.dead, &n_dead);
}
