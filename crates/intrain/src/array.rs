//! Arrays in NumPy's format, read and written in either order: what `intrain quantize` takes and gives.
//!
//! Values stay in the order of the file, so that element `i` is the same number in every file of one shape and order.

use std::path::Path;

use intrain_data::npy::{self, Kind, Npy};
pub use intrain_data::npy::{Element, Order};
use intrain_num::Real;
use intrain_train::{ArtefactError, atomic_write};

use crate::measure::MeasureError;

/// An array in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The values, in the order of the file.
    pub values: Values,
    /// Sizes and order.
    pub layout: Layout,
}

/// The values of an array, exactly.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// From float32 or float16; every value is exactly a float32.
    F32(Vec<f64>),
    /// From float64.
    F64(Vec<f64>),
    /// From integers of up to 64 bits.
    Integers(Vec<i64>),
}

/// How an array's elements lie in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Sizes, slowest dimension first in C order.
    pub shape: Vec<usize>,
    /// Which dimension is contiguous.
    pub order: Order,
}

impl Array {
    /// Reads an NPY file.
    ///
    /// # Errors
    /// The file is missing or no NPY file, or holds anything but floats or integers.
    pub fn read(path: &Path) -> Result<Self, MeasureError> {
        let bytes = std::fs::read(path).map_err(|e| MeasureError::Input {
            path: path.to_owned(),
            problem: format!("cannot read: {e}; name an NPY file that exists"),
        })?;
        let npy = npy::parse(&bytes, path)?;
        let values = values(&npy, path)?;
        Ok(Self { values, layout: Layout { order: npy.contiguous, shape: npy.shape } })
    }
}

impl Values {
    /// Elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(v) | Self::F64(v) => v.len(),
            Self::Integers(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The exact value of element `i`; `None` for NaN.
    #[must_use]
    pub fn real(&self, i: usize) -> Option<Real> {
        match self {
            Self::F32(v) | Self::F64(v) => Real::from_f64(v[i]),
            Self::Integers(v) => Some(Real { mantissa: v[i], exponent: 0 }),
        }
    }

    /// Whether element `i` is an infinity.
    #[must_use]
    pub fn is_infinite(&self, i: usize) -> bool {
        match self {
            Self::F32(v) | Self::F64(v) => v[i].is_infinite(),
            Self::Integers(_) => false,
        }
    }

    /// The type in numpy's words.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
            Self::Integers(_) => "integers",
        }
    }
}

fn values(npy: &Npy<'_>, path: &Path) -> Result<Values, MeasureError> {
    let unfit = |problem: String| MeasureError::Input { path: path.to_owned(), problem };
    if let Some(floats) = npy.floats() {
        let floats = floats.collect();
        return Ok(if npy.item_bytes == 8 { Values::F64(floats) } else { Values::F32(floats) });
    }
    let integers = npy.integers().filter(|_| npy.kind != Kind::Bool).ok_or_else(|| {
        unfit(format!("holds {}; convert it to float32, float64 or an integer type", npy.type_name()))
    })?;
    let narrow = |(i, value): (usize, i128)| {
        i64::try_from(value).map_err(|_| {
            unfit(format!("element {i} is {value}, above the limit of {}; convert it to float64", i64::MAX))
        })
    };
    integers.enumerate().map(narrow).collect::<Result<_, _>>().map(Values::Integers)
}

/// Writes an NPY file of version 1.0, in place of what was there.
///
/// # Errors
/// The system refuses.
pub fn write<T: Element>(
    path: &Path,
    layout: &Layout,
    values: impl ExactSizeIterator<Item = T>,
) -> Result<(), ArtefactError> {
    let bytes = npy::to_bytes(&layout.shape, layout.order, values)
        .map_err(|e| ArtefactError::Tensor { path: path.to_owned(), problem: e.to_string() })?;
    atomic_write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Element>(shape: &[usize], order: Order, values: &[T]) -> Array {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let layout = Layout { shape: shape.to_vec(), order };
        write(&path, &layout, values.iter().copied()).unwrap();
        assert_eq!((std::fs::read(&path).unwrap().len() - size_of_val(values)) % 64, 0);
        let array = Array::read(&path).unwrap();
        assert_eq!(array.layout, layout);
        array
    }

    #[test]
    fn arrays_come_back_in_their_type_and_order() {
        assert_eq!(
            there_and_back(&[3], Order::C, &[0.5f32, -1.0, 2.0]).values,
            Values::F32(vec![0.5, -1.0, 2.0])
        );
        let fortran = there_and_back(&[2, 2], Order::Fortran, &[1.0f64, 2.0, 3.0, 0.1]);
        assert_eq!(fortran.values, Values::F64(vec![1.0, 2.0, 3.0, 0.1]));
        assert_eq!(there_and_back(&[], Order::C, &[7i64]).values, Values::Integers(vec![7]));
        assert_eq!(there_and_back(&[0, 5], Order::C, &[0i32; 0]).values, Values::Integers(vec![]));
    }
}
