//! Which row cuts which error, and that errors meet only where they can be added up.

use intrain_recipe::Recipe;

use super::Leaves;
use crate::build::{operand_of, refuse_row};
use crate::{BlockPlan, Node, Op, PlanError};

/// Which row cuts the error at each product's output, and that there is one.
pub(super) fn settle_errors(
    nodes: &[Node],
    blocks: &mut [BlockPlan],
    recipe: &Recipe,
) -> Result<(), PlanError> {
    for (i, node) in nodes.iter().enumerate() {
        let Op::Product(block) = node.op else { continue };
        let reader = reader_of_words(nodes, i);
        let (role, row) = match reader.map(|reader| (&nodes[reader].op, &nodes[reader].name)) {
            None => ("error.loss", recipe.error_at_loss.of_layer(&node.name)),
            Some((Op::Norm(_), name)) => ("error.norm", recipe.error_at_norm.of_layer(name)),
            Some((_, name)) => ("error.activation", recipe.error_at_activation.of_layer(name)),
        };
        if !row.format.is_quantized() {
            return Err(refuse_row(role, "it cuts the error at a product's output; give it a format"));
        }
        blocks[block].error_at_activation = row;
        blocks[block].error_operand = operand_of(row);
    }
    Ok(())
}

/// What reads the words of a product, behind a pooling of words.
fn reader_of_words(nodes: &[Node], i: usize) -> Option<usize> {
    let reader = nodes.iter().position(|node| node.sources.contains(&i))?;
    match nodes[reader].op {
        Op::MaxPool(_) => reader_of_words(nodes, reader),
        _ => Some(reader),
    }
}

/// Words and lines have one reader: their errors need not be added up.
pub(super) fn check_readers(nodes: &[Node], leaves: &[Leaves]) -> Result<(), PlanError> {
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| leaves[*i] != Leaves::Payloads) {
        let readers = nodes.iter().flat_map(|node| &node.sources).filter(|source| **source == i).count();
        if readers > 1 {
            let reason =
                format!("{readers} layers read it before a ReLU has rounded it; let them read the ReLU");
            return Err(PlanError::Layer { layer: node.name.clone(), reason });
        }
    }
    Ok(())
}
