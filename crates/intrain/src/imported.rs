//! From the network of another program to a saved model of this one.

use intrain_import::{Imported, Weights};
use intrain_nn::{Moments, Parameters, Plan, PlanError, Stored};
use intrain_recipe::Recipe;

/// The plan of an imported network in floats, and its parameters, block by block.
///
/// # Errors
/// A network that cannot be planned.
pub fn parameters(imported: &Imported, floats: &Recipe) -> Result<(Plan, Vec<Parameters>), PlanError> {
    let plan = Plan::build(&imported.model, floats, 1)?;
    let of_block = |name: &str| imported.weights.iter().find(|weights| weights.layer == name);
    let parameters =
        plan.blocks.iter().map(|block| of_block(&block.name).map_or_else(none, stored)).collect();
    Ok((plan, parameters))
}

fn stored(weights: &Weights) -> Parameters {
    let floats = |values: &Vec<f32>| Stored::F32(values.clone());
    Parameters {
        weight: floats(&weights.weight),
        bias: weights.bias.as_ref().map(floats),
        moments: weights
            .moments
            .as_ref()
            .map(|[mean, variance]| Moments { mean: floats(mean), spread: floats(variance) }),
    }
}

/// Every block with parameters was read with them.
fn none() -> Parameters {
    unreachable!("a layer was read without its weights")
}
