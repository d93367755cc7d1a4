//! Why a network cannot be imported.

use intrain_model::ModelError;

/// A file that is not read; the message has the place, the reason and, where there is one, the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Bytes that are no protocol buffers, or not those of ONNX.
    #[error("byte {at}: {problem}; this is no ONNX file, or a damaged one")]
    Damaged {
        /// Where, from the start of the file.
        at: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A node that has no counterpart.
    #[error("node {index}, {operator} '{name}': {reason}")]
    Node {
        /// Its place in the graph, counted from 0.
        index: usize,
        /// Its operator.
        operator: String,
        /// Its name, or that of its output.
        name: String,
        /// What is not read, and what to do.
        reason: String,
    },
    /// The graph as a whole.
    #[error("{0}")]
    Graph(String),
    /// Layers that make no network here.
    #[error(transparent)]
    Model(#[from] ModelError),
}
