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
use crate::plan::{BlockPlan, InputPlan, LossPlan, ProductKind};

pub(crate) enum Float {}

/// Weights `[kernel, kernel, in, out]` and biases.
#[derive(Default)]
pub(crate) struct FloatProduct {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// One thread's buffers.
#[derive(Default)]
pub(crate) struct FloatScratch {
    /// Columns `[pixels, kernel * kernel * in]` of one image.
    columns: Vec<f32>,
    sums: Vec<f32>,
}

/// Input channels whose gradient one thread takes at a time.
const CHANNELS: usize = 128;
/// Rows of a convolution's product, about.
const ROWS: usize = 512;
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
    fn images_at_a_time(plan: &BlockPlan) -> usize {
        let pixels = plan.product.output.h * plan.product.output.w;
        if pixels <= SMALL && plan.product.output.c <= SMALL { 1 } else { (ROWS / pixels).max(1) }
    }

    fn product(_: &BlockPlan, _: usize) -> FloatProduct {
        FloatProduct::default()
    }

    fn load(_: Isa, _: &BlockPlan, product: &mut FloatProduct, parameters: &Parameters, _: Mode) {
        let copy = |stored: &Stored, to: &mut Vec<f32>| {
            if let Stored::F32(values) = stored {
                to.clone_from(values);
            }
        };
        copy(&parameters.weight, &mut product.weight);
        product.bias.clear();
        if let Some(bias) = &parameters.bias {
            copy(bias, &mut product.bias);
        }
    }

    fn prepare_forward(_: Isa, _: &BlockPlan, _: &mut FloatProduct, _: &[f32]) {}

    fn prepare_error(_: Isa, _: &BlockPlan, _: &mut FloatProduct, _: &[f32]) {}

    fn pixels(plan: &InputPlan) -> Vec<f32> {
        #[allow(clippy::cast_precision_loss, reason = "both numbers are below 2^10")]
        let value = |p| {
            let (numerator, denominator) = plan.pixels.fraction(p);
            numerator as f32 / denominator as f32
        };
        (0..=255).map(value).collect()
    }

    fn forward(_: Isa, plan: &BlockPlan, product: &FloatProduct, input: &[f32], scratch: &mut FloatScratch) {
        let p = &plan.product;
        let (fan_in, n) = (p.fan_in(), p.output.c);
        let columns = image::columns(p, input, &mut scratch.columns);
        let rows = columns.len() / fan_in;
        scratch.sums.resize(rows * n, 0.0);
        let (a, b) =
            (Matrix::row_major(columns, rows, fan_in), Matrix::row_major(&product.weight, fan_in, n));
        dot_f32::run(a, b, &mut scratch.sums, Into::Replace);
        if !product.bias.is_empty() {
            for row in scratch.sums.chunks_exact_mut(n) {
                row.iter_mut().zip(&product.bias).for_each(|(y, b)| *y += b);
            }
        }
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
            if !plan.relu || *y > 0.0 {
                *trace |= TRACE_OPEN;
            } else {
                *y = 0.0;
            }
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

    fn error(_: Isa, plan: &BlockPlan, product: &FloatProduct, error: &[f32], scratch: &mut FloatScratch) {
        let p = &plan.product;
        let (fan_in, n) = (p.fan_in(), p.output.c);
        let rows = error.len() / n;
        let weight = Matrix::row_major(&product.weight, fan_in, n);
        let error = Matrix::row_major(error, rows, n);
        if p.kind == ProductKind::Linear {
            scratch.sums.resize(rows * fan_in, 0.0);
            dot_f32::run(error, weight.transposed(), &mut scratch.sums, Into::Replace);
            return;
        }
        scratch.columns.resize(rows * fan_in, 0.0);
        dot_f32::run(error, weight.transposed(), &mut scratch.columns, Into::Replace);
        image::add_columns(p, &scratch.columns, &mut scratch.sums);
    }

    fn sums(scratch: &FloatScratch) -> &[f32] {
        &scratch.sums
    }

    /// Each task owns a block of rows of the gradient and adds the images in their order.
    fn gradient(
        _: Isa,
        plan: &BlockPlan,
        _: &mut FloatProduct,
        (input, error): (&[f32], &[f32]),
        out: &mut Gradient,
        _: &mut [FloatScratch],
    ) -> Option<u64> {
        let Gradient::F32(gradient) = out else { return None };
        let p = &plan.product;
        let n = p.output.c;
        gradient.resize(p.n_weights(), 0.0);
        match p.kind {
            ProductKind::Linear => {
                let rows = error.len() / n;
                let a = Matrix::row_major(input, rows, p.input.c);
                gradient.par_chunks_mut(CHANNELS * n).enumerate().for_each(|(i, out)| {
                    let block = Matrix { data: &a.data[i * CHANNELS..], columns: out.len() / n, ..a };
                    dot_f32::run(block.transposed(), Matrix::row_major(error, rows, n), out, Into::Replace);
                });
            }
            ProductKind::Conv => {
                let pixels = p.output.h * p.output.w;
                // Blocks of channels that stay in cache while the images pass by.
                let block = if p.input.c.is_multiple_of(CHANNELS) { CHANNELS } else { p.input.c };
                let n_blocks = p.input.c / block;
                gradient.par_chunks_mut(block * n).enumerate().for_each_init(Vec::new, |tap, (i, out)| {
                    out.fill(0.0);
                    for (input, error) in input.chunks(p.input.len()).zip(error.chunks(p.output.len())) {
                        image::tap(p, input, i / n_blocks, tap);
                        let all = Matrix::row_major(tap, pixels, p.input.c);
                        let a = Matrix { data: &tap[i % n_blocks * block..], columns: block, ..all };
                        let error = Matrix::row_major(error, pixels, n);
                        dot_f32::run(a.transposed(), error, out, Into::Add);
                    }
                });
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
