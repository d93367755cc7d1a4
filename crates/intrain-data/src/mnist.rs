//! MNIST and Fashion-MNIST: two pairs of IDX files, packed by gzip or not.

use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::bounded::{AGAIN, MAX_BYTES, gunzip_promised, read_file, read_start};
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
        let open = |file: &str| IdxFile::open(name, folder, file);
        let fetch = || format!("run `intrain data fetch {name}`");
        let mut shapes = Vec::new();
        let mut opened = Vec::new();
        // Headers come first: what they promise must fit together before any of it is unpacked.
        for ([images, labels], sums) in FILES.into_iter().zip(self.sha256) {
            let (images, labels) = (open(images)?, open(labels)?);
            let (n_images, shape) = idx::shape_of_images(&images.dims, &images.path)?;
            let n_labels = idx::number_of_labels(&labels.dims, &labels.path)?;
            if n_labels != n_images {
                let problem =
                    format!("holds {n_labels} labels, but {} holds {n_images} images", images.path.display());
                return Err(DataError::file(&labels.path, problem, fetch()));
            }
            shape.bytes_of(n_images, &images.path)?;
            shapes.push(shape);
            opened.push((images, labels, sums));
        }
        if shapes[0] != shapes[1] {
            let problem = format!("training images are {}, but test images are {}", shapes[0], shapes[1]);
            return Err(DataError::file(folder, problem, fetch()));
        }
        let mut warnings = Vec::new();
        let mut splits = [Split::default(), Split::default()];
        for (split, (images, labels, sums)) in splits.iter_mut().zip(opened) {
            let (bytes, path) = images.unpack()?;
            warnings.extend(published::compare(&bytes, sums[0], name, &path, &path));
            split.images = idx::parse_images(&bytes, &path)?.2;
            let (bytes, path) = labels.unpack()?;
            warnings.extend(published::compare(&bytes, sums[1], name, &path, &path));
            split.labels = idx::parse_labels(&bytes, self.classes.len(), &path)?;
        }
        let mut dataset = Dataset::new(name, shapes[0], self.classes.len(), splits, folder)?;
        dataset.warnings = warnings;
        Ok(dataset.with_class_names(&self.classes))
    }
}

/// A file whose header was read.
struct IdxFile {
    /// `FILE.gz` or `FILE`.
    path: PathBuf,
    is_packed: bool,
    /// As it lies on disk.
    bytes: Vec<u8>,
    /// Sizes in its header.
    dims: Vec<usize>,
    /// Bytes of the unpacked file, by its header.
    promised: u64,
}

impl IdxFile {
    fn open(name: &str, folder: &Path, file: &str) -> Result<Self, DataError> {
        let candidates = [folder.join(format!("{file}.gz")), folder.join(file)];
        let Some(index) = candidates.iter().position(|path| path.is_file()) else {
            return Err(DataError::NotFound { name: name.to_owned(), looked_at: candidates.into() });
        };
        let (path, is_packed) = (candidates[index].clone(), index == 0);
        let bytes = read_file(&path, MAX_BYTES)?;
        let (dims, promised) = if is_packed {
            let start = read_start(GzDecoder::new(&bytes[..]), idx::START_BYTES, &path, AGAIN)?;
            idx::promise(&start, &path)?
        } else {
            idx::promise(&bytes, &path)?
        };
        Ok(Self { path, is_packed, bytes, dims, promised })
    }

    fn unpack(self) -> Result<(Vec<u8>, PathBuf), DataError> {
        let Self { path, is_packed, bytes, promised, .. } = self;
        let bytes = if is_packed { gunzip_promised(&bytes, promised, &path)? } else { bytes };
        Ok((bytes, path))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
        assert_eq!(dataset.warnings.len(), 4);
        for (note, file) in dataset.warnings.iter().zip(FILES.as_flattened()) {
            assert!(note.contains(&format!("{file}: ")) && note.contains("fetch mnist"), "{note}");
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn headers_are_compared_before_anything_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(format!("{file}.gz")), bytes).unwrap();
        };
        let message = || DIGITS.load("mnist", folder.path()).unwrap_err().to_string();
        for [images, labels] in FILES {
            write(images, &gzip(&idx(&[2, 1, 2], &[1, 2, 3, 4])));
            write(labels, &gzip(&idx(&[2], &[9, 0])));
        }
        assert!(DIGITS.load("mnist", folder.path()).is_ok());
        // Both are cut short, so that to unpack them would be another error.
        let labels = gzip(&idx(&[100], &[0; 100]));
        write(FILES[1][1], &labels[..labels.len() - 4]);
        assert!(
            message().contains("holds 100 labels, but ") && message().contains("2 images"),
            "{}",
            message()
        );
        write(FILES[1][1], &gzip(&idx(&[2], &[9, 0])));
        let longer = gzip(&idx(&[2, 1, 2], &vec![0; 1 << 20]));
        write(FILES[0][0], &longer[..longer.len() - 4]);
        assert!(message().contains("holds more than the 20 bytes that its header promises"), "{}", message());
        write(FILES[0][0], &gzip(&idx(&[2, 5000, 5000], &[])));
        assert!(message().contains("the limits are 1..=4096"), "{}", message());
    }
}
