//! `intrain vectors`: cases of formats for other people's tests.

use std::process::ExitCode;

use crate::formats::cases::{self, TextFormat};
use crate::num::block::Coding;
use crate::num::minifloat::FloatRound;
use crate::train::atomic_write;
use serde_json::json;

use super::quantize::with_flags;
use crate::command::args::{VectorsArgs, VectorsCommand};
use crate::command::failure::Usage;
use crate::command::output::Output;
use crate::command::output::file::{self, Kind, Written};

pub(crate) fn run(args: &VectorsArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let VectorsCommand::Export(args) = &args.action;
    let coding: Coding =
        args.coding.parse().map_err(|error| Usage(format!("--as '{}' has {error}", args.coding)))?;
    let coding = with_flags(&args.coding, coding, &args.blocks)?;
    let format: TextFormat =
        args.format.parse().map_err(|error| Usage(format!("--format '{}' is {error}", args.format)))?;
    let rounds = args.round.iter().map(|round| {
        round.parse::<FloatRound>().map_err(|error| Usage(format!("--round '{round}' is {error}")))
    });
    let mut rounds: Vec<FloatRound> = rounds.collect::<Result<_, _>>()?;
    if rounds.is_empty() {
        rounds.push(FloatRound::NearestEven);
    }
    if let Some(out) = &args.out {
        file::check(&[Written { flag: "--out", path: out, kind: Kind::Text }], &[])?;
    }
    let cases = cases::cases(&coding, &rounds);
    let text = cases::text(&coding, &cases, format);
    let object = json!({
        "format": coding.to_string(), "cases": cases.len(), "rounds": rounds.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "out": args.out.as_ref().map(|path| path.display().to_string()),
    });
    match &args.out {
        Some(path) => {
            atomic_write(path, text.as_bytes())?;
            output.finish(&format!("{} cases of {coding} in {}", cases.len(), path.display()), &object)?;
        }
        None => output.finish(&text, &object)?,
    }
    Ok(ExitCode::SUCCESS)
}
