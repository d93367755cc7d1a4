//! Images as the float products and the poolings want them: columns of windows, single taps, pooled and back.

use std::ops::Range;

use intrain_kernels::Isa;
use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image};
use intrain_model::Shape;

use crate::plan::{BlockPlan, ProductKind, ProductPlan};

/// The windows of some images as rows `[images, pixels, kernel * kernel * in]`; a linear layer's input is that already.
pub(crate) fn columns<'a>(p: &ProductPlan, input: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if p.kind == ProductKind::Linear {
        return input;
    }
    let image_len = p.output.h * p.output.w * p.fan_in();
    buffer.resize(input.len() / p.input.len() * image_len, 0.0);
    for (input, buffer) in input.chunks_exact(p.input.len()).zip(buffer.chunks_exact_mut(image_len)) {
        if p.pad > 0 {
            buffer.fill(0.0);
        }
        for_each_run(p, |from, to, len| buffer[to..to + len].copy_from_slice(&input[from..from + len]));
    }
    buffer
}

/// The way back of [`columns`]: adds each window's row to the pixels that it came from.
pub(crate) fn add_columns(p: &ProductPlan, columns: &[f32], out: &mut [f32]) {
    let image_len = p.output.h * p.output.w * p.fan_in();
    out.fill(0.0);
    for (columns, out) in columns.chunks_exact(image_len).zip(out.chunks_exact_mut(p.input.len())) {
        for_each_run(p, |to, from, len| {
            out[to..to + len].iter_mut().zip(&columns[from..from + len]).for_each(|(o, x)| *o += x);
        });
    }
}

/// Calls `f(offset in the image, offset in its columns, elements)` for each part of a row of a window that lies in the
/// image. Each element of the image meets the taps of the kernel in their order: pixels of a row go backwards.
fn for_each_run(p: &ProductPlan, mut f: impl FnMut(usize, usize, usize)) {
    let c = p.input.c;
    for ky in 0..p.kernel {
        for y in 0..p.output.h {
            let Some(iy) = (y * p.stride + ky).checked_sub(p.pad).filter(|iy| *iy < p.input.h) else {
                continue;
            };
            for x in (0..p.output.w).rev() {
                let first = p.pad.saturating_sub(x * p.stride);
                let end = p.kernel.min((p.input.w + p.pad).saturating_sub(x * p.stride));
                if first < end {
                    let from = (iy * p.input.w + x * p.stride + first - p.pad) * c;
                    let to = (y * p.output.w + x) * p.fan_in() + (ky * p.kernel + first) * c;
                    f(from, to, (end - first) * c);
                }
            }
        }
    }
}

/// Some channels of the input pixels of some images under one tap of the kernel, `[images, pixels, channels]`, zero
/// outside the image.
pub(crate) fn tap(p: &ProductPlan, input: &[f32], tap: usize, channels: Range<usize>, out: &mut Vec<f32>) {
    let (c, ky, kx) = (p.input.c, tap / p.kernel, tap % p.kernel);
    let image_len = p.output.h * p.output.w * channels.len();
    out.resize(input.len() / p.input.len() * image_len, 0.0);
    if p.pad > 0 {
        out.fill(0.0);
    }
    // Output pixels of a row whose tap lies in the image.
    let first = p.pad.saturating_sub(kx).div_ceil(p.stride);
    let end = (p.input.w + p.pad).saturating_sub(kx).div_ceil(p.stride).clamp(first, p.output.w.max(first));
    for (input, out) in input.chunks_exact(p.input.len()).zip(out.chunks_exact_mut(image_len)) {
        for y in 0..p.output.h {
            let Some(iy) = (y * p.stride + ky).checked_sub(p.pad).filter(|iy| *iy < p.input.h) else {
                continue;
            };
            let from = |x: usize| (iy * p.input.w + x * p.stride + kx - p.pad) * c;
            let to = |x: usize| (y * p.output.w + x) * channels.len();
            if p.stride == 1 && channels.len() == c && first < end {
                out[to(first)..to(end)].copy_from_slice(&input[from(first)..from(end - 1) + c]);
            } else {
                for x in first..end {
                    out[to(x)..to(x + 1)].copy_from_slice(&input[from(x)..][channels.clone()]);
                }
            }
        }
    }
}

/// Max pooling of one image of a block's products; the choice goes to the low bits of the trace.
pub(crate) fn pool<T: max_pool::Element>(
    isa: Isa,
    plan: &BlockPlan,
    input: &[T],
    out: &mut [T],
    trace: &mut [u8],
) {
    let Some(pool) = plan.pool else { return };
    max_pool::forward(isa, ForwardArgs { input, image: image(plan), pool, out, index: trace });
}

/// The way back of [`pool`]: each error goes to the pixel that was chosen; overlapping windows add and are held.
pub(crate) fn unpool<T: max_pool::Error>(
    isa: Isa,
    plan: &BlockPlan,
    error: &[T],
    trace: &[u8],
    out: &mut [T],
    (min, max): (T, T),
) {
    let Some(pool) = plan.pool else { return };
    max_pool::backward(isa, BackwardArgs { error, index: trace, image: image(plan), pool, out, min, max });
}

const fn image(plan: &BlockPlan) -> Image {
    let Shape { h, w, c } = plan.product.output;
    Image { h, w, c, pixel_stride: c }
}
