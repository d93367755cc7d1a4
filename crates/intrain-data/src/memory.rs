//! Data sets that a program has in memory: arrays of pixels and labels, with or without a part to be measured on.

use crate::bounded::MAX_BYTES;
use crate::{DataError, Dataset, ImageShape, Split};

/// Images of one size and their labels, checked: one part of a [`Dataset`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    shape: ImageShape,
    split: Split,
}

impl Images {
    /// From an array of pixels `[n, height, width, channels]`, 0 to 255, and the class of each image.
    ///
    /// # Errors
    /// No image, a size out of its range, or a number of pixels or labels other than `shape` says.
    ///
    /// ```
    /// use intrain_data::Images;
    ///
    /// let images = Images::new([3, 8, 8, 1], vec![0; 3 * 64], vec![2, 0, 1])?;
    /// assert_eq!(images.len(), 3);
    /// let error = Images::new([3, 8, 8, 3], vec![0; 3 * 64], vec![2, 0, 1]).unwrap_err();
    /// assert!(error.to_string().contains("192 bytes, and its shape [3, 8, 8, 3] has 576"));
    /// # Ok::<(), intrain_data::DataError>(())
    /// ```
    pub fn new(shape: [usize; 4], images: Vec<u8>, labels: Vec<u16>) -> Result<Self, DataError> {
        let [n, height, width, channels] = shape;
        let refuse = |problem: String, remedy: &'static str| Err(DataError::Array { problem, remedy });
        if n == 0 {
            return refuse(format!("its shape {shape:?} has no images"), "give it at least one");
        }
        let side = 1..=ImageShape::MAX_SIDE;
        let has_channels = (1..=ImageShape::MAX_CHANNELS).contains(&channels);
        if !side.contains(&height) || !side.contains(&width) || !has_channels {
            let problem = format!(
                "its shape {shape:?} is not [n, height, width, channels] with sides in 1..={} and channels in 1..={}",
                ImageShape::MAX_SIDE,
                ImageShape::MAX_CHANNELS
            );
            return refuse(problem, "put the channels last, or resize the images");
        }
        let shape_of_one = ImageShape { height, width, channels };
        let expected = shape_of_one.n_values().checked_mul(n).filter(|bytes| *bytes as u64 <= MAX_BYTES);
        let Some(expected) = expected else {
            let problem = format!("its shape {shape:?} has more than {MAX_BYTES} bytes");
            return refuse(problem, "use fewer or smaller images");
        };
        if images.len() != expected {
            let problem = format!("it has {} bytes, and its shape {shape:?} has {expected}", images.len());
            return refuse(problem, "give a byte for each channel of each pixel");
        }
        if labels.len() != n {
            let problem = format!("there are {} labels for {n} images", labels.len());
            return refuse(problem, "give each image one label");
        }
        Ok(Self { shape: shape_of_one, split: Split { images, labels, names: vec![] } })
    }

    /// Number of images, at least 1.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.split.len()
    }

    pub(crate) fn into_split(self) -> Split {
        self.split
    }

    /// Size of each image.
    #[must_use]
    pub const fn shape(&self) -> ImageShape {
        self.shape
    }
}

impl Dataset {
    /// A data set in memory, without a file: what a network learns from, and what it is measured on, if anything is.
    ///
    /// # Errors
    /// Parts with images of two sizes, a number of classes out of its range, or a label that is not below it.
    ///
    /// ```
    /// use intrain_data::{Dataset, Images};
    ///
    /// let train = Images::new([2, 1, 2, 1], vec![0, 1, 2, 3], vec![0, 1])?;
    /// let dataset = Dataset::from_images("mine", 2, train, None)?;
    /// assert_eq!((dataset.train.len(), dataset.test.len()), (2, 0));
    /// # Ok::<(), intrain_data::DataError>(())
    /// ```
    pub fn from_images(
        name: &str,
        n_classes: usize,
        train: Images,
        test: Option<Images>,
    ) -> Result<Self, DataError> {
        let refuse = |problem: String, remedy: &'static str| Err(DataError::Array { problem, remedy });
        let most = usize::from(u16::MAX) + 1;
        if !(1..=most).contains(&n_classes) {
            let value = n_classes.to_string();
            return Err(DataError::Setting {
                setting: "the number of classes",
                value,
                limit: format!("1..={most}"),
            });
        }
        if let Some(test) = test.as_ref().filter(|test| test.shape != train.shape) {
            let problem = format!("images of {} to test and of {} to learn from", test.shape, train.shape);
            return refuse(problem, "give both parts one size");
        }
        for (part, images) in [("training", Some(&train)), ("test", test.as_ref())] {
            let labels = images.map_or(&[][..], |images| &images.split.labels);
            if let Some(i) = labels.iter().position(|label| usize::from(*label) >= n_classes) {
                let problem = format!("{part} label {i} is {}, the limit is {}", labels[i], n_classes - 1);
                return refuse(problem, "count classes from 0, or say that there are more of them");
            }
        }
        Ok(Self {
            name: name.to_owned(),
            shape: train.shape,
            stored: train.shape,
            n_classes,
            class_names: crate::dataset::class_numbers(n_classes),
            encoder: None,
            train: train.split,
            test: test.map(|test| test.split).unwrap_or_default(),
            validation: Split::default(),
            left_out: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Augment, Part, TrainBatches, digits, evaluation};

    fn images(shape: [usize; 4], n_labels: usize) -> Result<Images, DataError> {
        Images::new(
            shape,
            vec![7; shape.iter().fold(1, |n: usize, side| n.saturating_mul(*side)).min(1 << 20)],
            vec![1; n_labels],
        )
    }

    #[test]
    fn a_data_set_from_arrays_is_the_one_from_files() {
        let file = digits::load().unwrap();
        let part = |split: &Split| {
            Images::new([split.len(), 8, 8, 1], split.images.clone(), split.labels.clone()).unwrap()
        };
        let both = Dataset::from_images("digits", 10, part(&file.train), Some(part(&file.test))).unwrap();
        assert_eq!(both.fingerprint(), file.fingerprint());
        assert_eq!((&both.train, &both.test, both.shape), (&file.train, &file.test, file.shape));
        let alone = Dataset::from_images("digits", 10, part(&file.train), None).unwrap();
        assert_eq!(evaluation(&alone, Part::Test, 100).unwrap().count(), 0);
        assert_eq!(TrainBatches::new(alone.into(), 100, 1, Augment::default()).unwrap().per_epoch(), 14);
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        for (shape, n_labels, part) in [
            ([0, 8, 8, 1], 0, "[0, 8, 8, 1] has no images; give it at least one"),
            ([2, 3, 8, 65], 2, "channels in 1..=64; put the channels last"),
            ([2, 0, 8, 1], 2, "sides in 1..=4096"),
            ([1 << 60, 8, 8, 1], 2, "has more than"),
            ([2, 8, 8, 1], 3, "there are 3 labels for 2 images; give each image one label"),
        ] {
            let message = images(shape, n_labels).unwrap_err().to_string();
            assert!(message.starts_with("an array of images: ") && message.contains(part), "{message}");
        }
        let message = Images::new([2, 8, 8, 1], vec![0; 64], vec![0; 2]).unwrap_err().to_string();
        assert!(message.contains("it has 64 bytes, and its shape [2, 8, 8, 1] has 128"), "{message}");
    }

    #[test]
    fn parts_belong_together() {
        let train = || images([2, 8, 8, 1], 2).unwrap();
        let refused =
            |n_classes, test| Dataset::from_images("x", n_classes, train(), test).unwrap_err().to_string();
        let message = refused(2, images([2, 8, 4, 1], 2).ok());
        assert!(message.contains("images of 8x4x1 to test and of 8x8x1 to learn from"), "{message}");
        assert!(refused(1, None).contains("training label 0 is 1, the limit is 0"));
        assert!(refused(0, None).contains("the number of classes is 0, but must be 1..=65536"));
        assert!(refused(65_537, None).contains("65537"));
        let test = Images::new([1, 8, 8, 1], vec![0; 64], vec![4]).ok();
        assert!(refused(4, test).contains("test label 0 is 4, the limit is 3; count classes from 0"));
    }
}
