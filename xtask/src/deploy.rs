//! Compilers, emulators and runtimes by which the tests of exported networks run what was written. Where `CI` is set they are
//! installed, and a failure if they cannot be had; elsewhere those that are here are used.

use std::ffi::OsString;
use std::path::Path;

use crate::{cargo, tools};

/// What starts, and the Debian packages that it and its libraries are in.
const PROGRAMS: [(&str, &[&str]); 9] = [
    ("gcc", &["gcc", "libc6-dev"]),
    ("aarch64-linux-gnu-gcc", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
    ("s390x-linux-gnu-gcc", &["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"]),
    ("qemu-aarch64", &["qemu-user"]),
    ("qemu-s390x", &["qemu-user"]),
    ("arm-none-eabi-gcc", &["gcc-arm-none-eabi", "libnewlib-arm-none-eabi"]),
    ("qemu-system-arm", &["qemu-system-arm"]),
    ("riscv64-unknown-elf-gcc", &["gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"]),
    ("qemu-system-riscv32", &["qemu-system-misc"]),
];
/// Packages of Python, each with the version that the tests are known to pass with.
const PYTHON: [&str; 2] = ["onnxruntime==1.32.0", "qonnx==1.0.0"];
/// What a program of Python imports from them.
const IMPORTS: &str = "import onnxruntime, qonnx";

/// Whether everything has to be there.
pub(crate) fn is_required() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

fn is_here(program: &str) -> bool {
    tools::works(program, &["--version"])
}

/// Installs what is missing where `CI` is set; elsewhere nothing.
///
/// # Errors
/// What cannot be had, with the command that installs it.
pub(crate) fn provide(root: &Path) -> Result<(), String> {
    if !is_required() {
        return Ok(());
    }
    let mut wrong = vec![];
    for (program, packages) in PROGRAMS {
        wrong.extend(tools::provide_all(program, packages).err());
    }
    if !tools::works("python3", &["-c", IMPORTS]) {
        wrong.extend(tools::provide_python(&environment(root), &PYTHON).err());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The environment of Python for these tests.
fn environment(root: &Path) -> std::path::PathBuf {
    cargo::target(root).join("deploy-python")
}

/// `PATH` with that environment in front, where it is there.
pub(crate) fn path(root: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bin = environment(root).join("bin");
    let all = [bin.clone()].into_iter().chain(std::env::split_paths(&path));
    if bin.join("python3").exists() { std::env::join_paths(all).unwrap_or(path) } else { path }
}

/// A line about what the tests went without, if there is anything.
pub(crate) fn not_checked(root: &Path) -> Option<String> {
    let missing: Vec<&(&str, &[&str])> = PROGRAMS.iter().filter(|(program, _)| !is_here(program)).collect();
    let python = cargo::target(root).join("deploy-python/bin/python3").display().to_string();
    let lacks_python = !tools::works("python3", &["-c", IMPORTS]) && !tools::works(&python, &["-c", IMPORTS]);
    let mut names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().flat_map(|(_, packages)| *packages).copied().collect();
    packages.dedup();
    let mut remedies = vec![];
    if !packages.is_empty() {
        remedies.push(format!("apt install {}", packages.join(" ")));
    }
    if lacks_python {
        names.push("ONNX Runtime and qonnx");
        remedies.push(format!("pip install {}", PYTHON.join(" ")));
    }
    (!names.is_empty())
        .then(|| format!("not checked: exported networks by {}; {}", names.join(", "), remedies.join("; ")))
}
