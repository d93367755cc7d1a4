//! The command line: parse, dispatch, print an error once with its causes, exit with the code that says what happened.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted. Nothing here computes. The program `intrain` is a front of
//! [`main`], and so is whatever else installs the command.

mod args;
mod commands;
mod difference;
mod failure;
mod output;
mod progress;
mod settings;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use output::Output;

/// Runs the command that `words` spell, the program's own name first, and gives the code to exit with. Wrong usage and `--help` end
/// the process at once.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(words);
    let output = Output::new(args.json);
    let done = match args.command {
        Command::Train(args) => commands::train::run(&args, &output),
        Command::Eval(args) => commands::eval::run(&args, &output),
        Command::Predict(args) => commands::predict::run(&args, &output),
        Command::Export(args) => commands::export::run(&args, &output),
        Command::Import(args) => commands::import::run(&args, &output),
        Command::Plan(args) => commands::plan::run(&args, &output),
        Command::Recipe(args) => commands::recipe::run(&args, &output),
        Command::Model(args) => commands::model::run(&args, &output),
        Command::Quantize(args) => commands::quantize::run(&args, &output),
        Command::Formats(args) => commands::formats::run(&args, &output),
        Command::Requantize(args) => commands::requantize::run(&args, &output),
        Command::Gemm(args) => commands::gemm::run(&args, &output),
        Command::Vectors(args) => commands::vectors::run(&args, &output),
        Command::Explain(args) => commands::explain::run(&args, &output),
        Command::Data(args) => commands::data::run(&args, &output),
        Command::Inspect(args) => commands::inspect::run(&args, &output),
        Command::Accel(args) => commands::accel::run(&args, &output),
        Command::Lab(args) => commands::lab::run(&args, &output),
        Command::Runs(args) => commands::runs::run(&args, &output),
        Command::Sweep(args) => commands::sweep::run(&args, &output),
        Command::Verify(args) => commands::verify::run(&args, &output),
        Command::Bench(args) => commands::bench::run(&args, &output),
        Command::Completions(args) => commands::completions::run(&args, &output),
        Command::Man(args) => commands::man::run(&args, &output),
    };
    done.unwrap_or_else(|error| failure::report(&error, &output))
}
