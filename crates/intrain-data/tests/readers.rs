//! NPZ files and folders of images, written here and read back; files of others; and what is said of wrong ones.

use std::io::{Cursor, Write};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use intrain_data::{
    DataError, DataFolders, Dataset, ImageShape, Part, TrainBatches, evaluation, load, npz, svhn,
};

/// An array with its header, as `numpy.save` writes it.
fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn archive(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in arrays.iter().enumerate() {
        // Stored as by `savez` and deflated as by `savez_compressed`.
        let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][index % 2];
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn parse(arrays: &[(&str, Vec<u8>)]) -> Result<Dataset, DataError> {
    npz::parse(&archive(arrays), "npz:a.npz", Path::new("a.npz"))
}

fn with<'a>(arrays: &[(&'a str, Vec<u8>)], name: &'a str, bytes: Vec<u8>) -> Vec<(&'a str, Vec<u8>)> {
    let mut arrays = arrays.to_vec();
    arrays.iter_mut().find(|(n, _)| *n == name).unwrap().1 = bytes;
    arrays
}

fn keras() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("x_train", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 255])),
        ("y_train", npy("<i8", "(2,)", &[3_i64, 0].map(i64::to_le_bytes).concat())),
        ("x_test", npy("|u1", "(1, 1, 2)", &[9, 8])),
        ("y_test", npy("|u1", "(1, 1)", &[4])),
    ]
}

#[test]
fn npz_in_both_spellings() {
    let dataset = parse(&keras()).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 1, width: 2, channels: 1 });
    assert_eq!((dataset.n_classes, dataset.name.as_str()), (5, "npz:a.npz"));
    assert_eq!((&dataset.train.images[..], &dataset.train.labels[..]), (&[1, 2, 3, 255][..], &[3, 0][..]));
    assert_eq!((&dataset.test.images[..], &dataset.test.labels[..]), (&[9, 8][..], &[4][..]));
    let other = ["train_images", "train_labels", "test_images", "test_labels"];
    let renamed: Vec<_> = other.into_iter().zip(keras().into_iter().map(|(_, bytes)| bytes)).collect();
    assert_eq!(parse(&renamed).unwrap(), dataset);
}

#[test]
fn npz_with_images_for_validation() {
    let validation = |[x, y]: [&'static str; 2], labels: &[u8]| {
        let images = npy("|u1", "(1, 1, 2)", &[5, 6]);
        [(x, images), (y, npy("|u1", &format!("({},)", labels.len()), labels))]
    };
    let arrays = [&keras()[..], &validation(["x_val", "y_val"], &[6])].concat();
    let dataset = parse(&arrays).unwrap();
    assert_eq!((&dataset.validation.images[..], &dataset.validation.labels[..]), (&[5, 6][..], &[6][..]));
    assert_eq!((dataset.n_classes, dataset.train.len(), dataset.test.len()), (7, 2, 1));
    let other = ["train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"];
    let renamed: Vec<_> = other.into_iter().zip(arrays.iter().map(|(_, bytes)| bytes.clone())).collect();
    assert_eq!(parse(&renamed).unwrap(), dataset);

    let refused = |arrays: &[(&str, Vec<u8>)]| parse(arrays).unwrap_err().to_string();
    assert!(refused(&arrays[..5]).contains("y_val.npy"), "{}", refused(&arrays[..5]));
    let uneven = [&keras()[..], &validation(["x_val", "y_val"], &[6, 6])].concat();
    assert!(refused(&uneven).contains("1 validation images with 2 labels"), "{}", refused(&uneven));
    let larger = with(&arrays, "x_val", npy("|u1", "(1, 1, 3)", &[1, 2, 3]));
    assert!(refused(&larger).contains("but validation images are 1x3x1"), "{}", refused(&larger));
}

#[test]
fn npz_scales_floats() {
    // 0.5 * 255 = 127.5 is a tie, and goes away from zero.
    let floats = [0.0_f32, 0.5, 1.0, 1.0 / 255.0];
    let single = npy("<f4", "(2, 1, 1, 2)", &floats.map(f32::to_le_bytes).concat());
    let double = npy(">f8", "(2, 1, 1, 2)", &floats.map(|x| f64::from(x).to_be_bytes()).concat());
    let test = npy("|u1", "(1, 1, 1, 2)", &[9, 8]);
    for train in [single, double] {
        let dataset = parse(&with(&with(&keras(), "x_train", train), "x_test", test.clone())).unwrap();
        assert_eq!(dataset.train.images, [0, 128, 255, 1]);
        assert_eq!(dataset.shape, ImageShape { height: 1, width: 1, channels: 2 });
    }
}

#[test]
fn npz_of_python_2_of_halves_and_in_fortran_order() {
    let images: Vec<u8> = (0..12).collect();
    let old = npy("|u1", "(2L, 2L, 3L)", &images);
    let test = npy("|u1", "(1L, 2L, 3L)", &[9; 6]);
    let arrays = with(&with(&keras(), "x_test", test), "y_train", npy("<i8", "(2L,)", &[0; 16]));
    assert_eq!(parse(&with(&arrays, "x_train", old)).unwrap().train.images, images);
    // Value [i, y, x] lies at i + 2 y + 4 x.
    let fortran = npy("|u1", "(2, 2, 3)", &[0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]);
    assert_eq!(parse(&with(&arrays, "x_train", fortran_order(&fortran))).unwrap().train.images, images);
    // 0, 1 and 0.5 as float16; 0.5 is a tie.
    let halves = [0_u16, 0x3c00, 0x3800, 0x3c00].map(u16::to_le_bytes).concat();
    let dataset = parse(&with(&keras(), "x_train", npy("<f2", "(2, 1, 2)", &halves))).unwrap();
    assert_eq!(dataset.train.images, [0, 255, 128, 255]);
}

/// The same values, said to lie in Fortran order; both words get the same length by a blank.
fn fortran_order(npy: &[u8]) -> Vec<u8> {
    let (from, to): (&[u8], &[u8]) = (b"'fortran_order': False,", b"'fortran_order': True, ");
    let at = npy.windows(from.len()).position(|window| window == from).unwrap();
    [&npy[..at], to, &npy[at + from.len()..]].concat()
}

#[test]
fn npz_faults_are_named() {
    let nan = [0.0, f32::NAN, 1.0, 0.0].map(f32::to_le_bytes).concat();
    let large = [0.0, 1.5_f32, 1.0, 0.0].map(f32::to_le_bytes).concat();
    let cases = [
        (
            "x_train",
            npy("<f4", "(2, 1, 2)", &nan),
            "a.npz:x_train.npy: value 1 is NaN, the limits are 0 and 1",
        ),
        ("x_train", npy("<f4", "(2, 1, 2)", &large), "value 1 is 1.5"),
        ("x_train", npy("<i2", "(2, 1, 2)", &[0; 8]), "is of type int16, expected uint8 or floats"),
        ("x_train", npy("|u1", "(4,)", &[0; 4]), "has shape [4], expected [n, height, width]"),
        ("x_train", npy("|u1", "(3, 1, 2)", &[0; 6]), "3 training images with 2 labels"),
        ("x_train", npy("|u1", "(0, 1, 2)", &[]), "0 training images with 2 labels"),
        ("x_train", npy("|u1", "(1, 5000, 1)", &[0; 5000]), "images are 5000 x 1 x 1"),
        ("x_train", npy("|u1", "(2, 1, 2)", &[0; 3]), "has 3 bytes of values, expected 4"),
        ("x_test", npy("|u1", "(1, 2, 1)", &[0; 2]), "but test images are"),
        (
            "y_train",
            npy("|i1", "(2,)", &[0, 0xff]),
            "a.npz:y_train.npy: label 1 is -1, the limits are 0 and 65535",
        ),
        ("y_train", npy("<f4", "(2,)", &[0; 8]), "is of type float32, expected integers"),
        ("y_train", npy("|u1", "(2, 10)", &[0; 20]), "has shape [2, 10], expected [n] or [n, 1]"),
    ];
    for (name, bytes, expected) in cases {
        let message = parse(&with(&keras(), name, bytes)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("; "), "{message}\n{expected}");
    }
    assert!(parse(&keras()[1..]).unwrap_err().to_string().contains("neither x_train nor train_images"));
    assert!(parse(&keras()[..3]).unwrap_err().to_string().contains("a.npz:y_test.npy: cannot be read"));
    let bytes = archive(&keras());
    for cut in 0..bytes.len() {
        let message = npz::parse(&bytes[..cut], "x", Path::new("a.npz")).unwrap_err().to_string();
        // Nobody is told to delete a file of one's own, which cannot be downloaded again.
        let says_so = ["delete", "remove", "get it again", "fetch"].iter().any(|word| message.contains(word));
        assert!(!says_so, "cut at {cut}: {message}");
    }
}

#[test]
fn npz_notes_images_that_are_all_but_black() {
    assert_eq!(parse(&keras()).unwrap().warnings, [""; 0]);
    let arrays = with(&keras(), "x_train", npy("|u1", "(2, 1, 2)", &[0, 1, 1, 0]));
    let notes = parse(&arrays).unwrap().warnings;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("a.npz:x_train.npy: the largest pixel is 1, and white is 255"), "{notes:?}");
    assert!(notes[0].contains("Multiply them by 255"), "{notes:?}");
    let notes = parse(&with(&arrays, "x_test", npy("|u1", "(1, 1, 2)", &[0; 2]))).unwrap().warnings;
    assert!(notes.len() == 2 && notes[1].contains("x_test.npy: the largest pixel is 0"), "{notes:?}");
    // Floats in 0..1 that are scaled by 255 a second time are as dark.
    let twice = [0.0_f32, 1.0, 0.5, 0.0].map(|x| (x / 255.0).to_le_bytes()).concat();
    assert_eq!(parse(&with(&keras(), "x_train", npy("<f4", "(2, 1, 2)", &twice))).unwrap().warnings.len(), 1);
    let two = npy("|u1", "(2, 1, 2)", &[0, 2, 1, 0]);
    assert_eq!(parse(&with(&keras(), "x_train", two)).unwrap().warnings, [""; 0]);
}

#[test]
fn npz_with_channels_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.npz");
    // Value [i, channel, row, column] is 100 i + 15 channel + 5 row + column.
    let values: Vec<u8> = (0..2).flat_map(|i| (0..45).map(move |value| 100 * i + value)).collect();
    let arrays = with(&keras(), "x_train", npy("|u1", "(2, 3, 3, 5)", &values));
    let arrays = with(&arrays, "x_test", npy("|u1", "(1, 3, 3, 5)", &values[..45]));
    std::fs::write(&file, archive(&arrays)).unwrap();
    let load =
        |options: &str| load(&format!("npz:{}{options}", file.display()), &DataFolders::only(folder.path()));
    let message = load("").unwrap_err().to_string();
    assert!(
        message.contains("x_train.npy: has shape [2, 3, 3, 5], which looks like channels first"),
        "{message}"
    );
    assert!(message.contains("`,layout=nchw` behind the path"), "{message}");
    let dataset = load(",layout=nchw").unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 3, width: 5, channels: 3 });
    assert_eq!(dataset.train.image(dataset.shape, 1)[..6], [100, 115, 130, 101, 116, 131]);
    assert_eq!(dataset.test.images[15..18], [5, 20, 35]);
    assert!(dataset.name.ends_with("a.npz,layout=nchw"));
    let dataset = load(",layout=nhwc").unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 3, width: 3, channels: 5 });
    assert_eq!(dataset.train.images, values);
}

#[test]
fn npz_headers_are_compared_before_anything_is_unpacked() {
    let images = |shape: &str, n: usize| npy("|u1", shape, &vec![0; n * 64 * 64]);
    let arrays = with(&keras(), "x_train", images("(2, 64, 64)", 2));
    let arrays = with(&arrays, "x_test", images("(1, 64, 64)", 1));
    assert!(parse(&arrays).is_ok());
    // A stored member with another last byte than its checksum says: to read all of it would be another error.
    let message = |name: &str, bytes: Vec<u8>| {
        let n_bytes = bytes.len();
        let mut archive = archive(&with(&arrays, name, bytes.clone()));
        let at = archive.windows(n_bytes).position(|window| window == bytes).unwrap();
        archive[at + n_bytes - 1] ^= 1;
        npz::parse(&archive, "x", Path::new("a.npz")).unwrap_err().to_string()
    };
    let cases = [
        ("x_train", images("(2, 64, 64)", 2), "a.npz:x_train.npy: cannot be read: Invalid checksum"),
        ("x_train", images("(2, 64, 64)", 3), "has 12288 bytes of values, expected 8192"),
        ("x_train", images("(3, 64, 64)", 3), "3 training images with 2 labels"),
        ("x_test", images("(2, 64, 64)", 2), "2 test images with 1 labels"),
        ("x_test", images("(1, 32, 128)", 1), "but test images are 32x128x1"),
        ("x_test", images("(1, 5000, 1)", 2), "has 8192 bytes of values, expected 5000"),
        (
            "x_test",
            npy("<i4", "(1, 64, 64)", &[0; 4 * 64 * 64]),
            "is of type int32, expected uint8 or floats",
        ),
    ];
    for (name, bytes, expected) in cases {
        let message = message(name, bytes);
        assert!(message.contains(expected), "{message}\n{expected}");
    }
}

#[test]
fn files_of_other_formats_are_named() {
    let message = |bytes: &[u8]| npz::parse(bytes, "x", Path::new("a.npz")).unwrap_err().to_string();
    let cases: [(&[u8], &str); 4] = [
        (&npy("|u1", "(2, 1, 2)", &[0; 4]), "is an NPY file of one array"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file (.h5, or .mat of MATLAB 7.3)"),
        (
            b"MATLAB 7.3 MAT-file, Platform: GLNXA64",
            "read it with h5py; save all four arrays with numpy.savez",
        ),
        (
            b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
            "is a MAT-file, expected an NPZ file: read it with scipy",
        ),
    ];
    for (bytes, expected) in cases {
        assert!(message(bytes).contains(expected), "{}", message(bytes));
    }
}

#[test]
fn an_npz_of_numpy_is_read() {
    // numpy.savez_compressed of uint8 [5, 2, 2, 3] = arange(60), int32 labels arange(5) % 3; tests are the first two.
    let bytes = include_bytes!("numpy.npz");
    let dataset = npz::parse(bytes, "x", Path::new("numpy.npz")).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 2, width: 2, channels: 3 });
    assert!(dataset.train.images.iter().copied().eq(0..60));
    assert_eq!(dataset.train.labels, [0, 1, 2, 0, 1]);
    assert_eq!((dataset.test.images.len(), &dataset.test.labels[..]), (24, &[0, 1][..]));
}

#[test]
fn a_mat_file_of_scipy_is_read() {
    // scipy.io.savemat with do_compression: uint8 X [32, 32, 3, 2] = (7 row + 3 column + 50 channel + 100 image) % 256,
    // float64 y [[1], [10]].
    let split = svhn::parse(include_bytes!("scipy.mat"), 2, Path::new("scipy.mat")).unwrap();
    assert_eq!(split.labels, [1, 0]);
    let value = |i: usize| 7 * (i / 96 % 32) + 3 * (i / 3 % 32) + 50 * (i % 3) + 100 * (i / 3072);
    assert_eq!(split.images.len(), 2 * 3072);
    assert!(split.images.iter().enumerate().all(|(i, &found)| usize::from(found) == value(i) % 256));
}

fn save(image: impl Into<DynamicImage>, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save_with_format(path, ImageFormat::from_path(path).unwrap()).unwrap();
}

fn grey(value: u8) -> GrayImage {
    GrayImage::from_pixel(3, 2, image::Luma([value]))
}

fn load_folder(folder: &Path) -> Result<Dataset, DataError> {
    load(&format!("folder:{}", folder.display()), &DataFolders::only("/nowhere"))
}

#[test]
fn folder_with_a_split() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(grey(10), &at("train/b/1.png"));
    save(grey(20), &at("train/a/2.PNG"));
    save(grey(30), &at("train/a/1.png"));
    save(grey(40), &at("test/b/x.png"));
    std::fs::write(at("train/a/readme.txt"), "no image").unwrap();
    let dataset = load_folder(folder.path()).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 2, width: 3, channels: 1 });
    assert_eq!(dataset.class_names, ["a", "b"]);
    assert_eq!(dataset.train.labels, [0, 0, 1]);
    assert_eq!(dataset.train.images, [[30; 6], [20; 6], [10; 6]].concat());
    assert_eq!((&dataset.test.labels[..], &dataset.test.images[..]), (&[1][..], &[40; 6][..]));

    // One image in colour makes the whole data set so.
    save(RgbImage::from_pixel(3, 2, image::Rgb([1, 2, 3])), &at("train/b/2.png"));
    let dataset = load_folder(folder.path()).unwrap();
    assert_eq!(dataset.shape.channels, 3);
    assert_eq!(dataset.train.images.len(), 4 * 18);
    assert_eq!(dataset.train.images[..3], [30; 3]);
    assert_eq!(dataset.train.images[54..57], [1, 2, 3]);
    assert_eq!(dataset.test.images, [40; 18]);
}

#[test]
fn folder_without_a_split() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..11 {
        let class = if index < 7 { "cat" } else { "dog" };
        save(grey(index), &folder.path().join(format!("{class}/{index:02}.png")));
    }
    let dataset = load_folder(folder.path()).unwrap();
    // The fifth of seven, and the last of four.
    assert_eq!(dataset.test.images, [[4; 6], [10; 6]].concat());
    assert_eq!(dataset.test.labels, [0, 1]);
    assert_eq!(dataset.train.len(), 9);
    assert_eq!(dataset.notes.len(), 1);
    assert!(dataset.notes[0].contains("no folders train and test"), "{:?}", dataset.notes);
    assert!(dataset.notes[0].ends_with("9 images to learn from, 2 to test"), "{:?}", dataset.notes);
}

#[test]
fn folder_reads_jpeg() {
    let folder = tempfile::tempdir().unwrap();
    save(grey(100), &folder.path().join("train/a/1.jpg"));
    save(grey(100), &folder.path().join("test/a/1.jpeg"));
    let dataset = load_folder(folder.path()).unwrap();
    assert_eq!((dataset.shape.channels, dataset.train.images.len()), (1, 6));
    assert!(dataset.train.images.iter().all(|&v| v.abs_diff(100) <= 1));
}

#[test]
fn folder_brings_images_to_one_size() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    // Left third 0, middle 90, right 180: the middle square is all of the middle.
    let image = GrayImage::from_fn(24, 8, |x, _| image::Luma([u8::try_from(x / 8 * 90).unwrap()]));
    save(image, &at("train/a/1.png"));
    save(GrayImage::from_pixel(5, 9, image::Luma([7])), &at("train/b/1.png"));
    save(GrayImage::from_pixel(4, 4, image::Luma([8])), &at("test/b/1.png"));
    let with = |options: &str| load_folder(&at(options));
    assert!(load_folder(folder.path()).unwrap_err().to_string().contains("`,resize=N` behind the folder"));
    let options = |options: &str| std::path::PathBuf::from(format!("{}{options}", folder.path().display()));
    let dataset = load_folder(&options(",resize=4")).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 4, width: 4, channels: 1 });
    assert_eq!(dataset.train.images, [[90; 16], [7; 16]].concat());

    let dataset = load_folder(&options(",resize=4,crop=3")).unwrap();
    assert_eq!((dataset.shape.height, dataset.stored.height), (3, 4));
    let test = evaluation(&dataset, Part::Test, 8).unwrap().next().unwrap();
    assert_eq!(test.images, [8; 9]);
    let mut batches =
        TrainBatches::new(std::sync::Arc::new(dataset), 2, 1, intrain_data::Augment::default()).unwrap();
    assert_eq!(batches.batch(intrain_data::Position::default()).images.len(), 18);
    assert!(with(",resize=0").unwrap_err().to_string().contains("resize is 0"));
}

#[test]
fn folder_goes_on_without_broken_images_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for index in 0..4 {
        save(grey(index), &at(&format!("train/a/{index}.png")));
    }
    save(grey(9), &at("test/a/1.png"));
    let whole = std::fs::read(at("train/a/2.png")).unwrap();
    std::fs::write(at("train/a/2.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(at("test/a/2.png"), "no image").unwrap();
    let message = load_folder(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("train/a/2.png: cannot be decoded") && message.contains(",broken=skip"),
        "{message}"
    );
    let skip = std::path::PathBuf::from(format!("{},broken=skip", folder.path().display()));
    let dataset = load_folder(&skip).unwrap();
    assert_eq!(dataset.train.images, [[0; 6], [1; 6], [3; 6]].concat());
    assert_eq!(dataset.test.images, [9; 6]);
    assert_eq!(dataset.left_out.len(), 2);
    assert!(dataset.left_out[0].contains("train/a/2.png"), "{:?}", dataset.left_out);
    assert_eq!(dataset.train.names, ["train/a/0.png", "train/a/1.png", "train/a/3.png"]);
    // A sound image of another size is not broken.
    save(GrayImage::from_pixel(9, 9, Luma([1])), &at("train/a/4.png"));
    let message = load_folder(&skip).unwrap_err().to_string();
    assert!(
        message.contains("is 9 x 9 (height x width), but") && message.contains("`,resize=N`"),
        "{message}"
    );
    assert!(!message.contains("broken=skip"), "{message}");
    std::fs::remove_file(at("train/a/4.png")).unwrap();
    // Nothing left is no data set.
    for path in ["train/a/0.png", "train/a/1.png", "train/a/3.png", "test/a/1.png"] {
        std::fs::write(at(path), "").unwrap();
    }
    assert!(load_folder(&skip).unwrap_err().to_string().contains("0 images that can be read, of 6"));
}

#[test]
fn folder_faults_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let message = || load_folder(folder.path()).unwrap_err().to_string();
    assert!(message().contains("holds 0 folders"), "{}", message());
    assert!(load_folder(&at("none")).unwrap_err().to_string().contains("cannot list"));

    save(grey(1), &at("train/a/1.png"));
    assert!(message().contains("test: is not there, beside "), "{}", message());
    assert!(message().contains("; put images to be measured on into its classes; or name"), "{}", message());
    std::fs::rename(at("train"), at("test")).unwrap();
    assert!(message().contains("train: is not there, beside "), "{}", message());
    std::fs::rename(at("test"), at("train")).unwrap();
    save(grey(1), &at("test/c/1.png"));
    assert!(message().contains("test/c: is not a class of"), "{}", message());
    std::fs::rename(at("test/c"), at("test/a")).unwrap();
    assert!(load_folder(folder.path()).is_ok());

    save(GrayImage::new(2, 2), &at("test/a/2.png"));
    assert!(message().contains("test/a/2.png: is 2 x 2 (height x width), but"), "{}", message());
    std::fs::write(at("test/a/2.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    assert!(message().contains("test/a/2.png: cannot be decoded"), "{}", message());
    std::fs::remove_file(at("test/a/2.png")).unwrap();
    std::fs::create_dir(at("train/empty")).unwrap();
    assert!(message().contains("train/empty: holds 0 files named"), "{}", message());
}
