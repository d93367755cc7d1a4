//! What the layers of a float network answer to training images, for the rows of a network of integers.

use std::collections::BTreeSet;
use std::sync::Arc;

use intrain_data::Dataset;
use intrain_model::Model;
use intrain_nn::plan::{Node, Op, Storage};
use intrain_nn::{Context, Network, Plan};
use intrain_num::{Format, Quantizer};
use intrain_recipe::{Recipe, Role, Slot};

use super::choose::Choice;
use crate::TrainError;
use crate::config::Config;
use crate::saved::SavedModel;
use crate::statistics;
use crate::transfer::into_norm;

/// Of so many results one is looked at: neighbours are alike.
const EVERY: usize = 5;

/// A row of the recipe that rounds what a layer leaves.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) layer: String,
    pub(super) role: Role,
    pub(super) quantizer: Quantizer,
    /// The node of the plan that it belongs to.
    node: usize,
    pub(super) choice: Choice,
}

/// The rows that may get another format: those that are `fixed`, of ReLUs and means; and of products that no norm follows,
/// whose range may be too small.
pub(super) fn rows(plan: &Plan, recipe: &Recipe) -> Vec<Row> {
    let mut rows = Vec::new();
    for (node, planned) in plan.nodes.iter().enumerate() {
        let (role, quantizer) = match &planned.op {
            Op::Activation(activation) => (Role::Activation, activation.row),
            Op::MeanPool(_) | Op::GlobalMean => (Role::Activation, mean_row(recipe, planned)),
            Op::Product(product) if product.epilogue.activation.format.is_quantized() => {
                (Role::Activation, product.epilogue.activation)
            }
            Op::Product(product)
                if planned.storage == Storage::Wide && into_norm(plan, product.block).is_none() =>
            {
                (Role::ActivationAtProduct, product.epilogue.at_product)
            }
            _ => continue,
        };
        if matches!(quantizer.format, Format::Fixed { .. }) {
            let choice = Choice::of(quantizer.format);
            let reported = planned.reported_as.clone().filter(|_| role == Role::Activation);
            rows.push(Row {
                layer: reported.unwrap_or_else(|| planned.name.clone()),
                role,
                quantizer,
                node,
                choice,
            });
        }
    }
    rows
}

/// The row of a mean: the one whose format its integers have.
fn mean_row(recipe: &Recipe, node: &Node) -> Quantizer {
    let Slot { base, except } = &recipe.activation;
    let is_its = |row: &Quantizer| {
        (row.format.frac_bits(), row.format.max()) == (node.operand.frac_bits, node.operand.max)
    };
    except
        .iter()
        .rev()
        .map(|exception| exception.quantizer)
        .chain([*base])
        .find(is_its)
        .unwrap_or(Quantizer::EXACT)
}

/// Rows that must have one unit: what a concatenation joins. Those that are joined with something else keep theirs.
pub(super) fn groups(plan: &Plan, rows: &[Row]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..rows.len()).map(|row| vec![row]).collect();
    for (i, node) in plan.nodes.iter().enumerate() {
        if node.op != Op::Concat {
            continue;
        }
        let makers = makers(plan, i);
        let joined = |group: &Vec<usize>| group.iter().any(|row| makers.contains(&rows[*row].node));
        let (inside, outside): (Vec<_>, Vec<_>) = groups.into_iter().partition(joined);
        let is_whole = makers.iter().all(|maker| rows.iter().any(|row| row.node == *maker));
        groups = outside;
        if is_whole {
            groups.push(inside.concat());
        }
    }
    groups
}

/// The nodes whose rounding a node passes on.
fn makers(plan: &Plan, node: usize) -> BTreeSet<usize> {
    match plan.nodes[node].op {
        Op::Concat | Op::MaxPool(_) | Op::Shortcut { .. } => {
            plan.nodes[node].sources.iter().flat_map(|source| makers(plan, *source)).collect()
        }
        _ => BTreeSet::from([node]),
    }
}

/// Looks at what the float network answers to the first batches of training.
pub(super) fn watch(
    rows: &mut [Row],
    config: &Config,
    dataset: &Arc<Dataset>,
    saved: &SavedModel,
    context: &Context,
) -> Result<(), TrainError> {
    let plan = Plan::build(&saved.model, &saved.recipe, 1)?;
    let places: Vec<Option<usize>> = rows.iter().map(|row| place(&saved.model, &plan, &row.layer)).collect();
    let mut network = Network::new(plan, context.clone());
    network.load(&saved.parameters, None);
    let batches = config.batches(Arc::clone(dataset))?;
    for batch in statistics::first_batches(batches, config.settings.calibrate) {
        network.forward(&batch.images, None);
        for (row, place) in rows.iter_mut().zip(&places) {
            let values = place.map_or(&[][..], |node| network.floats(node));
            values.iter().step_by(EVERY).for_each(|x| row.choice.see(f64::from(*x)));
        }
    }
    Ok(())
}

/// The node that has a layer's output, perhaps behind a pooling that is computed with it.
fn place(model: &Model, plan: &Plan, layer: &str) -> Option<usize> {
    let mut name = layer;
    loop {
        if let Some(node) = plan.nodes.iter().position(|node| node.name == name) {
            return Some(node);
        }
        let at = model.layers.iter().position(|layer| layer.name == name)?;
        name = match &model.layers[at].from[..] {
            [] => &model.layers[at.checked_sub(1)?].name,
            [from] => from,
            _ => return None,
        };
    }
}
