//! How a product's work is cut: whole images, several at once where they are small, or bands of an image's rows where there are fewer
//! images than threads.

use std::ops::Range;

use intrain_kernels::stage::{Band, Code, Conv, RowsLayout, Tables};

/// A part of the output of a product, and where its input lies.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Images that it takes at most.
    pub(crate) images: usize,
    /// How the rows of the input that it sees are staged.
    pub(crate) layout: RowsLayout,
    /// The first of these rows.
    pub(crate) first_row: usize,
    /// Start of each row of the product's A among what is staged.
    pub(crate) rows: Vec<u32>,
    /// Rows that take the same segments of the steps.
    pub(crate) bands: Vec<Band>,
    /// The first output pixel of the image.
    pub(crate) first_pixel: usize,
}

/// Rows of A of a piece, at least, where an image is cut or several are taken at once.
const ROWS: usize = 96;

/// The pieces of each `images` images, one behind the other, for batches of about `batch` on `threads` threads. Where a pooling follows, its
/// windows of `step` rows are not cut.
pub(crate) fn cut<P: Code>(
    conv: &Conv,
    tables: &Tables,
    step: usize,
    (batch, threads): (usize, usize),
) -> Vec<Piece> {
    let spans = spans(conv, step, (batch, threads));
    if spans.len() > 1
        && let Some(pieces) = spans.into_iter().map(|span| band(conv, tables, span)).collect()
    {
        return pieces;
    }
    let images = ROWS.div_ceil(conv.out_h() * conv.out_w()).min(batch.div_ceil(2 * threads)).max(1);
    vec![whole::<P>(conv, images)]
}

/// The rows of results of an image that each item takes: all, or some where there are fewer images than threads. Windows of `step` rows
/// are not cut.
pub(crate) fn spans(conv: &Conv, step: usize, (batch, threads): (usize, usize)) -> Vec<Range<usize>> {
    let (out_h, bands) = (conv.out_h(), conv.out_h() / step);
    // Two items for each thread: the faster takes more of them.
    let n = (2 * threads).div_ceil(batch.max(1)).min(out_h * conv.out_w() / ROWS).min(bands);
    if threads == 1 || batch >= 2 * threads || n < 2 {
        return std::iter::once(0..out_h).collect();
    }
    let end = |i: usize| if i == n { out_h } else { bands * i / n * step };
    (0..n).map(|i| end(i)..end(i + 1)).collect()
}

/// Whole images.
fn whole<P: Code>(conv: &Conv, images: usize) -> Piece {
    let tables = conv.forward::<P>(images);
    let layout = conv.forward_layout();
    Piece { images, layout, first_row: 0, rows: tables.rows, bands: tables.bands, first_pixel: 0 }
}

/// What some rows of an image's results see of it.
pub(crate) struct Seen {
    /// How it is staged.
    pub(crate) layout: RowsLayout,
    /// The first row of the image.
    pub(crate) first_row: usize,
    /// Elements of the staged image above it.
    above: u32,
}

impl Seen {
    /// Where a window lies among what is staged, by its place in the whole image.
    pub(crate) const fn place(&self, row: u32) -> u32 {
        row - self.above
    }
}

/// What the rows `out` of results see; none where they see nothing of the image.
pub(crate) fn seen(conv: &Conv, out: &Range<usize>) -> Option<Seen> {
    let whole = conv.forward_layout();
    let span = (conv.kernel[0] - 1) * conv.dilation[0] + 1;
    let (first, end) = (out.start * conv.stride[0], (out.end - 1) * conv.stride[0] + span);
    let pad = conv.pad[0];
    let source = first.max(pad).checked_sub(pad)?..end.min(pad + conv.h).checked_sub(pad)?;
    if source.is_empty() {
        return None;
    }
    let layout = RowsLayout {
        h: source.len(),
        top: pad.saturating_sub(first),
        bottom: end.saturating_sub(pad + conv.h),
        ..whole
    };
    let above = u32::try_from(first * whole.width() * whole.c).ok()?;
    Some(Seen { layout, first_row: source.start, above })
}

/// Rows of the output of an image; none where they see nothing of it.
fn band(conv: &Conv, tables: &Tables, out: Range<usize>) -> Option<Piece> {
    let (seen, w) = (seen(conv, &out)?, conv.out_w());
    let pixels = out.start * w..out.end * w;
    let rows = tables.rows[pixels.clone()].iter().map(|row| seen.place(*row)).collect();
    let clip = |band: &Band| {
        let rows = band.rows.start.max(pixels.start)..band.rows.end.min(pixels.end);
        (!rows.is_empty()).then(|| Band {
            rows: rows.start - pixels.start..rows.end - pixels.start,
            segments: band.segments.clone(),
        })
    };
    Some(Piece {
        images: 1,
        layout: seen.layout,
        first_row: seen.first_row,
        rows,
        bands: tables.bands.iter().filter_map(clip).collect(),
        first_pixel: pixels.start,
    })
}
