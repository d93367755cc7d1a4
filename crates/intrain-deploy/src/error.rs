//! Why a network has no deployed form.

/// A network that cannot be deployed; the message names the layer, the reason and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// Its recipe computes in floats.
    #[error(
        "the recipe '{recipe}' computes in floats, and what is deployed is integers; train with a recipe of integers, for example \
         intrain-int8 or wage"
    )]
    Floats {
        /// The recipe.
        recipe: String,
    },
    /// What a layer answers depends on the other images of a batch.
    #[error(
        "layer '{layer}': the power of two of its result is found in each batch (@dynamic), so its answer to an image depends on \
         the images beside it; train with a recipe whose rows 'activation' and 'activation.product' have no @dynamic"
    )]
    Dynamic {
        /// The layer.
        layer: String,
    },
    /// Stored weights that are not those of the plan.
    #[error(
        "layer '{layer}': {found} {what} are given and its plan has {expected}; they belong to another network"
    )]
    Parameters {
        /// The layer.
        layer: String,
        /// Weights, biases or statistics.
        what: &'static str,
        /// How many were given.
        found: usize,
        /// How many belong there.
        expected: usize,
    },
    /// What a target cannot say.
    #[error("layer '{layer}': {reason}; so there is no {target} of it")]
    Target {
        /// The layer.
        layer: String,
        /// The target.
        target: &'static str,
        /// What its numbers are.
        reason: String,
    },
}
