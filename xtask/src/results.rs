//! `cargo xtask results TABLE`: long experiments. Runs what `docs/results/TABLE.csv` lacks of `experiments/TABLE.toml`.
//!
//! Each finished run is a line of the CSV, written at once; the table for readers is made from the CSV alone. So it can
//! be interrupted at any time: a run goes on from its last checkpoint. Nothing of the machine or the time is written.

mod experiment;
mod record;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo;

use self::experiment::{Experiment, Row};
use self::record::Record;

/// Runs the experiment called `name` as far as it is missing, and writes its table.
///
/// # Errors
/// The list, the records or a run: which file, and what to do.
pub(crate) fn run(root: &Path, name: &str) -> Result<(), String> {
    let list = root.join("experiments").join(name).with_extension("toml");
    let text = fs::read_to_string(&list).map_err(|error| {
        format!("{}: cannot read: {error}; the tables are the files of experiments/", list.display())
    })?;
    let experiment = Experiment::parse(&text).map_err(|error| format!("{}: {error}", list.display()))?;
    let folder = root.join("docs/results");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let csv = folder.join(name).with_extension("csv");
    let mut records = read_records(&csv)?;
    experiment.check(&records).map_err(|error| format!("{}: {error}", csv.display()))?;
    let page = folder.join(name).with_extension("md");
    let write_page = |records: &[Record]| write(&page, &table::markdown(name, &experiment, records));
    write_page(&records)?;

    let missing = experiment.missing(&records);
    if missing.is_empty() {
        return Ok(());
    }
    let place = Place::new(root, name)?;
    for (i, (row, seed)) in missing.iter().enumerate() {
        eprintln!("== {} of {}: {}, seed {seed}", i + 1, missing.len(), row.name);
        records.push(place.run(row, *seed)?);
        write(&csv, &record::to_csv(&records))?;
        write_page(&records)?;
    }
    Ok(())
}

fn read_records(csv: &Path) -> Result<Vec<Record>, String> {
    match fs::read_to_string(csv) {
        Ok(text) => record::from_csv(&text).map_err(|error| format!("{}: {error}", csv.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: cannot read: {error}", csv.display())),
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let part = path.with_extension("part");
    let done = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
    done.map_err(|error| format!("{}: cannot write: {error}", path.display()))
}

/// Where runs lie, and the program that does them: a copy, so that a build beside them changes nothing.
struct Place {
    program: PathBuf,
    folder: PathBuf,
}

impl Place {
    fn new(root: &Path, name: &str) -> Result<Self, String> {
        let from = cargo::release_program(root)?;
        let folder = cargo::target(root).join("results").join(name);
        let to = folder.join(from.file_name().unwrap_or_default());
        fs::create_dir_all(&folder)
            .and_then(|()| fs::copy(&from, &to))
            .map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))?;
        Ok(Self { program: to, folder })
    }

    /// Runs one row with one seed; goes on with a run of the same arguments that was interrupted.
    fn run(&self, row: &Row, seed: u64) -> Result<Record, String> {
        let folder = self.folder.join(format!("{}-seed-{seed}", row.folder_name()));
        let asked = format!("{} --seed {seed}", row.args.join(" "));
        let note = folder.with_extension("args");
        let goes_on = fs::read_to_string(&note).is_ok_and(|begun| begun == asked)
            && folder.join("checkpoints/last.ckpt").exists();
        let mut command = Command::new(&self.program);
        command.arg("train");
        if goes_on {
            command.arg("--resume").arg(&folder);
        } else {
            if folder.exists() {
                fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            }
            write(&note, &asked)?;
            command.args(&row.args).args(["--seed", &seed.to_string()]).arg("--out").arg(&folder);
        }
        let output = command.arg("--json").stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.program.display()))?;
        if !output.status.success() {
            return Err(format!("intrain train {asked}: {}; start again to go on", output.status));
        }
        let record = Record::of_run(&row.name, seed, &String::from_utf8_lossy(&output.stdout))?;
        // Who removes a line of the CSV wants the run again, not its old end.
        fs::remove_file(&note).map_err(|error| format!("{}: {error}", note.display()))?;
        Ok(record)
    }
}
