//! Updates that rounding turns to nothing, said once with cause and remedy.

use intrain_nn::{BlockPlan, Plan};
use intrain_num::{Quantizer, Round};
use intrain_recipe::{Feedback, Role};

use crate::metrics::{Details, Row};
use crate::update::{self, Hyper};

/// A warning where rounding lost most updates of a layer: the one row that rounds them goes to the nearest. Rows that round
/// stochastically turn as many updates to nothing and lose none on average.
pub(crate) fn warning(plan: &Plan, hyper: Hyper, row: &Row, details: &Details) -> Option<String> {
    let dead = |block: &BlockPlan| {
        let name = format!("{}/update/dead", block.name);
        details.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value).unwrap_or(0.0)
    };
    let losing = |block: &BlockPlan| losing_row(plan, block, hyper).filter(|_| dead(block) > 0.5);
    let mut stuck = plan.blocks.iter().filter_map(|block| Some((block, losing(block)?)));
    let (first, (role, quantizer)) = stuck.next()?;
    let others = match stuck.count() {
        0 => String::new(),
        1 => " and of one layer more".to_owned(),
        n => format!(" and of {n} layers more"),
    };
    Some(format!(
        "epoch {}: rounding turned {:.0} % of the updates of '{}'{others} to nothing: row {role}, '{quantizer}', rounds to \
         the nearest, and most updates are below half of its step; use stochastic rounding, more fractional bits or a higher \
         learning rate",
        row.epoch,
        100.0 * dead(first),
        first.name
    ))
}

/// The row that rounds a block's updates, where it rounds to the nearest and what it takes is not fed back.
fn losing_row(plan: &Plan, block: &BlockPlan, hyper: Hyper) -> Option<(Role, Quantizer)> {
    let (role, quantizer) = update::rounding_row(block, hyper);
    let is_nearest = !quantizer.round.is_stochastic() && quantizer.round != Round::Floor;
    let loses = quantizer.format.is_quantized() && is_nearest && plan.error_feedback == Feedback::None;
    loses.then_some((role, quantizer))
}
