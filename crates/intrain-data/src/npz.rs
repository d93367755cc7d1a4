//! NPZ files with four arrays: `x_train y_train x_test y_test`, or `train_images train_labels test_images test_labels`.
//!
//! Images are `[n, height, width]` or `[n, height, width, channels]`, uint8, or floats in 0 to 1, which become
//! `round(255 x)`, ties away from zero; in C order or in Fortran order. Labels are `[n]` or `[n, 1]` of any integer type; there are as many
//! classes as the greatest label plus one.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::bounded::{COPY_AGAIN, MAX_BYTES, read_all};
use crate::layout::Layout;
use crate::npy::{self, Kind, Npy};
use crate::{DataError, Dataset, ImageShape, Split, mat};

/// The two spellings of the arrays: images and labels to learn from, then to test.
const SPELLINGS: [[[&str; 2]; 2]; 2] = [
    [["x_train", "y_train"], ["x_test", "y_test"]],
    [["train_images", "train_labels"], ["test_images", "test_labels"]],
];

const SAVEZ: &str =
    "save all four arrays with numpy.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)";

/// Reads a data set from the bytes of an NPZ file.
///
/// # Errors
/// The archive is corrupt, an array is missing or of another type or shape, or a value is out of range.
pub fn parse(bytes: &[u8], name: &str, path: &Path) -> Result<Dataset, DataError> {
    if let Some(problem) = another_format(bytes) {
        return Err(DataError::file(path, problem, SAVEZ));
    }
    let corrupt =
        |e: ZipError| DataError::file(path, format!("cannot be read as a zip archive: {e}"), COPY_AGAIN);
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(corrupt)?;
    let has = |[x, _]: [&str; 2]| archive.index_for_name(&format!("{x}.npy")).is_some();
    let Some(arrays) = SPELLINGS.into_iter().find(|&[train, _]| has(train)) else {
        return Err(DataError::file(path, "holds neither x_train nor train_images", SAVEZ));
    };
    let [train, test] = arrays;
    let (train_shape, train) = read_split(&mut archive, train, path)?;
    let (test_shape, test) = read_split(&mut archive, test, path)?;
    if train_shape != test_shape {
        let problem = format!("training images are {train_shape}, but test images are {test_shape}");
        return Err(DataError::file(path, problem, "give both the same size"));
    }
    let greatest = train.labels.iter().chain(&test.labels).max();
    let n_classes = greatest.map_or(0, |&label| usize::from(label) + 1);
    Dataset::new(name, train_shape, n_classes, [train, test], path)
}

/// What a file is that somebody may take for an NPZ file.
fn another_format(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x93NUMPY") {
        Some("is an NPY file of one array, expected an NPZ file of four")
    } else if mat::is_hdf5(bytes) {
        Some("is an HDF5 file (.h5, or .mat of MATLAB 7.3), expected an NPZ file: read it with h5py")
    } else if bytes.starts_with(b"MATLAB 5.0") {
        Some("is a MAT-file, expected an NPZ file: read it with scipy.io.loadmat")
    } else {
        None
    }
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

fn read_split(
    archive: &mut Archive<'_>,
    [images, labels]: [&str; 2],
    path: &Path,
) -> Result<(ImageShape, Split), DataError> {
    let (bytes, member) = read_member(archive, images, path)?;
    let (shape, images) = parse_images(&bytes, &member)?;
    let (bytes, member) = read_member(archive, labels, path)?;
    Ok((shape, Split { images, labels: parse_labels(&bytes, &member)? }))
}

/// The bytes of an array, and its path for messages: `file.npz:x_train.npy`.
fn read_member(archive: &mut Archive<'_>, array: &str, path: &Path) -> Result<(Vec<u8>, PathBuf), DataError> {
    let member = PathBuf::from(format!("{}:{array}.npy", path.display()));
    let file = archive
        .by_name(&format!("{array}.npy"))
        .map_err(|e| DataError::file(&member, format!("cannot be read: {e}"), SAVEZ))?;
    Ok((read_all(file, MAX_BYTES, &member, COPY_AGAIN)?, member))
}

fn parse_images(bytes: &[u8], path: &Path) -> Result<(ImageShape, Vec<u8>), DataError> {
    let array = npy::parse(bytes, path)?;
    let Some(layout) = Layout::new(&array.shape, array.contiguous) else {
        let problem = format!(
            "has shape {:?}, expected [n, height, width] or [n, height, width, channels]",
            array.shape
        );
        return Err(DataError::file(path, problem, "reshape the images"));
    };
    let [n, height, width, channels] = layout.sizes;
    let shape = ImageShape::new(height, width, channels, path)?;
    shape.bytes_of(n, path)?;
    Ok((shape, layout.in_order(pixels(&array, path)?)))
}

/// A byte for each value of the array, in the order of the file.
fn pixels(array: &Npy<'_>, path: &Path) -> Result<Vec<u8>, DataError> {
    if (array.kind, array.item_bytes) == (Kind::Unsigned, 1) {
        return Ok(array.bytes.to_vec());
    }
    let Some(floats) = array.floats() else {
        let problem = format!("is of type {}, expected uint8 or floats", array.type_name());
        return Err(DataError::file(path, problem, "convert the images with astype(\"uint8\")"));
    };
    let pixels = floats.enumerate().map(|(index, x)| to_pixel(x).ok_or((index, x))).collect::<Result<_, _>>();
    pixels.map_err(|(index, x)| {
        let problem = format!("value {index} is {x}, the limits are 0 and 1");
        DataError::file(path, problem, "scale the images to 0..=1, or save them as uint8")
    })
}

/// `round(255 x)`, ties away from zero; `None` outside of 0 to 1, and for NaN.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to 255 is cast"
)]
fn to_pixel(x: f64) -> Option<u8> {
    (0.0..=1.0).contains(&x).then(|| (255.0 * x).round() as u8)
}

fn parse_labels(bytes: &[u8], path: &Path) -> Result<Vec<u16>, DataError> {
    let array: Npy<'_> = npy::parse(bytes, path)?;
    if !matches!(*array.shape.as_slice(), [_] | [_, 1]) {
        let problem = format!("has shape {:?}, expected [n] or [n, 1]", array.shape);
        return Err(DataError::file(path, problem, "save class numbers, not one-hot vectors: y.argmax(1)"));
    }
    let Some(integers) = array.integers() else {
        let problem = format!("is of type {}, expected integers", array.type_name());
        return Err(DataError::file(path, problem, "convert the labels with astype(\"int64\")"));
    };
    let labels = integers.enumerate().map(|(index, y)| u16::try_from(y).map_err(|_| (index, y)));
    labels.collect::<Result<_, _>>().map_err(|(index, y)| {
        let problem = format!("label {index} is {y}, the limits are 0 and {}", u16::MAX);
        DataError::file(path, problem, "number the classes from 0")
    })
}
