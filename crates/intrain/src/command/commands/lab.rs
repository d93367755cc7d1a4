//! `intrain lab`: the theory as an experiment; each ends in a table, a CSV file and a picture.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::lab::convex::Problem;
use crate::lab::picture::{self, Curve, Panel};
use crate::lab::toy::{STATES, STEP, When, state};
use crate::lab::{chain, toy};
use crate::train::atomic_write;
use serde_json::{Value, json};

use crate::command::args::{Experiment, LabArgs};
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, table};

/// What an experiment ends in.
struct Done {
    text: String,
    csv: String,
    svg: String,
    object: Value,
}

/// First lines of the tables.
const TOY_HEADER: &str = "method,rate,w,share\n";
const CHAIN_HEADER: &str = "rate,w,stationary,limit\n";
const CONVEX_HEADER: &str = "method,step,t,measured,bound\n";

pub(crate) fn run(args: &LabArgs, output: &Output) -> anyhow::Result<ExitCode> {
    if !(args.noise > 0.0 && args.noise <= 1e3) {
        return Err(Usage(format!("--noise {} is not above 0 and at most 1000", args.noise)).into());
    }
    let (name, header) = match args.experiment {
        Experiment::Toy => ("toy", TOY_HEADER),
        Experiment::Chain => ("chain", CHAIN_HEADER),
        Experiment::Convex => ("convex", CONVEX_HEADER),
    };
    let folder = &args.out;
    let files = Group::new(format!("{name}.csv"), header, [format!("{name}.svg")]);
    let out = OutFolder::check(folder, vec![files], &[])?;
    let done = match args.experiment {
        Experiment::Toy => run_toy(args)?,
        Experiment::Chain => run_chain(args)?,
        Experiment::Convex => run_convex(args)?,
    };
    out.make()?;
    let path = |ending: &str| folder.join(format!("{name}.{ending}"));
    atomic_write(&path("csv"), done.csv.as_bytes())?;
    atomic_write(&path("svg"), done.svg.as_bytes())?;
    let text = format!("{}\ntable    {}\npicture  {}", done.text, shown(&path("csv")), shown(&path("svg")));
    output.finish(&text, &done.object)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const RATES: [f64; 4] = [1.0, 0.1, 0.01, 0.001];

#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn run_toy(args: &LabArgs) -> anyhow::Result<Done> {
    let walks = [(When::Bc, "BC"), (When::Sr, "SR")];
    let histogram = |when, rate| toy::histogram(when, rate, args.noise, args.steps, args.seed);
    let (mut rows, mut objects, mut panels) = (Vec::new(), Vec::new(), Vec::new());
    let mut csv = TOY_HEADER.to_owned();
    for (color, (when, name)) in walks.into_iter().enumerate() {
        for rate in RATES {
            let shares: Vec<f64> =
                histogram(when, rate).iter().map(|n| *n as f64 / args.steps as f64).collect();
            for (i, share) in shares.iter().enumerate() {
                writeln!(csv, "{name},{rate},{},{share}", state(i))?;
            }
            let (near, at) = (shares[11] + shares[12], mode(&shares));
            objects.push(json!({"method": name, "rate": rate, "near_minimum": near, "most_often": at}));
            rows.push([name.to_owned(), rate.to_string(), format!("{near:.4}"), at.to_string()]);
            let shares = shares.iter().enumerate().map(|(i, share)| (state(i), *share)).collect();
            panels.push(Panel { title: format!("{name}, rate {rate}"), shares, color });
        }
    }
    // The methods beside each other, rates from top to bottom.
    let (left, right) = panels.split_at(RATES.len());
    let panels: Vec<Panel> = left.iter().zip(right).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let svg =
        picture::panels("toy problem", 2, &panels, STEP, ["quantized weight w", "share of steps"]).file();
    let object = json!({"experiment": "toy", "noise": args.noise, "steps": args.steps, "walks": objects});
    let text = table(["method", "rate", "share at 4.5 and 5", "most often at"], &rows);
    Ok(Done { text, csv, svg, object })
}

/// The state that the walk was in most often.
fn mode(shares: &[f64]) -> f64 {
    state(shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i))
}

fn panel(title: String, probabilities: &[f64], color: usize) -> Panel {
    let shares = probabilities.iter().enumerate().map(|(i, p)| (state(i), *p)).collect();
    Panel { title, shares, color }
}

fn run_chain(args: &LabArgs) -> anyhow::Result<Done> {
    let limit = chain::limit(args.noise);
    let (mut rows, mut objects, mut csv) = (Vec::new(), Vec::new(), CHAIN_HEADER.to_owned());
    let mut panels = Vec::new();
    for rate in [0.1, 0.03, 0.01, 0.003, 0.001] {
        let transitions = chain::transitions(rate, args.noise);
        let stationary = chain::stationary(&transitions);
        let distance = chain::total_variation(&stationary, &limit);
        let gap = chain::spectral_gap(&transitions);
        for i in 0..STATES {
            writeln!(csv, "{rate},{},{},{}", state(i), stationary[i], limit[i])?;
        }
        let near = stationary[11] + stationary[12];
        rows.push([rate.to_string(), format!("{distance:.6}"), format!("{gap:.5}"), format!("{near:.4}")]);
        objects.push(
            json!({"rate": rate, "total_variation": distance, "spectral_gap": gap, "near_minimum": near}),
        );
        panels.push(panel(format!("rate {rate}, gap {gap:.5}"), &stationary, 0));
    }
    panels.push(panel("limit of small rates".to_owned(), &limit, 1));
    let svg =
        picture::panels("stationary distributions", 2, &panels, STEP, ["weight w", "probability"]).file();
    let text = table(["rate", "total variation to the limit", "spectral gap", "P(4.5 or 5)"], &rows);
    Ok(Done { text, csv, svg, object: json!({"experiment": "chain", "noise": args.noise, "rates": objects}) })
}

#[allow(clippy::cast_precision_loss, reason = "steps below 2^53")]
fn run_convex(args: &LabArgs) -> anyhow::Result<Done> {
    let (mut rows, mut curves, mut csv) = (Vec::new(), Vec::new(), CONVEX_HEADER.to_owned());
    let mut objects = Vec::new();
    for (when, name) in [(When::Sr, "SR"), (When::Bc, "BC")] {
        for step in [0.5_f32, 0.1, 0.02] {
            let problem = Problem { d: 100, mu: 1.0, noise: args.noise, step };
            let curve = problem.curve(when, args.steps.min(1 << 14), args.seed)?;
            for point in &curve {
                writeln!(csv, "{name},{step},{},{},{}", point.t, point.measured, point.bound)?;
            }
            if let Some(last) = curve.last() {
                let [measured, bound] = [last.measured, last.bound].map(|x| format!("{x:.3e}"));
                objects.push(json!({"method": name, "step": step, "t": last.t, "measured": last.measured, "bound": last.bound}));
                rows.push([name.to_owned(), step.to_string(), last.t.to_string(), measured, bound]);
            }
            let points = |f: fn(&crate::lab::convex::Point) -> f64| {
                curve.iter().map(|p| (p.t as f64, f(p).max(1e-12))).collect()
            };
            let name = format!("{name}, step {step}");
            curves.push(Curve { name, measured: points(|p| p.measured), bound: points(|p| p.bound) });
        }
    }
    let title = "How far the mean iterate is above the minimum";
    let figure = picture::curves(title, ["steps", "F(mean) - F*"], &curves);
    // A walk has at least one step.
    let svg = figure.map_or_else(String::new, |figure| figure.file());
    let text = table(["method", "step", "steps", "F - F*", "bound"], &rows);
    Ok(Done { text, csv, svg, object: json!({"experiment": "convex", "noise": args.noise, "ends": objects}) })
}
