//! The gradient of the weights: one long sum over images and pixels, for convolutions and linear layers.
//!
//! It is cut into tasks, blocks of input channels by spans of images, which threads sum on their own and which are
//! added up at the end. Sums of integers are order-free, so their cut may follow the number of threads; that of floats
//! depends on shapes alone.
#![deny(clippy::float_arithmetic)]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use intrain_kernels::product::{self, Store};
use intrain_kernels::stage::{Band, Conv, Tables, stage_planes};
use intrain_kernels::{Isa, max_abs};
use rayon::prelude::*;

use crate::layers::conv::{Lend, Scratch, cleared};
use crate::operands::{Operands, Target};
use crate::plan::{BlockPlan, Operand};
use crate::threads;

/// The product for batches of one size, with its tables and buffers.
pub(crate) struct GradientProduct<O: Operands> {
    conv: Conv,
    /// Images, or 1 where the batch is the image of a linear layer.
    n_images: usize,
    /// The activations.
    input: Operand,
    /// Input channels of a block; the last block may have fewer.
    block: usize,
    /// The images that one call of the kernel sums.
    groups: Vec<Range<usize>>,
    /// The blocks of a span follow each other.
    tasks: Vec<Task>,
    /// For a whole block of channels and for the last one, each for a whole group of images and for the last one.
    tables: [[Tables; 2]; 2],
    /// The errors of each group.
    packed: Vec<O::Packed>,
    /// Sums of the tasks, where they are not the gradient as they are.
    partial: Vec<Vec<O::Sum>>,
}

/// The largest magnitude of what all threads have seen, where anyone asks for it.
struct Largest(Option<AtomicU64>);

impl Largest {
    fn see(&self, of_part: impl FnOnce() -> u64) {
        if let Self(Some(largest)) = self {
            largest.fetch_max(of_part(), Ordering::Relaxed);
        }
    }
}

/// Input channels of a task, and its groups of images.
type Task = (Range<usize>, Range<usize>);

/// Depth that one call of the kernel sums, about: long enough to keep its tile in registers.
const DEPTH: usize = 1024;
/// Elements that one call of the kernel reads, at most where an image has no more.
const STAGED: usize = 1 << 26;
/// Input channels of a block, about: rows of a tile for 3 x 3 windows.
const CHANNELS: usize = 32;
/// Rows of a register tile, which a block should have a multiple of.
const TILE_ROWS: usize = 12;
/// Rows of the gradient that a block of a linear layer has, at most.
const LINEAR_CHANNELS: usize = 192;
/// Bytes of a linear layer's block of integers, about: they stay in the second-level cache until they are narrowed.
const LINEAR_BYTES: usize = 1 << 18;

/// Rows of a linear layer's gradient in a block: those of floats decide in which order sums are added up.
fn linear_channels<O: Operands>(c_out: usize) -> usize {
    if O::IS_EXACT {
        let rows = LINEAR_BYTES / (c_out * size_of::<O::Sum>()) / TILE_ROWS * TILE_ROWS;
        rows.clamp(2 * TILE_ROWS, LINEAR_CHANNELS)
    } else {
        LINEAR_CHANNELS
    }
}

impl<O: Operands> GradientProduct<O> {
    pub(crate) fn new(conv: Conv, n_images: usize, plan: &BlockPlan) -> Self {
        let (c_in, pixels) = (conv.c_in, conv.out_h() * conv.out_w());
        let block = if conv.taps() == 1 { linear_channels::<O>(conv.c_out) } else { CHANNELS };
        // As many blocks as threads share evenly, where there are several.
        let n_blocks = c_in.div_ceil(block);
        let block = if n_blocks == 1 { c_in } else { c_in.div_ceil(n_blocks.next_multiple_of(4)) };
        let block =
            if conv.taps() == 1 && O::IS_EXACT { block.next_multiple_of(TILE_ROWS).min(c_in) } else { block };
        // Bound: what one call reads is addressed in 32 bits, and is no more than a thread should hold.
        let of_image = block * conv.gradient_layout::<O::Code>().channel_len();
        let group = (DEPTH / pixels).min(STAGED / of_image).clamp(1, n_images);
        let n_groups = n_images.div_ceil(group);
        let spans = O::tasks().div_ceil(c_in.div_ceil(block)).clamp(1, n_groups);
        // Bound: one span's sum fits the kernels' sums.
        let reach = [plan.input_operand.max_abs(), plan.error_operand.max_abs()];
        let of_image = pixels as u128 * u128::from(reach[0]) * u128::from(reach[1]);
        let images_max = usize::try_from(O::SUM_MAX / of_image.max(1)).unwrap_or(usize::MAX);
        let groups_per_span = n_groups.div_ceil(spans).min((images_max / group).max(1));
        let parts =
            |n: usize, size: usize| (0..n).step_by(size).map(move |start| start..(start + size).min(n));
        let last = |n: usize, size: usize| n - (n - 1) / size * size;
        let (last_block, last_group) = (last(c_in, block), last(n_images, group));
        Self {
            conv,
            n_images,
            input: plan.input_operand,
            block,
            groups: parts(n_images, group).collect(),
            tasks: parts(n_groups, groups_per_span)
                .flat_map(|span| parts(c_in, block).map(move |block| (block, span.clone())))
                .collect(),
            tables: [block, last_block].map(|channels| {
                [group, last_group].map(|images| conv.gradient::<O::Code>(images, 0..channels))
            }),
            packed: (0..n_groups).map(|_| O::packed(reach)).collect(),
            partial: vec![],
        }
    }

    /// Whether it was made for such a batch.
    pub(crate) fn fits(&self, conv: &Conv, n_images: usize) -> bool {
        (&self.conv, self.n_images) == (conv, n_images)
    }

    /// The gradient, where input and error are no further from 0 than `reach`; and its largest magnitude, which costs
    /// little while the sums are near, where `has_shift`.
    pub(crate) fn run<S: Lend<O>>(
        &mut self,
        isa: Isa,
        reach: [u64; 2],
        (input, error): (&[O::Code], &[O::Code]),
        target: Target<'_, O::Sum>,
        has_shift: bool,
        scratches: &mut [S],
    ) -> Option<u64> {
        let mut packed = std::mem::take(&mut self.packed);
        threads::for_each(scratches, packed.iter_mut().zip(&self.groups), |_, (packed, images)| {
            self.pack(isa, reach, error, images, packed);
        });
        self.packed = packed;
        let largest = Largest(has_shift.then(AtomicU64::default));
        match target {
            Target::Narrow(out) => {
                debug_assert!(self.is_in_order(), "a linear layer's tasks are blocks of its rows");
                let parts = out.chunks_mut(self.len(&self.tasks[0])).zip(&self.tasks);
                let largest = threads::max(scratches, parts, |scratch, (out, task)| {
                    let scratch = scratch.lend();
                    let mut sums = std::mem::take(&mut scratch.sums);
                    sums.resize(sums.len().max(out.len()), O::Sum::default());
                    self.sum(isa, task, input, &mut sums[..out.len()], scratch);
                    let largest = O::narrow(isa, &sums[..out.len()], out);
                    scratch.sums = sums;
                    largest
                });
                return Some(largest);
            }
            Target::Sums(out) if self.is_in_order() => {
                let parts = out.chunks_mut(self.len(&self.tasks[0])).zip(&self.tasks);
                threads::for_each(scratches, parts, |scratch, (out, task)| {
                    self.sum(isa, task, input, out, scratch.lend());
                    largest.see(|| O::largest(isa, out));
                });
            }
            target => {
                let mut partial = std::mem::take(&mut self.partial);
                partial.resize(self.tasks.len(), vec![]);
                let parts = partial.iter_mut().zip(&self.tasks);
                threads::for_each(scratches, parts, |scratch, (partial, task)| {
                    partial.resize(self.len(task), O::Sum::default());
                    self.sum(isa, task, input, partial, scratch.lend());
                });
                match target {
                    Target::Narrow(_) => {}
                    Target::Sums(out) => {
                        self.gather(&partial, out, |row| largest.see(|| O::largest(isa, row)))
                    }
                    Target::Wide(out) => {
                        self.gather_wide(&partial, out, |row| largest.see(|| max_abs::run(isa, row)))
                    }
                }
                self.partial = partial;
            }
        }
        largest.0.map(AtomicU64::into_inner)
    }

    /// Elements of a task's sums.
    fn len(&self, (channels, _): &Task) -> usize {
        self.conv.taps() * channels.len() * self.conv.c_out
    }

    /// Whether the sums of all tasks, one behind the other, are the gradient.
    fn is_in_order(&self) -> bool {
        let n_blocks = self.conv.c_in.div_ceil(self.block);
        self.tasks.len() == n_blocks && (n_blocks == 1 || self.conv.taps() == 1)
    }

    /// The tables for these channels and images.
    fn tables(&self, channels: &Range<usize>, images: &Range<usize>) -> &Tables {
        let is_last = |part: &Range<usize>, whole: usize| usize::from(part.len() != whole);
        &self.tables[is_last(channels, self.block)][is_last(images, self.groups[0].len())]
    }

    /// Lays the errors of some images out for all blocks.
    fn pack(
        &self,
        isa: Isa,
        reach: [u64; 2],
        error: &[O::Code],
        images: &Range<usize>,
        packed: &mut O::Packed,
    ) {
        let image_len = self.conv.out_h() * self.conv.out_w() * self.conv.c_out;
        let error = &error[images.start * image_len..images.end * image_len];
        // The same for all blocks of channels.
        let tables = self.tables(&(0..self.block), images);
        O::pack_errors(isa, tables.source(error), self.input, reach, packed);
    }

    /// Sums of one block over one span, `[window, block, out]`, into `c`.
    fn sum(
        &self,
        isa: Isa,
        (channels, span): &Task,
        input: &[O::Code],
        c: &mut [O::Sum],
        scratch: &mut Scratch<O>,
    ) {
        let conv = &self.conv;
        let layout = conv.gradient_layout::<O::Code>();
        let (image_len, staged_len) = (conv.h * conv.w * conv.c_in, channels.len() * layout.channel_len());
        let zero = O::zero(self.input);
        for i in span.clone() {
            let images = &self.groups[i];
            let len = layout.buffer_len(channels.len(), images.len());
            let staged = cleared(&mut scratch.staged, len, images.len() * staged_len, zero);
            for (image, to) in images.clone().zip(staged.chunks_mut(staged_len)) {
                stage_planes(isa, &input[image * image_len..], &layout, channels.clone(), to, zero);
            }
            let store = if i == span.start { Store::Set } else { Store::Add };
            let tables = self.tables(channels, images);
            for Band { rows, segments } in &tables.bands {
                let (steps, segments) = (tables.steps_of(segments), segments.clone());
                let (a, b, c_stride) = (&*staged, &self.packed[i], conv.c_out);
                let (c, rows) = (&mut c[rows.start * c_stride..], &tables.rows[rows.clone()]);
                O::dot(isa, product::Args { a, rows, steps, segments, b, c, c_stride, init: None, store });
            }
        }
    }

    /// Adds the spans up and puts each block's rows where they belong in `[window, in, out]`; `seen` gets each row.
    fn gather(&self, partial: &[Vec<O::Sum>], out: &mut [O::Sum], seen: impl Fn(&[O::Sum]) + Sync) {
        self.each_row(partial, out, |out, spans| {
            out.copy_from_slice(spans.next().unwrap_or_default());
            spans.for_each(|span| out.iter_mut().zip(span).for_each(|(out, sum)| *out = O::add(*out, *sum)));
            seen(out);
        });
    }

    /// The same into 64 bits, where one span fits the kernels' sums but all together do not.
    fn gather_wide(&self, partial: &[Vec<O::Sum>], out: &mut [i64], seen: impl Fn(&[i64]) + Sync) {
        self.each_row(partial, out, |out, spans| {
            out.fill(0);
            for span in spans {
                out.iter_mut().zip(span).for_each(|(out, sum)| *out = O::add_wide(*out, *sum));
            }
            seen(out);
        });
    }

    /// Calls `f(row of out, the same row of each span)`.
    fn each_row<T: Send>(
        &self,
        partial: &[Vec<O::Sum>],
        out: &mut [T],
        f: impl Fn(&mut [T], &mut dyn Iterator<Item = &[O::Sum]>) + Sync,
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
