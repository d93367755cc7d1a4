//! IDX files, the format of MNIST and Fashion-MNIST: `0 0 8 rank`, one big-endian u32 per dimension, then bytes.
//!
//! Pure functions over bytes. A file is taken only if it is exactly as long as its header says.

use std::path::Path;

use crate::bounded::AGAIN;
use crate::dataset::check_labels;
use crate::{DataError, ImageShape};

/// An array of bytes, as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx<'a> {
    /// Sizes, slowest dimension first; 1 to 4 of them.
    pub dims: Vec<usize>,
    /// Values; as many as the product of `dims`.
    pub values: &'a [u8],
}

/// Bytes of the longest header: the magic number and four sizes.
pub(crate) const START_BYTES: u64 = 20;

/// Reads any IDX file of bytes.
///
/// # Errors
/// The magic number is wrong, or the file is shorter or longer than its header says.
pub fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<Idx<'a>, DataError> {
    let (dims, expected) = promise(bytes, path)?;
    // Exact: a usize fits u64 on every target of the project.
    if expected != bytes.len() as u64 {
        return Err(length_error(path, bytes.len(), &format!("{expected} (dimensions {dims:?})")));
    }
    Ok(Idx { values: &bytes[4 + 4 * dims.len()..], dims })
}

/// The sizes that a header gives, and the bytes of the whole file that they mean; [`START_BYTES`] of it are enough.
///
/// # Errors
/// The magic number is wrong, the header is cut short, or it promises more than can be addressed.
pub(crate) fn promise(start: &[u8], path: &Path) -> Result<(Vec<usize>, u64), DataError> {
    let Some((&[zero_0, zero_1, kind, rank], rest)) = start.split_first_chunk::<4>() else {
        return Err(length_error(path, start.len(), "at least 4"));
    };
    if (zero_0, zero_1, kind) != (0, 0, 8) || !(1..=4).contains(&rank) {
        let magic = u32::from_be_bytes([zero_0, zero_1, kind, rank]);
        let problem =
            format!("magic number is 0x{magic:08x}, expected 0x00000801 to 0x00000804 (IDX of bytes)");
        return Err(DataError::file(path, problem, "this is not an IDX file of bytes: get it again"));
    }
    let header_bytes = 4 * usize::from(rank);
    let Some(header) = rest.get(..header_bytes) else {
        return Err(length_error(path, start.len(), &format!("at least {}", 4 + header_bytes)));
    };
    let (sizes, _) = header.as_chunks::<4>();
    // Exact: u32 fits usize on every target of the project.
    let dims: Vec<usize> = sizes.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
    let product = dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim as u64));
    let total = product.and_then(|n| n.checked_add(4 + header_bytes as u64));
    let Some(total) = total else {
        let expected = format!("more than can be addressed (dimensions {dims:?})");
        return Err(length_error(path, start.len(), &expected));
    };
    Ok((dims, total))
}

/// Reads grey images, `[n, height, width]`: their number, their shape, their pixels.
///
/// # Errors
/// As [`parse`]; or the rank is not 3, or a side is out of range.
pub fn parse_images(bytes: &[u8], path: &Path) -> Result<(usize, ImageShape, Vec<u8>), DataError> {
    let idx = parse(bytes, path)?;
    let (n, shape) = shape_of_images(&idx.dims, path)?;
    Ok((n, shape, idx.values.to_vec()))
}

/// The number of images and their shape, of the sizes in a header.
pub(crate) fn shape_of_images(dims: &[usize], path: &Path) -> Result<(usize, ImageShape), DataError> {
    let &[n, height, width] = dims else {
        return Err(rank_error(path, dims, "3 (images, height, width)"));
    };
    Ok((n, ImageShape::new(height, width, 1, path)?))
}

/// Reads labels, `[n]`, each below `n_classes`.
///
/// # Errors
/// As [`parse`]; or the rank is not 1, or a label is out of range.
pub fn parse_labels(bytes: &[u8], n_classes: usize, path: &Path) -> Result<Vec<u16>, DataError> {
    let idx = parse(bytes, path)?;
    number_of_labels(&idx.dims, path)?;
    let labels: Vec<u16> = idx.values.iter().map(|&label| u16::from(label)).collect();
    check_labels(&labels, n_classes, path)?;
    Ok(labels)
}

/// The number of labels, of the sizes in a header.
pub(crate) fn number_of_labels(dims: &[usize], path: &Path) -> Result<usize, DataError> {
    match dims {
        &[n] => Ok(n),
        _ => Err(rank_error(path, dims, "1 (labels)")),
    }
}

fn length_error(path: &Path, found: usize, expected: &str) -> DataError {
    DataError::file(path, format!("holds {found} bytes, expected {expected}"), AGAIN)
}

fn rank_error(path: &Path, dims: &[usize], expected: &str) -> DataError {
    let problem = format!("has {} dimensions {dims:?}, expected {expected}", dims.len());
    DataError::file(path, problem, "images and labels may be swapped: get the file again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rank: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, rank];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend_from_slice(values);
        bytes
    }

    #[test]
    fn images_and_labels() {
        let path = Path::new("f");
        let images = file(3, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let shape = ImageShape { height: 1, width: 3, channels: 1 };
        assert_eq!(parse_images(&images, path).unwrap(), (2, shape, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(parse_labels(&file(1, &[3], &[0, 9, 4]), 10, path).unwrap(), [0, 9, 4]);
    }

    #[test]
    fn every_fault_is_named() {
        let path = Path::new("f");
        let cases: [(Vec<u8>, &str); 9] = [
            (vec![0, 0], "holds 2 bytes, expected at least 4"),
            (vec![0, 0, 8, 1, 0], "holds 5 bytes, expected at least 8"),
            (file(0, &[], &[]), "magic number is 0x00000800"),
            (vec![0x1f, 0x8b, 8, 0, 0], "magic number is 0x1f8b0800"),
            (file(1, &[3], &[0, 9]), "holds 10 bytes, expected 11 (dimensions [3])"),
            (file(1, &[3], &[0, 9, 1, 1]), "holds 12 bytes, expected 11"),
            (file(1, &[3], &[0, 10, 1]), "label 1 is 10, the limit is 9"),
            (file(3, &[1, 1, 1], &[0]), "has 3 dimensions [1, 1, 1], expected 1"),
            (file(4, &[u32::MAX; 4], &[0]), "expected more than can be addressed"),
        ];
        for (bytes, expected) in cases {
            let message = parse_labels(&bytes, 10, path).unwrap_err().to_string();
            assert!(message.starts_with("f: ") && message.contains(expected), "{message}\n{expected}");
        }
        assert!(parse_images(&file(1, &[1], &[0]), path).unwrap_err().to_string().contains("expected 3"));
        assert!(
            parse_images(&file(3, &[0, 5000, 1], &[]), path).unwrap_err().to_string().contains("1..=4096")
        );
    }
}
