//! `explain`: why two quantized arrays differ.

use intrain::formats::explain::{Seen, Source, with_source, without_source};
use numpy::{PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::array::{Input, slice};
use crate::encode::Encoded;
use crate::error::IntrainError;

/// What `explain` found.
///
/// Attributes
/// ----------
/// is_explained : bool
/// a, b : list of str
///     Every format, rule, rounding, axis and packing that gives the one and the other array.
/// switch : list of (what, in a, in b)
///     The smallest change between the two.
/// pairs : list of (elements, rule of a, rule of b)
///     Without a source: the pairs of scale rules that could have given both, the likeliest first.
/// first : dict
///     The first place where scales, codes and values differ: (index, in a, in b), as the bits that are stored.
#[pyclass(frozen, get_all, module = "intrain")]
pub(crate) struct Explanation {
    is_explained: bool,
    a: Vec<String>,
    b: Vec<String>,
    switch: Vec<(&'static str, String, String)>,
    pairs: Vec<(String, String, String)>,
    first: Vec<(&'static str, (usize, u32, u32))>,
}

#[pymethods]
impl Explanation {
    fn __repr__(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for (what, (index, a, b)) in &self.first {
            lines.push(format!("{what} differ, the first at {index}: {a:#x} in a, {b:#x} in b"));
        }
        if self.first.is_empty() {
            lines.push("a and b are equal".to_owned());
        }
        for (name, ways) in [("a", &self.a), ("b", &self.b)] {
            lines.extend(ways.iter().take(4).map(|way| format!("{name} is given by {way}")));
        }
        lines
            .extend(self.switch.iter().map(|(what, a, b)| format!("the switch: {what}: {a} in a, {b} in b")));
        if let Some((element, a, b)) = self.pairs.first() {
            lines.push(format!(
                "from the bytes alone: {element} elements, most likely the scale rule {a} in a and {b} in b"
            ));
        }
        if !self.is_explained {
            lines.push("not explained".to_owned());
        }
        lines.join("\n")
    }
}

/// Why two quantized arrays differ: which format, scale rule, rounding, axis or packing gives the one and the other.
///
/// Parameters
/// ----------
/// a, b : Encoded, (codes, scales), or an array of codes (unsigned integers) or of values (floats)
/// source : array, optional
///     The numbers that both came from. Without it the bytes alone are looked at.
///
/// Returns
/// -------
/// Explanation
///
/// Examples
/// --------
/// >>> import numpy, intrain
/// >>> x = numpy.random.default_rng(1).standard_normal((8, 64), dtype=numpy.float32)
/// >>> a, b = intrain.encode(x, 'mxfp4@even'), intrain.encode(x, 'mxfp4@floor')
/// >>> intrain.explain(a, b, x).switch
/// [('scale rule', 'even', 'floor')]
#[pyfunction]
#[pyo3(signature = (a, b, source=None))]
pub(crate) fn explain(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    source: Option<&Bound<'_, PyAny>>,
) -> PyResult<Explanation> {
    let ((seen_a, shape), (seen_b, _)) = (seen(a)?, seen(b)?);
    let found = if let Some(source) = source {
        let input = Input::floats(source)?;
        let shape = input.as_array().shape().to_vec();
        let source = Source { values: slice(&input), shape: &shape };
        py.detach(|| with_source(&seen_a, &seen_b, source))
    } else {
        py.detach(|| without_source(&seen_a, &seen_b, &shape))
    };
    let difference = found.difference.as_ref();
    let places = difference.map_or([None; 3], |d| [d.scale, d.code, d.value]);
    let named = ["scales", "codes", "values"].into_iter().zip(places);
    Ok(Explanation {
        is_explained: found.is_explained(),
        first: named.filter_map(|(what, at)| at.map(|at| (what, (at.index, at.a, at.b)))).collect(),
        a: found.a.iter().map(ToString::to_string).collect(),
        b: found.b.iter().map(ToString::to_string).collect(),
        switch: found.switch.into_iter().map(|change| (change.what, change.a, change.b)).collect(),
        pairs: found
            .pairs
            .into_iter()
            .map(|pair| (pair.element.to_string(), pair.a.to_string(), pair.b.to_string()))
            .collect(),
    })
}

/// An array as it was found, and its sizes.
fn seen(x: &Bound<'_, PyAny>) -> PyResult<(Seen, Vec<usize>)> {
    if let Ok(encoded) = x.cast::<Encoded>() {
        let (codes, scales, factor) = encoded.get().parts(x.py());
        let (mut seen, shape) = of_array(&codes)?;
        seen.scales = scales.map(|scales| of_bytes(&scales)).transpose()?;
        seen.factor = Some(factor).filter(|factor| *factor != 1.0);
        return Ok((seen, shape));
    }
    if let Ok((codes, scales)) = x.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
        let (mut seen, shape) = of_array(&codes)?;
        seen.scales = Some(of_bytes(&scales)?);
        return Ok((seen, shape));
    }
    of_array(x)
}

fn of_array(x: &Bound<'_, PyAny>) -> PyResult<(Seen, Vec<usize>)> {
    let array = x.cast::<PyUntypedArray>().map_err(|_| wrong(x))?;
    let shape = array.shape().to_vec();
    match (array.dtype().kind(), array.dtype().itemsize()) {
        (b'f', _) => {
            let values = Some(slice(&Input::floats(x)?).to_vec());
            Ok((Seen { values, ..Seen::default() }, shape))
        }
        (b'u' | b'i', 1 | 2 | 4) => {
            let words = x.call_method1("astype", ("uint32",))?;
            let words = words.cast::<PyArrayDyn<u32>>()?.try_readonly().map_err(|_| wrong(x))?;
            let codes = Some(words.as_array().iter().copied().collect());
            Ok((Seen { codes, ..Seen::default() }, shape))
        }
        _ => Err(wrong(x)),
    }
}

fn of_bytes(x: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let bytes =
        x.cast::<PyArrayDyn<u8>>().map_err(|_| PyTypeError::new_err("scales are an array of uint8"))?;
    let bytes = bytes
        .try_readonly()
        .map_err(|_| IntrainError::new_err("the scales are being written by another call"))?;
    Ok(bytes.as_array().iter().copied().collect())
}

fn wrong(x: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!(
        "explain takes Encoded, (codes, scales), or an array of codes (uint8, uint16, uint32) or of values (float32), not {}",
        x.get_type()
    ))
}
