//! A product of integers, once over the two widths: load, forward, gradient. `errors.rs` is the error in front of it.
//!
//! No float operation is in this file.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::{Isa, column_sums, max_abs};
use intrain_num::random::{Purpose, Stream};
use intrain_num::scale::round_log2;
use intrain_num::{Columns, Scale};

use super::epilogue::{Epilogue, Item};
use super::{Gradients, Items, Place, Workspace, has_trace, images_at_a_time};
use crate::key::Mode;
use crate::layers::conv::Lend;
use crate::layers::product::Product;
use crate::parameters::{Gradient, Parameters};
use crate::plan::{BlockPlan, Storage};
use crate::scratch::{Rounded, Scratch};
use crate::tensor::{Activation, Code, Element, Error, with_codes};
use crate::threads;
use crate::weights;
use crate::width::Width;

/// A layer's weights for products of integers.
pub(crate) struct Integers<W: Width> {
    pub(super) product: Product<W>,
    /// Images that a thread takes at a time.
    pub(super) images: usize,
    /// The largest sum of weights' magnitudes that one input channel meets.
    pub(super) max_weight_sum: u64,
    /// Those sums of all channels.
    pub(super) weight_sums: Vec<u64>,
    /// What enters, where its tensor has a narrower type.
    widened: Vec<W::Code>,
    /// Sums of a whole batch, where the largest decides how they are rounded.
    kept: Vec<W::Sum>,
    /// Whether an error sum was once too large for the narrow type.
    pub(super) is_wide: bool,
}

impl<W: Width> Integers<W>
where
    Scratch: Lend<W>,
{
    pub(super) fn new(plan: &BlockPlan, batch_size: usize) -> Self {
        Self {
            product: Product::new(plan, batch_size),
            images: images_at_a_time(plan, batch_size),
            max_weight_sum: 0,
            weight_sums: vec![],
            widened: vec![],
            kept: vec![],
            is_wide: false,
        }
    }

    pub(super) fn load(&mut self, isa: Isa, plan: &BlockPlan, parameters: &Parameters, mode: Mode) {
        weights::read::<W>(isa, plan, &parameters.weight, mode, &mut self.product.weights);
        // A bias is stored on the weights' grid and added to the exact sum.
        let finer = plan.bias_shift();
        self.product.bias.clear();
        if let Some(bias) = &parameters.bias {
            self.product.bias.extend((0..bias.len()).map(|i| W::sum(bias.code(i) << finer)));
        }
        self.product.load(isa, plan);
        self.max_weight_sum = 0;
    }

    pub(super) fn forward(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        mode: Mode,
        space: &mut Workspace,
    ) {
        let p = &place.plan.product;
        let n = input.tensor.len() / p.input.len();
        let len = n * place.node.output.len();
        out.trace.resize(if has_trace(place) { len } else { 0 }, 0);
        let codes = W::codes(&input.tensor, &mut self.widened);
        self.product.prepare_forward(space.isa, place.plan, codes);
        match place.node.storage {
            Storage::Accumulators(_) => self.logits(place, input, out, space),
            Storage::Wide => self.rounded::<i16>(place, input, out, mode, space),
            Storage::Codes(element) => {
                with_codes!(element, P => self.rounded::<P>(place, input, out, mode, space));
            }
            Storage::Floats | Storage::Fused => unreachable!("a product of integers leaves integers"),
        }
    }

    /// The sums as they are, but for a pooling.
    fn logits(&mut self, place: Place<'_>, input: &Activation, out: &mut Activation, space: &mut Workspace) {
        let Items { input: item_in, product: item_product, output: item_out } = Items::of(self.images, place);
        let codes = W::codes(&input.tensor, &mut self.widened);
        let n = codes.len() / place.plan.product.input.len();
        out.frac_bits = input.frac_bits + place.plan.weight.operand.frac_bits + place.plan.weight.alpha_log2;
        let (isa, product) = (space.isa, &self.product);
        let sums = W::Sum::of_mut(&mut out.tensor);
        sums.resize(n * place.node.output.len(), W::Sum::default());
        if place.product.epilogue.pool.is_none() {
            let items = codes.chunks(item_in).zip(sums.chunks_mut(item_product));
            threads::for_each(&mut space.scratches, items, |scratch, (input, out)| {
                product.forward_into(isa, place.plan, input, &mut scratch.lend().staged, out);
            });
            return;
        }
        let (mode, words, sum_frac_bits) = (Mode::Evaluation, &[][..], out.frac_bits);
        let epilogue = Epilogue { isa, place, sum_frac_bits, mode, words };
        let items = codes.chunks(item_in).zip(sums.chunks_mut(item_out)).zip(out.trace.chunks_mut(item_out));
        threads::for_each(&mut space.scratches, items, |scratch, ((input, out), trace)| {
            let scratch = scratch.lend();
            product.forward(isa, place.plan, input, scratch);
            epilogue.pool(&scratch.sums, out, trace);
        });
    }

    /// The sums through the epilogue, to codes of type `P`.
    fn rounded<P: Code + Rounded>(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        mode: Mode,
        space: &mut Workspace,
    ) {
        let (plan, at_product) = (place.plan, place.product.epilogue.at_product);
        out.frac_bits = place.node.operand.frac_bits;
        if at_product.scale == Scale::Dynamic || input.frac_bits != plan.input_operand.frac_bits {
            self.rounded_by_largest::<P>(place, input, out, mode, space);
            return;
        }
        let codes = W::codes(&input.tensor, &mut self.widened);
        let n = codes.len() / plan.product.input.len();
        space.words.clear();
        if let (Mode::Training(key), Some(columns)) = (mode, plan.columns)
            && at_product.round.is_stochastic()
        {
            let stream = key.stream(Purpose::Activation, plan.index);
            let (len, channels) = (n * plan.product.output.len(), plan.product.output.c);
            list(columns, stream, len, channels, &mut space.words);
        }
        let Items { input: item_in, product: item_product, output: item_out } = Items::of(self.images, place);
        let Workspace { isa, scratches, words, .. } = space;
        let (isa, product, sum_frac_bits) = (*isa, &self.product, plan.sum_frac_bits);
        let epilogue = Epilogue { isa, place, sum_frac_bits, mode, words };
        let target = P::of_mut(&mut out.tensor);
        target.resize(n * place.node.output.len(), P::default());
        let outputs = target.chunks_mut(item_out).zip(Chunks::new(&mut out.trace, item_out));
        let items = codes.chunks(item_in).zip(outputs).enumerate();
        threads::for_each(scratches, items, |scratch, (i, (input, (out, trace)))| {
            let mut rounded = std::mem::take(P::of_scratch(scratch));
            let lent: &mut crate::layers::conv::Scratch<W> = scratch.lend();
            product.forward(isa, plan, input, lent);
            let (first_product, first_output) = ((i * item_product) as u64, (i * item_out) as u64);
            let item = Item { first_product, first_output, out, trace };
            epilogue.run(&lent.sums, item, &mut lent.pooled, &mut rounded);
            *P::of_scratch(scratch) = rounded;
        });
    }

    /// The same in two passes, where the largest sum of the batch decides how all are rounded (`activation.product
    /// @dynamic`), or where what enters was rounded so.
    fn rounded_by_largest<P: Code + Rounded>(
        &mut self,
        place: Place<'_>,
        input: &Activation,
        out: &mut Activation,
        mode: Mode,
        space: &mut Workspace,
    ) {
        let Items { input: item_in, product: item_product, output: item_out } = Items::of(self.images, place);
        let Self { product, widened, kept, .. } = self;
        let codes = W::codes(&input.tensor, widened);
        let (plan, isa) = (place.plan, space.isa);
        let n = codes.len() / plan.product.input.len();
        kept.resize(n * plan.product.output.len(), W::Sum::default());
        let items = codes.chunks(item_in).zip(kept.chunks_mut(item_product));
        let largest = threads::max(&mut space.scratches, items, |scratch, (input, kept)| {
            product.forward_into(isa, plan, input, &mut scratch.lend().staged, kept);
            max_abs::run(isa, kept)
        });
        let mut sum_frac_bits = input.frac_bits + plan.weight.operand.frac_bits + plan.weight.alpha_log2;
        let row = place.product.epilogue.at_product;
        if row.scale == Scale::Dynamic {
            let n = round_log2(largest).unwrap_or(0);
            out.frac_bits = row.format.frac_bits() + sum_frac_bits - n;
            // The sums count as numbers of n fraction bits: the largest is about 1.
            sum_frac_bits = n;
        }
        let epilogue = Epilogue { isa, place, sum_frac_bits, mode, words: &[] };
        let target = P::of_mut(&mut out.tensor);
        target.resize(n * place.node.output.len(), P::default());
        let outputs = target.chunks_mut(item_out).zip(Chunks::new(&mut out.trace, item_out));
        let items = kept.chunks(item_product).zip(outputs).enumerate();
        threads::for_each(&mut space.scratches, items, |scratch, (i, (kept, (out, trace)))| {
            let mut rounded = std::mem::take(P::of_scratch(scratch));
            let lent: &mut crate::layers::conv::Scratch<W> = scratch.lend();
            let (first_product, first_output) = ((i * item_product) as u64, (i * item_out) as u64);
            let item = Item { first_product, first_output, out, trace };
            epilogue.run(kept, item, &mut lent.pooled, &mut rounded);
            *P::of_scratch(scratch) = rounded;
        });
    }

    pub(super) fn gradient(
        &mut self,
        plan: &BlockPlan,
        input: &Activation,
        error: &Error,
        gradients: &mut Gradients,
        space: &mut Workspace,
    ) {
        let codes = W::codes(&input.tensor, &mut self.widened);
        let error_codes = W::Code::of(&error.tensor);
        let operands = (codes, error_codes);
        gradients.exponents = [error.exponent - input.frac_bits, error.exponent];
        if let Some(wide) = &mut gradients.wide {
            // The step that needs it finds its memory ready.
            wide.reserve(plan.product.n_weights());
        }
        let (isa, scratches) = (space.isa, &mut space.scratches);
        let mut max = self.product.gradient(isa, plan, operands, &mut gradients.weight, scratches);
        if let Some(wide) = gradients.wide.take_if(|_| max > Some(NARROW_MAX)) {
            gradients.weight = wide;
            max = self.product.gradient(isa, plan, operands, &mut gradients.weight, scratches);
        }
        gradients.weight_max = max;
        if let Some(out) = &mut gradients.bias {
            bias_gradient::<W>(isa, plan, error_codes, out, scratches);
        }
    }
}

/// The largest magnitude of a gradient that is kept in half the bits of its sums.
const NARROW_MAX: u64 = (1 << 31) - 1;

/// The gradient of the biases: the error's sum over batch and pixels.
fn bias_gradient<W: Width>(
    isa: Isa,
    plan: &BlockPlan,
    error: &[W::Code],
    out: &mut Gradient,
    scratches: &mut [Scratch],
) where
    Scratch: Lend<W>,
{
    let Gradient::I64(sums) = out else { unreachable!("biases of an integer network are summed in 64 bits") };
    let n = plan.product.output.c;
    sums.clear();
    sums.resize(n, 0);
    for scratch in &mut *scratches {
        let bias = &mut scratch.lend().bias;
        bias.clear();
        bias.resize(n, 0);
    }
    let items = error.chunks(plan.product.output.len());
    threads::for_each(scratches, items, |scratch, error| {
        column_sums::add(isa, error, &mut scratch.lend().bias);
    });
    for scratch in scratches {
        sums.iter_mut().zip(&scratch.lend().bias).for_each(|(sum, part)| *sum += part);
    }
}

/// The random words of `len` results of an array, of `columns` numbers in a row.
pub(super) fn list(array: Columns, stream: Stream, len: usize, columns: usize, words: &mut Vec<u32>) {
    words.resize(len, 0);
    array.words(stream, [len / columns, columns], words);
}

/// Mutable chunks of a slice, or empty slices for ever where the slice is empty.
struct Chunks<'a, T> {
    rest: std::slice::ChunksMut<'a, T>,
    is_empty: bool,
}

impl<'a, T> Chunks<'a, T> {
    fn new(slice: &'a mut [T], len: usize) -> Self {
        Self { is_empty: slice.is_empty(), rest: slice.chunks_mut(len) }
    }
}

impl<'a, T> Iterator for Chunks<'a, T> {
    type Item = &'a mut [T];

    fn next(&mut self) -> Option<&'a mut [T]> {
        if self.is_empty { Some(&mut []) } else { self.rest.next() }
    }
}
