//! The project's own tasks: `cargo xtask test | tidy | golden [--check] | results TABLE | same-bits | instructions | hardware | fuzz |
//! peers`.
//!
//! Each task reports everything that is wrong at once, on standard error, and then fails.
#![forbid(unsafe_code)]

mod cargo;
mod deploy;
mod fuzz;
mod golden;
mod hardware;
mod instructions;
mod peers;
mod picture;
mod python;
mod results;
mod same_bits;
mod targets;
mod test;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "tasks:
  cargo xtask test              every check and every test; what a change must pass
  cargo xtask tidy              layers, sizes, words, documents
  cargo xtask golden [--check]  writes the generated files of the golden suite, or compares them
  cargo xtask results TABLE     runs what is missing of experiments/TABLE.toml, then writes docs/results/TABLE.md
  cargo xtask same-bits         the promise of one result: threads, kernels, kills and resumptions on MNIST
  cargo xtask instructions [--bless]
                                instructions and passes over memory of works of the bench, against the committed counts
  cargo xtask hardware          proofs of the accelerator's rounding units, of mutants that must fail, and their cells
  cargo xtask fuzz [TARGET]... [--seconds N] [--seed S]
                                every reader of files and texts on damaged inputs, 180 s each; without targets, all
  cargo xtask peers [--python PATH] [--rounds N] [ROW]...
                                Intrain beside PyTorch and QPyTorch, as ratios; without rows, the table of
                                docs/performance.md";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["test"] => test::run(&root()),
        ["tidy"] => tidy::run(&root()),
        ["golden", ..] => golden::run(&args[1..].iter().map(ToString::to_string).collect::<Vec<_>>()),
        ["results", table] => results::run(&root(), table),
        ["same-bits"] => same_bits::run(&root()),
        ["hardware"] => hardware::run(&root()),
        ["instructions", ..] => instructions::run(&root(), &args[1..]),
        ["fuzz", ..] => fuzz::run(&root(), &args[1..]),
        ["peers", ..] => peers::run(&root(), &args[1..]),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
