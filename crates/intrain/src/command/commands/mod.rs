//! One file per command: from its arguments to a result on standard output.

pub(crate) mod accel;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod formats;
pub(crate) mod gemm;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod lab;
pub(crate) mod man;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod quantize;
pub(crate) mod recipe;
pub(crate) mod requantize;
pub(crate) mod runs;
pub(crate) mod sweep;
pub(crate) mod train;
pub(crate) mod vectors;
pub(crate) mod verify;
