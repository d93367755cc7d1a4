//! What will run, before anything does.

use intrain::nn::Plan;
use intrain::train::Config;
use intrain::train::session::prove;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{ModelError, Raised};
use crate::recipe::{Model, Recipe};

/// Every operation of a step as a record, and what is unusual about it; every sum is proven to fit.
#[pyfunction]
pub(crate) fn plan<'py>(
    py: Python<'py>,
    model: &Model,
    recipe: Option<&Recipe>,
    settings: Vec<String>,
) -> PyResult<(Vec<Bound<'py, PyDict>>, Vec<String>, String)> {
    let (recipe, sets) = recipe.map_or((model.default_recipe(), &[][..]), Recipe::for_run);
    let sets: Vec<&str> = sets.iter().chain(&settings).map(String::as_str).collect();
    let config = Config::without_data(model.for_run(), recipe, &sets).map_err(Raised::raised)?;
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), config.settings.batch_size);
    let plan = plan.map_err(|error| ModelError::new_err(error.to_string()))?;
    prove(&config, 0, 1).map_err(Raised::raised)?;
    let record = |o: intrain::nn::plan::Operation| -> PyResult<Bound<'py, PyDict>> {
        let record = PyDict::new(py);
        record.set_item("layer", o.layer)?;
        record.set_item("operation", o.name)?;
        record.set_item("format", o.format)?;
        record.set_item("is_float", o.float)?;
        record.set_item("sum_bits", o.sum.map(|sum| sum.width_bits()))?;
        record.set_item("bytes", o.bytes)?;
        Ok(record)
    };
    let records = plan.operations().into_iter().map(record).collect::<PyResult<_>>()?;
    let warnings = plan.warnings.iter().map(|w| format!("{}: {}", w.row, w.message)).collect();
    let title = format!(
        "{} with {}, {} images a step",
        config.model.name, config.recipe.name, config.settings.batch_size
    );
    Ok((records, warnings, title))
}
