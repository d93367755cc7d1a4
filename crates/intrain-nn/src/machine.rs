//! The door for other machines: whoever computes products in place of this crate's kernels.
//!
//! A machine multiplies and rounds; poolings, ReLUs, sums, norms and the loss stay with the executor, so a machine runs every
//! network whose products it can hold.

use std::fmt;

use crate::key::StepKey;
use crate::plan::{BlockPlan, Product};

/// A machine that networks can run their products on. It gives the bits that the contract says, whatever it is.
pub trait Machine: fmt::Debug + Send + Sync {
    /// The product of a block, with the rows that round its results.
    fn product(&self, block: &BlockPlan, product: &Product) -> Box<dyn MachineProduct>;
}

/// One layer's three products on a machine. Codes are integers of at most 24 bits, channels last.
pub trait MachineProduct: Send + Sync {
    /// Takes the weights as they are read, `[kernel height, kernel width, in, out]`, and the biases in their own last bit.
    fn load(&mut self, weights: &[i32], biases: &[i32]);
    /// The results of a batch, rounded by the row `activation.product` unless that is exact; as in evaluation without a
    /// key.
    fn forward(&mut self, input: &[i32], key: Option<StepKey>) -> Vec<i64>;
    /// The error in front of the product, rounded by the row `error.product`.
    fn error(&mut self, error: &[i32], key: StepKey) -> Vec<i64>;
    /// The exact gradients of the weights, and of the biases where there are any.
    fn gradient(&mut self, input: &[i32], error: &[i32], key: StepKey) -> (Vec<i64>, Vec<i64>);
}
