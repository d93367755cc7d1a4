//! Recipes: a table that says for each role of a tensor which quantizer it has, and when.
//!
//! A recipe is data: it prints, diffs, hashes, is saved with each run, and drives training alike. This crate knows
//! neither how anything runs nor any network; layers are names here.
#![forbid(unsafe_code)]

mod check;
mod keys;
pub mod lloyd;
mod operand;
mod presets;
mod role;
mod text;

pub use check::Warning;
pub use keys::{UnknownKey, check_keys};
pub use operand::spread_operand;
pub use presets::{PRESETS, Preset, preset};
pub use role::{Bias, Exception, Feedback, LearningRate, Loss, Pattern, Recipe, Role, Slot};
pub use text::{Difference, diff};

use intrain_num::ParseError;

/// What is wrong with a recipe. Each message names the row, the value and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The text is not TOML, or not a recipe's.
    #[error("the recipe is not readable: {0}")]
    Text(String),
    /// A key that a recipe does not have.
    #[error(transparent)]
    Key(#[from] UnknownKey),
    /// No such preset.
    #[error("no recipe is named '{name}'; did you mean '{nearest}'? `intrain recipe list` shows all")]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        nearest: String,
    },
    /// A preset's parameters are not its own.
    #[error("recipe '{spec}': {reason}")]
    Preset {
        /// What was asked for.
        spec: String,
        /// What is wrong with it, and what to write.
        reason: String,
    },
    /// No such role.
    #[error("'{role}' is not a role; did you mean '{nearest}'? The roles are {all}")]
    UnknownRole {
        /// What was asked for.
        role: String,
        /// The nearest role there is.
        nearest: String,
        /// All roles.
        all: String,
    },
    /// A role without a row.
    #[error("the recipe has no row '{role}'; write a quantizer, 'exact' or 'float32' for it")]
    MissingRole {
        /// The role.
        role: &'static str,
    },
    /// A row's text is not a quantizer.
    #[error("row '{role}': '{text}' is {error}")]
    Row {
        /// The role.
        role: String,
        /// Its text.
        text: String,
        /// Why not.
        error: ParseError,
    },
    /// A row that the other rows make impossible.
    #[error("row '{role}': {reason}")]
    Check {
        /// The role.
        role: &'static str,
        /// The value, the limit, and what to do.
        reason: String,
    },
}
