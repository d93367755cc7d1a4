//! Stored weights as products of integers read them: the recipe's rows `master` and `weight`. `float/read.rs` is the same
//! between floats.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::requantize::{self, Trace};
use intrain_kernels::{Integer, Isa};
use intrain_num::random::{Purpose, RandomBits, Stream};
use intrain_num::{Overflow, Quantizer};
use rayon::prelude::*;

use crate::key::{Mode, rounding};
use crate::parameters::Stored;
use crate::plan::BlockPlan;
use crate::width::{CHUNK, Width};

/// Weights of `[.., out]` as the row `weight` reads them.
pub(crate) fn read<W: Width>(
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
            Stored::I8(v) => saturating(isa, v, &quantizer, shift, stream, weights),
            Stored::I16(v) => saturating(isa, v, &quantizer, shift, stream, weights),
            Stored::I32(v) => saturating(isa, v, &quantizer, shift, stream, weights),
            Stored::F32(_) => unreachable!("an integer network has integer weights"),
        }
        return;
    }
    weights.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, weights)| {
        for (i, weight) in weights.iter_mut().enumerate() {
            let i = chunk * CHUNK + i;
            let word = stream.map_or(0, |s| s.word(i as u64));
            *weight = W::weight(quantizer.code_of_shifted(stored.code(i), shift, word));
        }
    });
}

/// A quantizer that saturates, over all threads.
fn saturating<S: Integer + Sync, T: Integer + Send>(
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
        let words = stream.map(RandomBits::Stream);
        let args = requantize::Args { sums, out, shift, round, min, max, words, first_element, trace };
        requantize::run(isa, args);
    });
}
