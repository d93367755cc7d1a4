//! A folder of images: `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png`, also `.jpg` and `.jpeg`.
//! Classes are numbered in the order of their names, images come in the order of class and file name. Without `train`
//! and `test` the folders of `PATH` are the classes, and of every five consecutive images the fifth is for the test.
//! All images have one size; they are grey if every one is stored grey, else red, green, blue; transparency is dropped.
//! PNG is exact; what a JPEG decodes to may differ in the last bit with the version of the decoder and the processor.

use std::ffi::OsStr;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ColorType, DynamicImage, ImageReader, Limits};

use crate::bounded::read_file;
use crate::{DataError, Dataset, ImageShape, Split};

/// Largest image file, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a data set from a folder.
///
/// # Errors
/// A folder or image cannot be read, a class is empty or only in `test`, or an image has another size; it is named.
pub fn load(folder: &Path, name: &str) -> Result<Dataset, DataError> {
    let (train, test) = (folder.join("train"), folder.join("test"));
    let (classes, files) = if train.is_dir() || test.is_dir() {
        let classes = subfolders(&train)?;
        for class in subfolders(&test)? {
            if !classes.contains(&class) {
                let problem = format!("is not a class of {}", train.display());
                return Err(DataError::file(
                    &test.join(class),
                    problem,
                    "a class needs images to learn from",
                ));
            }
        }
        let files = [list_images(&train, &classes)?, list_images(&test, &classes)?];
        (classes, files)
    } else {
        let classes = subfolders(folder)?;
        let files = [list_images(folder, &classes)?, Vec::new()];
        (classes, files)
    };
    let [train_files, test_files] = &files;
    let (shape, all) = read_images(&[&train_files[..], test_files].concat(), folder)?;
    let splits = if test_files.is_empty() {
        all.every_fifth_is_test(shape.n_values()).into()
    } else {
        split_at(all, train_files.len(), shape)
    };
    let mut dataset = Dataset::new(name, shape, classes.len(), splits, folder)?;
    dataset.class_names = classes.iter().map(|c| c.to_string_lossy().into_owned()).collect();
    Ok(dataset)
}

/// Decodes a PNG or JPEG of at most 4096 x 4096 pixels.
///
/// # Errors
/// The bytes are neither, or corrupt, or the image is too large.
pub fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage, DataError> {
    let mut limits = Limits::default();
    let side = u32::try_from(ImageShape::MAX_SIDE).ok();
    (limits.max_image_width, limits.max_image_height) = (side, side);
    let decoded =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(Into::into).and_then(|mut r| {
            r.limits(limits);
            r.decode()
        });
    decoded.map_err(|e| {
        DataError::file(path, format!("cannot be decoded: {e}"), "repair the image or remove it")
    })
}

/// Names of the folders in a folder, sorted; hidden ones do not count.
fn subfolders(folder: &Path) -> Result<Vec<std::ffi::OsString>, DataError> {
    let mut names: Vec<_> = entries(folder)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| path.file_name().map(OsStr::to_owned))
        .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
        .collect();
    names.sort();
    let limit = usize::from(u16::MAX) + 1;
    if names.is_empty() || names.len() > limit {
        let problem = format!("holds {} folders, expected one for each of 1 to {limit} classes", names.len());
        return Err(DataError::file(folder, problem, "sort the images into folders named for their classes"));
    }
    Ok(names)
}

/// Image files of every class, with their labels. A class without a folder here has none.
fn list_images(folder: &Path, classes: &[std::ffi::OsString]) -> Result<Vec<(PathBuf, u16)>, DataError> {
    let mut files = Vec::new();
    for (label, class) in (0_u16..).zip(classes) {
        let class_folder = folder.join(class);
        if !class_folder.is_dir() {
            continue;
        }
        let mut images = entries(&class_folder)?;
        images.retain(|path| {
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            extension == "png" || extension == "jpg" || extension == "jpeg"
        });
        if images.is_empty() {
            let remedy = "put images there or remove the folder";
            return Err(DataError::file(&class_folder, "holds 0 files named .png, .jpg or .jpeg", remedy));
        }
        images.sort();
        files.extend(images.into_iter().map(|path| (path, label)));
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = std::fs::read_dir(folder).and_then(|dir| dir.map(|e| Ok(e?.path())).collect());
    read.map_err(|e| DataError::io(folder, "list", e))
}

/// Decodes all images and lays them one behind the other, in one shape.
fn read_images(files: &[(PathBuf, u16)], folder: &Path) -> Result<(ImageShape, Split), DataError> {
    let mut split = Split::default();
    let mut shape: Option<ImageShape> = None;
    for (index, (path, label)) in files.iter().enumerate() {
        let image = decode(&read_file(path, MAX_FILE_BYTES)?, path)?;
        let known = match shape {
            Some(known) => known,
            None => {
                let first = shape_of(&image, path)?;
                first.bytes_of(files.len(), folder)?;
                first
            }
        };
        let this = shape_of(&image, path)?;
        if (this.height, this.width) != (known.height, known.width) {
            let problem = format!(
                "is {} x {} (height x width), but {} is {} x {}",
                this.height,
                this.width,
                files[0].0.display(),
                known.height,
                known.width
            );
            return Err(DataError::file(path, problem, "give all images the same size"));
        }
        if known.channels < this.channels {
            // The first image in colour: those before it were grey.
            this.bytes_of(files.len(), folder)?;
            split.images = split.images.iter().flat_map(|&grey| [grey; 3]).collect();
        }
        shape = Some(ImageShape { channels: known.channels.max(this.channels), ..known });
        split.images.extend(if shape.is_some_and(|s| s.channels == 1) {
            image.into_luma8().into_raw()
        } else {
            image.into_rgb8().into_raw()
        });
        debug_assert_eq!(split.images.len(), shape.map_or(0, |s| s.n_values()) * (index + 1));
        split.labels.push(*label);
    }
    let shape =
        shape.ok_or_else(|| DataError::file(folder, "holds 0 images", "put images into its classes"))?;
    Ok((shape, split))
}

/// Size of an image; one channel if it is stored grey, else three.
fn shape_of(image: &DynamicImage, path: &Path) -> Result<ImageShape, DataError> {
    let grey = matches!(image.color(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    // Exact: u32 fits usize on every target of the project.
    ImageShape::new(image.height() as usize, image.width() as usize, if grey { 1 } else { 3 }, path)
}

fn split_at(mut all: Split, n_train: usize, shape: ImageShape) -> [Split; 2] {
    let test = Split {
        images: all.images.split_off(n_train * shape.n_values()),
        labels: all.labels.split_off(n_train),
    };
    [all, test]
}
