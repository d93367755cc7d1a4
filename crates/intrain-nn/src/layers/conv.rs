//! The general product with the weights, forward and back, for convolutions and linear layers; `gradient.rs` is the third.
//!
//! Each is an implicit product over address tables (`intrain-kernels/src/product`): no matrix of windows is ever
//! built. A linear layer is a 1 x 1 convolution over an image whose pixels are the rows of the batch.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::Isa;
use intrain_kernels::pack::Source;
use intrain_kernels::product::{self, Store};
use intrain_kernels::stage::{Band, Conv, RowsLayout, Tables, stage_rows, staged_as_is};
use intrain_num::Scale;
use rayon::prelude::*;

use crate::layers::gradient::GradientProduct;
use crate::layers::groups;
use crate::operands::{Dot, Operands, Staged};
use crate::parameters::Gradient;
use crate::plan::{BlockPlan, Operand, ProductKind, ProductPlan};

/// The general product: a block's weights laid out for it, and its address tables.
pub(crate) struct General<O: Operands> {
    conv: Conv,
    /// Of a grouped convolution: its weights with zeros between the groups, and the gradient with what lies between them.
    spread: Vec<O::Weight>,
    /// The same of those that the error's product reads, where they differ.
    spread_back: Vec<O::Weight>,
    dense: Option<Gradient>,
    /// How far the weights are from 0.
    weight_reach: u64,
    forward: Direction<O>,
    error: Direction<O>,
    /// Made at the first gradient, for the batch that it sees.
    gradient: Option<GradientProduct<O>>,
}

/// The product with the weights in one direction: its address tables, and the weights as it wants them.
pub(crate) struct Direction<D: Dot> {
    /// How what enters is staged.
    layout: RowsLayout,
    tables: Tables,
    /// [`GROUP`] columns each.
    packed: Vec<D::Packed>,
    /// How far from 0 the codes may be that the weights were packed for; none where they are not packed yet.
    reach: Option<u64>,
}

/// Columns that one thread packs at a time.
const GROUP: usize = 128;

impl<D: Dot> Direction<D> {
    /// `packed` makes room for a group of columns.
    pub(crate) fn new((layout, tables): (RowsLayout, Tables), packed: impl Fn() -> D::Packed) -> Self {
        let packed = (0..tables.n.div_ceil(GROUP)).map(|_| packed()).collect();
        Self { layout, tables, packed, reach: None }
    }

    /// Packs all columns.
    pub(crate) fn pack<W: Sync>(
        &mut self,
        weights: &[W],
        pack: impl Fn(Source<'_, W>, &mut D::Packed) + Sync,
    ) {
        let source = self.tables.source(weights);
        self.packed.par_iter_mut().enumerate().for_each(|(group, packed)| {
            let columns = group * GROUP..((group + 1) * GROUP).min(source.n);
            pack(source.columns(columns), packed);
        });
    }

    /// One call of the kernel for each band and group: codes, where 0 is staged as `zero`, by packed weights. Of a linear layer's
    /// batch there may be fewer rows.
    pub(crate) fn run(
        &self,
        isa: Isa,
        (from, zero): (&[D::Code], Staged<D>),
        init: Option<&[D::Sum]>,
        staged: &mut Vec<Staged<D>>,
        c: &mut [D::Sum],
    ) {
        let Self { mut layout, ref tables, ref packed, .. } = *self;
        let mut n_rows = tables.rows.len();
        if layout.h == 1 && from.len() < layout.w * layout.c {
            // The last rows of a linear layer's batch.
            layout.w = from.len() / layout.c;
            n_rows = layout.w;
        }
        let a = staged_as_is(from, &layout, zero).unwrap_or_else(|| {
            let a = cleared(staged, layout.buffer_len(1), layout.image_len(), zero);
            stage_rows(from, &layout, a, zero);
            a
        });
        let c_stride = tables.n;
        for Band { rows, segments } in &tables.bands {
            let (rows, steps) = (rows.start..rows.end.min(n_rows), tables.steps_of(segments));
            for (group, b) in packed.iter().enumerate() {
                let (first, store, segments) = (group * GROUP, Store::Set, segments.clone());
                let c = c.get_mut(rows.start * c_stride + first..).unwrap_or_default();
                let init = init.map(|init| &init[first..(first + GROUP).min(tables.n)]);
                let rows = &tables.rows[rows.clone()];
                D::dot(isa, product::Args { a, rows, steps, segments, b, c, c_stride, init, store });
            }
        }
    }
}

impl<O: Operands> Direction<O> {
    /// For values of `left` by weights of `right`.
    fn between(addresses: (RowsLayout, Tables), left: Operand, right: Operand) -> Self {
        Self::new(addresses, || O::packed([left.max_abs(), right.max_abs()]))
    }

    /// Packs `weights` for `values`, unless they are already packed for codes as large.
    fn prepare(
        &mut self,
        isa: Isa,
        (weights, weight_reach): (&[O::Weight], u64),
        left: Operand,
        values: &[O::Code],
    ) {
        let reach = O::reach(isa, left, values);
        if self.reach.is_some_and(|packed| reach <= packed) {
            return;
        }
        self.reach = Some(reach);
        let reach = [reach, weight_reach];
        self.pack(weights, |source, packed| O::pack_weights(isa, source, left, reach, packed));
    }
}

/// One thread's buffers.
pub(crate) struct Scratch<O: Operands> {
    pub(crate) staged: Vec<Staged<O>>,
    /// Rows of sums, `[rows, n]`.
    pub(crate) sums: Vec<O::Sum>,
    pub(crate) pooled: Vec<O::Sum>,
    /// Sums of a bias's gradient.
    pub(crate) bias: Vec<i64>,
}

/// A thread's buffers that have room for one kind of product.
pub(crate) trait Lend<O: Operands>: Send {
    fn lend(&mut self) -> &mut Scratch<O>;
}

impl<O: Operands> Default for Scratch<O> {
    fn default() -> Self {
        Self { staged: vec![], sums: vec![], pooled: vec![], bias: vec![] }
    }
}

impl<O: Operands> Scratch<O> {
    /// Gives the buffers of all threads the capacity of the largest.
    pub(crate) fn equalize_capacity<S: Lend<O>>(scratches: &mut [S]) {
        equalize(scratches, |scratch| &mut scratch.lend().staged);
        equalize(scratches, |scratch| &mut scratch.lend().sums);
        equalize(scratches, |scratch| &mut scratch.lend().pooled);
    }
}

/// Gives one of the buffers of all threads the capacity of the largest.
pub(crate) fn equalize<S, T>(scratches: &mut [S], buffer: impl Fn(&mut S) -> &mut Vec<T>) {
    let largest = scratches.iter_mut().map(|scratch| buffer(scratch).capacity()).max().unwrap_or(0);
    for buffer in scratches.iter_mut().map(buffer) {
        // Exact: more would be the next step's largest.
        buffer.reserve_exact(largest - buffer.len());
    }
}

/// Rows of a linear layer's batch that one thread takes at a time: about 32, and as many items as threads share evenly.
#[must_use]
pub fn linear_rows(batch_size: usize) -> usize {
    const ROWS: usize = 32;
    if batch_size < ROWS {
        batch_size
    } else {
        batch_size.div_ceil(batch_size.div_ceil(ROWS).next_multiple_of(4))
    }
}

/// The first `len` elements of a buffer that other products use too, zero from `used` on.
pub(crate) fn cleared<T: Copy>(buffer: &mut Vec<T>, len: usize, used: usize, zero: T) -> &mut [T] {
    buffer.resize(len.max(buffer.len()), zero);
    buffer[used..len].fill(zero);
    &mut buffer[..len]
}

/// The convolution that a block is; a linear layer is one whose pixels are the batch.
pub(crate) fn geometry(p: &ProductPlan, batch_size: usize) -> Conv {
    match p.kind {
        ProductKind::BatchNorm | ProductKind::LayerNorm => unreachable!("a norm is no product"),
        ProductKind::Linear => Conv::linear(batch_size, p.input.c, p.output.c),
        ProductKind::Conv => Conv {
            h: p.input.h,
            w: p.input.w,
            c_in: p.input.c,
            kernel: p.window.kernel,
            stride: p.window.stride,
            pad: p.window.pad,
            dilation: p.window.dilation,
            c_out: p.output.c,
        },
    }
}

impl<O: Operands> General<O> {
    pub(crate) fn new(plan: &BlockPlan, batch_size: usize) -> Self {
        let conv = geometry(&plan.product, linear_rows(batch_size));
        let weight = plan.weight.operand;
        Self {
            conv,
            spread: vec![],
            spread_back: vec![],
            dense: None,
            weight_reach: 0,
            forward: Direction::between(
                (conv.forward_layout(), conv.forward::<O::Code>(1)),
                plan.input_operand,
                weight,
            ),
            error: Direction::between(
                (conv.error_layout(), conv.error::<O::Code>(1)),
                plan.error_operand,
                weight,
            ),
            gradient: None,
        }
    }

    /// The weights have been read anew, those of the error's product too where they differ: what was packed holds no longer.
    pub(crate) fn load(&mut self, isa: Isa, plan: &BlockPlan, [weights, back]: [&[O::Weight]; 2]) {
        if plan.product.groups > 1 {
            groups::spread(&plan.product, weights, &mut self.spread);
            if !back.is_empty() {
                groups::spread(&plan.product, back, &mut self.spread_back);
            }
        }
        self.weight_reach = O::weight_reach(isa, plan.weight.operand, weights);
        (self.forward.reach, self.error.reach) = (None, None);
    }

    /// Packs the weights for [`General::forward`] with items of `input`.
    pub(crate) fn prepare_forward(
        &mut self,
        isa: Isa,
        plan: &BlockPlan,
        weights: &[O::Weight],
        input: &[O::Code],
    ) {
        let weights = if plan.product.groups > 1 { &self.spread } else { weights };
        self.forward.prepare(isa, (weights, self.weight_reach), plan.input_operand, input);
    }

    /// Packs the weights for [`General::error`] with items of `error`.
    pub(crate) fn prepare_error(
        &mut self,
        isa: Isa,
        plan: &BlockPlan,
        weights: &[O::Weight],
        error: &[O::Code],
    ) {
        let weights = match plan.product.groups {
            1 => weights,
            _ if self.spread_back.is_empty() => &self.spread,
            _ => &self.spread_back,
        };
        self.error.prepare(isa, (weights, self.weight_reach), plan.error_operand, error);
    }

    /// `sums[pixel][out] = bias[out] + sum over window of input * weight`; `staged` is room for the input as the product
    /// wants it.
    pub(crate) fn forward(
        &self,
        isa: Isa,
        plan: &BlockPlan,
        (input, bias): (&[O::Code], &[O::Sum]),
        staged: &mut Vec<Staged<O>>,
        sums: &mut [O::Sum],
    ) {
        let init = (!bias.is_empty()).then_some(bias);
        self.forward.run(isa, (input, O::zero(plan.input_operand)), init, staged, sums);
    }

    /// `sums[input pixel][in] = sum over outputs that saw it of error * weight`.
    pub(crate) fn error(
        &self,
        isa: Isa,
        plan: &BlockPlan,
        error: &[O::Code],
        staged: &mut Vec<Staged<O>>,
        sums: &mut [O::Sum],
    ) {
        self.error.run(isa, (error, O::zero(plan.error_operand)), None, staged, sums);
    }

    /// `gradient[window][in][out] = sum over images and pixels of input * error`; and its largest magnitude, where the
    /// recipe divides by it.
    pub(crate) fn gradient<S: Lend<O>>(
        &mut self,
        isa: Isa,
        plan: &BlockPlan,
        (input, error): (&[O::Code], &[O::Code]),
        out: &mut Gradient,
        scratches: &mut [S],
    ) -> Option<u64> {
        let p = &plan.product;
        let n_images = error.len() / p.output.len();
        let (conv, n_images) = match p.kind {
            ProductKind::Linear => (geometry(p, n_images), 1),
            _ => (self.conv, n_images),
        };
        let gradient = match self.gradient.take() {
            Some(gradient) if gradient.fits(&conv, n_images) => gradient,
            _ => GradientProduct::new(conv, n_images, plan),
        };
        if p.groups > 1 && self.dense.is_none() {
            self.dense = Some(out.clone());
        }
        let (target, compact) = match &mut self.dense {
            Some(dense) => (dense, Some(out)),
            None => (out, None),
        };
        let gradient = self.gradient.insert(gradient);
        // The way forward has looked at the same input.
        let input_reach = self.forward.reach.unwrap_or_else(|| plan.input_operand.max_abs());
        let reach = [input_reach, O::reach(isa, plan.error_operand, error)];
        let has_shift = plan.gradient.scale == Scale::Shift;
        let n_weights = conv.taps() * conv.c_in * conv.c_out;
        let max =
            gradient.run(isa, reach, (input, error), O::target(target, n_weights), has_shift, scratches);
        let Some(compact) = compact else { return max };
        let of_groups = groups::gather(p, target, compact);
        max.and(Some(of_groups))
    }
}
