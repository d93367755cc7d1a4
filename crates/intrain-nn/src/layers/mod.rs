//! Layers: the products and their backward pass, and what lies between them.

pub(crate) mod conv;
mod depthwise;
pub(crate) mod gradient;
pub(crate) mod groups;
pub(crate) mod image;
pub(crate) mod product;
