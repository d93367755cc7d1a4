//! The program `intrain`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    intrain::command::main(std::env::args_os())
}
