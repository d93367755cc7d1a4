//! A network in motion: parameters, forward, loss, backward.
//!
//! The crate computes gradients and never changes a weight; it knows neither updates nor time. The way of the data:
//! `Network::forward` -> `loss` -> `Network::backward`, node by node of the plan: `executor.rs` is the order, `ops/` holds
//! each operation with both directions, `layers/conv.rs` the products.
#![forbid(unsafe_code)]

mod awake;
mod block;
mod executor;
mod float;
mod init;
mod key;
mod layers;
pub mod loss;
mod machine;
mod network;
mod operands;
mod ops;
mod parameters;
mod requantize;
mod scratch;
mod stats;
mod tensor;
pub mod threads;
mod weights;
mod width;

pub use float::read::mean_magnitudes;
pub use intrain_plan as plan;
pub use intrain_plan::{Arithmetic, BlockPlan, Plan, PlanError};
pub use key::StepKey;
pub use layers::conv::linear_rows;
pub use loss::Outcome;
pub use machine::{Machine, MachineProduct};
pub use network::{Context, Logits, Network};
pub use ops::norm::batch_floats::Statistics;
pub use parameters::{BlockGradient, Gradient, Moments, Parameters, Stored};
pub use stats::{Measure, TensorStats};
