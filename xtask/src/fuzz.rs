//! `cargo xtask fuzz`: every reader of what comes from outside on damaged inputs, for as long as it is told.
//!
//! The program that does so is a test of `intrain` (`crates/intrain/tests/fuzz/`), built as tests are: sums that overflow panic.
//! Its address space is bounded, so that a header that asks for all memory ends it, and not the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cargo;

/// Seconds of a target.
const SECONDS: u64 = 180;
/// Address space of the program and of the cargo that starts it, in KiB.
const ADDRESS_SPACE: u64 = 8 << 20;
/// What is started; what follows goes to the program.
const TEST: [&str; 7] = ["test", "--package", "intrain", "--locked", "--quiet", "--test", "fuzz"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish<'a> {
    targets: Vec<&'a str>,
    seconds: u64,
    seed: Option<u64>,
}

impl<'a> Wish<'a> {
    fn parse(args: &[&'a str]) -> Result<Self, String> {
        let mut wish = Self { targets: Vec::new(), seconds: SECONDS, seed: None };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut number = || {
                let text = args.next().copied().unwrap_or_default();
                text.parse::<u64>()
                    .map_err(|_| format!("{arg} takes a number of 0 to 2^64 - 1, not '{text}'"))
            };
            match arg {
                "--seconds" => wish.seconds = number()?,
                "--seed" => wish.seed = Some(number()?),
                _ if arg.starts_with('-') => {
                    return Err(format!("cargo xtask fuzz takes --seconds N and --seed S, not {arg}"));
                }
                target => wish.targets.push(target),
            }
        }
        Ok(wish)
    }
}

/// Runs the targets; the program prints a line for each.
///
/// # Errors
/// The program cannot be built, or an input failed; what failed has been printed by then.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let wish = Wish::parse(args)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (seed, seconds) = (wish.seed.unwrap_or(now).to_string(), wish.seconds.to_string());
    let folder = cargo::target(root).join("fuzz");
    for mark in marks(&folder) {
        fs::remove_file(&mark).map_err(|error| format!("{}: cannot be removed: {error}", mark.display()))?;
    }
    cargo::succeed(&mut cargo::command(root, &[&TEST[..], &["--no-run"]].concat()))?;
    let own = ["--", "long", "--seconds", &seconds, "--seed", &seed, "--out"];
    let mut command = cargo::command_within(root, ADDRESS_SPACE, &[&TEST[..], &own].concat());
    let status = command.arg(&folder).args(&wish.targets).status();
    let status = status.map_err(|error| format!("cargo test: cannot start: {error}"))?;
    // What ends the process, such as memory that is not there, leaves the number of its round.
    let fatal: Vec<String> = marks(&folder).iter().filter_map(|mark| fatal(mark)).collect();
    match (status.success(), &fatal[..]) {
        (true, []) => Ok(()),
        (_, []) => Err(format!("inputs failed, as said above; they are in {}", folder.display())),
        (_, fatal) => Err(fatal.join("\n")),
    }
}

/// The files that hold the number of a round in which the program was.
fn marks(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "round")).collect()
}

/// What is to be said of a round that ended the program.
fn fatal(mark: &Path) -> Option<String> {
    let target = mark.file_stem()?.to_str()?;
    let text = fs::read_to_string(mark).ok()?;
    let at = text.lines().next()?;
    Some(format!(
        "{target}: the input of this round ended the program; again: cargo test --package intrain --test fuzz -- repeat \
         {target} {at}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_targets_and_numbers() {
        let wish = Wish::parse(&["idx", "--seconds", "5", "npz", "--seed", "3"]);
        assert_eq!(wish, Ok(Wish { targets: vec!["idx", "npz"], seconds: 5, seed: Some(3) }));
        assert_eq!(Wish::parse(&[]), Ok(Wish { targets: vec![], seconds: 180, seed: None }));
        assert!(Wish::parse(&["--seconds", "x"]).unwrap_err().contains("--seconds takes a number"));
        assert!(Wish::parse(&["--seconds"]).unwrap_err().contains("not ''"));
        assert!(Wish::parse(&["--second", "5"]).unwrap_err().contains("not --second"));
    }

    #[test]
    fn a_round_that_ended_the_program_is_named() {
        let folder = std::env::temp_dir().join(format!("intrain-xtask-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("npz.round"), "7 1234\n").unwrap();
        let fatal: Vec<String> = marks(&folder).iter().filter_map(|mark| fatal(mark)).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(fatal.len(), 1);
        assert!(fatal[0].ends_with("-- repeat npz 7 1234"), "{}", fatal[0]);
    }
}
