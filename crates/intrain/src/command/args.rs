//! What can be typed: the commands, their flags and their help. Parsing does nothing but parse.

mod accel;
mod bench;
mod deploy;
mod formats;
mod shell;
mod trained;

use std::path::PathBuf;

pub(crate) use accel::{
    AccelArgs, AccelCommand, AnswerArgs, ArraySweepArgs, MachineArgs, ReportArgs, RtlArgs, SimArgs,
};
pub(crate) use bench::BenchArgs;
use clap::{Parser, Subcommand};
pub(crate) use deploy::{
    ExportArgs, ImportArgs, ScalingArgs, VerifyArgs, VerifyCommand, VerifyExportArgs, VerifyOnnxArgs,
};
pub(crate) use formats::{
    BlockArgs, ExplainArgs, FormatsArgs, GemmArgs, QuantizeArgs, RequantizeArgs, VectorsArgs, VectorsCommand,
};
pub(crate) use shell::{CompletionsArgs, ManArgs};
pub(crate) use trained::{EvalArgs, InspectArgs, NetworkArgs, PredictArgs, RunsArgs};

/// Trains neural networks in low-precision integers, bit for bit the same everywhere.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  intrain train                                        the embedded digits, in seconds
  intrain train --data mnist --recipe wage             LeNet-5 with 2-bit weights
  intrain plan --data mnist --recipe gupta             what will run, before it runs
  intrain recipe diff wage gupta                       two methods, row by row

Data sets are looked for in the folder that INTRAIN_DATA names, then in the user's cache folder.
Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print one JSON object as the only line of standard output; text goes to standard error
    #[arg(long, global = true, display_order = 100)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network; without flags, on the embedded digits with 2-bit weights, in seconds
    #[command(after_help = "Examples:
  intrain train
  intrain train --data mnist --recipe gupta:Q2.14 --epochs 3
  intrain train --recipe wage --set recipe.roles.activation='unit<6> nearest-even saturate clipped'
  intrain train runs/mnist-wage-1/config.toml --seed 2
  intrain train --data csv:iris.csv,label=species
  intrain train --resume runs/mnist-wage-1

Flags win over CONFIG.toml, and --set wins over both. A run folder holds config.toml (enough to
repeat the run), metrics.csv, TensorBoard events, checkpoints/, model.safetensors and report.html.
Ctrl-C finishes the step and writes a checkpoint; --resume goes on from there.")]
    Train(TrainArgs),
    /// Measure a trained network's error on a data set
    #[command(after_help = "Examples:
  intrain eval runs/mnist-wage-1
  intrain eval model.safetensors --data fashion-mnist --split train
  intrain eval runs/mnist-wage-1 --logits logits.npy

FILE.npy holds a row for each image, in the order of the data set. Integer networks answer in int64,
each worth 2^-F, with the fraction bits F printed and in --json as frac_bits. Float networks answer
in float32. A file that is there is replaced. Where a recipe finds a power of two in what it meets
(@dynamic, as in niti), it is found over 250 images at a time; `intrain predict` takes one by one.")]
    Eval(EvalArgs),
    /// Say what a trained network answers to images
    #[command(after_help = "Examples:
  intrain predict runs/mine-wage-1 cat.jpg dog.png
  intrain predict runs/mnist-wage-1 --data mnist --out results.csv --logits logits.npy
  intrain predict runs/mine-wage-1 photos/*.jpg --checkpoint best --json
  intrain predict runs/iris-wage-1 new.csv

The largest logit is the answer, of equal ones the first. Files that are there are replaced.")]
    Predict(PredictArgs),
    /// Write a trained network as C, Rust, ONNX or arrays: the same integers, to the last bit
    #[command(after_help = "Examples:
  intrain export runs/digits-wage-1 --to c
  intrain export runs/mnist-wage-1 --to c --pack --out lenet --ram 32768 --flash 262144
  intrain export runs/digits-wage-1 --to onnx
  intrain verify export runs/digits-wage-1 digits-wage-1-c

c         C99 that allocates nothing and calls nothing, and a program with test vectors
rust      constants, and what runs them: no_std, no unsafe code, no allocation
onnx      standard operators, exact in ONNX Runtime's CPU provider
onnx-qdq  the same by quantized operators: faster, refused where they would round otherwise
qonnx     Quant nodes for FINN and hls4ml, refused where binary32 would not be exact
safetensors
          the parameters as floats under PyTorch's names, to go on from them elsewhere
npy, hex  every constant, and the results of each layer for some vectors

DIR/manifest.json says what was written, DIR/.intrain which files the command made; no others are
replaced. Networks that compute in floats, and recipes whose answers find a power of two in each batch
(@dynamic in a row of weights or activations), have no such form and are refused. What is generated is
yours.")]
    Export(ExportArgs),
    /// Read the network of another program from an ONNX file, to evaluate it, quantize it and train on
    #[command(after_help = "Examples:
  intrain import resnet.onnx --out resnet --pixels x/127.5-1 --data cifar-10
  intrain eval resnet
  intrain train --init resnet --recipe intrain-int8 --epochs 0     quantized after training
  intrain train --init resnet --recipe intrain-int8 --epochs 2     and trained on
  intrain import lenet.onnx --out lenet --mean 0.5 --std 0.25

DIR gets model.toml, the layers, and model.safetensors, layers and weights with the recipe float32.
An ONNX file does not say what the network was trained to see of a pixel: --pixels does, or --mean and
--std as of torchvision's Normalize behind ToTensor. A mean other than 0 and 0.5 can not stand in
front of a padded convolution: outside of the image the network has seen zeros, which are no pixels.")]
    Import(ImportArgs),
    /// Show what will run: formats, integer or float, accumulator bounds, memory
    #[command(after_help = "Examples:
  intrain plan --model lenet5 --recipe wage
  intrain plan --data cifar-10 --recipe gupta --batch-size 64
  intrain plan --model resnet20 --recipe intrain-int8 --require-integer

Takes the flags of `intrain train` and needs no data on disk for data sets with names. --out,
--threads and --kernel are accepted and change nothing: a plan is the same on every machine.")]
    Plan(PlanArgs),
    /// List, show, compare and check recipes: which quantizer each role of a tensor has
    Recipe(RecipeArgs),
    /// List and show networks: layers, shapes, parameters, the recipe of a run that names none
    Model(ModelArgs),
    /// Quantize an array and measure the error: bias, mean square, saturation, clipped blocks
    #[command(after_help = "Examples:
  intrain quantize x.npy --as Q4.12 --round stochastic --seed 3
  intrain quantize gradient.npy --as 'unit<8>@shift' --round stochastic --out q.npy
  intrain quantize x.npy --as 'int<8>' --overflow wrap --payload integers.npy
  intrain quantize x.npy --as mxfp4 --scale-rule rceil --out q.npz
  intrain quantize w.npy --as nvfp4 --tile 16x16 --out q.safetensors
  intrain quantize x.npy --as e4m3 --overflow sat-none --payload codes.npy
  intrain quantize x.npy --as 'qtorch<5,2>' --out q.npy

Floats and blocks: a format of `intrain formats`, with the rule of its scales behind @ or as
--scale-rule, and what shares one behind / or as --tile. Roundings there are nearest-even, nearest-away,
toward-zero, up, down, to-odd, sr-a<N>, sr-b<N>, sr-c<N>. A last block that an axis does not fill is
as if zeros followed.

With FORMAT@shift of integers the array is first divided by 2^n, n = round(log2 max|x|), and that power
of two is thrown away, as WAGE does: OUT and the error then are about x / 2^n; n is printed.

Files that are written replace files of their kind that are there, but not IN.npy, and none of another
kind.")]
    Quantize(QuantizeArgs),
    /// Show the formats of floats and blocks: limits, all codes, rules of scales, profiles
    #[command(after_help = "Examples:
  intrain formats
  intrain formats e4m3
  intrain formats Binary8p4se --json
  intrain formats 'float<4,3,bias=9>fn'
  intrain formats bf16 --codes
  intrain formats mxfp4@even")]
    Formats(FormatsArgs),
    /// Quantize a quantized array again, and say whether it stays what it is
    #[command(after_help = "Examples:
  intrain requantize q.npz --check
  intrain requantize q.safetensors --as mxfp8@rceil --out r.safetensors

--check exits with 1 where a code or a scale changes: the rule is not idempotent there.")]
    Requantize(RequantizeArgs),
    /// Say why two quantized arrays differ: format, rule of scales, rounding, axis, packing
    #[command(after_help = "Examples:
  intrain explain a.npz b.npz --from x.npy
  intrain explain a.safetensors b.safetensors
  intrain explain scales_a.npy scales_b.npy --from x.npy

Only bytes are looked at, never what a file says of itself. With --from every way that gives A and every
way that gives B are named, and the smallest change between them. Without, the pairs of scale rules that
could have given both. Arrays in a file are found by the names codes, scales and tensor_scale; NPY files
of bytes are codes, or scales with --scales. Exits with 1 where nothing explains them.")]
    Explain(ExplainArgs),
    /// Multiply two quantized matrices, exactly or as a machine would
    #[command(after_help = "Examples:
  intrain gemm a.npz b.npz --out y.npy
  intrain gemm a.npz b.npz --accumulate f32
  intrain gemm a.npz b.npz --accumulate 'truncated<13,32>'

A is [m, k] and B [n, k], both quantized along k (B may be [k, n] along its first axis): the result is A B^T.
exact rounds the whole sum once, in any order; f32 rounds each product and each sum in the order of k;
truncated<F,BLOCK> is a model of tensor cores that cut products to F bits below the largest of BLOCK. The
report compares with the exact product. `docs/arithmetic.md`, sections 13.4 and 13.7.")]
    Gemm(GemmArgs),
    /// Write test vectors of formats for other people's implementations
    Vectors(VectorsArgs),
    /// List, download and describe data sets
    Data(DataArgs),
    /// Show a trained network: layers, formats, histograms of the stored integers, how the run went
    #[command(after_help = "Examples:
  intrain inspect runs/digits-wage-1
  intrain inspect model.safetensors")]
    Inspect(InspectArgs),
    /// List the runs in a folder, the best first, and compare some
    #[command(after_help = "Examples:
  intrain runs                                  all runs under runs/
  intrain runs runs/mnist-wage-1 runs/mnist-gupta-1    these, and the settings in which they differ")]
    Runs(RunsArgs),
    /// Compare recipes: each with several seeds, one table with means, deviations and intervals
    #[command(after_help = "FILE.toml, for example:
  recipes = [\"float32\", \"li-bc\", \"li-sr\", \"li-r\"]
  models = [\"vgg9:16\"]                 left out: what fits the data
  data = [\"cifar-10\"]                  left out: what the model was made for
  seeds = [1, 2, 3]

  [settings]                           any setting of `intrain train`
  epochs = 10
  optimizer = \"adam\"

Recipes and models are presets or TOML files, data as for `intrain train`; paths begin in the current
folder. Finished runs stand in DIR/runs.csv, a line each; the same command goes on where it was stopped,
and more recipes or seeds may be added later. A finished run that the files would train otherwise now,
by a row, a layer, a setting or other data, is refused. Ends in DIR/table.csv, DIR/table.md and DIR/page.html with
the mean curves of the seeds, their bands, and the report of each run. DIR/.intrain lists the files
that the command made; no others are replaced.")]
    Sweep(SweepArgs),
    /// Theory as an experiment: why training with quantized weights stops where it stops
    #[command(after_help = "Experiments:
  toy      one weight on a curve with three valleys: where SR and BinaryConnect end, four rates
  chain    SR's walk on it as a Markov chain, exactly: its distribution stays, its mixing slows
  convex   a quadratic in 100 dimensions: bounds beside what is measured, three steps

After Li et al. 2017, arXiv 1706.02379. Each writes DIR/EXPERIMENT.csv and DIR/EXPERIMENT.svg.
The picture is for light and dark pages. DIR/.intrain lists the files that the command made; no
others are replaced.")]
    Lab(LabArgs),
    /// Prove the arithmetic contract on this machine, and exported networks by its compilers
    #[command(
        after_help = "Alone it runs every case of the golden suite through the scalar definition and through each kernel
that this CPU has. Exit code 1 and the cases by name, if any result differs by a bit."
    )]
    Verify(VerifyArgs),
    /// Measure kernels, whole training steps and answers as shares of the most that this machine can do
    #[command(after_help = "Examples:
  intrain bench                                        everything, in a few minutes
  intrain bench products --kernel avx2
  intrain bench vgg7-wage vgg7-float32 --threads 1
  intrain bench vgg7-wage --repeat 1 --json            the memory of a step, too

Groups and their works:
  products   i8-, u8-, i16- and f32- with M x N x K of 1024x1024x1024, 2048x2048x2048,
             8192x128x1152, 2048x256x2304 or 512x512x4608, as in i8-1024x1024x1024;
             depthwise-forward, depthwise-error, depthwise-gradient
  rounding   requantize-nearest, requantize-stochastic, quantize-stochastic, fp8-nearest,
             fp8-stochastic, mxfp8-nearest, mxfp8-stochastic, mxfp4-nearest, nvfp4-nearest,
             nvfp4-stochastic
  steps      vgg7-wage, lenet5-wage, mlp-wage, mlp-gupta, gupta-cnn-gupta,
             vgg7-float32, lenet5-float32, mlp-float32, gupta-cnn-float32,
             resnet20-float32, resnet20-hwgq, resnet20-li-bc, resnet20-intrain-int8,
             resnet8-float32, resnet8-intrain-int8, mobilenet-1-float32,
             mobilenet-1-intrain-int8
  inference  vgg7-wage, lenet5-wage, resnet20-intrain-int8, resnet8-intrain-int8 or
             vgg-small-hwgq with batches of 1 or 64 images, as in vgg7-wage-batch-64

In each round the peaks and the copy that the works are compared with run once, then each work, for
a twentieth of a second or once. A share is the work's median rate by the median of its yardstick.")]
    Bench(BenchArgs),
    /// The systolic array with stochastic rounding (Gupta 2015): values, cycles, hardware, area
    Accel(AccelArgs),
    /// Print a shell's completions of commands and flags
    #[command(after_help = "Examples:
  intrain completions bash > ~/.local/share/bash-completion/completions/intrain
  intrain completions zsh > ~/.zfunc/_intrain             a folder of $fpath
  intrain completions fish > ~/.config/fish/completions/intrain.fish
  intrain completions powershell >> $PROFILE
  intrain completions elvish >> ~/.config/elvish/rc.elv")]
    Completions(CompletionsArgs),
    /// Print the manual page, of the program or of a command
    #[command(after_help = "Examples:
  intrain man > ~/.local/share/man/man1/intrain.1
  intrain man accel sim > ~/.local/share/man/man1/intrain-accel-sim.1
  intrain man train | man -l -")]
    Man(ManArgs),
}

/// Flags of `train` and `plan`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TrainArgs {
    /// Settings as TOML; the config.toml of a run folder repeats that run
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Network, perhaps with a width as in vgg9:16, or a TOML file; see `intrain model list` [default: one that fits the data]
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
    /// Recipe with its parameters, or a TOML file; see `intrain recipe list` [default: the model's own, wage for digits-cnn]
    #[arg(long, value_name = "R")]
    pub(crate) recipe: Option<String>,
    /// Data set: digits, mnist, fashion-mnist, cifar-10, cifar-100, svhn, csv:PATH,label=COLUMN, npz:PATH or folder:PATH; see `intrain data list` [default: what the model was made for, else digits]
    #[arg(long, value_name = "D")]
    pub(crate) data: Option<String>,
    /// Passes over the training images [default: the paper's, where there is one]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<u32>,
    /// Stop after so many steps, where that is earlier
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..1 << 62))]
    pub(crate) max_steps: Option<u64>,
    /// Images in a step [default: the paper's, where there is one]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: Option<u32>,
    /// Learning rate at the start [default: the paper's, where there is one]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,
    /// Seed of every random bit [default: 1]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Threads; they change no bit of an integer network [default: one per CPU]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set of the kernels; it changes no bit of an integer network [default: the best that this CPU has]
    #[arg(long, value_name = "K", value_parser = ["reference", "avx2", "avx512vnni"])]
    pub(crate) kernel: Option<String>,
    /// New run folder [default: runs/DATA-RECIPE-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with a run from its last checkpoint, to the same bits as if it had never stopped; only --epochs,
    /// --max-steps, --threads and --kernel can change. More epochs go on at the learning rates of the run's config.toml
    #[arg(long, value_name = "DIR", conflicts_with_all =
        ["config", "model", "recipe", "data", "batch_size", "lr", "seed", "out"])]
    pub(crate) resume: Option<PathBuf>,
    /// Start from the weights of a run folder or a model.safetensors, under any recipe; layers are found by their names, and
    /// those that differ start anew
    #[arg(long, value_name = "RUN|MODEL", conflicts_with = "resume")]
    pub(crate) init: Option<PathBuf>,
    /// Any other setting, such as momentum=0.9 or recipe.roles.gradient='unit<9>@shift stochastic'; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RecipeArgs {
    #[command(subcommand)]
    pub(crate) action: RecipeAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecipeAction {
    /// List the presets and their parameters
    List,
    /// Print a recipe as a table
    #[command(after_help = "Examples:
  intrain recipe show wage:2-8-8-8
  intrain recipe show gupta --toml > mine.toml      a recipe of your own to start from")]
    Show {
        /// Preset with its parameters, or a TOML file
        #[arg(value_name = "R")]
        recipe: String,
        /// Print TOML that --recipe reads back
        #[arg(long)]
        toml: bool,
    },
    /// Print the rows in which two recipes differ
    Diff {
        /// Preset with its parameters, or a TOML file
        #[arg(value_name = "A")]
        a: String,
        /// The other one
        #[arg(value_name = "B")]
        b: String,
    },
    /// Find the levels of an activation that lose least: for the positive half of a normal distribution, or measured
    #[command(after_help = "Examples:
  intrain recipe levels 7n
  intrain recipe levels 3 --of activations.npy
  intrain train --recipe hwgq --set recipe.roles.activation='levels<0.3177,1.0001,1.8936> clipped'")]
    Levels {
        /// How many: 1 to 15 in equal steps, 1n to 15n free
        #[arg(value_name = "N|Nn")]
        levels: String,
        /// Values that were measured, those above 0 count [default: a normal distribution]
        #[arg(long, value_name = "IN.npy")]
        of: Option<PathBuf>,
    },
    /// Check a recipe file; says what is wrong and exits with 2
    #[command(after_help = "Examples:
  intrain recipe check mine.toml
  intrain plan --recipe mine.toml --model lenet5    whether it fits a network, and which sums it needs

Checked are keys, rows and what rows say about each other. Whether the patterns of [[except]] match
layers is known with a network alone: `intrain plan` names the layers where one matches none. Rows,
exceptions and the patterns @first, @last and @norms are explained in docs/recipes.md.")]
    Check {
        /// TOML file, as `intrain recipe show R --toml` prints it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    pub(crate) action: ModelAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelAction {
    /// List the presets: input, parameters, recipe
    List,
    /// Print a network as a table: layers, shapes, parameters
    #[command(after_help = "Examples:
  intrain model show resnet20
  intrain model show vgg9:16
  intrain model show lenet5 --toml > mine.toml      a network of your own to start from
  intrain model show mine.toml

The keys of each kind of layer, and residual networks, are in docs/models.md.")]
    Show {
        /// Preset, perhaps with a width, or a TOML file
        #[arg(value_name = "MODEL|FILE.toml")]
        model: String,
        /// Print TOML that --model reads back
        #[arg(long)]
        toml: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    pub(crate) action: DataAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataAction {
    /// List the data sets that have names
    List,
    /// Download a data set from its authors, resuming where it stopped, and check it
    #[command(after_help = "Goes to the folder that INTRAIN_DATA names, else to the user's cache folder.")]
    Fetch {
        /// mnist, fashion-mnist, cifar-10, cifar-100 or svhn
        #[arg(value_name = "D")]
        name: String,
    },
    /// Count and average a data set
    Info {
        /// Data set, as for `intrain train`
        #[arg(value_name = "D")]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) train: TrainArgs,
    /// Fail, and list them, where any operation of a step is one of floats
    #[arg(long)]
    pub(crate) require_integer: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SweepArgs {
    /// Recipes, models, data, seeds and settings
    #[arg(value_name = "FILE.toml")]
    pub(crate) file: PathBuf,
    /// Folder of the sweep [default: runs/sweep-FILE]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Threads; they change no bit of an integer network [default: one per CPU]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set of the kernels [default: the best that this CPU has]
    #[arg(long, value_name = "K", value_parser = ["reference", "avx2", "avx512vnni"])]
    pub(crate) kernel: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LabArgs {
    /// Which one
    #[arg(value_name = "EXPERIMENT")]
    pub(crate) experiment: Experiment,
    /// Deviation of the slope's noise (convex: half its width)
    #[arg(long, value_name = "S", default_value_t = 3.0, allow_negative_numbers = true)]
    pub(crate) noise: f64,
    /// Steps of each walk (convex: at most 16384)
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub(crate) steps: u64,
    /// Seed of every random bit
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder for table and picture
    #[arg(long, value_name = "DIR", default_value = "runs/lab")]
    pub(crate) out: PathBuf,
}

/// Experiments of `lab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Experiment {
    Toy,
    Chain,
    Convex,
}
