//! The exceptions, and which of them an error of the library is. Messages are the library's.

use intrain::data;
use intrain::formats::ShapeError;
use intrain::formats::fixed::{FixedError, Unfit};
use intrain::model;
use intrain::recipe;
use intrain::train::TrainError;
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

create_exception!(
    intrain,
    IntrainError,
    PyValueError,
    "What Intrain refuses: the value, the limit and the remedy."
);
create_exception!(
    intrain,
    RecipeError,
    IntrainError,
    "A recipe, a row, a format or a rounding that is none."
);
create_exception!(intrain, ModelError, IntrainError, "A network that cannot be built.");
create_exception!(intrain, DataError, IntrainError, "Data that a network cannot learn from.");
create_exception!(intrain, ArtefactError, IntrainError, "A file that cannot be read or written.");

/// An error of the library as an exception.
pub(crate) trait Raised {
    /// The exception.
    fn raised(self) -> PyErr;
}

macro_rules! raised {
    ($($error:ty => $exception:ident),* $(,)?) => {$(
        impl Raised for $error {
            fn raised(self) -> PyErr {
                $exception::new_err(self.to_string())
            }
        }
    )*};
}

raised! {
    FixedError => RecipeError,
    recipe::RecipeError => RecipeError,
    model::ModelError => ModelError,
    data::DataError => DataError,
    ShapeError => IntrainError,
    Unfit => IntrainError,
}

impl Raised for TrainError {
    fn raised(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Data(_) => DataError::new_err(message),
            Self::Recipe(_) => RecipeError::new_err(message),
            Self::Model(_) => ModelError::new_err(message),
            Self::Artefact(_) => ArtefactError::new_err(message),
            _ => IntrainError::new_err(message),
        }
    }
}
