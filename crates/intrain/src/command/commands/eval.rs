//! `intrain eval`: the error of a trained network, with every rounding as deployed, and what it answered.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::answers::Answers;
use crate::data::{self, Dataset, Part, TrainBatches};
use crate::nn::{Logits, Network, Outcome, Plan, loss};
use crate::train::run::RunDir;
use crate::train::saved::{SavedModel, weights_sha256};
use crate::train::session::EVALUATION_BATCH;
use crate::train::{atomic_write, has_top5, logits, statistics};
use anyhow::Context as _;
use serde_json::json;

use crate::command::args::EvalArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, check_written, facts, grouped, percent};
use crate::command::settings::{
    config_of, context, files_of, load_data, load_part, open_model, tell_of_trailing_statistics,
};

pub(crate) fn run(args: &EvalArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let context = context(args.compute.threads, args.compute.kernel.as_deref())?;
    let mut saved = open_model(&args.network)?;
    if args.norm_batches.is_none() {
        tell_of_trailing_statistics(&saved, &args.network);
    }
    let data = args.data.as_deref().unwrap_or(&saved.data);
    check_written(&[("--logits", &args.logits)], &files_of(&args.network, Some(data)))?;
    let (dataset, part) = load_part(data, &args.split, &saved)?;
    let dataset = Arc::new(dataset);

    let plan = Plan::build(&saved.model, &saved.recipe, 1)
        .with_context(|| args.network.model.display().to_string())?;
    let answer = |saved: &SavedModel, keeps_logits| {
        let mut answers = Answers::of(plan.clone(), saved, &context, EVALUATION_BATCH);
        Answered::of(&mut answers, &dataset, part, keeps_logits)
    };
    let mut as_saved = None;
    if let Some(n) = args.norm_batches {
        let batches = training_batches(&plan, args, &dataset)?;
        as_saved = Some(answer(&saved, false)?.error());
        let mut network = Network::new(plan.clone(), context.clone());
        saved.parameters =
            statistics::estimate(&mut network, &saved.parameters, statistics::first_batches(batches, n));
    }
    let answered = answer(&saved, args.logits.is_some())?;
    let frac_bits = match (&args.logits, &answered.logits) {
        (Some(path), Some(all)) => write_logits(path, all, saved.model.n_classes()?)?,
        _ => None,
    };

    let (error, loss, Outcome { n_wrong, n, .. }) = (answered.error(), answered.loss(), answered.outcome);
    let top5_error = has_top5(dataset.n_classes).then(|| answered.top5_error());
    let sha256 = weights_sha256(&saved.parameters);
    let of_images = format!("{} of {} images", grouped(n_wrong as u64), grouped(n as u64));
    let mut lines = vec![("error", format!("{} ({of_images})", percent(error)))];
    lines
        .extend(as_saved.map(|error| {
            ("", format!("{} with the statistics of norms as they were saved", percent(error)))
        }));
    lines.extend(top5_error.map(|error| ("top-5 error", percent(error))));
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
    let mut object = json!({
        "recipe": saved.recipe.name, "model": saved.model.name, "data": data, "split": args.split,
        "images": n, "wrong": n_wrong, "error": error, "loss": loss, "weights_sha256": sha256,
        "logits": args.logits.as_ref().map(|path| path.display().to_string()), "frac_bits": frac_bits,
    });
    for (name, value) in [("top5_error", top5_error), ("error_as_saved", as_saved)] {
        if let Some(value) = value {
            object[name] = value.into();
        }
    }
    output.finish(&facts(&lines), &object)?;
    Ok(ExitCode::SUCCESS)
}

/// What a network answers to a part of the data.
#[derive(Default)]
struct Answered {
    outcome: Outcome,
    /// Images whose class is not among the five likeliest.
    n_beyond_top5: usize,
    /// Of all images, where they were asked for.
    logits: Option<Logits>,
}

#[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
impl Answered {
    fn of(answers: &mut Answers, dataset: &Dataset, part: Part, keeps_logits: bool) -> anyhow::Result<Self> {
        let mut answered = Self::default();
        for batch in data::evaluation(dataset, part, EVALUATION_BATCH)? {
            let answer = answers.logits(&batch.images);
            answered.outcome = answered.outcome.and(answers.outcome(&answer, &batch.labels));
            answered.n_beyond_top5 += beyond_top5(&answer, answers.n_classes(), &batch.labels);
            if keeps_logits {
                logits::append(&mut answered.logits, answer)?;
            }
        }
        Ok(answered)
    }

    fn loss(&self) -> f64 {
        self.outcome.loss / self.outcome.n as f64
    }

    fn error(&self) -> f64 {
        self.outcome.n_wrong as f64 / self.outcome.n as f64
    }

    fn top5_error(&self) -> f64 {
        self.n_beyond_top5 as f64 / self.outcome.n as f64
    }
}

/// Images whose class is not among the five likeliest.
fn beyond_top5(answer: &Logits, n_classes: usize, labels: &[u16]) -> usize {
    let logits = answer.to_f64();
    let is_among = |row: &[f64], label: &u16| loss::is_among_largest(5, row, usize::from(*label));
    logits.chunks_exact(n_classes).zip(labels).filter(|(row, label)| !is_among(row, label)).count()
}

/// The batches that the network was trained on; `dataset` is what it is evaluated on, perhaps the same.
fn training_batches(plan: &Plan, args: &EvalArgs, dataset: &Arc<Dataset>) -> anyhow::Result<TrainBatches> {
    let path = &args.network.model;
    if !path.is_dir() {
        let name = path.display();
        return Err(Usage(format!(
            "{name}: --norm-batches needs the settings of the run; name its folder instead of a file"
        ))
        .into());
    }
    if !statistics::has_any(plan) {
        let reason = "--norm-batches: the network has no norm over batches; leave it out";
        return Err(Usage(reason.to_owned()).into());
    }
    let config = config_of(&RunDir(path.clone()))?;
    let is_same = args.data.as_ref().is_none_or(|data| *data == config.data);
    let own = if is_same {
        Arc::clone(dataset)
    } else {
        config.settings.parted(Arc::new(load_data(&config.data)?))?
    };
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
