//! Files to batches: readers, shuffle, augmentation, prefetch, download. The first stop of the data's way.
//!
//! [`load`] makes a [`Dataset`] of bytes; [`TrainBatches`] and [`Loader`] cut it into batches, each a pure function
//! of (seed, epoch, batch). This crate knows no network, and reads no environment variables of the project.
#![forbid(unsafe_code)]

pub mod archive;
pub mod augment;
pub mod batches;
pub mod bounded;
pub mod catalog;
pub mod cifar;
mod class_files;
mod classes;
pub mod dataset;
pub mod digits;
pub mod encoder;
pub mod error;
#[cfg(feature = "download")]
pub mod fetch;
pub mod folder;
mod folder_layout;
mod folder_options;
pub mod idx;
mod layout;
pub mod loader;
pub mod mat;
pub mod memory;
mod mnist;
pub mod npy;
pub mod npz;
mod npz_options;
mod picture;
mod pixels;
mod published;
mod single;
mod spec;
pub mod summary;
pub mod svhn;
mod table;
mod table_head;
mod table_options;
pub mod tables;
pub mod thumbnail;
mod validation;

pub use augment::Augment;
pub use batches::{Batch, LastBatch, Position, TrainBatches, evaluation};
pub use catalog::{DataFolders, load, load_for, sources};
pub use dataset::{Dataset, ImageShape, Part, Split};
pub use encoder::Encoder;
pub use error::DataError;
#[cfg(feature = "download")]
pub use fetch::{Progress, fetch};
pub use loader::Loader;
pub use memory::Images;
pub use single::SingleImages;
pub use summary::{Summary, summarize};
pub use tables::TableRows;
