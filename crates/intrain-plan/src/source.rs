//! Whether the registers of an array can give the random bits that a network's products ask for.

use intrain_num::{Columns, Quantizer, RandomSource, Round};
use intrain_recipe::Recipe;

use crate::build::refuse_row;
use crate::{BlockPlan, PlanError};

/// In networks of other kinds nothing leaves a product through an array.
pub(super) fn refuse_columns(recipe: &Recipe, what: &str) -> Result<(), PlanError> {
    if recipe.random == RandomSource::Philox {
        return Ok(());
    }
    let reason = format!(
        "it is '{}', and an array rounds the products of a chain of integers; this is {what}; write random = \"philox\"",
        recipe.random
    );
    Err(refuse_row("random", &reason))
}

/// Gives each block the array that rounds its products.
pub(super) fn settle_columns(blocks: &mut [BlockPlan], recipe: &Recipe) -> Result<(), PlanError> {
    let RandomSource::Columns(columns) = recipe.random else { return Ok(()) };
    let is_stochastic = |row: &Quantizer| row.round.is_stochastic();
    if !blocks.iter().any(|b| is_stochastic(&b.activation_at_product) || is_stochastic(&b.error_at_product)) {
        let reason = "neither 'activation.product' nor 'error.product' is stochastic, so an array would round nothing; \
                      write random = \"philox\"";
        return Err(refuse_row("random", reason));
    }
    for block in blocks {
        let error_digits = block.error_operand.frac_bits + block.weight.operand.frac_bits;
        let rows = [
            (block.activation_at_product, block.sum_frac_bits, "activation.product"),
            (block.error_at_product, error_digits, "error.product"),
        ];
        for (row, digits, role) in rows.into_iter().filter(|(row, ..)| row.round.is_stochastic()) {
            check(columns, block, row, digits - row.format.frac_bits(), role)?;
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
