//! The gradient of a convolution's weights in floats: tasks of some channels and some images, then their sum.
//!
//! How tasks are cut depends on shapes alone, and their sums are added in order: the same result for any number of
//! threads.

use std::ops::Range;

use intrain_kernels::dot_f32::{self, Into, Matrix};
use rayon::prelude::*;

use super::{FEW_CHANNELS, FloatScratch, ROWS};
use crate::layers::image;
use crate::plan::ProductPlan;
use crate::threads;

/// Input channels of a task, where they are a multiple of it.
const CHANNELS: usize = 128;
/// Tasks at least, so that threads share them evenly.
const TASKS: usize = 8;

/// How a gradient `[kernel, kernel, in, out]` is cut.
struct Cut {
    /// Input channels of a task.
    block: usize,
    n_blocks: usize,
    /// Images of a task.
    span: usize,
    /// Images of a product: the pixels are its depth.
    group: usize,
}

impl Cut {
    fn of(p: &ProductPlan, n_images: usize) -> Self {
        let block = if p.input.c.is_multiple_of(CHANNELS) { CHANNELS } else { p.input.c };
        let n_blocks = p.input.c / block;
        let group = (ROWS / (p.output.h * p.output.w)).clamp(1, n_images);
        let n_groups = n_images.div_ceil(group);
        let n_spans = TASKS.div_ceil(n_blocks).min(n_groups);
        Self { block, n_blocks, span: n_groups.div_ceil(n_spans) * group, group }
    }
}

/// Sums `input`'s windows times `error` into `out`; `partial` is room for the sums of tasks.
pub(super) fn conv(
    p: &ProductPlan,
    (input, error): (&[f32], &[f32]),
    out: &mut [f32],
    partial: &mut Vec<Vec<f32>>,
    scratches: &mut [FloatScratch],
) {
    let n_images = error.len() / p.output.len();
    let cut = Cut::of(p, n_images);
    partial.resize(n_images.div_ceil(cut.span) * cut.n_blocks, vec![]);
    threads::for_each(scratches, partial.iter_mut().enumerate(), |scratch, (task, sums)| {
        let (span, block) = (task / cut.n_blocks, task % cut.n_blocks);
        let images = span * cut.span..((span + 1) * cut.span).min(n_images);
        let channels = block * cut.block..(block + 1) * cut.block;
        sums.resize(p.kernel * p.kernel * cut.block * p.output.c, 0.0);
        for first in images.clone().step_by(cut.group) {
            let group = first..(first + cut.group).min(images.end);
            let of_group = |tensor, len: usize| &<[f32]>::as_ref(tensor)[group.start * len..group.end * len];
            let operands = (of_group(input, p.input.len()), of_group(error, p.output.len()));
            let into = if first == images.start { Into::Replace } else { Into::Add };
            add_group(p, operands, channels.clone(), sums, &mut scratch.columns, into);
        }
    });
    let (c_in, n) = (p.input.c, p.output.c);
    out.par_chunks_mut(n).with_min_len(64).enumerate().for_each(|(row, out)| {
        let (tap, channel) = (row / c_in, row % c_in);
        let start = (tap * cut.block + channel % cut.block) * n;
        let spans = partial.chunks_exact(cut.n_blocks);
        let mut sums = spans.map(|span| &span[channel / cut.block][start..start + n]);
        out.copy_from_slice(sums.next().unwrap_or_default());
        sums.for_each(|sums| out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum));
    });
}

/// The products of some images, tap by tap, while they are in cache.
fn add_group(
    p: &ProductPlan,
    (input, error): (&[f32], &[f32]),
    channels: Range<usize>,
    sums: &mut [f32],
    buffer: &mut Vec<f32>,
    into: Into,
) {
    let n = p.output.c;
    let rows = error.len() / n;
    let error = Matrix::row_major(error, rows, n);
    if p.input.c < FEW_CHANNELS {
        let columns = Matrix::row_major(image::columns(p, input, buffer), rows, p.fan_in());
        dot_f32::run(columns.transposed(), error, sums, into);
        return;
    }
    for (tap, sums) in sums.chunks_exact_mut(channels.len() * n).enumerate() {
        image::tap(p, input, tap, channels.clone(), buffer);
        dot_f32::run(Matrix::row_major(buffer, rows, channels.len()).transposed(), error, sums, into);
    }
}
