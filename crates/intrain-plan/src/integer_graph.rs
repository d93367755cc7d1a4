//! The plan of a network with norms or sums whose roles are all integers.
//!
//! Two kinds of tensors alternate: *payloads* enter products, *words* of 16 bits leave them. An activation adds up what
//! enters it, each norm a line over its words, in 32 bits, and rounds once, to payloads again; so norms and residual sums are
//! never stored. Errors go the other way round: payloads at a product's output, words everywhere else.

mod errors;
mod norm;

pub use norm::NormPlan;

use intrain_model::{Layer, LayerKind, Model, Shape};
use intrain_num::{Quantizer, Round, Scale, Sum};
use intrain_recipe::{Bias, Recipe, Warning};

use crate::build::{
    activation_operand, check_addresses, error_sum, forward_sum, gradient_sum, operand_of, prove, refuse_row,
    weight_plan,
};
use errors::{check_readers, settle_errors};
use norm::prove_norm;

use crate::{
    Arithmetic, BlockPlan, GraphPlan, InputPlan, LossPlan, Node, Op, Operand, Plan, PlanError, Pool,
    ProductKind, ProductPlan, Sums, WeightPlan,
};

/// What an activation adds up, in 32 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum32 {
    /// One or two.
    pub terms: Vec<Term>,
    /// Binary digits behind the point of the sum.
    pub frac_bits: i32,
    /// Largest magnitude that it can reach.
    pub sum: Sum,
}

/// One of the things that an activation adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The node whose payloads or words enter.
    pub source: usize,
    /// The block of the norm on the way.
    pub norm: Option<usize>,
    /// Places by which it is moved to the sum's last bit.
    pub places: u32,
}

/// What a node leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// What products read.
    Payloads,
    /// What products write.
    Words,
    /// Nothing that is stored: an activation computes it.
    Line,
}

/// Plans `model` as a graph of integers, for steps of `batch_size` images.
pub(super) fn build(
    model: &Model,
    recipe: &Recipe,
    batch_size: usize,
    n_classes: usize,
    warnings: Vec<Warning>,
) -> Result<Plan, PlanError> {
    let first = model.layers.iter().find(|layer| layer.kind.is_product());
    let input = InputPlan::new(model, recipe, first.map_or("", |layer| &layer.name))?;
    let mut builder = Builder { recipe, blocks: vec![], nodes: vec![], leaves: vec![] };
    builder.build(model, &input)?;
    let Builder { mut blocks, nodes, leaves, .. } = builder;
    settle_errors(&nodes, &mut blocks, recipe)?;
    check_readers(&nodes, &leaves)?;
    for block in &mut blocks {
        match block.product.kind {
            ProductKind::BatchNorm | ProductKind::LayerNorm => prove_norm(block, batch_size)?,
            ProductKind::Conv | ProductKind::Linear => {
                check_addresses(block, batch_size)?;
                prove(block, batch_size)?;
            }
        }
    }
    let Some(Node { op: Op::Product(last), operand, .. }) = nodes.last() else {
        let name = nodes.last().map_or("", |node| &node.name).to_owned();
        let reason = "the network ends in it, and the loss needs logits; end with a linear layer".to_owned();
        return Err(PlanError::Layer { layer: name, reason });
    };
    let quantizer = recipe.error_at_loss.of_layer(&blocks[*last].name);
    let loss = LossPlan { loss: recipe.loss, n_classes, logits_frac_bits: operand.frac_bits, quantizer };
    Ok(Plan {
        batch_size,
        arithmetic: arithmetic(&blocks, &nodes, &input),
        input,
        blocks,
        graph: Some(GraphPlan { nodes }),
        loss,
        init: model.init,
        learning_rate: recipe.learning_rate,
        error_feedback: recipe.error_feedback,
        warnings,
    })
}

/// Puts nodes behind each other.
struct Builder<'a> {
    recipe: &'a Recipe,
    blocks: Vec<BlockPlan>,
    nodes: Vec<Node>,
    leaves: Vec<Leaves>,
}

impl Builder<'_> {
    fn build(&mut self, model: &Model, input: &InputPlan) -> Result<(), PlanError> {
        let (shapes, sources) = (model.shapes()?, model.sources()?);
        let image = (intrain_model::INPUT, Op::Image, [model.input.shape; 2]);
        self.push(image, vec![], input.operand(), Leaves::Payloads);
        // Where the output of each place of the model is: flattening moves nothing.
        let mut node_of = vec![0];
        for (i, layer) in model.layers.iter().enumerate() {
            let entering = sources[i][0];
            if layer.kind != LayerKind::Flatten {
                let from: Vec<usize> = sources[i].iter().map(|&source| node_of[source]).collect();
                let is_last = i + 1 == model.layers.len();
                self.layer(layer, from, [shapes[entering], shapes[i + 1]], is_last)?;
                node_of.push(self.nodes.len() - 1);
            } else {
                node_of.push(node_of[entering]);
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        (name, op, [input, output]): (&str, Op, [Shape; 2]),
        sources: Vec<usize>,
        operand: Operand,
        leaves: Leaves,
    ) {
        self.nodes.push(Node { name: name.to_owned(), op, sources, input, output, operand, sum: None });
        self.leaves.push(leaves);
    }

    /// Refuses a layer unless what enters it is of that kind.
    fn expect(&self, layer: &Layer, from: usize, wanted: &[Leaves]) -> Result<(), PlanError> {
        if wanted.contains(&self.leaves[from]) {
            return Ok(());
        }
        let name = &self.nodes[from].name;
        let reason = match self.leaves[from] {
            Leaves::Line => format!(
                "'{name}' enters it, and in integers the result of a norm or an addition is rounded in a ReLU; put one \
                 between them"
            ),
            Leaves::Words => format!(
                "'{name}' enters it, whose result has 16 bits; put a ReLU between them, which rounds it for the next \
                 product"
            ),
            Leaves::Payloads => format!(
                "'{name}' enters it, whose result is rounded already; in integers a norm lies behind a product"
            ),
        };
        Err(refuse(layer, reason))
    }

    fn layer(
        &mut self,
        layer: &Layer,
        from: Vec<usize>,
        shapes: [Shape; 2],
        is_last: bool,
    ) -> Result<(), PlanError> {
        use Leaves::{Line, Payloads, Words};
        let first = from[0];
        let entering = self.nodes[first].operand;
        let name = layer.name.as_str();
        let (op, operand, leaves) = match layer.kind {
            LayerKind::Conv { .. } | LayerKind::Linear { .. } => {
                self.expect(layer, first, &[Payloads])?;
                let block = self.product(layer, shapes, entering, is_last)?;
                let operand = block.output_operand;
                self.blocks.push(block);
                (Op::Product(self.blocks.len() - 1), operand, Words)
            }
            LayerKind::BatchNorm { affine } | LayerKind::LayerNorm { affine } => {
                self.expect(layer, first, &[Words])?;
                let (block, operand) = self.norm(layer, shapes, affine, entering)?;
                self.blocks.push(block);
                (Op::Norm(self.blocks.len() - 1), operand, Line)
            }
            LayerKind::Relu => {
                let activation = constant(layer, "activation", self.recipe.activation.of_layer(name))?;
                let sum = self.sum(layer, first)?;
                self.push(
                    (name, Op::Activation(activation), shapes),
                    from,
                    activation_operand(activation, true),
                    Payloads,
                );
                self.nodes.last_mut().expect("it has just been pushed").sum = Some(sum);
                return Ok(());
            }
            LayerKind::Add => (Op::Add, Operand { frac_bits: 0, min: 0, max: 0 }, Line),
            LayerKind::MaxPool { size, stride, pad } => {
                self.expect(layer, first, &[Payloads, Words])?;
                (Op::MaxPool(Pool { size, stride, pad }), entering, self.leaves[first])
            }
            _ => self.around(layer, &from, entering)?,
        };
        self.push((name, op, shapes), from, operand, leaves);
        Ok(())
    }

    /// A layer from payloads to payloads.
    fn around(
        &self,
        layer: &Layer,
        from: &[usize],
        entering: Operand,
    ) -> Result<(Op, Operand, Leaves), PlanError> {
        use Leaves::Payloads;
        from.iter().try_for_each(|from| self.expect(layer, *from, &[Payloads]))?;
        Ok(match layer.kind {
            LayerKind::AvgPool { size, stride } => {
                if stride < size {
                    let reason = format!(
                        "its windows of {size} overlap at a stride of {stride}, and errors would be shared; set stride to \
                         {size}"
                    );
                    return Err(refuse(layer, reason));
                }
                let operand = self.mean(layer, entering)?;
                (Op::AvgPool(Pool { size, stride, pad: 0 }), operand, Payloads)
            }
            LayerKind::GlobalAvgPool => (Op::GlobalAvgPool, self.mean(layer, entering)?, Payloads),
            LayerKind::Shortcut { stride, .. } => (Op::Shortcut { stride }, entering, Payloads),
            LayerKind::Concat => {
                let first = from[0];
                for &from in from {
                    if self.nodes[from].operand.frac_bits != entering.frac_bits {
                        let reason = format!(
                            "'{}' and '{}' have other units; give both the same row 'activation'",
                            self.nodes[first].name, self.nodes[from].name
                        );
                        return Err(refuse(layer, reason));
                    }
                }
                (Op::Concat, entering, Payloads)
            }
            _ => unreachable!("it is none that the caller knows"),
        })
    }

    /// What a mean over pixels leaves: it rounds as an activation does.
    fn mean(&self, layer: &Layer, entering: Operand) -> Result<Operand, PlanError> {
        let row = constant(layer, "activation", self.recipe.activation.of_layer(&layer.name))?;
        let operand = operand_of(row);
        Ok(if entering.min >= 0 { Operand { min: 0, ..operand } } else { operand })
    }

    fn product(
        &self,
        layer: &Layer,
        [input, output]: [Shape; 2],
        entering: Operand,
        is_last: bool,
    ) -> Result<BlockPlan, PlanError> {
        let recipe = self.recipe;
        let (kind, kernel, stride, pad, bias) = match layer.kind {
            LayerKind::Conv { kernel, stride, pad, bias, .. } => {
                (ProductKind::Conv, kernel, stride, pad, bias)
            }
            LayerKind::Linear { bias, .. } => (ProductKind::Linear, 1, 1, 0, bias),
            _ => unreachable!("it is a product"),
        };
        let bias = bias && recipe.bias == Bias::Model;
        let product = ProductPlan { kind, input, output, kernel, stride, pad, bias };
        let name = layer.name.as_str();
        let weight = weight_plan(recipe, name, product.fan_in());
        let sum_frac_bits = entering.frac_bits + weight.operand.frac_bits + weight.alpha_log2;
        let row = recipe.activation_at_product.of_layer(name);
        let exact = Operand { frac_bits: sum_frac_bits, min: 0, max: 0 };
        if row.scale == Scale::Dynamic {
            let reason =
                "its row 'activation.product' is @dynamic, which belongs to chains; leave @dynamic out";
            return Err(refuse(layer, reason.to_owned()));
        }
        let output_operand = match (is_last, row.format.is_quantized()) {
            (true, _) => exact,
            (false, true) => operand_of(row),
            (false, false) => {
                let reason = format!(
                    "the recipe '{}' leaves the row 'activation.product' exact, and in a network with norms or sums what \
                     leaves a product is rounded to 16 bits; use intrain-int8, wage-l1bn or wage-rangebn, a float recipe, or \
                     give the row a format such as 'fixed<8,8> nearest-down'",
                    recipe.name
                );
                return Err(refuse(layer, reason));
            }
        };
        let mut block = self.block(layer, product, weight, entering);
        block.sum_frac_bits = sum_frac_bits;
        block.activation_at_product = if is_last { Quantizer::EXACT } else { row };
        block.output_operand = output_operand;
        block.error_at_product = recipe.error_at_product.of_layer(name);
        if block.error_at_product.scale != Scale::Bound {
            return Err(refuse_row(
                "error.product",
                "errors between products are words here; write for example 'int<16>@bound nearest-down'",
            ));
        }
        Ok(block)
    }

    fn block(&self, layer: &Layer, product: ProductPlan, weight: WeightPlan, entering: Operand) -> BlockPlan {
        let (recipe, name) = (self.recipe, layer.name.as_str());
        let is_norm = product.kind.is_norm();
        let of = |slot: &intrain_recipe::Slot| if is_norm { slot.of_norm(name) } else { slot.of_layer(name) };
        BlockPlan {
            name: name.to_owned(),
            index: u32::try_from(self.blocks.len()).unwrap_or(u32::MAX),
            product,
            pool: None,
            relu: false,
            output: product.output,
            input_operand: entering,
            weight,
            sum_frac_bits: 0,
            activation_at_product: Quantizer::EXACT,
            activation: Quantizer::EXACT,
            output_operand: entering,
            error_at_activation: Quantizer::EXACT,
            error_at_product: Quantizer::EXACT,
            error_operand: Operand { frac_bits: 0, min: 0, max: 0 },
            gradient: of(&recipe.gradient),
            momentum: of(&recipe.momentum),
            update: of(&recipe.update),
            sums: Sums { forward: Sum { bound: 0 }, error: None, gradient: Sum { bound: 0 } },
            accumulator_bits: recipe.accumulator.of_layer(name).format.bits(),
            columns: None,
            norm: None,
            codes: None,
        }
    }

    /// What a ReLU behind the node `from` adds up.
    fn sum(&self, layer: &Layer, from: usize) -> Result<Sum32, PlanError> {
        let sources =
            if self.nodes[from].op == Op::Add { self.nodes[from].sources.clone() } else { vec![from] };
        let mut operands = Vec::new();
        let mut terms = Vec::new();
        for source in sources {
            let node = &self.nodes[source];
            let (source, norm) = match node.op {
                Op::Norm(block) => (node.sources[0], Some(block)),
                Op::Add => {
                    let reason = format!("'{}' adds up sums; put a ReLU between additions", node.name);
                    return Err(refuse(layer, reason));
                }
                _ => (source, None),
            };
            operands.push(node.operand);
            terms.push(Term { source, norm, places: 0 });
        }
        let frac_bits = operands.iter().map(|operand| operand.frac_bits).max().unwrap_or(0);
        let mut bound = 0;
        for (term, operand) in terms.iter_mut().zip(&operands) {
            term.places = (frac_bits - operand.frac_bits).unsigned_abs();
            bound += u128::from(operand.magnitude()) << term.places.min(64);
        }
        let sum = Sum { bound };
        if !sum.fits(32) {
            let reason = format!(
                "the sum that it rounds can reach {bound} and needs {} bits, and there are 32; give norm.value, norm.gain or \
                 norm.offset fewer bits",
                sum.width_bits()
            );
            return Err(refuse(layer, reason));
        }
        Ok(Sum32 { terms, frac_bits, sum })
    }
}

fn refuse(layer: &Layer, reason: String) -> PlanError {
    PlanError::Layer { layer: layer.name.clone(), reason }
}

/// Rows between products round without random bits here.
fn constant(layer: &Layer, role: &'static str, row: Quantizer) -> Result<Quantizer, PlanError> {
    let is_line = role == "norm.value";
    let fits = match row.round {
        Round::NearestDown | Round::Floor => true,
        Round::Stochastic { .. } | Round::StochasticMagnitude { .. } => false,
        _ => !is_line,
    };
    if row.format.is_quantized() && fits {
        return Ok(row);
    }
    let remedy = if is_line { "nearest-down or floor" } else { "a format with a nearest rounding" };
    Err(refuse(layer, format!("its row '{role}' is '{row}'; write {remedy}")))
}

/// The narrowest arithmetic that holds every operand of a product.
fn arithmetic(blocks: &[BlockPlan], nodes: &[Node], input: &InputPlan) -> Arithmetic {
    let of_nodes = nodes.iter().filter_map(|node| match node.op {
        Op::Activation(row) => Some(row.format.bits()),
        Op::AvgPool(_) | Op::GlobalAvgPool => Some(64 - node.operand.max.leading_zeros() + 1),
        _ => None,
    });
    let products = || blocks.iter().filter(|block| !block.product.kind.is_norm());
    let of_blocks = products().flat_map(|b| {
        let weight = if b.weight.read.format.is_quantized() { b.weight.read } else { b.weight.master };
        [b.error_at_activation.format.bits(), weight.format.bits()]
    });
    let narrow = of_nodes.chain(of_blocks).chain([input.quantizer.format.bits()]).all(|bits| bits <= 8)
        && products()
            .all(|b| [forward_sum(b), error_sum(b), gradient_sum(b, 1)].iter().all(|sum| sum.fits(32)));
    if narrow { Arithmetic::Int8 } else { Arithmetic::Int16 }
}
