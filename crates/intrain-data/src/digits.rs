//! The embedded data set: 1,797 handwritten digits of 8x8 pixels, so that training needs no file at all.
//!
//! Source and licence: `assets/digits-LICENSE.md`. Pixels 0..=16 become `min(16 * v, 255)`. The split is fixed: of
//! every five consecutive images the fifth is for the test, which makes 1,438 and 359.

use std::path::Path;

use crate::{DataError, Dataset, ImageShape, Split};

static RECORDS: &[u8] = include_bytes!("../assets/digits.bin");
const SHAPE: ImageShape = ImageShape { height: 8, width: 8, channels: 1 };
const CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Unpacks the digits.
///
/// # Errors
/// None in a program that was built from an unchanged `digits.bin`.
pub fn load() -> Result<Dataset, DataError> {
    let mut all = Split::default();
    for record in RECORDS.chunks_exact(1 + SHAPE.n_values()) {
        all.labels.push(u16::from(record[0]));
        all.images.extend(record[1..].iter().map(|&v| v.saturating_mul(16)));
    }
    let (train, test) = all.every_fifth_is_test(SHAPE.n_values());
    let path = Path::new("digits (embedded)");
    Ok(Dataset::new("digits", SHAPE, CLASSES.len(), [train, test], path)?.with_class_names(&CLASSES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_source() {
        let digits = load().unwrap();
        assert_eq!(RECORDS.len(), 1797 * 65);
        assert_eq!((digits.train.len(), digits.test.len()), (1438, 359));
        // The first image of scikit-learn's load_digits is a zero; its second row is 0 0 13 15 10 15 5 0.
        assert_eq!(digits.train.labels[..5], [0, 1, 2, 3, 5]);
        assert_eq!(digits.test.labels[..2], [4, 9]);
        assert_eq!(digits.train.image(SHAPE, 0)[8..16], [0, 0, 208, 240, 160, 240, 80, 0]);
        let mut counts = [0; 10];
        for &label in digits.train.labels.iter().chain(&digits.test.labels) {
            counts[usize::from(label)] += 1;
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }
}
