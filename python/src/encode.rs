//! `encode`, `decode` and `measure`: the codes that are stored, what they are worth, and what was lost.

use intrain::formats::fixed::{CodeInt, Fixed, Measured, Numbers};
use intrain::formats::{Codes, Quantized, Spec, Way};
use intrain::kernels::blocks::Statistics;
use intrain::num::random::Stream;
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::{Input, Layout, slice};
use crate::call::{Call, check_nan, propagates};
use crate::error::{IntrainError, Raised};
use crate::pool;

/// An array as its codes: what `encode` gives and `decode` takes.
///
/// Attributes
/// ----------
/// codes : array of int8, int16, int32 or int64 in fixed point; of uint8, uint16 or uint32 in small floats
///     One for each element.
/// scales : array of uint8 or None
///     One for each block: E8M0, and E4M3 in NVFP4.
/// scale_log2 : int
///     With @shift: the power of two that the numbers were divided by; else 0.
/// tensor_scale : float
///     The factor of an NVFP4 array; else 1.
/// format : str
///     The quantizer.
#[pyclass(frozen, module = "intrain")]
pub(crate) struct Encoded {
    #[pyo3(get)]
    codes: Py<PyAny>,
    #[pyo3(get)]
    scales: Option<Py<PyAny>>,
    #[pyo3(get)]
    scale_log2: i32,
    #[pyo3(get)]
    tensor_scale: f32,
    spec: Spec,
    axis: i64,
}

impl Encoded {
    /// Codes, scales, and the factor of the tensor.
    pub(crate) fn parts<'py>(&self, py: Python<'py>) -> (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, f32) {
        let scales = self.scales.as_ref().map(|scales| scales.bind(py).clone());
        (self.codes.bind(py).clone(), scales, self.tensor_scale)
    }
}

#[pymethods]
impl Encoded {
    #[getter]
    fn format(&self) -> String {
        self.spec.to_string()
    }

    /// The axis along which blocks run.
    #[getter]
    const fn axis(&self) -> i64 {
        self.axis
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let codes = self.codes.bind(py);
        let scales = match &self.scales {
            Some(scales) => format!(", {} scales", scales.bind(py).getattr("size")?),
            None if self.scale_log2 != 0 => format!(", scale_log2={}", self.scale_log2),
            None => String::new(),
        };
        Ok(format!(
            "<Encoded '{}', {} {}{scales}>",
            self.spec,
            codes.getattr("shape")?,
            codes.getattr("dtype")?
        ))
    }
}

/// The codes of an array: the integers that are stored, with their scales.
///
/// Parameters are those of `quantize`.
///
/// Returns
/// -------
/// Encoded
///
/// Examples
/// --------
/// >>> import numpy, intrain
/// >>> intrain.encode(numpy.float32([0.25, -1.5]), 'Q4.4').codes
/// array([  4, -24], dtype=int8)
/// >>> e = intrain.encode(numpy.float32([0.5, -1.5, 6.5, 0.1]), 'mxfp4@rceil')
/// >>> e.codes, e.scales
/// (array([ 0, 10,  5,  0], dtype=uint8), array([128], dtype=uint8))
#[pyfunction]
#[pyo3(
    signature = (x, format, rounding=None, overflow=None, *, axis=-1, seed=None, step=0, nan="raise"),
    text_signature = "(x, format, rounding=None, overflow=None, *, axis=-1, seed=None, step=0, nan='raise')"
)]
#[allow(clippy::too_many_arguments, reason = "the words of a call")]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    format: &str,
    rounding: Option<&str>,
    overflow: Option<&str>,
    axis: i64,
    seed: Option<u64>,
    step: u64,
    nan: &str,
) -> PyResult<Encoded> {
    let call = Call::new(format, rounding, overflow, seed, step)?;
    let propagates = propagates(nan)?;
    match call.spec {
        Spec::Fixed(fixed) => {
            let input = Input::of(x)?;
            let (codes, measured) = fixed_codes(py, &fixed, call.stream(), &input)?;
            Ok(Encoded {
                codes: codes.unbind(),
                scales: None,
                scale_log2: measured.scale_log2,
                tensor_scale: 1.0,
                spec: call.spec,
                axis,
            })
        }
        Spec::Levels(levels) => {
            let input = Input::floats(x)?;
            let layout = Layout { shape: input.as_array().shape().to_vec(), is_fortran: false };
            check_nan(slice(&input), propagates)?;
            let codes = layout.zeros::<u8>(py);
            let all = slice(&input).iter().map(|x| levels.code(*x));
            write(&codes, all)?;
            let codes = codes.into_any().unbind();
            Ok(Encoded { codes, scales: None, scale_log2: 0, tensor_scale: 1.0, spec: call.spec, axis })
        }
        Spec::Coded { .. } => {
            let (quantized, _) = blocks(py, &call, axis, propagates, x)?;
            let Quantized { codes, scales, factor, .. } = &quantized;
            let codes = match codes {
                Codes::Bytes(codes) => array_of(py, codes, &quantized.shape)?,
                Codes::Words(codes) => array_of(py, codes, &quantized.shape)?,
                Codes::Long(codes) => array_of(py, codes, &quantized.shape)?,
            };
            let has_scales = quantized.way.coding.extent().is_some();
            let scales = has_scales.then(|| array_of(py, scales, &quantized.scale_shape())).transpose()?;
            let (scales, tensor_scale) = (scales.map(Bound::unbind), *factor);
            Ok(Encoded { codes: codes.unbind(), scales, scale_log2: 0, tensor_scale, spec: call.spec, axis })
        }
        Spec::Qtorch { .. } => Err(IntrainError::new_err(format!(
            "{}: QPyTorch's functions give values, no codes; use quantize",
            call.spec
        ))),
    }
}

/// What codes are worth: with @shift the numbers divided by 2^scale_log2.
///
/// Parameters
/// ----------
/// encoded : Encoded
///
/// Returns
/// -------
/// array of float32
///     What `quantize` gives.
#[pyfunction]
#[pyo3(signature = (encoded, /))]
pub(crate) fn decode<'py>(py: Python<'py>, encoded: &Encoded) -> PyResult<Bound<'py, PyAny>> {
    let codes = encoded.codes.bind(py);
    match encoded.spec {
        Spec::Fixed(fixed) => {
            let input = Input::of(codes)?;
            let out = input.layout().zeros::<f32>(py);
            let Numbers::Integers(codes) = input.numbers() else {
                return Err(IntrainError::new_err("the codes are no integers any more"));
            };
            #[allow(clippy::cast_possible_truncation, reason = "binary32 is what is asked for")]
            let values = codes.iter().map(|code| fixed.quantizer().value(*code).to_f64() as f32);
            write(&out, values)?;
            Ok(out.into_any())
        }
        Spec::Levels(levels) => {
            let codes = codes.cast::<PyArrayDyn<u8>>()?;
            let out = Layout { shape: codes.shape().to_vec(), is_fortran: false }.zeros::<f32>(py);
            write(
                &out,
                codes.try_readonly().map_err(|_| busy())?.as_array().iter().map(|code| levels.value(*code)),
            )?;
            Ok(out.into_any())
        }
        Spec::Coded { coding, round } => {
            let shape: Vec<usize> = codes.getattr("shape")?.extract()?;
            let all = if let Ok(codes) = codes.cast::<PyArrayDyn<u8>>() {
                Codes::Bytes(elements(codes)?)
            } else if let Ok(codes) = codes.cast::<PyArrayDyn<u16>>() {
                Codes::Words(elements(codes)?)
            } else {
                Codes::Long(elements(codes.cast::<PyArrayDyn<u32>>()?)?)
            };
            let scales = match &encoded.scales {
                Some(scales) => elements(scales.bind(py).cast::<PyArrayDyn<u8>>()?)?,
                None => Vec::new(),
            };
            let way = Way { round, axis: encoded.axis, ..Way::new(coding) };
            let quantized = Quantized::from_parts(way, &shape, all, scales, encoded.tensor_scale);
            let quantized = quantized.map_err(Raised::raised)?;
            let values = py.detach(|| quantized.values());
            array_of(py, &values, &shape)
        }
        Spec::Qtorch { .. } => Err(IntrainError::new_err("QPyTorch's functions have no codes")),
    }
}

/// What a quantizer loses: bias, mean square and largest error of q - x over the finite elements, and counts.
///
/// Parameters are those of `quantize`.
///
/// Returns
/// -------
/// dict
///     n, bias, mse, error_max, zeros; in fixed point saturated, ties, infinite, payload_min, payload_max and scale_log2 (errors are of
///     x / 2^scale_log2); in small floats clipped, flushed (zeros of other numbers), blocks, clipped_blocks, nan_blocks and tensor_scale.
///
/// Examples
/// --------
/// >>> import numpy, intrain
/// >>> intrain.measure(numpy.float32([0.25, -9.0]), 'Q4.4')['saturated']
/// 1
#[pyfunction]
#[pyo3(
    signature = (x, format, rounding=None, overflow=None, *, axis=-1, seed=None, step=0, nan="raise"),
    text_signature = "(x, format, rounding=None, overflow=None, *, axis=-1, seed=None, step=0, nan='raise')"
)]
#[allow(clippy::too_many_arguments, reason = "the words of a call")]
pub(crate) fn measure<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    format: &str,
    rounding: Option<&str>,
    overflow: Option<&str>,
    axis: i64,
    seed: Option<u64>,
    step: u64,
    nan: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let call = Call::new(format, rounding, overflow, seed, step)?;
    let propagates = propagates(nan)?;
    let record = PyDict::new(py);
    record.set_item("quantizer", call.spec.to_string())?;
    match call.spec {
        Spec::Fixed(fixed) => {
            let (_, measured) = fixed_codes(py, &fixed, call.stream(), &Input::of(x)?)?;
            of_fixed(&record, &measured)?;
        }
        Spec::Coded { .. } => {
            let (quantized, input) = blocks(py, &call, axis, propagates, x)?;
            let decoded = quantized.values();
            let statistics = quantized.statistics(&input, &decoded);
            of_values(&record, &input, &decoded)?;
            of_blocks(&record, &statistics, quantized.factor)?;
        }
        Spec::Levels(_) | Spec::Qtorch { .. } => {
            let input = Input::floats(x)?;
            let values = crate::quantize::values(py, &call, axis, propagates, x)?;
            of_values(&record, slice(&input), slice(&values.try_readonly().map_err(|_| busy())?))?;
        }
    }
    Ok(record)
}

fn of_fixed(record: &Bound<'_, PyDict>, measured: &Measured) -> PyResult<()> {
    let s = measured.statistics;
    record.set_item("n", s.n)?;
    record.set_item("bias", s.bias)?;
    record.set_item("mse", s.mse)?;
    record.set_item("error_max", s.error_max)?;
    record.set_item("saturated", s.saturated)?;
    record.set_item("zeros", s.zeros)?;
    record.set_item("ties", s.ties)?;
    record.set_item("infinite", s.infinite)?;
    record.set_item("payload_min", s.code_min)?;
    record.set_item("payload_max", s.code_max)?;
    record.set_item("scale_log2", measured.scale_log2)
}

fn of_blocks(record: &Bound<'_, PyDict>, s: &Statistics, factor: f32) -> PyResult<()> {
    record.set_item("zeros", s.zeros)?;
    record.set_item("flushed", s.flushed)?;
    record.set_item("clipped", s.clipped)?;
    record.set_item("blocks", s.blocks)?;
    record.set_item("clipped_blocks", s.clipped_blocks)?;
    record.set_item("nan_blocks", s.nan_blocks)?;
    record.set_item("tensor_scale", factor)
}

/// The error over the elements where it is finite.
#[allow(clippy::cast_precision_loss, reason = "statistics: counts are below 2^53")]
fn of_values(record: &Bound<'_, PyDict>, x: &[f32], q: &[f32]) -> PyResult<()> {
    let errors =
        x.iter().zip(q).map(|(x, q)| f64::from(*q) - f64::from(*x)).filter(|error| error.is_finite());
    let (mut sum, mut squares, mut largest, mut n) = (0.0, 0.0, 0.0_f64, 0_u64);
    for error in errors {
        (sum, squares, largest, n) = (sum + error, squares + error * error, largest.max(error.abs()), n + 1);
    }
    record.set_item("n", x.len())?;
    record.set_item("bias", sum / n as f64)?;
    record.set_item("mse", squares / n as f64)?;
    record.set_item("error_max", largest)?;
    record.set_item("zeros", q.iter().filter(|q| **q == 0.0).count())
}

/// Codes in the narrowest integers that hold them.
fn fixed_codes<'py>(
    py: Python<'py>,
    fixed: &Fixed,
    stream: Option<Stream>,
    input: &Input<'py>,
) -> PyResult<(Bound<'py, PyAny>, Measured)> {
    match fixed.quantizer().format.bits() {
        ..=8 => codes_of::<i8>(py, fixed, stream, input),
        9..=16 => codes_of::<i16>(py, fixed, stream, input),
        17..=32 => codes_of::<i32>(py, fixed, stream, input),
        _ => codes_of::<i64>(py, fixed, stream, input),
    }
}

fn codes_of<'py, T: CodeInt + Element>(
    py: Python<'py>,
    fixed: &Fixed,
    stream: Option<Stream>,
    input: &Input<'py>,
) -> PyResult<(Bound<'py, PyAny>, Measured)> {
    let layout = input.layout();
    let codes = layout.zeros::<T>(py);
    let numbers = input.numbers();
    let measured = {
        let mut out = codes.try_readwrite().map_err(|_| busy())?;
        let out = out.as_slice_mut().map_err(|_| busy())?;
        pool::run(py, layout.n(), move || fixed.measure(numbers, stream, out))?.map_err(Raised::raised)?
    };
    Ok((codes.into_any(), measured))
}

/// An array in blocks, and the numbers that it was.
fn blocks<'py>(
    py: Python<'py>,
    call: &Call,
    axis: i64,
    propagates: bool,
    x: &Bound<'py, PyAny>,
) -> PyResult<(Quantized, Vec<f32>)> {
    let Spec::Coded { coding, round } = call.spec else {
        return Err(IntrainError::new_err(format!("{} has no blocks", call.spec)));
    };
    let input = Input::floats(x)?;
    let (numbers, shape) = (slice(&input), input.as_array().shape().to_vec());
    check_nan(numbers, propagates)?;
    let (seed, step) = call.seed_and_step();
    let way = Way { round, axis, seed, step, ..Way::new(coding) };
    let quantized = py.detach(|| Quantized::new(numbers, &shape, &way)).map_err(Raised::raised)?;
    Ok((quantized, numbers.to_vec()))
}

fn array_of<'py, T: Element + Copy>(
    py: Python<'py>,
    elements: &[T],
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    let made = Layout { shape: shape.to_vec(), is_fortran: false }.zeros::<T>(py);
    write(&made, elements.iter().copied())?;
    Ok(made.into_any())
}

fn write<T: Element>(array: &Bound<'_, PyArrayDyn<T>>, elements: impl Iterator<Item = T>) -> PyResult<()> {
    let mut out = array.try_readwrite().map_err(|_| busy())?;
    let out = out.as_slice_mut().map_err(|_| busy())?;
    out.iter_mut().zip(elements).for_each(|(out, element)| *out = element);
    Ok(())
}

fn elements<T: Element + Copy>(array: &Bound<'_, PyArrayDyn<T>>) -> PyResult<Vec<T>> {
    Ok(array.try_readonly().map_err(|_| busy())?.as_array().iter().copied().collect())
}

fn busy() -> PyErr {
    IntrainError::new_err("the array is being written by another call; wait for it")
}
