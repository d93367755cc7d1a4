//! Layers: the products and their backward pass, and what lies between them.

pub(crate) mod conv;
pub(crate) mod gradient;
pub(crate) mod image;
