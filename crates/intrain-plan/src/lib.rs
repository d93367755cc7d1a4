//! The plan: a model and a recipe put together, before anything runs.
//!
//! All shapes, formats, accumulator widths and impossible combinations are settled here, so that a step cannot fail. The
//! way of the data: `build.rs` walks over the model's layers and makes nodes, with the fusions that `fuse.rs` has decided;
//! `formats.rs` says what each tensor holds, `errors.rs` which row rounds which error, `prove.rs` that every sum fits its
//! register. The crate knows neither threads nor kernels, and holds no tensor in memory.
#![forbid(unsafe_code)]

mod block;
mod build;
mod error;
mod errors;
mod floats;
mod formats;
mod fuse;
mod memory;
mod names;
mod node;
mod norm;
mod plan;
mod products;
mod prove;
mod source;
mod table;

pub use block::{
    Arithmetic, BlockPlan, Codes, NormPlan, Operand, OperandRows, Pool, ProductKind, ProductPlan, Sums,
    WeightPlan,
};
pub use error::PlanError;
pub use memory::Memory;
pub use node::{Activation, Element, Epilogue, ErrorPath, ErrorRule, Node, Op, Product, Storage, Term};
pub use plan::{InputPlan, LossPlan, Plan};
pub use table::{Operation, Promise};
