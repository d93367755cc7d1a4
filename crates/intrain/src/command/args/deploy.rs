//! What stands behind `export`, `import` and `verify`.

use std::path::PathBuf;

use clap::Subcommand;

use super::NetworkArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// What to write
    #[arg(long, value_name = "TARGET", value_parser = ["c", "rust", "onnx", "onnx-qdq", "qonnx", "safetensors", "npy", "hex"])]
    pub(crate) to: String,
    /// Folder for it [default: the run's or the file's name, and the target]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Put weights of 2 bits four in a byte, those of 3 and 4 bits two
    #[arg(long)]
    pub(crate) pack: bool,
    /// Make the result of each layer an output of the ONNX model
    #[arg(long)]
    pub(crate) debug: bool,
    /// Put the constants into a source of their own
    #[arg(long)]
    pub(crate) split: bool,
    /// In front of each name that other sources see, and the name of the files
    #[arg(long, value_name = "NAME", default_value = "model")]
    pub(crate) prefix: String,
    /// Test vectors, at most
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) vectors: u32,
    /// Data set whose test images are tried as vectors [default: the one that the network was trained on]
    #[arg(long, value_name = "D")]
    pub(crate) data: Option<String>,
    /// Refuse networks whose tensors need more memory
    #[arg(long, value_name = "BYTES")]
    pub(crate) ram: Option<u64>,
    /// Refuse networks whose constants need more memory
    #[arg(long, value_name = "BYTES")]
    pub(crate) flash: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The network, with its weights in the same file
    #[arg(value_name = "FILE.onnx")]
    pub(crate) file: PathBuf,
    /// Folder for model.toml and model.safetensors
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Name of the network [default: the file's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) scaling: ScalingArgs,
    /// Data set that eval and predict take where none is named [default: the one with such images]
    #[arg(long, value_name = "D")]
    pub(crate) data: Option<String>,
}

/// What an imported network sees of a pixel.
#[derive(Debug, clap::Args)]
pub(crate) struct ScalingArgs {
    /// What a pixel x of 0 to 255 was worth in training: x/255, x/256 or x/127.5-1 [default: x/255]
    #[arg(long, value_name = "ENCODING", conflicts_with_all = ["mean", "std"])]
    pub(crate) pixels: Option<String>,
    /// Mean of x/255 that was subtracted, one number or one for each channel
    #[arg(
        long,
        value_name = "M,...",
        requires = "std",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub(crate) mean: Vec<f64>,
    /// Deviation by which the rest was divided
    #[arg(long, value_name = "S,...", requires = "mean", value_delimiter = ',')]
    pub(crate) std: Vec<f64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(subcommand)]
    pub(crate) what: Option<VerifyCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// The golden suite: every case of the contract, on every kernel that this CPU has (what `verify` alone does)
    Golden,
    /// An exported network: its test vectors, and images, by every compiler that is found here
    #[command(after_help = "Examples:
  intrain verify export runs/digits-wage-1 digits-wage-1-c
  intrain verify export runs/mnist-wage-1 lenet --images 1000

Each result is compared with what the network here answers, logit by logit. At a difference the first
image, layer and element are named, with both values, and the exit code is 1. What is not found on
this machine is \"not checked\".")]
    Export(VerifyExportArgs),
    /// An ONNX file in ONNX Runtime: how many of its logits are not those of the network here
    #[command(after_help = "Examples:
  intrain verify onnx resnet.onnx --data cifar-10 --pixels x/127.5-1
  intrain verify onnx digits-onnx/model.onnx --of runs/digits-wage-1 --data digits

Without --of the file is imported, as `intrain import` would, and compared with the imported network
in floats: logits differ where they are apart by more than a 10,000th of the largest.
With --of it is compared with a trained network, and logits of integers must be equal.
The exit code is 1 where a logit differs, and 2 where there is no ONNX Runtime to ask.")]
    Onnx(VerifyOnnxArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyExportArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// What `intrain export` wrote
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Test images of the data, besides the vectors
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) images: u32,
    /// Their data set [default: the one that the network was trained on]
    #[arg(long, value_name = "D")]
    pub(crate) data: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyOnnxArgs {
    /// The network that ONNX Runtime runs
    #[arg(value_name = "FILE.onnx")]
    pub(crate) file: PathBuf,
    /// Data set whose test images it answers
    #[arg(long, value_name = "D")]
    pub(crate) data: String,
    /// The network here: a run folder or a model.safetensors [default: the file, imported]
    #[arg(long, value_name = "RUN|MODEL")]
    pub(crate) of: Option<PathBuf>,
    /// Test images, at most [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) images: Option<u32>,
    #[command(flatten)]
    pub(crate) scaling: ScalingArgs,
}
