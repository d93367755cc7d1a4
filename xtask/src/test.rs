//! `cargo xtask test`: every check and every test, each with its time; the tests come last, so their lines stay in view.
//!
//! Needs nothing but Rust with rustfmt and clippy; instructions are counted where valgrind is or can be installed, and exported networks run
//! by the compilers and runtimes that are here, which are installed where `CI` is set. A step that fails does not keep the others from running.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::{cargo, deploy, golden, hardware, instructions, picture, python, targets, tidy, tools};

/// A check: what is wrong, in words.
type Check<'a> = Box<dyn Fn() -> Result<(), String> + 'a>;

/// Runs every step.
///
/// # Errors
/// The names of the steps that failed; what they had to say has been printed by then.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let cargo = |args: &'static [&'static str]| -> Check<'_> {
        Box::new(|| cargo::succeed(cargo::command(root, args).env("RUSTDOCFLAGS", "-D warnings")))
    };
    let steps: Vec<(&str, Check<'_>)> = vec![
        ("format", cargo(&["fmt", "--all", "--check"])),
        ("tidy", Box::new(|| tidy::run(root))),
        ("golden --check", Box::new(|| golden::run(&["--check".to_owned()]))),
        ("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
        ("other targets", Box::new(|| targets::run(root))),
        ("docs", cargo(&["doc", "--workspace", "--no-deps", "--locked"])),
        ("verify golden", cargo(&["run", "--package", "intrain", "--locked", "--", "verify", "golden"])),
        ("instructions", Box::new(|| instructions::run(root, &[]))),
        ("hardware", Box::new(|| hardware(root))),
        ("README.md", Box::new(|| readme(root))),
        ("export's tools", Box::new(|| deploy::provide(root))),
        ("tests", Box::new(|| tests(root))),
        ("Python package", Box::new(|| python::run(root))),
    ];
    let (mut summary, mut failed) = (String::new(), Vec::new());
    let began = Instant::now();
    for (i, (name, check)) in steps.iter().enumerate() {
        eprintln!("== {} of {}: {name}", i + 1, steps.len());
        let step_began = Instant::now();
        let done = check();
        let word = if done.is_ok() { "ok" } else { "FAILED" };
        summary.push_str(&format!("{name:<16}{word:<8}{:>6.1} s\n", step_began.elapsed().as_secs_f64()));
        if let Err(message) = done {
            eprintln!("{message}");
            failed.push(*name);
        }
    }
    eprint!("\n{summary}{:<24}{:>6.1} s\n", "all", began.elapsed().as_secs_f64());
    let not_checked = targets::not_checked().into_iter().chain(deploy::not_checked(root));
    for line in not_checked.chain(python::not_checked(root)) {
        eprintln!("{line}");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Every test, with the Python that those of exported networks need.
fn tests(root: &Path) -> Result<(), String> {
    let args = ["test", "--workspace", "--no-fail-fast", "--locked"];
    cargo::succeed(cargo::command(root, &args).env("PATH", deploy::path(root)))
}

/// The simulator of hardware that tests of `intrain-accel` compare with, where it can be had; then the proofs.
fn hardware(root: &Path) -> Result<(), String> {
    if let Err(reason) = tools::provide("verilator", "verilator") {
        eprintln!("co-simulation will be skipped: {reason}");
    }
    hardware::run(root)
}

/// What the README's first command trains is what the README says, bit for bit, and its curve is the picture there.
fn readme(root: &Path) -> Result<(), String> {
    let run = cargo::target(root).join("readme-run");
    if run.exists() {
        fs::remove_dir_all(&run).map_err(|error| format!("{}: {error}", run.display()))?;
    }
    let args = ["run", "--package", "intrain", "--locked", "--", "train", "--json", "--out"];
    let output = cargo::command(root, &args).arg(&run).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo {}: cannot start: {error}", args.join(" ")))?;
    let text = fs::read_to_string(root.join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    check_readme(&text, &String::from_utf8_lossy(&output.stdout))?;
    check_picture(root, &run)
}

fn check_picture(root: &Path, run: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let now = picture::of_report(&read(&run.join("report.html"))?)?;
    if read(&root.join(picture::PATH)).is_ok_and(|there| there == now) {
        return Ok(());
    }
    let path = run.join("picture.svg");
    fs::write(&path, now).map_err(|error| format!("{}: {error}", path.display()))?;
    Err(format!(
        "{} is not the curve of this run; look at {} and copy it there",
        picture::PATH,
        path.display()
    ))
}

fn check_readme(readme: &str, stdout: &str) -> Result<(), String> {
    let object: serde_json::Value =
        serde_json::from_str(stdout).map_err(|error| format!("not a run's result: {error}: '{stdout}'"))?;
    let sha256 = object.get("weights_sha256").and_then(serde_json::Value::as_str).unwrap_or("none");
    if readme.contains(sha256) {
        return Ok(());
    }
    Err(format!(
        "README.md does not show the weights that its first command trains, {sha256}; if the numerics changed on \
         purpose, change its output and write a line under Numerics in CHANGELOG.md"
    ))
}

#[cfg(test)]
mod tests {
    use super::check_readme;

    #[test]
    fn a_readme_shows_the_weights_of_its_run() {
        let stdout = "{\"weights_sha256\":\"ab12\"}\n";
        check_readme("weights sha256  ab12", stdout).unwrap();
        assert!(check_readme("weights sha256  ab13", stdout).unwrap_err().contains("Numerics"));
        assert!(check_readme("ab12", "").unwrap_err().contains("not a run's result"));
    }
}
