//! Which tensors share memory: a tensor's buffer is free again when its last reader has run.

use crate::tensor::{Element, Tensor};

/// A type of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Between two steps.
    Codes(Element),
    /// Sums, of either width.
    Sums,
}

/// The buffers, as they are given out step by step.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    kinds: Vec<Kind>,
    free: Vec<usize>,
}

impl Slots {
    /// A buffer that holds nothing which is still read.
    pub(crate) fn take(&mut self, kind: Kind) -> usize {
        if let Some(i) = self.free.iter().position(|slot| self.kinds[*slot] == kind) {
            return self.free.swap_remove(i);
        }
        self.kinds.push(kind);
        self.kinds.len() - 1
    }

    /// Nobody reads it any more.
    pub(crate) fn put(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// Empty tensors for all of them.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        self.kinds.iter().map(|_| Tensor::default()).collect()
    }
}
