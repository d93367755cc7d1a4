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
            // What products alone quantize leaves everything between them as it is.
            let plain = |q: &Quantizer| *q == Quantizer::FLOAT || q.format.coded().is_some();
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
fn has_role(layer: &Layer, recipe: &Recipe, role: Role, layout: Layout) -> bool {
    let kind = layer.kind;
    let is_norm = kind.is_norm();
    match (layout, role) {
        (Layout::IntegerGraph, Role::Activation) => {
            kind.is_activation() || matches!(kind, LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool)
        }
        (Layout::FloatGraph, Role::Activation) if recipe.activation_enters() => kind.is_product(),
        (Layout::FloatGraph, Role::Activation) | (Layout::IntegerGraph, Role::ErrorAtActivation) => {
            kind.is_activation()
        }
        _ if Role::OF_NORMS.contains(&role) => is_norm,
        (Layout::IntegerGraph, _) if norms_have(role) => kind.is_product() || is_norm,
        _ => kind.is_product(),
    }
}

/// The layers that a row's exceptions can name, in the order of the network: those whose tensors it rounds. The image enters
/// the first product, and the loss sees what the last one leaves.
fn layers_of<'a>(model: &'a Model, recipe: &Recipe, role: Role, layout: Layout) -> Vec<&'a str> {
    let layers = model.layers.iter().filter(|layer| has_role(layer, recipe, role, layout));
    let mut names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
    match role {
        Role::Input => names.truncate(1),
        Role::ErrorAtLoss => drop(names.drain(..names.len().saturating_sub(1))),
        _ => {}
    }
    names
}

/// The first and the last layer that have a role.
pub(crate) fn ends(model: &Model, recipe: &Recipe, role: Role, layout: Layout) -> [String; 2] {
    let names = layers_of(model, recipe, role, layout);
    [names.first(), names.last()].map(|name| name.map_or_else(String::new, |name| (*name).to_owned()))
}

/// Refuses an exception that names no layer. Norms may be named where the network has none.
pub(crate) fn check_patterns(recipe: &Recipe, model: &Model, layout: Layout) -> Result<(), PlanError> {
    for role in Role::ALL {
        let names = layers_of(model, recipe, role, layout);
        for exception in &recipe.slot(role).except {
            let matches = match exception.layers.0.as_str() {
                Pattern::NORMS => norms_have(role),
                _ => names.iter().any(|name| exception.layers.matches(name)),
            };
            if !matches {
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

/// Whether a row rounds something of a norm.
fn norms_have(role: Role) -> bool {
    Role::OF_NORMS.contains(&role)
        || matches!(role, Role::Gradient | Role::Momentum | Role::Update | Role::Master)
}
