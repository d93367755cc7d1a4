//! Which layers a recipe's exceptions can name, role by role.

use intrain_model::{Layer, LayerKind, Model};
use intrain_num::{Quantizer, Scale};
use intrain_recipe::{Pattern, Recipe, Role, Slot};

use crate::error::PlanError;

/// How a network is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Chain,
    FloatGraph,
    IntegerGraph,
}

impl Layout {
    /// A chain of products with poolings and ReLUs between them, unless something asks for more.
    pub(crate) fn of(model: &Model, recipe: &Recipe) -> Self {
        let is_float = |slot: &Slot| {
            let plain = |q: &Quantizer| *q == Quantizer::FLOAT;
            plain(&slot.base) && slot.except.iter().all(|e| plain(&e.quantizer))
        };
        let between_floats = [&recipe.weight, &recipe.master, &recipe.activation];
        let is_graph = model.beyond_a_chain().is_some()
            || recipe.error_at_product.base.scale == Scale::Bound
            || (recipe.is_float() && !between_floats.into_iter().all(is_float));
        match (is_graph, recipe.is_float()) {
            (false, _) => Self::Chain,
            (true, true) => Self::FloatGraph,
            (true, false) => Self::IntegerGraph,
        }
    }
}

/// Whether a row's exceptions can name a layer. In a chain all rows belong to products; in a graph activations have the
/// names of ReLUs, and means over pixels round as they do.
fn has_role(layer: &Layer, role: Role, layout: Layout) -> bool {
    let kind = layer.kind;
    let is_norm = kind.is_norm();
    match (layout, role) {
        (Layout::IntegerGraph, Role::Activation) => {
            kind.is_activation() || matches!(kind, LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool)
        }
        (Layout::FloatGraph, Role::Activation) | (Layout::IntegerGraph, Role::ErrorAtActivation) => {
            kind.is_activation()
        }
        (Layout::IntegerGraph, Role::Gradient | Role::Momentum | Role::Update | Role::Master) => {
            kind.is_product() || is_norm
        }
        _ if Role::OF_NORMS.contains(&role) => is_norm,
        _ => kind.is_product(),
    }
}

/// The first and the last layer that have a role.
pub(crate) fn ends(model: &Model, role: Role, layout: Layout) -> [String; 2] {
    let mut names =
        model.layers.iter().filter(|layer| has_role(layer, role, layout)).map(|layer| &layer.name);
    let first = names.next();
    let last = names.next_back().or(first);
    [first, last].map(|name| name.cloned().unwrap_or_default())
}

pub(crate) fn check_patterns(recipe: &Recipe, model: &Model, layout: Layout) -> Result<(), PlanError> {
    for role in Role::ALL {
        let layers = model.layers.iter().filter(|layer| has_role(layer, role, layout));
        let names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
        for exception in &recipe.slot(role).except {
            // A network may have no norms.
            if exception.layers.0 != Pattern::NORMS
                && !names.iter().any(|name| exception.layers.matches(name))
            {
                return Err(PlanError::Pattern {
                    role: role.name(),
                    pattern: exception.layers.0.clone(),
                    layers: names.join(", "),
                });
            }
        }
    }
    Ok(())
}
