//! A network that learns from arrays: the library's session, epoch by epoch, with Python heard in between.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use intrain::data::{self, DataFolders, Dataset, Encoder, Images, Split};
use intrain::nn::Logits;
use intrain::train::checkpoint::{NamedTensor, TensorData};
use intrain::train::metrics::{Details, OPTIONAL, Row};
use intrain::train::saved::weights_sha256;
use intrain::train::{Config, Listener, Session as Run, TrainError, this_machine};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::{Layout, slice};
use crate::error::{ArtefactError, Raised};
use crate::recipe::{Model, Recipe};

/// How often Python is asked whether somebody wants the end, and told how far it is.
const HEARD_EVERY: Duration = Duration::from_millis(50);

/// Images and labels of one part: pixels [n, height, width, channels] as bytes.
type Part<'py> = (PyReadonlyArrayDyn<'py, u8>, Vec<u16>);

/// A network and the data that it learns from. It belongs to the process that made it.
#[pyclass(frozen, module = "intrain._intrain")]
pub(crate) struct Session {
    run: Mutex<Run>,
    process: u32,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (model, recipe, *, name, train, validation, test, classes, encoder, settings, threads))]
    #[allow(clippy::too_many_arguments, reason = "the words of a call")]
    fn new(
        py: Python<'_>,
        model: &Model,
        recipe: Option<&Recipe>,
        name: &str,
        train: Part<'_>,
        validation: Option<Part<'_>>,
        test: Option<Part<'_>>,
        classes: Vec<String>,
        encoder: Option<&str>,
        settings: Vec<String>,
        threads: usize,
    ) -> PyResult<Self> {
        let images = |part: Part<'_>| -> PyResult<Images> {
            let (pixels, labels) = part;
            let shape = pixels.as_array().shape().to_vec();
            let shape: [usize; 4] = shape.try_into().unwrap_or_default();
            Images::new(shape, slice(&pixels).to_vec(), labels).map_err(Raised::raised)
        };
        let (train, test) = (images(train)?, test.map(images).transpose()?);
        let mut dataset = Dataset::from_images(name, classes.len(), train, test).map_err(Raised::raised)?;
        dataset.class_names = classes;
        dataset.encoder = encoder.and_then(Encoder::from_toml);
        if let Some(validation) = validation {
            dataset = dataset.validated_on(images(validation)?).map_err(Raised::raised)?;
        }
        let (recipe, sets) = match recipe {
            Some(recipe) => recipe.for_run(),
            None => (model.default_recipe(), &[][..]),
        };
        let sets: Vec<&str> = sets.iter().chain(&settings).map(String::as_str).collect();
        let made = py.detach(|| {
            let config = Config::for_data(model.for_run(), recipe, &dataset, &sets)?;
            Run::new(config, Arc::new(dataset), this_machine(threads)?)
        });
        let run = Mutex::new(made.map_err(Raised::raised)?);
        Ok(Self { run, process: std::process::id() })
    }

    /// Trains to the end of the epoch, or until somebody wants the end. Gives the epoch's record; None where it did not end.
    ///
    /// `told` is called with step, steps, epoch, loss, error and images per second now and then; `warned` with each warning.
    fn fit_epoch<'py>(
        &self,
        py: Python<'py>,
        told: Option<Py<PyAny>>,
        warned: Py<PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut ear = Ear { told, warned, heard: Instant::now(), raised: None, record: None };
        let done = {
            let run = &mut *self.run()?;
            py.detach(|| run.fit(&mut ear))
        };
        if let Some(raised) = ear.raised {
            return Err(raised);
        }
        done.map_err(Raised::raised)?;
        ear.record.map(|(row, details)| record(py, &row, &details)).transpose()
    }

    /// Whether all steps are done, or patience has ended it.
    #[getter]
    fn is_done(&self) -> PyResult<bool> {
        Ok(self.run()?.is_done())
    }

    /// Steps done.
    #[getter]
    fn step(&self) -> PyResult<u64> {
        Ok(self.run()?.trainer().steps())
    }

    /// Steps of the whole run, and of an epoch.
    #[getter]
    fn n_steps(&self) -> PyResult<(u64, u64)> {
        let run = self.run()?;
        Ok((run.n_steps(), run.steps_per_epoch()))
    }

    /// The resolved run as TOML: every setting with its value.
    #[getter]
    fn config(&self) -> PyResult<String> {
        self.run()?.config().to_toml().map_err(Raised::raised)
    }

    /// By which a run knows its data again.
    #[getter]
    fn fingerprint(&self) -> PyResult<String> {
        Ok(self.run()?.dataset().fingerprint())
    }

    /// SHA-256 over the stored weights.
    #[getter]
    fn weights_sha256(&self) -> PyResult<String> {
        Ok(weights_sha256(self.run()?.trainer().parameters()))
    }

    /// The logits of images, as integers and what each is worth (2^-frac_bits), or as floats and 0.
    fn logits<'py>(
        &self,
        py: Python<'py>,
        pixels: PyReadonlyArrayDyn<'py, u8>,
    ) -> PyResult<(Bound<'py, PyAny>, i32)> {
        let images = slice(&pixels);
        let logits = {
            let run = &mut *self.run()?;
            py.detach(|| run.logits(images)).map_err(Raised::raised)?
        };
        Ok(as_arrays(py, logits))
    }

    /// The tensors of `model.safetensors`, by name.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tensors = {
            let run = &mut *self.run()?;
            py.detach(|| run.tensors()).map_err(Raised::raised)?
        };
        by_name(py, tensors)
    }

    /// Writes `model.safetensors` as a run of the command does.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let run = &mut *self.run()?;
        py.detach(|| run.save(&path)).map_err(|error| match error {
            TrainError::Setting(problem) => ArtefactError::new_err(problem),
            error => error.raised(),
        })
    }
}

impl Session {
    /// The run, which one call at a time may have.
    ///
    /// # Errors
    /// Another process made it, or another thread trains it now.
    fn run(&self) -> PyResult<MutexGuard<'_, Run>> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "this network was made in another process, and its threads stayed there; save it and load it in this one, or build it \
                 here",
            ));
        }
        match self.run.try_lock() {
            Ok(run) => Ok(run),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Ok(PoisonError::into_inner(poisoned)),
            Err(std::sync::TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "the network is being trained by another thread; wait for its end",
            )),
        }
    }
}

/// Logits as an array, and what an integer among them is worth.
pub(crate) fn as_arrays(py: Python<'_>, logits: Logits) -> (Bound<'_, PyAny>, i32) {
    match logits {
        Logits::Integers { values, frac_bits } => (PyArray1::from_vec(py, values).into_any(), frac_bits),
        Logits::Floats(values) => (PyArray1::from_vec(py, values).into_any(), 0),
    }
}

/// Tensors as arrays.
pub(crate) fn by_name(py: Python<'_>, tensors: Vec<NamedTensor>) -> PyResult<Bound<'_, PyDict>> {
    let state = PyDict::new(py);
    for NamedTensor { name, shape, data } in tensors {
        let array = match data {
            TensorData::I8(v) => PyArray1::from_vec(py, v).into_any(),
            TensorData::I16(v) => PyArray1::from_vec(py, v).into_any(),
            TensorData::I32(v) => PyArray1::from_vec(py, v).into_any(),
            TensorData::I64(v) => PyArray1::from_vec(py, v).into_any(),
            TensorData::F32(v) => PyArray1::from_vec(py, v).into_any(),
            TensorData::U8(v) => PyArray1::from_vec(py, v).into_any(),
        };
        state.set_item(name, array.call_method1("reshape", (shape,))?)?;
    }
    Ok(state)
}

/// Who hears of an epoch.
struct Ear {
    told: Option<Py<PyAny>>,
    warned: Py<PyAny>,
    heard: Instant,
    raised: Option<PyErr>,
    record: Option<(Row, Details)>,
}

impl Listener for Ear {
    fn step(
        &mut self,
        session: &Run,
        progress: &intrain::train::session::Progress,
    ) -> Result<ControlFlow<()>, TrainError> {
        let is_last = session.is_at_evaluation();
        if is_last || self.heard.elapsed() >= HEARD_EVERY {
            self.heard = Instant::now();
            let heard = Python::attach(|py| {
                if let Some(told) = &self.told {
                    let p = progress;
                    told.call1(py, (p.step, p.n_steps, p.epoch, p.loss, p.error, p.images_per_second))?;
                }
                py.check_signals()
            });
            if let Err(raised) = heard {
                self.raised = Some(raised);
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn epoch(
        &mut self,
        _session: &Run,
        epoch: &intrain::train::session::Epoch<'_>,
    ) -> Result<(), TrainError> {
        self.record = Some((*epoch.row, epoch.details.clone()));
        Ok(())
    }

    fn warn(&mut self, message: &str) {
        let warned = Python::attach(|py| self.warned.call1(py, (message,)).map(|_| ()));
        self.raised = self.raised.take().or(warned.err());
    }
}

/// An epoch as `metrics.csv` has it; what was not measured is None.
fn record<'py>(py: Python<'py>, row: &Row, details: &Details) -> PyResult<Bound<'py, PyDict>> {
    let record = PyDict::new(py);
    record.set_item("step", row.step)?;
    record.set_item("epoch", row.epoch)?;
    record.set_item("learning_rate", row.learning_rate)?;
    record.set_item("train_loss", row.train_loss)?;
    record.set_item("train_error", row.train_error)?;
    record.set_item("test_loss", row.test_loss)?;
    record.set_item("test_error", row.test_error)?;
    record.set_item("dead_updates", row.dead_updates)?;
    record.set_item("saturated_weights", row.saturated_weights)?;
    record.set_item("changed_signs", row.changed_signs)?;
    record.set_item("images_per_second", row.images_per_second)?;
    record.set_item("seconds", row.seconds)?;
    for (name, value) in OPTIONAL.into_iter().zip(row.optional()) {
        record.set_item(name, value)?;
    }
    for (name, value) in details {
        record.set_item(name, *value)?;
    }
    Ok(record)
}

/// A data set by its name, as the command takes it: name, class names, and images and labels of training, validation and test.
#[pyfunction]
#[allow(clippy::type_complexity, reason = "arrays by part, for the package's own Python file")]
pub(crate) fn load_data<'py>(
    py: Python<'py>,
    spec: &str,
    folder: Option<PathBuf>,
) -> PyResult<(String, Vec<String>, Vec<String>, Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>)> {
    let dataset = py.detach(|| data::load(spec, &DataFolders::new(folder))).map_err(Raised::raised)?;
    let shape = dataset.shape;
    let part = |split: &Split| -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let sizes = vec![split.len(), shape.height, shape.width, shape.channels];
        let images: Bound<'py, PyArrayDyn<u8>> = Layout { shape: sizes, is_fortran: false }.zeros(py);
        if let Ok(mut writable) = images.try_readwrite()
            && let Ok(out) = writable.as_slice_mut()
        {
            out.copy_from_slice(&split.images);
        }
        let labels: Vec<i64> = split.labels.iter().map(|label| i64::from(*label)).collect();
        Ok((images.into_any(), PyArray1::from_vec(py, labels).into_any()))
    };
    let parts = [&dataset.train, &dataset.validation, &dataset.test];
    let parts = parts.into_iter().map(part).collect::<PyResult<_>>()?;
    let notes = dataset.notes.iter().chain(&dataset.warnings).chain(&dataset.left_out).cloned().collect();
    Ok((dataset.name.clone(), dataset.class_names.clone(), notes, parts))
}
