//! Which row rounds which error, and how errors pass each product.

use intrain_num::{Format, Overflow, Quantizer, Round, Scale, Surrogate};
use intrain_recipe::Recipe;

use crate::block::{BlockPlan, Operand};
use crate::error::{PlanError, refuse, refuse_row};
use crate::formats::operand_of;
use crate::names::Layout;
use crate::node::{ErrorRule, Node, Op, Product, Storage};

/// Wide errors as the codes of a product: the fraction bits are those of the step.
const AS_IT_ARRIVES: Operand = Operand { frac_bits: 0, min: -(1 << 15), max: (1 << 15) - 1 };

/// How errors pass each product of an integer network, and in which format they reach it.
pub(crate) fn settle(
    nodes: &mut [Node],
    blocks: &mut [BlockPlan],
    recipe: &Recipe,
    layout: Layout,
) -> Result<(), PlanError> {
    for i in 0..nodes.len() {
        let Op::Product(Product { block, .. }) = nodes[i].op else { continue };
        let (role, at_output) = row_at_output(nodes, i, recipe, layout);
        let (rule, at_input) = rule_of(nodes, i, recipe, (role, at_output))?;
        let is_last = i + 1 == nodes.len();
        let direct = direct_reader(nodes, i).filter(|_| !is_last);
        let operand = match direct {
            Some(reader) => {
                let behind = recipe.error_at_product.of_layer(&nodes[reader].name);
                operand_of(one_of(&nodes[i].name, at_output, behind)?)
            }
            None if at_output.format.is_quantized() => operand_of(at_output),
            None if is_last => {
                let reason = "the first error needs a format, for example 'unit<8>@shift nearest-even'";
                return Err(refuse_row(role, reason));
            }
            None if reads_bound(nodes, i, recipe) || role == "error.norm" => {
                let reason = format!(
                    "its row '{role}' rounds the error at its output for a product; give the row a format, for example \
                     'unit<8>@dynamic stochastic saturate'"
                );
                return Err(refuse(&nodes[i].name, reason));
            }
            None => AS_IT_ARRIVES,
        };
        blocks[block].error_operand = operand;
        if let Op::Product(product) = &mut nodes[i].op {
            product.error.rule = rule;
            product.error.at_input = at_input;
            product.error.at_output = at_output;
        }
    }
    Ok(())
}

/// The row that rounds the error of a product's output, with its role.
fn row_at_output(nodes: &[Node], i: usize, recipe: &Recipe, layout: Layout) -> (&'static str, Quantizer) {
    let name = &nodes[i].name;
    if i + 1 == nodes.len() {
        return ("error.loss", recipe.error_at_loss.of_layer(name));
    }
    if nodes[i].storage != Storage::Wide {
        let name = if layout == Layout::Chain { name } else { nodes[i].reported_as.as_ref().unwrap_or(name) };
        return ("error.activation", recipe.error_at_activation.of_layer(name));
    }
    let reader = reader_of_wide(nodes, i).unwrap_or(i);
    match nodes[reader].op {
        Op::Norm(_) => ("error.norm", recipe.error_at_norm.of_layer(&nodes[reader].name)),
        _ => ("error.activation", recipe.error_at_activation.of_layer(&nodes[reader].name)),
    }
}

/// What reads the wide integers of a product, behind a pooling of them.
pub(crate) fn reader_of_wide(nodes: &[Node], i: usize) -> Option<usize> {
    let reader = nodes.iter().position(|node| node.sources.contains(&i))?;
    match nodes[reader].op {
        Op::MaxPool(_) => reader_of_wide(nodes, reader),
        _ => Some(reader),
    }
}

/// Whether an error reaches product `i` through products whose row `error.product` is `@bound`: those errors have 16 bits
/// and must be rounded for a product.
fn reads_bound(nodes: &[Node], i: usize, recipe: &Recipe) -> bool {
    nodes[i + 1..].iter().any(|node| {
        matches!(node.op, Op::Product(_))
            && recipe.error_at_product.of_layer(&node.name).scale == Scale::Bound
    })
}

/// The product that alone reads the codes of product `i`, where its error sums become the error of `i` at once.
fn direct_reader(nodes: &[Node], i: usize) -> Option<usize> {
    let mut readers = (0..nodes.len()).filter(|reader| nodes[*reader].sources.contains(&i));
    let reader = readers.next().filter(|_| readers.next().is_none())?;
    match (&nodes[reader].op, nodes[i].storage) {
        (Op::Product(product), Storage::Codes(_)) if product.error.at_input.scale != Scale::Bound => {
            Some(reader)
        }
        _ => None,
    }
}

/// How an error in front of a product that meets others is kept where the row `error.product` is exact: in the fewest bits
/// that provably hold it, as the sum of two errors is.
const MET: Quantizer = Quantizer {
    format: Format::Int { bits: 16 },
    scale: Scale::Bound,
    round: Round::NearestDown,
    overflow: Overflow::Saturate,
    surrogate: Surrogate::StraightThrough,
};

/// How the error in front of product `i` is handed on, and the row that rounds it there. The row at its output is given.
fn rule_of(
    nodes: &[Node],
    i: usize,
    recipe: &Recipe,
    (role, at_output): (&'static str, Quantizer),
) -> Result<(ErrorRule, Quantizer), PlanError> {
    let node = &nodes[i];
    let row = recipe.error_at_product.of_layer(&node.name);
    let source = node.sources[0];
    if !learns(nodes, source) {
        return Ok((ErrorRule::None, row));
    }
    let is_direct = matches!(nodes[source].op, Op::Product(_)) && direct_reader(nodes, source) == Some(i);
    if is_direct {
        return Ok((ErrorRule::Direct, row));
    }
    match row.format.is_quantized() {
        true => Ok((ErrorRule::Wide, row)),
        false if at_output.scale != Scale::Shift => Ok((ErrorRule::Wide, MET)),
        false => {
            let name = &nodes[source].name;
            let what = match nodes[source].op {
                Op::Product(_) => "has other readers",
                _ => "is no product",
            };
            let reason = format!(
                "'{name}' {what}, so the error in front of this layer meets others, and its row '{role}' forgets the power of \
                 two that such sums need; write @dynamic in place of @shift there"
            );
            Err(refuse(&node.name, reason))
        }
    }
}

/// Whether a node or one in front of it has parameters: the image learns nothing.
fn learns(nodes: &[Node], i: usize) -> bool {
    matches!(nodes[i].op, Op::Product(_) | Op::Norm(_))
        || nodes[i].sources.iter().any(|source| learns(nodes, *source))
}

/// The one of two rows that rounds an error.
fn one_of(name: &str, at_activation: Quantizer, at_product: Quantizer) -> Result<Quantizer, PlanError> {
    match [at_activation, at_product].map(|q| q.format.is_quantized()) {
        [true, false] => Ok(at_activation),
        [false, true] => Ok(at_product),
        [true, true] => Err(refuse(
            name,
            "both 'error.activation' and 'error.product' round its error; make one of them exact",
        )),
        [false, false] => Err(refuse(
            name,
            "neither 'error.activation' nor 'error.product' rounds its error; give one a format",
        )),
    }
}

/// Wide integers and what is computed with the next node have one reader: their errors need not be added up.
pub(crate) fn check_readers(nodes: &[Node]) -> Result<(), PlanError> {
    for (i, node) in
        nodes.iter().enumerate().filter(|(_, n)| matches!(n.storage, Storage::Wide | Storage::Fused))
    {
        let readers = nodes.iter().flat_map(|node| &node.sources).filter(|source| **source == i).count();
        if readers > 1 {
            let reason =
                format!("{readers} layers read it before a ReLU has rounded it; let them read the ReLU");
            return Err(refuse(&node.name, reason));
        }
    }
    Ok(())
}

/// Between floats: an error passes at once to the product whose result it belongs to, or adds up with others.
pub(crate) fn settle_floats(nodes: &mut [Node]) {
    for i in 0..nodes.len() {
        let source = nodes[i].sources.first().copied().unwrap_or(0);
        let is_only = nodes.iter().flat_map(|node| &node.sources).filter(|s| **s == source).count() == 1;
        let is_direct = is_only && matches!(nodes[source].op, Op::Product(_));
        let learns = i > 0 && learns(nodes, source);
        if let Op::Product(product) = &mut nodes[i].op {
            product.error.rule = match learns {
                false => ErrorRule::None,
                true if is_direct => ErrorRule::Direct,
                true => ErrorRule::Wide,
            };
        }
    }
}
