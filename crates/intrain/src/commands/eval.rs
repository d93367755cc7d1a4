//! `intrain eval`: the error of a trained network, with every rounding as deployed, and what it answered.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use intrain::data::{self, Part};
use intrain::nn::{Logits, Network, Outcome, Plan};
use intrain::train::atomic_write;
use intrain::train::logits;
use intrain::train::saved::weights_sha256;
use intrain::train::session::EVALUATION_BATCH;
use serde_json::json;

use crate::args::EvalArgs;
use crate::failure::Usage;
use crate::output::{Output, facts, grouped, is_one_file, percent, say};
use crate::settings::{check_fits, context, load_data, open_model};

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
    network.load(&saved.parameters, None);
    let mut all = None;
    let mut outcome = Outcome::default();
    for batch in data::evaluation(&dataset, part, EVALUATION_BATCH)? {
        network.forward(&batch.images, None);
        outcome = outcome.and(network.outcome(&batch.labels));
        if args.logits.is_some() {
            logits::append(&mut all, network.logits())?;
        }
    }
    let Outcome { loss, n_wrong, n } = outcome;
    let frac_bits = match (&args.logits, &all) {
        (Some(path), Some(all)) => write_logits(path, all, saved.model.n_classes()?)?,
        _ => None,
    };

    #[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
    let (loss, error) = (loss / n as f64, n_wrong as f64 / n as f64);
    let sha256 = weights_sha256(&saved.parameters);
    let mut lines = vec![
        (
            "error",
            format!("{} ({} of {} images)", percent(error), grouped(n_wrong as u64), grouped(n as u64)),
        ),
        ("loss", format!("{loss:.4}")),
        ("network", format!("{} with {}", saved.model.name, saved.recipe.name)),
        ("data", format!("{data}, {}", args.split)),
        ("weights sha256", sha256.clone()),
    ];
    if let Some(path) = &args.logits {
        let unit = frac_bits.map_or("float32".to_owned(), |bits| format!("int64 * 2^{}", -bits));
        lines.push(("logits", format!("{} ({unit})", path.display())));
        lines.extend(frac_bits.map(|bits| ("fraction bits", bits.to_string())));
    }
    let object = json!({
        "recipe": saved.recipe.name, "model": saved.model.name, "data": data, "split": args.split,
        "images": n, "wrong": n_wrong, "error": error, "loss": loss, "weights_sha256": sha256,
        "logits": args.logits.as_ref().map(|path| path.display().to_string()), "frac_bits": frac_bits,
    });
    output.finish(&facts(&lines), &object)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes all logits, and says how many fraction bits they have where they are integers.
fn write_logits(path: &Path, all: &Logits, n_classes: usize) -> anyhow::Result<Option<i32>> {
    atomic_write(path, &logits::to_npy(all, n_classes)?)?;
    Ok(match all {
        Logits::Integers { frac_bits, .. } => Some(*frac_bits),
        Logits::Floats(_) => None,
    })
}
