//! The product of a depthwise convolution, whose outputs see one channel each: forward, error and gradient.
#![deny(clippy::float_arithmetic)]

use intrain_kernels::depthwise::{self, Multiply, pixels_a_row};
use intrain_kernels::stage::{ChannelTables, Conv, RowsLayout, stage_rows, staged_as_is};
use intrain_kernels::{Isa, max_abs};

use crate::layers::conv::{Lend, cleared, geometry};
use crate::operands::{Operands, Staged, Target};
use crate::plan::BlockPlan;
use crate::threads;

/// A block's weights and address tables, channel by channel.
pub(crate) struct Depthwise<O: Operands> {
    conv: Conv,
    forward: Direction<O>,
    error: Direction<O>,
    /// What the sums of a row start from: forward, and of errors.
    bias: Vec<O::Sum>,
    zeros: Vec<O::Sum>,
    /// Sums of each span of images, `[taps][channels of a row]`.
    partial: Vec<Vec<O::Sum>>,
}

/// The product with the weights in one direction.
struct Direction<O: Operands> {
    layout: RowsLayout,
    tables: ChannelTables,
    /// Neighbouring pixels that one row of sums holds.
    pixels: usize,
    /// `[taps][pixels][channels]`: the same for each pixel.
    weights: Vec<O::Weight>,
}

impl<O: Operands> Direction<O> {
    /// Lays the weights `[taps][channels]` out, in the order of the steps.
    fn load<'a>(&mut self, taps: impl Iterator<Item = &'a [O::Weight]>)
    where
        O::Weight: 'a,
    {
        self.weights.clear();
        for tap in taps {
            (0..self.pixels).for_each(|_| self.weights.extend_from_slice(tap));
        }
    }

    /// The sums of an image, which start from `init`.
    fn run(
        &self,
        isa: Isa,
        from: &[O::Code],
        init: &[O::Sum],
        staged: &mut Vec<Staged<O>>,
        c: &mut [O::Sum],
    ) {
        let a = stage::<O>(&self.layout, from, staged);
        let ChannelTables { rows, steps } = &self.tables;
        depthwise::multiply(isa, Multiply::<O::Code> { a, rows, steps, b: &self.weights, init, c });
    }
}

/// An image with zeros around it, which are staged as themselves.
fn stage<'a, O: Operands>(
    layout: &RowsLayout,
    from: &'a [O::Code],
    staged: &'a mut Vec<Staged<O>>,
) -> &'a [Staged<O>] {
    let zero = Staged::<O>::default();
    staged_as_is(from, layout, zero).unwrap_or_else(|| {
        let a = cleared(staged, layout.buffer_len(1), layout.image_len(), zero);
        stage_rows(from, layout, a, zero);
        a
    })
}

impl<O: Operands> Depthwise<O> {
    pub(crate) fn new(plan: &BlockPlan) -> Self {
        let conv = geometry(&plan.product, 1);
        let forward = pixels_a_row(conv.out_w(), conv.c_in, conv.stride[1]);
        let error = pixels_a_row(conv.w, conv.c_in, 1);
        Self {
            conv,
            forward: Direction {
                layout: conv.forward_layout(),
                tables: conv.forward_by_channel(forward),
                pixels: forward,
                weights: vec![],
            },
            error: Direction {
                layout: conv.error_layout(),
                tables: conv.error_by_channel(error),
                pixels: error,
                weights: vec![],
            },
            bias: vec![],
            zeros: vec![O::Sum::default(); conv.c_in * error],
            partial: vec![],
        }
    }

    /// The weights of either direction, and the biases where there are any, have been read anew.
    pub(crate) fn load(&mut self, [weights, back]: [&[O::Weight]; 2], bias: &[O::Sum]) {
        self.forward.load(weights.chunks_exact(self.conv.c_in));
        self.error.load(back.chunks_exact(self.conv.c_in).rev());
        self.bias.clear();
        for _ in 0..self.forward.pixels {
            self.bias.extend_from_slice(bias);
        }
        self.bias.resize(self.conv.c_in * self.forward.pixels, O::Sum::default());
    }

    /// `sums[pixel][channel] = bias[channel] + sum over window of input * weight`.
    pub(crate) fn forward(
        &self,
        isa: Isa,
        input: &[O::Code],
        staged: &mut Vec<Staged<O>>,
        sums: &mut [O::Sum],
    ) {
        self.forward.run(isa, input, &self.bias, staged, sums);
    }

    /// `sums[input pixel][channel] = sum over outputs that saw it of error * weight`.
    pub(crate) fn error(
        &self,
        isa: Isa,
        error: &[O::Code],
        staged: &mut Vec<Staged<O>>,
        sums: &mut [O::Sum],
    ) {
        self.error.run(isa, error, &self.zeros, staged, sums);
    }

    /// `gradient[tap][channel] = sum over images and pixels of input * error`; and its largest magnitude, where `has_shift`.
    pub(crate) fn gradient<S: Lend<O>>(
        &mut self,
        isa: Isa,
        plan: &BlockPlan,
        (input, error): (&[O::Code], &[O::Code]),
        target: Target<'_, O::Sum>,
        has_shift: bool,
        scratches: &mut [S],
    ) -> Option<u64> {
        let (item_in, item_out) = (plan.product.input.len(), plan.product.output.len());
        let images = span::<O>(plan, input.len() / item_in);
        let Self { conv, forward, partial, .. } = self;
        let row = conv.c_in * forward.pixels;
        partial.resize_with((input.len() / item_in).div_ceil(images), Vec::new);
        let spans = input.chunks(images * item_in).zip(error.chunks(images * item_out));
        threads::for_each(scratches, partial.iter_mut().zip(spans), |scratch, (g, (input, error))| {
            g.clear();
            g.resize(conv.taps() * row, O::Sum::default());
            let staged = &mut scratch.lend().staged;
            for (input, e) in input.chunks_exact(item_in).zip(error.chunks_exact(item_out)) {
                let a = stage::<O>(&forward.layout, input, staged);
                let ChannelTables { rows, steps } = &forward.tables;
                let args = depthwise::Gradient::<O::Code> { a, rows, steps, channels: row, e, g };
                depthwise::gradient(isa, args);
            }
        });
        // Span by span, and in it pixel by pixel of a row: an order that depends on shapes alone.
        let c = conv.c_in;
        let parts =
            |tap: usize| partial.iter().flat_map(move |g| g[tap * row..(tap + 1) * row].chunks_exact(c));
        match target {
            Target::Narrow(_) => unreachable!("sums over pixels are kept in full"),
            Target::Sums(out) => {
                for (tap, out) in out.chunks_exact_mut(c).enumerate() {
                    out.fill(O::Sum::default());
                    for part in parts(tap) {
                        out.iter_mut().zip(part).for_each(|(out, sum)| *out = O::add(*out, *sum));
                    }
                }
                has_shift.then(|| O::largest(isa, out))
            }
            Target::Wide(out) => {
                for (tap, out) in out.chunks_exact_mut(c).enumerate() {
                    out.fill(0);
                    for part in parts(tap) {
                        out.iter_mut().zip(part).for_each(|(out, sum)| *out = O::add_wide(*out, *sum));
                    }
                }
                has_shift.then(|| max_abs::run(isa, out))
            }
        }
    }
}

/// Images whose gradient is summed by itself: one task's share, and no more than fit a sum.
fn span<O: Operands>(plan: &BlockPlan, n_images: usize) -> usize {
    let p = &plan.product;
    let reach = u128::from(plan.input_operand.max_abs()) * u128::from(plan.error_operand.max_abs());
    // Bound: so many images' sums fit the kernels' sums.
    let of_image = (p.output.h * p.output.w) as u128 * reach;
    let most = usize::try_from(O::SUM_MAX / of_image.max(1)).unwrap_or(usize::MAX);
    n_images.div_ceil(O::tasks()).clamp(1, most.max(1))
}
