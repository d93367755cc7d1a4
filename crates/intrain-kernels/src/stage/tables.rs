//! A convolution's three products as address tables: forward, error and gradient. Built once for each layer.
//!
//! ```text
//! forward   Y[y,x][co]        = sum (ky,kx,ci)  X[y*s+ky*d-p, x*s+kx*d-p, ci] * W[ky,kx,ci][co]
//! error     dX[y,x][ci]       = sum (ky,kx,co)  dY[(y+p-ky*d)/s, (x+p-kx*d)/s, co] * W[ky,kx,ci][co]
//! gradient  dW[ky,kx,ci][co]  = sum (image,y,x) X[y*s+ky*d-p, x*s+kx*d-p, ci] * dY[y,x][co]
//! ```
//! Stride `s`, padding `p` and dilation `d` are those of the axis.
//! A linear layer is a 1 x 1 convolution over an image of one row, whose pixels are the batch.

use super::{Code, PlanesLayout, RowsLayout};
use crate::pack::{Source, ZERO_LANE};
use std::ops::Range;

/// A convolution: images channels last `[h][w][c_in]`, weights `[kh][kw][c_in][c_out]`.
///
/// Pairs are `[rows, columns]`.
///
/// Bound: sizes are at least 1, the kernel fits in the padded image, and each staged buffer is below 2^32 elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Rows of the input.
    pub h: usize,
    /// Pixels of an input row.
    pub w: usize,
    /// Input channels.
    pub c_in: usize,
    /// Size of the kernel in taps.
    pub kernel: [usize; 2],
    /// Distance of two output pixels in the input.
    pub stride: [usize; 2],
    /// Zeros on each side of the input.
    pub pad: [usize; 2],
    /// Distance of two taps in the input.
    pub dilation: [usize; 2],
    /// Output channels.
    pub c_out: usize,
}

/// One product: the rows and steps of its A, and how its B packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Start of each row of C in A.
    pub rows: Vec<u32>,
    /// Offset of each step.
    pub steps: Vec<u32>,
    /// Parts of equal length that the steps fall into.
    pub segments: usize,
    /// Rows of C one behind the other, and the segments that can add anything to them: zeros around an image can not.
    pub bands: Vec<Band>,
    /// Offset of each lane of each step in the values of B, or [`ZERO_LANE`].
    pub pack: Vec<u32>,
    /// Columns of B and C.
    pub n: usize,
    /// Distance of two columns in the values of B.
    pub n_stride: usize,
}

/// A product channel by channel ([`crate::depthwise`]): where windows start in A, and where taps lie from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTables {
    /// Start of each row of C in A: a pixel, or several that are neighbours in memory.
    pub rows: Vec<u32>,
    /// Offset of each tap.
    pub steps: Vec<u32>,
}

/// Rows of C that take the same segments of the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Rows of C.
    pub rows: Range<usize>,
    /// Segments, at least one.
    pub segments: Range<usize>,
}

impl Tables {
    /// B's values under these tables.
    #[must_use]
    pub fn source<'a, T>(&'a self, values: &'a [T]) -> Source<'a, T> {
        Source { values, n: self.n, n_stride: self.n_stride, table: &self.pack, segments: self.segments }
    }

    /// The steps of some segments.
    #[must_use]
    pub fn steps_of(&self, segments: &Range<usize>) -> &[u32] {
        let of_segment = self.steps.len() / self.segments;
        &self.steps[segments.start * of_segment..segments.end * of_segment]
    }
}

/// Bands of `lines` lines of `rows` rows each, where line `i` takes the segments `range(i)` of `segments`.
fn bands(lines: usize, rows: usize, segments: usize, range: impl Fn(usize) -> Range<usize>) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for line in 0..lines {
        // At least one: it adds zeros, where nothing else would set C.
        let Range { start, end } = range(line);
        let start = start.min(segments - 1);
        let segments = start..end.clamp(start + 1, segments);
        match bands.last_mut().filter(|band| band.segments == segments) {
            Some(band) => band.rows.end += rows,
            None => bands.push(Band { rows: line * rows..(line + 1) * rows, segments }),
        }
    }
    bands
}

impl Conv {
    /// A linear layer over a batch.
    #[must_use]
    pub const fn linear(batch: usize, c_in: usize, c_out: usize) -> Self {
        let one = [1, 1];
        Self { h: 1, w: batch, c_in, kernel: one, stride: one, pad: [0, 0], dilation: one, c_out }
    }

    /// Rows of the output.
    #[must_use]
    pub const fn out_h(&self) -> usize {
        (self.h + 2 * self.pad[0] - self.span(0) - 1) / self.stride[0] + 1
    }

    /// Pixels of an output row.
    #[must_use]
    pub const fn out_w(&self) -> usize {
        (self.w + 2 * self.pad[1] - self.span(1) - 1) / self.stride[1] + 1
    }

    /// Taps of the kernel.
    #[must_use]
    pub const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Distance of the first and the last tap along an axis.
    pub(super) const fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis]
    }

    /// How the input is staged for [`Conv::forward`].
    #[must_use]
    pub const fn forward_layout(&self) -> RowsLayout {
        let Self { h, w, c_in: c, pad: [y, x], .. } = *self;
        RowsLayout { h, w, c, top: y, left: x, bottom: y, right: x, distance: [1, 1] }
    }

    /// How the output's error is staged for [`Conv::error`].
    #[must_use]
    pub const fn error_layout(&self) -> RowsLayout {
        let (h, w, [sy, sx]) = (self.out_h(), self.out_w(), self.stride);
        let top = self.span(0).saturating_sub(self.pad[0]);
        let left = self.span(1).saturating_sub(self.pad[1]);
        // Every input pixel reads a whole kernel, also those behind the last window of a stride.
        let height = self.error_skip(0) + self.h + self.span(0);
        let width = self.error_skip(1) + self.w + self.span(1);
        let bottom = height.saturating_sub((h - 1) * sy + 1 + top);
        let right = width.saturating_sub((w - 1) * sx + 1 + left);
        RowsLayout { h, w, c: self.c_out, top, left, bottom, right, distance: self.stride }
    }

    /// Staged error rows that no input pixel reads, where the padding exceeds what the kernel needs.
    const fn error_skip(&self, axis: usize) -> usize {
        self.pad[axis].saturating_sub(self.span(axis))
    }

    /// How the input is staged for [`Conv::gradient`].
    #[must_use]
    pub fn gradient_layout<P: Code>(&self) -> PlanesLayout {
        let Self { h, w, c_in: c, pad, stride, .. } = *self;
        PlanesLayout {
            h,
            w,
            c,
            pad,
            stride,
            phases: [0, 1].map(|axis| stride[axis].min(self.span(axis) + 1)),
            rows: self.out_h() + self.span(0) / stride[0],
            columns: self.out_w().next_multiple_of(P::LANES) + self.span(1) / stride[1],
        }
    }

    /// `C[image, y, x][c_out]` from consecutive staged inputs and the weights.
    #[must_use]
    pub fn forward<P: Code>(&self, images: usize) -> Tables {
        let layout = self.forward_layout();
        let [kh, kw] = self.kernel;
        let weights = |ky: usize, i: usize| (ky * kw * self.c_in + i) * self.c_out;
        let out = [self.out_h(), self.out_w()];
        // Rows of the kernel that lie on the image.
        let on_image = |line: usize| {
            let (y, pad) = (line % out[0] * self.stride[0], self.pad[0]);
            self.taps_within(pad.saturating_sub(y)..(self.h + pad).saturating_sub(y))
        };
        Tables {
            rows: pixels(&layout, images, out, self.stride, [0, 0]),
            steps: self.window_steps::<P>(&layout),
            segments: kh,
            bands: bands(images * out[0], out[1], kh, on_image),
            pack: self.window_lanes::<P>(layout.c, weights),
            n: self.c_out,
            n_stride: 1,
        }
    }

    /// `C[image, y, x][c_in]` from consecutive staged errors and the weights, whose taps run backwards.
    #[must_use]
    pub fn error<P: Code>(&self, images: usize) -> Tables {
        let layout = self.error_layout();
        let [kh, kw] = self.kernel;
        let skip = [self.error_skip(0), self.error_skip(1)];
        let weights = |ky: usize, i: usize| {
            let (kx, co) = (i / self.c_out, i % self.c_out);
            ((kh - 1 - ky) * kw + kw - 1 - kx) * self.c_in * self.c_out + co
        };
        // Rows of the kernel that lie on staged errors.
        let on_errors = |line: usize| {
            let (y, end) = (skip[0] + line % self.h, layout.top + layout.height_of_rows());
            self.taps_within(layout.top.saturating_sub(y)..end.saturating_sub(y))
        };
        Tables {
            rows: pixels(&layout, images, [self.h, self.w], [1, 1], skip),
            steps: self.window_steps::<P>(&layout),
            segments: kh,
            bands: bands(images * self.h, self.w, kh, on_errors),
            pack: self.window_lanes::<P>(layout.c, weights),
            n: self.c_in,
            n_stride: self.c_out,
        }
    }

    /// The rows of the kernel that lie in these rows, counted from its first.
    const fn taps_within(&self, rows: Range<usize>) -> Range<usize> {
        rows.start.div_ceil(self.dilation[0])..rows.end.div_ceil(self.dilation[0])
    }

    /// `C[ky, kx, ci][c_out]` for `ci` in `channels`, from consecutive staged inputs and the errors
    /// `[image][out_h][out_w][c_out]`.
    #[must_use]
    pub fn gradient<P: Code>(&self, images: usize, channels: Range<usize>) -> Tables {
        let layout = self.gradient_layout::<P>();
        let ([kh, kw], [out_h, out_w], [dy, dx]) = (self.kernel, [self.out_h(), self.out_w()], self.dilation);
        // Rows of output pixels that see the image through this row of the kernel.
        let on_image = |ky: usize| {
            let (tap, pad, stride) = (ky * dy, self.pad[0], self.stride[0]);
            pad.saturating_sub(tap).div_ceil(stride)..(self.h + pad).saturating_sub(tap).div_ceil(stride)
        };
        let mut tables = Tables {
            rows: Vec::new(),
            steps: Vec::new(),
            segments: out_h,
            bands: bands(kh, kw * channels.len(), out_h, on_image),
            pack: Vec::new(),
            n: self.c_out,
            n_stride: 1,
        };
        for (ky, kx) in grid(kh, kw) {
            let tap = layout.tap([ky * dy, kx * dx]);
            tables.rows.extend((0..channels.len()).map(|ci| address(ci * layout.channel_len() + tap)));
        }
        for (y, image) in grid(out_h, images) {
            let row = image * channels.len() * layout.channel_len() + y * layout.columns;
            for x in (0..out_w).step_by(P::LANES) {
                tables.steps.push(address(row + x));
                tables.pack.extend((x..x + P::LANES).map(|x| {
                    let pixel = (image * out_h + y) * out_w + x;
                    if x < out_w { address(pixel * self.c_out) } else { ZERO_LANE }
                }));
            }
        }
        tables
    }

    /// Forward and gradient of a depthwise convolution, some neighbouring pixels a row: as many as divide an output row, and 1
    /// where the stride is larger.
    #[must_use]
    pub fn forward_by_channel(&self, pixels_a_row: usize) -> ChannelTables {
        let out = [self.out_h(), self.out_w()];
        self.by_channel(&self.forward_layout(), (out, self.stride, [0, 0]), pixels_a_row)
    }

    /// The error of a depthwise convolution in front of it, whose taps run backwards.
    #[must_use]
    pub fn error_by_channel(&self, pixels_a_row: usize) -> ChannelTables {
        let skip = [self.error_skip(0), self.error_skip(1)];
        self.by_channel(&self.error_layout(), ([self.h, self.w], [1, 1], skip), pixels_a_row)
    }

    fn by_channel(
        &self,
        layout: &RowsLayout,
        (size, stride, skip): ([usize; 2], [usize; 2], [usize; 2]),
        pixels_a_row: usize,
    ) -> ChannelTables {
        let [dy, dx] = self.dilation;
        let step = |(ky, kx)| address((ky * dy * layout.width() + kx * dx) * layout.c);
        ChannelTables {
            rows: pixels(layout, 1, size, stride, skip).into_iter().step_by(pixels_a_row).collect(),
            steps: grid(self.kernel[0], self.kernel[1]).map(step).collect(),
        }
    }

    /// A row of a window is this many runs of so many neighbouring elements, each rounded up to whole steps: one run
    /// over all taps, or with a dilation along the row one for each tap.
    const fn runs(&self, c: usize) -> [usize; 2] {
        if self.dilation[1] == 1 { [1, self.kernel[1] * c] } else { [self.kernel[1], c] }
    }

    /// The steps of a window of a staged image.
    fn window_steps<P: Code>(&self, layout: &RowsLayout) -> Vec<u32> {
        let ([n_runs, run], [dy, dx]) = (self.runs(layout.c), self.dilation);
        let (pitch, n_steps) = (layout.width() * layout.c, run.div_ceil(P::LANES));
        grid(self.kernel[0], n_runs * n_steps)
            .map(|(ky, i)| {
                let (kx, step) = (i / n_steps, i % n_steps);
                address(ky * dy * pitch + kx * dx * layout.c + step * P::LANES)
            })
            .collect()
    }

    /// The lanes of [`Conv::window_steps`]; `weight(ky, i)` is the offset of the weight of element `i` of that row of taps.
    fn window_lanes<P: Code>(&self, c: usize, weight: impl Fn(usize, usize) -> usize) -> Vec<u32> {
        let [n_runs, run] = self.runs(c);
        let padded = run.next_multiple_of(P::LANES);
        grid(self.kernel[0], n_runs * padded)
            .map(|(ky, i)| {
                let (kx, i) = (i / padded, i % padded);
                if i < run { address(weight(ky, kx * run + i)) } else { ZERO_LANE }
            })
            .collect()
    }
}

/// Start of the window of each pixel of an `h` x `w` grid, image by image.
fn pixels(
    layout: &RowsLayout,
    images: usize,
    size: [usize; 2],
    stride: [usize; 2],
    skip: [usize; 2],
) -> Vec<u32> {
    let starts = (0..images).flat_map(|image| {
        grid(size[0], size[1]).map(move |(y, x)| {
            let pixel = (skip[0] + y * stride[0]) * layout.width() + skip[1] + x * stride[1];
            address(image * layout.image_len() + pixel * layout.c)
        })
    });
    starts.collect()
}

/// All pairs, the second counting fastest.
fn grid(outer: usize, inner: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..outer).flat_map(move |i| (0..inner).map(move |j| (i, j)))
}

/// Bound: buffers stay below 2^32 elements; larger batches are cut by the caller.
fn address(offset: usize) -> u32 {
    u32::try_from(offset).expect("a staged buffer reaches 2^32 elements; stage fewer images at once")
}
