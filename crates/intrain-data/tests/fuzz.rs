//! Every reader on files that were valid, until bytes were changed, cut, doubled or added: an error or a valid result,
//! never a panic, never memory without bound.

#![allow(clippy::cast_possible_truncation, reason = "the low byte is a test pattern")]

use std::io::{Cursor, Write};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat};
use intrain_data::{bounded, cifar, folder, idx, mat, npy, npz, svhn};
use proptest::prelude::*;

/// Changes to a file: (where, as a fraction of its length, and what is done there).
type Damage = Vec<(prop::sample::Index, u8, u8)>;

fn damage(n: usize) -> impl Strategy<Value = Damage> {
    prop::collection::vec((any::<prop::sample::Index>(), 0_u8..6, any::<u8>()), 1..=n)
}

fn apply(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    for (index, kind, value) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *value),
            2 => drop(bytes.remove(at)),
            3 => bytes.push(*value),
            4 => bytes[at] ^= 1 << (value % 8),
            _ => bytes[at] = *value,
        }
    }
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npy_file(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn npz_file(compression: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // Deflated ones lie in Fortran order.
    let is_fortran = compression == zip::CompressionMethod::Deflated;
    let header = npy_file("<f2", "(2, 1, 2L)", &[]);
    let order: &[u8; 6] = if is_fortran { b"True, " } else { b"False," };
    let at = header.windows(order.len()).position(|window| window == b"False,").unwrap();
    let images = [&header[..at], order, &header[at + order.len()..], &[0; 8]].concat();
    assert!(npy::parse(&images, Path::new("f")).is_ok());
    let labels = npy_file("<i2", "(2,)", &[0, 0, 1, 0]);
    for (name, bytes) in
        [("x_train", &images), ("y_train", &labels), ("x_test", &images), ("y_test", &labels)]
    {
        let options = zip::write::SimpleFileOptions::default().compression_method(compression);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = GrayImage::from_fn(16, 12, |x, y| image::Luma([(x * y) as u8]));
    DynamicImage::from(image).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn tar_gz(damage: &Damage) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in cifar::TEN.files.iter().map(|file| file.name) {
        let mut header = tar::Header::new_gnu();
        header.set_size(100);
        tar.append_data(&mut header, Path::new(cifar::TEN.folder).join(file), &[7; 100][..]).unwrap();
    }
    // Damaged inside of the gzip stream, where its checksum cannot help.
    gzip(&apply(tar.into_inner().unwrap(), damage))
}

/// A MAT-file's array of flags, dimensions `[1, 2]`, the name X, which lies in its tag, and two numbers.
fn mat_array() -> Vec<u8> {
    let words: [u32; 16] = [14, 56, 6, 8, 9, 0, 5, 8, 1, 2, 0x1_0001, u32::from(b'X'), 2, 2, 0x0807, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn mat_file(elements: &[Vec<u8>]) -> Vec<u8> {
    [&[b' '; 124][..], b"\x00\x01IM", &elements.concat()].concat()
}

fn deflated(element: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(element).unwrap();
    let data = encoder.finish().unwrap();
    [&15_u32.to_le_bytes(), &(data.len() as u32).to_le_bytes(), &data[..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn idx_never_panics(damage in damage(4)) {
        let path = Path::new("f");
        let images = apply([&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &[9; 24]].concat(), &damage);
        if let Ok((n, shape, pixels)) = idx::parse_images(&images, path) {
            prop_assert_eq!(n * shape.n_values(), pixels.len());
        }
        let labels = apply(vec![0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3, 9], &damage);
        if let Ok(labels) = idx::parse_labels(&labels, 10, path) {
            prop_assert!(labels.iter().all(|&label| label < 10));
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let path = Path::new("f");
        let _ = idx::parse(&bytes, path);
        let _ = npy::parse(&bytes, path);
        let _ = npy::parse(&[b"\x93NUMPY\x01\x00", &bytes[..]].concat(), path);
        let _ = npz::parse(&bytes, "x", path);
        let _ = cifar::TEN.parse(&bytes, 1, path);
        let _ = cifar::TEN.unpack(&bytes[..], 1000, path);
        let _ = mat::parse(&bytes, 1000, path);
        let _ = mat::parse(&mat_file(std::slice::from_ref(&bytes)), 1000, path);
        let _ = mat::parse(&mat_file(&[deflated(&bytes)]), 1000, path);
        let _ = folder::decode(&bytes, path);
        let _ = bounded::gunzip(&bytes, 1000, path);
    }

    #[test]
    fn gzip_never_panics(damage in damage(3)) {
        let bytes = apply(gzip(&[5; 5000]), &damage);
        if let Ok(unpacked) = bounded::gunzip(&bytes, 5000, Path::new("f")) {
            prop_assert_eq!(unpacked, vec![5; 5000]);
        }
    }

    #[test]
    fn npy_never_panics(damage in damage(4), header in "[(){}\\[\\]', :0-9a-z<|>]{0,80}") {
        let path = Path::new("f");
        let bytes = apply(npy_file("<i4", "(2, 3)", &[1; 24]), &damage);
        if let Ok(array) = npy::parse(&bytes, path) {
            let n_values = array.shape.iter().product::<usize>();
            prop_assert_eq!(n_values * array.item_bytes, array.bytes.len());
            prop_assert_eq!(array.integers().map_or(n_values, Iterator::count), n_values);
            prop_assert_eq!(array.floats().map_or(n_values, Iterator::count), n_values);
        }
        let _ = npy::parse(&npy_file(&header, &header, &[1; 24]), path);
    }

    #[test]
    fn npz_never_panics(damage in damage(3)) {
        for compression in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            if let Ok(dataset) = npz::parse(&apply(npz_file(compression), &damage), "x", Path::new("f")) {
                prop_assert_eq!(dataset.train.images.len(), dataset.train.len() * dataset.shape.n_values());
            }
        }
    }

    #[test]
    fn cifar_never_panics(damage in damage(3)) {
        let path = Path::new("f");
        if let Ok(split) = cifar::TEN.parse(&apply(vec![3; 2 * 3073], &damage), 2, path) {
            prop_assert_eq!((split.len(), split.images.len()), (2, 2 * 3072));
        }
        if let Ok(split) = cifar::HUNDRED.parse(&apply(vec![3; 2 * 3074], &damage), 2, path) {
            prop_assert!(split.labels.iter().all(|&label| label < 100));
        }
        let files = cifar::TEN.unpack(&tar_gz(&damage)[..], 1000, path);
        prop_assert!(files.is_err() || files.is_ok_and(|files| files.iter().all(|file| file.len() <= 1000)));
    }

    #[test]
    fn mat_never_panics(damage in damage(4)) {
        let path = Path::new("f");
        let whole = mat::parse(&mat_file(&[mat_array()]), 0, path);
        prop_assert!(whole.is_ok_and(|arrays| arrays[0].values == [7, 8]));
        let damaged = apply(mat_array(), &damage);
        for bytes in [
            apply(mat_file(&[mat_array(), deflated(&mat_array())]), &damage),
            // Damaged inside of the deflated element, where its checksum cannot help.
            mat_file(&[deflated(&damaged), deflated(&mat_array())]),
        ] {
            for array in mat::parse(&bytes, 1000, path).into_iter().flatten() {
                prop_assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
                prop_assert!(array.values.len() <= 1000);
            }
            prop_assert!(svhn::parse(&bytes, 2, path).is_err());
        }
    }

    #[test]
    fn pictures_never_panic(damage in damage(4)) {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP] {
            let _ = folder::decode(&apply(picture(format), &damage), Path::new("f"));
        }
        // EXIF data behind the first marker that say how the image is to be turned.
        let tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00";
        let exif = [&b"\xff\xe1\x00\x22Exif\x00\x00"[..], tiff].concat();
        let plain = picture(ImageFormat::Jpeg);
        let turned = [&plain[..2], &exif, &plain[2..]].concat();
        prop_assert_eq!(folder::decode(&turned, Path::new("f")).unwrap().width(), 12);
        let _ = folder::decode(&apply(turned, &damage), Path::new("f"));
    }
}
