//! Co-simulation: the generated hardware in Verilator against the values and the cycles, both without any tolerance.
//!
//! The end of the path. [`Cosim::build`] compiles a machine once, [`Cosim::compare`] runs products on it. Verilator 5.006 or
//! later and a C++ compiler are needed; without them the error says so, and nothing else here does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cycles::{Cycles, CyclesError, Memory, cycles};
use crate::machine::{Machine, MachineError};
use crate::rtl::{self, RtlError};
use crate::vectors::{self, Job, Outcome, VectorError};
use crate::{Array, ArrayError};

/// Largest array whose nodes are compiled inline: above, building takes too long for what it gains.
const INLINE_MAX: usize = 12;

/// What to install.
const VERILATOR: &str = "verilator";

/// Why there is no co-simulation, or what it found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CosimError {
    /// No Verilator.
    #[error(
        "verilator cannot be run ({cause}); install Verilator 5.006 or later (Debian: apt install verilator)"
    )]
    NoVerilator {
        /// What the system said.
        cause: io::Error,
    },
    /// The hardware could not be written.
    #[error(transparent)]
    Rtl(#[from] RtlError),
    /// The vectors could not be written or read.
    #[error(transparent)]
    Vectors(#[from] VectorError),
    /// The machine cannot be built.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A job has no values.
    #[error(transparent)]
    Values(#[from] ArrayError),
    /// A job has no cycles.
    #[error(transparent)]
    Cycles(#[from] CyclesError),
    /// A program that ended with an error.
    #[error("{program} failed ({status}):\n{output}")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed last.
        output: String,
    },
    /// A folder in which GNU make cannot build.
    #[error("{}: make cannot build in a folder with spaces in its path; choose another", path.display())]
    Space {
        /// The folder, whole.
        path: PathBuf,
    },
    /// A folder that is no place for this.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A result that is not the array's.
    #[error("job {job} ({product}): C[{row}][{column}] is {got} in hardware and {expected} by the contract")]
    Value {
        /// Which job, counted from 0.
        job: usize,
        /// Its edges, `l x k x m`.
        product: String,
        /// Row of C.
        row: usize,
        /// Column of C.
        column: usize,
        /// The hardware's.
        got: i64,
        /// The array's.
        expected: i64,
    },
    /// A counter that is not the model's.
    #[error("job {job} ({product}): the hardware counts\n  {got:?}\nand the model\n  {expected:?}")]
    Count {
        /// Which job, counted from 0.
        job: usize,
        /// Its edges, `l x k x m`.
        product: String,
        /// The hardware's.
        got: Box<Cycles>,
        /// The model's.
        expected: Box<Cycles>,
    },
}

/// A machine, compiled.
#[derive(Debug)]
pub struct Cosim {
    machine: Machine,
    program: PathBuf,
    vectors: PathBuf,
}

/// The version of the Verilator that is found, as it says itself.
///
/// # Errors
/// [`CosimError::NoVerilator`] if there is none.
pub fn verilator_version() -> Result<String, CosimError> {
    let output = verilator(Path::new("."), &["--version".to_owned()])?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes the hardware of `machine` into `folder` and has Verilator look for mistakes, with all warnings on.
///
/// # Errors
/// No Verilator, or a warning.
pub fn lint(machine: &Machine, folder: &Path) -> Result<(), CosimError> {
    rtl::generate(machine, folder)?;
    let arguments =
        ["--lint-only", "-Wall", "--top-module", rtl::TOP, "-f", rtl::FILE_LIST].map(str::to_owned);
    succeeded(VERILATOR, &verilator(folder, &arguments)?)
}

impl Cosim {
    /// Writes the hardware of `machine` into `folder` and compiles it there; seconds to a minute, by size.
    ///
    /// # Errors
    /// No Verilator, no C++ compiler, or a folder that cannot be written or has spaces in its path.
    pub fn build(machine: &Machine, folder: &Path) -> Result<Self, CosimError> {
        verilator_version()?;
        let path =
            std::path::absolute(folder).map_err(|cause| CosimError::Io { path: folder.to_owned(), cause })?;
        if path.to_string_lossy().contains(char::is_whitespace) {
            return Err(CosimError::Space { path });
        }
        rtl::generate(machine, folder)?;
        let vectors = folder.join("vectors");
        fs::create_dir_all(&vectors).map_err(|cause| CosimError::Io { path: vectors.clone(), cause })?;
        // Paths are relative to the folder, and to its folder of objects.
        let mut arguments = [
            "--cc --exe --build -j 1 -O3 --x-assign fast --x-initial unique --Mdir obj -o accel_tb +define+INTRAIN_CHECK",
            "--top-module intrain_accel -CFLAGS -I.. -MAKEFLAGS OPT_FAST=-O2 -MAKEFLAGS OPT_SLOW=-O0",
        ]
        .join(" ")
        .split(' ')
        .map(str::to_owned)
        .collect::<Vec<_>>();
        if machine.n > INLINE_MAX {
            let config = folder.join("large.vlt");
            fs::write(&config, "`verilator_config\nno_inline -module \"pe\"\n")
                .map_err(|cause| CosimError::Io { path: config, cause })?;
            arguments.push("large.vlt".to_owned());
        }
        arguments.extend(["-f", rtl::FILE_LIST, "../accel_tb.cpp"].map(str::to_owned));
        succeeded(VERILATOR, &verilator(folder, &arguments)?)?;
        let program = folder.join("obj").join("accel_tb");
        let program = program.canonicalize().map_err(|cause| CosimError::Io { path: program, cause })?;
        Ok(Self { machine: machine.clone(), program, vectors })
    }

    /// Runs `jobs` back to back on the hardware.
    ///
    /// # Errors
    /// A job that does not fit, or hardware that does not answer.
    pub fn run(&self, jobs: &[Job], memory: &Memory) -> Result<Vec<Outcome>, CosimError> {
        vectors::write(&self.machine, jobs, memory, &self.vectors)?;
        let output = Command::new(&self.program).arg(&self.vectors).output();
        let output = output.map_err(|cause| CosimError::Io { path: self.program.clone(), cause })?;
        succeeded("accel_tb", &output)?;
        Ok(vectors::read(&self.machine, jobs, &self.vectors)?)
    }

    /// Runs `jobs` on the hardware and compares every value and every counter; gives what both agree on.
    ///
    /// # Errors
    /// As [`Self::run`], or the first difference.
    pub fn compare(&self, jobs: &[Job], memory: &Memory) -> Result<Vec<Outcome>, CosimError> {
        let array = Array::new(&self.machine)?;
        let outcomes = self.run(jobs, memory)?;
        for (job, (Job { product, a, b, seeds }, got)) in jobs.iter().zip(&outcomes).enumerate() {
            let name = || format!("{} x {} x {}", product.l, product.k, product.m);
            let c = array.product(product, a, b, seeds)?;
            if let Some(at) = c.iter().zip(&got.c).position(|(expected, got)| expected != got) {
                let (row, column) = (at / product.m, at % product.m);
                let (got, expected) = (got.c[at], c[at]);
                return Err(CosimError::Value { job, product: name(), row, column, got, expected });
            }
            let expected = cycles(&self.machine, product, memory)?;
            if expected != got.cycles {
                let (got, expected) = (Box::new(got.cycles), Box::new(expected));
                return Err(CosimError::Count { job, product: name(), got, expected });
            }
        }
        Ok(outcomes)
    }
}

fn verilator(folder: &Path, arguments: &[String]) -> Result<Output, CosimError> {
    let output = Command::new(VERILATOR).args(arguments).current_dir(folder).output();
    output.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if folder.is_dir() => {
            CosimError::NoVerilator { cause }
        }
        _ => CosimError::Io { path: folder.to_owned(), cause },
    })
}

fn succeeded(program: &str, output: &Output) -> Result<(), CosimError> {
    /// Lines of a compiler's output that a message has room for.
    const LINES: usize = 30;
    if output.status.success() {
        return Ok(());
    }
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let output_end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    Err(CosimError::Failed {
        program: program.to_owned(),
        status: output.status.to_string(),
        output: output_end,
    })
}
