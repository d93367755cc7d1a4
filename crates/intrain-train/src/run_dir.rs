//! The only place that knows a run folder: `config.toml`, `metrics.csv`, TensorBoard events, `checkpoints/{last,best}.ckpt`,
//! `model.safetensors` and `report.html`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::atomic::remove_temporaries;
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

    /// The checkpoint with the lowest test error.
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

    /// Makes a new run folder that must not hold a run yet.
    ///
    /// # Errors
    /// A run is there already, or the system refuses.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let dir = Self(path.to_owned());
        if let Some(file) = dir.files().into_iter().find(|file| file.exists()) {
            let reason = format!(
                "{}: there is a run already; go on with --resume {}, or choose another folder with --out",
                file.display(),
                path.display()
            );
            return Err(TrainError::Setting(reason));
        }
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(|e| {
            TrainError::Setting(format!(
                "{}: cannot create: {e}; choose a folder that you may write to with --out",
                checkpoints.display()
            ))
        })?;
        Ok(dir)
    }

    /// All that a run writes as a whole.
    fn files(&self) -> [PathBuf; 6] {
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

/// Keeps other processes out of a folder for as long as the file, `.lock` in it, is open, and removes what killed ones have left
/// of writing `files`, which are all that is written under this lock.
///
/// # Errors
/// Another process is in it, or the system refuses the file.
pub fn lock_folder(folder: &Path, files: &[PathBuf]) -> Result<File, TrainError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(ArtefactError::io(&path, "create"))?;
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
