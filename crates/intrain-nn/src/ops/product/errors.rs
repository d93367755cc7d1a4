//! The error in front of a product of integers: sums of a backward product, rounded at once or to wide errors.
//!
//! Section 7.3 of `docs/arithmetic.md`; which of the two a product has is the plan's `ErrorRule`.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::requantize::{self, TRACE_INSIDE, TRACE_RELU, Trace};
use intrain_kernels::{Integer, Isa, max_abs};
use intrain_num::random::{Purpose, RandomBits};
use intrain_num::scale::round_log2;
use intrain_num::{Quantizer, Scale, Surrogate};
use rayon::prelude::*;

use super::integers::{Integers, list};
use super::{Before, Items, Place, Workspace};
use crate::key::StepKey;
use crate::layers::conv::Lend;
use crate::plan::{Arithmetic, BlockPlan};
use crate::requantize::surplus;
use crate::scratch::Scratch;
use crate::tensor::{Code, Element, Error};
use crate::threads;
use crate::width::{CHUNK, Width};

/// How error sums become the error codes at the output of the product in front.
struct Direct<'a> {
    quantizer: Quantizer,
    /// What 1 of the sums is worth, as a power of two.
    sum_exponent: i32,
    /// Bits dropped.
    shift: i32,
    /// What a code of 1 is worth, as a power of two.
    exponent: i32,
    /// What of an element's trace lets its error through.
    mask: u8,
    words: RandomBits<'a>,
}

impl Direct<'_> {
    /// Settles a rounding by the largest of all sums.
    fn settle(&mut self, max_abs: u64) {
        self.shift = round_log2(max_abs).unwrap_or(0) - self.quantizer.format.frac_bits();
        // @shift forgets the power of two.
        if self.quantizer.scale == Scale::Dynamic {
            self.exponent = self.sum_exponent + self.shift;
        }
    }

    fn run<S: Integer, P: Integer>(
        &self,
        isa: Isa,
        sums: &[S],
        trace: &[u8],
        first_element: u64,
        out: &mut [P],
    ) {
        let Self { quantizer, shift, mask, words, .. } = *self;
        let (min, max, round) = (quantizer.format.min(), quantizer.format.max(), quantizer.round);
        let (words, trace) = (round.is_stochastic().then_some(words), Trace::Gate { trace, mask });
        let args = requantize::Args { sums, out, shift, round, min, max, words, first_element, trace };
        requantize::run(isa, args);
    }
}

/// The mask of a trace by which an activation's surrogate lets errors through.
pub(crate) const fn mask(activation: Quantizer) -> u8 {
    match activation.surrogate {
        Surrogate::Clipped => TRACE_INSIDE | TRACE_RELU,
        // A logarithm's tail belongs to activations between floats.
        Surrogate::StraightThrough | Surrogate::LogTailed => TRACE_RELU,
    }
}

impl<W: Width> Integers<W>
where
    Scratch: Lend<W>,
{
    pub(super) fn error_direct(
        &mut self,
        place: Place<'_>,
        before: Before<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        match before.place.plan.arithmetic {
            Arithmetic::Int8 => self.error_direct_to::<i8>(place, before, error, key, space),
            _ => self.error_direct_to::<i16>(place, before, error, key, space),
        }
    }

    fn error_direct_to<P: Code>(
        &mut self,
        place: Place<'_>,
        before: Before<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        let (plan, len) = (place.plan, before.result.tensor.len());
        let codes = W::Code::of(&error.tensor);
        self.product.prepare_error(space.isa, plan, codes);
        let mut out: Vec<P> = space.free.take(len);
        let mut words = std::mem::take(&mut space.words);
        let mut direct = direct(place, before, (error.exponent, key), len, &mut words);
        let trace = &before.result.trace[..];
        if direct.quantizer.scale.is_relative() {
            self.by_largest(place, codes, trace, &mut direct, space, &mut out);
        } else {
            let Items { input: item_in, product: item_product, .. } = Items::of(self.images, place);
            let (isa, product) = (space.isa, &self.product);
            let ends = out.chunks_mut(item_in).zip(trace.chunks(item_in));
            let items = codes.chunks(item_product).zip(ends).enumerate();
            threads::for_each(&mut space.scratches, items, |scratch, (i, (error, (out, trace)))| {
                let scratch = scratch.lend();
                product.error(isa, plan, error, scratch);
                direct.run(isa, &scratch.sums, trace, (i * item_in) as u64, out);
            });
        }
        let exponent = direct.exponent;
        space.words = words;
        Error { tensor: P::tensor(out), exponent, max_abs: 0 }
    }

    /// Two passes, as the largest magnitude of the whole tensor must be known before the first element is rounded: in half
    /// the bits while the sums fit.
    fn by_largest<P: Code>(
        &mut self,
        place: Place<'_>,
        error: &[W::Code],
        trace: &[u8],
        direct: &mut Direct<'_>,
        space: &mut Workspace,
        out: &mut [P],
    ) {
        let mut kept = std::mem::take(&mut space.kept);
        let (narrow, wide) = W::kept(&mut kept);
        // Memory that nobody has written to costs nothing, and the step that needs it need not ask for it.
        wide.reserve_exact(out.len().saturating_sub(wide.len()));
        let (isa, scratches) = (space.isa, &mut space.scratches);
        self.is_wide =
            self.is_wide || !self.keep(isa, (place, error), trace, direct, narrow, (scratches, out));
        if self.is_wide {
            let fits = self.keep(isa, (place, error), trace, direct, wide, (scratches, out));
            debug_assert!(fits, "a sum fits the type of sums");
        }
        space.kept = kept;
    }

    /// Keeps the error sums in `kept`, then rounds them. False, and nothing rounded, where a sum did not fit there.
    fn keep<K: Integer + Send + Sync, P: Code>(
        &self,
        isa: Isa,
        (place, error): (Place<'_>, &[W::Code]),
        trace: &[u8],
        direct: &mut Direct<'_>,
        kept: &mut Vec<K>,
        (scratches, out): (&mut [Scratch], &mut [P]),
    ) -> bool {
        let Items { input: item_in, product: item_product, .. } = Items::of(self.images, place);
        // The largest is that of the sums in front of ReLU's mask.
        let inside = direct.mask & !TRACE_RELU;
        kept.resize(trace.len(), K::default());
        let ends = kept.chunks_mut(item_in).zip(trace.chunks(item_in));
        let items = error.chunks(item_product).zip(ends);
        let largest = threads::max(scratches, items, |scratch, (error, (kept, trace))| {
            let scratch = scratch.lend();
            self.product.error(isa, place.plan, error, scratch);
            max_abs::keep(isa, &scratch.sums, trace, inside, kept)
        });
        if largest > K::MAX.cast_unsigned() {
            return false;
        }
        direct.settle(largest);
        let direct = &*direct;
        out.par_chunks_mut(CHUNK)
            .zip(kept.par_chunks(CHUNK))
            .zip(trace.par_chunks(CHUNK))
            .enumerate()
            .for_each(|(i, ((out, kept), trace))| {
                direct.run(isa, kept, trace, (i * CHUNK) as u64, out);
            });
        true
    }

    /// The row `error.product`: with `@bound` the fewest bits are dropped with which all sums provably fit.
    pub(super) fn error_wide(
        &mut self,
        place: Place<'_>,
        error: &Error,
        key: StepKey,
        space: &mut Workspace,
    ) -> Error {
        let (plan, path) = (place.plan, &place.product.error);
        let row = path.at_input;
        let codes = W::Code::of(&error.tensor);
        self.product.prepare_error(space.isa, plan, codes);
        let weight_frac_bits = backward_frac_bits(place);
        let (shift, exponent) = if row.scale == Scale::Bound {
            if self.max_weight_sum == 0 {
                self.max_weight_sum = max_weight_sum::<W>(plan, &self.product.weights, &mut self.weight_sums);
            }
            let bound = u128::from(error.max_abs) * u128::from(self.max_weight_sum);
            let narrower = 16_u32.saturating_sub(row.format.bits());
            let shift = (surplus(bound) + narrower).cast_signed();
            (shift, error.exponent - weight_frac_bits + shift)
        } else {
            let frac_bits = row.format.frac_bits();
            (weight_frac_bits - error.exponent - frac_bits, -frac_bits)
        };
        let len = codes.len() / plan.product.output.len() * plan.product.input.len();
        let mut wide: Vec<i16> = space.free.take(len);
        let mut listed = std::mem::take(&mut space.words);
        let stream = key.stream(Purpose::ErrorAtProduct, plan.index);
        let words = match plan.columns {
            _ if !row.round.is_stochastic() => None,
            Some(columns) => {
                list(columns, stream, len, plan.product.input.c, &mut listed);
                Some(RandomBits::Listed(&listed))
            }
            None => Some(RandomBits::Stream(stream)),
        };
        let (round, min, max) = (row.round, -row.format.max(), row.format.max());
        let Items { input: item_in, product: item_product, .. } = Items::of(self.images, place);
        let (isa, product) = (space.isa, &self.product);
        let items = codes.chunks(item_product).zip(wide.chunks_mut(item_in)).enumerate();
        let max_abs = threads::max(&mut space.scratches, items, |scratch, (i, (error, out))| {
            let scratch = scratch.lend();
            product.error(isa, plan, error, scratch);
            let (sums, first_element, trace) = (&scratch.sums[..], (i * item_in) as u64, Trace::None);
            let target = &mut *out;
            let args =
                requantize::Args { sums, out: target, shift, round, min, max, words, first_element, trace };
            requantize::run(isa, args);
            max_abs::run(isa, out)
        });
        space.words = listed;
        Error { tensor: i16::tensor(wide), exponent, max_abs }
    }
}

/// How error sums are rounded for the product in front, from the exponent of the error behind; a shift by the largest is still
/// to come.
fn direct<'a>(
    place: Place<'_>,
    before: Before<'_>,
    (exponent, key): (i32, StepKey),
    len: usize,
    listed: &'a mut Vec<u32>,
) -> Direct<'a> {
    let (plan, path) = (place.plan, &place.product.error);
    let at_output = before.place.product.error.at_output;
    let (quantizer, purpose, layer) = if at_output.format.is_quantized() {
        (at_output, Purpose::ErrorAtActivation, before.place.plan.index)
    } else {
        (path.at_input, Purpose::ErrorAtProduct, plan.index)
    };
    let stream = key.stream(purpose, layer);
    let sum_exponent = exponent - backward_frac_bits(place);
    let exponent = -quantizer.format.frac_bits();
    let shift = exponent - sum_exponent;
    let words = match plan.columns {
        Some(columns) if purpose == Purpose::ErrorAtProduct && quantizer.round.is_stochastic() => {
            list(columns, stream, len, plan.product.input.c, listed);
            RandomBits::Listed(listed)
        }
        _ => RandomBits::Stream(stream),
    };
    let mask = mask(before.place.product.epilogue.activation);
    Direct { quantizer, sum_exponent, shift, exponent, mask, words }
}

/// Fraction bits that a product's error sums have beyond those of the error: the layer's alpha is left out where `@shift`
/// forgets the power of two.
fn backward_frac_bits(place: Place<'_>) -> i32 {
    let weight = &place.plan.weight;
    let forgets = place.product.error.at_output.scale == Scale::Shift;
    weight.operand.frac_bits + if forgets { 0 } else { weight.alpha_log2 }
}

/// The largest sum of magnitudes of the weights that one input channel meets: no error sum is larger than that times the
/// largest error.
fn max_weight_sum<W: Width>(plan: &BlockPlan, weights: &[W::Weight], sums: &mut Vec<u64>) -> u64 {
    let p = &plan.product;
    sums.clear();
    sums.resize(p.input.c, 0);
    let magnitude = |w: &W::Weight| -> u64 {
        let w: i64 = (*w).into();
        w.unsigned_abs()
    };
    let [inputs, outputs] = [p.input.c, p.output.c].map(|c| c / p.groups);
    for (row, weights) in weights.chunks_exact(p.output.c).enumerate() {
        for (group, weights) in weights.chunks_exact(outputs).enumerate() {
            sums[group * inputs + row % inputs] += weights.iter().map(magnitude).sum::<u64>();
        }
    }
    sums.iter().copied().max().unwrap_or(0)
}
