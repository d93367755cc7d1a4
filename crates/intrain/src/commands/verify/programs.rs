//! Compilers and emulators of this machine, and what each makes of an exported network's C.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A way to run C: a compiler with its flags, and an emulator where it makes programs of another machine.
pub(super) struct Target {
    pub(super) name: &'static str,
    compiler: &'static str,
    flags: &'static [&'static str],
    /// What runs the program; empty where this machine does.
    runner: &'static [&'static str],
    /// Debian's packages of both.
    packages: &'static str,
    /// Whether it is a board without an operating system, which needs a start of its own.
    is_board: bool,
}

/// A program to make.
pub(super) struct Build<'a> {
    /// Where the sources lie.
    pub(super) folder: &'a Path,
    pub(super) sources: &'a [String],
    pub(super) prefix: &'a str,
    /// Where the program, and what it needs besides, goes.
    pub(super) scratch: &'a Path,
    /// Whether it prints the integers of each layer.
    pub(super) is_traced: bool,
    /// A file of images that it answers in place of the vectors.
    pub(super) images: Option<&'a Path>,
}

/// A program, and the images that it is to answer.
pub(super) struct Program {
    path: PathBuf,
    argument: Option<PathBuf>,
}

const CHECKED: &[&str] = &["-O1", "-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"];

/// QEMU with a board that counts an instruction as a nanosecond.
const fn board(machine: &'static str) -> [&'static str; 13] {
    [
        "qemu-system-arm",
        "-M",
        machine,
        "-monitor",
        "none",
        "-serial",
        "none",
        "-nographic",
        "-semihosting-config",
        "enable=on,target=native",
        "-icount",
        "shift=0",
        "-kernel",
    ]
}

const BOARD_M3: &[&str] = &board("mps2-an385");
const BOARD_M4: &[&str] = &board("mps2-an386");
const BOARD_M7: &[&str] = &board("mps2-an500");

pub(super) const TARGETS: [Target; 11] = [
    Target {
        name: "gcc -O0",
        compiler: "gcc",
        flags: &["-O0"],
        runner: &[],
        packages: "gcc",
        is_board: false,
    },
    Target {
        name: "gcc -O3",
        compiler: "gcc",
        flags: &["-O3"],
        runner: &[],
        packages: "gcc",
        is_board: false,
    },
    Target {
        name: "gcc, UBSan and ASan",
        compiler: "gcc",
        flags: CHECKED,
        runner: &[],
        packages: "gcc",
        is_board: false,
    },
    Target {
        name: "clang -O2",
        compiler: "clang",
        flags: &["-O2"],
        runner: &[],
        packages: "clang",
        is_board: false,
    },
    Target {
        name: "aarch64",
        compiler: "aarch64-linux-gnu-gcc",
        flags: &["-O2", "-static"],
        runner: &["qemu-aarch64"],
        packages: "gcc-aarch64-linux-gnu qemu-user",
        is_board: false,
    },
    Target {
        name: "s390x, big endian",
        compiler: "s390x-linux-gnu-gcc",
        flags: &["-O2", "-static"],
        runner: &["qemu-s390x"],
        packages: "gcc-s390x-linux-gnu qemu-user",
        is_board: false,
    },
    Target {
        name: "riscv64",
        compiler: "riscv64-linux-gnu-gcc",
        flags: &["-O2", "-static"],
        runner: &["qemu-riscv64"],
        packages: "gcc-riscv64-linux-gnu qemu-user",
        is_board: false,
    },
    Target {
        name: "Cortex-M3",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m3", "-mthumb"],
        runner: BOARD_M3,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        is_board: true,
    },
    Target {
        name: "Cortex-M4",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m4", "-mthumb"],
        runner: BOARD_M4,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        is_board: true,
    },
    Target {
        name: "Cortex-M4, portable loops",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m4", "-mthumb", "-DINTRAIN_PORTABLE"],
        runner: BOARD_M4,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        is_board: true,
    },
    Target {
        name: "Cortex-M7",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m7", "-mthumb"],
        runner: BOARD_M7,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        is_board: true,
    },
];

/// What starts a program on a board, and where its parts lie.
const START: [(&str, &str); 2] =
    [("startup.c", include_str!("cortex_m/startup.c")), ("link.ld", include_str!("cortex_m/link.ld"))];

impl Target {
    /// What is missing on this machine, and how it is had.
    pub(super) fn missing(&self) -> Option<String> {
        let lacks = |program: &&&str| !starts(program);
        let programs = [&self.compiler].into_iter().chain(self.runner.first());
        programs.clone().find(lacks).map(|program| format!("no {program}; apt install {}", self.packages))
    }

    /// Makes a program.
    pub(super) fn make(&self, build: &Build<'_>) -> Result<Program, String> {
        let Build { folder, sources, prefix, scratch, is_traced, images } = build;
        let path = scratch.join("program");
        let mut command = Command::new(self.compiler);
        command.current_dir(folder).arg("-std=c99").args(self.flags).args(*sources).arg("-o").arg(&path);
        let macros = prefix.to_ascii_uppercase();
        if *is_traced {
            command.arg(format!("-D{macros}_TRACE"));
        }
        if self.flags.contains(&"-DINTRAIN_PORTABLE") {
            command.arg(format!("-D{macros}_PORTABLE"));
        }
        if self.is_board {
            for (name, text) in START {
                fs::write(scratch.join(name), text).map_err(|e| e.to_string())?;
            }
            command.args(["--specs=rdimon.specs", "-nostartfiles"]).arg(scratch.join("startup.c"));
            command.arg("-T").arg(scratch.join("link.ld")).arg(format!("-Wl,--wrap={prefix}_run"));
            command.args(["wrap", "real"].map(|word| format!("-D__{word}_RUN=__{word}_{prefix}_run")));
            if let Some(images) = images {
                command.arg(format!("-D{macros}_IMAGES=\"{}\"", images.display()));
            }
        }
        let output = command.output().map_err(|e| format!("{}: {e}", self.compiler))?;
        if output.status.success() {
            return Ok(Program { path, argument: images.filter(|_| !self.is_board).map(Path::to_owned) });
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{} fails: {}", self.compiler, text.lines().take(3).collect::<Vec<_>>().join("; ")))
    }

    /// Runs a program that was made.
    pub(super) fn run(&self, program: &Program) -> Result<Output, String> {
        let mut command = match self.runner {
            [] => Command::new(&program.path),
            [runner, rest @ ..] => {
                let mut command = Command::new(runner);
                command.args(rest).arg(&program.path);
                command
            }
        };
        command.args(&program.argument).output().map_err(|e| format!("{}: {e}", program.path.display()))
    }
}

/// Whether a program can be started.
fn starts(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
