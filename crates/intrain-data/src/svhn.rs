//! SVHN, digits of house numbers, cropped to 32x32: arrays `X` and `y` in two MAT-files.
//!
//! Source: <http://ufldl.stanford.edu/housenumbers/> (Netzer et al. 2011), format 2. The digit 0 has the label 10 there.

use std::path::Path;

use crate::bounded::AGAIN;
use crate::dataset::check_labels;
use crate::mat::{self, Array};
use crate::{DataError, ImageShape, Split};

/// Size of an image.
pub const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
/// Name, bytes and SHA-256 of the files: to learn from, to test.
pub const FILES: [(&str, u64, &str); 2] = [
    ("train_32x32.mat", 182_040_794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    ("test_32x32.mat", 64_275_384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
];

/// Reads a file: `X` of `[height, width, channels, n]`, `y` of `[n, 1]`.
///
/// # Errors
/// The file is damaged, an array is missing or has another shape, or a label is not 1 to 10.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Split, DataError> {
    let wrong = |problem: String| DataError::file(path, problem, AGAIN);
    let arrays = mat::parse(bytes, path)?;
    let find = |name: &str| {
        arrays
            .iter()
            .find(|array| array.name == name)
            .ok_or_else(|| wrong(format!("lacks the array '{name}'")))
    };
    let (x, y): (&Array, &Array) = (find("X")?, find("y")?);
    let ImageShape { height, width, channels } = SHAPE;
    let n = y.values.len();
    if x.shape != [height, width, channels, n] {
        return Err(wrong(format!("has X of shape {:?}, expected [32, 32, 3, {n}] for {n} labels", x.shape)));
    }
    let labels: Vec<u16> = y.values.iter().map(|&label| if label == 10 { 0 } else { label.into() }).collect();
    if let Some(i) = y.values.iter().position(|&label| label == 0) {
        return Err(wrong(format!("label {i} is 0, expected 1 to 10")));
    }
    check_labels(&labels, 10, path)?;
    // Rows count fastest there, channels here.
    let mut images = vec![0; x.values.len()];
    for (from, to) in x.values.chunks_exact(SHAPE.n_values()).zip(images.chunks_exact_mut(SHAPE.n_values())) {
        for (i, value) in to.iter_mut().enumerate() {
            let (pixel, c) = (i / channels, i % channels);
            *value = from[(c * width + pixel % width) * height + pixel / width];
        }
    }
    Ok(Split { images, labels })
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
        let split = parse(&bytes, Path::new("f")).unwrap();
        assert_eq!(split.labels, [0, 9]);
        assert_eq!(split.image(SHAPE, 1)[(3 * 32 + 1) * 3 + 1], 200);
        assert_eq!(split.images.iter().filter(|v| **v != 0).count(), 1);
    }

    #[test]
    fn faults_are_named() {
        let x = matrix("X", &[32, 32, 3, 1], 2, &vec![0; SHAPE.n_values()]);
        let message = |elements: &[Vec<u8>]| parse(&file(elements), Path::new("f")).unwrap_err().to_string();
        assert!(message(std::slice::from_ref(&x)).contains("lacks the array 'y'"));
        assert!(message(&[x.clone(), matrix("y", &[2, 1], 2, &[1, 2])]).contains("[32, 32, 3, 2]"));
        assert!(message(&[x.clone(), matrix("y", &[1, 1], 2, &[0])]).contains("label 0 is 0"));
        assert!(message(&[x, matrix("y", &[1, 1], 2, &[11])]).contains("label 0 is 11"));
    }
}
