//! `intrain sweep`: every run of a sweep's file that is not finished yet, then its table and its page.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::data::Dataset;
use crate::nn::Context;
use crate::sweep::{self, Entry, Finished, Row, Sweep};
use crate::train::config::{Config, Settings};
use crate::train::metrics;
use crate::train::run::{Run, RunDir, Summary};
use crate::train::{TrainError, atomic_write, lock_folder};
use serde_json::json;

use super::plan::check_memory;
use crate::command::args::SweepArgs;
use crate::command::difference;
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, say};
use crate::command::progress::{INTERRUPTED, Watcher};
use crate::command::settings::{config_of, context, load_data};

/// A sweep's folder, which no other process enters as long as this one has it.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder, or finds it with the same `settings`, the text of what its finished runs and tables rest on. Further
    /// files than a sweep's own that will be written there are `more`; `file` is the sweep's.
    pub(super) fn enter(
        path: PathBuf,
        settings: &str,
        file: &Path,
        more: Vec<Group>,
    ) -> anyhow::Result<Self> {
        let tables = ["table.csv", "table.md", "page.html"].map(str::to_owned);
        let mut groups = more;
        groups.push(Group::new("runs.csv", sweep::HEADER, tables));
        // However it begins: where the settings are others, it is not replaced.
        groups.push(Group::new("settings.toml", "", []));
        let out = OutFolder::check(&path, groups, &[file])?;
        let cannot = |e: std::io::Error| {
            Usage(format!("{}: cannot create: {e}; choose another --out", path.display()))
        };
        std::fs::create_dir_all(&path).map_err(cannot)?;
        let lock = lock_folder(&path, &out.files())?;
        out.make()?;
        std::fs::create_dir_all(path.join("runs")).map_err(cannot)?;
        let kept = path.join("settings.toml");
        match std::fs::read_to_string(&kept) {
            Ok(before) if before != settings => {
                let [before, now] = [before.parse(), settings.parse()].map(Result::unwrap_or_default);
                let what = difference::first(&before, &now, |_| true).map(|what| format!(": {what}"));
                let reason = format!(
                    "{}: this folder's runs have other settings than {} says now{}; choose another --out, or put them back",
                    kept.display(),
                    file.display(),
                    what.unwrap_or_default()
                );
                return Err(Usage(reason).into());
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                atomic_write(&kept, settings.as_bytes())?;
            }
            Err(error) => {
                let problem = format!("{}: cannot read: {error}; choose another --out", kept.display());
                return Err(Usage(problem).into());
            }
        }
        Ok(Self { path, _lock: lock })
    }

    fn run(&self, entry: &Entry) -> RunDir {
        RunDir(self.path.join("runs").join(entry.folder()))
    }

    /// Finished runs, as the sweep names them; none before the first.
    fn rows(&self, sweep: &Sweep) -> anyhow::Result<Vec<Row>> {
        let path = self.file("runs.csv");
        let rows = match std::fs::read_to_string(&path) {
            Ok(text) => sweep::read_rows(&text).map_err(|e| Usage(format!("{}: {e}", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Usage(format!("{}: cannot read: {error}", path.display())).into()),
        };
        let runs: BTreeMap<&Entry, &Entry> = sweep.named.iter().zip(&sweep.runs).collect();
        let mut rows = sweep.renamed(rows);
        for row in &mut rows {
            // A run whose folder is gone has its line all the same.
            let metrics = runs.get(&row.entry).and_then(|run| metrics::read(&self.run(run).metrics()).ok());
            row.running_test_error = metrics.and_then(|rows| rows.last()?.running_test_error);
        }
        Ok(rows)
    }

    fn write(&self, sweep: &Sweep, rows: &[Row]) -> anyhow::Result<()> {
        let lines: Vec<String> =
            std::iter::once(sweep::HEADER.to_owned()).chain(rows.iter().map(Row::line)).collect();
        atomic_write(&self.file("runs.csv"), format!("{}\n", lines.join("\n")).as_bytes())?;
        let groups = sweep::groups(sweep, rows);
        atomic_write(&self.file("table.csv"), sweep::csv(&groups).as_bytes())?;
        atomic_write(&self.file("table.md"), sweep::markdown(sweep, &groups).as_bytes())?;
        let runs: BTreeMap<&Entry, &Entry> = sweep.named.iter().zip(&sweep.runs).collect();
        let finished = |row: &Row| Some(self.finished(row, runs.get(&row.entry)?));
        let finished: Vec<_> = rows.iter().filter_map(finished).collect();
        let page = sweep::page(sweep, &groups, &finished)?;
        Ok(atomic_write(&self.file("page.html"), page.as_bytes())?)
    }

    /// A row with what lies in its run's folder.
    fn finished(&self, row: &Row, run: &Entry) -> Finished {
        let dir = self.run(run);
        let metrics = std::fs::read_to_string(dir.metrics()).unwrap_or_default();
        // Names of folders need no escaping in a link.
        let report = format!("runs/{}/report.html", run.folder());
        let report = self.file(&report).exists().then_some(report);
        Finished { row: row.clone(), curve: sweep::curve(&metrics), report }
    }
}

pub(crate) fn run(args: &SweepArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let (sweep, planned) = planned(open(args)?)?;
    let folder =
        args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("sweep-{}", stem(&args.file))));
    // More recipes or seeds may join a sweep; other settings make its finished runs another thing.
    let folder = Folder::enter(folder, &sweep.settings.to_string(), &args.file, Vec::new())?;
    let Some(rows) = run_all(&sweep, planned, &folder, &context(args.threads, args.kernel.as_deref())?)?
    else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let groups = sweep::groups(&sweep, &rows);
    let text = format!(
        "{}\ntable    {}\npage     {}",
        sweep::markdown(&sweep, &groups),
        folder.file("table.csv").display(),
        folder.file("page.html").display()
    );
    let number = |x: f64| if x.is_nan() { serde_json::Value::Null } else { x.into() };
    let group = |g: &sweep::Group| {
        let mut object = json!({"recipe": g.entry.recipe, "model": g.entry.model, "data": g.entry.data, "runs": g.n,
               "mean": number(g.mean), "deviation": number(g.deviation), "interval": number(g.interval)});
        if let Some(sweep::Spread { mean, deviation, interval }) = g.running {
            let [mean, deviation, interval] = [mean, deviation, interval].map(number);
            object["running"] = json!({"mean": mean, "deviation": deviation, "interval": interval});
        }
        object
    };
    let groups: Vec<_> = groups.iter().map(group).collect();
    output.finish(
        &text,
        &json!({"sweep": sweep.name, "folder": folder.path.display().to_string(), "groups": groups}),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Every run of a sweep, planned before the first one starts: a sweep must not fail in the middle of the night. The sweep then
/// knows the model and the data of each.
pub(super) fn planned(sweep: Sweep) -> anyhow::Result<(Sweep, Vec<Planned>)> {
    let mut datasets = BTreeMap::new();
    let planned: Vec<Planned> =
        sweep.runs.iter().map(|entry| plan(entry, &sweep, &mut datasets)).collect::<Result<_, _>>()?;
    let defaults = planned.iter().map(|(config, _)| (config.model.name.as_str(), config.data.as_str()));
    Ok((sweep.with_defaults(defaults), planned))
}

/// Runs what is not finished yet; all rows, or `None` where the user stopped it.
pub(super) fn run_all(
    sweep: &Sweep,
    planned: Vec<Planned>,
    folder: &Folder,
    context: &Context,
) -> anyhow::Result<Option<Vec<Row>>> {
    let mut rows = folder.rows(sweep)?;
    let is_finished = |named: &Entry| rows.iter().any(|row| row.entry == *named);
    let runs = sweep.runs.iter().zip(&sweep.named).zip(&planned);
    let finished = runs.filter(|((_, named), _)| is_finished(named));
    check_finished(folder, finished.map(|((entry, _), planned)| (entry, planned)))?;
    let mut watcher = Watcher::new(0)?;
    let n = sweep.runs.len();
    let runs = sweep.runs.iter().zip(&sweep.named);
    for (i, ((entry, named), (config, dataset))) in runs.zip(planned).enumerate() {
        if rows.iter().any(|row| row.entry == *named) {
            continue;
        }
        say(&format!("run {} of {n}: {}", i + 1, entry.folder()));
        watcher.begin(config.settings.epochs);
        let run = start_or_resume(config, dataset, context.clone(), folder.run(entry))?;
        match run.train(&mut watcher) {
            Ok(summary) if summary.interrupted => {
                say("stopped; the same command goes on from here");
                return Ok(None);
            }
            Ok(summary) => rows.push(row(named, &summary)),
            // The other runs of a night are worth having; this one has no error, and its mean is a dash.
            Err(error @ TrainError::Diverged { .. }) => {
                say(&format!("warning: {}: {error}", entry.folder()));
                rows.push(diverged(named));
            }
            Err(error) => return Err(error.into()),
        }
        folder.write(sweep, &rows)?;
    }
    folder.write(sweep, &rows)?;
    Ok(Some(rows))
}

/// Refuses finished runs that are not those which the sweep would train now: their errors would stand for others.
fn check_finished<'a>(
    folder: &Folder,
    finished: impl Iterator<Item = (&'a Entry, &'a Planned)>,
) -> anyhow::Result<()> {
    // Of each data set and share for validation.
    let mut fingerprints = BTreeMap::new();
    for (entry, (config, dataset)) in finished {
        let dir = folder.run(entry);
        // A run whose folder is gone has its line all the same.
        if !dir.config().exists() {
            continue;
        }
        let share = config.settings.validation;
        let known = match fingerprints.entry((config.data.clone(), share.to_bits())) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(config.settings.parted(Arc::clone(dataset))?.fingerprints())
            }
        };
        let difference = match other_keys(&config_of(&dir)?, config)? {
            None if dir.has_other_data(known)? => Some(format!("'{}' holds other images now", config.data)),
            difference => difference,
        };
        if let Some(difference) = difference {
            return Err(Usage(format!(
                "{}: this run is finished, and the sweep's file would train another now: {difference}; choose another --out, or put it back",
                dir.0.display()
            ))
            .into());
        }
    }
    Ok(())
}

/// The first key of a finished run that the sweep says otherwise, but for names, and for how far it went: they change no bit on the way.
fn other_keys(finished: &Config, planned: &Config) -> anyhow::Result<Option<String>> {
    const NAMES: [&str; 5] = ["init_sha256", "recipe.name", "recipe.source", "model.name", "model.source"];
    // With the weights of a file, formats may have been chosen from the data.
    let is_open = |key: &str| planned.init.is_some() && key.starts_with("recipe.");
    let [finished, planned] = [finished.to_toml()?.parse()?, planned.to_toml()?.parse()?];
    Ok(difference::first(&finished, &planned, |key| {
        !Settings::FREE.contains(&key) && !NAMES.contains(&key) && !is_open(key)
    }))
}

/// The sweep of a file.
fn open(args: &SweepArgs) -> anyhow::Result<Sweep> {
    let name = args.file.display();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|e| Usage(format!("{name}: cannot read: {e}; name a sweep's TOML file")))?;
    Ok(Sweep::parse(&text, &stem(&args.file)).map_err(|e| Usage(format!("{name}: {e}")))?)
}

/// What a sweep is called, where its file does not say it.
fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(|| "sweep".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// A run's configuration and its data.
pub(super) type Planned = (Config, Arc<Dataset>);

/// A run's configuration and data; each data set is loaded once.
fn plan(
    entry: &Entry,
    sweep: &Sweep,
    datasets: &mut BTreeMap<String, Arc<Dataset>>,
) -> anyhow::Result<Planned> {
    let in_run = |e: &dyn std::fmt::Display| Usage(format!("run {}: {e}", entry.folder()));
    let keys = entry.keys(&sweep.settings);
    let name = Config::data_name(&keys).map_err(|e| in_run(&e))?;
    let dataset = match datasets.get(&name) {
        Some(dataset) => Arc::clone(dataset),
        None => {
            let dataset = Arc::new(load_data(&name)?);
            datasets.insert(name, Arc::clone(&dataset));
            dataset
        }
    };
    let config = Config::resolve_on(keys, &[], &dataset).map_err(|e| in_run(&e))?;
    check_memory(&config).map_err(|e| in_run(&e))?;
    Ok((config, dataset))
}

/// Goes on where an interrupted sweep left a checkpoint; what has none begins anew, in a folder without files of others.
fn start_or_resume(
    config: Config,
    dataset: Arc<Dataset>,
    context: Context,
    dir: RunDir,
) -> anyhow::Result<Run> {
    if dir.last().exists() || dir.best().exists() {
        return Ok(Run::resume(config, dataset, context, dir)?);
    }
    Ok(Run::start(config, dataset, context, RunDir::create_or_reuse(&dir.0)?)?)
}

/// What is known of a run that diverged.
fn diverged(entry: &Entry) -> Row {
    Row {
        entry: entry.clone(),
        test_error: f64::NAN,
        best_test_error: f64::NAN,
        train_loss: f64::NAN,
        weights_sha256: String::new(),
        running_test_error: None,
    }
}

fn row(entry: &Entry, summary: &Summary) -> Row {
    Row {
        entry: entry.clone(),
        test_error: summary.test_error,
        best_test_error: summary.best_test_error,
        train_loss: summary.train_loss,
        weights_sha256: summary.weights_sha256.clone(),
        running_test_error: summary.running_test_error,
    }
}
