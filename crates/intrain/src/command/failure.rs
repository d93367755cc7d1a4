//! From an error to a message and an exit code: 2 where the user's words or files were wrong, 1 for the rest.

use std::error::Error;
use std::io::ErrorKind;
use std::process::ExitCode;

use crate::data::DataError;
use crate::deploy::DeployError;
use crate::import::ImportError;
use crate::model::ModelError;
use crate::nn::PlanError;
use crate::num::ParseError;
use crate::recipe::RecipeError;
use crate::train::{ArtefactError, TrainError};

use crate::array::ArrayError;
use crate::bench::UnknownWork;
use crate::tensors::TensorsError;

use crate::command::output::{Output, say};

/// Wrong usage that no library knows of: the value, the limit, and what to write.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Prints the error once, with `--json` as the object of standard output too, with those of its causes that its message doesn't tell already.
pub(crate) fn report(error: &anyhow::Error, output: &Output) -> ExitCode {
    if is_closed_pipe(error) {
        // Whoever read the output has seen enough, as in `intrain recipe list | head -1`.
        return ExitCode::SUCCESS;
    }
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    say(&text);
    let code = if is_input(error) { 2 } else { 1 };
    // Nothing is left to do about a standard output that is gone.
    let _ = output.error(text.trim_start_matches("error: "), code);
    ExitCode::from(code)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// Whether other words or files would have made it work: all typed errors of the libraries, except for a full disk,
/// a server that does not deliver and a run that diverged.
fn is_input(error: &anyhow::Error) -> bool {
    let is_full = |e: &(dyn Error + 'static)| {
        e.downcast_ref::<std::io::Error>()
            .is_some_and(|e| matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    };
    let is_network = matches!(error.downcast_ref(), Some(DataError::Download { .. }));
    let is_divergence = matches!(error.downcast_ref(), Some(TrainError::Diverged { .. }));
    !is_network && !is_divergence && !error.chain().any(is_full) && error.chain().any(is_typed)
}

fn is_typed(e: &(dyn Error + 'static)) -> bool {
    e.is::<Usage>()
        || e.is::<UnknownWork>()
        || e.is::<ArrayError>()
        || e.is::<TensorsError>()
        || e.is::<DataError>()
        || e.is::<DeployError>()
        || e.is::<ImportError>()
        || e.is::<ModelError>()
        || e.is::<PlanError>()
        || e.is::<ParseError>()
        || e.is::<RecipeError>()
        || e.is::<ArtefactError>()
        || e.is::<TrainError>()
}
