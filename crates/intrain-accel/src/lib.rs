//! The systolic array with stochastic rounding (Gupta et al. 2015, section 5): values, cycles, and hardware that matches.
//!
//! `machine.rs` holds the numbers that all share. A product's values are `array.rs`, its way of being laid out `lower.rs`; with
//! both, `engine.rs` runs a network. The crate knows nothing of training: a network that runs on the machine is trained by
//! whoever trains any other.
#![forbid(unsafe_code)]

mod array;
pub mod device;
mod engine;
mod lower;
mod machine;
mod order;

pub use array::{Array, Format, Product};
pub use engine::{ArrayMachine, Tally, Unfit, check};
pub use lower::{Direction, Operands};
pub use machine::{Machine, MachineError, Overflow, Register, RoundUnit, Rounding};
pub use order::{Tile, tiles};
