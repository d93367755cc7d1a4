//! What the kernels do not compute.

/// A layer that no kernel computes as the deployed form has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer '{layer}': {reason}")]
pub struct Unsupported {
    /// The layer.
    pub layer: String,
    /// What there is no kernel for.
    pub reason: String,
}

impl Unsupported {
    pub(crate) fn new(layer: &str, reason: impl Into<String>) -> Self {
        Self { layer: layer.to_owned(), reason: reason.into() }
    }
}
