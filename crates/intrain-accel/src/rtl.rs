//! The hardware: the hand-written units of `rtl/`, a package with the machine's numbers, and a thin top.
//!
//! Behind the checked machine. Only numbers and wiring are generated, never arithmetic: `intrain_accel_pkg.sv`,
//! `intrain_accel.sv`, and `intrain_accel.h` with the same constants for C. Invariant: a folder has all files of one machine,
//! or nothing new.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::machine::{FORMATS_MAX, Machine, MachineError, Overflow, RoundUnit, Rounding};

/// The module to instantiate.
pub const TOP: &str = "intrain_accel";
/// The hand-written units, by file, each with the name of its module.
pub const UNITS: [(&str, &str); 19] = [
    ("pe.sv", include_str!("../rtl/pe.sv")),
    ("systolic_array.sv", include_str!("../rtl/systolic_array.sv")),
    ("skew.sv", include_str!("../rtl/skew.sv")),
    ("lfsr.sv", include_str!("../rtl/lfsr.sv")),
    ("round_addend.sv", include_str!("../rtl/round_addend.sv")),
    ("round_narrow.sv", include_str!("../rtl/round_narrow.sv")),
    ("sr_round.sv", include_str!("../rtl/sr_round.sv")),
    ("dsp_add.sv", include_str!("../rtl/dsp_add.sv")),
    ("sr_round_dsp.sv", include_str!("../rtl/sr_round_dsp.sv")),
    ("output_fifo.sv", include_str!("../rtl/output_fifo.sv")),
    ("operand_buffer.sv", include_str!("../rtl/operand_buffer.sv")),
    ("pass_walker.sv", include_str!("../rtl/pass_walker.sv")),
    ("step_counter.sv", include_str!("../rtl/step_counter.sv")),
    ("load_sequence.sv", include_str!("../rtl/load_sequence.sv")),
    ("loader.sv", include_str!("../rtl/loader.sv")),
    ("tile_control.sv", include_str!("../rtl/tile_control.sv")),
    ("writer.sv", include_str!("../rtl/writer.sv")),
    ("counters.sv", include_str!("../rtl/counters.sv")),
    ("accel.sv", include_str!("../rtl/accel.sv")),
];
/// Units that round to small floats. No machine has them; they are there to be instantiated.
pub const FLOAT_UNITS: [(&str, &str); 2] = [
    ("float_round.sv", include_str!("../rtl/float_round.sv")),
    ("float_sr_round.sv", include_str!("../rtl/float_sr_round.sv")),
];
/// The package, which tools read first.
pub const PACKAGE: &str = "intrain_accel_pkg.sv";
/// The thin top.
pub const TOP_FILE: &str = "intrain_accel.sv";
/// The constants for C.
pub const HEADER: &str = "intrain_accel.h";
/// The list of all SystemVerilog files, in the order of reading.
pub const FILE_LIST: &str = "intrain_accel.f";
/// The test bench for Verilator.
pub const TEST_BENCH: &str = "accel_tb.cpp";
/// Its text.
const TEST_BENCH_TEXT: &str = include_str!("../rtl/tb/accel_tb.cpp");

/// Why no hardware was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RtlError {
    /// The machine cannot be built.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The system refuses a file or a folder.
    #[error("{}: cannot {action}: {cause}; nothing was left there", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

/// Every file of a machine's hardware: name and text. Pure: the same machine gives the same texts.
///
/// # Errors
/// The machine cannot be built.
pub fn files(machine: &Machine) -> Result<Vec<(&'static str, String)>, MachineError> {
    machine.check()?;
    let constants = constants(machine);
    let mut files = vec![
        (PACKAGE, package(machine, &constants)),
        (TOP_FILE, top()),
        (HEADER, header(machine, &constants)),
        (TEST_BENCH, TEST_BENCH_TEXT.to_owned()),
    ];
    files.extend(UNITS.map(|(name, text)| (name, text.to_owned())));
    files.push((FILE_LIST, file_names().iter().map(|name| format!("{name}\n")).collect()));
    Ok(files)
}

/// Whether a folder holds the hardware of `machine`, byte for byte.
///
/// # Errors
/// The machine cannot be built.
pub fn is_written(machine: &Machine, folder: &Path) -> Result<bool, MachineError> {
    let holds = |(name, text): &(&str, String)| {
        fs::read(folder.join(name)).is_ok_and(|found| found == text.as_bytes())
    };
    Ok(files(machine)?.iter().all(holds))
}

/// The SystemVerilog files in the order of reading.
pub(crate) fn file_names() -> Vec<&'static str> {
    [PACKAGE].into_iter().chain(UNITS.map(|(name, _)| name)).chain([TOP_FILE]).collect()
}

/// Writes the hardware of `machine` into `out_dir`, which is made if it is not there, and gives the files' paths.
///
/// All files are written beside their places first and take their names only when the last one is on disk; other files
/// in the folder are left alone.
///
/// # Errors
/// The machine cannot be built (checked before anything is written), or the system refuses a step. Then what was staged is
/// removed, and the folders that this call has made; older files are as they were, unless the system refused a renaming.
pub fn generate(machine: &Machine, out_dir: &Path) -> Result<Vec<PathBuf>, RtlError> {
    let files = files(machine)?;
    let missing: Vec<&Path> = out_dir.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(out_dir).map_err(io_error(out_dir, "make the folder"))?;
    let staged: Vec<(PathBuf, PathBuf)> = files
        .iter()
        .map(|(name, _)| (out_dir.join(format!(".{name}.{}", std::process::id())), out_dir.join(name)))
        .collect();
    let result = write_all(&files, &staged);
    if result.is_err() {
        for (temporary, path) in &staged {
            let _ = fs::remove_file(temporary);
            if !missing.is_empty() {
                let _ = fs::remove_file(path);
            }
        }
        for folder in missing {
            // Only an empty folder goes.
            let _ = fs::remove_dir(folder);
        }
    }
    result.map(|()| staged.into_iter().map(|(_, path)| path).collect())
}

fn write_all(files: &[(&str, String)], staged: &[(PathBuf, PathBuf)]) -> Result<(), RtlError> {
    for ((_, text), (temporary, path)) in files.iter().zip(staged) {
        if path.is_dir() {
            let cause = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(RtlError::Io { path: path.clone(), action: "replace a folder by a file", cause });
        }
        fs::write(temporary, text).map_err(io_error(temporary, "write"))?;
    }
    for (temporary, path) in staged {
        fs::rename(temporary, path).map_err(io_error(path, "put the new file in its place"))?;
    }
    Ok(())
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> RtlError {
    let path = path.to_owned();
    move |cause| RtlError::Io { path, action, cause }
}

/// A number of the package: its name, its type and value in SystemVerilog, its value in C, and what it is.
struct Constant {
    name: &'static str,
    sv_type: &'static str,
    sv_value: String,
    c_value: String,
    meaning: &'static str,
}

fn constants(machine: &Machine) -> Vec<Constant> {
    let int = |name, value: usize, meaning| Constant {
        name,
        sv_type: "int",
        sv_value: value.to_string(),
        c_value: value.to_string(),
        meaning,
    };
    let bits = |value: u32| value as usize;
    let drops = machine.drop.iter().rev().fold(0, |all, drop| all << 6 | drop);
    let hex = |name, width: usize, value: u32, meaning| Constant {
        name,
        sv_type: if width == 32 { "logic [31:0]" } else { "logic [23:0]" },
        sv_value: format!("{width}'h{value:0digits$x}", digits = width / 4),
        c_value: format!("0x{value:0digits$x}u", digits = width / 4),
        meaning,
    };
    vec![
        int("N", machine.n, "rows and columns of the array"),
        int("Word", bits(machine.word), "bits of an operand"),
        int("Acc", bits(machine.accumulator), "bits of an accumulator"),
        int(
            "Saturate",
            usize::from(machine.overflow == Overflow::Saturate),
            "1: accumulators saturate, 0: they wrap",
        ),
        int("Panel", machine.panel, "row tiles of A that stay while B streams"),
        int("Depth", machine.depth, "steps of k in a slot"),
        int("OutputTiles", machine.output_tiles(), "tiles that the output FIFOs have room for"),
        int("LfsrBits", bits(machine.lfsr.bits), "bits of a column's LFSR"),
        hex("Taps", 32, machine.lfsr.taps, "its taps"),
        int("RandomBits", bits(machine.random_bits.unwrap_or(32)), "most random bits compared"),
        int("Formats", machine.drop.len(), "formats; as a format: whole accumulators"),
        hex("Drops", 24, drops, "bits that format f drops, at 6 * f"),
        int(
            "Nearest",
            usize::from(machine.rounding == Rounding::Nearest),
            "1: rounds to nearest, 0: stochastically",
        ),
        int(
            "DspRound",
            usize::from(machine.round_unit == RoundUnit::Dsp),
            "1: rounds in a DSP48E1, 0: in fabric",
        ),
        int("Out", bits(machine.out_bits()), "bits of a result in a write beat"),
        int("CountBits", 24, "bits of tile counts and of k"),
        int("AddrBits", 32, "bits of an address, in beats"),
        int("StatWidth", 48, "bits of a counter"),
    ]
}

/// The machine as comments: what the files were made from.
fn origin(machine: &Machine, comment: &str) -> String {
    // A checked machine always has a text.
    let text = toml::to_string(machine).unwrap_or_default();
    let lines = text.lines().map(|line| format!("{comment}   {line}").trim_end().to_owned() + "\n");
    format!("{comment} Made by intrain from this machine; change that, not this file.\n{comment}\n")
        + &lines.collect::<String>()
}

fn package(machine: &Machine, constants: &[Constant]) -> String {
    let mut text = format!("// The numbers of one accelerator.\n//\n{}", origin(machine, "//"));
    text += "package intrain_accel_pkg;\n";
    for Constant { name, sv_type, sv_value, meaning, .. } in constants {
        let _ = writeln!(text, "  localparam {sv_type:<12} {name:<11} = {sv_value};  // {meaning}");
    }
    text + "endpackage\n"
}

fn header(machine: &Machine, constants: &[Constant]) -> String {
    let mut text =
        format!("// The numbers of one accelerator, as in {PACKAGE}.\n//\n{}", origin(machine, "//"));
    text += "#ifndef INTRAIN_ACCEL_H\n#define INTRAIN_ACCEL_H\n\n";
    for Constant { name, c_value, meaning, .. } in constants {
        let _ = writeln!(text, "#define INTRAIN_ACCEL_{:<13} {c_value}  // {meaning}", screaming(name));
    }
    let drops = machine.drop.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\n// Bits that each format drops, at most {FORMATS_MAX} of them.");
    let _ = writeln!(text, "#define INTRAIN_ACCEL_DROP_LIST {{{drops}}}");
    text + "\n#endif\n"
}

/// `LfsrBits` as C writes constants: `LFSR_BITS`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

/// Direction, width (empty: one bit) and name of a port.
pub(crate) type Port = (&'static str, &'static str, &'static str);

/// Ports of the accelerator, in groups as in `accel.sv`.
pub(crate) const PORTS: [(&str, &[Port]); 6] = [
    ("", &[("input", "", "clk_i"), ("input", "", "rst_ni")]),
    ("Seeds, the last column's first", &[("input", "", "seed_valid_i"), ("input", "LfsrBits", "seed_i")]),
    (
        "Command",
        &[
            ("input", "", "cmd_valid_i"),
            ("output", "", "cmd_ready_o"),
            ("input", "CountBits", "cmd_row_tiles_i"),
            ("input", "CountBits", "cmd_column_tiles_i"),
            ("input", "CountBits", "cmd_steps_i"),
            ("input", "3", "cmd_format_i"),
            ("input", "AddrBits", "cmd_a_base_i"),
            ("input", "AddrBits", "cmd_b_base_i"),
            ("input", "AddrBits", "cmd_c_base_i"),
        ],
    ),
    (
        "Reads",
        &[
            ("output", "", "read_valid_o"),
            ("input", "", "read_ready_i"),
            ("output", "AddrBits", "read_addr_o"),
            ("input", "", "data_valid_i"),
            ("input", "N*Word", "data_i"),
        ],
    ),
    (
        "Writes",
        &[
            ("output", "", "write_valid_o"),
            ("input", "", "write_ready_i"),
            ("output", "AddrBits", "write_addr_o"),
            ("output", "N*Out", "write_data_o"),
        ],
    ),
    (
        "Counts of the last command",
        &[
            ("output", "StatWidth", "stat_cycles_o"),
            ("output", "StatWidth", "stat_array_o"),
            ("output", "StatWidth", "stat_steps_o"),
            ("output", "StatWidth", "stat_wait_load_o"),
            ("output", "StatWidth", "stat_wait_drain_o"),
            ("output", "StatWidth", "stat_wait_output_o"),
            ("output", "StatWidth", "stat_a_beats_o"),
            ("output", "StatWidth", "stat_b_beats_o"),
            ("output", "StatWidth", "stat_c_beats_o"),
        ],
    ),
];

/// Parameters of `accel.sv`, which the package has by the same names.
const PARAMETERS: [&str; 18] = [
    "N",
    "Word",
    "Acc",
    "Saturate",
    "Panel",
    "Depth",
    "OutputTiles",
    "LfsrBits",
    "Taps",
    "RandomBits",
    "Formats",
    "Drops",
    "Nearest",
    "DspRound",
    "Out",
    "CountBits",
    "AddrBits",
    "StatWidth",
];

fn top() -> String {
    let mut text = format!(
        "// The accelerator of {PACKAGE}: accel.sv with its numbers. Ports as there.\nmodule {TOP} (\n"
    );
    let n_ports: usize = PORTS.iter().map(|(_, ports)| ports.len()).sum();
    let mut written = 0;
    for (group, ports) in PORTS {
        if !group.is_empty() {
            let _ = writeln!(text, "  // {group}");
        }
        for (direction, width, name) in ports {
            written += 1;
            let comma = if written < n_ports { "," } else { "" };
            let _ = writeln!(text, "  {direction:<6} logic {}{name}{comma}", range(width));
        }
    }
    text += ");\n  accel #(\n";
    let parameters = PARAMETERS.map(|name| format!("    .{name:<11} (intrain_accel_pkg::{name})"));
    text += &parameters.join(",\n");
    text += "\n  ) u_accel (\n";
    let names = PORTS.iter().flat_map(|(_, ports)| ports.iter().map(|(_, _, name)| format!("    .{name}")));
    text += &names.collect::<Vec<_>>().join(",\n");
    text + "\n  );\nendmodule\n"
}

/// `[pkg::N*pkg::Word-1:0] ` for `N*Word`.
fn range(width: &str) -> String {
    if width.is_empty() { String::new() } else { format!("[{}-1:0] ", scoped(width)) }
}

/// `pkg::N*pkg::Word` for `N*Word`.
pub(crate) fn scoped(width: &str) -> String {
    let scoped = |name: &str| {
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.to_owned()
        } else {
            format!("intrain_accel_pkg::{name}")
        }
    };
    width.split('*').map(scoped).collect::<Vec<_>>().join("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_machines() {
        let machine = Machine { n: 4, random_bits: Some(9), drop: vec![14, 8, 3], ..Machine::default() };
        let files = files(&machine).unwrap();
        let text = |name| &files.iter().find(|(file, _)| *file == name).unwrap().1;
        for line in ["N           = 4;", "RandomBits  = 9;", "Formats     = 3;", "Drops       = 24'h00320e;"]
        {
            assert!(text(PACKAGE).contains(line), "{line}: {}", text(PACKAGE));
        }
        for line in
            ["INTRAIN_ACCEL_N             4 ", "INTRAIN_ACCEL_RANDOM_BITS   9 ", "DROP_LIST {14, 8, 3}"]
        {
            assert!(text(HEADER).contains(line), "{line}: {}", text(HEADER));
        }
        assert!(text(TOP_FILE).contains("[intrain_accel_pkg::N*intrain_accel_pkg::Word-1:0] data_i"));
        assert!(text(PACKAGE).contains("//   n = 4\n"));
        assert!(text(FILE_LIST).starts_with("intrain_accel_pkg.sv\npe.sv\n"));
        assert_eq!(constants(&machine).iter().map(|c| c.name).collect::<Vec<_>>(), PARAMETERS);
    }

    #[test]
    fn the_top_has_the_ports_and_parameters_of_the_accelerator() {
        let accel = UNITS.iter().find(|(name, _)| *name == "accel.sv").unwrap().1;
        let head = &accel[accel.find("module accel").unwrap()..accel.find(");\n").unwrap()];
        for (direction, _, name) in PORTS.iter().flat_map(|(_, ports)| ports.iter()) {
            let line = head.lines().find(|line| line.split([' ', ',']).any(|word| word == *name));
            assert!(line.is_some_and(|line| line.trim().starts_with(direction)), "{name}: {line:?}");
        }
        let declared = |word: &str| head.lines().filter(|line| line.trim().starts_with(word)).count();
        assert_eq!(declared("input") + declared("output"), PORTS.iter().map(|(_, p)| p.len()).sum::<usize>());
        assert_eq!(declared("parameter"), PARAMETERS.len());
    }

    #[test]
    fn all_files_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let refused = generate(&Machine { n: 0, ..Machine::default() }, &out);
        assert!(matches!(refused, Err(RtlError::Machine(_))) && !out.exists());

        let paths = generate(&Machine::default(), &out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), paths.len());

        // A folder where a file should go: the files that were there stay as they were.
        fs::write(out.join("mine.txt"), "mine").unwrap();
        fs::remove_file(out.join(FILE_LIST)).unwrap();
        fs::create_dir(out.join(FILE_LIST)).unwrap();
        let error = generate(&Machine { n: 3, ..Machine::default() }, &out).unwrap_err().to_string();
        assert!(error.contains(FILE_LIST) && error.contains("replace a folder"), "{error}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), paths.len() + 1);
        assert!(fs::read_to_string(out.join(PACKAGE)).unwrap().contains("N           = 28;"));

        // A file where the folder should be.
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(generate(&Machine::default(), &file), Err(RtlError::Io { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
    }
}
