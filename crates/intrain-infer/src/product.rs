//! A product and what follows it: pieces of the output, each through the kernels and the epilogue on one thread.

use intrain_deploy::{Product as Form, Range};
use intrain_kernels::product::{self, Store};
use intrain_kernels::stage::{Conv, RowsLayout, Tables, stage_rows, staged_as_is};
use intrain_kernels::{Integer, Isa};
use intrain_model::Shape;
use intrain_nn::threads;

use crate::epilogue::Epilogue;
use crate::pieces::{Piece, cut};
use crate::tensor::{Code, Element, Tensor, with_element};
use crate::width::{Buffers, Scratch, Width};

/// Columns that are packed together.
const GROUP: usize = 128;

/// A layer's weights, laid out, and how its output is cut.
pub(crate) struct Product<W: Width> {
    /// Elements of an image, of its results, and of what a pooling leaves of them.
    lens: [usize; 3],
    input: Shape,
    tables: Tables,
    pieces: Vec<Piece>,
    packed: Vec<W::Packed>,
    bias: Vec<W::Sum>,
    zero: W::Staged,
    /// Pixels in a row of results.
    width: usize,
    /// Rows of results that become one.
    step: usize,
    /// Whether it is a linear layer: its pixels are the images of a batch.
    is_linear: bool,
    /// Whether threads share an output's columns: a linear layer of few images.
    by_columns: bool,
}

/// A layer's product and what follows it.
pub(crate) trait Work: Send + Sync {
    /// The results for `n` images, from the tensor in `source`.
    fn run(
        &self,
        isa: Isa,
        images: (usize, &Tensor),
        results: (&Epilogue, Element),
        slots: &[Tensor],
        out: &mut Tensor,
        scratches: &mut [Scratch],
    );
    /// Bytes of memory that the weights take.
    fn weight_bytes(&self) -> usize;
}

/// A layer as the deployed form has it.
pub(crate) struct Layer<'a> {
    pub(crate) form: &'a Form,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// What enters.
    pub(crate) entering: Range,
}

impl<W: Width> Product<W> {
    /// `step` rows of the output are one of what is `left`.
    pub(crate) fn new(
        isa: Isa,
        layer: &Layer<'_>,
        (step, left): (usize, Shape),
        (batch, threads): (usize, usize),
    ) -> Self {
        let Layer { form, input, output, entering } = *layer;
        let is_linear = output.h * output.w == 1
            && form.groups == 1
            && form.window.pad == [0; 2]
            && form.window.kernel == [input.h, input.w];
        let by_columns = is_linear && threads > 1 && batch < 2 * threads;
        let rows = if by_columns { batch } else { batch.div_ceil(2 * threads).clamp(1, 48) };
        let conv = if is_linear { Conv::linear(rows, input.len(), output.c) } else { geometry(layer) };
        let tables = conv.forward::<W::Code>(1);
        let weights = taps_first(layer);
        let columns = (0..tables.n.div_ceil(GROUP)).map(|i| i * GROUP..((i + 1) * GROUP).min(tables.n));
        let pack = |columns| W::pack(isa, &tables, &weights, columns, entering);
        let packed = columns.map(pack).collect();
        let pieces = if is_linear {
            vec![linear(&conv, &tables)]
        } else {
            cut::<W::Code>(&conv, &tables, step, (batch, threads))
        };
        Self {
            lens: [input.len(), output.len(), left.len()],
            input,
            pieces,
            packed,
            bias: form.bias.iter().flatten().map(|bias| W::Sum::from_i64(*bias)).collect(),
            zero: W::zero(entering),
            width: output.w,
            step,
            is_linear,
            by_columns,
            tables,
        }
    }

    /// Calls `f` with the pieces of all images and where their results go.
    fn each_piece<P: Send>(
        &self,
        scratches: &mut [Scratch],
        out: &mut [P],
        f: impl Fn(&mut Scratch, Item<'_>, &mut [P]) + Sync,
    ) {
        let (mut rest, mut i) = (out, 0);
        let row = self.lens[2] / (self.lens[1] / self.tables.n / self.width / self.step);
        let items = std::iter::from_fn(|| {
            let piece = &self.pieces[i % self.pieces.len()];
            let len = match self.pieces.len() {
                1 => piece.images * self.lens[2],
                _ => piece.rows.len() / self.width / self.step * row,
            };
            let len = len.min(rest.len());
            let (first, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            let image = i / self.pieces.len() * piece.images;
            i += 1;
            (!first.is_empty()).then_some((Item { piece, image }, first))
        });
        threads::for_each(scratches, items, |scratch, (item, out)| f(scratch, item, out));
    }

    /// The sums of a piece.
    fn sums(
        &self,
        isa: Isa,
        Item { piece, image }: Item<'_>,
        source: &Tensor,
        (staged, widened): (&mut Vec<W::Staged>, &mut Vec<i16>),
        out: &mut [W::Sum],
    ) {
        let n_rows = out.len() / self.tables.n;
        let a = self.stage((piece, image), source, n_rows, staged, widened);
        let c_stride = self.tables.n;
        let init = (!self.bias.is_empty()).then_some(self.bias.as_slice());
        for band in &piece.bands {
            let (rows, steps) =
                (band.rows.start..band.rows.end.min(n_rows), self.tables.steps_of(&band.segments));
            if rows.is_empty() {
                break;
            }
            for (group, b) in self.packed.iter().enumerate() {
                let (first, store, segments) = (group * GROUP, Store::Set, band.segments.clone());
                let c = &mut out[rows.start * c_stride + first..];
                let init = init.map(|init| &init[first..(first + GROUP).min(c_stride)]);
                let rows = &piece.rows[rows.clone()];
                W::dot(isa, product::Args { a, rows, steps, segments, b, c, c_stride, init, store });
            }
        }
    }

    /// What `n_rows` rows of a piece see, as the kernels read it.
    fn stage<'a>(
        &self,
        (piece, image): (&Piece, usize),
        source: &'a Tensor,
        n_rows: usize,
        staged: &'a mut Vec<W::Staged>,
        widened: &'a mut Vec<i16>,
    ) -> &'a [W::Staged] {
        let mut layout = piece.layout;
        let row = self.input.w * self.input.c;
        let first = image * self.lens[0] + piece.first_row * row;
        if self.is_linear {
            layout.w = n_rows;
            let codes = W::codes(source, first..first + n_rows * layout.c, widened);
            return staged_as_is(codes, &layout, self.zero).unwrap_or_else(|| {
                let staged = cleared(staged, &layout, 1, self.zero);
                stage_rows(codes, &layout, staged, self.zero);
                staged
            });
        }
        let len = layout.h * layout.w * layout.c;
        let images = n_rows.div_ceil(piece.rows.len() / piece.images);
        let codes = W::codes(source, first..first + (images - 1) * self.lens[0] + len, widened);
        let staged = cleared(staged, &layout, images, self.zero);
        for (i, staged) in staged.chunks_mut(layout.image_len()).take(images).enumerate() {
            stage_rows(&codes[i * self.lens[0]..][..len], &layout, staged, self.zero);
        }
        staged
    }

    /// Appends the sums of `n` images from number `first` on, group by group of the columns.
    fn columns(
        &self,
        isa: Isa,
        (first, n): (usize, usize),
        source: &Tensor,
        all: &mut Vec<W::Sum>,
        scratches: &mut [Scratch],
    ) {
        let piece = &self.pieces[0];
        let Buffers { staged, widened, .. } = W::buffers(&mut scratches[0]);
        let (mut staged, mut widened) = (std::mem::take(staged), std::mem::take(widened));
        let a = self.stage((piece, first), source, n, &mut staged, &mut widened);
        let mut groups = vec![W::Sum::default(); n * self.tables.n];
        let items = groups.chunks_mut(n * GROUP).zip(&self.packed).enumerate();
        threads::for_each(scratches, items, |_, (group, (c, b))| {
            let c_stride = c.len() / n;
            let init = (!self.bias.is_empty()).then(|| &self.bias[group * GROUP..][..c_stride]);
            let (rows, steps) = (&piece.rows[..n], self.tables.steps.as_slice());
            let (segments, store) = (0..self.tables.segments, Store::Set);
            W::dot(isa, product::Args { a, rows, steps, segments, b, c, c_stride, init, store });
        });
        for image in 0..n {
            let of_image = groups.chunks(n * GROUP).flat_map(|sums| {
                let width = sums.len() / n;
                &sums[image * width..][..width]
            });
            all.extend(of_image);
        }
        let buffers = W::buffers(&mut scratches[0]);
        (*buffers.staged, *buffers.widened) = (staged, widened);
    }

    /// A linear layer of few images: each thread takes some columns.
    fn run_columns(
        &self,
        isa: Isa,
        (n, source): (usize, &Tensor),
        (epilogue, element): (&Epilogue, Element),
        slots: &[Tensor],
        out: &mut Tensor,
        scratches: &mut [Scratch],
    ) {
        let (mut all, most) = (Vec::with_capacity(n * self.tables.n), self.pieces[0].rows.len());
        for first in (0..n).step_by(most) {
            self.columns(isa, (first, most.min(n - first)), source, &mut all, scratches);
        }
        if matches!(epilogue, Epilogue::Sums) {
            W::Sum::of_mut(out, all.len()).copy_from_slice(&all);
            return;
        }
        let part = W::buffers(&mut scratches[0]).part;
        with_element!(element, P => {
            epilogue.run(isa, (&all, 0), slots, P::of_mut(out, all.len()), part);
        });
    }
}

impl<W: Width> Work for Product<W> {
    fn run(
        &self,
        isa: Isa,
        (n, source): (usize, &Tensor),
        (epilogue, element): (&Epilogue, Element),
        slots: &[Tensor],
        out: &mut Tensor,
        scratches: &mut [Scratch],
    ) {
        if self.by_columns {
            return self.run_columns(isa, (n, source), (epilogue, element), slots, out, scratches);
        }
        if matches!(epilogue, Epilogue::Sums) {
            let out = W::Sum::of_mut(out, n * self.lens[1]);
            return self.each_piece(scratches, out, |scratch, item, out| {
                let Buffers { staged, widened, .. } = W::buffers(scratch);
                self.sums(isa, item, source, (staged, widened), out);
            });
        }
        with_element!(element, P => {
            let out = P::of_mut(out, n * self.lens[2]);
            self.each_piece(scratches, out, |scratch, item, out| {
                let Buffers { staged, sums, widened, part } = W::buffers(scratch);
                sums.resize(item.sums(self, out.len()), W::Sum::default());
                self.sums(isa, item, source, (staged, widened), sums);
                epilogue.run(isa, (sums, item.at(self)), slots, out, part);
            });
        });
    }

    fn weight_bytes(&self) -> usize {
        self.packed.iter().map(W::bytes).sum()
    }
}

/// Room for staged images, with zeros behind them.
pub(crate) fn cleared<'a, T: Copy>(
    buffer: &'a mut Vec<T>,
    layout: &RowsLayout,
    images: usize,
    zero: T,
) -> &'a mut [T] {
    let (used, len) = (images * layout.image_len(), layout.buffer_len(images));
    buffer.resize(len.max(buffer.len()), zero);
    buffer[used..len].fill(zero);
    &mut buffer[..len]
}

/// A piece of some images.
#[derive(Clone, Copy)]
struct Item<'a> {
    piece: &'a Piece,
    /// The first of them.
    image: usize,
}

impl Item<'_> {
    /// The sums of which `left` results are left.
    fn sums<W: Width>(&self, product: &Product<W>, left: usize) -> usize {
        match product.pieces.len() {
            1 => left / product.lens[2] * product.lens[1],
            _ => self.piece.rows.len() * product.tables.n,
        }
    }

    /// The number of its first element among all results of the product.
    const fn at<W: Width>(&self, product: &Product<W>) -> usize {
        self.image * product.lens[1] + self.piece.first_pixel * product.tables.n
    }
}

/// The batch as one image of one row.
fn linear(conv: &Conv, tables: &Tables) -> Piece {
    Piece {
        images: conv.w,
        layout: conv.forward_layout(),
        first_row: 0,
        rows: tables.rows.clone(),
        bands: tables.bands.clone(),
        first_pixel: 0,
    }
}

/// The convolution that a layer is.
pub(crate) fn geometry(layer: &Layer<'_>) -> Conv {
    let (window, input) = (layer.form.window, layer.input);
    Conv {
        h: input.h,
        w: input.w,
        c_in: input.c,
        kernel: window.kernel,
        stride: window.stride,
        pad: window.pad,
        dilation: window.dilation,
        c_out: layer.output.c,
    }
}

/// Weights as `[kernel height][kernel width][in][out]`, with zeros between groups.
fn taps_first(layer: &Layer<'_>) -> Vec<i32> {
    let (form, n_in, n_out) = (layer.form, layer.input.c, layer.output.c);
    let (taps, of_group) = (form.window.n_taps(), n_in / form.groups);
    let outs = n_out / form.groups;
    let mut weights = vec![0; taps * n_in * n_out];
    for (i, w) in form.weights.iter().enumerate() {
        let (out, tap, channel) = (i / (taps * of_group), i / of_group % taps, i % of_group);
        let channel = out / outs * of_group + channel;
        weights[(tap * n_in + channel) * n_out + out] = *w;
    }
    weights
}
