//! Poolings that are nodes of their own: maxima of anything, means of codes and of floats; and their backward passes.

use intrain_kernels::{Integer, Isa, max_pool};
use intrain_num::Round;
use intrain_num::scale::round_log2;
use rayon::prelude::*;

use crate::layers::image;
use crate::plan::{Node, Pool};

/// The maximum over windows, image by image; `index` says which element of its window each result is.
pub(crate) fn max<T: max_pool::Element + Send + Sync>(
    isa: Isa,
    (node, pool): (&Node, Pool),
    input: &[T],
    out: &mut [T],
    index: &mut [u8],
) {
    let (from, to) = (node.input.len(), node.output.len());
    out.par_chunks_mut(to)
        .zip(index.par_chunks_mut(to))
        .zip(input.par_chunks(from))
        .for_each(|((out, index), input)| image::pool(isa, (node.input, pool), input, out, index));
}

/// The error in front of a maximum goes to the element that was chosen; sums are held between the limits.
pub(crate) fn max_back<T: max_pool::Error + Send + Sync>(
    isa: Isa,
    (from, pool): (intrain_model::Shape, Pool),
    (error, index): (&[T], &[u8]),
    out: &mut [T],
    limits: (T, T),
) {
    let images = out.len() / from.len();
    let to = error.len() / images;
    out.par_chunks_mut(from.len())
        .zip(index.par_chunks(to))
        .zip(error.par_chunks(to))
        .for_each(|((out, index), error)| image::unpool(isa, (from, pool), (error, index), out, limits));
}

/// Windows of a mean: their height and width, and the steps between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    size: [usize; 2],
    stride: [usize; 2],
}

impl Windows {
    /// Square windows.
    pub(crate) const fn of(pool: Pool) -> Self {
        Self { size: [pool.size; 2], stride: [pool.stride; 2] }
    }

    /// One window of all pixels.
    pub(crate) const fn whole(node: &Node) -> Self {
        let size = [node.input.h, node.input.w];
        Self { size, stride: size }
    }

    const fn n_pixels(self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The most windows that a pixel can lie in.
    const fn overlap(self) -> usize {
        self.size[0].div_ceil(self.stride[0]) * self.size[1].div_ceil(self.stride[1])
    }

    /// The windows that hold a pixel of this number along an axis which has `n` windows.
    fn holding(self, axis: usize, pixel: usize, n: usize) -> std::ops::Range<usize> {
        let first = (pixel + 1).saturating_sub(self.size[axis]).div_ceil(self.stride[axis]);
        first..n.min(pixel / self.stride[axis] + 1)
    }

    /// The first elements of the rows of the window of output pixel `o`; each row has `size[1]` pixels.
    fn rows(self, node: &Node, o: usize) -> impl Iterator<Item = usize> {
        let (w, c) = (node.input.w, node.input.c);
        let (oy, ox) = (o / node.output.w * self.stride[0], o % node.output.w * self.stride[1]);
        (oy..oy + self.size[0]).map(move |y| (y * w + ox) * c)
    }
}

/// The mean over windows of codes, rounded once to the codes of the node, whose unit is `finer` bits finer.
pub(crate) fn mean<T: Integer + Send + Sync, P: Integer + Send>(
    (node, windows): (&Node, Windows),
    finer: i32,
    input: &[T],
    out: &mut [P],
) {
    let c = node.input.c;
    let pixels = windows.n_pixels() as i128;
    // Bound: a sum has at most 40 bits; by more than 60 bits each mean is 0, or beyond every format.
    let (up, down) = (finer.clamp(0, 60), (-finer).clamp(0, 60));
    out.par_chunks_mut(node.output.len()).zip(input.par_chunks(node.input.len())).for_each(|(out, input)| {
        each_window((node, windows), input, |o, channels, sums| {
            for (out, sum) in out[o * c..][channels].iter_mut().zip(sums) {
                let mean = Round::NearestDown.ratio_wide(i128::from(*sum) << up, pixels << down);
                *out = P::from_i64(mean.clamp(node.operand.min, node.operand.max));
            }
        });
    });
}

/// `round(log2)` of the largest magnitude among the means over windows of codes, in their unit; 0 where all are 0.
///
/// Of a mean the first 24 fraction bits count.
pub(crate) fn log2_of_largest_mean<T: Integer + Send + Sync>(
    node: &Node,
    windows: Windows,
    input: &[T],
) -> i32 {
    let of_image = |input: &[T]| {
        let mut largest = 0;
        each_window((node, windows), input, |_, _, sums| {
            largest = sums.iter().map(|sum| sum.unsigned_abs()).fold(largest, u64::max);
        });
        largest
    };
    let largest = input.par_chunks(node.input.len()).map(of_image).max().unwrap_or(0);
    // Bound: a mean fits 16 bits, so a sum of at most 2^24 pixels fits 40.
    round_log2((largest << 24) / windows.n_pixels() as u64).map_or(0, |n| n - 24)
}

/// Calls `f(output pixel, channels, sums)` with the sums over each window of an image, some channels at a time.
fn each_window<T: Integer>(
    (node, windows): (&Node, Windows),
    input: &[T],
    mut f: impl FnMut(usize, std::ops::Range<usize>, &[i64]),
) {
    let (c, row) = (node.input.c, windows.size[1] * node.input.c);
    for o in 0..node.output.h * node.output.w {
        each_channels(c, |channels, sums| {
            for start in windows.rows(node, o) {
                for pixel in input[start..start + row].chunks_exact(c) {
                    let pixel = &pixel[channels.clone()];
                    sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += (*x).into());
                }
            }
            f(o, channels, sums);
        });
    }
}

/// Calls `f(channels, sums)` with zeroed sums on the stack, some channels at a time: nothing is allocated.
fn each_channels(c: usize, mut f: impl FnMut(std::ops::Range<usize>, &mut [i64])) {
    const LANES: usize = 256;
    let mut first = 0;
    while first < c {
        let channels = first..c.min(first + LANES);
        let mut sums = [0; LANES];
        f(channels.clone(), &mut sums[..channels.len()]);
        first = channels.end;
    }
}

/// Each pixel's share of a mean's wide errors: `sum * 2^m / pixels`, rounded, over the errors of the windows that hold it, of
/// which there are at most `n`, with the largest `2^m <= pixels / n`; the exponent changes by what is returned, `-m`.
pub(crate) fn mean_back(node: &Node, windows: Windows, error: &[i16], out: &mut [i16]) -> i32 {
    let m = (windows.n_pixels() / windows.overlap()).ilog2();
    let pixels = i64::try_from(windows.n_pixels()).unwrap_or(i64::MAX);
    let share = |sum: i64| {
        let share = Round::NearestDown.ratio(sum << m, pixels);
        <i16 as Integer>::from_i64(share.clamp(-i64::from(i16::MAX), i64::from(i16::MAX)))
    };
    out.par_chunks_mut(node.input.len()).zip(error.par_chunks(node.output.len())).for_each(|(out, error)| {
        if windows.overlap() == 1 {
            copy_shares((node, windows), error, out, share);
        } else {
            add_shares((node, windows), error, out, share);
        }
    });
    -m.cast_signed()
}

/// The shares of an image whose windows do not overlap: all pixels of a window have the same.
fn copy_shares(
    (node, windows): (&Node, Windows),
    error: &[i16],
    out: &mut [i16],
    share: impl Fn(i64) -> i16,
) {
    let (c, row) = (node.input.c, windows.size[1] * node.input.c);
    out.fill(0);
    for (o, error) in error.chunks_exact(c).enumerate() {
        let mut rows = windows.rows(node, o);
        let Some(first) = rows.next() else { continue };
        out[first..first + c].iter_mut().zip(error).for_each(|(to, error)| *to = share((*error).into()));
        for pixel in 1..windows.size[1] {
            out.copy_within(first..first + c, first + pixel * c);
        }
        for start in rows {
            out.copy_within(first..first + row, start);
        }
    }
}

/// The shares of an image, pixel by pixel.
fn add_shares((node, windows): (&Node, Windows), error: &[i16], out: &mut [i16], share: impl Fn(i64) -> i16) {
    let (c, w) = (node.input.c, node.input.w);
    for (pixel, out) in out.chunks_exact_mut(c).enumerate() {
        let [ys, xs] = [(0, pixel / w, node.output.h), (1, pixel % w, node.output.w)]
            .map(|(axis, at, n)| windows.holding(axis, at, n));
        each_channels(c, |channels, sums| {
            // Bound: at most 64 x 64 errors of 16 bits.
            for o in ys.clone().flat_map(|y| xs.clone().map(move |x| y * node.output.w + x)) {
                let error = &error[o * c..][channels.clone()];
                sums.iter_mut().zip(error).for_each(|(sum, error)| *sum += i64::from(*error));
            }
            out[channels].iter_mut().zip(sums).for_each(|(out, sum)| *out = share(*sum));
        });
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a window of at most 64 x 64, or an image of 4096 x 4096, pixels"
)]
fn share(windows: Windows) -> f32 {
    1.0 / windows.n_pixels() as f32
}

/// The mean over windows of floats: each pixel times the window's share, added up row by row.
pub(crate) fn mean_floats(node: &Node, windows: Windows, input: &[f32], out: &mut [f32]) {
    let (c, share) = (node.input.c, share(windows));
    out.par_chunks_mut(node.output.len()).zip(input.par_chunks(node.input.len())).for_each(|(out, input)| {
        for (o, out) in out.chunks_exact_mut(c).enumerate() {
            out.fill(0.0);
            for start in windows.rows(node, o) {
                for pixel in input[start..start + windows.size[1] * c].chunks_exact(c) {
                    out.iter_mut().zip(pixel).for_each(|(out, x)| *out += share * x);
                }
            }
        }
    });
}

/// Each pixel's share of a mean's error; those of overlapping windows add up.
pub(crate) fn mean_floats_back(node: &Node, windows: Windows, error: &[f32], out: &mut [f32]) {
    let (c, share) = (node.input.c, share(windows));
    out.par_chunks_mut(node.input.len()).zip(error.par_chunks(node.output.len())).for_each(|(out, error)| {
        out.fill(0.0);
        for (o, error) in error.chunks_exact(c).enumerate() {
            for start in windows.rows(node, o) {
                for pixel in out[start..start + windows.size[1] * c].chunks_exact_mut(c) {
                    pixel.iter_mut().zip(error).for_each(|(out, error)| *out += share * error);
                }
            }
        }
    });
}
