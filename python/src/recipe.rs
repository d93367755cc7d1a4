//! Recipes and networks at rest: tables to look at, to change, and to train with.

use std::sync::Arc;

use intrain::import::{self, Options, Scaling};
use intrain::imported;
use intrain::model::{self, ModelFile};
use intrain::recipe::{self, diff};
use intrain::train::config::default_recipe;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{ModelError, Raised, RecipeError};

/// A recipe: for each role of a tensor, how it is quantized.
///
/// Parameters
/// ----------
/// spec : str
///     The name of a preset, such as 'wage', 'gupta:Q8.8' or 'mxfp8'; the path of a TOML file; or its text.
///
/// Examples
/// --------
/// >>> import intrain
/// >>> base = intrain.Recipe('wage')
/// >>> six = base.replace(activation='unit<6> nearest-even saturate clipped')
/// >>> base.diff(six)
/// [('activation', 'unit<8> nearest-even saturate clipped', 'unit<6> nearest-even saturate clipped')]
#[pyclass(frozen, module = "intrain")]
#[derive(Clone)]
pub(crate) struct Recipe {
    /// As it is said to a run: a preset's name, or a text.
    spec: String,
    /// Rows that were replaced, as settings of a run.
    sets: Vec<String>,
    recipe: recipe::Recipe,
}

impl Recipe {
    /// What a run is told: the recipe, and its settings.
    pub(crate) fn for_run(&self) -> (&str, &[String]) {
        (&self.spec, &self.sets)
    }
}

#[pymethods]
impl Recipe {
    #[new]
    fn new(spec: String) -> PyResult<Self> {
        let spec = text_of(&spec).map_err(RecipeError::new_err)?.unwrap_or(spec);
        let recipe =
            if spec.contains('\n') { recipe::Recipe::from_toml(&spec) } else { recipe::preset(&spec) };
        Ok(Self { recipe: recipe.map_err(Raised::raised)?, spec, sets: Vec::new() })
    }

    /// The names of the presets, each with what it is.
    #[staticmethod]
    fn presets() -> Vec<(&'static str, &'static str)> {
        recipe::PRESETS.iter().map(|preset| (preset.usage, preset.summary)).collect()
    }

    /// Its short name.
    #[getter]
    fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Its name, and the rows that were replaced.
    #[getter]
    fn label(&self) -> String {
        let name = if self.spec.contains('\n') { &self.recipe.name } else { &self.spec };
        let rows: Vec<&str> = self.sets.iter().map(|set| set.trim_start_matches("recipe.roles.")).collect();
        if rows.is_empty() { name.clone() } else { format!("{name} with {}", rows.join(", ")) }
    }

    /// The paper or program that it is from.
    #[getter]
    fn source(&self) -> &str {
        &self.recipe.source
    }

    /// Names and texts of its rows, in the order in which a training step meets them.
    #[getter]
    fn rows(&self) -> Vec<(String, String)> {
        self.recipe.rows()
    }

    /// SHA-256 of its text.
    #[getter]
    fn sha256(&self) -> String {
        self.recipe.sha256()
    }

    /// The same with other rows. A role's dot is an underscore in a keyword: error_activation is 'error.activation', which may also be
    /// said as **{'error.activation': ...}.
    #[pyo3(signature = (**rows))]
    fn replace(&self, rows: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut new = self.clone();
        for (name, line) in rows.into_iter().flat_map(|rows| rows.iter()) {
            let (name, line): (String, String) = (
                name.extract()?,
                line.extract().map_err(|_| {
                    RecipeError::new_err(format!(
                        "{name}={line}: a row is a text, such as 'unit<8> nearest-even saturate'"
                    ))
                })?,
            );
            let is_role = recipe::Role::ALL.iter().any(|role| role.name() == name) || name == "operand";
            let name = if is_role { name } else { name.replacen('_', ".", 1) };
            new.recipe = new.recipe.with_row(&name, &line).map_err(Raised::raised)?;
            new.sets.push(format!("recipe.roles.{name}='{line}'"));
        }
        Ok(new)
    }

    /// The rows in which two recipes differ: name, text here, text there.
    fn diff(&self, other: &Self) -> Vec<(String, String, String)> {
        diff(&self.recipe, &other.recipe).into_iter().map(|d| (d.row, d.a, d.b)).collect()
    }

    /// What is unusual about it, a sentence each.
    fn warnings(&self) -> PyResult<Vec<String>> {
        let warnings = self.recipe.check().map_err(Raised::raised)?;
        Ok(warnings.into_iter().map(|warning| format!("{}: {}", warning.row, warning.message)).collect())
    }

    /// Its text, which `Recipe` reads back.
    fn to_toml(&self) -> String {
        self.recipe.to_toml()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.recipe == other.recipe
    }

    fn __repr__(&self) -> String {
        self.recipe.to_string().trim_end().to_owned()
    }

    fn _repr_html_(&self) -> String {
        let rows: Vec<_> = self.recipe.rows().into_iter().map(|(a, b)| vec![a, b]).collect();
        html(&format!("{}: {}", self.recipe.name, self.recipe.source), &["row", "quantizer"], &rows)
    }

    fn __getnewargs__(&self) -> (String,) {
        (if self.sets.is_empty() { self.spec.clone() } else { self.recipe.to_toml() },)
    }
}

/// What a model travels as: its text and its weights.
type Parts<'py> = (String, Option<Bound<'py, PyBytes>>);

/// Name, kind, output (height, width, channels) and parameters.
type LayerRow = (String, &'static str, (usize, usize, usize), usize);

/// A network at rest: its layers and their shapes.
///
/// Parameters
/// ----------
/// spec : str
///     The name of a preset, such as 'lenet5' or 'resnet20:8'; the path of a TOML file; or its text.
///
/// Examples
/// --------
/// >>> import intrain
/// >>> intrain.Model('lenet5').n_parameters
/// 581408
#[pyclass(frozen, module = "intrain")]
#[derive(Clone)]
pub(crate) struct Model {
    spec: String,
    model: model::Model,
    default_recipe: String,
    /// The bytes of the `model.safetensors` that training begins with.
    weights: Option<Arc<Vec<u8>>>,
}

impl Model {
    /// The recipe of a run that says none.
    pub(crate) fn default_recipe(&self) -> &str {
        &self.default_recipe
    }

    /// As it is said to a run.
    pub(crate) fn for_run(&self) -> &str {
        &self.spec
    }
}

#[pymethods]
impl Model {
    #[new]
    fn new(spec: String) -> PyResult<Self> {
        let spec = text_of(&spec).map_err(ModelError::new_err)?.unwrap_or(spec);
        let file = if spec.contains('\n') { ModelFile::from_toml(&spec) } else { ModelFile::preset(&spec) };
        let file = file.map_err(Raised::raised)?;
        let default_recipe = default_recipe(&file).to_owned();
        Ok(Self { model: file.model, spec, default_recipe, weights: None })
    }

    /// A network with its weights from the bytes of an ONNX file.
    ///
    /// `pixels` is what a byte is worth to it, such as 'x/255'; or `mean` and `std` of its channels are given, as they were subtracted and
    /// divided by. A `Network` of it begins with its weights.
    #[staticmethod]
    #[pyo3(signature = (data, *, name="imported", pixels="x/255", mean=None, std=None))]
    fn from_onnx(
        py: Python<'_>,
        data: &[u8],
        name: &str,
        pixels: &str,
        mean: Option<Vec<f64>>,
        std: Option<Vec<f64>>,
    ) -> PyResult<Self> {
        let scaling = match (mean, std) {
            (Some(mean), Some(std)) => Scaling::Normalized { mean, std },
            (None, None) => Scaling::Pixels(
                pixels.parse().map_err(|error| ModelError::new_err(format!("pixels='{pixels}': {error}")))?,
            ),
            _ => return Err(ModelError::new_err("mean and std belong together; give both")),
        };
        let options = Options { name: name.to_owned(), source: format!("imported from {name}"), scaling };
        let (spec, weights) = py.detach(|| -> PyResult<(String, Vec<u8>)> {
            let imported =
                import::read(data, &options).map_err(|error| ModelError::new_err(error.to_string()))?;
            imported::files(&imported).map_err(Raised::raised)
        })?;
        Ok(Self { weights: Some(Arc::new(weights)), ..Self::new(spec)? })
    }

    /// A module of PyTorch with its weights and running statistics, for images of `input_shape`, (height, width, channels).
    ///
    /// `torch.export` reads it in evaluation; an operator without a counterpart is refused by its name and the line that called it.
    /// Other arguments are those of `from_onnx`. A `Network` of it begins with its weights.
    #[staticmethod]
    #[pyo3(signature = (module, input_shape, **options))]
    fn from_torch(
        py: Python<'_>,
        module: &Bound<'_, PyAny>,
        input_shape: (usize, usize, usize),
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let data = py.import("intrain._onnx")?.call_method1("to_onnx", (module, input_shape))?;
        let made = py.get_type::<Self>().call_method("from_onnx", (data,), options)?;
        Ok(made.cast::<Self>()?.get().clone())
    }

    /// The bytes of the `model.safetensors` that a network of it begins with, if there are some.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.weights.as_ref().map(|weights| PyBytes::new(py, weights))
    }

    /// The names of the presets, each with what it is.
    #[staticmethod]
    fn presets() -> Vec<(&'static str, &'static str)> {
        model::PRESETS.iter().map(|preset| (preset.name, preset.summary)).collect()
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.model.name
    }

    /// Height, width and channels of an image.
    #[getter]
    fn input_shape(&self) -> (usize, usize, usize) {
        let shape = self.model.input.shape;
        (shape.h, shape.w, shape.c)
    }

    /// Weights, biases, gains and offsets.
    #[getter]
    fn n_parameters(&self) -> PyResult<usize> {
        self.model.n_parameters().map_err(Raised::raised)
    }

    /// Name, kind, output (height, width, channels) and parameters of each layer.
    #[getter]
    fn layers(&self) -> PyResult<Vec<LayerRow>> {
        let shapes = self.model.shapes().map_err(Raised::raised)?;
        let parameters = self.model.parameters_of_layers().map_err(Raised::raised)?;
        let rows = self.model.layers.iter().zip(shapes).zip(parameters);
        Ok(rows.map(|((layer, s), n)| (layer.name.clone(), layer.kind.name(), (s.h, s.w, s.c), n)).collect())
    }

    /// Its text, which `Model` reads back.
    fn to_toml(&self) -> String {
        self.model.to_toml()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.model == other.model && self.weights == other.weights
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Parts<'py>)> {
        let (py, this) = (slf.py(), slf.get());
        Ok((slf.get_type().getattr("_from_parts")?, (this.spec.clone(), this.weights(py))))
    }

    #[staticmethod]
    #[pyo3(signature = (spec, weights, /))]
    fn _from_parts(spec: String, weights: Option<Vec<u8>>) -> PyResult<Self> {
        Ok(Self { weights: weights.map(Arc::new), ..Self::new(spec)? })
    }

    fn __repr__(&self) -> String {
        let n = self.model.n_parameters().unwrap_or_default();
        format!("<Model '{}', {} layers, {n} parameters>", self.model.name, self.model.layers.len())
    }

    fn _repr_html_(&self) -> PyResult<String> {
        let row = |(name, kind, (h, w, c), n): LayerRow| {
            vec![name, kind.to_owned(), format!("{h}x{w}x{c}"), n.to_string()]
        };
        let rows: Vec<_> = self.layers()?.into_iter().map(row).collect();
        Ok(html(&self.model.name, &["layer", "kind", "output", "parameters"], &rows))
    }
}

/// The text of the file that a spec names, if it names one.
fn text_of(spec: &str) -> Result<Option<String>, String> {
    if spec.contains('\n') || std::path::Path::new(spec).extension().is_none_or(|ending| ending != "toml") {
        return Ok(None);
    }
    let text = std::fs::read_to_string(spec)
        .map_err(|e| format!("{spec}: cannot read: {e}; name a TOML file that exists"))?;
    // A file of one line is a text, too.
    Ok(Some(text + "\n"))
}

/// A table for a notebook.
pub(crate) fn html(title: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let cell = |tag: &str, text: &str| {
        format!(
            "<{tag} style=\"text-align:left\"><span style=\"white-space:pre\">{}</span></{tag}>",
            escaped(text)
        )
    };
    let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        format!("<tr>{}</tr>", cells.map(|text| cell(tag, text)).collect::<String>())
    };
    let head = row("th", &mut head.iter().copied());
    let body: String = rows.iter().map(|cells| row("td", &mut cells.iter().map(String::as_str))).collect();
    format!(
        "<table><caption style=\"text-align:left\">{}</caption><thead>{head}</thead><tbody>{body}</tbody></table>",
        escaped(title)
    )
}
