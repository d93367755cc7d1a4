//! The one place where weights change and where step and epoch exist.
//!
//! Start at `step.rs`: one training step on one page. A [`session`] repeats it over epochs, in memory; a [`run`] is a
//! session with its folder. What a run writes lies in [`metrics`], [`tensorboard`], [`checkpoint`] and [`report`]; these four take plain data and know
//! no network, layer or recipe. This crate knows no command line.
#![forbid(unsafe_code)]

mod atomic;
mod begin;
mod calibrate;
pub mod checkpoint;
pub mod config;
mod context;
mod convert;
mod divergence;
mod error;
mod evaluation;
mod histograms;
mod listener;
pub mod logits;
pub mod metrics;
#[cfg(test)]
mod metrics_page;
mod microscope;
mod prove;
pub mod rate;
pub mod report;
pub mod run;
mod run_dir;
pub mod saved;
pub mod session;
mod signs;
mod silence;
pub mod statistics;
pub mod step;
mod summary;
mod sums;
pub mod telemetry;
pub mod tensorboard;
pub mod transfer;
pub mod update;
mod verdicts;

pub use atomic::atomic_write;
pub use config::{Config, Settings};
pub use error::{ArtefactError, TrainError};
pub use evaluation::has_top5;
pub use run::{Observer, Progress, Run, RunDir, Summary};
pub use run_dir::lock_folder;
pub use saved::SavedModel;
pub use session::{Listener, Session, this_machine};
pub use step::Trainer;
