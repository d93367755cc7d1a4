//! A network in motion: plan, tensors, forward, loss, backward.
