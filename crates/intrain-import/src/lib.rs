//! Networks of other programs: an ONNX file to a model and its weights.
//!
//! [`read`] takes the bytes of a file and gives an [`Imported`]: the layers as a [`Model`], and for each layer with parameters its
//! numbers in binary32, in the layout of this project (channels last). It reads the operators of small classifiers and refuses every
//! other one by its name and place. This crate does not know how to compute anything, and knows no recipe.
//!
//! The way of a file: `wire.rs` cuts protocol buffers into fields, `onnx.rs` finds nodes and constants in them, `build.rs` goes
//! through the nodes and makes layers, `pixels.rs` says what a pixel is worth to the network.
#![forbid(unsafe_code)]

mod build;
mod error;
mod onnx;
mod pixels;
mod tensor;
mod wire;

use intrain_model::Model;

pub use error::ImportError;
pub use pixels::Scaling;

/// The most bytes that a file may have: protocol buffers end there.
pub const BYTES_MAX: u64 = 1 << 31;

/// What the file does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Name of the model.
    pub name: String,
    /// Where it comes from, as its file will say.
    pub source: String,
    /// What the network was trained to see of a pixel.
    pub scaling: Scaling,
}

/// A network and its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The layers.
    pub model: Model,
    /// The numbers of each layer that has some, in the order of the layers.
    pub weights: Vec<Weights>,
    /// Whether the file answers with the softmax of these logits.
    pub has_softmax: bool,
}

/// The numbers of a layer, in binary32.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// The layer.
    pub layer: String,
    /// `[kernel height, kernel width, in / groups, out]` of a convolution, `[in, out]` of a linear layer with its inputs in the order
    /// height, width, channel; gains of a norm.
    pub weight: Vec<f32>,
    /// A number for each output; offsets of a norm.
    pub bias: Option<Vec<f32>>,
    /// Mean and variance of a norm's channels, for an epsilon of 10^-5.
    pub moments: Option<[Vec<f32>; 2]>,
}

/// Reads the bytes of an ONNX file.
///
/// # Errors
/// Bytes that are no ONNX file; the first node that has no counterpart here, by operator, name and place, with the reason; a network
/// that is none of this project. Nothing is allocated by a size that a file claims.
pub fn read(bytes: &[u8], options: &Options) -> Result<Imported, ImportError> {
    build::build(&onnx::graph(bytes)?, options)
}
