//! Images to choose by: a part beside those to learn from and those to test. A source has it, or it is taken of the images to
//! learn from.

use std::path::Path;

use crate::dataset::check_labels;
use crate::{DataError, Dataset, Images, Part, Split};

/// Largest share of the images to learn from that validation takes.
const SHARE_MAX: f64 = 0.5;

impl Dataset {
    /// The same with a share of the images to learn from taken for validation, of each class in even distances: the `k`-th of
    /// its images, counted from 1, where `floor(k * share)` rises; of a class that would have none so, but has two images or
    /// more, the last. So each class is learned. A share of 0 takes none.
    ///
    /// # Errors
    /// A share outside of its range, a source that has images for validation already, or classes of one image each.
    ///
    /// ```
    /// let digits = intrain_data::digits::load()?;
    /// let n = digits.train.len();
    /// let parted = digits.with_validation(0.1)?;
    /// assert_eq!((parted.validation.len(), parted.train.len()), (140, n - 140));
    /// # Ok::<(), intrain_data::DataError>(())
    /// ```
    pub fn with_validation(mut self, share: f64) -> Result<Self, DataError> {
        if share == 0.0 {
            return Ok(self);
        }
        if !(share > 0.0 && share <= SHARE_MAX) {
            let limit = format!("above 0 and at most {SHARE_MAX}, or 0 for no such part");
            return Err(DataError::Setting { setting: "validation", value: share.to_string(), limit });
        }
        let refuse = |problem, remedy: &str| Err(DataError::file(Path::new(&self.name), problem, remedy));
        if !self.validation.is_empty() {
            let problem = format!(
                "validation = {share} would part its training images, and it has {} for validation already",
                self.validation.len()
            );
            return refuse(problem, "leave the setting out");
        }
        let n_values = self.stored.n_values();
        let (train, validation) = std::mem::take(&mut self.train).spaced(n_values, self.n_classes, share);
        if validation.is_empty() {
            let problem = format!("validation = {share} takes no image: each class has 1 to learn from");
            return refuse(problem, "leave the setting out, or give a class at least 2 images");
        }
        (self.train, self.validation) = (train, validation);
        Ok(self)
    }

    /// How many images are left to learn from where validation takes this share, as [`Dataset::with_validation`] takes it.
    #[must_use]
    pub fn n_train_without(&self, share: f64) -> usize {
        let taken = if share > 0.0 { is_spaced(&self.train.labels, self.n_classes, share) } else { vec![] };
        self.train.len() - taken.iter().filter(|is_taken| **is_taken).count()
    }

    /// The part whose error says which state of a network is the best: the images for validation, and where there are none, those to
    /// test.
    #[must_use]
    pub fn chosen_by(&self) -> Part {
        if self.validation.is_empty() { Part::Test } else { Part::Validation }
    }

    /// The same with these images for validation.
    ///
    /// # Errors
    /// Images of another size, or a label that is not below the number of classes.
    pub fn validated_on(self, images: Images) -> Result<Self, DataError> {
        if images.shape() != self.stored {
            let problem =
                format!("images of {} for validation and of {} to learn from", images.shape(), self.stored);
            return Err(DataError::Array { problem, remedy: "give both parts one size" });
        }
        let name = self.name.clone();
        self.with_validation_split(images.into_split(), Path::new(&name))
    }

    /// The same with a part for validation that a source has; `path` is named.
    pub(crate) fn with_validation_split(self, validation: Split, path: &Path) -> Result<Self, DataError> {
        check_labels(&validation.labels, self.n_classes, path)?;
        Ok(Self { validation, ..self })
    }
}

impl Split {
    /// Images to learn from, and a share of each class in even distances.
    fn spaced(self, n_values: usize, n_classes: usize, share: f64) -> (Self, Self) {
        let mut is_taken = is_spaced(&self.labels, n_classes, share).into_iter();
        self.part(n_values, |_| is_taken.next().unwrap_or(false))
    }
}

/// Which images of a share in even distances are.
fn is_spaced(labels: &[u16], n_classes: usize, share: f64) -> Vec<bool> {
    let mut sizes = vec![0_usize; n_classes];
    labels.iter().for_each(|label| sizes[usize::from(*label)] += 1);
    let mut n_seen = vec![0_usize; n_classes];
    let is_taken = |label: &u16| {
        let (n, seen) = (sizes[usize::from(*label)], &mut n_seen[usize::from(*label)]);
        *seen += 1;
        let is_last_of_few = taken(n, share) == 0 && n > 1 && *seen == n;
        taken(*seen, share) > taken(*seen - 1, share) || is_last_of_few
    };
    labels.iter().map(is_taken).collect()
}

/// How many of the first `n` images of a class are taken: `floor(n * share)`, where a product just below a whole number, as
/// of 100 by 0.29, is that number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts of images are below 2^32, and a share is at most a half"
)]
fn taken(n: usize, share: f64) -> usize {
    (n as f64 * share + 1e-6).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;

    /// Images of one pixel, each of a value of its own.
    fn data(labels: &[u16]) -> Dataset {
        let split = |labels: &[u16]| Split {
            images: (0..labels.len()).map(|i| u8::try_from(i).unwrap()).collect(),
            labels: labels.to_vec(),
            names: vec![],
        };
        let shape = ImageShape { height: 1, width: 1, channels: 1 };
        Dataset::new("here", shape, 3, [split(labels), split(&[0])], Path::new("here")).unwrap()
    }

    #[test]
    fn a_share_of_each_class_is_taken_in_even_distances() {
        // Ten of class 0, three of class 1 and one of class 2.
        let labels = [0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1];
        let parted = data(&labels).with_validation(0.2).unwrap();
        assert_eq!(parted.validation.images, [5, 12, 13]);
        assert_eq!(parted.part(Part::Validation).labels, [0, 0, 1]);
        assert_eq!(parted.train.images, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
        assert_eq!(parted.test, data(&labels).test);
        assert_eq!((parted.chosen_by(), data(&labels).chosen_by()), (Part::Validation, Part::Test));
        assert_eq!(taken(100, 0.29), 29);
        for share in [0.0, 0.1, 0.2, 0.34, 0.5] {
            let parted = data(&labels).with_validation(share).unwrap();
            assert_eq!(data(&labels).n_train_without(share), parted.train.len(), "{share}");
        }
    }

    #[test]
    fn a_fingerprint_knows_the_part() {
        let (whole, labels) = (data(&[0, 0, 1, 1, 2]), [0, 0, 1, 1, 2]);
        let parted = whole.clone().with_validation(0.5).unwrap();
        assert_ne!(whole.fingerprint(), parted.fingerprint());
        assert_eq!(whole.clone().with_validation(0.0).unwrap().fingerprint(), whole.fingerprint());
        let mut other = data(&labels).with_validation(0.5).unwrap();
        other.validation.images[0] ^= 1;
        assert_ne!(parted.fingerprint(), other.fingerprint());
    }

    #[test]
    fn what_cannot_be_parted_is_told() {
        let message = |data: Dataset, share| data.with_validation(share).unwrap_err().to_string();
        for share in [-0.1, 0.6, f64::NAN, f64::INFINITY] {
            assert!(message(data(&[0, 1]), share).contains("above 0 and at most 0.5"), "{share}");
        }
        assert!(message(data(&[0, 1, 2]), 0.1).contains("takes no image: each class has 1"));
        let parted = data(&[0, 0, 1, 1]).with_validation(0.5).unwrap();
        assert!(message(parted, 0.5).contains("has 2 for validation already; leave the setting out"));
    }

    #[test]
    fn a_part_of_a_program_is_checked() {
        let images = |side, label| Images::new([1, side, 1, 1], vec![7; side], vec![label]).unwrap();
        let data = || data(&[0, 1, 2]);
        assert_eq!(data().validated_on(images(1, 2)).unwrap().validation.labels, [2]);
        assert!(data().validated_on(images(2, 0)).unwrap_err().to_string().contains("one size"));
        assert!(data().validated_on(images(1, 3)).unwrap_err().to_string().contains("label 0 is 3"));
    }
}
