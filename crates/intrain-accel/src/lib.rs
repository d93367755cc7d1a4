//! The systolic array with stochastic rounding (Gupta et al. 2015, section 5): values, cycles, and hardware that matches.
//!
//! [`machine`] says which array, [`order`] in which order it computes, [`mod@array`] what comes out, [`cycles`] when, and
//! [`rtl`] writes the SystemVerilog that does both; [`cosim`] builds that with Verilator and compares. `lower.rs` lays a
//! layer's products out and `engine.rs` runs a network on the array; [`account`] adds up what that costs.
//! Invariants: the hardware's results and counters equal [`mod@array`] and [`cycles`] exactly. The crate knows nothing of training: a
//! network that runs on the machine is trained by whoever trains any other.
#![forbid(unsafe_code)]

pub mod account;
pub mod area;
pub mod array;
pub mod cosim;
pub mod cycles;
pub mod energy;
mod engine;
pub mod lfsr;
mod lower;
pub mod machine;
pub mod order;
pub mod picture;
pub mod route;
pub mod rtl;
pub mod vectors;

pub use array::{Array, ArrayError};
pub use cycles::{Cycles, CyclesError, Memory, Rate};
pub use engine::{ArrayMachine, Tally, Unfit, answers, check, check_answers, drops};
pub use lower::{Direction, Operands};
pub use machine::{Machine, MachineError, Overflow, Register, RoundUnit, Rounding};
pub use order::{Format, Product, ProductError};
