//! An activation where a step finds what its terms, or its codes, are worth (`@dynamic`): sums of 64 bits at the finest unit.
//!
//! Section 7.1 and 7.3 of `docs/arithmetic.md`.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::fixed_norm::{self, Store};
use intrain_kernels::requantize::{self, Relu, Trace};
use intrain_kernels::{Isa, max_abs};
use intrain_num::scale::round_log2;
use intrain_num::{Round, Scale};

use super::{Terms, largest_code};
use crate::ops::norm::learned::chunk;
use crate::ops::product::Workspace;
use crate::scratch::Scratch;
use crate::tensor::{self, Code, Element, for_integers};
use crate::threads;

/// Bits that the finest unit may lie below the coarsest: 32-bit terms then fit 63 bits, two of them 64.
const APART: i32 = 30;

/// The unit of a sum, and how each term is moved there.
struct Units {
    frac_bits: i32,
    /// To the left; below 0 to the right, rounded.
    shifts: [i32; 2],
}

impl Units {
    fn of(terms: Terms<'_>) -> Self {
        let frac_bits = |term: &crate::plan::Term| match term.norm {
            Some(block) => terms.blocks[block].plan.norm.map_or(0, |norm| norm.frac_bits()),
            None => terms.results[term.source].frac_bits,
        };
        let all = || terms.activation.terms.iter().map(frac_bits);
        let (finest, coarsest) = (all().max().unwrap_or(0), all().min().unwrap_or(0));
        let finest = finest.min(coarsest.saturating_add(APART));
        let mut shifts = [0; 2];
        shifts.iter_mut().zip(all()).for_each(|(shift, frac_bits)| *shift = finest - frac_bits);
        Self { frac_bits: finest, shifts }
    }
}

/// The sum of all terms, rounded to codes of type `P`, `c` channels a pixel.
pub(super) fn forward<P: Code>(
    terms: Terms<'_>,
    c: usize,
    out: &mut tensor::Activation,
    space: &mut Workspace,
) {
    let (row, isa, chunk) = (terms.activation.row, space.isa, chunk(c));
    let units = Units::of(terms);
    let (mut frac_bits, mut shift) = (row.format.frac_bits(), units.frac_bits - row.format.frac_bits());
    if row.scale == Scale::Dynamic {
        let chunks = P::of_mut(&mut out.tensor).chunks(chunk).enumerate();
        let max_abs = threads::max(&mut space.scratches, chunks, |scratch, (k, codes)| {
            max_abs::run(isa, add_up(isa, terms, &units, (k * chunk, codes.len()), scratch))
        });
        let n = round_log2(max_abs).unwrap_or(0);
        // The sum counts as a number of n fraction bits: the largest is about 1.
        shift = n - row.format.frac_bits();
        frac_bits = units.frac_bits - shift;
    }
    out.frac_bits = frac_bits;
    let (min, max, round) = (row.format.min(), largest_code(terms.activation, frac_bits), row.round);
    let codes = P::of_mut(&mut out.tensor).chunks_mut(chunk);
    let chunks = codes.zip(out.trace.chunks_mut(chunk)).enumerate();
    threads::for_each(&mut space.scratches, chunks, |scratch, (k, (out, trace))| {
        let first = k * chunk;
        let sums = add_up(isa, terms, &units, (first, out.len()), scratch);
        let (first_element, words) = (first as u64, None);
        let trace = Trace::Write { trace, relu: Relu::Yes };
        requantize::run(
            isa,
            requantize::Args { sums, out, shift, round, min, max, words, first_element, trace },
        );
    });
}

/// The exact sums of `len` elements from number `first` on.
fn add_up<'a>(
    isa: Isa,
    terms: Terms<'_>,
    units: &Units,
    (first, len): (usize, usize),
    scratch: &'a mut Scratch,
) -> &'a [i64] {
    let mut sums = std::mem::take(&mut scratch.wide);
    sums.clear();
    sums.resize(len, 0);
    for (term, shift) in terms.activation.terms.iter().zip(units.shifts) {
        let (x, lanes, span) = (&terms.results[term.source].tensor, scratch.lanes(len), first..first + len);
        match term.norm {
            Some(norm) => terms.blocks[norm].norm().apply(isa, &i16::of(x)[span], lanes, Store::Set),
            None => for_integers!(x, x => fixed_norm::add_shifted(isa, &x[span], 0, lanes, Store::Set)),
        }
        let moved = |x: &i32| match shift {
            0.. => i64::from(*x) << shift,
            _ => Round::NearestDown.shift_right(i64::from(*x), -shift, 0),
        };
        sums.iter_mut().zip(&*lanes).for_each(|(sum, x)| *sum += moved(x));
    }
    scratch.wide = sums;
    &scratch.wide
}
