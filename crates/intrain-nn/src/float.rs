//! The float carrier: the baseline in binary32.
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads.

use intrain_kernels::Isa;
use intrain_kernels::dot_f32::{self, Into, Matrix};
use rayon::prelude::*;

use crate::block::TRACE_OPEN;
use crate::carrier::{Carrier, Cut, FinishItem, Kept, Logits, Mode};
use crate::layers::image;
use crate::loss::error_floats;
use crate::network::StepKey;
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::{BlockPlan, InputPlan, LossPlan, ProductKind, ProductPlan};

mod gradient;
pub(crate) mod read;

pub(crate) enum Float {}

/// Weights `[kernel, kernel, in, out]` and biases.
#[derive(Default)]
pub(crate) struct FloatProduct {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// Weights of the product that gives the errors of a convolution by steps of one pixel: taps in reverse,
    /// `[kernel, kernel, out, in]`.
    reversed: Vec<f32>,
    /// Sums of the tasks of the gradient.
    gradient: Vec<Vec<f32>>,
}

/// One thread's buffers.
#[derive(Default)]
pub(crate) struct FloatScratch {
    /// Columns `[pixels, kernel * kernel * in]` of some images, or the pixels under one tap.
    columns: Vec<f32>,
    sums: Vec<f32>,
}

/// Rows of a linear layer's gradient that one thread takes at a time.
const CHANNELS: usize = 128;
/// Rows of a linear layer's batch that one thread takes at a time, about: all weights pass by each time.
const LINEAR_ROWS: usize = 64;
/// Rows of a convolution's product, about.
const ROWS: usize = 512;
/// With fewer input channels than that, all taps of the kernel make one product.
const FEW_CHANNELS: usize = 32;
/// Largest side of a product that `gemm` calls small.
const SMALL: usize = 64;

impl Carrier for Float {
    type Payload = f32;
    type Sum = f32;
    type Narrow = f32;
    type Product = FloatProduct;
    type Scratch = FloatScratch;

    /// So many that the product has about [`ROWS`] rows, for it reads all weights each time. Small products stay small:
    /// `gemm` sums them in another order than large ones.
    fn images_at_a_time(plan: &BlockPlan, batch_size: usize) -> usize {
        if plan.product.kind == ProductKind::Linear {
            return batch_size.div_ceil(batch_size.div_ceil(LINEAR_ROWS));
        }
        let pixels = plan.product.output.h * plan.product.output.w;
        if pixels <= SMALL && plan.product.output.c <= SMALL { 1 } else { (ROWS / pixels).max(1) }
    }

    fn product(_: &BlockPlan, _: usize) -> FloatProduct {
        FloatProduct::default()
    }

    fn load(_: Isa, plan: &BlockPlan, product: &mut FloatProduct, parameters: &Parameters, mode: Mode) {
        read::weights(plan, &parameters.weight, mode, &mut product.weight);
        product.bias.clear();
        if let Some(Stored::F32(bias)) = &parameters.bias {
            product.bias.extend_from_slice(bias);
        }
    }

    fn prepare_forward(_: Isa, _: &BlockPlan, _: &mut FloatProduct, _: &[f32]) {}

    fn prepare_error(_: Isa, plan: &BlockPlan, product: &mut FloatProduct, _: &[f32]) {
        let p = &plan.product;
        if way_back(p).is_none() {
            return;
        }
        let (c_in, c_out) = (p.input.c, p.output.c);
        product.reversed.resize(p.n_weights(), 0.0);
        let taps = product.weight.par_chunks_exact(c_in * c_out).rev();
        product.reversed.par_chunks_exact_mut(c_in * c_out).zip(taps).for_each(|(to, from)| {
            for (o, to) in to.chunks_exact_mut(c_in).enumerate() {
                to.iter_mut().zip(from[o..].iter().step_by(c_out)).for_each(|(to, from)| *to = *from);
            }
        });
    }

    fn pixels(plan: &InputPlan) -> Vec<f32> {
        #[allow(clippy::cast_precision_loss, reason = "both numbers are below 2^10")]
        let value = |p| {
            let (numerator, denominator) = plan.pixels.fraction(p);
            numerator as f32 / denominator as f32
        };
        (0..=255).map(value).collect()
    }

    fn forward(
        isa: Isa,
        plan: &BlockPlan,
        product: &FloatProduct,
        input: &[f32],
        scratch: &mut FloatScratch,
    ) {
        product.multiply_into_scratch(isa, plan, Way::Forward, input, scratch);
    }

    fn finish(isa: Isa, plan: &BlockPlan, item: FinishItem<'_, Self>, scratch: &mut FloatScratch, _: Mode) {
        let out = item.payload;
        match plan.pool {
            None => {
                out.copy_from_slice(&scratch.sums);
                item.trace.fill(0);
            }
            Some(_) => {
                let sums = scratch.sums.chunks_exact(plan.product.output.len());
                let ends =
                    out.chunks_exact_mut(plan.output.len()).zip(item.trace.chunks_mut(plan.output.len()));
                sums.zip(ends).for_each(|(sums, (out, trace))| image::pool(isa, plan, sums, out, trace));
            }
        }
        for (y, trace) in out.iter_mut().zip(item.trace) {
            // Without branches: signs are as good as random.
            let is_open = !plan.relu || *y > 0.0;
            *trace |= if is_open { TRACE_OPEN } else { 0 };
            *y = if is_open { *y } else { 0.0 };
        }
    }

    fn logit(_: &LossPlan, (logits, _): Logits<'_, Self>, i: usize) -> f64 {
        logits[i].into()
    }

    fn error_at_loss(
        plan: &LossPlan,
        (logits, _): Logits<'_, Self>,
        labels: &[u16],
        _: u32,
        _: StepKey,
        out: &mut Vec<f32>,
    ) {
        out.clear();
        #[allow(clippy::cast_possible_truncation, reason = "rounding a f64 to f32 is meant")]
        out.extend(error_floats(plan, |i| logits[i].into(), labels).map(|e| e as f32));
    }

    fn unpool(isa: Isa, plan: &BlockPlan, error: &[f32], trace: &[u8], out: &mut [f32]) {
        image::unpool(isa, plan, error, trace, out, (f32::NEG_INFINITY, f32::INFINITY));
    }

    fn error(isa: Isa, plan: &BlockPlan, product: &FloatProduct, error: &[f32], scratch: &mut FloatScratch) {
        product.multiply_into_scratch(isa, plan, Way::Back, error, scratch);
    }

    fn sums(scratch: &FloatScratch) -> &[f32] {
        &scratch.sums
    }

    fn gradient(
        _: Isa,
        plan: &BlockPlan,
        product: &mut FloatProduct,
        (input, error): (&[f32], &[f32]),
        out: &mut Gradient,
        scratches: &mut [FloatScratch],
    ) -> Option<u64> {
        let Gradient::F32(sums) = out else { return None };
        let p = &plan.product;
        let n = p.output.c;
        sums.resize(p.n_weights(), 0.0);
        match p.kind {
            ProductKind::Norm => unreachable!("a norm has no product"),
            ProductKind::Linear => {
                let rows = error.len() / n;
                let a = Matrix::row_major(input, rows, p.input.c);
                sums.par_chunks_mut(CHANNELS * n).enumerate().for_each(|(i, out)| {
                    let block = Matrix { data: &a.data[i * CHANNELS..], columns: out.len() / n, ..a };
                    dot_f32::run(block.transposed(), Matrix::row_major(error, rows, n), out, Into::Replace);
                });
            }
            ProductKind::Conv => {
                gradient::conv(p, (input, error), sums, &mut product.gradient, scratches);
            }
        }
        None
    }

    fn bias_gradient(plan: &BlockPlan, error: &[f32], out: &mut Gradient, _: &mut [FloatScratch]) {
        let Gradient::F32(sums) = out else { return };
        sums.clear();
        sums.resize(plan.product.output.c, 0.0);
        for row in error.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(s, e)| *s += e);
        }
    }
}

/// From inputs to outputs, or from errors at the output to errors at the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    Back,
}

impl FloatProduct {
    fn multiply_into_scratch(
        &self,
        isa: Isa,
        plan: &BlockPlan,
        way: Way,
        input: &[f32],
        scratch: &mut FloatScratch,
    ) {
        let p = &plan.product;
        let [from, to] = match way {
            Way::Forward => [p.input.len(), p.output.len()],
            Way::Back => [p.output.len(), p.input.len()],
        };
        let mut sums = std::mem::take(&mut scratch.sums);
        sums.resize(input.len() / from * to, 0.0);
        self.multiply(isa, plan, way, input, scratch, &mut sums);
        scratch.sums = sums;
    }

    /// Some images' sums, biases included, or their errors, into `out`.
    pub(crate) fn multiply(
        &self,
        _: Isa,
        plan: &BlockPlan,
        way: Way,
        input: &[f32],
        scratch: &mut FloatScratch,
        out: &mut [f32],
    ) {
        let p = &plan.product;
        let (fan_in, n) = (p.fan_in(), p.output.c);
        if way == Way::Forward {
            windows_times(p, input, &self.weight, scratch, out);
            if !self.bias.is_empty() {
                for row in out.chunks_exact_mut(n) {
                    row.iter_mut().zip(&self.bias).for_each(|(y, b)| *y += b);
                }
            }
            return;
        }
        if let Some(back) = way_back(p) {
            windows_times(&back, input, &self.reversed, scratch, out);
            return;
        }
        let rows = input.len() / n;
        let (error, weight) =
            (Matrix::row_major(input, rows, n), Matrix::row_major(&self.weight, fan_in, n).transposed());
        if p.kind == ProductKind::Linear {
            dot_f32::run(error, weight, out, Into::Replace);
            return;
        }
        scratch.columns.resize(rows * fan_in, 0.0);
        dot_f32::run(error, weight, &mut scratch.columns, Into::Replace);
        image::add_columns(p, &scratch.columns, out);
    }
}

/// Sums of some images' windows times `weight`: all of the window at once where that is little, else tap by tap, while
/// pixels and sums are in cache.
fn windows_times(
    p: &ProductPlan,
    input: &[f32],
    weight: &[f32],
    scratch: &mut FloatScratch,
    sums: &mut [f32],
) {
    let (c_in, n) = (p.input.c, p.output.c);
    let rows = input.len() / p.input.len() * (p.output.h * p.output.w);
    let columns = &mut scratch.columns;
    if p.kind == ProductKind::Linear || c_in < FEW_CHANNELS {
        let columns = Matrix::row_major(image::columns(p, input, columns), rows, p.fan_in());
        dot_f32::run(columns, Matrix::row_major(weight, p.fan_in(), n), sums, Into::Replace);
        return;
    }
    for (tap, weight) in weight.chunks_exact(c_in * n).enumerate() {
        image::tap(p, input, tap, 0..c_in, columns);
        let into = if tap == 0 { Into::Replace } else { Into::Add };
        dot_f32::run(Matrix::row_major(columns, rows, c_in), Matrix::row_major(weight, c_in, n), sums, into);
    }
}

/// The convolution that takes the errors of `p` back, where it is no more work than `p`: steps of one pixel leave no gaps
/// between errors, and the images do not shrink, which would be multiplications by the zeros around them.
fn way_back(p: &ProductPlan) -> Option<ProductPlan> {
    let pad = (p.kernel - 1).checked_sub(p.pad)?;
    let is_as_cheap = p.kind == ProductKind::Conv && p.stride == 1 && pad <= p.pad;
    is_as_cheap.then_some(ProductPlan { input: p.output, output: p.input, pad, ..*p })
}

/// No float recipe divides an error by its size, so none is kept.
impl Kept<Float> for f32 {
    const MAX: u64 = u64::MAX;

    fn keep(_: Isa, sums: &[f32], _: &[u8], _: u8, kept: &mut [f32]) -> u64 {
        kept.copy_from_slice(sums);
        0
    }

    fn cut(_: Isa, cut: &Cut, sums: &[f32], trace: &[u8], _: u64, out: &mut [f32]) {
        for ((out, sum), trace) in out.iter_mut().zip(sums).zip(trace) {
            *out = if trace & cut.mask == cut.mask { *sum } else { 0.0 };
        }
    }
}
