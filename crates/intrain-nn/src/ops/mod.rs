//! Operations: each node's forward and backward pass beside each other, over the whole batch.

pub(crate) mod activation;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod product;
pub(crate) mod route;
