//! Programs that checks need and a machine may lack: found, or installed where that asks for nothing but a package.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a program starts and succeeds.
pub(crate) fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

/// Finds a Debian package's program, or installs it.
///
/// # Errors
/// It is not there and cannot be installed.
pub(crate) fn provide(program: &str, package: &str) -> Result<(), String> {
    provide_all(program, &[package])
}

/// The same where the program needs several packages.
///
/// # Errors
/// It is not there and cannot be installed.
pub(crate) fn provide_all(program: &str, packages: &[&str]) -> Result<(), String> {
    if works(program, &["--version"]) {
        return Ok(());
    }
    if works("sh", &["-c", "test \"$(id -u)\" = 0"]) {
        eprintln!("installing {} by apt-get", packages.join(", "));
        // A list of packages that is new enough needs no update.
        let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
        if works("apt-get", &install) || (works("apt-get", &["update"]) && works("apt-get", &install)) {
            return Ok(());
        }
    }
    Err(format!("{program} is not installed (Debian: apt-get install {})", packages.join(" ")))
}

/// A Python environment in `folder` with `packages`, each with its version; its folder of programs.
///
/// # Errors
/// Python is missing, or the packages cannot be had.
pub(crate) fn provide_python(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let (bin, stamp) = (folder.join("bin"), folder.join("packages"));
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(bin);
    }
    let name = folder.display().to_string();
    if !works("python3", &["-m", "venv", &name]) {
        provide("python3", "python3")?;
        // Debian has the environments' own part in a package of its own.
        let _ = works("apt-get", &["install", "--yes", "--no-install-recommends", "python3-venv"]);
        if !works("python3", &["-m", "venv", &name]) {
            return Err(format!("{name}: no Python environment (Debian: apt-get install python3-venv)"));
        }
    }
    eprintln!("installing {} by pip", packages.join(", "));
    let pip = bin.join("pip").display().to_string();
    let args: Vec<&str> = ["install", "--quiet"].into_iter().chain(packages.iter().copied()).collect();
    if !works(&pip, &args) {
        return Err(format!("{pip} install {}: it fails; is there a network?", packages.join(" ")));
    }
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(bin)
}
