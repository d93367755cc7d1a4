//! `intrain eval`: the error of a trained network, with every rounding as deployed, and what it answered.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use intrain::data::{self, Dataset, Part, TrainBatches};
use intrain::nn::{Logits, Network, Outcome, Plan};
use intrain::train::atomic_write;
use intrain::train::run::RunDir;
use intrain::train::saved::weights_sha256;
use intrain::train::session::EVALUATION_BATCH;
use intrain::train::{logits, statistics};
use serde_json::json;

use crate::args::EvalArgs;
use crate::failure::Usage;
use crate::output::{Output, facts, grouped, is_one_file, percent, say};
use crate::settings::{check_fits, config_of, context, load_data, open_model};

pub(crate) fn run(args: &EvalArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let context = context(args.compute.threads, args.compute.kernel.as_deref())?;
    let saved = open_model(&args.network)?;
    let data = args.data.as_deref().unwrap_or(&saved.data);
    if let Some(path) = args.logits.as_ref().filter(|path| is_one_file(&args.network.model, path)) {
        let name = path.display();
        return Err(Usage(format!(
            "--logits {name}: this is the model, which would be replaced; name another file"
        ))
        .into());
    }
    let mut dataset = load_data(data)?;
    if let Some(note) = dataset.count_classes_as(&saved.classes)? {
        say(&format!("note: {data}: {note}"));
    }
    check_fits(&saved, &dataset)?;
    let part = if args.split == "train" { Part::Train } else { Part::Test };

    let plan = Plan::build(&saved.model, &saved.recipe, 1)
        .with_context(|| args.network.model.display().to_string())?;
    let mut network = Network::new(plan, context);
    let dataset = Arc::new(dataset);
    let (mut parameters, mut before) = (saved.parameters, None);
    if let Some(n) = args.norm_batches {
        let batches = training_batches(&network, args, &dataset)?;
        network.load(&parameters, None);
        before = Some(evaluate(&mut network, &dataset, part, None)?);
        parameters = statistics::estimate(&mut network, &parameters, statistics::first_batches(batches, n));
    }
    network.load(&parameters, None);
    let mut all = None;
    let wanted = args.logits.is_some().then_some(&mut all);
    let Outcome { loss, n_wrong, n } = evaluate(&mut network, &dataset, part, wanted)?;
    let frac_bits = match (&args.logits, &all) {
        (Some(path), Some(all)) => write_logits(path, all, saved.model.n_classes()?)?,
        _ => None,
    };

    #[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
    let (loss, error) = (loss / n as f64, n_wrong as f64 / n as f64);
    let sha256 = weights_sha256(&parameters);
    let mut lines = vec![(
        "error",
        format!("{} ({} of {} images)", percent(error), grouped(n_wrong as u64), grouped(n as u64)),
    )];
    #[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
    let before = before.map(|before| before.n_wrong as f64 / before.n as f64);
    lines
        .extend(before.map(|error| {
            ("", format!("{} with the statistics of norms as they were saved", percent(error)))
        }));
    lines.extend([
        ("loss", format!("{loss:.4}")),
        ("network", format!("{} with {}", saved.model.name, saved.recipe.name)),
        ("data", format!("{data}, {}", args.split)),
        ("weights sha256", sha256.clone()),
    ]);
    if let Some(path) = &args.logits {
        let unit = frac_bits.map_or("float32".to_owned(), |bits| format!("int64 * 2^{}", -bits));
        lines.push(("logits", format!("{} ({unit})", path.display())));
        lines.extend(frac_bits.map(|bits| ("fraction bits", bits.to_string())));
    }
    let object = json!({
        "recipe": saved.recipe.name, "model": saved.model.name, "data": data, "split": args.split,
        "images": n, "wrong": n_wrong, "error": error, "error_as_saved": before, "loss": loss, "weights_sha256": sha256,
        "logits": args.logits.as_ref().map(|path| path.display().to_string()), "frac_bits": frac_bits,
    });
    output.finish(&facts(&lines), &object)?;
    Ok(ExitCode::SUCCESS)
}

/// How the network answers to a part of the data; `all` takes its logits.
fn evaluate(
    network: &mut Network,
    dataset: &Dataset,
    part: Part,
    mut all: Option<&mut Option<Logits>>,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for batch in data::evaluation(dataset, part, EVALUATION_BATCH)? {
        network.forward(&batch.images, None);
        outcome = outcome.and(network.outcome(&batch.labels));
        if let Some(all) = &mut all {
            logits::append(all, network.logits())?;
        }
    }
    Ok(outcome)
}

/// The batches that the network was trained on; `dataset` is what it is evaluated on, perhaps the same.
fn training_batches(
    network: &Network,
    args: &EvalArgs,
    dataset: &Arc<Dataset>,
) -> anyhow::Result<TrainBatches> {
    let path = &args.network.model;
    if !path.is_dir() {
        let name = path.display();
        return Err(Usage(format!(
            "{name}: --norm-batches needs the settings of the run; name its folder instead of a file"
        ))
        .into());
    }
    if !statistics::has_any(network.plan()) {
        let reason = "--norm-batches: the network has no norm over batches; leave it out";
        return Err(Usage(reason.to_owned()).into());
    }
    let config = config_of(&RunDir(path.clone()))?;
    let is_same = args.data.as_ref().is_none_or(|data| *data == config.data);
    let own = if is_same { Arc::clone(dataset) } else { Arc::new(load_data(&config.data)?) };
    Ok(config.batches(own)?)
}

/// Writes all logits, and says how many fraction bits they have where they are integers.
fn write_logits(path: &Path, all: &Logits, n_classes: usize) -> anyhow::Result<Option<i32>> {
    atomic_write(path, &logits::to_npy(all, n_classes)?)?;
    Ok(match all {
        Logits::Integers { frac_bits, .. } => Some(*frac_bits),
        Logits::Floats(_) => None,
    })
}
