//! An activation that is a node of its own: in integers it adds up its terms, norms included, and rounds once.
//!
//! Section 7.1 and 7.3 of `docs/arithmetic.md`. Norms and residual sums are never stored: each norm is an affine map of the wide
//! integers that a product left.

use intrain_kernels::fixed_norm::{self, Store};
use intrain_kernels::requantize::{self, Relu, TRACE_INSIDE, Trace};
use intrain_kernels::{Isa, activation};
use intrain_model::LayerKind;
use intrain_num::Quantizer;
use rayon::prelude::*;

use super::norm::Norm;
use super::norm::batch::clear;
use super::norm::learned::chunk;
use super::product::{Workspace, mask};
use crate::block::Block;
use crate::key::Mode;
use crate::plan;
use crate::tensor::{self, Code, Element, Error, for_integers};
use crate::threads;

mod aligned;

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// What a node's terms are: results by node, norms by block.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) activation: &'a plan::Activation,
    pub(crate) results: &'a [tensor::Activation],
    pub(crate) blocks: &'a [Block],
}

/// Settles the affine map of each norm among the terms, from the batch or from all batches.
pub(crate) fn prepare(
    activation: &plan::Activation,
    results: &[tensor::Activation],
    blocks: &mut [Block],
    mode: Mode,
    space: &mut Workspace,
) {
    for term in &activation.terms {
        let Some(block) = term.norm else { continue };
        match blocks[block].norm_mut() {
            Norm::Batch(norm) => {
                let x = &results[term.source];
                norm.prepare(space.isa, x, term.shift, mode, &mut space.scratches);
            }
            Norm::Layer(norm) => norm.prepare(term.shift),
            Norm::BatchFloats(_) | Norm::LayerFloats(_) => {}
        }
    }
}

/// The sum of all terms of integers, rounded to codes of type `P`, `c` channels a pixel.
pub(crate) fn forward<P: Code>(
    terms: Terms<'_>,
    c: usize,
    out: &mut tensor::Activation,
    space: &mut Workspace,
) {
    let plan::Activation { row, frac_bits, .. } = terms.activation;
    let len = terms.results[terms.activation.terms[0].source].tensor.len();
    P::of_mut(&mut out.tensor).resize(len, P::default());
    out.trace.resize(len, 0);
    match frac_bits {
        Some(frac_bits) => {
            out.frac_bits = row.format.frac_bits();
            at_known_units::<P>(terms, *frac_bits, c, out, space);
        }
        None => aligned::forward::<P>(terms, c, out, space),
    }
}

/// Where the plan knows what each term is worth: sums of 32 bits.
fn at_known_units<P: Code>(
    terms: Terms<'_>,
    frac_bits: i32,
    c: usize,
    out: &mut tensor::Activation,
    space: &mut Workspace,
) {
    let max = largest_code(terms.activation, out.frac_bits);
    let Terms { activation: plan::Activation { row, terms, .. }, results, blocks } = terms;
    let isa = space.isa;
    let codes = P::of_mut(&mut out.tensor);
    let chunk = chunk(c);
    let (shift, round) = (frac_bits - row.format.frac_bits(), row.round);
    let min = row.format.min();
    let chunks = codes.chunks_mut(chunk).zip(out.trace.chunks_mut(chunk)).enumerate();
    threads::for_each(&mut space.scratches, chunks, |scratch, (k, (out, trace))| {
        let lanes = scratch.lanes(out.len());
        let span = k * chunk..k * chunk + out.len();
        for (t, term) in terms.iter().enumerate() {
            let store = if t == 0 { Store::Set } else { Store::Add };
            let (x, span) = (&results[term.source].tensor, span.clone());
            match term.norm {
                Some(norm) => blocks[norm].norm().apply(isa, &i16::of(x)[span], lanes, store),
                None => for_integers!(x, x => {
                    fixed_norm::add_shifted(isa, &x[span], term.shift, lanes, store);
                }),
            }
        }
        let (sums, first_element, words) = (&*lanes, span.start as u64, None);
        let trace = Trace::Write { trace, relu: Relu::Yes };
        let args = requantize::Args { sums, out, shift, round, min, max, words, first_element, trace };
        requantize::run(isa, args);
    });
}

/// Masks the wide error behind an activation by what it recorded, and sums it up for each norm among the terms, in the
/// threads' channel sums.
pub(crate) fn mask_error(terms: Terms<'_>, c: usize, trace: &[u8], error: &mut Error, space: &mut Workspace) {
    let Terms { activation, results, blocks } = terms;
    (0..2).for_each(|pair| clear(&mut space.scratches, pair, c));
    // Above its ceiling an activation is constant, and no error passes.
    let above = if ceiling(activation.kind).is_some() { TRACE_INSIDE } else { 0 };
    let (isa, mask, chunk) = (space.isa, mask(activation.row) | above, chunk(c));
    let chunks = i16::of_mut(&mut error.tensor).chunks_mut(chunk).zip(trace.chunks(chunk)).enumerate();
    error.max_abs = threads::max(&mut space.scratches, chunks, |scratch, (k, (error, trace))| {
        let largest = fixed_norm::gate(isa, trace, mask, error);
        for (term, sums) in activation.terms.iter().zip(&mut scratch.channel_sums) {
            let x = || &i16::of(&results[term.source].tensor)[k * chunk..k * chunk + error.len()];
            match term.norm.map(|block| blocks[block].norm()) {
                Some(Norm::Batch(norm)) => fixed_norm::add_products(isa, [x(), error], &norm.lines, sums),
                Some(Norm::Layer(norm)) => norm.add_products(x(), error, sums),
                _ => {}
            }
        }
        largest
    });
}

/// Masks a wide error by a trace; its largest magnitude is known afterwards.
pub(crate) fn gate(isa: Isa, trace: &[u8], mask: u8, error: &mut Error) {
    let wide = i16::of_mut(&mut error.tensor);
    let chunks = wide.par_chunks_mut(CHUNK).zip(trace.par_chunks(CHUNK));
    error.max_abs = chunks.map(|(error, trace)| fixed_norm::gate(isa, trace, mask, error)).max().unwrap_or(0);
}

/// Between floats, in place.
pub(crate) fn floats(isa: Isa, (kind, row): (LayerKind, &Quantizer), x: &mut [f32]) {
    let limit = ceiling(kind);
    x.par_chunks_mut(CHUNK).for_each(|x| {
        if let Some(limit) = limit {
            // NaN stays: no comparison with it is true.
            x.iter_mut().for_each(|x| *x = if *x > limit { limit } else { *x });
        }
        activation::forward(isa, row, x);
    });
}

/// The error behind an activation between floats becomes that in front of it, where `x` had entered.
pub(crate) fn floats_back(isa: Isa, (kind, row): (LayerKind, &Quantizer), x: &[f32], error: &mut [f32]) {
    let limit = ceiling(kind);
    error.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(error, x)| {
        activation::back(isa, row, x, error);
        if let Some(limit) = limit {
            error.iter_mut().zip(x).for_each(|(error, x)| *error = if *x > limit { 0.0 } else { *error });
        }
    });
}

/// Above which value an activation is constant.
const fn ceiling(kind: LayerKind) -> Option<f32> {
    match kind {
        LayerKind::Relu6 => Some(6.0),
        _ => None,
    }
}

/// The largest code of an activation whose codes have so many fraction bits: that of its format, or of its ceiling where that
/// lies below.
fn largest_code(activation: &plan::Activation, frac_bits: i32) -> i64 {
    let max = activation.row.format.max();
    match (activation.kind, frac_bits) {
        (LayerKind::Relu6, 0..) => max.min(6 << frac_bits.min(32)),
        (LayerKind::Relu6, _) => max.min(6 >> frac_bits.unsigned_abs().min(32)),
        _ => max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relu6_is_constant_beyond_its_ceiling() {
        let entered = [-1.0, 0.0, 3.0, 6.0, 6.5, f32::INFINITY];
        let row = (LayerKind::Relu6, &Quantizer::FLOAT);
        let (mut x, mut error) = (entered, [1.0; 6]);
        floats(Isa::best(), row, &mut x);
        assert_eq!(x, [0.0, 0.0, 3.0, 6.0, 6.0, 6.0]);
        floats_back(Isa::best(), row, &entered, &mut error);
        assert_eq!(error, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let mut nan = [f32::NAN];
        floats(Isa::best(), row, &mut nan);
        assert!(nan[0].is_nan());
    }
}
