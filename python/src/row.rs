//! What the package's own Python files ask of a quantizer's text.

use intrain::formats::{Spec, Spelled};
use intrain::num::Quantizer;
use intrain::num::quantizer::Surrogate;
use pyo3::prelude::*;

use crate::error::{Raised, RecipeError};

/// A quantizer's text, looked at.
#[pyclass(frozen, get_all, module = "intrain._intrain")]
pub(crate) struct Row {
    /// The text in full.
    text: String,
    /// The same with its random number replaced by a constant: what holds outside of training.
    evaluation: String,
    is_stochastic: bool,
    /// Whether it is fixed point, whose numbers of binary64 are rounded once.
    is_fixed: bool,
    /// Whether a value depends on its neighbours along an axis.
    has_blocks: bool,
    /// '', 'clipped' or 'log-tailed'.
    surrogate: &'static str,
    /// The least and the greatest number that the format holds, rounded towards 0; of a codebook, the greatest level.
    limits: (f32, f32),
}

/// Looks at a quantizer's text.
#[pyfunction]
#[pyo3(signature = (format, rounding=None, overflow=None))]
pub(crate) fn row(format: &str, rounding: Option<&str>, overflow: Option<&str>) -> PyResult<Row> {
    let Spelled { spec, surrogate } = Spec::parse(format, rounding, overflow).map_err(Raised::raised)?;
    let mut limits = (f32::NEG_INFINITY, f32::INFINITY);
    let mut evaluation = spec.to_string();
    let mut has_blocks = false;
    match spec {
        Spec::Fixed(fixed) => {
            let quantizer = fixed.quantizer();
            let plain = Quantizer { round: quantizer.round.in_evaluation(), ..*quantizer };
            evaluation = plain.to_string();
            if surrogate == Surrogate::Clipped && quantizer.scale != intrain::num::Scale::One {
                return Err(RecipeError::new_err(format!(
                    "{spec} clipped: what lies outside of the format depends on the scale of the tensor; leave 'clipped' or '@shift' out"
                )));
            }
            let limit = |code: i64| towards_zero(quantizer.value(code).to_f64());
            limits = (limit(quantizer.format.min()), limit(quantizer.format.max()));
        }
        Spec::Levels(levels) => limits = (f32::NEG_INFINITY, levels.last()),
        Spec::Coded { coding, round } => {
            has_blocks = coding.extent().is_some();
            if round.is_stochastic() {
                evaluation = Spec::Coded { coding, round: intrain::num::minifloat::FloatRound::NearestEven }
                    .to_string();
            }
            if surrogate == Surrogate::Clipped {
                return Err(RecipeError::new_err(format!(
                    "{spec} clipped: small floats have no such rule; leave it out"
                )));
            }
        }
        Spec::Qtorch { format, .. } => {
            has_blocks = format.to_string().starts_with("qtorch-block");
            evaluation = Spec::Qtorch { format, is_stochastic: false }.to_string();
        }
    }
    let is_stochastic = spec.is_stochastic();
    let surrogate = match surrogate {
        Surrogate::StraightThrough => "",
        Surrogate::Clipped => "clipped",
        Surrogate::LogTailed => "log-tailed",
    };
    let is_fixed = matches!(spec, Spec::Fixed(_));
    Ok(Row { text: spec.to_string(), evaluation, is_stochastic, is_fixed, has_blocks, surrogate, limits })
}

/// The nearest binary32 number that is not farther from 0.
#[allow(clippy::cast_possible_truncation, reason = "rounded, and then looked at")]
fn towards_zero(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near).abs() > x.abs() { f32::from_bits(near.to_bits() - 1) } else { near }
}
