//! `intrain import`: the network of another program as a folder that `eval`, `predict` and `train --init` take.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use crate::import::{self, BYTES_MAX, Imported, Options, Scaling};
use crate::imported;
use crate::model::{ModelFile, Pixels};
use crate::nn::Plan;
use crate::recipe;
use crate::train::atomic_write;
use crate::train::config::Config;
use crate::train::run::RunDir;
use crate::train::saved::{OfRun, weights_sha256, write_model};
use anyhow::Context as _;
use serde_json::json;

use crate::command::args::{ImportArgs, ScalingArgs};
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, facts, grouped};
use crate::command::settings::IMPORTED_MODEL;

pub(crate) fn run(args: &ImportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let options = options(&args.file, args.name.as_deref(), &args.scaling)?;
    let name = args.file.display().to_string();
    let imported = import::read(&read(&args.file)?, &options).with_context(|| name.clone())?;
    let floats = recipe::preset("float32")?;
    let (plan, parameters) = imported::parameters(&imported, &floats).with_context(|| name)?;
    let config = imported::config(&imported, args.data.as_deref())?;
    let dir = RunDir(args.out.clone());
    let group = Group::new("model.safetensors", "no weights begin so", [IMPORTED_MODEL.to_owned()]);
    OutFolder::check(&args.out, vec![group], &[&args.file])?.make()?;

    let file = ModelFile { model: imported.model.clone(), defaults: config.model_defaults.clone() };
    atomic_write(&args.out.join(IMPORTED_MODEL), file.to_toml().as_bytes())?;
    write_model(&dir.model(), OfRun { config: &config, classes: &[], encoder: None }, 0, &plan, &parameters)?;

    let sha256 = weights_sha256(&parameters);
    let model = &imported.model;
    let object = json!({
        "model": model.name, "pixels": model.input.pixels.to_string(), "classes": model.n_classes()?, "data": config.data,
        "parameters": model.n_parameters()?, "layers": model.layers.len(), "weights_sha256": sha256,
        "folder": args.out.display().to_string(),
    });
    output.finish(&text(args, &imported, &plan, &config, &sha256)?, &object)?;
    Ok(ExitCode::SUCCESS)
}

/// How the file is to be read, under the name `name` or the file's own.
pub(super) fn options(file: &Path, name: Option<&str>, scaling: &ScalingArgs) -> anyhow::Result<Options> {
    let scaling = match &scaling.pixels {
        _ if !scaling.mean.is_empty() => {
            Scaling::Normalized { mean: scaling.mean.clone(), std: scaling.std.clone() }
        }
        None => Scaling::Pixels(Pixels::Unit255),
        Some(text) => Scaling::Pixels(text.parse().map_err(|error| Usage(format!("--pixels {error}")))?),
    };
    let stem = file.file_stem().map_or_else(|| "imported".into(), |stem| stem.to_string_lossy());
    let source = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = name.map_or_else(|| stem.into_owned(), str::to_owned);
    Ok(Options { name, source: format!("imported from {source}"), scaling })
}

/// The bytes of a file that is not too large.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let refuse = |problem: String| Usage(format!("{}: {problem}", path.display()));
    let file =
        File::open(path).map_err(|e| refuse(format!("cannot read: {e}; name an ONNX file that exists")))?;
    let mut bytes = Vec::new();
    let n = file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(|e| refuse(format!("cannot read: {e}")))?;
    match n as u64 {
        BYTES_MAX.. => {
            Err(refuse(format!("it has {BYTES_MAX} bytes or more, and an ONNX file ends there")).into())
        }
        _ => Ok(bytes),
    }
}

fn text(
    args: &ImportArgs,
    imported: &Imported,
    plan: &Plan,
    config: &Config,
    sha256: &str,
) -> anyhow::Result<String> {
    let (model, out) = (&imported.model, args.out.display());
    let (input, classes) = (model.input, model.n_classes()?);
    let scaled =
        if args.scaling.mean.is_empty() { "" } else { "; the rest of mean and deviation is in the weights" };
    let n_parameters = grouped(plan.n_parameters() as u64);
    Ok(facts(&[
        ("network", format!("{}, {} layers, {n_parameters} parameters", model.name, model.layers.len())),
        ("image", format!("{} bytes, as {}{scaled}", input.shape, input.pixels)),
        ("output", format!("{classes} numbers, one for each class")),
        ("data", config.data.clone()),
        ("weights sha256", sha256.to_owned()),
        ("written", format!("{out}/{IMPORTED_MODEL}, {out}/model.safetensors")),
        ("next", format!("intrain train --init {out} --recipe intrain-int8 --epochs 0")),
    ]))
}
