//! `intrain man`: a manual page, made of the parser's help texts.

use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde_json::json;

use crate::command::args::{Args, ManArgs};
use crate::command::failure::Usage;
use crate::command::output::Output;

pub(crate) fn run(args: &ManArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let mut program = Args::command();
    program.build();
    let mut command = &program;
    for word in &args.command {
        command = command.find_subcommand(word).ok_or_else(|| unknown(command, word))?;
    }
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let page = String::from_utf8(page)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    output.finish(&page, &json!({"name": name, "page": page}))?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(command: &Command, word: &str) -> Usage {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    match names[..] {
        [] => Usage(format!("`{name}` has no commands, so no '{word}'; leave that out")),
        _ => Usage(format!("`{name}` has no command '{word}'; its commands are {}", names.join(", "))),
    }
}
