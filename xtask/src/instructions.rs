//! `cargo xtask instructions`: what works of `intrain bench` cost, counted instead of timed, against a committed table.
//!
//! Cachegrind counts the instructions of the AVX2 kernels on one thread, and the lines of 64 bytes that a last-level
//! cache of 1 MiB would exchange with memory: a pass over memory too many shows there. What one run costs is the
//! difference of three runs and two, so that start and preparation cancel out. No clock, so it holds on any machine
//! that has AVX2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::{cargo, tools};

/// Works of `intrain bench`: each product and rounding, and a step of each kind of network.
const WORKS: [&str; 10] = [
    "i8-1024x1024x1024",
    "u8-1024x1024x1024",
    "i16-1024x1024x1024",
    "requantize-nearest",
    "requantize-stochastic",
    "quantize-stochastic",
    "mlp-wage",
    "lenet5-wage",
    "mlp-gupta",
    "gupta-cnn-gupta",
];

/// Where the table is, from the root of the workspace.
const TABLE: &str = "xtask/instructions.toml";
/// How much more than in the table is still the same, in percent.
const TOLERANCE: u64 = 5;
/// The same where another compiler wrote the program.
const TOLERANCE_OF_OTHER_COMPILER: u64 = 15;

/// The committed counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The compiler's minor version.
    rustc: String,
    work: Vec<Counts>,
}

/// What one run of a work costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    name: String,
    instructions: u64,
    /// Lines of 64 bytes between cache and memory.
    lines: u64,
}

/// Counts, then compares with the table, or writes it where `args` are `--bless`.
///
/// # Errors
/// A work that costs more than in the table, or whatever kept it from being counted.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let bless = match args {
        [] => false,
        ["--bless"] => true,
        _ => return Err(format!("cargo xtask instructions takes --bless or nothing, not {args:?}")),
    };
    if !has_avx2() {
        eprintln!("skipped: this CPU has no AVX2, and the table counts its kernels");
        return Ok(());
    }
    if let Err(reason) = tools::provide("valgrind", "valgrind") {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let program = build(root)?;
    let now = Table { rustc: rustc_minor()?, work: count_all(&program)? };
    let path = root.join(TABLE);
    if bless {
        let text = toml::to_string(&now).map_err(|error| error.to_string())?;
        return fs::write(&path, text).map_err(|error| format!("{TABLE}: {error}"));
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{TABLE}: {error}"))?;
    let before: Table = toml::from_str(&text).map_err(|error| format!("{TABLE}: {error}"))?;
    compare(&before, &now)
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// Builds the program that repeats a work; its path.
fn build(root: &Path) -> Result<PathBuf, String> {
    let args = ["build", "--release", "--locked", "--package", "intrain", "--example", "repeat"];
    cargo::succeed(&mut cargo::command(root, &args))?;
    Ok(cargo::target(root).join("release/examples/repeat"))
}

/// `1.95` of `rustc 1.95.0 (...)`.
fn rustc_minor() -> Result<String, String> {
    let output =
        Command::new("rustc").arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let minor: Vec<&str> = version.split('.').take(2).collect();
    Ok(minor.join("."))
}

/// Two works at a time.
fn count_all(program: &Path) -> Result<Vec<Counts>, String> {
    let mut counts = Vec::new();
    for pair in WORKS.chunks(2) {
        let of_pair: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = pair.iter().map(|name| scope.spawn(|| count(program, name))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a count panicked".to_owned())?)
                .collect()
        });
        for result in of_pair {
            let of_work: Counts = result?;
            eprintln!(
                "{:<24}{:>15} instructions {:>11} lines",
                of_work.name, of_work.instructions, of_work.lines
            );
            counts.push(of_work);
        }
    }
    Ok(counts)
}

/// What one run of a work costs.
fn count(program: &Path, name: &str) -> Result<Counts, String> {
    let of_times = |times: &str| -> Result<[u64; 2], String> {
        let mut command = Command::new("valgrind");
        // Sizes are given, not those of this machine: size, ways, bytes of a line.
        command.args(["--tool=cachegrind", "--cache-sim=yes", "--cachegrind-out-file=/dev/null"]);
        command.args(["--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"]);
        let output = command.arg(program).args([name, times]).output();
        let output = output.map_err(|error| format!("valgrind: cannot start: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{name}, {times} times: {}\n{text}", output.status));
        }
        let number = |label| read(&text, label).ok_or_else(|| format!("no '{label}' in:\n{text}"));
        Ok([number("I refs:")?, number("LL misses:")?])
    };
    let [two, three] = [of_times("2")?, of_times("3")?];
    let [instructions, lines] = [0, 1].map(|i| three[i].saturating_sub(two[i]));
    Ok(Counts { name: name.to_owned(), instructions, lines })
}

/// The number behind `label`, which stands with any number of spaces between its words.
fn read(text: &str, label: &str) -> Option<u64> {
    let words: Vec<&str> = label.split(' ').collect();
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().skip(1).collect();
        let number = fields.strip_prefix(&words[..])?.first()?;
        number.replace(',', "").parse().ok()
    })
}

/// What is wrong with `now`, against what was `before`.
fn compare(before: &Table, now: &Table) -> Result<(), String> {
    let tolerance = if before.rustc == now.rustc { TOLERANCE } else { TOLERANCE_OF_OTHER_COMPILER };
    let mut wrong = Vec::new();
    for counts in &now.work {
        let Some(old) = before.work.iter().find(|old| old.name == counts.name) else {
            wrong.push(format!("{TABLE} has no row '{}'", counts.name));
            continue;
        };
        let both = [
            ("instructions", old.instructions, counts.instructions),
            ("lines of memory", old.lines, counts.lines),
        ];
        for (what, old, new) in both {
            if new * 100 > old * (100 + tolerance) {
                wrong.push(format!(
                    "{}: {new} {what}, {old} in {TABLE}, more than {tolerance} % over",
                    counts.name
                ));
            } else if new * (100 + tolerance) < old * 100 {
                eprintln!(
                    "{}: {new} {what}, {old} in {TABLE}: fewer; bless them, so that they stay",
                    counts.name
                );
            }
        }
    }
    let is_gone = |old: &&Counts| now.work.iter().all(|counts| counts.name != old.name);
    wrong.extend(
        before.work.iter().filter(is_gone).map(|old| format!("{TABLE}: '{}' is counted no more", old.name)),
    );
    if wrong.is_empty() {
        return Ok(());
    }
    let remedy =
        "make it as cheap as before, or run `cargo xtask instructions --bless` and say why in the commit";
    Err(format!("{}\n{remedy}", wrong.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rustc: &str, instructions: u64, lines: u64) -> Table {
        let work = vec![Counts { name: "mlp-wage".to_owned(), instructions, lines }];
        Table { rustc: rustc.to_owned(), work }
    }

    #[test]
    fn more_than_the_tolerance_is_an_error() {
        let before = table("1.95", 1000, 200);
        compare(&before, &table("1.95", 1050, 210)).unwrap();
        compare(&before, &table("1.95", 100, 1)).unwrap();
        let error = compare(&before, &table("1.95", 1051, 200)).unwrap_err();
        assert!(
            error.contains("mlp-wage: 1051 instructions, 1000 in") && error.contains("--bless"),
            "{error}"
        );
        let error = compare(&before, &table("1.95", 1000, 211)).unwrap_err();
        assert!(error.contains("211 lines of memory"), "{error}");
        compare(&before, &table("1.96", 1150, 230)).unwrap();
        compare(&before, &table("1.96", 1151, 230)).unwrap_err();
    }

    #[test]
    fn rows_are_the_works() {
        let none = Table { rustc: "1.95".to_owned(), work: vec![] };
        assert!(compare(&none, &table("1.95", 1, 1)).unwrap_err().contains("no row 'mlp-wage'"));
        assert!(compare(&table("1.95", 1, 1), &none).unwrap_err().contains("counted no more"));
    }

    #[test]
    fn the_committed_table_has_every_work() {
        let table: Table = toml::from_str(include_str!("../instructions.toml")).unwrap();
        assert_eq!(table.work.iter().map(|work| &work.name[..]).collect::<Vec<_>>(), WORKS);
    }

    #[test]
    fn numbers_are_read_from_a_summary() {
        let text = "==7== I   refs:      1,069,552,006\n==7== LLi misses: 5\n==7== LL misses:    1,773,160  (  1 rd)\n";
        assert_eq!(read(text, "I refs:"), Some(1_069_552_006));
        assert_eq!(read(text, "LL misses:"), Some(1_773_160));
        assert_eq!(read(text, "D refs:"), None);
    }
}
