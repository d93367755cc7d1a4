//! Layers, both directions in one file each.

pub(crate) mod conv;
pub(crate) mod image;
