//! `quantize`: numbers to the numbers that a format holds.

use intrain::formats::fixed::Fixed;
use intrain::formats::{Spec, Way};
use intrain::num::random::Stream;
use numpy::{PyArrayDyn, PyArrayMethods, PyReadwriteArrayDyn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::prelude::*;

use crate::array::{self, Input, Layout, slice};
use crate::call::{Call, check_nan, propagates};
use crate::error::{IntrainError, Raised};
use crate::pool;

/// Quantizes an array: each number becomes one that the format holds.
///
/// Parameters
/// ----------
/// x : array of float32, float64, float16 or integers, or what numpy.asarray takes
///     Of any shape. An array that lies in memory element behind element, in C or Fortran order, is read as it lies; others are
///     copied first.
/// format : str
///     The format, such as 'Q4.12', 'unit<8>@shift', 'e4m3', 'mxfp8', 'nvfp4@te', or a row of a recipe with its words:
///     'unit<8> stochastic<16> saturate'.
/// rounding, overflow : str, optional
///     The words apart: 'nearest-even' and 'saturate' where nobody says others.
/// axis : int
///     The axis along which blocks run.
/// seed : int, needed by stochastic roundings
///     Equal seeds give equal values, on every machine: the random word of an element depends on seed, step and its place in memory.
/// step : int
///     Which of several arrays under one seed this is.
/// nan : 'raise' or 'propagate'
///     What NaN does: an error, or, in formats that have it, NaN; in those that have none, the largest value.
/// out : array, optional
///     Where the result goes: of x's shape, type and order. x itself is allowed, and nothing is written then before all numbers were
///     looked at.
///
/// Returns
/// -------
/// array of float32, or of x's type where that is float64 or float16; float64 of integers
///     Exact values. With @shift the power of two that x was divided by is not multiplied back: `encode` gives it.
///
/// Raises
/// ------
/// RecipeError
///     A word that is no format, rounding or overflow.
/// IntrainError
///     NaN, an axis that there is not.
/// TypeError
///     A stochastic rounding without a seed; an array of other things than numbers.
///
/// Examples
/// --------
/// >>> import numpy, intrain
/// >>> intrain.quantize(numpy.float32([0.3, -1.7, 99]), 'Q4.4')
/// array([ 0.3125, -1.6875,  7.9375], dtype=float32)
/// >>> intrain.quantize(numpy.float32([0.5, -1.5, 6.5, 0.1]), 'mxfp4@rceil')
/// array([ 0., -2.,  6.,  0.], dtype=float32)
#[pyfunction]
#[pyo3(
    signature = (x, format, rounding=None, overflow=None, *, axis=-1, seed=None, step=0, nan="raise", out=None),
    text_signature = "(x, format, rounding=None, overflow=None, *, axis=-1, seed=None, step=0, nan='raise', out=None)"
)]
#[allow(clippy::too_many_arguments, reason = "the words of a call")]
pub(crate) fn quantize<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    format: &str,
    rounding: Option<&str>,
    overflow: Option<&str>,
    axis: i64,
    seed: Option<u64>,
    step: u64,
    nan: &str,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let call = Call::new(format, rounding, overflow, seed, step)?;
    let propagates = propagates(nan)?;
    if let Spec::Fixed(fixed) = call.spec {
        if propagates {
            return Err(IntrainError::new_err(format!(
                "nan='propagate': {fixed} has no NaN; write nan='raise', and replace it first, as with numpy.nan_to_num",
                fixed = fixed.quantizer()
            )));
        }
        return fixed_point(py, &fixed, call.stream(), x, out);
    }
    floats(py, &call, axis, propagates, x, out)
}

fn fixed_point<'py>(
    py: Python<'py>,
    fixed: &Fixed,
    stream: Option<Stream>,
    x: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Some(out) = out.filter(|out| array::is_same(x, out)) {
        return in_place(py, fixed, stream, out);
    }
    let is_half = is_half(x);
    let input = Input::of(x)?;
    let layout = input.layout();
    let n = layout.n();
    if let Input::F32(_) = &input {
        let (result, mut values) = results::<f32>(py, out.filter(|_| !is_half), &layout, "float32")?;
        let out_values = values.as_slice_mut().map_err(|_| not_contiguous())?;
        let numbers = input.numbers();
        pool::run(py, n, move || fixed.values(numbers, stream, out_values))?.map_err(Raised::raised)?;
        return if is_half { as_half(&result, out) } else { Ok(result) };
    }
    let (result, mut values) = results::<f64>(py, out, &layout, "float64")?;
    let out_values = values.as_slice_mut().map_err(|_| not_contiguous())?;
    let numbers = input.numbers();
    pool::run(py, n, move || fixed.values(numbers, stream, out_values))?.map_err(Raised::raised)?;
    Ok(result)
}

fn in_place<'py>(
    py: Python<'py>,
    fixed: &Fixed,
    stream: Option<Stream>,
    x: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(typed) = x.cast::<PyArrayDyn<f32>>() else {
        let layout = Layout::of_any(x)?;
        let mut values = array::output::<f64>(x, &layout, "float32 or float64")?;
        let values = values.as_slice_mut().map_err(|_| not_contiguous())?;
        pool::run(py, values.len(), move || fixed.values_in_place(values, stream))?
            .map_err(Raised::raised)?;
        return Ok(x.clone());
    };
    let layout = Layout::of_any(typed.as_any())?;
    let mut values = array::output::<f32>(x, &layout, "float32")?;
    let values = values.as_slice_mut().map_err(|_| not_contiguous())?;
    pool::run(py, values.len(), move || fixed.values_in_place(values, stream))?.map_err(Raised::raised)?;
    Ok(x.clone())
}

/// The values as an array of their own, in C order.
pub(crate) fn values<'py>(
    py: Python<'py>,
    call: &Call,
    axis: i64,
    propagates: bool,
    x: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    Ok(floats(py, call, axis, propagates, x, None)?.cast_into()?)
}

/// Codebooks, small floats, blocks, QPyTorch's functions: of binary32 numbers.
fn floats<'py>(
    py: Python<'py>,
    call: &Call,
    axis: i64,
    propagates: bool,
    x: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let is_half = is_half(x);
    let is_in_place = out.is_some_and(|out| array::is_same(x, out));
    // What is written over is read from a copy.
    let copy = if is_in_place { Some(x.call_method0("copy")?) } else { None };
    let input = Input::floats(copy.as_ref().unwrap_or(x))?;
    let numbers = slice(&input);
    let layout = Layout { shape: input.as_array().shape().to_vec(), is_fortran: false };
    check_nan(numbers, propagates)?;
    let (result, mut values) = results::<f32>(py, out.filter(|_| !is_half), &layout, "float32")?;
    let out_values = values.as_slice_mut().map_err(|_| not_contiguous())?;
    let (spec, shape) = (call.spec, &layout.shape[..]);
    let ((seed, step), stream) = (call.seed_and_step(), call.stream());
    let done = pool::run(py, numbers.len(), move || match spec {
        Spec::Coded { coding, round } => {
            Way { round, axis, seed, step, ..Way::new(coding) }.values(numbers, shape, out_values)
        }
        Spec::Levels(levels) => {
            let chunk = |(out, x): (&mut [f32], &[f32])| {
                out.iter_mut().zip(x).for_each(|(q, x)| *q = levels.value(levels.code(*x)));
            };
            if numbers.len() <= pool::FEW {
                chunk((out_values, numbers));
            } else {
                out_values.par_chunks_mut(pool::FEW).zip(numbers.par_chunks(pool::FEW)).for_each(chunk);
            }
            Ok(())
        }
        Spec::Qtorch { format, is_stochastic } => {
            let quantized = format.quantize(numbers, shape, axis, stream.filter(|_| is_stochastic))?;
            out_values.copy_from_slice(&quantized);
            Ok(())
        }
        Spec::Fixed(_) => unreachable!("fixed point goes its own way"),
    })?;
    done.map_err(Raised::raised)?;
    if is_half { as_half(&result, out) } else { Ok(result) }
}

/// The array that results go into.
fn results<'py, T: numpy::Element>(
    py: Python<'py>,
    out: Option<&Bound<'py, PyAny>>,
    layout: &Layout,
    type_name: &str,
) -> PyResult<(Bound<'py, PyAny>, PyReadwriteArrayDyn<'py, T>)> {
    if let Some(out) = out {
        return Ok((out.clone(), array::output(out, layout, type_name)?));
    }
    let made = layout.zeros::<T>(py);
    let values = made.try_readwrite().map_err(|_| not_contiguous())?;
    Ok((made.into_any(), values))
}

fn not_contiguous() -> PyErr {
    PyValueError::new_err("out does not lie in memory element behind element; give numpy.empty_like(x)")
}

/// Whether numbers are binary16: they are computed with as binary32, and results are rounded to binary16.
fn is_half(x: &Bound<'_, PyAny>) -> bool {
    x.cast::<numpy::PyUntypedArray>().is_ok_and(|x| {
        use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
        (x.dtype().kind(), x.dtype().itemsize()) == (b'f', 2)
    })
}

fn as_half<'py>(result: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let half = result.call_method1("astype", ("float16",))?;
    let Some(out) = out else { return Ok(half) };
    result.py().import("numpy")?.call_method1("copyto", (out, half))?;
    Ok(out.clone())
}
