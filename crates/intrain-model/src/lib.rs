//! A network at rest: its layers in order, their shapes, presets and model files.
//!
//! This crate does not know how to compute anything, and knows no recipe.
#![forbid(unsafe_code)]

mod imagenet;
mod input;
mod layer;
mod layers;
mod network;
mod presets;
mod residual;
mod spelling;
mod text;
mod tiny;
mod window;

pub use layer::{INPUT, Init, Input, Layer, LayerKind, Logits, Model, Pixels, Shape, Window};
pub use presets::{PRESETS, Preset, preset};
pub use text::ModelFile;

/// What is wrong with a model. Each message names the layer, the value and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The text is not TOML, or not a model's.
    #[error("the model is not readable: {0}")]
    Text(String),
    /// A key that the table does not have.
    #[error("{place}: '{key}' is not a key here; did you mean '{nearest}'? The keys are {known}")]
    Key {
        /// The table, as its reader knows it.
        place: String,
        /// What stands there.
        key: String,
        /// The key that is spelled most like it.
        nearest: String,
        /// All keys.
        known: String,
    },
    /// No such preset.
    #[error(
        "no model is named '{name}'; did you mean '{nearest}'? Models are {all}, or a path to a TOML file"
    )]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        nearest: String,
        /// All names.
        all: String,
    },
    /// A preset's parameter is not its own.
    #[error("model '{spec}': {reason}")]
    Preset {
        /// What was asked for.
        spec: String,
        /// What is wrong with it, and what to write.
        reason: String,
    },
    /// A layer that cannot stand where it stands.
    #[error("layer '{layer}': {reason}")]
    Layer {
        /// Its name.
        layer: String,
        /// The value, the limit, and what to do.
        reason: String,
    },
    /// The network as a whole.
    #[error("model '{model}': {reason}")]
    Network {
        /// Its name.
        model: String,
        /// The value, the limit, and what to do.
        reason: String,
    },
}
