//! How a product's work is cut: whole images, several at once where they are small, or bands of an image's rows where there are fewer
//! images than threads.

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
    let pixels = conv.out_h() * conv.out_w();
    let bands = conv.out_h() / step;
    // Two pieces for each thread: the faster takes more of them.
    let n = (2 * threads).div_ceil(batch).min(pixels / ROWS).min(bands);
    if threads > 1 && batch < 2 * threads && n > 1 {
        let of = |i: usize| {
            let end = if i + 1 == n { conv.out_h() } else { bands * (i + 1) / n * step };
            band(conv, tables, bands * i / n * step..end)
        };
        if let Some(pieces) = (0..n).map(of).collect() {
            return pieces;
        }
    }
    let images = ROWS.div_ceil(pixels).min(batch.div_ceil(2 * threads)).max(1);
    vec![whole::<P>(conv, images)]
}

/// Whole images.
fn whole<P: Code>(conv: &Conv, images: usize) -> Piece {
    let tables = conv.forward::<P>(images);
    let layout = conv.forward_layout();
    Piece { images, layout, first_row: 0, rows: tables.rows, bands: tables.bands, first_pixel: 0 }
}

/// Rows of the output of an image; none where they see nothing of it.
fn band(conv: &Conv, tables: &Tables, out: std::ops::Range<usize>) -> Option<Piece> {
    let (whole, w) = (conv.forward_layout(), conv.out_w());
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
    let offset = u32::try_from(first * whole.width() * whole.c).ok()?;
    let pixels = out.start * w..out.end * w;
    let rows = tables.rows[pixels.clone()].iter().map(|row| row - offset).collect();
    let clip = |band: &Band| {
        let rows = band.rows.start.max(pixels.start)..band.rows.end.min(pixels.end);
        (!rows.is_empty()).then(|| Band {
            rows: rows.start - pixels.start..rows.end - pixels.start,
            segments: band.segments.clone(),
        })
    };
    Some(Piece {
        images: 1,
        layout,
        first_row: source.start,
        rows,
        bands: tables.bands.iter().filter_map(clip).collect(),
        first_pixel: pixels.start,
    })
}
