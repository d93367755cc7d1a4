//! Channel-first planes for the gradient product: neighbouring output pixels of one tap become neighbours in memory.
//!
//! ```text
//! [channel][phase_y][phase_x][row][column], plane(py, px)[r][q] = padded image [r * stride + py][q * stride + px]
//! ```
//! What lies `(ty, tx)` pixels behind the start of output pixel `(y, x)`'s window is row `y + ty / stride`, column
//! `x + tx / stride` of phase `(ty % stride, tx % stride)`, so `x`, `x + 1`, ... are one run for any stride.

use super::{Code, SLACK, stage_run};
use crate::elementwise::{self, Operation};
use crate::isa::Isa;
use crate::transpose::{BLOCK, transposed, transposed_rows};
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
    /// Zeros on each side of the source image, in y and x as all pairs here.
    pub pad: [usize; 2],
    /// Distance of two output pixels in the source image.
    pub stride: [usize; 2],
    /// Phases: the stride, or fewer where the kernel is smaller.
    pub phases: [usize; 2],
    /// Rows of a plane.
    pub rows: usize,
    /// Columns of a plane; enough for whole steps behind the last output pixel.
    pub columns: usize,
}

impl PlanesLayout {
    /// Elements of one channel.
    #[must_use]
    pub const fn channel_len(&self) -> usize {
        self.phases[0] * self.phases[1] * self.rows * self.columns
    }

    /// Elements of a buffer for consecutive images of `channels` channels, slack included.
    #[must_use]
    pub const fn buffer_len(&self, channels: usize, images: usize) -> usize {
        self.channel_len() * channels * images + SLACK
    }

    /// Where a tap that lies `ty` rows and `tx` pixels behind the start of its window is found in its channel, for output
    /// pixel `(0, 0)`; that of `(y, x)` lies `y * columns + x` behind.
    #[must_use]
    pub const fn tap(&self, [ty, tx]: [usize; 2]) -> usize {
        let [sy, sx] = self.stride;
        let phase = ty % sy * self.phases[1] + tx % sx;
        (phase * self.rows + ty / sy) * self.columns + tx / sx
    }

    /// The plane indices along one axis that lie inside the source of this size, and the source index of the first.
    fn inside(&self, axis: usize, phase: usize, size: usize) -> (Range<usize>, usize) {
        let (pad, stride, end) = (self.pad[axis], self.stride[axis], [self.rows, self.columns][axis]);
        let first = pad.saturating_sub(phase).div_ceil(stride);
        let end = (size + pad).saturating_sub(phase).div_ceil(stride).min(end);
        (first..end.max(first), (first * stride + phase).saturating_sub(pad))
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
    for phase_y in 0..layout.phases[0] {
        let (rows, y_first) = layout.inside(0, phase_y, layout.h);
        for phase_x in 0..layout.phases[1] {
            let (columns, x_first) = layout.inside(1, phase_x, layout.w);
            if columns.is_empty() {
                continue;
            }
            let plane = (phase_y * layout.phases[1] + phase_x) * layout.rows;
            for (i, row) in rows.clone().enumerate() {
                let pixel = (y_first + i * layout.stride[0]) * layout.w + x_first;
                let from = Strided {
                    values: &src[pixel * layout.c + channels.start..],
                    pitch: layout.stride[1] * layout.c,
                };
                let start = (plane + row) * layout.columns + columns.start;
                if layout.stride[1] * layout.c == 1 {
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
    let pitch = from.pitch;
    for channel in (0..n_channels).step_by(BLOCK) {
        let width = BLOCK.min(n_channels - channel);
        for pixel in (0..n_pixels).step_by(BLOCK) {
            let height = BLOCK.min(n_pixels - pixel);
            let (first, last) = (pixel * from.pitch + channel, channel * to.pitch + pixel);
            if [width, height] == [BLOCK; 2] {
                // Most blocks, and no copy of their rows.
                let row =
                    |i: usize| from.values[first + i * pitch..].first_chunk().expect("a row of a block");
                let block = transposed_rows(std::array::from_fn::<&[P; BLOCK], BLOCK, _>(row));
                for (i, row) in block.iter().enumerate() {
                    stage_run(row, &mut to.values[last + i * to.pitch..][..BLOCK], zero);
                }
                continue;
            }
            // A run of a length that the compiler knows is one vector.
            let (from, shape) = (&from.values[first..], [height, width]);
            let block = match width {
                BLOCK => read::<P, BLOCK>(from, pitch, [height, BLOCK], zero),
                8 => read::<P, 8>(from, pitch, [height, 8], zero),
                _ if width.is_multiple_of(4) => read::<P, 4>(from, pitch, shape, zero),
                _ => read::<P, 1>(from, pitch, shape, zero),
            };
            let (block, to_values, shape) = (transposed(block), &mut to.values[last..], [width, height]);
            match height {
                BLOCK => write::<_, BLOCK>(&block, to_values, to.pitch, [width, BLOCK]),
                8 => write::<_, 8>(&block, to_values, to.pitch, [width, 8]),
                _ if height.is_multiple_of(4) => write::<_, 4>(&block, to_values, to.pitch, shape),
                _ => write::<_, 1>(&block, to_values, to.pitch, shape),
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
