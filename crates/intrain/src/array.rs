//! Arrays in NumPy's format, read and written in either order: what `intrain quantize` takes and gives.
//!
//! Values stay in the order of the file, so that element `i` is the same number in every file of one shape and order.

use std::path::{Path, PathBuf};

use intrain_data::DataError;
use intrain_data::npy::{self, Kind, Npy};
pub use intrain_data::npy::{Element, Order};
use intrain_formats::fixed::Numbers;
use intrain_train::{ArtefactError, atomic_write};

/// What cannot be read or written. Each message names the file, the value and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// An array that cannot be quantized.
    #[error("{}: {problem}", .path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// The element, its value, and the remedy.
        problem: String,
    },
    /// The file is not an array.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A result that cannot be written.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

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
    F32(Vec<f32>),
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
    pub fn read(path: &Path) -> Result<Self, ArrayError> {
        let bytes = std::fs::read(path).map_err(|e| ArrayError::Input {
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
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Integers(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, to be read.
    #[must_use]
    pub const fn numbers(&self) -> Numbers<'_> {
        match self {
            Self::F32(v) => Numbers::F32(v.as_slice()),
            Self::F64(v) => Numbers::F64(v.as_slice()),
            Self::Integers(v) => Numbers::Integers(v.as_slice()),
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

fn values(npy: &Npy<'_>, path: &Path) -> Result<Values, ArrayError> {
    let unfit = |problem: String| ArrayError::Input { path: path.to_owned(), problem };
    if let Some(floats) = npy.floats() {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "floats of 4 bytes and fewer are binary32 numbers"
        )]
        let narrow = |x: f64| x as f32;
        return Ok(if npy.item_bytes == 8 {
            Values::F64(floats.collect())
        } else {
            Values::F32(floats.map(narrow).collect())
        });
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
