//! Whether the registers of an array can give the random bits that a network's products ask for.

use intrain_num::{Columns, Quantizer, RandomSource, Round};
use intrain_recipe::Recipe;

use crate::block::BlockPlan;
use crate::error::{PlanError, refuse_row};
use crate::node::{Node, Op};

/// Float products are not rounded at all.
pub(crate) fn refuse_columns(recipe: &Recipe) -> Result<(), PlanError> {
    if recipe.random == RandomSource::Philox {
        return Ok(());
    }
    let reason = format!(
        "it is '{}', and an array rounds products of integers; this is a float network; write random = \"philox\"",
        recipe.random
    );
    Err(refuse_row("random", &reason))
}

/// Gives each block the array that rounds its products.
pub(crate) fn settle_columns(
    nodes: &[Node],
    blocks: &mut [BlockPlan],
    recipe: &Recipe,
) -> Result<(), PlanError> {
    let RandomSource::Columns(columns) = recipe.random else { return Ok(()) };
    let products = || {
        nodes.iter().filter_map(|node| if let Op::Product(product) = node.op { Some(product) } else { None })
    };
    let is_stochastic = |row: &Quantizer| row.round.is_stochastic();
    if !products().any(|p| is_stochastic(&p.epilogue.at_product) || is_stochastic(&p.error.at_input)) {
        let reason = "neither 'activation.product' nor 'error.product' is stochastic, so an array would round nothing; \
                      write random = \"philox\"";
        return Err(refuse_row("random", reason));
    }
    for product in products() {
        let block = &mut blocks[product.block];
        let error_frac_bits = block.error_operand.frac_bits + block.weight.operand.frac_bits;
        let rows = [
            (product.epilogue.at_product, block.sum_frac_bits, "activation.product"),
            (product.error.at_input, error_frac_bits, "error.product"),
        ];
        for (row, frac_bits, role) in rows.into_iter().filter(|(row, ..)| row.round.is_stochastic()) {
            check(columns, block, row, frac_bits - row.format.frac_bits(), role)?;
        }
        block.columns = Some(columns);
    }
    Ok(())
}

fn check(
    columns: Columns,
    block: &BlockPlan,
    row: Quantizer,
    dropped: i32,
    role: &'static str,
) -> Result<(), PlanError> {
    let Round::Stochastic { bits } = row.round else {
        return Err(refuse_row(role, "an array adds random bits to the sum; write 'stochastic'"));
    };
    let needed = bits.min(dropped.max(0).unsigned_abs());
    if needed <= columns.bits {
        return Ok(());
    }
    let reason = format!(
        "it drops {dropped} bits of the product '{}' and compares {needed} of them, and a register of the array has {}; \
         write 'stochastic<{}>', or a longer register in random = \"array<..> lfsr<{needed},TAPS>\"",
        block.name, columns.bits, columns.bits
    );
    Err(refuse_row(role, &reason))
}
