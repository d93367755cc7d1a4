//! A product channel by channel and what follows it: images, or some rows of one, each on one thread.

use std::ops::Range;

use intrain_kernels::depthwise::{self, Multiply, pixels_a_row};
use intrain_kernels::stage::{Conv, RowsLayout, stage_rows, staged_as_is};
use intrain_kernels::{Integer, Isa};
use intrain_model::Shape;
use intrain_nn::threads;

use crate::epilogue::Epilogue;
use crate::pieces::{seen, spans};
use crate::product::{Layer, Work, cleared, geometry};
use crate::tensor::{Code, Element, Tensor, with_element};
use crate::width::{Buffers, Scratch, Width};

/// A layer's weights, laid out, and how its output is cut.
pub(crate) struct Depthwise<W: Width> {
    /// Elements of an image, of its results, and of a row of the image.
    lens: [usize; 3],
    strips: Vec<Strip>,
    /// Offset of each tap in what is staged.
    steps: Vec<u32>,
    /// `[taps][pixels][channels]`: the same for each of the pixels that a row of sums holds.
    weights: Vec<W::Weight>,
    /// What the sums of a row start from.
    init: Vec<W::Sum>,
}

/// Some rows of an image's results.
struct Strip {
    /// How what they see is staged.
    layout: RowsLayout,
    /// The first row of the image that they see.
    first_row: usize,
    /// Where each row of sums starts in what is staged.
    rows: Vec<u32>,
    /// The number of their first sum in the image.
    first: usize,
    /// Results that the epilogue leaves of them.
    left: usize,
}

impl<W: Width> Depthwise<W> {
    /// `step` rows of the output are one of what is `left`.
    pub(crate) fn new(
        layer: &Layer<'_>,
        (step, left): (usize, Shape),
        (batch, threads): (usize, usize),
    ) -> Self {
        let (conv, c) = (geometry(layer), layer.input.c);
        let pixels = pixels_a_row(conv.out_w(), c, conv.stride[1]);
        let tables = conv.forward_by_channel(pixels);
        let strip = |span: Range<usize>| strip(&conv, &tables.rows, span, (step, left.w * left.c));
        let cut = || spans(&conv, step, (batch, threads)).into_iter().map(strip).collect::<Option<Vec<_>>>();
        let (form, taps) = (layer.form, layer.form.window.n_taps());
        let of_tap = |tap: usize| (0..c).map(move |channel| W::weight(form.weights[channel * taps + tap]));
        let bias: Vec<W::Sum> = match &form.bias {
            Some(bias) => bias.iter().map(|bias| W::Sum::from_i64(*bias)).collect(),
            None => vec![W::Sum::default(); c],
        };
        Self {
            lens: [layer.input.len(), layer.output.len(), layer.input.w * c],
            strips: cut().unwrap_or_else(|| vec![whole(&conv, &tables.rows, left.len())]),
            steps: tables.steps,
            weights: (0..taps).flat_map(|tap| (0..pixels).flat_map(move |_| of_tap(tap))).collect(),
            init: bias.repeat(pixels),
        }
    }

    /// The sums of a strip of image `image`.
    fn sums(
        &self,
        isa: Isa,
        (strip, image): (&Strip, usize),
        source: &Tensor,
        (staged, widened): (&mut Vec<W::Staged>, &mut Vec<i16>),
        sums: &mut [W::Sum],
    ) {
        let (layout, zero) = (&strip.layout, W::Staged::default());
        let first = image * self.lens[0] + strip.first_row * self.lens[2];
        let codes = W::codes(source, first..first + layout.h * self.lens[2], widened);
        let a = staged_as_is(codes, layout, zero).unwrap_or_else(|| {
            let a = cleared(staged, layout, 1, zero);
            stage_rows(codes, layout, a, zero);
            a
        });
        let (rows, steps, b, init) = (&strip.rows, &self.steps, &self.weights, &self.init);
        depthwise::multiply(isa, Multiply::<W::Code> { a, rows, steps, b, init, c: sums });
    }
}

/// An image's results as one strip.
fn whole(conv: &Conv, rows: &[u32], left: usize) -> Strip {
    Strip { layout: conv.forward_layout(), first_row: 0, rows: rows.to_vec(), first: 0, left }
}

/// The rows `out` of an image's results, of which `step` become one of `row` integers; none where they see nothing of the image.
fn strip(conv: &Conv, rows: &[u32], out: Range<usize>, (step, row): (usize, usize)) -> Option<Strip> {
    let seen = seen(conv, &out)?;
    let a_row = rows.len() / conv.out_h();
    let rows = rows[out.start * a_row..out.end * a_row].iter().map(|row| seen.place(*row)).collect();
    Some(Strip {
        layout: seen.layout,
        first_row: seen.first_row,
        rows,
        first: out.start * conv.out_w() * conv.c_out,
        left: out.len() / step * row,
    })
}

impl<W: Width> Work for Depthwise<W> {
    fn run(
        &self,
        isa: Isa,
        (n, source): (usize, &Tensor),
        (epilogue, element): (&Epilogue, Element),
        slots: &[Tensor],
        out: &mut Tensor,
        scratches: &mut [Scratch],
    ) {
        let left: usize = self.strips.iter().map(|strip| strip.left).sum();
        with_element!(element, P => {
            let mut rest = P::of_mut(out, n * left);
            let strips = (0..n).flat_map(|image| self.strips.iter().map(move |strip| (strip, image)));
            let items = strips.map(|(strip, image)| {
                let (first, behind) = std::mem::take(&mut rest).split_at_mut(strip.left);
                rest = behind;
                (strip, image, first)
            });
            threads::for_each(scratches, items, |scratch, (strip, image, out)| {
                let Buffers { staged, sums, widened, part } = W::buffers(scratch);
                sums.resize(strip.rows.len() * self.init.len(), W::Sum::default());
                self.sums(isa, (strip, image), source, (staged, widened), sums);
                epilogue.run(isa, (sums, image * self.lens[1] + strip.first), slots, out, part);
            });
        });
    }

    fn weight_bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }
}
