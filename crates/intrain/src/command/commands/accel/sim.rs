//! `intrain accel sim`: a network on the systolic array, as values and as cycles.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::accel::account::{self, Row, Total};
use crate::accel::{ArrayMachine, Machine, Tally, energy, picture};
use crate::nn::Plan;
use crate::plot::Figure;
use crate::train::atomic_write;
use crate::train::run::Summary;
use serde_json::{Value, json};

use super::super::train;
use super::answer::{Answered, answer};
use super::{fitted, flags, inputs, machine};
use crate::command::args::{SimArgs, TrainArgs};
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, facts, grouped, say, table};
use crate::command::progress::{INTERRUPTED, Watcher};
use crate::command::settings::{context, resolve, resolve_with_data};

pub(super) fn run(args: &SimArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let machine = machine(&args.machine)?;
    let flags = flags(&args.train)?;
    let read = inputs(&args.machine, Some(&args.train));
    if args.answer.of.is_some() {
        return answered(&machine, args, &read, output);
    }
    if flags.epochs.is_some() || flags.max_steps.is_some() {
        trained(&machine, &flags, &read, output)
    } else {
        planned(&machine, &flags, &read, output)
    }
}

/// One training step in cycles.
fn planned(
    machine: &Machine,
    flags: &TrainArgs,
    read: &[&Path],
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let out = flags.out.as_ref().map(|folder| outputs(folder, read)).transpose()?;
    let mut config = resolve(flags)?;
    let plan = fitted(machine, &mut config)?;
    let rows = account::rows(machine, &plan, &account::of_step(machine, &plan))?;
    let mut text = format!(
        "{} on {} with {}: one step of {} images on the array\n\n",
        config.model.name, config.data, config.recipe.name, plan.batch_size
    );
    text.push_str(&shown(machine, &rows));
    if let Some((folder, out)) = flags.out.as_ref().zip(out) {
        out.make()?;
        write(machine, &rows, folder)?;
        text.push_str(&format!("\nfiles    {}", folder.display()));
    }
    output.finish(&text, &object(machine, &rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The answers of a trained network in cycles.
fn answered(machine: &Machine, args: &SimArgs, read: &[&Path], output: &Output) -> anyhow::Result<ExitCode> {
    let folder = args.train.out.as_ref();
    let out = folder.map(|folder| outputs(folder, read)).transpose()?;
    let Some(answered) = answer(machine, &args.answer, &args.train, false)? else {
        unreachable!("the caller has seen a network")
    };
    let Answered { machine, plan, array, names: [model, recipe, data], n_images } = answered;
    let rows = account::rows(&machine, &plan, &array.tally())?;
    let mut text = format!(
        "{model} with {recipe}: {n_images} of the test images of {data} on the array, every logit as the kernels give it\n\n{}",
        shown(&machine, &rows)
    );
    if let Some((folder, out)) = folder.zip(out) {
        out.make()?;
        write(&machine, &rows, folder)?;
        text.push_str(&format!("\nfiles    {}", folder.display()));
    }
    let mut whole = object(&machine, &rows);
    whole["images"] = n_images.into();
    output.finish(&text, &whole)?;
    Ok(ExitCode::SUCCESS)
}

/// Trains with every product on the array.
fn trained(
    machine: &Machine,
    flags: &TrainArgs,
    read: &[&Path],
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &flags.out {
        outputs(&folder.join(SUBFOLDER), read)?;
    }
    let (mut config, dataset) = resolve_with_data(flags)?;
    let plan = fitted(machine, &mut config)?;
    let array = Arc::new(ArrayMachine::new(machine)?);
    let mut context = context(flags.threads, flags.kernel.as_deref())?;
    context.machine = Some(Arc::clone(&array) as Arc<dyn crate::nn::Machine>);
    let (settings, recipe) = (config.settings.clone(), config.recipe.name.clone());
    say(&format!(
        "{} on {} with {recipe}: every product on the {} x {} array, {} images a step, seed {}",
        config.model.name, config.data, machine.n, machine.n, settings.batch_size, settings.seed
    ));
    let run = train::start(config, dataset, context, flags.out.as_deref())?;
    let mut watcher = Watcher::new(settings.epochs)?;
    let summary = run.train(&mut watcher)?;
    drop(watcher);
    outputs(&summary.run_dir.join(SUBFOLDER), read)?.make()?;
    finish(machine, &plan, &array.tally(), &summary, output)
}

fn finish(
    machine: &Machine,
    plan: &Plan,
    tally: &Tally,
    summary: &Summary,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let rows = account::rows(machine, plan, tally)?;
    let folder = summary.run_dir.join(SUBFOLDER);
    write(machine, &rows, &folder)?;
    let text = format!("{}\n{}\nfiles    {}", shown(machine, &rows), train::text(summary), folder.display());
    let mut whole = object(machine, &rows);
    if let (Value::Object(whole), Value::Object(run)) = (&mut whole, train::object(summary)) {
        whole.extend(run);
    }
    output.finish(&text, &whole)?;
    Ok(if summary.interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// Where tables and pictures lie in a run's folder.
const SUBFOLDER: &str = "accel";

/// What is written of a machine, in this folder.
fn outputs(folder: &Path, read: &[&Path]) -> Result<OutFolder, Usage> {
    let others = [
        "BANDWIDTH_REPORT.csv",
        "DETAILED_ACCESS_REPORT.csv",
        "accel.csv",
        "roofline.svg",
        "utilization.svg",
        "machine.toml",
    ];
    let begins = "LayerID, Total Cycles (incl. prefetch), Total Cycles, ";
    OutFolder::check(folder, vec![Group::new("COMPUTE_REPORT.csv", begins, others.map(str::to_owned))], read)
}

/// Tables and pictures, each written whole.
fn write(machine: &Machine, rows: &[Row], folder: &Path) -> anyhow::Result<()> {
    // Every network has products, and so every picture something to show.
    let drawn = |figure: Option<Figure>| figure.map_or_else(String::new, |figure| figure.file());
    for (name, text) in [
        ("COMPUTE_REPORT.csv", account::compute_report(machine, rows)),
        ("BANDWIDTH_REPORT.csv", account::bandwidth_report(machine, rows)),
        ("DETAILED_ACCESS_REPORT.csv", account::access_report(machine, rows)),
        ("accel.csv", account::table(machine, rows)),
        ("roofline.svg", drawn(picture::roofline(machine, rows))),
        ("utilization.svg", drawn(picture::utilization(machine, rows))),
        ("machine.toml", toml::to_string(machine)?),
    ] {
        atomic_write(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn seconds(machine: &Machine, cycles: u64) -> f64 {
    cycles as f64 / (machine.megahertz * 1e6)
}

/// Watts of the paper's board: its own estimate, for 28 x 28 at 166 MHz on a Kintex-7 325T and for no other machine.
const PAPER_WATTS: f64 = 7.0;

fn is_papers(machine: &Machine) -> bool {
    let paper = Machine::default();
    (machine.n, &machine.device, machine.megahertz) == (paper.n, &paper.device, paper.megahertz)
}

#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn shown(machine: &Machine, rows: &[Row]) -> String {
    let line = |row: &Row| {
        let (p, c) = (row.product, &row.cycles);
        [
            row.layer.clone(),
            row.direction.name().to_owned(),
            format!("{} x {} x {}", p.l, p.k, p.m),
            grouped(row.times),
            grouped(c.total),
            format!("{:.1} %", 100.0 * c.stalls() as f64 / c.total as f64),
            format!("{:.1} %", 100.0 * c.utilization(machine, &p)),
            format!("{:.3} ms", 1e3 * seconds(machine, c.total)),
            format!("{:.2} uJ", row.energy.total() / 1e6),
        ]
    };
    let lines: Vec<[String; 9]> = rows.iter().map(line).collect();
    let mut text = table(
        ["layer", "product", "l x k x m", "times", "cycles", "stalled", "used", "time", "energy"],
        &lines,
    );
    text.push('\n');
    text.push_str(&totals(machine, &account::total(machine, rows)));
    text
}

#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn totals(machine: &Machine, total: &Total) -> String {
    let time = seconds(machine, total.cycles);
    let rate = 2.0 * total.macs as f64 / time / 1e9;
    let (peak, e) = (machine.peak_operations_per_second() / 1e9, &total.energy);
    let part = |pj: f64| format!("{:.1} %", 100.0 * pj / e.total());
    let mut lines = vec![
        (
            "array",
            format!(
                "{0} x {0}, {1} MHz, {2} GB/s",
                machine.n, machine.megahertz, machine.gigabytes_per_second
            ),
        ),
        (
            "cycles",
            format!(
                "{}, {:.1} % stalled",
                grouped(total.cycles),
                100.0 * total.stalls as f64 / total.cycles as f64
            ),
        ),
        ("time", format!("{time:.6} s")),
        ("attained", format!("{rate:.1} G-ops/s of {peak:.1}: {:.1} % used", 100.0 * rate / peak)),
        ("memory", format!("{} bytes, {:.2} GB/s", grouped(total.bytes), total.bytes as f64 / time / 1e9)),
        (
            "chip energy",
            format!(
                "{:.6} J ({}): arithmetic {}, rounding {}, buffers {}, memory {}",
                e.total() / 1e12,
                energy::TABLE,
                part(e.arithmetic),
                part(e.rounding),
                part(e.buffers),
                part(e.memory)
            ),
        ),
    ];
    if is_papers(machine) {
        lines.push((
            "board energy",
            format!("{:.6} J at the paper's {PAPER_WATTS} W (FPGA; another measure)", PAPER_WATTS * time),
        ));
    }
    facts(&lines)
}

fn object(machine: &Machine, rows: &[Row]) -> Value {
    let total = account::total(machine, rows);
    json!({
        "n": machine.n, "cycles": total.cycles, "stall_cycles": total.stalls, "macs": total.macs, "bytes": total.bytes,
        "accelerator_seconds": seconds(machine, total.cycles), "chip_picojoules": total.energy.total(),
    })
}
