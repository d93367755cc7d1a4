//! Intrain as a library: the parts under one name, and the little that the command line adds to them.
//!
//! [`measure`] says what a quantizer does to an [`array`](mod@array), [`verify`] proves the arithmetic on this
//! machine, [`bench`](mod@bench) measures its speed, [`sweep`](mod@sweep) compares recipes. Everything else is a crate of its own, re-exported here in the order
//! in which a training step goes through them.
#![forbid(unsafe_code)]

pub mod array;
pub mod bench;
pub mod measure;
pub mod sweep;
pub mod verify;

pub use intrain_accel as accel;
pub use intrain_data as data;
pub use intrain_golden as golden;
pub use intrain_kernels as kernels;
pub use intrain_lab as lab;
pub use intrain_model as model;
pub use intrain_nn as nn;
pub use intrain_num as num;
pub use intrain_recipe as recipe;
pub use intrain_train as train;
