//! A data set in memory: bytes of pixels, channels last, and labels. What every reader makes and every batch is cut of.
//!
//! Invariant (by [`Dataset::new`] and [`Dataset::from_images`]): in all splits the pixels are `len * height * width *
//! channels` bytes and every label is below `n_classes`; there is at least one image to learn from, and to test in every
//! data set from files. Each class has a name.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::bounded::MAX_BYTES;
use crate::{DataError, Encoder};

/// Size of one image; pixels lie row by row, channels last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Rows, 1 to 4096.
    pub height: usize,
    /// Columns, 1 to 4096.
    pub width: usize,
    /// Channels, 1 to 64: 1 is grey, 3 is red, green, blue.
    pub channels: usize,
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

impl ImageShape {
    /// Greatest height and width.
    pub const MAX_SIDE: usize = 4096;
    /// Greatest number of channels.
    pub const MAX_CHANNELS: usize = 64;

    /// Checks the ranges.
    ///
    /// # Errors
    /// A side or the number of channels is zero or too large; `path` is named.
    pub fn new(height: usize, width: usize, channels: usize, path: &Path) -> Result<Self, DataError> {
        let side = 1..=Self::MAX_SIDE;
        if !side.contains(&height) || !side.contains(&width) || !(1..=Self::MAX_CHANNELS).contains(&channels)
        {
            let problem = format!(
                "images are {height} x {width} x {channels} (height x width x channels), \
                 the limits are 1..={} for a side and 1..={} for channels",
                Self::MAX_SIDE,
                Self::MAX_CHANNELS
            );
            return Err(DataError::file(path, problem, "resize the images"));
        }
        Ok(Self { height, width, channels })
    }

    /// Bytes of one image.
    ///
    /// Bound: `4096 * 4096 * 64 = 2^30`.
    #[must_use]
    pub const fn n_values(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Bytes of `n` images, or an error where that is above [`MAX_BYTES`]; for use before anything is allocated.
    pub(crate) fn bytes_of(&self, n: usize, path: &Path) -> Result<usize, DataError> {
        let total = self.n_values().checked_mul(n).filter(|&t| t as u64 <= MAX_BYTES);
        total.ok_or_else(|| {
            let problem = format!("{n} images of {} bytes are more than {MAX_BYTES} bytes", self.n_values());
            DataError::file(path, problem, "use fewer or smaller images")
        })
    }
}

/// Images and their labels, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Pixels, `[len, height, width, channels]`, 0 to 255.
    pub images: Vec<u8>,
    /// Class of each image.
    pub labels: Vec<u16>,
    /// Where each image was read from, such as its file below the folder of the data set; empty where the source names none.
    pub names: Vec<String>,
}

impl Split {
    fn label_bytes(&self) -> Vec<u8> {
        self.labels.iter().flat_map(|label| label.to_le_bytes()).collect()
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// What image `index` is called: by its file, or else by its number.
    #[must_use]
    pub fn name(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| index.to_string())
    }

    /// Pixels of image `index`, `[height, width, channels]`.
    ///
    /// # Panics
    /// `index` is not below [`Split::len`].
    #[must_use]
    pub fn image(&self, shape: ImageShape, index: usize) -> &[u8] {
        &self.images[index * shape.n_values()..][..shape.n_values()]
    }

    /// Parts images without a split of their own: of every five consecutive ones the fifth is for the test.
    pub(crate) fn every_fifth_is_test(self, n_values: usize) -> (Self, Self) {
        let mut n_seen = 0;
        self.part(n_values, |_| {
            n_seen += 1;
            n_seen % 5 == 0
        })
    }

    /// Parts images whose source has classes, but no split: of every five consecutive ones of a class the fifth is for
    /// the test, of a class of two to four the last. So each class is learned, and tested if it has a second image.
    ///
    /// # Panics
    /// A label is not below `n_classes`.
    pub(crate) fn a_fifth_of_each_class_is_test(self, n_values: usize, n_classes: usize) -> (Self, Self) {
        let mut is_test = a_fifth_of_each_class(&self.labels, n_classes).into_iter();
        self.part(n_values, |_| is_test.next().unwrap_or(false))
    }

    /// Images to learn from and to test, each in the order that they had; `is_test` is asked image by image.
    pub(crate) fn part(self, n_values: usize, mut is_test: impl FnMut(u16) -> bool) -> (Self, Self) {
        let (mut train, mut test) = (Self::default(), Self::default());
        let mut names = self.names.into_iter();
        for (pixels, &label) in self.images.chunks_exact(n_values).zip(&self.labels) {
            let side = if is_test(label) { &mut test } else { &mut train };
            side.images.extend_from_slice(pixels);
            side.labels.push(label);
            side.names.extend(names.next());
        }
        (train, test)
    }
}

/// Of every five consecutive labels of a class the fifth, of a class of two to four the last.
///
/// # Panics
/// A label is not below `n_classes`.
pub(crate) fn a_fifth_of_each_class(labels: &[u16], n_classes: usize) -> Vec<bool> {
    let mut n_of_class = vec![0_usize; n_classes];
    labels.iter().for_each(|label| n_of_class[usize::from(*label)] += 1);
    let mut n_seen = vec![0_usize; n_classes];
    let is_fifth = |label: &u16| {
        let (n, seen) = (n_of_class[usize::from(*label)], &mut n_seen[usize::from(*label)]);
        *seen += 1;
        *seen % 5 == 0 || (2..5).contains(&n) && *seen == n
    };
    labels.iter().map(is_fifth).collect()
}

/// Which images of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Those that a network learns from.
    Train,
    /// Those that the best of its states is chosen by, where there are any.
    Validation,
    /// Those that it is measured on.
    Test,
}

/// A data set, whole in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// As it was asked for: `digits`, `npz:PATH`.
    pub name: String,
    /// Size of every image as batches have it.
    pub shape: ImageShape,
    /// Size of every image in the splits: `shape`, or larger where batches are cut out of them.
    pub stored: ImageShape,
    /// Number of classes, 1 to 65536.
    pub n_classes: usize,
    /// Their names in the order of the labels, one for each; numbers as text where the source has none.
    pub class_names: Vec<String>,
    /// How its numbers became bytes; none where they were bytes.
    pub encoder: Option<Encoder>,
    /// Images to learn from.
    pub train: Split,
    /// Images to be measured on; none where a program gave none.
    pub test: Split,
    /// Images to choose by; most data sets have none.
    pub validation: Split,
    /// Why each image is missing that could not be read, where the source was asked to go on.
    pub left_out: Vec<String>,
    /// What a reader decided that the source does not say, a sentence each, for a person to read.
    pub notes: Vec<String>,
    /// What is probably wrong with the source, a sentence each with the remedy; most data sets have none.
    pub warnings: Vec<String>,
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Dataset {
    /// A hexadecimal SHA-256 by which a run knows its data again: shape, classes with their names, all labels and all pixels.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = self.hash_of_sizes();
        for name in &self.class_names {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
        }
        for split in [&self.train, &self.test, &self.validation] {
            hash.update(split.label_bytes());
            hash.update(&split.images);
        }
        hexadecimal(hash)
    }

    /// The fingerprints by which runs of this version and of earlier ones know their data.
    #[must_use]
    pub fn fingerprints(&self) -> [String; 2] {
        [self.fingerprint(), self.sampled_fingerprint()]
    }

    /// The fingerprint of earlier versions: without names, of every 251st byte of the images.
    #[must_use]
    pub fn sampled_fingerprint(&self) -> String {
        let mut hash = self.hash_of_sizes();
        for split in [&self.train, &self.test, &self.validation] {
            hash.update(split.label_bytes());
            hash.update(split.images.iter().step_by(251).copied().collect::<Vec<u8>>());
        }
        hexadecimal(hash)
    }

    fn hash_of_sizes(&self) -> Sha256 {
        let ImageShape { height, width, channels } = self.shape;
        let mut hash = Sha256::new();
        let stored = (self.stored != self.shape).then_some([self.stored.height, self.stored.width]);
        let sizes = [height, width, channels, self.n_classes, self.train.len(), self.test.len()];
        let validation = (!self.validation.is_empty()).then_some(self.validation.len());
        for size in sizes.into_iter().chain(stored.into_iter().flatten()).chain(validation) {
            hash.update((size as u64).to_le_bytes());
        }
        hash
    }

    /// A data set whose classes are called by their numbers.
    ///
    /// # Errors
    /// The number of classes is out of its range, a split is empty, its pixels do not fit its labels, or a label is not
    /// below `n_classes`; `path` is named.
    pub fn new(
        name: &str,
        shape: ImageShape,
        n_classes: usize,
        [train, test]: [Split; 2],
        path: &Path,
    ) -> Result<Self, DataError> {
        if !(1..=MAX_CLASSES).contains(&n_classes) {
            let problem = format!("has {n_classes} classes, the limits are 1 and {MAX_CLASSES}");
            return Err(DataError::file(path, problem, "give each image one of fewer classes"));
        }
        for (split, which) in [(&train, "training"), (&test, "test")] {
            if split.is_empty() {
                let remedy = "a data set needs at least one image to learn from and one to test";
                return Err(DataError::file(path, format!("has 0 {which} images"), remedy));
            }
            if shape.bytes_of(split.len(), path)? != split.images.len() {
                let problem = format!(
                    "{} {which} images with {} labels, expected as many of each",
                    split.images.len() / shape.n_values(),
                    split.len()
                );
                return Err(DataError::file(path, problem, "check that images and labels belong together"));
            }
            check_labels(&split.labels, n_classes, path)?;
        }
        let (name, stored, class_names) = (name.to_owned(), shape, class_numbers(n_classes));
        let ([left_out, notes, warnings], validation) = ([const { Vec::new() }; 3], Split::default());
        Ok(Self {
            name,
            shape,
            stored,
            n_classes,
            class_names,
            encoder: None,
            train,
            test,
            validation,
            left_out,
            notes,
            warnings,
        })
    }

    /// The same with batches of squares of `side` pixels.
    ///
    /// # Errors
    /// An image is smaller than that; `path` is named.
    pub(crate) fn cropped(self, side: usize, path: &Path) -> Result<Self, DataError> {
        let least = self.stored.height.min(self.stored.width);
        if side > least {
            let problem = format!("has images of {}, too small for crop={side}", self.stored);
            return Err(DataError::file(path, problem, format!("write crop={least} or less")));
        }
        Ok(Self { shape: ImageShape { height: side, width: side, ..self.shape }, ..self })
    }

    /// The same with names of the classes.
    pub(crate) fn with_class_names(mut self, names: &[&str]) -> Self {
        debug_assert_eq!(names.len(), self.n_classes);
        self.class_names = names.iter().map(|&n| n.to_owned()).collect();
        self
    }

    /// The same with all its images to be measured on: those to learn from, for validation and to test, in this order.
    #[must_use]
    pub fn measured_whole(mut self) -> Self {
        let mut all = self.train.clone();
        for split in [&mut self.validation, &mut self.test] {
            all.images.append(&mut split.images);
            all.labels.append(&mut split.labels);
            all.names.append(&mut split.names);
        }
        self.test = all;
        self
    }

    /// The images of a part.
    #[must_use]
    pub fn part(&self, part: Part) -> &Split {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }
}

/// Most classes: labels have 16 bits.
const MAX_CLASSES: usize = 1 << 16;

/// Names of classes that have none: their numbers as text.
pub(crate) fn class_numbers(n_classes: usize) -> Vec<String> {
    (0..n_classes).map(|class| class.to_string()).collect()
}

/// Finds the first label that is not below `n_classes`.
pub(crate) fn check_labels(labels: &[u16], n_classes: usize, path: &Path) -> Result<(), DataError> {
    match labels.iter().position(|&label| usize::from(label) >= n_classes) {
        None => Ok(()),
        Some(index) => {
            let problem = format!("label {index} is {}, the limit is {}", labels[index], n_classes - 1);
            Err(DataError::file(path, problem, "the file is damaged or of another data set: get it again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 1, width: 2, channels: 1 };

    fn split(labels: &[u16]) -> Split {
        Split { images: vec![7; 2 * labels.len()], labels: labels.to_vec(), names: vec![] }
    }

    fn message(train: Split, test: Split) -> String {
        Dataset::new("x", SHAPE, 3, [train, test], Path::new("f")).unwrap_err().to_string()
    }

    #[test]
    fn new_keeps_the_invariant() {
        let new =
            |n_classes| Dataset::new("x", SHAPE, n_classes, [split(&[0, 2]), split(&[1])], Path::new("f"));
        assert_eq!(new(3).unwrap().class_names, ["0", "1", "2"]);
        assert_eq!(new(65_536).unwrap().class_names[65_535], "65535");
        for n_classes in [0, 65_537, usize::MAX] {
            let message = new(n_classes).unwrap_err().to_string();
            assert!(message.contains(&format!("has {n_classes} classes, the limits are 1 and 65536")));
        }
        assert!(message(split(&[]), split(&[1])).contains("has 0 training images"));
        assert!(message(split(&[1]), split(&[])).contains("has 0 test images"));
        assert!(message(split(&[0, 1]), split(&[0, 3])).contains("label 1 is 3, the limit is 2"));
        let uneven = Split { images: vec![0; 6], labels: vec![0, 1], names: vec![] };
        assert!(message(uneven, split(&[1])).contains("3 training images with 2 labels"));
    }

    #[test]
    fn shapes_have_limits() {
        let path = Path::new("f");
        assert!(ImageShape::new(4096, 1, 64, path).is_ok());
        for (h, w, c) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (4097, 1, 1), (1, 4097, 1), (1, 1, 65)] {
            assert!(ImageShape::new(h, w, c, path).is_err(), "{h} {w} {c}");
        }
        let large = ImageShape { height: 4096, width: 4096, channels: 64 };
        assert!(large.bytes_of(3, path).is_ok());
        assert!(large.bytes_of(4, path).is_err());
        assert!(large.bytes_of(usize::MAX, path).is_err());
    }

    #[test]
    fn the_fifth_of_every_five_is_for_the_test() {
        let all = Split { images: (0..11).collect(), labels: (0..11).collect(), names: vec![] };
        let (train, test) = all.every_fifth_is_test(1);
        assert_eq!(test.labels, [4, 9]);
        assert_eq!(test.images, [4, 9]);
        assert_eq!(train.labels, [0, 1, 2, 3, 5, 6, 7, 8, 10]);
    }

    #[test]
    fn each_class_gives_its_own_fifths() {
        // Classes of 6, 1, 4 and 2 images, not in a row; pixels number them.
        let labels = vec![0, 2, 0, 1, 0, 2, 3, 0, 2, 0, 3, 0, 2];
        let all = Split { images: (0..13).collect(), labels, names: vec![] };
        let (train, test) = all.a_fifth_of_each_class_is_test(1, 4);
        assert_eq!((&test.images[..], &test.labels[..]), (&[9, 10, 12][..], &[0, 3, 2][..]));
        assert_eq!(train.images, [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]);
        assert_eq!(train.labels, [0, 2, 0, 1, 0, 2, 3, 0, 2, 0]);
    }
}
