//! What a call says about a quantizer: its text, the words beside it, and the random words.

use intrain::formats::{Spec, Spelled};
use intrain::num::random::{Purpose, Stream};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::{IntrainError, Raised};

/// The stream of random words of an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) seed: u64,
    pub(crate) step: u64,
}

impl Words {
    pub(crate) const fn stream(self) -> Stream {
        Stream::new(self.seed, Purpose::Tool, 0, self.step)
    }
}

/// A quantizer and its random words, where it needs them.
pub(crate) struct Call {
    pub(crate) spec: Spec,
    pub(crate) words: Option<Words>,
}

impl Call {
    /// What the words of a call mean.
    ///
    /// # Errors
    /// A word that is none; a stochastic rounding without a seed.
    pub(crate) fn new(
        format: &str,
        rounding: Option<&str>,
        overflow: Option<&str>,
        seed: Option<u64>,
        step: u64,
    ) -> PyResult<Self> {
        let Spelled { spec, .. } = Spec::parse(format, rounding, overflow).map_err(Raised::raised)?;
        if !spec.is_stochastic() {
            return Ok(Self { spec, words: None });
        }
        let seed = seed.ok_or_else(|| {
            PyTypeError::new_err(format!(
                "{spec} needs seed=, a whole number from 0 to 2^64 - 1; equal seeds give equal values, and step= changes them from call \
                 to call"
            ))
        })?;
        Ok(Self { spec, words: Some(Words { seed, step }) })
    }

    /// The stream, if one is needed.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.words.map(Words::stream)
    }

    /// Seed and step; any where none are needed.
    pub(crate) fn seed_and_step(&self) -> (u64, u64) {
        self.words.map_or((1, 0), |words| (words.seed, words.step))
    }
}

/// Whether NaN is let through.
pub(crate) fn propagates(nan: &str) -> PyResult<bool> {
    match nan {
        "raise" => Ok(false),
        "propagate" => Ok(true),
        _ => Err(PyValueError::new_err(format!("nan='{nan}' is none; write 'raise' or 'propagate'"))),
    }
}

/// Refuses NaN, unless it is let through.
pub(crate) fn check_nan(numbers: &[f32], propagates: bool) -> PyResult<()> {
    match numbers.iter().position(|x| x.is_nan()).filter(|_| !propagates) {
        Some(i) => Err(IntrainError::new_err(format!(
            "element {i} is NaN; replace it, as with numpy.nan_to_num, or write nan='propagate'"
        ))),
        None => Ok(()),
    }
}
