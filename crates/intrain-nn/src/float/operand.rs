//! Operands of products between floats in small formats: the rows `weight`, `activation` and `error.product`.
//!
//! Section 13.6 of `docs/arithmetic.md`. Each product quantizes what it reads along its own sum, from binary32; the values go on
//! as binary32 numbers. Which thread quantizes an element changes nothing: its word is that of its number in the tensor, and
//! blocks are never cut.

use intrain_formats::parts;
use intrain_kernels::Isa;
use intrain_kernels::blocks::{self, Args, Axis};
use intrain_num::Coded;
use intrain_num::block::{Extent, HADAMARD};
use intrain_num::random::{Purpose, Stream};
use rayon::prelude::*;

use crate::key::Mode;
use crate::plan::{BlockPlan, ProductPlan};
use crate::stats::{Measure, share};
use crate::tensor::{Buffers, Tensor};

/// Elements that one thread transforms at a time, about.
const CHUNK: usize = 1 << 14;
/// Rows of a gradient's sum that one Hadamard transform takes.
const TRANSFORMED: usize = 16;

/// A format with its random words, as they hold in training or in evaluation.
#[derive(Clone, Copy)]
pub(crate) struct Quantize {
    isa: Isa,
    coded: Coded,
    stream: Option<Stream>,
}

impl Quantize {
    /// For a tensor of the block `layer`.
    pub(crate) fn new(isa: Isa, coded: Coded, purpose: Purpose, layer: u32, mode: Mode) -> Self {
        match mode {
            Mode::Training(key) if coded.round.is_stochastic() => {
                Self { isa, coded, stream: Some(key.stream(purpose, layer)) }
            }
            Mode::Training(_) => Self { isa, coded, stream: None },
            Mode::Evaluation => Self { isa, coded: coded.in_evaluation(), stream: None },
        }
    }

    /// `out` becomes what `values` are in the format, with blocks along `axis`.
    pub(crate) fn run(&self, axis: Axis, values: &[f32], out: &mut [f32]) {
        let Self { isa, coded: Coded { coding, round, .. }, stream } = *self;
        parts::values(isa, Args { coding, round, axis, values, stream, first_element: 0 }, out);
    }

    /// What the format makes of `values`: the share of zeros, and in place of limits that of blocks in which something was
    /// clipped; of elements where there are no blocks.
    pub(crate) fn measure(&self, axis: Axis, values: &[f32]) -> Measure {
        let Self { isa, coded: Coded { coding, round, .. }, stream } = *self;
        let args = Args { coding, round, axis, values, stream, first_element: 0 };
        let mut codes = vec![0_u32; values.len()];
        let mut scales = vec![0; blocks::scale_count(&coding, axis)];
        let factor = blocks::codes(isa, args, &mut codes, &mut scales);
        let mut decoded = vec![0.0; values.len()];
        blocks::decode(&coding, axis, &codes, &scales, factor, &mut decoded);
        let found = blocks::statistics(&args, &scales, factor, &decoded);
        let n = values.len() as u64;
        let (clipped, of) =
            if self.coded.has_blocks() { (found.clipped_blocks, found.blocks) } else { (found.clipped, n) };
        Measure { zero: share(found.zeros, n), limit: Some(share(clipped, of)), bits: None }
    }

    /// The same into a buffer that nobody uses now.
    pub(crate) fn taken(&self, axis: Axis, values: &[f32], free: &mut Buffers) -> Vec<f32> {
        let mut out: Vec<f32> = free.take(values.len());
        self.run(axis, values, &mut out);
        out
    }
}

/// Weights `[taps, in / groups, out]` as the forward product reads them: along the inputs of a tap.
pub(crate) fn weights(mut quantize: Quantize, p: &ProductPlan, stored: &[f32], out: &mut Vec<f32>) {
    out.resize(stored.len(), 0.0);
    let (outer, inputs, outputs) = (p.window.n_taps(), p.input.c / p.groups, p.output.c);
    let mut axis = Axis { outer, len: inputs, inner: outputs };
    // A tile lies within a tap. Where a tap is a single line, the kernel would take lines of other taps to it: such a line is laid
    // across, and a single weight is a run of its own.
    if let (Some(Extent::Tile(_)), 1) = (quantize.coded.coding.extent(), outputs) {
        axis = Axis { outer, len: 1, inner: inputs };
        if inputs == 1 {
            let coding = quantize.coded.coding;
            quantize.coded.coding = coding.with_extent(Extent::Run(16)).unwrap_or(coding);
        }
    }
    quantize.run(axis, stored, out);
}

/// The same as the error's product reads them: along the outputs of a group.
pub(crate) fn weights_back(quantize: Quantize, p: &ProductPlan, stored: &[f32], out: &mut Vec<f32>) {
    out.resize(stored.len(), 0.0);
    quantize.run(channels(stored.len(), p.output.c / p.groups), stored, out);
}

/// So many elements, none with a neighbour.
pub(crate) const fn apart(n: usize) -> Axis {
    Axis { outer: n, len: 1, inner: 1 }
}

/// Lines of `len` channels beside each other.
const fn channels(n: usize, len: usize) -> Axis {
    Axis { outer: n / len, len, inner: 1 }
}

/// The axis of so many channels of pixels, in groups.
pub(crate) const fn along_channels_of(n: usize, (c, groups): (usize, usize)) -> Axis {
    channels(n, c / groups)
}

/// What enters, or an error, as a product reads it whose sum is over the channels of a group.
pub(crate) fn along_channels(
    quantize: Quantize,
    channels: (usize, usize),
    values: &[f32],
    free: &mut Buffers,
) -> Vec<f32> {
    quantize.taken(along_channels_of(values.len(), channels), values, free)
}

/// An operand of the gradient's product, `[rows, c]`: its sum is over the rows, which are transformed in groups before where the
/// block says so; none where it is read as it is.
pub(crate) fn along_rows(
    isa: Isa,
    (plan, c): (&BlockPlan, usize),
    quantize: Option<Quantize>,
    values: &[f32],
    free: &mut Buffers,
) -> Option<Vec<f32>> {
    let axis = Axis { outer: 1, len: values.len() / c, inner: c };
    let transformed = plan.operands.hadamard.then(|| {
        let mut out: Vec<f32> = free.take(values.len());
        transform(isa, axis, values, &mut out);
        out
    });
    let Some(quantize) = quantize else { return transformed };
    let out = quantize.taken(axis, transformed.as_deref().unwrap_or(values), free);
    if let Some(buffer) = transformed {
        free.put(Tensor::F32(buffer));
    }
    Some(out)
}

/// The Hadamard transform of rows in groups, over all threads.
fn transform(isa: Isa, axis: Axis, values: &[f32], out: &mut [f32]) {
    let group = TRANSFORMED * axis.inner;
    let chunk = group * CHUNK.div_ceil(group);
    out.par_chunks_mut(chunk).zip(values.par_chunks(chunk)).for_each(|(out, values)| {
        let axis = Axis { len: values.len() / axis.inner, ..axis };
        blocks::transform(isa, axis, values, HADAMARD, out);
    });
}
