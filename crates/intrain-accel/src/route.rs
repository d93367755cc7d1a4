//! The frequency that a machine reaches on an ECP5, as nextpnr places and routes it: no open tool does that for 7-series parts.
//!
//! Beside [`crate::area`]. The machine has far more ports than a part has pins, so all of them hang on two shift registers
//! (`ecp5_harness.sv`, generated): their cells are in the counts, and no path through a pin is in the frequency.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::area::{AreaError, run_yosys};
use crate::machine::Machine;
use crate::rtl::{self, PORTS};

/// An ECP5 part, and what limits an array on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Name, without package and speed.
    pub name: &'static str,
    /// nextpnr's flag.
    flag: &'static str,
    /// MULT18X18D.
    pub multipliers: usize,
    /// DP16KD, of 18 Kbit.
    pub bram18: usize,
}

/// The parts, by size (Lattice FPGA-DS-02012; the numbers are those of nextpnr's report).
pub const PARTS: [Part; 3] = [
    Part { name: "LFE5U-25F", flag: "--25k", multipliers: 28, bram18: 56 },
    Part { name: "LFE5U-45F", flag: "--45k", multipliers: 72, bram18: 108 },
    Part { name: "LFE5U-85F", flag: "--85k", multipliers: 156, bram18: 208 },
];

/// Seeds of the placements: one alone is off by several percent.
pub const SEEDS: [u64; 3] = [1, 2, 3];

/// What place and route came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// On which part.
    pub part: Part,
    /// MHz of the slowest path, for each of [`SEEDS`], from the least.
    pub megahertz: Vec<f64>,
    /// MULT18X18D.
    pub multipliers: u64,
    /// Look-up tables, those of carry chains and distributed memories included.
    pub lut: u64,
    /// Flip-flops.
    pub ff: u64,
    /// DP16KD.
    pub bram18: u64,
}

impl Routed {
    /// The median of the placements.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.megahertz[self.megahertz.len() / 2]
    }
}

/// nextpnr's report.
#[derive(Deserialize)]
struct Report {
    fmax: BTreeMap<String, Fmax>,
    utilization: BTreeMap<String, Used>,
}

#[derive(Deserialize)]
struct Fmax {
    achieved: f64,
}

#[derive(Deserialize)]
struct Used {
    used: u64,
}

/// Synthesizes `machine` in `folder` for the smallest part that holds it, and places and routes it with each of [`SEEDS`];
/// minutes for each.
///
/// # Errors
/// The machine cannot be written, no part holds it, or a program is missing or fails.
pub fn route(machine: &Machine, yosys: &str, nextpnr: &str, folder: &Path) -> Result<Routed, AreaError> {
    let part = part(machine)?;
    rtl::generate(machine, folder)?;
    let failed = |program: &str, output: String| AreaError::Failed {
        program: program.to_owned(),
        folder: folder.to_owned(),
        output,
    };
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).map_err(|error| failed("writing", format!("{name}: {error}")))
    };
    write("ecp5_harness.sv", harness())?;
    let script = format!(
        "read_verilog -sv {} ecp5_harness.sv\nhierarchy -check -top ecp5_harness\nsynth_ecp5 -top ecp5_harness -json ecp5.json\n",
        rtl::file_names().join(" ")
    );
    write("ecp5.ys", script)?;
    run_yosys(yosys, "ecp5.ys", folder)?;

    let mut reports = Vec::new();
    for seed in SEEDS {
        let file = format!("ecp5-{seed}.json");
        // A clock that no path can meet: the tool then works on all of them, and its exit code says nothing.
        let output = Command::new(nextpnr)
            .current_dir(folder)
            .args([
                part.flag,
                "--package",
                "CABGA381",
                "--speed",
                "6",
                "--lpf-allow-unconstrained",
                "--quiet",
            ])
            .args(["--freq", "166", "--timing-allow-fail", "--json", "ecp5.json", "--report", &file])
            .args(["--seed", &seed.to_string()])
            .output()
            .map_err(|cause| AreaError::NoNextpnr { program: nextpnr.to_owned(), cause })?;
        if !output.status.success() {
            return Err(failed(nextpnr, crate::area::end_of(&output.stderr)));
        }
        let text = std::fs::read_to_string(folder.join(&file));
        let report = text.map_err(|error| error.to_string()).and_then(|text| read(&text));
        reports.push(report.map_err(|error| failed(nextpnr, format!("{file}: {error}")))?);
    }
    let used = |cell: &str| reports[0].utilization.get(cell).map_or(0, |cell| cell.used);
    let clock =
        |report: &Report| report.fmax.values().map(|clock| clock.achieved).fold(f64::INFINITY, f64::min);
    let mut megahertz: Vec<f64> = reports.iter().map(clock).collect();
    megahertz.sort_by(f64::total_cmp);
    Ok(Routed {
        part,
        megahertz,
        multipliers: used("MULT18X18D"),
        lut: used("TRELLIS_COMB"),
        ff: used("TRELLIS_FF"),
        bram18: used("DP16KD"),
    })
}

fn read(text: &str) -> Result<Report, String> {
    let report: Report = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if report.fmax.is_empty() { Err("no clock in it".to_owned()) } else { Ok(report) }
}

/// The smallest part with enough multipliers; memories are left to the tool, which says how many there are.
///
/// # Errors
/// No part has as many.
pub fn part(machine: &Machine) -> Result<Part, AreaError> {
    let needed = machine.n * machine.n;
    let largest = PARTS[PARTS.len() - 1];
    PARTS.into_iter().find(|part| part.multipliers >= needed).ok_or_else(|| AreaError::NoPart {
        n: machine.n,
        needed,
        part: largest.name,
        limit: largest.multipliers,
        largest: largest.multipliers.isqrt(),
    })
}

/// The top on two shift registers: one that feeds all inputs, one that all outputs are loaded into.
fn harness() -> String {
    let ports = || {
        PORTS
            .iter()
            .flat_map(|(_, ports)| ports.iter())
            .filter(|(_, _, name)| *name != "clk_i" && *name != "rst_ni")
    };
    let of = |direction: &str| -> Vec<(String, &str)> {
        let these = ports().filter(|port| port.0 == direction);
        these
            .map(|(_, width, name)| {
                (if width.is_empty() { "1".to_owned() } else { rtl::scoped(width) }, *name)
            })
            .collect()
    };
    let joined = |list: &[(String, &str)]| list.iter().map(|port| port.1).collect::<Vec<_>>().join(", ");
    let sum =
        |list: &[(String, &str)]| list.iter().map(|port| port.0.clone()).collect::<Vec<_>>().join(" + ");
    let (inputs, outputs) = (of("input"), of("output"));
    let wires: String = inputs
        .iter()
        .chain(&outputs)
        .map(|(width, name)| format!("  logic [{width}-1:0] {name};\n"))
        .collect();
    let pins: String = ports().map(|(_, _, name)| format!(", .{name}")).collect();
    format!(
        "// All ports of the accelerator on two shift registers, so that it fits a part's pins.
module ecp5_harness (
  input  logic clk_i,
  input  logic rst_i,
  input  logic scan_i,
  input  logic load_i,
  output logic scan_o
);
  localparam int Inputs  = {};
  localparam int Outputs = {};
{wires}  logic rst_q, rst_ni;
  logic [Inputs-1:0] inputs_q;
  logic [Outputs-1:0] outputs_q;
  assign {{{}}} = inputs_q;
  always_ff @(posedge clk_i) begin
    rst_q     <= rst_i;
    rst_ni    <= rst_q;
    inputs_q  <= {{inputs_q[Inputs-2:0], scan_i}};
    outputs_q <= load_i ? {{{}}} : {{1'b0, outputs_q[Outputs-1:1]}};
  end
  assign scan_o = outputs_q[0];
  {} u_accel (.clk_i, .rst_ni{pins});
endmodule
",
        sum(&inputs),
        sum(&outputs),
        joined(&inputs),
        joined(&outputs),
        rtl::TOP
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_part_that_holds_the_array() {
        let on = |n| part(&Machine { n, ..Machine::default() });
        assert_eq!(on(4).unwrap().name, "LFE5U-25F");
        assert_eq!(on(8).unwrap().name, "LFE5U-45F");
        assert_eq!(on(12).unwrap().name, "LFE5U-85F");
        let message = on(13).unwrap_err().to_string();
        assert!(
            message.contains("169") && message.contains("156") && message.contains("n <= 12"),
            "{message}"
        );
    }

    #[test]
    fn every_port_hangs_on_a_register() {
        let text = harness();
        for (_, _, name) in PORTS.iter().flat_map(|(_, ports)| ports.iter()).skip(2) {
            assert!(text.contains(&format!(".{name}")) && text.contains(&format!("-1:0] {name};")), "{name}");
        }
        assert!(text.contains("logic [intrain_accel_pkg::N*intrain_accel_pkg::Word-1:0] data_i;"), "{text}");
    }

    #[test]
    fn reports_are_read() {
        let text = r#"{ "fmax": { "clk": { "achieved": 110.5, "constraint": 166 } },
                        "utilization": { "DP16KD": { "available": 56, "used": 40 } }, "critical_paths": [] }"#;
        let report = read(text).unwrap();
        assert!(
            (report.fmax["clk"].achieved - 110.5).abs() < 1e-9 && report.utilization["DP16KD"].used == 40
        );
        assert!(read(r#"{ "fmax": {}, "utilization": {} }"#).is_err() && read("").is_err());
    }
}
