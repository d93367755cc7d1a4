//! A trained network from its file: it answers, and is brought elsewhere.

use std::path::PathBuf;
use std::sync::Mutex;

use intrain::answers::Answers;
use intrain::nn::{Logits, Plan};
use intrain::train::checkpoint::parse_safetensors;
use intrain::train::saved::{self, SavedModel, weights_sha256};
use intrain::train::session::EVALUATION_BATCH;
use intrain::train::{TrainError, this_machine};
use numpy::PyReadonlyArrayDyn;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::slice;
use crate::error::{ArtefactError, IntrainError, Raised};
use crate::network::{as_arrays, by_name};

/// A network that was saved. It belongs to the process that loaded it.
#[pyclass(frozen, module = "intrain._intrain")]
pub(crate) struct Trained {
    saved: SavedModel,
    plan: Plan,
    answers: Mutex<Answers>,
    process: u32,
}

#[pymethods]
impl Trained {
    /// Of the bytes of a `model.safetensors`; `name` is what messages call it.
    #[new]
    fn new(py: Python<'_>, bytes: &[u8], name: PathBuf, threads: usize) -> PyResult<Self> {
        py.detach(|| {
            let saved = saved::parse_model(parse_safetensors(bytes, &name)?, &name)?;
            let plan = Plan::build(&saved.model, &saved.recipe, 1)?;
            let context = this_machine(threads)?;
            let answers = Mutex::new(Answers::of(plan.clone(), &saved, &context, EVALUATION_BATCH));
            Ok(Self { saved, plan, answers, process: std::process::id() })
        })
        .map_err(|error: TrainError| match error {
            TrainError::Setting(problem) => ArtefactError::new_err(problem),
            error => error.raised(),
        })
    }

    /// Network and recipe as texts, the names of its classes, and the encoder of its data where there is one.
    #[getter]
    fn about(&self) -> (String, String, Vec<String>, Option<String>) {
        let SavedModel { model, recipe, classes, encoder, .. } = &self.saved;
        (
            model.to_toml(),
            recipe.to_toml(),
            classes.clone(),
            encoder.as_ref().map(|encoder| encoder.to_toml()),
        )
    }

    /// SHA-256 over the stored weights.
    #[getter]
    fn weights_sha256(&self) -> String {
        weights_sha256(&self.saved.parameters)
    }

    /// As a session's.
    fn logits<'py>(
        &self,
        py: Python<'py>,
        pixels: PyReadonlyArrayDyn<'py, u8>,
    ) -> PyResult<(Bound<'py, PyAny>, i32)> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "this network was loaded in another process, and its threads stayed there; load it in this one",
            ));
        }
        let images = slice(&pixels);
        let size = self.saved.model.input.shape.len();
        if images.is_empty() || !images.len().is_multiple_of(size) {
            return Err(IntrainError::new_err(format!(
                "{} bytes are no whole number of images of {}; give at least one image",
                images.len(),
                self.saved.model.input.shape
            )));
        }
        let answers = &self.answers;
        let logits = py.detach(|| {
            let mut answers = answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let parts = images.chunks(size * EVALUATION_BATCH).map(|images| answers.logits(images));
            parts.reduce(join)
        });
        logits.map(|logits| as_arrays(py, logits)).ok_or_else(|| IntrainError::new_err("no image"))
    }

    /// As a session's.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        by_name(py, saved::model_tensors(&self.plan, &self.saved.parameters))
    }
}

/// The logits of images and of those behind them.
fn join(all: Logits, next: Logits) -> Logits {
    match (all, next) {
        (Logits::Integers { mut values, frac_bits }, Logits::Integers { values: next, .. }) => {
            values.extend(next);
            Logits::Integers { values, frac_bits }
        }
        (Logits::Floats(mut values), Logits::Floats(next)) => {
            values.extend(next);
            Logits::Floats(values)
        }
        (all, _) => all,
    }
}
