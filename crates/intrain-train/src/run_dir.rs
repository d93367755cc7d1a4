//! The only place that knows a run folder: `config.toml`, `metrics.csv`, TensorBoard events, `checkpoints/{last,best}.ckpt`,
//! `model.safetensors` and `report.html`.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::atomic::{remove_temporaries, written};
use crate::saved::has_other_data;
use crate::{ArtefactError, TrainError};

/// Held by the process that writes into a folder; it has no content.
const LOCK: &str = ".lock";

/// The files of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(pub PathBuf);

impl RunDir {
    /// The resolved run.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// A row per epoch.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.csv")
    }

    /// Where the run goes on.
    #[must_use]
    pub fn last(&self) -> PathBuf {
        self.0.join("checkpoints/last.ckpt")
    }

    /// The checkpoint with the lowest error, on the images for validation or on the test images.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.0.join("checkpoints/best.ckpt")
    }

    /// The trained integers.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }

    /// The page for a reader.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// Whether the run was trained on other data than those of these fingerprints ([`intrain_data::Dataset::fingerprints`]); what has no
    /// checkpoint doesn't say.
    ///
    /// # Errors
    /// A checkpoint that is damaged.
    pub fn has_other_data(&self, fingerprints: &[String]) -> Result<bool, TrainError> {
        let checkpoint = [self.last(), self.best()].into_iter().find(|path| path.exists());
        checkpoint.map_or(Ok(false), |path| has_other_data(&path, fingerprints))
    }

    /// Makes a new run folder that must not hold a run yet.
    ///
    /// # Errors
    /// A run is there already, or the system refuses.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let dir = Self(path.to_owned());
        if let Some(file) = dir.files().into_iter().find(|file| file.exists()) {
            let (file, path) = (file.display(), path.display());
            let is_run =
                [dir.config(), dir.metrics(), dir.last(), dir.best()].iter().any(|file| file.exists());
            let reason = if is_run {
                format!(
                    "{file}: there is a run already; go on with --resume {path}, or choose another folder with --out"
                )
            } else {
                format!(
                    "{file}: this file is there, and a run would write it; choose another folder with --out"
                )
            };
            return Err(TrainError::Setting(reason));
        }
        check_lock(&path.join(LOCK))?;
        dir.make()?;
        Ok(dir)
    }

    /// Makes the folder of a run, or takes the one of a run that has left no checkpoint and begins again; nothing is removed.
    ///
    /// # Errors
    /// The folder holds what no run has left there, or the system refuses.
    pub fn create_or_reuse(path: &Path) -> Result<Self, TrainError> {
        let dir = Self(path.to_owned());
        if let Some(unknown) = dir.unknown()? {
            return Err(TrainError::Setting(format!(
                "{}: there is no checkpoint in this folder to go on from, and {} is not what a run has left; move the folder \
                 away to begin the run anew, or choose another folder with --out",
                path.display(),
                unknown.display()
            )));
        }
        dir.make()?;
        Ok(dir)
    }

    /// The first thing in the folder that is not of a run.
    fn unknown(&self) -> Result<Option<PathBuf>, TrainError> {
        let checkpoints = self.checkpoints();
        // A run writes its settings before everything else.
        let (files, is_begun) = (self.files(), is_resolved(&self.config()));
        let is_known = |path: &PathBuf| {
            if *path == checkpoints {
                return path.is_dir();
            }
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            let is_event = name.starts_with("events.out.tfevents.") && path.parent() == Some(&self.0);
            let is_lock = *path == self.0.join(LOCK);
            let is_part = written(path).is_some_and(|file| files.contains(&file));
            path.is_file() && (is_lock || is_part || (is_begun && (is_event || files.contains(path))))
        };
        let mut all = entries(&self.0)?;
        if checkpoints.is_dir() {
            all.extend(entries(&checkpoints)?);
        }
        Ok(all.into_iter().find(|path| !is_known(path)))
    }

    fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    fn make(&self) -> Result<(), TrainError> {
        let checkpoints = self.checkpoints();
        std::fs::create_dir_all(&checkpoints).map_err(|e| {
            TrainError::Setting(format!(
                "{}: cannot create: {e}; choose a folder that you may write to with --out",
                checkpoints.display()
            ))
        })
    }

    /// All that a run writes as a whole.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 6] {
        [self.config(), self.metrics(), self.last(), self.best(), self.model(), self.report()]
    }

    /// Keeps other processes out for as long as the file is open.
    pub(super) fn lock(&self) -> Result<File, TrainError> {
        lock_folder(&self.0, &self.files())
    }

    /// A run without checkpoints begins again only where nothing else would be lost.
    pub(super) fn check_unstarted(&self) -> Result<(), TrainError> {
        let rows = if self.metrics().exists() { crate::metrics::read(&self.metrics())?.len() } else { 0 };
        if rows == 0 && !self.model().exists() {
            return Ok(());
        }
        Err(TrainError::Setting(format!(
            "{}: no such file, though the run has {rows} rows of metrics; put a checkpoint back, or train anew in \
             another folder with: intrain train {} --out DIR",
            self.last().display(),
            self.config().display()
        )))
    }
}

/// What is in a folder, in the order of names; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let found = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => {
            found.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        }
    };
    let mut paths = found.map_err(ArtefactError::io(folder, "list"))?;
    paths.sort();
    Ok(paths)
}

/// Whether a file holds the settings of a run as a run writes them down, with its recipe and its model as tables.
fn is_resolved(config: &Path) -> bool {
    let keys = std::fs::read_to_string(config).ok().and_then(|text| text.parse::<toml::Table>().ok());
    keys.is_some_and(|keys| {
        ["recipe", "model"].iter().all(|key| keys.get(*key).is_some_and(toml::Value::is_table))
    })
}

/// Refuses a file that is no lock: locks have no content, and whoever holds one writes none.
fn check_lock(path: &Path) -> Result<(), TrainError> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > 0 || !found.is_file() => Err(TrainError::Setting(format!(
            "{}: this is there already, and it is no lock of a run; move it away, or choose another folder with --out",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Keeps other processes out of a folder for as long as the file, `.lock` in it, is open, and removes what killed ones have left
/// of writing `files`, which are all that is written under this lock.
///
/// # Errors
/// Another process is in it, `.lock` is a file of another kind, or the system refuses it.
pub fn lock_folder(folder: &Path, files: &[PathBuf]) -> Result<File, TrainError> {
    let path = folder.join(LOCK);
    check_lock(&path)?;
    // Without truncation: what is there now may have come since.
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(ArtefactError::io(&path, "create"))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrainError::Setting(format!(
            "{}: another process trains in this folder; wait for its end, or choose another folder",
            folder.display()
        ))),
        Ok(()) => {
            remove_temporaries(files);
            Ok(file)
        }
        // A file system without locks has nothing to say.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_run_without_a_checkpoint_begins_again_where_nothing_else_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let put = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
        let taken = || RunDir::create_or_reuse(&path).map_err(|error| error.to_string());
        taken().unwrap();
        assert!(path.join("checkpoints").is_dir());
        // Stopped before it had written its settings, and behind.
        put(".lock", "");
        put("config.toml.tmp-12", "seed =");
        taken().unwrap();
        put("metrics.csv", "mine");
        let message = taken().unwrap_err();
        let unknown = path.join("metrics.csv").display().to_string();
        assert!(
            message.contains(&format!("{unknown} is not what a run has left; move the folder away")),
            "{message}"
        );
        put("config.toml", "recipe = 'wage'\nmodel = 'lenet5'\n");
        assert!(taken().unwrap_err().contains("config.toml is not"));
        put("config.toml", "seed = 1\n[recipe]\nname = 'x'\n[model]\nname = 'x'\n");
        put("events.out.tfevents.12.host.1", "");
        put("checkpoints/last.ckpt.tmp-12", "");
        taken().unwrap();
        for name in ["notes.txt", "checkpoints/notes.txt", "checkpoints/events.out.tfevents.12"] {
            put(name, "mine");
            assert!(taken().unwrap_err().contains(name), "{name}");
            assert_eq!(fs::read_to_string(path.join(name)).unwrap(), "mine");
            fs::remove_file(path.join(name)).unwrap();
        }
    }

    #[test]
    fn a_lock_is_no_file_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        fs::write(&path, "mine").unwrap();
        for refused in [RunDir::create(folder.path()).map(drop), lock_folder(folder.path(), &[]).map(drop)] {
            let message = refused.unwrap_err().to_string();
            assert!(
                message.contains(".lock: this is there already, and it is no lock of a run"),
                "{message}"
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert!(!folder.path().join("checkpoints").exists());
        fs::write(&path, "").unwrap();
        let held = lock_folder(folder.path(), &[]).unwrap();
        assert!(lock_folder(folder.path(), &[]).unwrap_err().to_string().contains("another process trains"));
        drop(held);
        lock_folder(folder.path(), &[]).unwrap();
    }
}
