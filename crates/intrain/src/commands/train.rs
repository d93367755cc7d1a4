//! `intrain train`: from flags to a run folder and an accuracy.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use intrain::data::Dataset;
use intrain::train::TrainError;
use intrain::train::config::Config;
use intrain::train::run::{Run, RunDir, Summary};
use serde_json::json;

use crate::args::TrainArgs;
use crate::failure::Usage;
use crate::output::{Output, facts, grouped, percent, say, speed};
use crate::progress::{INTERRUPTED, Watcher};
use crate::settings::{context, load_data, new_run_folder, resolve_with_data};

pub(crate) fn run(args: &TrainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let context = context(args.threads, args.kernel.as_deref())?;
    let kernel = context.isa.name();
    let (config, run) = match &args.resume {
        Some(folder) => {
            let (config, dataset, dir) = reopen(folder, args.max_steps)?;
            (config.clone(), Run::resume(config, dataset, context, dir)?)
        }
        None => {
            let (config, dataset) = resolve_with_data(args)?;
            (config.clone(), start(config, dataset, context, args.out.as_deref())?)
        }
    };
    let settings = &config.settings;
    say(&format!(
        "{} on {} with {}: {} parameters, {} images a step, seed {}, {kernel} kernels",
        config.model.name,
        config.data,
        config.recipe.name,
        grouped(run.plan().n_parameters() as u64),
        settings.batch_size,
        settings.seed,
    ));
    for warning in &run.plan().warnings {
        say(&format!("warning: {}: {}", warning.role, warning.message));
    }
    let mut watcher = Watcher::new(settings.epochs)?;
    let summary = run.train(&mut watcher)?;
    drop(watcher);
    output.finish(&text(&summary), &object(&summary))?;
    if summary.interrupted {
        let folder = summary.run_dir.display();
        say(&format!("stopped after step {}; go on with: intrain train --resume {folder}", summary.steps));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a run in `out`, or in a new folder under `runs/`, which goes away again if nothing can start.
pub(crate) fn start(
    config: Config,
    dataset: Arc<Dataset>,
    context: intrain::nn::Context,
    out: Option<&Path>,
) -> anyhow::Result<Run> {
    if let Some(out) = out {
        return Ok(Run::start(config, dataset, context, RunDir::create(out)?)?);
    }
    let folder = new_run_folder(&config)?;
    let started = RunDir::create(&folder).and_then(|dir| Run::start(config, dataset, context, dir));
    if started.is_err() {
        // Only empty folders can be removed like this.
        let _ = std::fs::remove_dir(folder.join("checkpoints")).and_then(|()| std::fs::remove_dir(&folder));
    }
    Ok(started?)
}

/// The configuration and data of a run to go on with, perhaps to another end.
fn reopen(folder: &Path, max_steps: Option<u64>) -> anyhow::Result<(Config, Arc<Dataset>, RunDir)> {
    let dir = RunDir(folder.to_owned());
    let path = dir.config();
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Usage(format!("{}: cannot read: {e}; name the folder of a run", path.display())))?;
    let in_file = |e: TrainError| Usage(format!("{}: {e}", path.display()));
    let mut config = Config::from_toml(&text).map_err(in_file)?;
    config.settings.max_steps = max_steps.unwrap_or(config.settings.max_steps);
    let dataset = load_data(&config.data)?;
    Ok((config, Arc::new(dataset), dir))
}

pub(crate) fn text(s: &Summary) -> String {
    facts(&[
        ("test error", test_error(s)),
        ("train loss", format!("{:.4}", s.train_loss)),
        ("steps", format!("{} in {} epochs", grouped(s.steps), s.epochs)),
        ("speed", speed(s.images_per_second)),
        ("weights sha256", s.weights_sha256.clone()),
        ("report", RunDir(s.run_dir.clone()).report().display().to_string()),
    ])
}

fn test_error(s: &Summary) -> String {
    let best = if s.best_test_error.is_finite() {
        format!("best {}", percent(s.best_test_error))
    } else {
        "none before".to_owned()
    };
    if s.test_error.is_nan() {
        return format!("not evaluated after the last step ({best})");
    }
    format!("{} ({best})", percent(s.test_error))
}

pub(crate) fn object(s: &Summary) -> serde_json::Value {
    json!({
        "recipe": s.recipe, "model": s.model, "data": s.data, "seed": s.seed, "epochs": s.epochs, "steps": s.steps,
        "train_loss": s.train_loss, "test_error": s.test_error, "best_test_error": s.best_test_error,
        "images_per_second": s.images_per_second, "weights_sha256": s.weights_sha256, "run_dir": s.run_dir.display().to_string(),
        "interrupted": s.interrupted,
    })
}
