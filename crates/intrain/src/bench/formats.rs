//! Small floats and blocks of a large tensor: what memory allows is the limit.

use std::sync::Arc;

use intrain_kernels::blocks::{self, Args, Axis};
use intrain_nn::Context;
use intrain_num::block::Coding;
use intrain_num::minifloat::FloatRound;
use intrain_num::random::{Purpose, Stream};
use rayon::prelude::*;

use super::{Group, Run, Task, Unit, Work, Yardstick, noise_of_floats};

/// Elements: more than any cache holds.
const ELEMENTS: usize = 16 << 20;
/// Elements that a thread quantizes at a time: whole blocks.
const CHUNK: usize = 1 << 15;

pub(super) fn works() -> Vec<Work> {
    let nearest = FloatRound::NearestEven;
    let stochastic = FloatRound::StochasticA { bits: 8 };
    [
        ("fp8-nearest", "e4m3", nearest),
        ("fp8-stochastic", "e4m3", stochastic),
        ("mxfp8-nearest", "mxfp8@rceil", nearest),
        ("mxfp8-stochastic", "mxfp8@rceil", stochastic),
        ("mxfp4-nearest", "mxfp4@even", nearest),
        ("nvfp4-nearest", "nvfp4@te", nearest),
        ("nvfp4-stochastic", "nvfp4@te", stochastic),
    ]
    .map(|(name, coding, round)| work(name, coding, round))
    .into()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn work(name: &str, coding: &'static str, round: FloatRound) -> Work {
    let prepare = move |context: &Context| {
        let coding: Coding = coding.parse().expect("the name of a format");
        // A float in, a byte out; scales are a few hundredths of that.
        let bytes = (size_of::<f32>() + size_of::<u8>()) * ELEMENTS;
        let yardstick = Some(Yardstick::Copy { bytes });
        let run = codes(context, coding, round);
        Ok(Task { amount: ELEMENTS as f64, unit: Unit::Elements, effort: bytes as f64, yardstick, run })
    };
    Work { name: name.to_owned(), group: Group::Rounding, prepare: Box::new(prepare) }
}

fn codes(context: &Context, coding: Coding, round: FloatRound) -> Run {
    let (isa, threads) = (context.isa, Arc::clone(&context.threads));
    let stream = Some(Stream::new(1, Purpose::Tool, 0, 0));
    let values = noise_of_floats(isa, 1, ELEMENTS);
    let mut codes = vec![0_u8; ELEMENTS];
    let axis = Axis { outer: 1, len: CHUNK, inner: 1 };
    let of_a_chunk = blocks::scale_count(&coding, axis);
    let mut scales = vec![0; of_a_chunk * (ELEMENTS / CHUNK)];
    Box::new(move || {
        threads.install(|| {
            let chunks = codes.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).enumerate();
            let quantize = |(chunk, (codes, values)): (usize, (&mut [u8], &[f32])), scales: &mut [u8]| {
                let first_element = (chunk * CHUNK) as u64;
                blocks::codes(
                    isa,
                    Args { coding, round, axis, values, stream, first_element },
                    codes,
                    scales,
                );
            };
            if of_a_chunk == 0 {
                chunks.for_each(|chunk| quantize(chunk, &mut []));
            } else {
                chunks
                    .zip(scales.par_chunks_mut(of_a_chunk))
                    .for_each(|(chunk, scales)| quantize(chunk, scales));
            }
        });
    })
}
