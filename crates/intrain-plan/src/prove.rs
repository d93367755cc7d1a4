//! The proof that every sum fits its register, and the narrowest arithmetic that holds a layer.

use intrain_num::{Format, Sum};

use crate::block::{Arithmetic, BlockPlan, ProductKind, Sums};
use crate::error::{PlanError, refuse};
use crate::node::{Element, Node, Op, Storage};
use crate::norm::prove_norm;

/// Settles each block's arithmetic and proves its sums; the logits are stored as wide as they were summed.
pub(crate) fn settle(
    nodes: &mut [Node],
    blocks: &mut [BlockPlan],
    batch_size: usize,
) -> Result<(), PlanError> {
    for block in blocks.iter_mut() {
        match (block.product.kind.is_norm(), block.arithmetic) {
            (true, _) => prove_norm(block, batch_size)?,
            (false, Arithmetic::Float32) => check_addresses(block, batch_size)?,
            (false, _) => {
                block.arithmetic = arithmetic(block);
                prove(block, batch_size)?;
            }
        }
    }
    for node in nodes {
        if let (Op::Product(product), Storage::Accumulators(element)) = (&node.op, &mut node.storage) {
            let is_narrow = blocks[product.block].arithmetic == Arithmetic::Int8;
            *element = if is_narrow { Element::I32 } else { Element::I64 };
        }
    }
    Ok(())
}

/// The widest arithmetic of all products.
pub(crate) fn widest(blocks: &[BlockPlan]) -> Arithmetic {
    let products = || blocks.iter().filter(|block| !block.product.kind.is_norm());
    let is_any = |arithmetic| products().any(|block| block.arithmetic == arithmetic);
    [Arithmetic::Float32, Arithmetic::Int16].into_iter().find(|a| is_any(*a)).unwrap_or(Arithmetic::Int8)
}

/// The narrowest arithmetic that holds every operand and sum of a product of integers.
pub(crate) fn arithmetic(block: &BlockPlan) -> Arithmetic {
    let is_stored_in_bytes =
        block.weight.read.format.is_quantized() || block.weight.master.format.bits() <= 8;
    let operands = [block.input_operand, block.weight.operand, block.error_operand];
    // One image's gradient is the shortest sum that the kernels' registers must hold on their own.
    let sums = [forward_sum(block), error_sum(block), gradient_sum(block, 1)];
    if is_stored_in_bytes
        && operands.iter().all(|operand| operand.fits_i8())
        && sums.iter().all(|sum| sum.fits(32))
    {
        Arithmetic::Int8
    } else {
        Arithmetic::Int16
    }
}

pub(crate) fn forward_sum(block: &BlockPlan) -> Sum {
    let bias = if block.product.bias {
        u128::from(block.weight.master.format.magnitude()) << block.bias_shift().clamp(0, 64)
    } else {
        0
    };
    Sum::of_products(
        block.product.fan_in() as u64,
        block.input_operand.max_abs(),
        block.weight.operand.max_abs(),
        bias,
    )
}

pub(crate) fn error_sum(block: &BlockPlan) -> Sum {
    let p = &block.product;
    Sum::of_products(
        (p.window.n_taps() * p.output.c / p.groups) as u64,
        block.error_operand.max_abs(),
        block.weight.operand.max_abs(),
        0,
    )
}

pub(crate) fn gradient_sum(block: &BlockPlan, batch_size: usize) -> Sum {
    let pixels = block.product.output.h * block.product.output.w * batch_size;
    Sum::of_products(pixels as u64, block.input_operand.max_abs(), block.error_operand.max_abs(), 0)
}

/// Bound: what is laid out for a product is addressed in 32 bits.
pub(crate) fn check_addresses(block: &BlockPlan, batch_size: usize) -> Result<(), PlanError> {
    let p = &block.product;
    // An error lies `stride` pixels apart, with a kernel's zeros around it.
    let padded = |side: usize, axis: usize| {
        (side + 2 * (p.window.pad[axis] + p.window.extent()[axis]) + p.window.stride[axis]) as u128
    };
    let image = padded(p.input.h, 0) * padded(p.input.w, 1) * p.input.c.max(p.output.c) as u128;
    // A linear layer's image is the batch.
    let batch = (batch_size * p.input.c.max(p.output.c)) as u128;
    let sizes = [
        ("weights", p.n_read_weights() as u128, "make it smaller"),
        ("bytes in a padded image", 4 * image, "use smaller images"),
        ("elements in a batch", if p.kind == ProductKind::Linear { batch } else { 0 }, "use a smaller batch"),
    ];
    let limit = u128::from(u32::MAX);
    match sizes.into_iter().find(|(_, n, _)| *n > limit) {
        None => Ok(()),
        Some((what, n, remedy)) => {
            let reason = format!("it has {n} {what} and {limit} can be addressed; {remedy}");
            Err(refuse(&block.name, reason))
        }
    }
}

pub(crate) fn prove(block: &mut BlockPlan, batch_size: usize) -> Result<(), PlanError> {
    check_addresses(block, batch_size)?;
    if block.weight.master.format == Format::Float32 {
        return Ok(());
    }
    let error = (block.index > 0).then(|| error_sum(block));
    block.sums = Sums { forward: forward_sum(block), error, gradient: gradient_sum(block, batch_size) };
    if block.product.bias && block.bias_shift() < 0 {
        let reason = format!(
            "its bias has {} more fractional bits than the sum that it is added to; give input, activation or weight as \
             many more, or leave the bias out (bias = \"none\" in the recipe)",
            -block.bias_shift()
        );
        return Err(refuse(&block.name, reason));
    }
    let stated = block.accumulator_bits.min(63);
    let sums = [
        ("forward", "fan-in", Some(block.sums.forward)),
        ("error", "fan-out", block.sums.error),
        ("gradient", "batch", Some(block.sums.gradient)),
    ];
    for (product, remedy, sum) in sums {
        if let Some(sum) = sum.filter(|sum| !sum.fits(stated)) {
            return Err(PlanError::Accumulator {
                layer: block.name.clone(),
                product,
                bound: sum.bound,
                needed: sum.width_bits(),
                stated,
                remedy,
            });
        }
    }
    Ok(())
}
