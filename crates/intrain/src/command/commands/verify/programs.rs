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
    /// A board without an operating system.
    board: Option<&'static Board>,
}

/// What a program needs in place of an operating system.
struct Board {
    flags: &'static [&'static str],
    /// Names and texts of files beside the network's: sources of C, and a linker's script.
    files: &'static [(&'static str, &'static str)],
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
const fn board(qemu: &'static str, machine: &'static str) -> [&'static str; 15] {
    [
        qemu,
        "-M",
        machine,
        "-bios",
        "none",
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

const CORTEX_M: Board = Board {
    flags: &["--specs=rdimon.specs", "-nostartfiles"],
    files: &[
        ("startup.c", include_str!("cortex_m/startup.c")),
        ("link.ld", include_str!("cortex_m/link.ld")),
    ],
};

/// QEMU's `virt` has its memory at 0x80000000.
const RISC_V: Board = Board {
    flags: &[
        "--specs=picolibc.specs",
        "--crt0=hosted",
        "--oslib=semihost",
        "-Wl,--defsym=__flash=0x80000000,--defsym=__flash_size=0x2000000",
        "-Wl,--defsym=__ram=0x82000000,--defsym=__ram_size=0x2000000",
    ],
    files: &[("count.c", include_str!("riscv/count.c"))],
};

const BOARD_M3: &[&str] = &board("qemu-system-arm", "mps2-an385");
const BOARD_M4: &[&str] = &board("qemu-system-arm", "mps2-an386");
const BOARD_M7: &[&str] = &board("qemu-system-arm", "mps2-an500");
const BOARD_RV32: &[&str] = &board("qemu-system-riscv32", "virt");

pub(super) const TARGETS: [Target; 12] = [
    Target { name: "gcc -O0", compiler: "gcc", flags: &["-O0"], runner: &[], packages: "gcc", board: None },
    Target { name: "gcc -O3", compiler: "gcc", flags: &["-O3"], runner: &[], packages: "gcc", board: None },
    Target {
        name: "gcc, UBSan and ASan",
        compiler: "gcc",
        flags: CHECKED,
        runner: &[],
        packages: "gcc",
        board: None,
    },
    Target {
        name: "clang -O2",
        compiler: "clang",
        flags: &["-O2"],
        runner: &[],
        packages: "clang",
        board: None,
    },
    Target {
        name: "aarch64",
        compiler: "aarch64-linux-gnu-gcc",
        flags: &["-O2", "-static"],
        runner: &["qemu-aarch64"],
        packages: "gcc-aarch64-linux-gnu qemu-user",
        board: None,
    },
    Target {
        name: "s390x, big endian",
        compiler: "s390x-linux-gnu-gcc",
        flags: &["-O2", "-static"],
        runner: &["qemu-s390x"],
        packages: "gcc-s390x-linux-gnu qemu-user",
        board: None,
    },
    Target {
        name: "riscv64",
        compiler: "riscv64-linux-gnu-gcc",
        flags: &["-O2", "-static"],
        runner: &["qemu-riscv64"],
        packages: "gcc-riscv64-linux-gnu qemu-user",
        board: None,
    },
    Target {
        name: "Cortex-M3",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m3", "-mthumb"],
        runner: BOARD_M3,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        board: Some(&CORTEX_M),
    },
    Target {
        name: "Cortex-M4",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m4", "-mthumb"],
        runner: BOARD_M4,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        board: Some(&CORTEX_M),
    },
    Target {
        name: "Cortex-M4, portable loops",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m4", "-mthumb", "-DINTRAIN_PORTABLE"],
        runner: BOARD_M4,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        board: Some(&CORTEX_M),
    },
    Target {
        name: "Cortex-M7",
        compiler: "arm-none-eabi-gcc",
        flags: &["-O2", "-mcpu=cortex-m7", "-mthumb"],
        runner: BOARD_M7,
        packages: "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        board: Some(&CORTEX_M),
    },
    Target {
        name: "riscv32, rv32imac",
        compiler: "riscv64-unknown-elf-gcc",
        flags: &["-O2", "-march=rv32imac", "-mabi=ilp32"],
        runner: BOARD_RV32,
        packages: "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc",
        board: Some(&RISC_V),
    },
];

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
        if let Some(board) = self.board {
            for (name, text) in board.files {
                let file = scratch.join(name);
                fs::write(&file, text).map_err(|e| e.to_string())?;
                if name.ends_with(".ld") {
                    command.arg("-T");
                }
                command.arg(file);
            }
            command.args(board.flags).arg(format!("-Wl,--wrap={prefix}_run"));
            command.args(["wrap", "real"].map(|word| format!("-D__{word}_RUN=__{word}_{prefix}_run")));
            if let Some(images) = images {
                command.arg(format!("-D{macros}_IMAGES=\"{}\"", images.display()));
            }
        }
        let output = command.output().map_err(|e| format!("{}: {e}", self.compiler))?;
        if output.status.success() {
            return Ok(Program {
                path,
                argument: images.filter(|_| self.board.is_none()).map(Path::to_owned),
            });
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
        let output = command.args(&program.argument).output();
        let mut output = output.map_err(|e| format!("{}: {e}", program.path.display()))?;
        if self.board.is_some() {
            // What a board says through its debug channel, QEMU writes to the standard error output.
            output.stdout.append(&mut output.stderr);
        }
        Ok(output)
    }
}

/// Whether a program can be started.
fn starts(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
