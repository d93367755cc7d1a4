//! Images as the float products and the poolings want them: columns of windows, single taps, pooled and back.

use intrain_kernels::Isa;
use intrain_kernels::max_pool::{self, BackwardArgs, ForwardArgs, Image};
use intrain_model::Shape;

use crate::plan::{BlockPlan, ProductKind, ProductPlan};

/// The windows of one image as rows `[pixels, kernel * kernel * in]`; a linear layer's input is that already.
pub(crate) fn columns<'a>(p: &ProductPlan, input: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if p.kind == ProductKind::Linear {
        return input;
    }
    buffer.clear();
    buffer.resize(p.output.h * p.output.w * p.fan_in(), 0.0);
    let c = p.input.c;
    for_each_pixel(p, |tap, pixel, from| {
        let to = pixel * p.fan_in() + tap * c;
        buffer[to..to + c].copy_from_slice(&input[from..from + c]);
    });
    buffer
}

/// The way back of [`columns`]: adds each window's row to the pixels that it came from.
pub(crate) fn add_columns(p: &ProductPlan, columns: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.resize(p.input.len(), 0.0);
    let c = p.input.c;
    for_each_pixel(p, |tap, pixel, to| {
        let from = pixel * p.fan_in() + tap * c;
        out[to..to + c].iter_mut().zip(&columns[from..from + c]).for_each(|(o, x)| *o += x);
    });
}

/// The input pixels under one tap of the kernel, `[pixels, in]`, zero outside the image.
pub(crate) fn tap(p: &ProductPlan, input: &[f32], tap: usize, out: &mut Vec<f32>) {
    let c = p.input.c;
    out.clear();
    out.resize(p.output.h * p.output.w * c, 0.0);
    each_pixel_of_tap(p, tap, |pixel, from| {
        out[pixel * c..(pixel + 1) * c].copy_from_slice(&input[from..from + c]);
    });
}

fn for_each_pixel(p: &ProductPlan, mut f: impl FnMut(usize, usize, usize)) {
    for tap in 0..p.kernel * p.kernel {
        each_pixel_of_tap(p, tap, |pixel, at| f(tap, pixel, at));
    }
}

/// Calls `f(output pixel, offset of the input pixel's channels)` for each output pixel whose tap lies in the image.
fn each_pixel_of_tap(p: &ProductPlan, tap: usize, mut f: impl FnMut(usize, usize)) {
    let (ky, kx) = (tap / p.kernel, tap % p.kernel);
    for y in 0..p.output.h {
        let Some(iy) = (y * p.stride + ky).checked_sub(p.pad).filter(|iy| *iy < p.input.h) else { continue };
        for x in 0..p.output.w {
            let Some(ix) = (x * p.stride + kx).checked_sub(p.pad).filter(|ix| *ix < p.input.w) else {
                continue;
            };
            f(y * p.output.w + x, (iy * p.input.w + ix) * p.input.c);
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
