//! Integer products in all three directions: forward, error, gradient, for convolutions and linear layers.
//!
//! Each is an implicit product over address tables (`intrain-kernels/src/product`): no matrix of windows is ever
//! built. A linear layer is a 1 x 1 convolution over an image whose pixels are the rows of the batch.
#![deny(clippy::float_arithmetic)]

use std::ops::Range;

use intrain_kernels::Isa;
use intrain_kernels::product::{self, Store};
use intrain_kernels::stage::{Conv, RowsLayout, Tables, stage_planes, stage_rows};
use rayon::prelude::*;

use crate::block::linear_rows;
use crate::integer::{Staged, Target, Width};
use crate::parameters::Gradient;
use crate::plan::{BlockPlan, Operand, ProductKind};

/// A block's weights as the products want them, and its address tables.
pub(crate) struct Product<W: Width> {
    conv: Conv,
    /// As read, before any layout.
    pub(crate) weights: Vec<W::Weight>,
    forward: Direction<W>,
    error: Direction<W>,
    /// Sums of the gradient's tasks, kept for the next step.
    partial: Vec<Vec<W::Sum>>,
    /// Added to each output's sum, in units of the sum's last bit; empty without biases.
    bias: Vec<W::Sum>,
}

/// The product with the weights in one direction: its address tables, and the weights as it wants them.
struct Direction<W: Width> {
    tables: Tables,
    /// [`GROUP`] columns each.
    packed: Vec<W::Packed>,
    /// How far from 0 the payloads may be that the weights were packed for; none where they are not packed yet.
    reach: Option<u64>,
}

/// Columns that one thread packs at a time.
const GROUP: usize = 128;

impl<W: Width> Direction<W> {
    fn new(tables: Tables) -> Self {
        let packed = (0..tables.n.div_ceil(GROUP)).map(|_| W::Packed::default()).collect();
        Self { tables, packed, reach: None }
    }

    /// Packs `weights` for `values`, unless they are already packed for payloads as large.
    fn prepare(&mut self, isa: Isa, weights: &[W::Weight], left: Operand, values: &[W::Payload]) {
        let reach = W::reach(isa, left, values);
        if self.reach.is_some_and(|packed| reach <= packed) {
            return;
        }
        self.reach = Some(reach);
        let source = self.tables.source(weights);
        self.packed.par_iter_mut().enumerate().for_each(|(group, packed)| {
            let columns = group * GROUP..((group + 1) * GROUP).min(source.n);
            W::pack_weights(isa, source.columns(columns), left, reach, packed);
        });
    }
}

/// One thread's buffers.
pub(crate) struct Scratch<W: Width> {
    staged: Vec<Staged<W>>,
    /// Rows of sums, `[rows, n]`.
    pub(crate) sums: Vec<W::Sum>,
    pub(crate) pooled: Vec<W::Sum>,
    pub(crate) payload: Vec<W::Payload>,
}

impl<W: Width> Default for Scratch<W> {
    fn default() -> Self {
        Self { staged: vec![], sums: vec![], pooled: vec![], payload: vec![] }
    }
}

impl<W: Width> Product<W> {
    pub(crate) fn new(plan: &BlockPlan, batch_size: usize) -> Self {
        let p = &plan.product;
        let conv = match p.kind {
            ProductKind::Linear => Conv::linear(linear_rows(batch_size), p.input.c, p.output.c),
            ProductKind::Conv => Conv {
                h: p.input.h,
                w: p.input.w,
                c_in: p.input.c,
                kh: p.kernel,
                kw: p.kernel,
                stride: p.stride,
                pad: p.pad,
                c_out: p.output.c,
            },
        };
        Self {
            conv,
            weights: vec![],
            forward: Direction::new(conv.forward::<W::Payload>(1)),
            error: Direction::new(conv.error::<W::Payload>(1)),
            partial: vec![],
            bias: vec![],
        }
    }

    /// The weights have been read anew: what was packed holds no longer.
    pub(crate) fn load(&mut self, bias: Vec<W::Sum>) {
        (self.forward.reach, self.error.reach) = (None, None);
        self.bias = bias;
    }

    /// Packs the weights for [`Product::forward`] with items of `input`.
    pub(crate) fn prepare_forward(&mut self, isa: Isa, plan: &BlockPlan, input: &[W::Payload]) {
        self.forward.prepare(isa, &self.weights, plan.input_operand, input);
    }

    /// Packs the weights for [`Product::error`] with items of `error`.
    pub(crate) fn prepare_error(&mut self, isa: Isa, plan: &BlockPlan, error: &[W::Payload]) {
        self.error.prepare(isa, &self.weights, plan.error_operand, error);
    }

    /// `sums[pixel][out] = bias[out] + sum over window of input * weight`.
    pub(crate) fn forward(&self, isa: Isa, plan: &BlockPlan, input: &[W::Payload], scratch: &mut Scratch<W>) {
        let left = (input, W::zero(plan.input_operand), self.conv.forward_layout());
        let init = (!self.bias.is_empty()).then_some(&self.bias[..]);
        self.run(isa, left, &self.forward, init, scratch);
    }

    /// `sums[input pixel][in] = sum over outputs that saw it of error * weight`.
    pub(crate) fn error(&self, isa: Isa, plan: &BlockPlan, error: &[W::Payload], scratch: &mut Scratch<W>) {
        let left = (error, W::zero(plan.error_operand), self.conv.error_layout());
        self.run(isa, left, &self.error, None, scratch);
    }

    /// One call of the kernel, for both directions: payloads, their zero and layout, by packed weights.
    fn run(
        &self,
        isa: Isa,
        (from, zero, mut layout): (&[W::Payload], Staged<W>, RowsLayout),
        Direction { tables, packed, .. }: &Direction<W>,
        init: Option<&[W::Sum]>,
        scratch: &mut Scratch<W>,
    ) {
        let mut rows = &tables.rows[..];
        if self.conv.h == 1 && from.len() < layout.h * layout.w * layout.c {
            // The last rows of a linear layer's batch.
            layout.w = from.len() / layout.c;
            rows = &rows[..layout.w];
        }
        scratch.staged.resize(layout.buffer_len(1).max(scratch.staged.len()), zero);
        stage_rows(from, &layout, &mut scratch.staged, zero);
        let Scratch { staged: a, sums: c, .. } = scratch;
        let (steps, c_stride) = (&tables.steps, tables.n);
        c.resize(rows.len() * c_stride, W::Sum::default());
        for (group, b) in packed.iter().enumerate() {
            let (first, store) = (group * GROUP, Store::Set);
            let c = c.get_mut(first..).unwrap_or_default();
            let init = init.map(|init| &init[first..(first + GROUP).min(tables.n)]);
            W::dot(isa, product::Args { a, rows, steps, b, c, c_stride, init, store });
        }
    }

    /// `gradient[window][in][out] = sum over images and pixels of input * error`.
    pub(crate) fn gradient(
        &mut self,
        isa: Isa,
        plan: &BlockPlan,
        input: &[W::Payload],
        error: &[W::Payload],
        out: &mut Gradient,
    ) {
        let p = &plan.product;
        let (conv, n_images) = match p.kind {
            ProductKind::Conv => (self.conv, error.len() / p.output.len()),
            ProductKind::Linear => (Conv::linear(error.len() / p.output.c, p.input.c, p.output.c), 1),
        };
        // The way forward has looked at the same input.
        let reach = self.forward.reach.unwrap_or_else(|| plan.input_operand.magnitude());
        let work = GradientWork::<W>::new(conv, n_images, plan, reach);
        let packed = work.pack(isa, error);
        let tasks = work.tasks();
        let sum = |(channels, span): Task, c: &mut [W::Sum]| work.sum(isa, channels, span, input, &packed, c);
        match W::target(out, p.n_weights()) {
            Target::Sums(out) if work.is_in_order(&tasks) => {
                let chunk = work.len(&tasks[0]);
                out.par_chunks_mut(chunk).zip(tasks).for_each(|(out, task)| sum(task, out));
            }
            target => {
                self.partial.resize(tasks.len(), vec![]);
                self.partial.par_iter_mut().zip(tasks).for_each(|(partial, task)| {
                    partial.resize(work.len(&task), W::Sum::default());
                    sum(task, partial);
                });
                match target {
                    Target::Sums(out) => work.gather(&self.partial, out),
                    Target::Wide(out) => work.gather_wide(&self.partial, out),
                }
            }
        }
    }
}

/// How the gradient's long sum is cut: blocks of input channels by spans of images, each a task of its own.
struct GradientWork<W: Width> {
    conv: Conv,
    n_images: usize,
    /// Input channels of a block.
    block: usize,
    /// Images that one call of the kernel sums.
    group: usize,
    /// Groups of a span. Bound: one span's sum fits [`Width::Sum`].
    groups_per_span: usize,
    /// The activations, and how far from 0 they are.
    left: (Operand, u64),
    width: std::marker::PhantomData<W>,
}

/// Input channels and groups of images of a task.
type Task = (Range<usize>, Range<usize>);

/// Depth that one call of the kernel sums, about: long enough to keep its tile in registers.
const DEPTH: usize = 1024;
/// Input channels of a block, about: rows of a tile for 3 x 3 windows.
const CHANNELS: usize = 32;
/// Rows of the gradient that a block of a linear layer has.
const LINEAR_CHANNELS: usize = 192;

impl<W: Width> GradientWork<W> {
    fn new(conv: Conv, n_images: usize, plan: &BlockPlan, reach: u64) -> Self {
        let pixels = conv.out_h() * conv.out_w();
        let block = if conv.kh * conv.kw == 1 { LINEAR_CHANNELS } else { CHANNELS };
        // As many blocks as threads share evenly, where there are several.
        let n_blocks = conv.c_in.div_ceil(block);
        let block = if n_blocks == 1 { conv.c_in } else { conv.c_in.div_ceil(n_blocks.next_multiple_of(4)) };
        let group = (DEPTH / pixels).clamp(1, n_images);
        let n_groups = n_images.div_ceil(group);
        let n_blocks = conv.c_in.div_ceil(block);
        // Exact: integer sums are order-free, so the cut may follow the number of threads.
        let spans = (2 * rayon::current_num_threads()).div_ceil(n_blocks).clamp(1, n_groups);
        let of_image = pixels as u128
            * u128::from(plan.input_operand.magnitude())
            * u128::from(plan.error_operand.magnitude());
        let images_max = usize::try_from(W::SUM_MAX / of_image.max(1)).unwrap_or(usize::MAX);
        let groups_per_span = n_groups.div_ceil(spans).min((images_max / group).max(1));
        Self {
            conv,
            n_images,
            block,
            group,
            groups_per_span,
            left: (plan.input_operand, reach),
            width: std::marker::PhantomData,
        }
    }

    fn groups(&self) -> Vec<Range<usize>> {
        let starts = (0..self.n_images).step_by(self.group);
        starts.map(|start| start..(start + self.group).min(self.n_images)).collect()
    }

    /// The tasks; the blocks of a span follow each other.
    fn tasks(&self) -> Vec<Task> {
        let n_groups = self.groups().len();
        let spans = (0..n_groups).step_by(self.groups_per_span);
        let spans = spans.map(|start| start..(start + self.groups_per_span).min(n_groups));
        let c_in = self.conv.c_in;
        let blocks =
            move || (0..c_in).step_by(self.block).map(move |start| start..(start + self.block).min(c_in));
        spans.flat_map(|span| blocks().map(move |block| (block, span.clone()))).collect()
    }

    /// Elements of a task's sums.
    fn len(&self, (channels, _): &Task) -> usize {
        self.conv.kh * self.conv.kw * channels.len() * self.conv.c_out
    }

    /// Whether the sums of all tasks, one behind the other, are the gradient.
    fn is_in_order(&self, tasks: &[Task]) -> bool {
        let n_blocks = self.conv.c_in.div_ceil(self.block);
        tasks.len() == n_blocks && (n_blocks == 1 || self.conv.kh * self.conv.kw == 1)
    }

    /// The errors of each group of images, laid out once for all blocks.
    fn pack(&self, isa: Isa, error: &[W::Payload]) -> Vec<W::Packed> {
        let image_len = self.conv.out_h() * self.conv.out_w() * self.conv.c_out;
        let (left, reach) = self.left;
        let tables = self.conv.gradient::<W::Payload>(self.group, 0..1);
        let pack = |images: Range<usize>| {
            let mut packed = W::Packed::default();
            let values = &error[images.start * image_len..images.end * image_len];
            if images.len() == self.group {
                W::pack_errors(isa, tables.source(values), left, reach, &mut packed);
            } else {
                let tables = self.conv.gradient::<W::Payload>(images.len(), 0..1);
                W::pack_errors(isa, tables.source(values), left, reach, &mut packed);
            }
            packed
        };
        self.groups().into_par_iter().map(pack).collect()
    }

    /// Sums of one block over one span, `[window, block, out]`, into `c`.
    fn sum(
        &self,
        isa: Isa,
        channels: Range<usize>,
        span: Range<usize>,
        input: &[W::Payload],
        packed: &[W::Packed],
        c: &mut [W::Sum],
    ) {
        let conv = &self.conv;
        let layout = conv.gradient_layout::<W::Payload>();
        let (image_len, staged_len) = (conv.h * conv.w * conv.c_in, channels.len() * layout.channel_len());
        let zero = W::zero(self.left.0);
        let mut staged = vec![zero; layout.buffer_len(channels.len(), self.group)];
        let c_stride = conv.c_out;
        let mut tables = conv.gradient::<W::Payload>(self.group, channels.clone());
        for (i, images) in self.groups().into_iter().enumerate().skip(span.start).take(span.len()) {
            if images.len() != self.group {
                tables = conv.gradient::<W::Payload>(images.len(), channels.clone());
            }
            for (image, to) in images.zip(staged.chunks_mut(staged_len)) {
                stage_planes(&input[image * image_len..], &layout, channels.clone(), to, zero);
            }
            let Tables { rows, steps, .. } = &tables;
            let store = if i == span.start { Store::Set } else { Store::Add };
            W::dot(
                isa,
                product::Args { a: &staged, rows, steps, b: &packed[i], c, c_stride, init: None, store },
            );
        }
    }

    /// Adds the spans up and puts each block's rows where they belong in `[window, in, out]`.
    fn gather(&self, partial: &[Vec<W::Sum>], out: &mut [W::Sum]) {
        self.each_row(partial, out, |out, spans| {
            out.copy_from_slice(spans.next().unwrap_or_default());
            spans.for_each(|span| out.iter_mut().zip(span).for_each(|(out, sum)| *out = W::add(*out, *sum)));
        });
    }

    /// The same into 64 bits, where one span fits the kernels' sums but all together do not.
    fn gather_wide(&self, partial: &[Vec<W::Sum>], out: &mut [i64]) {
        self.each_row(partial, out, |out, spans| {
            out.fill(0);
            for span in spans {
                for (out, sum) in out.iter_mut().zip(span) {
                    let sum: i64 = (*sum).into();
                    *out += sum;
                }
            }
        });
    }

    /// Calls `f(row of out, the same row of each span)`.
    fn each_row<T: Send>(
        &self,
        partial: &[Vec<W::Sum>],
        out: &mut [T],
        f: impl Fn(&mut [T], &mut dyn Iterator<Item = &[W::Sum]>) + Sync,
    ) {
        let (c_in, n) = (self.conv.c_in, self.conv.c_out);
        let n_blocks = c_in.div_ceil(self.block);
        out.par_chunks_mut(n).with_min_len(64).enumerate().for_each(|(row, out)| {
            let (window, ci) = (row / c_in, row % c_in);
            let (block, at) = (ci / self.block, ci % self.block);
            let block_len = self.block.min(c_in - block * self.block);
            let start = (window * block_len + at) * n;
            let mut spans = partial.chunks_exact(n_blocks).map(|span| &span[block][start..start + n]);
            f(out, &mut spans);
        });
    }
}
