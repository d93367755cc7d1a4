//! The float carrier: the baseline in binary32.
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads.

use intrain_kernels::pack::{PackedF32, Source, pack_f32_into};
use intrain_kernels::{Isa, dot_f32};

use intrain_num::Quantizer;

use crate::block::TRACE_OPEN;
use crate::carrier::{Carrier, Cut, FinishItem, Kept, Logits};
use crate::engine::Mode;
use crate::layers::conv::{Product, Scratch};
use crate::layers::image;
use crate::loss::error_floats;
use crate::network::StepKey;
use crate::operands::{Operands, Target};
use crate::parameters::{Gradient, Parameters, Stored};
use crate::plan::{BlockPlan, InputPlan, LossPlan, Operand};
use crate::watch::Measure;

pub(crate) mod read;

pub(crate) enum Float {}

/// Tasks of a gradient, at least: as many as threads share evenly, whatever their number.
const TASKS: usize = 8;

impl Operands for Float {
    type Payload = f32;
    type Sum = f32;
    type Weight = f32;
    type Packed = PackedF32;
    const SUM_MAX: u128 = u128::MAX;

    fn tasks() -> usize {
        TASKS
    }

    fn dot(isa: Isa, args: dot_f32::Args<'_>) {
        dot_f32::run(isa, args);
    }

    fn zero(_: Operand) -> f32 {
        0.0
    }

    /// Floats are packed as they are, whatever they are.
    fn reach(_: Isa, _: Operand, _: &[f32]) -> u64 {
        0
    }

    fn weight_reach(_: Isa, _: Operand, _: &[f32]) -> u64 {
        0
    }

    fn packed(_: [u64; 2]) -> PackedF32 {
        PackedF32::default()
    }

    fn pack_weights(isa: Isa, source: Source<'_, f32>, _: Operand, _: [u64; 2], packed: &mut PackedF32) {
        pack_f32_into(isa, source, packed);
    }

    fn pack_errors(isa: Isa, source: Source<'_, f32>, _: Operand, _: [u64; 2], packed: &mut PackedF32) {
        pack_f32_into(isa, source, packed);
    }

    fn add(a: f32, b: f32) -> f32 {
        a + b
    }

    fn add_wide(_: i64, _: f32) -> i64 {
        unreachable!("floats are summed in floats")
    }

    fn largest(_: Isa, _: &[f32]) -> u64 {
        unreachable!("no float recipe divides a gradient by its size")
    }

    fn target(out: &mut Gradient, len: usize) -> Target<'_, f32> {
        match out {
            Gradient::F32(out) => {
                out.resize(len, 0.0);
                Target::Sums(out)
            }
            Gradient::I32(_) | Gradient::I64(_) => unreachable!("a float network has float gradients"),
        }
    }
}

impl Carrier for Float {
    type Payload = f32;
    type Sum = f32;
    type Narrow = f32;
    type Product = Product<Self>;
    type Scratch = Scratch<Self>;

    fn product(plan: &BlockPlan, batch_size: usize) -> Product<Self> {
        Product::new(plan, batch_size)
    }

    fn load(isa: Isa, plan: &BlockPlan, product: &mut Product<Self>, parameters: &Parameters, mode: Mode) {
        read::weights(plan, &parameters.weight, mode, &mut product.weights);
        product.bias.clear();
        if let Some(Stored::F32(bias)) = &parameters.bias {
            product.bias.extend_from_slice(bias);
        }
        product.load(isa, plan);
    }

    fn prepare_forward(isa: Isa, plan: &BlockPlan, product: &mut Product<Self>, input: &[f32]) {
        product.prepare_forward(isa, plan, input);
    }

    fn prepare_error(isa: Isa, plan: &BlockPlan, product: &mut Product<Self>, error: &[f32]) {
        product.prepare_error(isa, plan, error);
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
        product: &Product<Self>,
        input: &[f32],
        scratch: &mut Scratch<Self>,
    ) {
        product.forward(isa, plan, input, scratch);
    }

    fn keep(_: Isa, scratch: &Scratch<Self>, kept: &mut [f32]) -> u64 {
        kept.copy_from_slice(&scratch.sums);
        0
    }

    fn bring(kept: &[f32], scratch: &mut Scratch<Self>) {
        scratch.sums.clear();
        scratch.sums.extend_from_slice(kept);
    }

    fn finish(isa: Isa, plan: &BlockPlan, item: FinishItem<'_, Self>, scratch: &mut Scratch<Self>, _: Mode) {
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

    fn error(
        isa: Isa,
        plan: &BlockPlan,
        product: &Product<Self>,
        error: &[f32],
        scratch: &mut Scratch<Self>,
    ) {
        product.error(isa, plan, error, scratch);
    }

    fn sums(scratch: &Scratch<Self>) -> &[f32] {
        &scratch.sums
    }

    fn gradient(
        isa: Isa,
        plan: &BlockPlan,
        product: &mut Product<Self>,
        operands: (&[f32], &[f32]),
        out: &mut Gradient,
        scratches: &mut [Scratch<Self>],
    ) -> Option<u64> {
        product.gradient(isa, plan, operands, out, scratches)
    }

    fn bias_gradient(plan: &BlockPlan, error: &[f32], out: &mut Gradient, _: &mut [Scratch<Self>]) {
        let Gradient::F32(sums) = out else { return };
        sums.clear();
        sums.resize(plan.product.output.c, 0.0);
        for row in error.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(s, e)| *s += e);
        }
    }

    fn measure(_: Operand, payloads: &[f32]) -> Measure {
        Measure::of_floats(payloads, &Quantizer::FLOAT)
    }

    fn level(scratches: &mut [Scratch<Self>]) {
        Scratch::level(scratches);
    }
}

/// No float recipe divides an error by its size, so none is kept.
impl Kept<Float> for f32 {
    const MAX: u64 = u64::MAX;

    fn keep(_: Isa, sums: &[f32], _: &[u8], _: u8, kept: &mut [f32]) -> u64 {
        kept.copy_from_slice(sums);
        0
    }

    fn cut(_: Isa, cut: &Cut<'_>, sums: &[f32], trace: &[u8], _: u64, out: &mut [f32]) {
        for ((out, sum), trace) in out.iter_mut().zip(sums).zip(trace) {
            *out = if trace & cut.mask == cut.mask { *sum } else { 0.0 };
        }
    }
}
