//! What can go wrong with a file of a run folder. Each message names the file, what was found and the remedy.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why a run can't start, or can't go on. Each message names the value, the limit and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting of the run.
    #[error("{0}")]
    Setting(String),
    /// A layer whose rows cannot carry an update.
    #[error("layer '{layer}': {reason}")]
    Row {
        /// Its name.
        layer: String,
        /// What stands in the way, and what to do.
        reason: String,
    },
    /// The loss or a stored weight is not finite any more; nothing of it was written.
    #[error(
        "diverged at step {step} (epoch {epoch}): {what}; {}; lower the learning rate (now {rate}) in a new run{}", kept(.checkpoint),
        .again.as_ref().map(|command| format!(": {command}")).unwrap_or_default()
    )]
    Diverged {
        /// Steps done, the last one included.
        step: u64,
        /// Its epoch, counted from 1 as in the metrics.
        epoch: u64,
        /// What is not finite, and its value.
        what: String,
        /// The checkpoint of an earlier step.
        checkpoint: Option<PathBuf>,
        /// Learning rate of the step.
        rate: f64,
        /// The command of a new run with a lower rate, where there is a run to repeat.
        again: Option<String>,
    },
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] intrain_recipe::RecipeError),
    /// The model.
    #[error(transparent)]
    Model(#[from] intrain_model::ModelError),
    /// The two together.
    #[error(transparent)]
    Plan(#[from] intrain_nn::PlanError),
    /// The data.
    #[error(transparent)]
    Data(#[from] intrain_data::DataError),
    /// A file of a run.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

/// A file of a run that can't be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtefactError {
    /// There is no such file.
    #[error("{}: no such file; check the path{}", .path.display(), other(.path))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}; {}", .path.display(), remedy(.source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file doesn't begin as a checkpoint does.
    #[error("{}: not a checkpoint: it doesn't begin with \"INTRAIN1\"; pass a .ckpt file of a run", .path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// The file ends too early.
    #[error(
        "{}: cut short: {actual} bytes of {expected}; get it again{}", .path.display(), other(.path)
    )]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Size in bytes that the file should have.
        expected: u64,
        /// Size in bytes that it has.
        actual: u64,
    },
    /// The file has a sound beginning, but its content isn't what was written.
    #[error("{}: damaged: {problem}; get it again{}", .path.display(), other(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        problem: String,
    },
    /// A tensor, or the table of them, that a `.safetensors` file can't hold or that isn't supported here.
    #[error("{}: {problem}", .path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor, its value, the limit, and what to do.
        problem: String,
    },
    /// A line of a metrics file that isn't a row.
    #[error("{}, line {line}: {problem}; delete the line, or start a new run folder", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// The value, and what was expected.
        problem: String,
    },
}

impl ArtefactError {
    /// Says which file it was and what was tried; for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            ErrorKind::NotFound if action == "read" => Self::Missing { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), action, source },
        }
    }
}

/// What a run that diverged leaves.
fn kept(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map_or_else(
        || "there is no checkpoint yet".to_owned(),
        |path| format!("the last good checkpoint is {}", path.display()),
    )
}

/// What else there is to go on from.
fn other(path: &Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("last.ckpt") => ", or delete it to resume from best.ckpt beside it",
        Some(name) if name.ends_with(".ckpt") => ", or train anew in another folder",
        _ => "",
    }
}

/// What to do about an error of the operating system.
fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::NotFound => "create the folder first, or choose another",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to, or change its permissions"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free space on that disk or choose another; a file already there is as it was"
        }
        ErrorKind::IsADirectory => "that path is a folder; name a file",
        _ => "check the disk and the path",
    }
}
