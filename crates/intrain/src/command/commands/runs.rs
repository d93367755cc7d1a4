//! `intrain runs`: the runs under a folder, and in what some of them differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::train::metrics;
use crate::train::run::RunDir;
use serde_json::json;
use toml::Value;

use crate::command::args::RunsArgs;
use crate::command::difference;
use crate::command::failure::Usage;
use crate::command::output::{Output, percent, table};
use crate::command::settings::config_of;

/// Folders below a folder of runs in which runs are looked for: `runs/SWEEP/runs/RUN`.
const DEPTH: usize = 3;

pub(crate) fn run(args: &RunsArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let default = [PathBuf::from("runs")];
    let places = if args.folders.is_empty() { &default[..] } else { &args.folders };
    let mut folders = Vec::new();
    // What a shell makes of FOLDER/* holds files too.
    let is_file = |place: &&PathBuf| places.len() > 1 && place.is_file();
    for place in places.iter().filter(|place| !is_file(place)) {
        let before = folders.len();
        find(place, DEPTH, &mut folders)?;
        if folders.len() == before {
            let name = place.display();
            return Err(Usage(format!(
                "{name}: there is no run in it; name a run folder, or a folder of runs"
            ))
            .into());
        }
    }
    let mut runs = folders.iter().map(|folder| Seen::of(folder)).collect::<anyhow::Result<Vec<_>>>()?;
    // Errors on one data set say nothing about those on another.
    runs.sort_by(|a, b| {
        a.data.cmp(&b.data).then(a.chosen().total_cmp(&b.chosen())).then_with(|| a.folder.cmp(&b.folder))
    });
    let mut text = overview(&runs);
    let differences = differences(&runs);
    // Of many runs this would be a page.
    if args.folders.len() > 1 && !differences.is_empty() {
        text.push_str("\nthey differ in\n");
        for (key, values) in &differences {
            let values = values.iter().map(|value| value.map_or_else(|| "-".to_owned(), Value::to_string));
            text.push_str(&format!("  {key}: {}\n", values.collect::<Vec<_>>().join(" | ")));
        }
    }
    let objects: Vec<_> = runs.iter().map(Seen::object).collect();
    let differences: serde_json::Map<String, serde_json::Value> =
        differences.into_iter().map(|(key, values)| (key, json!(values))).collect();
    output.finish(&text, &json!({"runs": objects, "differences": differences}))?;
    Ok(ExitCode::SUCCESS)
}

/// The run folders at and below a place; links are not followed.
fn find(place: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if RunDir(place.to_owned()).config().is_file() {
        found.push(place.to_owned());
        return Ok(());
    }
    let refuse =
        |e| Usage(format!("{}: cannot list: {e}; name a run folder, or a folder of runs", place.display()));
    let mut below: Vec<PathBuf> = std::fs::read_dir(place)
        .map_err(refuse)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    below.sort();
    if depth > 0 {
        below.iter().try_for_each(|folder| find(folder, depth - 1, found))?;
    }
    Ok(())
}

/// A run at a glance.
struct Seen {
    folder: PathBuf,
    /// Its config.toml, key by key.
    keys: BTreeMap<String, Value>,
    model: String,
    data: String,
    recipe: String,
    seed: u64,
    /// Done, and of how many.
    epochs: (u32, u32),
    /// Whether it ended because its error fell no more.
    lost_patience: bool,
    /// The test error of the best row.
    best: Option<f64>,
    /// The error on the images for validation by which that row was chosen, where there are some.
    best_validation: Option<f64>,
    last: Option<f64>,
}

/// The runs as a table, with the errors on images for validation where a run has some.
fn overview(runs: &[Seen]) -> String {
    let rows: Vec<_> = runs.iter().map(Seen::row).collect();
    let headings = ["run", "model", "data", "recipe", "seed", "epochs", "best", "last"];
    if runs.iter().all(|run| run.best_validation.is_none()) {
        return table(headings, &rows);
    }
    let [run, model, data, recipe, seed, epochs, best, last] = headings;
    let headings = [run, model, data, recipe, seed, epochs, "validation", best, last];
    let wider = |(row, seen): ([String; 8], &Seen)| {
        let [run, model, data, recipe, seed, epochs, best, last] = row;
        [run, model, data, recipe, seed, epochs, error(seen.best_validation), best, last]
    };
    table(headings, &rows.into_iter().zip(runs).map(wider).collect::<Vec<_>>())
}

fn error(error: Option<f64>) -> String {
    error.map(percent).unwrap_or_default()
}

impl Seen {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        let dir = RunDir(folder.to_owned());
        let config = config_of(&dir)?;
        let rows = if dir.metrics().exists() { metrics::read(&dir.metrics())? } else { vec![] };
        let chosen = rows.iter().filter_map(|row| Some((row, row.choosing_error()?)));
        let best = chosen.clone().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(row, _)| row);
        let n_since = best.map_or(0, |best| chosen.filter(|(row, _)| row.step > best.step).count());
        let patience = config.settings.patience as usize;
        Ok(Self {
            folder: folder.to_owned(),
            keys: difference::flat(&config.to_toml()?.parse()?),
            epochs: (rows.last().map_or(0, |row| row.epoch), config.settings.epochs),
            lost_patience: patience > 0 && n_since >= patience,
            best: best.and_then(|row| row.test_error),
            best_validation: best.and_then(|row| row.validation_error),
            last: rows.iter().rev().find_map(|row| row.test_error),
            seed: config.settings.seed,
            model: config.model.name,
            data: config.data,
            recipe: config.recipe.name,
        })
    }

    /// The error by which its best row was chosen; runs without one come last.
    fn chosen(&self) -> f64 {
        self.best_validation.or(self.best).unwrap_or(f64::INFINITY)
    }

    fn row(&self) -> [String; 8] {
        [
            self.folder.display().to_string(),
            self.model.clone(),
            self.data.clone(),
            self.recipe.clone(),
            self.seed.to_string(),
            format!(
                "{}/{}{}",
                self.epochs.0,
                self.epochs.1,
                if self.lost_patience { ", patience" } else { "" }
            ),
            error(self.best),
            error(self.last),
        ]
    }

    fn object(&self) -> serde_json::Value {
        let mut object = json!({
            "run": self.folder.display().to_string(), "model": self.model, "data": self.data, "recipe": self.recipe,
            "seed": self.seed, "epochs_done": self.epochs.0, "epochs": self.epochs.1,
            "lost_patience": self.lost_patience,
            "best_test_error": self.best, "last_test_error": self.last,
        });
        if let Some(error) = self.best_validation {
            object["best_validation_error"] = error.into();
        }
        object
    }
}

/// The keys in which the runs differ, each with what every run says.
fn differences(runs: &[Seen]) -> Vec<(String, Vec<Option<&Value>>)> {
    let mut keys: Vec<&String> = runs.iter().flat_map(|run| run.keys.keys()).collect();
    keys.sort();
    keys.dedup();
    let values = |key: &String| runs.iter().map(|run| run.keys.get(key)).collect::<Vec<_>>();
    let all = keys.into_iter().map(|key| (key.clone(), values(key)));
    all.filter(|(_, values)| values.iter().any(|value| *value != values[0])).collect()
}
