//! Arrays of NumPy as slices. An array of another type or layout is brought into one that is read as it lies.

use numpy::{
    Element, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

use intrain::formats::fixed::Numbers;

use crate::error::IntrainError;

/// Numbers to be read, in the order in which they lie in memory.
pub(crate) enum Input<'py> {
    /// binary32, also of what was binary16.
    F32(PyReadonlyArrayDyn<'py, f32>),
    /// binary64.
    F64(PyReadonlyArrayDyn<'py, f64>),
    /// Whole numbers.
    Integers(PyReadonlyArrayDyn<'py, i64>),
}

/// How an array lies in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<usize>,
    /// Whether the first dimension is contiguous, not the last.
    pub(crate) is_fortran: bool,
}

impl Layout {
    fn of(array: &Bound<'_, PyUntypedArray>) -> Self {
        let is_fortran = array.is_fortran_contiguous() && !array.is_c_contiguous();
        Self { shape: array.shape().to_vec(), is_fortran }
    }

    /// Of an object that should be an array.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn of_any(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::of(array.cast::<PyUntypedArray>()?))
    }

    pub(crate) fn n(&self) -> usize {
        self.shape.iter().product()
    }

    /// A new array of zeros.
    pub(crate) fn zeros<'py, T: Element>(&self, py: Python<'py>) -> Bound<'py, PyArrayDyn<T>> {
        PyArrayDyn::zeros(py, self.shape.clone(), self.is_fortran)
    }
}

impl<'py> Input<'py> {
    /// The numbers of whatever `numpy.asarray` takes. Whether a copy was needed is nobody's business: nothing is written.
    ///
    /// # Errors
    /// No numbers, or complex ones.
    pub(crate) fn of(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = x.cast::<PyArrayDyn<f32>>()
            && is_contiguous(array.as_untyped())
        {
            return Ok(Self::F32(reading(array)?));
        }
        let array = as_array(x)?;
        let (kind, size) = (array.dtype().kind(), array.dtype().itemsize());
        match (kind, size) {
            (b'f', 2 | 4) => Ok(Self::F32(reading(&converted(&array, "float32")?)?)),
            (b'f', 8) => Ok(Self::F64(reading(&converted(&array, "float64")?)?)),
            (b'i' | b'u', _) => {
                if (kind, size) == (b'u', 8)
                    && array.call_method0("max").is_ok_and(|max| max.gt(i64::MAX).unwrap_or(true))
                {
                    return Err(IntrainError::new_err(
                        "x has whole numbers of 2^63 and more; convert it with x.astype(numpy.float64)",
                    ));
                }
                Ok(Self::Integers(reading(&converted(&array, "int64")?)?))
            }
            _ => Err(PyTypeError::new_err(format!(
                "x is an array of {}; convert it to float32, float64 or an integer type, as with x.astype(numpy.float32)",
                array.dtype()
            ))),
        }
    }

    /// The same in binary32 and in C order: what blocks are made of.
    ///
    /// # Errors
    /// As [`Input::of`].
    pub(crate) fn floats(x: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArrayDyn<'py, f32>> {
        if let Ok(array) = x.cast::<PyArrayDyn<f32>>()
            && array.is_c_contiguous()
        {
            return reading(array);
        }
        let array = as_array(x)?;
        if !matches!(array.dtype().kind(), b'f' | b'i' | b'u') {
            return Err(PyTypeError::new_err(format!(
                "x is an array of {}; convert it to float32, as with x.astype(numpy.float32)",
                array.dtype()
            )));
        }
        let numpy = x.py().import("numpy")?;
        let options = [("dtype", "float32"), ("order", "C")].into_py_dict(x.py())?;
        let array = numpy.call_method("asarray", (array,), Some(&options))?;
        reading(array.cast::<PyArrayDyn<f32>>()?)
    }

    pub(crate) fn numbers(&self) -> Numbers<'_> {
        match self {
            Self::F32(array) => Numbers::F32(slice(array)),
            Self::F64(array) => Numbers::F64(slice(array)),
            Self::Integers(array) => Numbers::Integers(slice(array)),
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        match self {
            Self::F32(array) => Layout::of(array.as_untyped()),
            Self::F64(array) => Layout::of(array.as_untyped()),
            Self::Integers(array) => Layout::of(array.as_untyped()),
        }
    }
}

/// A writable array of one layout, for results.
///
/// # Errors
/// Another type, shape or order; read-only; memory that `x` reads, but not as a whole.
pub(crate) fn output<'py, T: Element>(
    out: &Bound<'py, PyAny>,
    layout: &Layout,
    type_name: &str,
) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    let array = out.cast::<PyArrayDyn<T>>().map_err(|_| {
        let found =
            out.getattr("dtype").map_or_else(|_| out.get_type().to_string(), |dtype| dtype.to_string());
        PyTypeError::new_err(format!(
            "out is {found}; give an array of {type_name}, as numpy.empty_like(x, dtype={type_name})"
        ))
    })?;
    if array.shape() != layout.shape {
        return Err(PyValueError::new_err(format!(
            "out has the shape {:?}, and x has {:?}; give an array of its shape, as numpy.empty_like(x)",
            array.shape(),
            layout.shape
        )));
    }
    let fits = if layout.is_fortran { array.is_fortran_contiguous() } else { array.is_c_contiguous() };
    if !fits {
        return Err(PyValueError::new_err(
            "out does not lie in memory as x does, element behind element; give an array in its order, as numpy.empty_like(x), and \
             copy the result into a view",
        ));
    }
    array.try_readwrite().map_err(|e| match e {
        numpy::BorrowError::NotWriteable => {
            PyValueError::new_err("out is read-only; give an array that may be written to")
        }
        _ => {
            PyValueError::new_err("out overlaps x; give x itself, or an array that shares no memory with it")
        }
    })
}

/// Whether both are the same floats in the same order.
pub(crate) fn is_same(x: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> bool {
    fn begins<T: Element>(x: &Bound<'_, PyAny>) -> Option<usize> {
        x.cast::<PyArrayDyn<T>>().ok().map(|x| x.data() as usize)
    }
    let (Ok(a), Ok(b)) = (x.cast::<PyUntypedArray>(), out.cast::<PyUntypedArray>()) else { return false };
    let is_at =
        |begins: fn(&Bound<'_, PyAny>) -> Option<usize>| begins(x).is_some() && begins(x) == begins(out);
    (is_at(begins::<f32>) || is_at(begins::<f64>)) && a.shape() == b.shape() && a.strides() == b.strides()
}

fn is_contiguous(array: &Bound<'_, PyUntypedArray>) -> bool {
    array.is_c_contiguous() || array.is_fortran_contiguous()
}

fn as_array<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    if let Ok(array) = x.cast::<PyUntypedArray>() {
        return Ok(array.clone());
    }
    let array = x.py().import("numpy")?.call_method1("asarray", (x,))?;
    Ok(array.cast_into::<PyUntypedArray>()?)
}

/// Of the type, and element behind element, in the order in which it lies where it does lie so.
fn converted<'py, T: Element>(
    array: &Bound<'py, PyUntypedArray>,
    type_name: &str,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let py = array.py();
    let order = if Layout::of(array).is_fortran { "F" } else { "C" };
    let options = [("dtype", type_name), ("order", order)].into_py_dict(py)?;
    let array = py.import("numpy")?.call_method("asarray", (array,), Some(&options))?;
    Ok(array.cast_into::<PyArrayDyn<T>>()?)
}

fn reading<'py, T: Element>(array: &Bound<'py, PyArrayDyn<T>>) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    array.try_readonly().map_err(|_| PyValueError::new_err("x is being written by another call; wait for it"))
}

/// The elements of an array that lies element behind element.
pub(crate) fn slice<'a, T: Element>(array: &'a PyReadonlyArrayDyn<'_, T>) -> &'a [T] {
    // Whoever made it saw to that.
    array.as_slice().unwrap_or_default()
}
