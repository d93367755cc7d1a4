//! CIFAR-10 and CIFAR-100 in their binary form: records of one or two bytes of labels and three planes of 32x32 bytes.
//!
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>. The planes (red, green, blue) become channels-last pixels.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bounded::{AGAIN, read_all, reserve, too_long};
use crate::dataset::check_labels;
use crate::{DataError, ImageShape, Part, Split};

/// Size of an image.
pub const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };

/// One of the two data sets.
#[derive(Debug, PartialEq, Eq)]
pub struct Cifar {
    /// The folder in the archive, and on disk.
    pub folder: &'static str,
    /// The archive that the folder comes in.
    pub archive: &'static str,
    /// Its size in bytes and its SHA-256.
    pub published: (u64, &'static str),
    /// The files, those to learn from first.
    pub files: &'static [CifarFile],
    /// Bound of each file, in bytes; a file longer than its records is refused by [`Cifar::parse`].
    pub max_file_bytes: u64,
    /// Bytes of labels in front of a record's planes, at least 1; the last is the class.
    pub label_bytes: usize,
    /// Names of the classes, in the order of the labels.
    pub classes: &'static [&'static str],
}

/// A file of records.
#[derive(Debug, PartialEq, Eq)]
pub struct CifarFile {
    /// Its name.
    pub name: &'static str,
    /// Records in it.
    pub n_images: usize,
    /// What it is for.
    pub part: Part,
    /// Its SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

const fn file(name: &'static str, n_images: usize, part: Part, sha256: &'static str) -> CifarFile {
    CifarFile { name, n_images, part, sha256 }
}

/// CIFAR-10.
pub static TEN: Cifar = Cifar {
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    published: (170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    files: &[
        file(
            "data_batch_1.bin",
            10_000,
            Part::Train,
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        ),
        file(
            "data_batch_2.bin",
            10_000,
            Part::Train,
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        ),
        file(
            "data_batch_3.bin",
            10_000,
            Part::Train,
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        ),
        file(
            "data_batch_4.bin",
            10_000,
            Part::Train,
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        ),
        file(
            "data_batch_5.bin",
            10_000,
            Part::Train,
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        ),
        file(
            "test_batch.bin",
            10_000,
            Part::Test,
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ),
    ],
    max_file_bytes: 64 << 20,
    label_bytes: 1,
    classes: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
};

/// CIFAR-100: a byte of the group of classes, which is not looked at, and a byte of the class.
pub static HUNDRED: Cifar = Cifar {
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    published: (168_513_733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    files: &[
        file(
            "train.bin",
            50_000,
            Part::Train,
            "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        ),
        file(
            "test.bin",
            10_000,
            Part::Test,
            "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
        ),
    ],
    max_file_bytes: 256 << 20,
    label_bytes: 2,
    classes: &CLASSES_OF_HUNDRED,
};

const PLANE_BYTES: usize = 32 * 32;

impl Cifar {
    /// Reads a file of exactly `n_images` records.
    ///
    /// # Errors
    /// Another length, or a label that is no class.
    pub fn parse(&self, bytes: &[u8], n_images: usize, path: &Path) -> Result<Split, DataError> {
        let record_bytes = self.label_bytes + 3 * PLANE_BYTES;
        if n_images.checked_mul(record_bytes) != Some(bytes.len()) {
            let problem = format!(
                "holds {} bytes, expected {} ({n_images} records of {record_bytes} bytes)",
                bytes.len(),
                n_images.saturating_mul(record_bytes)
            );
            return Err(DataError::file(path, problem, AGAIN));
        }
        let mut split = Split::default();
        reserve(&mut split.images, n_images * 3 * PLANE_BYTES, path)?;
        for record in bytes.chunks_exact(record_bytes) {
            let (labels, planes) = record.split_at(self.label_bytes);
            split.labels.push(u16::from(labels[self.label_bytes - 1]));
            let (red, rest) = planes.split_at(PLANE_BYTES);
            let (green, blue) = rest.split_at(PLANE_BYTES);
            split.images.extend(red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]));
        }
        check_labels(&split.labels, self.classes.len(), path)?;
        Ok(split)
    }

    /// Unpacks the archive: the bytes of the files, in their order, each of at most `limit` bytes.
    ///
    /// # Errors
    /// The archive is corrupt, or a file is missing, twice there or too long.
    pub fn unpack(&self, archive: impl Read, limit: u64, path: &Path) -> Result<Vec<Vec<u8>>, DataError> {
        let corrupt = |e: std::io::Error| DataError::file(path, format!("cannot be unpacked: {e}"), AGAIN);
        let mut files: Vec<Option<Vec<u8>>> = self.files.iter().map(|_| None).collect();
        // Bound: members that are skipped cost time, never memory; the real archives stay far below this.
        let bound = limit.saturating_mul(12).saturating_add(1 << 20);
        let mut unpacked = flate2::read::GzDecoder::new(archive).take(bound);
        let mut tar = tar::Archive::new(&mut unpacked);
        // Raw: a name or an attribute in an entry of its own, of any length, is an entry that is skipped like others.
        for entry in tar.entries().map_err(corrupt)?.raw(true) {
            let mut entry = entry.map_err(corrupt)?;
            let member = entry.path().map_err(corrupt)?.into_owned();
            let is_it = |file: &CifarFile| member.ends_with(Path::new(self.folder).join(file.name));
            let Some(index) = self.files.iter().position(is_it) else { continue };
            let member_path = PathBuf::from(format!("{}:{}", path.display(), member.display()));
            if entry.size() > limit {
                return Err(too_long(&member_path, limit));
            }
            let bytes = read_all(&mut entry, limit, &member_path, AGAIN)?;
            if files[index].replace(bytes).is_some() {
                return Err(DataError::file(&member_path, "is in the archive twice", AGAIN));
            }
        }
        // The checksum of the gzip stream lies behind the end of the archive, and is checked by reading on.
        std::io::copy(&mut unpacked, &mut std::io::sink()).map_err(corrupt)?;
        if unpacked.limit() == 0 {
            return Err(DataError::file(path, format!("unpacks to more than {bound} bytes"), AGAIN));
        }
        if let Some(missing) = files.iter().position(Option::is_none) {
            let problem = format!("lacks {}/{}", self.folder, self.files[missing].name);
            return Err(DataError::file(path, problem, AGAIN));
        }
        Ok(files.into_iter().map(Option::unwrap_or_default).collect())
    }
}

#[rustfmt::skip]
const CLASSES_OF_HUNDRED: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television",
    "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
];

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small indices are test patterns")]
mod tests {
    use super::*;

    #[test]
    fn planes_become_channels_last() {
        let mut record = vec![7];
        record.extend((0..3 * PLANE_BYTES).map(|i| (i / PLANE_BYTES * 100 + i % 32) as u8));
        let split = TEN.parse(&record, 1, Path::new("f")).unwrap();
        assert_eq!(split.labels, [7]);
        assert_eq!(split.images[..6], [0, 100, 200, 1, 101, 201]);
        assert_eq!(split.images[3 * 33..][..3], [1, 101, 201]);
    }

    #[test]
    fn the_second_label_is_the_class() {
        let mut record = vec![19, 99];
        record.extend([7; 3 * PLANE_BYTES]);
        assert_eq!(HUNDRED.parse(&record, 1, Path::new("f")).unwrap().labels, [99]);
        assert_eq!(HUNDRED.classes[99], "worm");
        let message = HUNDRED.parse(&record[1..], 1, Path::new("f")).unwrap_err().to_string();
        assert!(message.contains("holds 3073 bytes, expected 3074"), "{message}");
    }

    #[test]
    fn files_fit_their_bounds() {
        for cifar in [&TEN, &HUNDRED] {
            let n_images = |part| cifar.files.iter().filter(|f| f.part == part).map(|f| f.n_images).sum();
            assert_eq!((n_images(Part::Train), n_images(Part::Test)), (50_000_usize, 10_000_usize));
            let longest =
                cifar.files.iter().map(|f| f.n_images * (cifar.label_bytes + 3 * PLANE_BYTES)).max();
            assert!(longest.unwrap() as u64 <= cifar.max_file_bytes);
            assert!(cifar.classes.is_sorted());
        }
    }

    #[test]
    fn faults_are_named() {
        let path = Path::new("f");
        let message = |bytes: &[u8]| TEN.parse(bytes, 2, path).unwrap_err().to_string();
        assert!(message(&[0; 3073]).contains("holds 3073 bytes, expected 6146"));
        assert!(message(&[0; 6147]).contains("holds 6147 bytes, expected 6146"));
        assert!(message(&[10; 6146]).contains("label 0 is 10, the limit is 9"));
    }

    fn archive(files: &[&str]) -> Vec<u8> {
        let mut tar =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (index, file) in files.iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_size(5);
            let bytes = [index as u8; 5];
            tar.append_data(&mut header, Path::new(TEN.folder).join(file), &bytes[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// A name in an entry of its own is no part of the file behind it here: that one has its short name, which is not looked for.
    #[test]
    fn long_names_are_skipped() {
        let long = "x".repeat(1 << 16);
        let names: Vec<&str> =
            std::iter::once(long.as_str()).chain(TEN.files.iter().map(|f| f.name)).collect();
        let files = TEN.unpack(&archive(&names)[..], 5, Path::new("a.tar.gz")).unwrap();
        assert_eq!(files, (1..=6).map(|i| vec![i; 5]).collect::<Vec<_>>());
    }

    #[test]
    fn unpack_finds_the_six_files() {
        let path = Path::new("a.tar.gz");
        let mut names = vec!["readme.html"];
        names.extend(TEN.files.iter().map(|file| file.name));
        let packed = archive(&names);
        let files = TEN.unpack(&packed[..], 5, path).unwrap();
        assert_eq!(files, (1..=6).map(|i| vec![i; 5]).collect::<Vec<_>>());

        let message = |bytes: &[u8], limit| TEN.unpack(bytes, limit, path).unwrap_err().to_string();
        assert!(
            message(&packed, 4)
                .starts_with("a.tar.gz:cifar-10-batches-bin/data_batch_1.bin: holds more than 4")
        );
        assert!(message(&archive(&names[1..6]), 5).contains("lacks cifar-10-batches-bin/test_batch.bin"));
        assert!(message(&archive(&[names[1], names[1]]), 5).contains("twice"));
        for cut in [0, 1, 20, packed.len() - 9, packed.len() - 1] {
            assert!(TEN.unpack(&packed[..cut], 5, path).is_err(), "cut at {cut}");
        }
    }
}
