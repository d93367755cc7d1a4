//! Other systems: the crates that compute are compiled for each whose standard library is installed, as far as that goes without
//! a C compiler for it. `intrain-data` needs one for TLS, so what stands above it is left out. Nothing is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo;

/// Where nobody has run the tests yet.
const TARGETS: [&str; 3] = ["aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-gnu"];
/// With what they depend on, every crate without C.
const PACKAGES: [&str; 3] = ["intrain-accel", "intrain-golden", "intrain-lab"];

/// Checks the targets that are installed.
///
/// # Errors
/// A crate does not compile for one.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    for target in TARGETS.iter().filter(|target| is_installed(target)) {
        let mut args = vec!["check", "--locked", "--target", target];
        args.extend(PACKAGES.iter().flat_map(|package| ["--package", package]));
        cargo::succeed(&mut cargo::command(root, &args))?;
    }
    Ok(())
}

/// A line about the targets that are not installed, if there are any.
pub(crate) fn not_checked() -> Option<String> {
    let missing: Vec<&str> = TARGETS.into_iter().filter(|target| !is_installed(target)).collect();
    (!missing.is_empty())
        .then(|| format!("not checked: {}; add one with: rustup target add TARGET", missing.join(", ")))
}

fn is_installed(target: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output();
    output.is_ok_and(|output| {
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
    })
}

#[cfg(test)]
mod tests {
    use super::is_installed;

    #[test]
    fn a_target_without_a_library_is_missing() {
        assert!(!is_installed("pdp11-unknown-unix"));
    }
}
