//! Every reader of what comes from outside, on inputs that were valid until something was changed: an error or a valid
//! result, never a panic, never memory or time without bound.
//!
//! Without arguments, as `cargo test` starts it, each target has a second, with one seed, and a filter is a part of targets'
//! names. `cargo xtask fuzz` starts it with `long`. An input is a function of (target, seed, round): `repeat` runs one.
#![allow(clippy::print_stdout, reason = "a table for people")]

mod files;
mod mutate;
mod pictures;
mod session;
mod texts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::session::{Report, Target};

const USAGE: &str = "after `cargo test --package intrain --test fuzz --`:
  [PART]...                       each target whose name has the part in it, a second each
  long --seconds N --seed S --out FOLDER [TARGET]...
                                  each target for N seconds; failing inputs are written to FOLDER
  repeat TARGET SEED ROUND        one input again, with its panic
  repeat TARGET FILE              the same, from the file of a failing input
  targets                         their names";

/// The seed of `cargo test`.
const SEED: u64 = 1;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let targets: Vec<Target> = [files::targets(), texts::targets()].into_iter().flatten().collect();
    let is_sound = match &args[..] {
        ["long", rest @ ..] => long(&targets, rest),
        ["repeat", rest @ ..] => repeat(&targets, rest).map(|()| true),
        ["targets"] => Ok(targets.iter().all(|target| {
            println!("{}", target.name);
            true
        })),
        // What lists tests finds none here.
        _ if args.contains(&"--list") => Ok(true),
        parts => short(&targets, parts),
    };
    match is_sound {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// A second of each target; options of the usual test harness mean nothing here.
fn short(targets: &[Target], parts: &[&str]) -> Result<bool, String> {
    let takes_value = |arg: &str| matches!(arg, "--test-threads" | "--skip" | "--format" | "--color" | "-Z");
    let before = std::iter::once("").chain(parts.iter().copied());
    let parts: Vec<&str> = before
        .zip(parts)
        .filter(|(before, part)| !part.starts_with('-') && !takes_value(before))
        .map(|(_, part)| *part)
        .collect();
    let is_meant = |target: &&Target| parts.is_empty() || parts.iter().any(|part| target.name.contains(part));
    let folder = std::env::temp_dir();
    fuzz(targets.iter().filter(is_meant), SEED, Duration::from_secs(1), &folder, false)
}

fn long(targets: &[Target], args: &[&str]) -> Result<bool, String> {
    let ["--seconds", seconds, "--seed", seed, "--out", folder, names @ ..] = args else {
        return Err(format!("'long' has other arguments than {args:?}; {USAGE}"));
    };
    let number = |text: &str| {
        text.parse::<u64>().map_err(|_| format!("'{text}' is no number of 0 to 2^64 - 1; {USAGE}"))
    };
    let mut meant = Vec::new();
    for name in names {
        meant.push(find(targets, name)?);
    }
    if meant.is_empty() {
        meant = targets.iter().collect();
    }
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{}: cannot be made: {error}; name another folder", folder.display()))?;
    fuzz(meant.into_iter(), number(seed)?, Duration::from_secs(number(seconds)?), &folder, true)
}

fn find<'a>(targets: &'a [Target], name: &str) -> Result<&'a Target, String> {
    targets.iter().find(|target| target.name == name).ok_or_else(|| {
        let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
        format!("'{name}' is no target; targets are {}", names.join(", "))
    })
}

fn repeat(targets: &[Target], args: &[&str]) -> Result<(), String> {
    let wrong = || format!("'repeat' has other arguments than {args:?}; {USAGE}");
    let (name, input) = match args {
        [name, file] => {
            (name, std::fs::read(file).map_err(|error| format!("{file}: cannot be read: {error}"))?)
        }
        [name, seed, round] => {
            let at = (seed.parse().map_err(|_| wrong())?, round.parse().map_err(|_| wrong())?);
            let target = find(targets, name)?;
            (name, target.input(&(target.seeds)(), at))
        }
        _ => return Err(wrong()),
    };
    println!(
        "{} bytes: {}",
        input.len(),
        input.escape_ascii().to_string().chars().take(2000).collect::<String>()
    );
    println!("{}", find(targets, name)?.repeat(&input));
    Ok(())
}

/// Runs targets one after the other, prints a line for each, and then what failed.
fn fuzz<'a>(
    targets: impl Iterator<Item = &'a Target>,
    seed: u64,
    time: Duration,
    folder: &Path,
    is_long: bool,
) -> Result<bool, String> {
    session::keep_panics();
    println!(
        "{:<16}{:>10}{:>10}{:>8}{:>8}{:>14}{:>12}",
        "target", "inputs", "accepted", "panics", "beyond", "memory, KiB", "longest, ms"
    );
    let mut failures = Vec::new();
    for target in targets {
        let refuse = |error| format!("{}: cannot be written: {error}; name another folder", folder.display());
        let mark = is_long.then(|| session::mark(folder, target.name)).transpose().map_err(refuse)?;
        let report = target.rounds(seed, time, mark);
        if is_long {
            std::fs::remove_file(folder.join(format!("{}.round", target.name))).map_err(refuse)?;
        }
        print(target, &report);
        for failure in &report.failures {
            let file = folder.join(format!("{}-{seed}-{}", target.name, failure.round));
            std::fs::write(&file, &failure.input).map_err(refuse)?;
            failures.push(format!(
                "{}: {}\n  the input is {}; again: cargo test --package intrain --test fuzz -- repeat {} {seed} {}",
                target.name, failure.what, file.display(), target.name, failure.round
            ));
        }
        if !report.is_sound() && report.failures.is_empty() {
            failures.push(format!("{}: failures that were not kept", target.name));
        }
    }
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    Ok(failures.is_empty())
}

fn print(target: &Target, report: &Report) {
    let Report { inputs, accepted, panics, beyond_limits, memory, longest, .. } = report;
    println!(
        "{:<16}{inputs:>10}{accepted:>10}{panics:>8}{beyond_limits:>8}{:>14}{:>12.1}",
        target.name,
        memory.0.div_ceil(1024),
        longest.0.as_secs_f64() * 1e3,
    );
}
