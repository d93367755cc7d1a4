//! The Python package: built into an environment of its own, and its tests run on what was installed there. Where `CI` is set a missing
//! Python is a failure; elsewhere the package is not checked then, which is said at the end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::deploy::is_required;
use crate::{cargo, tools};

/// What builds it and what its tests need, each with the version that they are known to pass with.
const PACKAGES: [&str; 3] = ["maturin==1.16.0", "numpy", "pytest==8.4.2"];

fn environment(root: &Path) -> PathBuf {
    cargo::target(root).join("python")
}

/// Whether there is a Python that can have environments.
fn is_here() -> bool {
    tools::works("python3", &["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))"])
}

/// Builds the package as tests are built, installs it, and runs its tests.
///
/// # Errors
/// What cannot be had where `CI` is set; a build or a test that fails.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    if !is_here() && !is_required() {
        return Ok(());
    }
    let environment = environment(root);
    let bin = match tools::provide_python(&environment, &PACKAGES) {
        Err(reason) if !is_required() => {
            eprintln!("{reason}");
            return Ok(());
        }
        provided => provided?,
    };
    let wheels = environment.join("wheels");
    // An older version's wheel would be installed as well.
    if wheels.exists() {
        std::fs::remove_dir_all(&wheels).map_err(|error| format!("{}: {error}", wheels.display()))?;
    }
    let python = bin.join("python");
    let build =
        ["-m", "maturin", "build", "--quiet", "--locked", "--profile", "dev", "--out"].map(OsStr::new);
    succeed(Command::new(&python).current_dir(root).args(build).arg(&wheels))?;
    let wheel =
        std::fs::read_dir(&wheels).ok().and_then(|mut files| files.next()?.ok()).map(|file| file.path());
    let wheel = wheel.ok_or_else(|| format!("{}: no wheel was built", wheels.display()))?;
    let install = ["-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps"];
    succeed(Command::new(&python).args(install).arg(&wheel))?;
    // The folder of the package must not stand in for what was installed.
    succeed(Command::new(&python).current_dir(root.join("python/tests")).args(["-m", "pytest", "--quiet"]))
}

/// A line about what was gone without, if there is anything.
pub(crate) fn not_checked(root: &Path) -> Option<String> {
    if !is_here() {
        return Some("not checked: the Python package; apt install python3 python3-venv".to_owned());
    }
    let stamp = environment(root).join("packages");
    (!stamp.exists()).then(|| format!("not checked: the Python package; pip install {}", PACKAGES.join(" ")))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let line = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{line}: {status}")),
        Err(error) => Err(format!("{line}: cannot start: {error}")),
    }
}
