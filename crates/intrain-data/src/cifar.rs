//! CIFAR-10 in its binary form: six files of records, a byte of label and three planes of 32x32 bytes.
//!
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>. The planes (red, green, blue) become channels-last pixels.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bounded::{AGAIN, read_all};
use crate::dataset::check_labels;
use crate::{DataError, ImageShape, Part, Split};

/// Size of an image.
pub const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
/// Images in each of the six files.
pub const IMAGES_PER_FILE: usize = 10_000;
/// The folder in the archive, and on disk.
pub const FOLDER: &str = "cifar-10-batches-bin";
/// The archive that the folder comes in.
pub const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// Bound of each file, in bytes; a file longer than its records is refused by [`parse`].
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 20;
/// The files: five to learn from, then the one to test.
pub const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// Names of the classes.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const PLANE_BYTES: usize = 32 * 32;
const RECORD_BYTES: usize = 1 + 3 * PLANE_BYTES;

/// What the file of an index in [`FILES`] is for.
#[must_use]
pub fn part_of(index: usize) -> Part {
    if index == 5 { Part::Test } else { Part::Train }
}

/// Reads a file of exactly `n_images` records.
///
/// # Errors
/// Another length, or a label above 9.
pub fn parse(bytes: &[u8], n_images: usize, path: &Path) -> Result<Split, DataError> {
    if n_images.checked_mul(RECORD_BYTES) != Some(bytes.len()) {
        let problem = format!(
            "holds {} bytes, expected {} ({n_images} records of {RECORD_BYTES} bytes)",
            bytes.len(),
            n_images.saturating_mul(RECORD_BYTES)
        );
        return Err(DataError::file(path, problem, AGAIN));
    }
    let mut split = Split {
        images: Vec::with_capacity(n_images * 3 * PLANE_BYTES),
        labels: Vec::with_capacity(n_images),
    };
    for record in bytes.chunks_exact(RECORD_BYTES) {
        split.labels.push(u16::from(record[0]));
        let (red, rest) = record[1..].split_at(PLANE_BYTES);
        let (green, blue) = rest.split_at(PLANE_BYTES);
        split.images.extend(red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]));
    }
    check_labels(&split.labels, CLASSES.len(), path)?;
    Ok(split)
}

/// Unpacks the archive `cifar-10-binary.tar.gz`: the bytes of the six [`FILES`], in that order, each of at most
/// `limit` bytes.
///
/// # Errors
/// The archive is corrupt, or a file is missing, twice there or too long.
pub fn unpack(archive: impl Read, limit: u64, path: &Path) -> Result<[Vec<u8>; 6], DataError> {
    let corrupt = |e: std::io::Error| DataError::file(path, format!("cannot be unpacked: {e}"), AGAIN);
    let mut files: [Option<Vec<u8>>; 6] = Default::default();
    // Bound: members that are skipped cost time, never memory; the real archive stays far below this.
    let bound = limit.saturating_mul(12).saturating_add(1 << 20);
    let mut unpacked = flate2::read::GzDecoder::new(archive).take(bound);
    let mut tar = tar::Archive::new(&mut unpacked);
    for entry in tar.entries().map_err(corrupt)? {
        let mut entry = entry.map_err(corrupt)?;
        let member = entry.path().map_err(corrupt)?.into_owned();
        let Some(index) = FILES.iter().position(|file| member.ends_with(Path::new(FOLDER).join(file))) else {
            continue;
        };
        let member_path = PathBuf::from(format!("{}:{}", path.display(), member.display()));
        let bytes = read_all(&mut entry, limit, &member_path)?;
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
        return Err(DataError::file(path, format!("lacks {FOLDER}/{}", FILES[missing]), AGAIN));
    }
    Ok(files.map(Option::unwrap_or_default))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small indices are test patterns")]
mod tests {
    use super::*;

    #[test]
    fn planes_become_channels_last() {
        let mut record = vec![7];
        record.extend((0..3 * PLANE_BYTES).map(|i| (i / PLANE_BYTES * 100 + i % 32) as u8));
        let split = parse(&record, 1, Path::new("f")).unwrap();
        assert_eq!(split.labels, [7]);
        assert_eq!(split.images[..6], [0, 100, 200, 1, 101, 201]);
        assert_eq!(split.images[3 * 33..][..3], [1, 101, 201]);
    }

    #[test]
    fn faults_are_named() {
        let path = Path::new("f");
        let message = |bytes: &[u8]| parse(bytes, 2, path).unwrap_err().to_string();
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
            tar.append_data(&mut header, Path::new(FOLDER).join(file), &bytes[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn unpack_finds_the_six_files() {
        let path = Path::new("a.tar.gz");
        let mut names = vec!["readme.html"];
        names.extend(FILES);
        let packed = archive(&names);
        let files = unpack(&packed[..], 5, path).unwrap();
        assert_eq!(files, std::array::from_fn(|i| vec![i as u8 + 1; 5]));

        let message = |bytes: &[u8], limit| unpack(bytes, limit, path).unwrap_err().to_string();
        assert!(
            message(&packed, 4)
                .starts_with("a.tar.gz:cifar-10-batches-bin/data_batch_1.bin: holds more than 4")
        );
        assert!(message(&archive(&FILES[..5]), 5).contains("lacks cifar-10-batches-bin/test_batch.bin"));
        assert!(message(&archive(&[FILES[0], FILES[0]]), 5).contains("twice"));
        for cut in [0, 1, 20, packed.len() - 9, packed.len() - 1] {
            assert!(unpack(&packed[..cut], 5, path).is_err(), "cut at {cut}");
        }
    }
}
