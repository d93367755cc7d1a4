//! A network in motion: parameters, forward, loss, backward.
//!
//! The crate computes gradients and never changes a weight; it knows neither updates nor time. The way of the data:
//! `Network::forward` -> `loss::run` -> `Network::backward`, block by block; `layers/conv.rs` holds both directions.
#![forbid(unsafe_code)]

mod block;
mod carrier;
mod engine;
mod float;
mod graph;
mod init;
mod integer;
mod integer_graph;
mod layers;
pub mod loss;
mod network;
mod operands;
mod parameters;
mod threads;
mod watch;
mod width;

pub use block::linear_rows;
pub use engine::{Engine, Machine, Mode};
pub use float::read::mean_magnitudes;
pub use graph::norm::Statistics;
pub use intrain_plan as plan;
pub use intrain_plan::{Arithmetic, BlockPlan, Plan, PlanError};
pub use loss::Outcome;
pub use network::{BlockGradient, Context, Network, StepKey};
pub use parameters::{Gradient, Moments, Parameters, Stored};
pub use watch::{Measure, Seen};
