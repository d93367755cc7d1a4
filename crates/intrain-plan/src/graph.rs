//! The plan of a network that is no chain of products, or whose weights and activations are quantized between floats.
//!
//! Its nodes are the model's layers, in an order in which each comes behind what enters it. Layers with parameters are
//! blocks, as in a chain; what lies between them are nodes alone. Every node's result is in float.

use intrain_model::{Layer, LayerKind, Model, Shape};
use intrain_num::{Format, Quantizer, Scale, Sum};
use intrain_recipe::{Bias, Recipe, Warning};

use crate::build::check_addresses;
use crate::{
    Arithmetic, BlockPlan, Codes, InputPlan, LossPlan, Operand, Plan, PlanError, Pool, ProductKind,
    ProductPlan, Sum32, Sums, WeightPlan,
};

/// Floats are no payloads.
const NOTHING: Operand = Operand { frac_bits: 0, min: 0, max: 0 };

/// Layers and how they hang together.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphPlan {
    /// The image first, then each layer that computes something; the last is the logits.
    pub nodes: Vec<Node>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// As in the model.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The nodes whose results enter.
    pub sources: Vec<usize>,
    /// Shape of what enters first.
    pub input: Shape,
    /// Shape of its result.
    pub output: Shape,
    /// Payloads of its result, and what they are worth; in integers alone.
    pub operand: Operand,
    /// What an activation of integers adds up before it rounds.
    pub sum: Option<Sum32>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// Pixels to floats.
    Image,
    /// The convolution or linear layer of that block.
    Product(usize),
    /// The normalization of that block.
    Norm(usize),
    /// Maximum over windows.
    MaxPool(Pool),
    /// Mean over windows.
    AvgPool(Pool),
    /// Mean over all pixels.
    GlobalAvgPool,
    /// ReLU (a float), or the quantizer in its place.
    Activation(Quantizer),
    /// Sum of two.
    Add,
    /// Channels of several, one behind the other.
    Concat,
    /// Every `stride`-th pixel, zeros for new channels.
    Shortcut {
        /// Step in pixels.
        stride: usize,
    },
}

/// Whether a model under a recipe needs a graph: it is no chain, or a role between floats is quantized.
pub(super) fn is_needed(model: &Model, recipe: &Recipe) -> bool {
    let is_float = |slot: &intrain_recipe::Slot| {
        let plain = |q: &Quantizer| *q == Quantizer::FLOAT;
        plain(&slot.base) && slot.except.iter().all(|e| plain(&e.quantizer))
    };
    model.beyond_a_chain().is_some()
        || recipe.error_at_product.base.scale == Scale::Bound
        || (recipe.is_float()
            && ![&recipe.weight, &recipe.master, &recipe.activation].into_iter().all(is_float))
}

/// Plans `model` as a graph, for steps of `batch_size` images.
pub(super) fn build(
    model: &Model,
    recipe: &Recipe,
    batch_size: usize,
    n_classes: usize,
    warnings: Vec<Warning>,
) -> Result<Plan, PlanError> {
    if !recipe.is_float() {
        return super::integer_graph::build(model, recipe, batch_size, n_classes, warnings);
    }
    let (blocks, graph) = nodes(model, recipe)?;
    blocks.iter().try_for_each(|block| check_addresses(block, batch_size))?;
    let quantizer = Quantizer::FLOAT;
    Ok(Plan {
        batch_size,
        arithmetic: Arithmetic::Float32,
        input: InputPlan { shape: model.input.shape, pixels: model.input.pixels, quantizer },
        blocks,
        graph: Some(graph),
        loss: LossPlan { loss: recipe.loss, n_classes, logits_frac_bits: 0, quantizer },
        init: model.init,
        learning_rate: recipe.learning_rate,
        error_feedback: recipe.error_feedback,
        warnings,
    })
}

/// The blocks and the nodes of `model` under a float recipe.
fn nodes(model: &Model, recipe: &Recipe) -> Result<(Vec<BlockPlan>, GraphPlan), PlanError> {
    let (shapes, sources) = (model.shapes()?, model.sources()?);
    let image = Node {
        name: intrain_model::INPUT.to_owned(),
        op: Op::Image,
        sources: vec![],
        input: model.input.shape,
        output: model.input.shape,
        operand: NOTHING,
        sum: None,
    };
    let (mut nodes, mut blocks) = (vec![image], Vec::new());
    // Where the output of each place of the model is: flattening moves nothing.
    let mut node_of = vec![0];
    for (i, layer) in model.layers.iter().enumerate() {
        let entering = sources[i][0];
        let shapes = [shapes[entering], shapes[i + 1]];
        let Some(op) = op_of(layer, recipe, shapes, &mut blocks)? else {
            node_of.push(node_of[entering]);
            continue;
        };
        nodes.push(Node {
            name: layer.name.clone(),
            op,
            sources: sources[i].iter().map(|&source| node_of[source]).collect(),
            input: shapes[0],
            output: shapes[1],
            operand: NOTHING,
            sum: None,
        });
        node_of.push(nodes.len() - 1);
    }
    for node in &nodes {
        if let Op::Product(b) = node.op {
            put_codes(&mut blocks[b], codes_behind(&nodes, node.sources[0]));
        }
    }
    if let Some(Node { name, op: op @ (Op::Activation(_) | Op::Norm(_)), .. }) = nodes.last() {
        let reason =
            format!("the network ends in it ({op:?}), and the loss needs logits; end with a linear layer");
        return Err(PlanError::Layer { layer: name.clone(), reason });
    }
    Ok((blocks, GraphPlan { nodes }))
}

/// The payloads that a node passes on, where it passes nothing else: those of an activation, or the largest of them.
fn codes_behind(nodes: &[Node], i: usize) -> Option<Codes> {
    let node = &nodes[i];
    match node.op {
        Op::MaxPool(_) => codes_behind(nodes, node.sources[0]),
        Op::Activation(quantizer) => {
            let step = match quantizer.format {
                Format::Levels(levels) => levels.step(),
                Format::Binary => Some(1.0),
                _ => None,
            };
            step.map(|step| Codes { quantizer, step })
        }
        _ => None,
    }
}

/// A product of codes by signs is one of integers; its bound is proven here.
fn put_codes(block: &mut BlockPlan, codes: Option<Codes>) {
    let WeightPlan { master, read, .. } = block.weight;
    let is_binary = read.format == Format::Binary || master.format == Format::Binary;
    let Some(codes) = codes.filter(|_| is_binary) else { return };
    let (min, max) = (codes.quantizer.format.min(), codes.quantizer.format.max());
    block.input_operand = Operand { frac_bits: 0, min, max };
    block.weight.operand = Operand { frac_bits: 0, min: -1, max: 1 };
    let reach = u128::from(block.input_operand.magnitude());
    let bound = block.product.fan_in() as u128 * reach;
    // Bound: sums of 32 bits; a window of 2^27 elements does not fit the addresses.
    if bound < 1 << 31 {
        block.sums.forward = Sum { bound };
        block.codes = Some(codes);
    }
}

/// What a layer does, with its block; nothing where it only looks at its input in another shape.
fn op_of(
    layer: &Layer,
    recipe: &Recipe,
    [input, output]: [Shape; 2],
    blocks: &mut Vec<BlockPlan>,
) -> Result<Option<Op>, PlanError> {
    let mut block = |product: ProductPlan| -> Result<usize, PlanError> {
        blocks.push(block_of(layer, recipe, product, blocks.len())?);
        Ok(blocks.len() - 1)
    };
    let product =
        |kind, kernel, stride, pad, bias| ProductPlan { kind, input, output, kernel, stride, pad, bias };
    let has_bias = |bias: bool| bias && recipe.bias == Bias::Model;
    Ok(Some(match layer.kind {
        LayerKind::Flatten => return Ok(None),
        LayerKind::Conv { kernel, stride, pad, bias, .. } => {
            Op::Product(block(product(ProductKind::Conv, kernel, stride, pad, has_bias(bias)))?)
        }
        LayerKind::Linear { bias, .. } => {
            Op::Product(block(product(ProductKind::Linear, 1, 1, 0, has_bias(bias)))?)
        }
        LayerKind::BatchNorm { affine } => Op::Norm(block(product(ProductKind::BatchNorm, 1, 1, 0, affine))?),
        LayerKind::LayerNorm { affine } => Op::Norm(block(product(ProductKind::LayerNorm, 1, 1, 0, affine))?),
        LayerKind::MaxPool { size, stride, pad } => Op::MaxPool(Pool { size, stride, pad }),
        LayerKind::AvgPool { size, stride } => Op::AvgPool(Pool { size, stride, pad: 0 }),
        LayerKind::GlobalAvgPool => Op::GlobalAvgPool,
        LayerKind::Relu => Op::Activation(recipe.activation.of_layer(&layer.name)),
        LayerKind::Add => Op::Add,
        LayerKind::Concat => Op::Concat,
        LayerKind::Shortcut { stride, .. } => Op::Shortcut { stride },
    }))
}

/// A block whose products and stations are floats; its weights may be stored or read in fewer bits.
fn block_of(
    layer: &Layer,
    recipe: &Recipe,
    product: ProductPlan,
    index: usize,
) -> Result<BlockPlan, PlanError> {
    let name = layer.name.as_str();
    let (master, read) = match product.kind {
        // Gains and offsets are no weights of a product.
        ProductKind::BatchNorm | ProductKind::LayerNorm => (Quantizer::FLOAT, Quantizer::FLOAT),
        ProductKind::Conv | ProductKind::Linear => {
            (recipe.master.of_layer(name), recipe.weight.of_layer(name))
        }
    };
    if master.format.is_quantized() && read.format.is_quantized() {
        let reason = format!(
            "its weight is stored as {master} and would be quantized again, as {read}, when it is read; write 'exact' \
             in one of the rows 'master' and 'weight'"
        );
        return Err(PlanError::Layer { layer: name.to_owned(), reason });
    }
    let operand = NOTHING;
    let float = Quantizer::FLOAT;
    Ok(BlockPlan {
        columns: None,
        norm: None,
        codes: None,
        name: name.to_owned(),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        product,
        pool: None,
        relu: false,
        output: product.output,
        input_operand: operand,
        weight: WeightPlan { master, read, operand, alpha_log2: 0, places: 0 },
        sum_frac_bits: 0,
        activation_at_product: float,
        activation: float,
        output_operand: operand,
        error_at_activation: float,
        error_at_product: float,
        error_operand: operand,
        gradient: float,
        momentum: float,
        update: float,
        sums: Sums { forward: Sum { bound: 0 }, error: None, gradient: Sum { bound: 0 } },
        accumulator_bits: Format::Float32.bits(),
    })
}
