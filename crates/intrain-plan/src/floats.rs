//! Between floats: the products of codes by signs, and what an activation computes along with it.

use intrain_model::LayerKind;
use intrain_num::{Format, Quantizer, Sum};
use intrain_recipe::{Recipe, Slot};

use crate::block::{BlockPlan, Codes, Operand, OperandRows, ProductKind, ProductPlan, WeightPlan};
use crate::error::{PlanError, refuse};
use crate::formats::NOTHING;
use crate::node::{Node, Op, Product, Storage};

/// How a norm's gains and offsets are stored between floats.
pub(crate) const WEIGHT: WeightPlan = WeightPlan {
    master: Quantizer::FLOAT,
    read: Quantizer::FLOAT,
    operand: NOTHING,
    alpha_log2: 0,
    fan_shift: 0,
};

/// How a product's weights are stored and read; one of the two may be in fewer bits.
pub(crate) fn weight(recipe: &Recipe, name: &str) -> Result<WeightPlan, PlanError> {
    let (master, read) = (recipe.master.of_layer(name), recipe.weight.of_layer(name));
    let is_read_anew = read.format.is_quantized() || read.format.coded().is_some();
    if master.format.is_quantized() && is_read_anew {
        let reason = format!(
            "its weight is stored as {master} and would be quantized again, as {read}, when it is read; write 'exact' in \
             one of the rows 'master' and 'weight'"
        );
        return Err(refuse(name, reason));
    }
    Ok(WeightPlan { master, read, ..WEIGHT })
}

/// How the product `name` quantizes what it reads beside its weights; `entering` is the recipe's row `activation`, where that
/// is of products.
pub(crate) fn operands(recipe: &Recipe, entering: &Slot, name: &str, product: &ProductPlan) -> OperandRows {
    let error = recipe.error_at_product.of_layer(name).format.coded();
    OperandRows {
        activation: entering.of_layer(name).format.coded(),
        error,
        // Elsewhere a row of one operand meets several of the other, and the transform would not cancel.
        hadamard: error.is_some_and(|error| error.hadamard) && product.sees_one_pixel(),
    }
}

/// Marks the products that are products of integers, by the codes that enter them.
pub(crate) fn settle_codes(nodes: &[Node], blocks: &mut [BlockPlan]) {
    for node in nodes {
        if let Op::Product(Product { block, .. }) = node.op {
            put_codes(&mut blocks[block], codes_behind(nodes, node.sources[0]));
        }
    }
}

/// The codes that a node passes on, where it passes nothing else: those of an activation, or the largest of them.
fn codes_behind(nodes: &[Node], i: usize) -> Option<Codes> {
    let node = &nodes[i];
    match &node.op {
        Op::MaxPool(_) => codes_behind(nodes, node.sources[0]),
        Op::Activation(activation) => {
            let step = match activation.row.format {
                Format::Levels(levels) => levels.step(),
                Format::Binary => Some(1.0),
                _ => None,
            };
            step.map(|step| Codes { quantizer: activation.row, step })
        }
        _ => None,
    }
}

/// A product of codes by signs is one of integers; its bound is proven here.
fn put_codes(block: &mut BlockPlan, codes: Option<Codes>) {
    let WeightPlan { master, read, .. } = block.weight;
    let is_binary = read.format == Format::Binary || master.format == Format::Binary;
    // Between groups a dense product has zeros, which are no signs.
    let is_dense = block.product.groups == 1;
    let Some(codes) = codes.filter(|_| is_binary && is_dense) else { return };
    let (min, max) = (codes.quantizer.format.min(), codes.quantizer.format.max());
    block.input_operand = Operand { frac_bits: 0, min, max };
    block.weight.operand = Operand { frac_bits: 0, min: -1, max: 1 };
    let bound = block.product.fan_in() as u128 * u128::from(block.input_operand.max_abs());
    // Bound: sums of 32 bits; a window of 2^27 elements does not fit the addresses.
    if bound < 1 << 31 {
        block.sums.forward = Sum { bound };
        block.codes = Some(codes);
    }
}

/// Lets each activation compute the batch norm in front of it, or take over the buffer of what enters, where it alone reads
/// that.
pub(crate) fn fuse_activations(nodes: &mut [Node], blocks: &[BlockPlan]) {
    let mut readers = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| &node.sources).for_each(|&source| readers[source] += 1);
    for i in 0..nodes.len() {
        let (before, rest) = nodes.split_at_mut(i);
        let Op::Activation(activation) = &mut rest[0].op else { continue };
        let source = activation.terms[0].source;
        // What is computed along with another node is a plain ReLU, or the codebook in its place.
        if readers[source] > 1 || activation.kind != LayerKind::Relu {
            continue;
        }
        match before[source].op {
            Op::Norm(block) if blocks[block].product.kind == ProductKind::BatchNorm => {
                before[source].storage = Storage::Fused;
                activation.terms[0].source = before[source].sources[0];
                activation.terms[0].norm = Some(block);
            }
            Op::Product(_) | Op::Add => activation.in_place = activation.row == Quantizer::FLOAT,
            _ => {}
        }
    }
}
