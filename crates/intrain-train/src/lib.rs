//! The one place where weights change and where step and epoch exist.
//!
//! Start at `step.rs`: one training step on one page. [`run`] repeats it over epochs and keeps the run folder. What a
//! run writes lies in [`metrics`], [`tensorboard`], [`checkpoint`] and [`report`]; these four take plain data and know
//! no network, layer or recipe. This crate knows no command line.
#![forbid(unsafe_code)]

mod atomic;
pub mod checkpoint;
pub mod config;
mod divergence;
mod error;
pub mod logits;
pub mod metrics;
mod microscope;
pub mod rate;
pub mod report;
pub mod run;
pub mod saved;
mod signs;
pub mod step;
pub mod telemetry;
pub mod tensorboard;
pub mod update;

pub use atomic::atomic_write;
pub use config::{Config, Settings};
pub use error::{ArtefactError, TrainError};
pub use run::{Observer, Progress, Run, RunDir, Summary};
pub use saved::SavedModel;
pub use step::Trainer;
