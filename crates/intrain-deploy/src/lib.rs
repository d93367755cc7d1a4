//! A trained network as the integers that it answers with.
//!
//! [`Deployed`] is one form from which every target is written: weights as evaluation reads them, one rounding behind each
//! sum, and for each tensor the range that its integers provably have. [`Deployed::lower`] makes it from a plan and stored
//! weights, [`Deployed::run`] is its meaning in plain loops, which share no code with the engine that trains.
#![forbid(unsafe_code)]

mod arena;
mod arrays;
pub mod c;
mod climb;
mod error;
mod floats;
mod form;
mod interpret;
mod lower;
pub mod onnx;
mod range;
pub mod rust;
mod vectors;

pub use arena::{Arena, Place};
pub use arrays::Array;
pub use climb::Limit;
pub use error::DeployError;
pub use floats::FloatTensor;
pub use form::{
    About, Activation, BatchNorm, Deployed, Element, LayerNorm, Mean, Node, Norm, Op, Product, Requantize,
    Tensor, Term,
};
pub use lower::StoredLayer;
pub use range::Range;
pub use vectors::{Shown, Vectors};
