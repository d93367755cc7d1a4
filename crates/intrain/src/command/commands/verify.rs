//! `intrain verify`: the golden suite on this machine, as a table, with every case that fails; and exported networks.

mod export;
mod onnx;
mod programs;
mod scratch;

use std::process::ExitCode;

use crate::verify::{self, Engine, Report, Tally};
use serde_json::json;

use crate::command::args::{VerifyArgs, VerifyCommand};
use crate::command::output::{Output, say};

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.what {
        None | Some(VerifyCommand::Golden) => golden(output),
        Some(VerifyCommand::Export(args)) => export::run(args, output),
        Some(VerifyCommand::Onnx(args)) => onnx::run(args, output),
    }
}

fn golden(output: &Output) -> anyhow::Result<ExitCode> {
    let report = verify::golden()?;
    for m in &report.mismatches {
        say(&format!("golden/{}.toml, '{}', {}: {}", m.topic, m.case, m.engine.name(), m.difference));
    }
    output.finish(&text(&report), &object(&report))?;
    Ok(if report.mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let cell = |tally: &Tally| match tally.run {
        0 => "-".to_owned(),
        run => format!("{}/{run}", tally.passed),
    };
    let mut text = format!("{:<12}{:>7}", "topic", "cases");
    let line =
        |cells: &mut dyn Iterator<Item = String>| cells.map(|cell| format!("{cell:>12}")).collect::<String>();
    text.push_str(&line(&mut report.engines.iter().map(|engine| engine.name().to_owned())));
    text.push('\n');
    for (topic, n_cases, tallies) in &report.topics {
        text.push_str(&format!("{topic:<12}{n_cases:>7}{}\n", line(&mut tallies.iter().map(cell))));
    }
    let n_cases: usize = report.topics.iter().map(|(_, n, _)| n).sum();
    text.push_str(&format!("\npassed/run per engine; an engine leaves out what it has no operation for ({} of {n_cases} cases are left to the tests of other crates)\n", report.left_out));
    match report.mismatches.len() {
        0 => text.push_str("this machine keeps the contract, bit for bit"),
        n => text.push_str(&format!("{n} results differ: this machine does NOT keep the contract")),
    }
    text
}

fn object(report: &Report) -> serde_json::Value {
    let engine = |(engine, tally): (&Engine, &Tally)| json!({"engine": engine.name(), "passed": tally.passed, "run": tally.run});
    let topic = |(topic, n_cases, tallies): &(&str, usize, Vec<Tally>)| {
        let engines: Vec<_> = report.engines.iter().zip(tallies).map(engine).collect();
        json!({"topic": topic, "cases": n_cases, "engines": engines})
    };
    let mismatches: Vec<_> = report
        .mismatches
        .iter()
        .map(|m| json!({"topic": m.topic, "case": m.case, "engine": m.engine.name(), "difference": m.difference}))
        .collect();
    json!({
        "ok": report.mismatches.is_empty(),
        "topics": report.topics.iter().map(topic).collect::<Vec<_>>(),
        "mismatches": mismatches,
        "left_out": report.left_out,
    })
}
