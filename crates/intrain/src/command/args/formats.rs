//! The commands about formats of floats and blocks.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct QuantizeArgs {
    /// Array of floats in NumPy's format, of integers too for fixed point; for small floats and blocks also NPZ and
    /// safetensors with one array, and float64 only where binary32 holds each number
    #[arg(value_name = "IN.npy")]
    pub(crate) input: PathBuf,
    /// Format: fixed<IL,FL> (or QIL.FL), unit<k>, int<k>, each with or without @shift; or a float, mxfp8,
    /// mxfp6, mxfp4, mxint8, nvfp4, bfp<W>, mx<ELEMENT,SIZE>, qtorch<E,M>, qtorch-block<W>
    #[arg(long = "as", value_name = "FORMAT")]
    pub(crate) format: String,
    /// Rounding: nearest-even, nearest-down, nearest-away, floor, toward-zero, stochastic<BITS>,
    /// stochastic-magnitude<BITS>; of floats and blocks see below
    #[arg(long, value_name = "R", default_value = "nearest-even")]
    pub(crate) round: String,
    /// What happens outside of the range: saturate, wrap or clip<N>, with N the largest payload; of a float sat-finite
    /// (as saturate), sat-propagate or sat-none
    #[arg(long, value_name = "O", default_value = "saturate")]
    pub(crate) overflow: String,
    /// Seed of the random bits of a stochastic rounding
    #[arg(long, value_name = "S", default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Write the values, in the shape and type of the input (float64 for integers, float32 for floats and blocks); a
    /// name that ends in .npz or .safetensors gets codes and scales instead
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Write the payloads, in the shape of the input, as int32 (int64 for formats of more than 32 bits); codes of floats and
    /// blocks as unsigned integers
    #[arg(long, value_name = "INTS.npy")]
    pub(crate) payload: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) blocks: BlockArgs,
    /// Write the codes of the scales as uint8
    #[arg(long, value_name = "SCALES.npy")]
    pub(crate) scales: Option<PathBuf>,
    /// What is done about NaN: refuse, propagate (the format's NaN, the block's where a profile says so; the largest value
    /// in a format without NaN) or max (as the array's largest number)
    #[arg(long, value_name = "N", value_parser = ["refuse", "propagate", "max"])]
    pub(crate) nan: Option<String>,
    /// How codes of 4 and 6 bits lie in --out: low-first, high-first, or none (a byte each)
    #[arg(long, value_name = "ORDER", value_parser = ["low-first", "high-first", "none"])]
    pub(crate) pack: Option<String>,
}

/// Where the scales of blocks come from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct BlockArgs {
    /// Rule of the scales of blocks: floor, ceil, even, rceil, div-floor, div-nearest, div-log2round; of NVFP4 te,
    /// te-divfirst, torchao-1level, torchao-2level, 4over6-{mae,mse}-{256,448}[-dec]
    #[arg(long, value_name = "RULE")]
    pub(crate) scale_rule: Option<String>,
    /// Axis along which blocks run [default: -1, the last]
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub(crate) axis: Option<i64>,
    /// What shares a scale: a number of elements, a square tile such as 16x16, row, or tensor
    #[arg(long, value_name = "T")]
    pub(crate) tile: Option<String>,
    /// A library's choices: ocp, torchao@0.18, torchao@main, te, quark, p3109
    #[arg(long, value_name = "P")]
    pub(crate) profile: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FormatsArgs {
    /// Format of a float or a block; all without
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// All codes, of formats of more than 8 bits too
    #[arg(long, requires = "name")]
    pub(crate) codes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RequantizeArgs {
    /// Quantized array, NPZ or safetensors
    #[arg(value_name = "Q")]
    pub(crate) input: PathBuf,
    /// Format to quantize to [default: its own]
    #[arg(long = "as", value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Format that the file has, where it does not say it
    #[arg(long, value_name = "FORMAT")]
    pub(crate) of: Option<String>,
    #[command(flatten)]
    pub(crate) blocks: BlockArgs,
    /// Exit with 1 where a code or a scale changes
    #[arg(long)]
    pub(crate) check: bool,
    /// Write the new array, as NPZ or safetensors
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Quantized array: NPZ, safetensors, or NPY of codes, scales or values
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    /// The numbers that both came from
    #[arg(long, value_name = "X.npy")]
    pub(crate) from: Option<PathBuf>,
    /// NPY files hold scales, not codes
    #[arg(long)]
    pub(crate) scales: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GemmArgs {
    /// Quantized matrix [m, k], NPZ or safetensors
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// Quantized matrix [n, k], or [k, n] with blocks along its first axis
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    /// How sums are made: exact, f32, truncated<F,BLOCK> or truncated<F,BLOCK,GROUP>
    #[arg(long, value_name = "HOW", default_value = "exact")]
    pub(crate) accumulate: String,
    /// Write the result as float32, shape [m, n]
    #[arg(long, value_name = "Y.npy")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VectorsArgs {
    #[command(subcommand)]
    pub(crate) action: VectorsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VectorsCommand {
    /// Write blocks that tell rules of scales and roundings apart, with every rule's answer
    #[command(after_help = "Examples:
  intrain vectors export --as mxfp8 --format csv --out mxfp8.csv
  intrain vectors export --as nvfp4 --format json
  intrain vectors export --as e4m3 --round nearest-even --round 'sr-c<8>' --format c --out e4m3.h

A block has its maximum at a threshold of a rule or one step of binary32 beside it, ties, -0, NaN,
infinities, subnormal numbers, or nothing but zeros. Equal formats give equal bytes.")]
    Export(VectorsExportArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VectorsExportArgs {
    /// Format; every rule of its scales answers
    #[arg(long = "as", value_name = "FORMAT")]
    pub(crate) coding: String,
    /// Rounding of the elements, or several [default: nearest-even]
    #[arg(long, value_name = "R")]
    pub(crate) round: Vec<String>,
    /// How they are written: csv, toml, json, c or memh
    #[arg(long, value_name = "F", default_value = "csv")]
    pub(crate) format: String,
    /// File [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) blocks: BlockArgs,
}
