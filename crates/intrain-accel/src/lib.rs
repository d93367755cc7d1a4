//! The systolic array with stochastic rounding (Gupta et al. 2015, section 5): values, cycles, and hardware that matches.
//!
//! `machine.rs` holds the numbers that all share. A product's values are `array.rs`, its way of being laid out `lower.rs`; with
//! both, `engine.rs` runs a network. The crate knows nothing of training: a network that runs on the machine is trained by
//! whoever trains any other.
#![forbid(unsafe_code)]

pub mod account;
pub mod array;
pub mod cycles;
pub mod energy;
mod engine;
pub mod lfsr;
mod lower;
pub mod machine;
pub mod order;
pub mod picture;

pub use array::{Array, ArrayError};
pub use cycles::{Cycles, CyclesError, Memory, Rate};
pub use engine::{ArrayMachine, Tally, Unfit, check};
pub use lower::{Direction, Operands};
pub use machine::{Machine, MachineError, Overflow, Register, RoundUnit, Rounding};
pub use order::{Format, Product, ProductError};
