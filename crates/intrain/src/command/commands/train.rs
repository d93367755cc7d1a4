//! `intrain train`: from flags to a run folder and an accuracy.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::data::Dataset;
use crate::train::config::Config;
use crate::train::run::{Ended, Run, RunDir, Summary};
use anyhow::Context as _;
use serde_json::json;

use super::plan::{biases_left_out, check_memory};
use crate::command::args::TrainArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, grouped, percent, say, speed};
use crate::command::progress::{INTERRUPTED, Watcher};
use crate::command::settings::{config_of, context, load_data, new_run_folder, resolve_with_data};

pub(crate) fn run(args: &TrainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let context = context(args.threads, args.kernel.as_deref())?;
    let kernel = context.isa.name();
    let (config, run) = match &args.resume {
        Some(folder) => {
            let (config, dataset, dir) = reopen(folder, args)?;
            check_memory(&config)?;
            (config.clone(), Run::resume(config, dataset, context, dir)?)
        }
        None => {
            let (config, dataset) = resolve_with_data(args)?;
            (config.clone(), start(config, dataset, context, args.out.as_deref())?)
        }
    };
    let settings = &config.settings;
    say(&format!(
        "{} on {} with {}: {} parameters{}, {} images a step, seed {}, {kernel} kernels",
        config.model.name,
        config.data,
        config.recipe.name,
        grouped(run.plan().n_parameters() as u64),
        if biases_left_out(&config).is_empty() { "" } else { " without biases" },
        settings.batch_size,
        settings.seed,
    ));
    let data = run.dataset();
    if !data.validation.is_empty() && settings.validation > 0.0 {
        let n = (data.train.len() + data.validation.len()) as u64;
        say(&format!(
            "validation takes {} of {} images to learn from",
            grouped(data.validation.len() as u64),
            grouped(n)
        ));
    }
    if config.model.n_classes()? > data.n_classes {
        say(&format!(
            "note: the network has {} outputs, and the data {} classes: the others are never right",
            config.model.n_classes()?,
            data.n_classes
        ));
    }
    if let (Some(taken), Some(init)) = (run.taken(), &config.init) {
        say(&format!("the weights of {} layers start from {}", taken.n_layers, init.path));
        taken.notes.iter().for_each(|note| say(&format!("  {note}")));
    }
    let left_out = run.n_left_out() as u64;
    if left_out > 0 && settings.epochs > 0 {
        say(&format!(
            "each epoch leaves out {}, another time others: too few for a batch of {}; --set fill_last_batch=true trains on \
             them too",
            if left_out == 1 { "1 image".to_owned() } else { format!("{} images", grouped(left_out)) },
            settings.batch_size
        ));
    }
    // Without an epoch there is nothing to go on with.
    let was_done = run.is_done() && settings.epochs > 0;
    let mut watcher = Watcher::new(settings.epochs)?;
    let summary = run.train(&mut watcher)?;
    drop(watcher);
    output.finish(&text(&summary), &object(&summary))?;
    if summary.interrupted {
        let folder = summary.run_dir.display();
        say(&format!("stopped after step {}; go on with: intrain train --resume {folder}", summary.steps));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(text) = how_to_go_on(&summary, was_done) {
        say(&text);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a run can go on: one that ended before its last epoch, or that was resumed though it had ended.
fn how_to_go_on(summary: &Summary, was_done: bool) -> Option<String> {
    let folder = summary.run_dir.display();
    let (done, epochs) = (grouped(summary.steps), summary.epochs);
    let stopped = if was_done { "the run had stopped" } else { "stopped" };
    match summary.ended {
        Ended::Epochs if was_done => Some(format!(
            "the run had ended after its {epochs} epochs; train longer with: intrain train --resume {folder} --epochs {}",
            2 * epochs
        )),
        Ended::Epochs | Ended::NotYet => None,
        Ended::MaxSteps { of } => Some(format!(
            "{stopped} at max_steps, after {done} of {} steps; go on with: intrain train --resume {folder} --max-steps {of}",
            grouped(of)
        )),
        Ended::Patience { evaluations } => Some(format!(
            "{stopped} after {done} steps: the best {} error is {} old; checkpoints/best.ckpt has its weights; train on from the \
             last ones, at a smaller learning rate, with: intrain train {folder}/config.toml --init {folder} --lr RATE",
            if summary.best_validation_error.is_some() { "validation" } else { "test" },
            if evaluations == 1 { "1 evaluation".to_owned() } else { format!("{evaluations} evaluations") }
        )),
    }
}

/// Starts a run in `out`, or in a new folder under `runs/`; a folder that this made goes away again if nothing can start.
pub(crate) fn start(
    config: Config,
    dataset: Arc<Dataset>,
    context: crate::nn::Context,
    out: Option<&Path>,
) -> anyhow::Result<Run> {
    check_memory(&config)?;
    let (folder, is_new) = match out {
        Some(out) => (out.to_owned(), !out.exists()),
        None => (new_run_folder(&config)?, true),
    };
    let started = RunDir::create(&folder).and_then(|dir| Run::start(config, dataset, context, dir));
    if started.is_err() && is_new {
        // Only empty folders can be removed like this.
        let _ = std::fs::remove_dir(folder.join("checkpoints")).and_then(|()| std::fs::remove_dir(&folder));
    }
    Ok(started?)
}

/// The configuration and data of a run to go on with, perhaps to another end.
fn reopen(folder: &Path, args: &TrainArgs) -> anyhow::Result<(Config, Arc<Dataset>, RunDir)> {
    if let Some(set) = args.set.first() {
        let run = folder.display();
        return Err(Usage(format!(
            "--set {set}: a run that goes on keeps its settings; start one with others from its weights: \
             intrain train {run}/config.toml --init {run} --set {set}"
        ))
        .into());
    }
    let dir = RunDir(folder.to_owned());
    let mut config = config_of(&dir)?;
    let settings = &mut config.settings;
    settings.max_steps = args.max_steps.unwrap_or(settings.max_steps);
    let epochs = settings.epochs;
    settings.epochs = args.epochs.unwrap_or(epochs);
    if let Some(before) = args.epochs.and_then(|_| whole_run_rates(&config, epochs)) {
        say(&format!(
            "note: {before} spreads the learning rates over {} epochs from here on, and over {epochs} before, so config.toml alone no \
             longer repeats this run",
            config.settings.epochs
        ));
    }
    let dataset = load_data(&config.data)
        .with_context(|| format!("{}: its data, {}, cannot be read", folder.display(), config.data))?;
    Ok((config, Arc::new(dataset), dir))
}

/// The setting by which learning rates depend on the number of epochs, where that is no longer `epochs`.
fn whole_run_rates(config: &Config, epochs: u32) -> Option<&'static str> {
    let settings = &config.settings;
    match (settings.epochs == epochs, settings.cosine, settings.poly != 0.0) {
        (false, true, _) => Some("cosine"),
        (false, false, true) => Some("poly"),
        _ => None,
    }
}

pub(crate) fn text(s: &Summary) -> String {
    let mut lines = vec![
        ("test error", test_error(s)),
        ("steps", format!("{} in {} epochs", grouped(s.steps), s.epochs)),
        ("weights sha256", s.weights_sha256.clone()),
        ("report", RunDir(s.run_dir.clone()).report().display().to_string()),
    ];
    // Without a step there is neither.
    if !s.train_loss.is_nan() {
        lines.insert(1, ("train loss", format!("{:.4}", s.train_loss)));
        lines.insert(3, ("speed", speed(s.images_per_second)));
    }
    if let Some(error) = s.running_test_error {
        let text = "with the running statistics of the norms, not estimated ones (norm_batches)";
        lines.insert(1, ("", format!("{} {text}", percent(error))));
    }
    if let Some(error) = s.test_top5_error {
        lines.insert(1, ("top-5 test error", percent(error)));
    }
    if let Some(best) = s.best_validation_error {
        let best = format!("best {}: checkpoints/best.ckpt", percent(best));
        lines.insert(0, ("validation error", after_last_step(s.validation_error, &best)));
    }
    facts(&lines)
}

fn test_error(s: &Summary) -> String {
    let best = match percent(s.best_test_error) {
        _ if !s.best_test_error.is_finite() => "none before".to_owned(),
        best if s.best_validation_error.is_some() => format!("{best} at the best validation error"),
        best => format!("best {best}"),
    };
    after_last_step(Some(s.test_error).filter(|error| !error.is_nan()), &best)
}

/// An error after the last step, and a remark.
fn after_last_step(error: Option<f64>, remark: &str) -> String {
    let error = error.map_or_else(|| "not evaluated after the last step".to_owned(), percent);
    format!("{error} ({remark})")
}

pub(crate) fn object(s: &Summary) -> serde_json::Value {
    let mut object = json!({
        "recipe": s.recipe, "model": s.model, "data": s.data, "seed": s.seed, "epochs": s.epochs, "steps": s.steps,
        "train_loss": s.train_loss, "test_error": s.test_error, "best_test_error": s.best_test_error,
        "images_per_second": s.images_per_second, "weights_sha256": s.weights_sha256, "run_dir": s.run_dir.display().to_string(),
        "interrupted": s.interrupted,
    });
    if let Some(error) = s.running_test_error {
        object["running_test_error"] = error.into();
    }
    if let Some(error) = s.test_top5_error {
        object["test_top5_error"] = error.into();
    }
    if let Some(best) = s.best_validation_error {
        object["validation_error"] = s.validation_error.into();
        object["best_validation_error"] = best.into();
    }
    object
}
