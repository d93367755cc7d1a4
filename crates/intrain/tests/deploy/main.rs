//! The deployed form, and what is written from it, against the engine that trains.

mod c;
mod climb;
mod engine;
mod floats;
mod mutants;
#[path = "../../../intrain-nn/tests/network/mod.rs"]
mod network;
mod networks;
mod onnx;
mod rust;
