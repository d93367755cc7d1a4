//! SVHN, digits of house numbers, cropped to 32x32: arrays `X` and `y` in each of two MAT-files.
//!
//! Source: <http://ufldl.stanford.edu/housenumbers> (Netzer et al. 2011), format 2. Labels are 1 to 10 there, and 10 is
//! the digit 0. The first index of an array counts fastest there; here pixels lie row by row, channels last.

use std::path::Path;

use crate::bounded::{AGAIN, reserve};
use crate::{DataError, ImageShape, Split, mat};

/// Size of an image.
pub const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
/// Name, size in bytes and SHA-256 of the files: to learn from, then to test.
pub const FILES: [(&str, u64, &str); 2] = [
    ("train_32x32.mat", 182_040_794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    ("test_32x32.mat", 64_275_384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
];
/// Images in each of the files.
pub const N_IMAGES: [usize; 2] = [73_257, 26_032];
/// Bound of each file, and of its arrays when they are unpacked, in bytes; the larger ones have 226 million.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// Reads a file of exactly `n_images` images: `X` is `[height, width, channels, n_images]`, `y` is `[n_images, 1]`.
///
/// # Errors
/// The file is damaged, an array is missing or has another shape, or a label is not 1 to 10.
pub fn parse(bytes: &[u8], n_images: usize, path: &Path) -> Result<Split, DataError> {
    let wrong = |problem: String| DataError::file(path, problem, AGAIN);
    let arrays = mat::parse(bytes, MAX_FILE_BYTES, path)?;
    let find = |name: &str, shape: &[usize]| {
        let array = arrays.iter().find(|array| array.name == name);
        let array = array.ok_or_else(|| wrong(format!("lacks the array {name}")))?;
        if array.shape != shape {
            return Err(wrong(format!("has {name} of shape {:?}, expected {shape:?}", array.shape)));
        }
        Ok(&array.values[..])
    };
    let ImageShape { height, width, channels } = SHAPE;
    let (x, y) = (find("X", &[height, width, channels, n_images])?, find("y", &[n_images, 1])?);
    if let Some(index) = y.iter().position(|label| !(1..=10).contains(label)) {
        return Err(wrong(format!("label {index} is {}, the limits are 1 and 10", y[index])));
    }
    let mut images = Vec::new();
    reserve(&mut images, x.len(), path)?;
    let order = order();
    for image in x.chunks_exact(SHAPE.n_values()) {
        images.extend(order.iter().map(|&index| image[index]));
    }
    Ok(Split { images, labels: y.iter().map(|&label| u16::from(label % 10)).collect(), names: vec![] })
}

/// Where the values of an image lie in the file, in the order that they have here.
fn order() -> Vec<usize> {
    let ImageShape { height, width, channels } = SHAPE;
    let pixels = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
    pixels.flat_map(|(row, column)| (0..channels).map(move |c| (c * width + column) * height + row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mat::tests::{deflated, file, matrix};

    #[test]
    fn columns_become_rows_and_ten_is_zero() {
        let mut x = vec![0; 2 * SHAPE.n_values()];
        // Row 3, column 1, green, of the second image.
        x[SHAPE.n_values() + (32 + 1) * 32 + 3] = 200;
        let bytes = file(&[
            deflated(&matrix("X", &[32, 32, 3, 2], 2, &x)),
            deflated(&matrix("y", &[2, 1], 2, &[10, 9])),
        ]);
        let split = parse(&bytes, 2, Path::new("f")).unwrap();
        assert_eq!(split.labels, [0, 9]);
        assert_eq!(split.image(SHAPE, 1)[(3 * 32 + 1) * 3 + 1], 200);
        assert_eq!((split.images.len(), split.images.iter().filter(|&&v| v != 0).count()), (2 * 3072, 1));
    }

    #[test]
    fn labels_may_be_doubles() {
        let labels = [1.0_f64, 10.0].map(f64::to_le_bytes).concat();
        let x = matrix("X", &[32, 32, 3, 2], 2, &vec![7; 2 * SHAPE.n_values()]);
        let split = parse(&file(&[matrix("y", &[2, 1], 9, &labels), x]), 2, Path::new("f")).unwrap();
        assert_eq!((&split.labels[..], &split.images[..]), (&[1, 0][..], &[7; 2 * 3072][..]));
    }

    #[test]
    fn faults_are_named() {
        let x = matrix("X", &[32, 32, 3, 1], 2, &vec![0; SHAPE.n_values()]);
        let y = |shape: &[i32], labels: &[u8]| matrix("y", shape, 2, labels);
        let cases = [
            (vec![x.clone()], "f: lacks the array y; if it was downloaded, it is damaged"),
            (vec![y(&[1, 1], &[1])], "lacks the array X"),
            (vec![x.clone(), y(&[2, 1], &[1, 2])], "has y of shape [2, 1], expected [1, 1]"),
            (vec![x.clone(), y(&[1], &[1])], "has y of shape [1], expected [1, 1]"),
            (vec![matrix("X", &[1], 2, &[0])], "has X of shape [1], expected [32, 32, 3, 1]"),
            (vec![x.clone(), y(&[1, 1], &[0])], "label 0 is 0, the limits are 1 and 10"),
            (vec![x, y(&[1, 1], &[11])], "label 0 is 11, the limits are 1 and 10"),
        ];
        for (elements, expected) in cases {
            let message = parse(&file(&elements), 1, Path::new("f")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}\n{expected}");
        }
    }
}
