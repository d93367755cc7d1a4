//! Why a model and a recipe do not go together.

/// Why a model and a recipe do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The model alone is wrong.
    #[error(transparent)]
    Model(#[from] intrain_model::ModelError),
    /// The recipe alone is wrong.
    #[error(transparent)]
    Recipe(#[from] intrain_recipe::RecipeError),
    /// A layer under this recipe.
    #[error("layer '{layer}': {reason}")]
    Layer {
        /// Its name.
        layer: String,
        /// The value, the limit, and what to do.
        reason: String,
    },
    /// A sum that its register may not hold.
    #[error(
        "layer '{layer}': the {product} sum can reach {bound} and needs {needed} bits, but the accumulator has \
         {stated}; widen the recipe's row 'accumulator', use fewer operand bits, or a smaller {remedy}"
    )]
    Accumulator {
        /// Its name.
        layer: String,
        /// Which of the three products.
        product: &'static str,
        /// The proven bound.
        bound: u128,
        /// Bits it needs.
        needed: u32,
        /// Bits there are.
        stated: u32,
        /// What else would make the sum shorter.
        remedy: &'static str,
    },
    /// An exception for layers that are not there.
    #[error(
        "the recipe's exception for '{role}' names layers '{pattern}', which match none of: {layers}; name one of these, or leave the exception out"
    )]
    Pattern {
        /// The row.
        role: &'static str,
        /// The pattern.
        pattern: String,
        /// Names there are.
        layers: String,
    },
    /// The batch.
    #[error("batch size {batch_size} is not in 1..={max}")]
    BatchSize {
        /// What was asked for.
        batch_size: usize,
        /// Most.
        max: usize,
    },
}

pub(crate) fn refuse_row(role: &'static str, reason: &str) -> PlanError {
    PlanError::Recipe(intrain_recipe::RecipeError::Check { role, reason: reason.to_owned() })
}

/// Refuses a layer.
pub(crate) fn refuse(layer: &str, reason: impl Into<String>) -> PlanError {
    PlanError::Layer { layer: layer.to_owned(), reason: reason.into() }
}
