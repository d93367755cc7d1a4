//! The extension module `intrain._intrain`: arrays of NumPy through the library's quantizers, and networks that learn from them.
//!
//! What a number becomes is the library's; here is how Python says it. The interpreter's lock is released while many elements or
//! steps are computed. Functions that start with an underscore are for the package's own Python files.

mod array;
mod call;
mod encode;
mod error;
mod explain;
mod network;
mod plan;
mod pool;
mod quantize;
mod recipe;
mod row;
mod trained;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _intrain {
    #[pymodule_export]
    use super::encode::{Encoded, decode, encode, measure};
    #[pymodule_export]
    use super::error::{ArtefactError, DataError, IntrainError, ModelError, RecipeError};
    #[pymodule_export]
    use super::explain::{Explanation, explain};
    #[pymodule_export]
    use super::network::{Session, load_data};
    #[pymodule_export]
    use super::plan::plan;
    #[pymodule_export]
    use super::pool::{set_threads, threads};
    #[pymodule_export]
    use super::quantize::quantize;
    #[pymodule_export]
    use super::recipe::{Model, Recipe};
    #[pymodule_export]
    use super::row::{Row, row};
    #[pymodule_export]
    use super::trained::Trained;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// Runs the command line of `words`, the program's name first, and gives its exit code.
    #[pyfunction]
    fn command(py: Python<'_>, words: Vec<std::ffi::OsString>) -> u8 {
        let code = py.detach(|| intrain::command::main(words));
        // An `ExitCode` says no number; these are the ones there are.
        (0..=u8::MAX).find(|n| std::process::ExitCode::from(*n) == code).unwrap_or(1)
    }
}
