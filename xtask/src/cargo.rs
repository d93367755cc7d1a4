//! Cargo called from a task, as a person would call it in the root of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Cargo with `args`, not started yet.
pub(crate) fn command(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(root);
    without_own(&mut command);
    command
}

/// As [`command`], with an address space of at most `kib` KiB for it and all that it starts; without a bound where no shell
/// can set it.
pub(crate) fn command_within(root: &Path, kib: u64, args: &[&str]) -> Command {
    if !cfg!(unix) {
        return command(root, args);
    }
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {kib} && exec \"$0\" \"$@\"")]).arg(program());
    command.args(args).current_dir(root);
    without_own(&mut command);
    command
}

fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn without_own(command: &mut Command) {
    // What the outer cargo says about this package would make build scripts of others run again.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot start, or it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let line = format!("cargo {}", args.join(" "));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{line}: {status}")),
        Err(error) => Err(format!("{line}: cannot start: {error}")),
    }
}

/// Builds the command line for release; its path.
///
/// # Errors
/// The build fails.
pub(crate) fn release_program(root: &Path) -> Result<PathBuf, String> {
    succeed(&mut command(root, &["build", "--release", "--locked", "--package", "intrain"]))?;
    Ok(target(root).join("release").join(format!("intrain{}", std::env::consts::EXE_SUFFIX)))
}

/// The folder of everything that is built: this program is `TARGET/debug/xtask`.
pub(crate) fn target(root: &Path) -> PathBuf {
    let own = std::env::current_exe().ok();
    own.and_then(|own| own.ancestors().nth(2).map(Path::to_owned)).unwrap_or_else(|| root.join("target"))
}
