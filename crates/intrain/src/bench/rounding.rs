//! Rounding of large tensors, as products and updates end in it: what memory allows is the limit.

use std::sync::Arc;

use intrain_kernels::quantize;
use intrain_kernels::requantize::{self, Args, Trace};
use intrain_nn::Context;
use intrain_num::Round;
use intrain_num::random::{Purpose, RandomBits, Stream};
use rayon::prelude::*;

use super::{Group, Run, Task, Unit, Work, Yardstick, noise, noise_of_floats};

/// Elements of each tensor: more than any cache holds.
const ELEMENTS: usize = 16 << 20;
/// Elements that a thread rounds at a time.
const CHUNK: usize = 1 << 15;

pub(super) fn works() -> Vec<Work> {
    vec![
        work("requantize-nearest", |context| requantize(context, Round::NearestEven)),
        work("requantize-stochastic", |context| requantize(context, Round::Stochastic { bits: 16 })),
        // As many random bits as `intrain quantize` takes.
        work("quantize-stochastic", |context| quantize(context, Round::Stochastic { bits: 32 })),
    ]
}

/// A work over [`ELEMENTS`], of which `prepare` gives the bytes that an element takes, read and written, and a run.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn work(name: &str, prepare: fn(&Context) -> (usize, Run)) -> Work {
    let prepare = move |context: &Context| {
        let (element_bytes, run) = prepare(context);
        let bytes = element_bytes * ELEMENTS;
        let yardstick = Some(Yardstick::Copy { bytes });
        Ok(Task { amount: ELEMENTS as f64, unit: Unit::Elements, effort: bytes as f64, yardstick, run })
    };
    Work { name: name.to_owned(), group: Group::Rounding, prepare: Box::new(prepare) }
}

/// Sums of 32 bits to codes of 8.
fn requantize(context: &Context, round: Round) -> (usize, Run) {
    let (isa, threads) = (context.isa, Arc::clone(&context.threads));
    let stream = round.is_stochastic().then(|| Stream::new(1, Purpose::Tool, 0, 0));
    // Sums of 17 bits: one in four lies outside of the codes' range.
    let sums: Vec<i32> = noise(isa, 1, ELEMENTS).into_iter().map(|word| word.cast_signed() >> 15).collect();
    let mut codes = vec![0_i8; ELEMENTS];
    let run = move || {
        threads.install(|| {
            let chunks = codes.par_chunks_mut(CHUNK).zip(sums.par_chunks(CHUNK)).enumerate();
            chunks.for_each(|(chunk, (out, sums))| {
                let (first_element, trace) = ((chunk * CHUNK) as u64, Trace::None);
                let (shift, min, max) = (9, -127, 127);
                let words = stream.map(RandomBits::Stream);
                requantize::run(isa, Args { sums, out, shift, round, min, max, words, first_element, trace });
            });
        });
    };
    (size_of::<i32>() + size_of::<i8>(), Box::new(run))
}

/// Floats between -1 and 1 to codes of 8 bits, 7 of them behind the point.
fn quantize(context: &Context, round: Round) -> (usize, Run) {
    let (isa, threads) = (context.isa, Arc::clone(&context.threads));
    let stream = round.is_stochastic().then(|| Stream::new(1, Purpose::Tool, 0, 0));
    let values = noise_of_floats(isa, 1, ELEMENTS);
    let mut codes = vec![0_i8; ELEMENTS];
    let run = move || {
        threads.install(|| {
            let chunks = codes.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).enumerate();
            chunks.for_each(|(chunk, (out, values))| {
                let first_element = (chunk * CHUNK) as u64;
                let (frac_bits, min, max) = (7, -128, 127);
                let args = quantize::Args { values, out, frac_bits, round, min, max, stream, first_element };
                quantize::run(isa, args).expect("the noise holds no NaN");
            });
        });
    };
    (size_of::<f32>() + size_of::<i8>(), Box::new(run))
}
