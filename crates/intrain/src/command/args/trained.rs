//! What stands behind the commands on networks that are trained: `eval`, `predict`, `inspect` and `runs`.

use std::path::PathBuf;

/// The network that a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// Run folder, or its model.safetensors
    #[arg(value_name = "RUN|MODEL")]
    pub(crate) model: PathBuf,
    /// A checkpoint of the run folder instead of the network that its run ended with
    #[arg(long, value_name = "WHICH", value_parser = ["best", "last"])]
    pub(crate) checkpoint: Option<String>,
}

/// On what it computes.
#[derive(Debug, clap::Args)]
pub(crate) struct ComputeArgs {
    /// Threads [default: one per CPU]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set of the kernels [default: the best that this CPU has]
    #[arg(long, value_name = "K", value_parser = ["reference", "avx2", "avx512vnni"])]
    pub(crate) kernel: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Data set, as for `intrain train` [default: the one that the network was trained on]
    #[arg(long, value_name = "D")]
    pub(crate) data: Option<String>,
    /// Which images
    #[arg(long, value_name = "SPLIT", default_value = "test", value_parser = ["train", "validation", "test", "all"])]
    pub(crate) split: String,
    /// Estimate the statistics of norms anew before, at fixed weights, from the run's first N training batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) norm_batches: Option<u32>,
    /// Write the logits of all images, [images, classes], as int64 (float32 for float networks)
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) logits: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Image files: PNG, JPEG, BMP or WebP, brought to the network's size as its training data were; folders of them; or tables:
    /// CSV or TSV with the features of its training data, each row an example
    #[arg(value_name = "FILE", required_unless_present = "data")]
    pub(crate) images: Vec<PathBuf>,
    /// A data set instead of files, as for `intrain train`
    #[arg(long, value_name = "D", conflicts_with = "images")]
    pub(crate) data: Option<String>,
    /// Which images of the data set; all are those to learn from, for validation and to test, in this order
    #[arg(long, value_name = "SPLIT", default_value = "test", value_parser = ["train", "validation", "test", "all"], requires = "data")]
    pub(crate) split: String,
    /// Write a row for each image: its name, its class where that is known, the answer and its logit
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) out: Option<PathBuf>,
    /// Write the logits of all images, [images, classes], as int64 (float32 for float networks)
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) logits: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunsArgs {
    /// Run folders, or folders of runs [default: runs]
    #[arg(value_name = "RUN|FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
}
