//! Folders of images as people have them: files that are damaged, hidden, of other kinds or no files at all.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use intrain_data::{DataError, DataFolders, Dataset, Images, folder, load};

fn save(image: impl Into<DynamicImage>, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save_with_format(path, ImageFormat::from_path(path).unwrap()).unwrap();
}

fn grey(value: u8) -> GrayImage {
    GrayImage::from_pixel(3, 2, image::Luma([value]))
}

/// An image in colour of 48 x 32 pixels, each another.
fn colours() -> DynamicImage {
    let value = |n: u32| u8::try_from(n % 256).unwrap();
    RgbImage::from_fn(48, 32, |x, y| image::Rgb([value(5 * x), value(8 * y), value(3 * x + 2 * y)])).into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn load_with(folder: &Path, options: &str) -> Result<Dataset, DataError> {
    load(&format!("folder:{}{options}", folder.display()), &DataFolders::only("/nowhere"))
}

fn refused(folder: &Path) -> String {
    load_with(folder, "").unwrap_err().to_string()
}

#[test]
fn an_image_that_is_cut_is_never_filled_up() {
    let progressive = include_bytes!("progressive.jpg").to_vec();
    let files = [
        ("baseline.jpg", encoded(&colours(), ImageFormat::Jpeg)),
        ("progressive.jpg", progressive),
        ("a.png", encoded(&colours(), ImageFormat::Png)),
        ("a.bmp", encoded(&colours(), ImageFormat::Bmp)),
        ("a.webp", encoded(&colours(), ImageFormat::WebP)),
        ("lossy.webp", include_bytes!("lossy.webp").to_vec()),
    ];
    for (name, bytes) in files {
        let path = Path::new(name);
        let whole = folder::decode(&bytes, path).unwrap();
        assert_eq!((whole.width(), whole.height()), (48, 32));
        for cut in 0..bytes.len() {
            match folder::decode(&bytes[..cut], path) {
                // The last bytes of a PNG come behind its pixels.
                Ok(image) => assert!(name.ends_with("png") && image == whole, "{name} cut at {cut}"),
                Err(error) => assert!(error.to_string().starts_with(&format!("{name}: cannot be decoded"))),
            }
        }
        // Bytes behind the end, such as a second image of a phone, do no harm.
        for behind in [&[0; 9][..], &bytes] {
            assert_eq!(folder::decode(&[&bytes, behind].concat(), path).unwrap(), whole, "{name}");
        }
    }
}

#[test]
fn a_jpeg_that_is_cut_is_named_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(colours(), &at("train/a/1.jpg"));
    save(colours(), &at("test/a/1.jpg"));
    let bytes = encoded(&colours(), ImageFormat::Jpeg);
    for percent in [20, 50, 90] {
        std::fs::write(at("train/a/cut.jpg"), &bytes[..bytes.len() * percent / 100]).unwrap();
        let message = refused(folder.path());
        assert!(message.contains("train/a/cut.jpg: cannot be decoded: the file is cut short"), "{message}");
        assert!(message.contains("repair the image or remove it; `,broken=skip`"), "{message}");
        let dataset = load_with(folder.path(), ",broken=skip").unwrap();
        assert_eq!((dataset.train.len(), dataset.left_out.len()), (1, 1));
        assert!(dataset.left_out[0].contains("train/a/cut.jpg"), "{:?}", dataset.left_out);
    }
}

#[test]
fn each_class_is_learned_without_folders_for_the_parts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for class in ["a", "b", "c", "d", "e"] {
        save(grey(class.as_bytes()[0]), &at(&format!("{class}/1.png")));
    }
    let message = refused(folder.path());
    assert!(
        message.contains("has no folder test, and each of its classes (a, b, c, d, e) has 1 image; give"),
        "{message}"
    );
    save(grey(7), &at("e/2.png"));
    save(grey(8), &at("b/2.png"));
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!((&dataset.train.labels[..], &dataset.test.labels[..]), (&[0, 1, 2, 3, 4][..], &[1, 4][..]));
    assert_eq!(dataset.test.images, [[8; 6], [7; 6]].concat());
    assert_eq!(dataset.notes.len(), 2);
    assert!(
        dataset.notes[1].ends_with("classes with 1 image are not tested: a, c, d"),
        "{:?}",
        dataset.notes
    );
}

#[test]
fn a_class_without_a_readable_image_to_learn_from_is_named() {
    for parts in [["train/", "test/"], ["", ""]] {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: String| folder.path().join(path);
        for (part, image) in parts.into_iter().zip(["1.png", "2.png"]) {
            for class in ["a", "b"] {
                save(grey(1), &at(format!("{part}{class}/{image}")));
            }
        }
        let [train, test] = parts;
        std::fs::write(at(format!("{train}b/1.png")), "no image").unwrap();
        if test.is_empty() {
            std::fs::write(at("b/2.png".to_owned()), "no image").unwrap();
        }
        let message = load_with(folder.path(), ",broken=skip").unwrap_err().to_string();
        let n_files = if test.is_empty() { 2 } else { 1 };
        let expected = format!("{train}b: holds 0 images to learn from that can be read, of {n_files}; put");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn every_data_set_names_its_classes() {
    let digits = load("digits", &DataFolders::only("/nowhere")).unwrap();
    assert_eq!(digits.class_names, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let images = Images::new([3, 1, 1, 1], vec![0; 3], vec![2, 0, 1]).unwrap();
    let dataset = Dataset::from_images("mine", 4, images, None).unwrap();
    assert_eq!(dataset.class_names, ["0", "1", "2", "3"]);

    let folder = tempfile::tempdir().unwrap();
    // The order of names decides the labels: of bytes, so `10` comes before `9` and `B` before `a`.
    for class in ["a", "B", "9", "10"] {
        save(grey(1), &folder.path().join(format!("{class}/1.png")));
        save(grey(2), &folder.path().join(format!("{class}/2.png")));
    }
    assert_eq!(load_with(folder.path(), "").unwrap().class_names, ["10", "9", "B", "a"]);
}

#[test]
fn bmp_and_webp_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for (class, ending) in [("a", "png"), ("b", "bmp"), ("c", "webp"), ("d", "WebP")] {
        save(colours(), &at(&format!("train/{class}/1.{ending}")));
        save(colours(), &at(&format!("test/{class}/1.{ending}")));
    }
    let dataset = load_with(folder.path(), "").unwrap();
    let pixels = colours().into_rgb8().into_raw();
    assert_eq!(dataset.train.labels, [0, 1, 2, 3]);
    assert!(dataset.train.images.chunks_exact(pixels.len()).all(|image| image == pixels));
}

#[test]
fn hidden_files_do_not_count_and_other_kinds_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(grey(1), &at("train/a/1.png"));
    save(grey(2), &at("test/a/1.png"));
    save(grey(3), &at("__MACOSX/a/1.png"));
    save(grey(3), &at("train/__MACOSX/1.png"));
    save(grey(3), &at("train/.cache/1.png"));
    for name in ["._1.png", ".DS_Store", ".1.jpg", "Thumbs.db", "desktop.ini", "readme"] {
        std::fs::write(at("train/a").join(name), "no image").unwrap();
    }
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!((dataset.n_classes, dataset.train.len(), dataset.test.len()), (1, 1, 1));
    assert_eq!((dataset.left_out.len(), dataset.notes.len()), (0, 0), "{:?}", dataset.notes);

    for name in ["train/a/2.gif", "train/a/3.GIF", "test/a/4.heic", "test/a/._5.tiff"] {
        std::fs::write(at(name), "no image").unwrap();
    }
    let notes = load_with(folder.path(), "").unwrap().notes;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("3 images are of kinds that are not read"), "{notes:?}");
    assert!(
        notes[0].contains(": 2 .gif, 1 .heic, first ") && notes[0].contains("train/a/2.gif;"),
        "{notes:?}"
    );

    std::fs::create_dir(at("train/b")).unwrap();
    std::fs::write(at("train/b/1.tif"), "no image").unwrap();
    let message = refused(folder.path());
    assert!(message.contains("or .webp, but images of other kinds (1 .tif); put"), "{message}");
}

#[test]
fn images_are_turned_as_their_exif_data_say() {
    let plain = encoded(&colours(), ImageFormat::Jpeg);
    let upright = folder::decode(&plain, Path::new("plain.jpg")).unwrap();
    let turned = |orientation: u8| {
        // One entry: tag 0x112, of type short, one value.
        let tiff =
            [&b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"[..], &[orientation]];
        let body = [b"Exif\x00\x00", &tiff.concat()[..], &[0; 6]].concat();
        let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
        let bytes = [&plain[..2], &[0xff, 0xe1], &length, &body, &plain[2..]].concat();
        folder::decode(&bytes, Path::new("turned.jpg")).unwrap()
    };
    let expected = [
        upright.clone(),
        upright.fliph(),
        upright.rotate180(),
        upright.flipv(),
        upright.rotate90().fliph(),
        upright.rotate90(),
        upright.rotate270().fliph(),
        upright.rotate270(),
    ];
    for (orientation, expected) in (1..).zip(expected) {
        assert_eq!(turned(orientation), expected, "{orientation}");
    }
    // A number that means nothing turns nothing.
    assert_eq!(turned(9), upright);
}

#[test]
fn transparent_images_are_laid_over_white_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(image::RgbaImage::from_pixel(3, 2, image::Rgba([0, 100, 255, 255])), &at("train/a/1.png"));
    save(image::RgbaImage::from_pixel(3, 2, image::Rgba([0, 100, 255, 0])), &at("test/a/1.png"));
    save(image::RgbaImage::from_pixel(3, 2, image::Rgba([0, 100, 255, 128])), &at("test/a/2.webp"));
    save(image::GrayAlphaImage::from_pixel(3, 2, image::LumaA([0, 128])), &at("test/a/3.png"));
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!(dataset.train.images, [0, 100, 255].repeat(6));
    assert_eq!(dataset.test.images, [[255; 3], [127, 177, 255], [127; 3]].map(|p| p.repeat(6)).concat());
    let note = "3 images have transparent pixels and were laid over white, first ";
    assert_eq!(dataset.notes.len(), 1);
    assert!(dataset.notes[0].starts_with(note) && dataset.notes[0].ends_with("test/a/1.png"), "{dataset:?}");

    // Opaque pixels of 16 bits are rounded as ever.
    save(
        image::ImageBuffer::<image::Rgba<u16>, _>::from_pixel(3, 2, image::Rgba([0, 300, 65_535, 65_535])),
        &at("train/a/1.png"),
    );
    assert_eq!(load_with(folder.path(), "").unwrap().train.images, [0, 1, 255].repeat(6));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_and_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(grey(1), &at("elsewhere.png"));
    save(grey(2), &at("train/a/2.png"));
    save(grey(3), &at("test/a/1.png"));
    std::os::unix::fs::symlink(at("elsewhere.png"), at("train/a/1.png")).unwrap();
    assert_eq!(load_with(folder.path(), "").unwrap().train.images, [[1; 6], [2; 6]].concat());

    let made = std::process::Command::new("mkfifo").arg(at("train/a/3.png")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(at("train/a/4.png")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("train/a/5.png")).unwrap();
    std::os::unix::fs::symlink(at("nothing"), at("train/a/6.png")).unwrap();
    // In a thread, so that a test that waits for the pipe fails instead of waiting.
    let (sender, receiver) = std::sync::mpsc::channel();
    let path = folder.path().to_owned();
    std::thread::spawn(move || {
        let skipped = load_with(&path, ",broken=skip").unwrap();
        sender.send((refused(&path), skipped)).unwrap();
    });
    let (message, dataset) = receiver.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert!(message.contains("train/a/3.png: is a pipe, a socket or a device, not a file; put"), "{message}");
    assert!(message.ends_with("behind the folder leaves such images out"), "{message}");
    assert_eq!((dataset.train.len(), dataset.left_out.len()), (2, 4), "{:?}", dataset.left_out);
    assert!(dataset.left_out[3].contains("6.png: cannot open"), "{:?}", dataset.left_out);
}

#[test]
fn images_below_a_class_at_any_depth_are_of_that_class() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(grey(1), &at("train/cat/a/b/1.png"));
    save(grey(2), &at("train/cat/c.png"));
    save(grey(3), &at("train/dog/x.png/1.png"));
    save(grey(4), &at("test/dog/deep/1.png"));
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!(dataset.class_names, ["cat", "dog"]);
    assert_eq!((&dataset.train.labels[..], &dataset.test.labels[..]), (&[0, 0, 1][..], &[1][..]));
    assert_eq!(dataset.train.images, [[1; 6], [2; 6], [3; 6]].concat());
    assert_eq!(dataset.notes.len(), 0);

    save(grey(5), &at(&format!("train/cat/{}1.png", "d/".repeat(16))));
    assert_eq!(load_with(folder.path(), "").unwrap().train.len(), 4);
    save(grey(5), &at(&format!("train/cat/{}1.png", "d/".repeat(17))));
    let message = refused(folder.path());
    assert!(message.contains("d/d: lies 17 folders below its class, the limit is 16; put"), "{message}");

    // One folder too far up.
    let notes = load_with(&at("test"), "").unwrap_err().to_string();
    assert!(notes.contains("each of its classes (dog) has 1 image"), "{notes}");
    save(grey(4), &at("test/dog/shallow.png"));
    let notes = load_with(&at("test"), "").unwrap().notes;
    assert!(notes[0].starts_with("all images are of one class, ") && notes.len() == 2, "{notes:?}");
}

#[cfg(unix)]
#[test]
fn links_in_circles_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let elsewhere = tempfile::tempdir().unwrap();
    save(grey(1), &elsewhere.path().join("below/1.png"));
    save(grey(2), &at("train/b/1.png"));
    save(grey(3), &at("test/b/1.png"));
    // The folder of a class may be a link.
    std::os::unix::fs::symlink(elsewhere.path(), at("train/a")).unwrap();
    std::os::unix::fs::symlink(at("train"), at("train/b/circle")).unwrap();
    std::os::unix::fs::symlink(at("train/b"), at("train/b/again")).unwrap();
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!((&dataset.train.labels[..], dataset.notes.len()), (&[0, 1][..], 1));
    let note = "2 links to folders below classes were not followed, first ";
    assert!(dataset.notes[0].starts_with(note), "{:?}", dataset.notes);
    assert!(dataset.notes[0].contains("train/b/again; move"), "{:?}", dataset.notes);
}

#[test]
fn folders_beside_train_and_test_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    save(grey(1), &at("train/a/1.png"));
    save(grey(2), &at("test/a/1.png"));
    std::fs::write(at("labels.csv"), "").unwrap();
    std::fs::create_dir(at(".cache")).unwrap();
    let without = load_with(folder.path(), "").unwrap();
    assert_eq!(without.notes.len(), 0);
    save(grey(3), &at("extra/a/1.png"));
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!((&dataset.train, &dataset.test), (&without.train, &without.test));
    assert_eq!(dataset.notes.len(), 1);
    let note = ": only train, val and test are read, these folders are not used: extra";
    assert!(dataset.notes[0].ends_with(note), "{:?}", dataset.notes);
}

#[test]
fn a_folder_for_validation_is_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for (value, path) in (1..).zip(["train/a/1", "train/b/1", "test/a/1", "valid/b/1", "valid/b/2"]) {
        save(grey(value), &at(&format!("{path}.png")));
    }
    let dataset = load_with(folder.path(), "").unwrap();
    assert_eq!((&dataset.train.labels[..], &dataset.test.labels[..]), (&[0, 1][..], &[0][..]));
    assert_eq!(dataset.validation.labels, [1, 1]);
    assert_eq!(
        (dataset.validation.images[0], dataset.validation.images.len()),
        (4, 2 * dataset.shape.n_values())
    );
    assert_eq!(dataset.notes, [""; 0]);
    // What cannot be read is left out of its own part alone.
    std::fs::write(at("test/a/2.png"), "rubbish").unwrap();
    let skipped = load_with(folder.path(), ",broken=skip").unwrap();
    assert_eq!((&skipped.test, &skipped.validation), (&dataset.test, &dataset.validation));
    std::fs::remove_file(at("test/a/2.png")).unwrap();

    save(grey(6), &at("valid/c/1.png"));
    assert!(refused(folder.path()).contains("valid/c: is not a class of"), "{}", refused(folder.path()));
    std::fs::remove_dir_all(at("valid/c")).unwrap();
    save(grey(6), &at("val/a/1.png"));
    assert!(refused(folder.path()).contains("keep one of the two folders"), "{}", refused(folder.path()));
    std::fs::remove_dir_all(at("valid")).unwrap();
    std::fs::remove_dir_all(at("test")).unwrap();
    assert!(refused(folder.path()).contains("rename this one to test"), "{}", refused(folder.path()));
}
