//! MNIST and Fashion-MNIST: two pairs of IDX files, packed by gzip or not.

use std::path::{Path, PathBuf};

use crate::bounded::{MAX_BYTES, gunzip, read_file};
use crate::{DataError, Dataset, Split, idx, published};

/// The four files: images and labels to learn from, then to test.
pub(crate) const FILES: [[&str; 2]; 2] = [
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
];

/// One of the two data sets.
#[derive(Debug)]
pub(crate) struct Mnist {
    /// Names of the classes, in the order of the labels.
    pub(crate) classes: [&'static str; 10],
    /// SHA-256 of the unpacked files, as in [`FILES`].
    pub(crate) sha256: [[&'static str; 2]; 2],
}

/// MNIST.
pub(crate) static DIGITS: Mnist =
    Mnist { classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], sha256: published::MNIST };

/// Fashion-MNIST.
pub(crate) static FASHION: Mnist = Mnist {
    classes: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    sha256: published::FASHION_MNIST,
};

impl Mnist {
    /// Reads the four files of `folder`.
    ///
    /// # Errors
    /// A file is missing or no IDX file, or the files do not belong together.
    pub(crate) fn load(&self, name: &str, folder: &Path) -> Result<Dataset, DataError> {
        let n_classes = self.classes.len();
        let (mut shapes, mut notes) = (Vec::new(), Vec::new());
        let mut splits = [Split::default(), Split::default()];
        for ((split, [images_name, labels_name]), sums) in splits.iter_mut().zip(FILES).zip(self.sha256) {
            let (bytes, path) = read_packed_or_plain(name, folder, images_name)?;
            notes.extend(published::compare(&bytes, sums[0], name, &path, &path));
            let (n_images, shape, images) = idx::parse_images(&bytes, &path)?;
            let (bytes, labels_path) = read_packed_or_plain(name, folder, labels_name)?;
            notes.extend(published::compare(&bytes, sums[1], name, &labels_path, &labels_path));
            let labels = idx::parse_labels(&bytes, n_classes, &labels_path)?;
            if labels.len() != n_images {
                let problem =
                    format!("holds {} labels, but {} holds {n_images} images", labels.len(), path.display());
                return Err(DataError::file(
                    &labels_path,
                    problem,
                    format!("run `intrain data fetch {name}`"),
                ));
            }
            shapes.push(shape);
            *split = Split { images, labels };
        }
        if shapes[0] != shapes[1] {
            let problem = format!("training images are {}, but test images are {}", shapes[0], shapes[1]);
            return Err(DataError::file(folder, problem, format!("run `intrain data fetch {name}`")));
        }
        let mut dataset = Dataset::new(name, shapes[0], n_classes, splits, folder)?;
        dataset.notes = notes;
        Ok(dataset.with_class_names(&self.classes))
    }
}

/// The unpacked bytes of `FILE.gz` or `FILE`, and which of the two it was.
fn read_packed_or_plain(name: &str, folder: &Path, file: &str) -> Result<(Vec<u8>, PathBuf), DataError> {
    let [packed, plain] = [folder.join(format!("{file}.gz")), folder.join(file)];
    if packed.is_file() {
        let bytes = gunzip(&read_file(&packed, MAX_BYTES)?, MAX_BYTES, &packed)?;
        Ok((bytes, packed))
    } else if plain.is_file() {
        Ok((read_file(&plain, MAX_BYTES)?, plain))
    } else {
        Err(DataError::NotFound { name: name.to_owned(), looked_at: vec![packed, plain] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
        let rank = u8::try_from(dims.len()).unwrap();
        let sizes: Vec<u8> = dims.iter().flat_map(|size| size.to_be_bytes()).collect();
        [&[0, 0, 8, rank], &sizes[..], values].concat()
    }

    #[test]
    fn a_variant_is_read_and_each_of_its_files_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        for [images, labels] in FILES {
            std::fs::write(folder.path().join(images), idx(&[2, 1, 2], &[1, 2, 3, 4])).unwrap();
            std::fs::write(folder.path().join(labels), idx(&[2], &[9, 0])).unwrap();
        }
        let dataset = DIGITS.load("mnist", folder.path()).unwrap();
        assert_eq!((&dataset.train.images[..], &dataset.test.labels[..]), (&[1, 2, 3, 4][..], &[9, 0][..]));
        assert_eq!(dataset.notes.len(), 4);
        for (note, file) in dataset.notes.iter().zip(FILES.as_flattened()) {
            assert!(note.contains(&format!("{file}: ")) && note.contains("fetch mnist"), "{note}");
        }
    }
}
