//! Channel-first planes for the gradient product: neighbouring output pixels of one tap become neighbours in memory.
//!
//! ```text
//! [channel][phase_y][phase_x][row][column], plane(py, px)[r][q] = padded image [r * stride + py][q * stride + px]
//! ```
//! Tap `(ky, kx)` of output pixel `(y, x)` is row `y + ky / stride`, column `x + kx / stride` of phase
//! `(ky % stride, kx % stride)`, so `x`, `x + 1`, ... are one run for any stride.

use super::{Code, SLACK, stage_run};
use crate::elementwise::{self, Operation};
use crate::isa::Isa;
use crate::transpose::{BLOCK, transposed};
use std::ops::Range;

/// The shape of staged planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanesLayout {
    /// Rows of the source image.
    pub h: usize,
    /// Pixels of a source row.
    pub w: usize,
    /// Channels of the source image.
    pub c: usize,
    /// Zeros on each side of the source image.
    pub pad: usize,
    /// Distance of two output pixels in the source image.
    pub stride: usize,
    /// Phases in y: the stride, or fewer where the kernel is smaller.
    pub phases_y: usize,
    /// Phases in x.
    pub phases_x: usize,
    /// Rows of a plane.
    pub rows: usize,
    /// Columns of a plane; enough for whole steps behind the last output pixel.
    pub columns: usize,
}

impl PlanesLayout {
    /// Elements of one channel.
    #[must_use]
    pub const fn channel_len(&self) -> usize {
        self.phases_y * self.phases_x * self.rows * self.columns
    }

    /// Elements of a buffer for consecutive images of `channels` channels, slack included.
    #[must_use]
    pub const fn buffer_len(&self, channels: usize, images: usize) -> usize {
        self.channel_len() * channels * images + SLACK
    }

    /// Where tap `(ky, kx)` of output pixel `(0, 0)` lies in its channel; `(y, x)` lies `y * columns + x` behind.
    #[must_use]
    pub const fn tap(&self, ky: usize, kx: usize) -> usize {
        let phase = ky % self.stride * self.phases_x + kx % self.stride;
        (phase * self.rows + ky / self.stride) * self.columns + kx / self.stride
    }

    /// The plane indices along one axis that lie inside the source, and the source index of the first.
    fn inside(&self, phase: usize, size: usize, end: usize) -> (Range<usize>, usize) {
        let first = self.pad.saturating_sub(phase).div_ceil(self.stride);
        let end = (size + self.pad).saturating_sub(phase).div_ceil(self.stride).min(end);
        (first..end.max(first), (first * self.stride + phase).saturating_sub(self.pad))
    }
}

/// Stages `channels` of one image, `src` `[h][w][c]`, into the first `channels.len() * channel_len()` of `dst`, 0 as
/// `zero`.
///
/// # Panics
/// If a slice is too short or `channels` leaves the image.
pub fn stage_planes<P: Code>(
    isa: Isa,
    src: &[P],
    layout: &PlanesLayout,
    channels: Range<usize>,
    dst: &mut [P::Staged],
    zero: P::Staged,
) {
    assert!(channels.end <= layout.c && src.len() >= layout.h * layout.w * layout.c);
    let dst = &mut dst[..channels.len() * layout.channel_len()];
    elementwise::run(isa, StagePlanes { src, layout, channels, dst, zero });
}

/// Staging as an operation: the same loops, compiled for each instruction set.
struct StagePlanes<'a, P: Code> {
    src: &'a [P],
    layout: &'a PlanesLayout,
    channels: Range<usize>,
    dst: &'a mut [P::Staged],
    zero: P::Staged,
}

impl<P: Code> Operation for StagePlanes<'_, P> {
    type Output = ();

    fn reference(self) {
        stage(self);
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        stage(self);
    }
}

#[inline(always)]
fn stage<P: Code>(args: StagePlanes<'_, P>) {
    let StagePlanes { src, layout, channels, dst, zero } = args;
    dst.fill(zero);
    for phase_y in 0..layout.phases_y {
        let (rows, y_first) = layout.inside(phase_y, layout.h, layout.rows);
        for phase_x in 0..layout.phases_x {
            let (columns, x_first) = layout.inside(phase_x, layout.w, layout.columns);
            if columns.is_empty() {
                continue;
            }
            let plane = (phase_y * layout.phases_x + phase_x) * layout.rows;
            for (i, row) in rows.clone().enumerate() {
                let pixel = (y_first + i * layout.stride) * layout.w + x_first;
                let from = Strided {
                    values: &src[pixel * layout.c + channels.start..],
                    pitch: layout.stride * layout.c,
                };
                let start = (plane + row) * layout.columns + columns.start;
                if layout.stride * layout.c == 1 {
                    stage_run(&from.values[..columns.len()], &mut dst[start..], zero);
                    continue;
                }
                let to = Strided { values: &mut dst[start..], pitch: layout.channel_len() };
                transpose(from, to, [columns.len(), channels.len()], zero);
            }
        }
    }
}

/// A matrix whose rows lie `pitch` apart.
struct Strided<V> {
    values: V,
    pitch: usize,
}

/// `to[channel][pixel] = from[pixel][channel]` in blocks, so that both sides are touched a run at a time.
#[inline(always)]
fn transpose<P: Code>(
    from: Strided<&[P]>,
    to: Strided<&mut [P::Staged]>,
    [n_pixels, n_channels]: [usize; 2],
    zero: P::Staged,
) {
    for channel in (0..n_channels).step_by(BLOCK) {
        let width = BLOCK.min(n_channels - channel);
        for pixel in (0..n_pixels).step_by(BLOCK) {
            let height = BLOCK.min(n_pixels - pixel);
            let (first, last) = (pixel * from.pitch + channel, channel * to.pitch + pixel);
            // A width that the compiler knows makes each run one vector.
            let block = if width == BLOCK {
                read::<P, BLOCK>(&from.values[first..], from.pitch, [height, BLOCK], zero)
            } else {
                read::<P, 1>(&from.values[first..], from.pitch, [height, width], zero)
            };
            let (block, to_values) = (transposed(block), &mut to.values[last..]);
            if height == BLOCK {
                write::<_, BLOCK>(&block, to_values, to.pitch, [width, BLOCK]);
            } else if height.is_multiple_of(4) {
                write::<_, 4>(&block, to_values, to.pitch, [width, height]);
            } else {
                write::<_, 1>(&block, to_values, to.pitch, [width, height]);
            }
        }
    }
}

/// A block whose upper left `[rows, columns]` come from rows `pitch` apart, `columns` being a multiple of `RUN`.
#[inline(always)]
fn read<P: Code, const RUN: usize>(
    from: &[P],
    pitch: usize,
    [rows, columns]: [usize; 2],
    zero: P::Staged,
) -> [[P::Staged; BLOCK]; BLOCK] {
    let mut block = [[zero; BLOCK]; BLOCK];
    let mut first = 0;
    for to in &mut block[..rows] {
        let from = from[first..first + columns].as_chunks::<RUN>().0;
        let to = to.as_chunks_mut::<RUN>().0;
        to.iter_mut().zip(from).for_each(|(to, from)| *to = from.map(|code| code.stage(zero)));
        first += pitch;
    }
    block
}

/// The backward pass of [`read`].
#[inline(always)]
fn write<T: Copy, const RUN: usize>(
    block: &[[T; BLOCK]; BLOCK],
    to: &mut [T],
    pitch: usize,
    [rows, columns]: [usize; 2],
) {
    let mut first = 0;
    for from in &block[..rows] {
        let to = to[first..first + columns].as_chunks_mut::<RUN>().0;
        to.iter_mut().zip(from.as_chunks::<RUN>().0).for_each(|(to, from)| *to = *from);
        first += pitch;
    }
}
