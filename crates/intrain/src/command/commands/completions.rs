//! `intrain completions`: what a shell needs to complete commands and flags, made of the parser itself.

use std::process::ExitCode;

use clap::CommandFactory;
use serde_json::json;

use crate::command::args::{Args, CompletionsArgs};
use crate::command::output::Output;

pub(crate) fn run(args: &CompletionsArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "intrain", &mut script);
    let script = String::from_utf8(script)?;
    output.finish(&script, &json!({"shell": args.shell.to_string(), "script": script}))?;
    Ok(ExitCode::SUCCESS)
}
