//! A folder of images: `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png`, also `.jpg` and `.jpeg`.
//! Classes are numbered in the order of their names, images come in the order of class and file name. Without `train`
//! and `test` the folders of `PATH` are the classes, and of every five consecutive images the fifth is for the test.
//! All images have one size, or are brought to one: `PATH,resize=256` cuts the largest square out of the middle and scales
//! it, `crop=224` then cuts squares out of that, at random to learn and in the middle to test. They are grey if every one
//! is stored grey, else red, green, blue; transparency is dropped. `broken=skip` leaves out what can't be read.
//! PNG is exact; what a JPEG decodes to may differ in the last bit with the version of the decoder and the processor.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{ColorType, DynamicImage};

use crate::bounded::read_file;
use crate::folder_options::FolderOptions;
pub use crate::picture::decode;
use crate::{DataError, Dataset, ImageShape, Split};

/// Largest image file, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a data set from a folder; options may stand behind its path.
///
/// # Errors
/// A folder or image cannot be read, a class is empty or only in `test`, or an image has another size; it is named.
pub fn load(folder: &Path, name: &str) -> Result<Dataset, DataError> {
    let options = FolderOptions::parse(&folder.to_string_lossy())?;
    let folder = &options.path;
    let (train, test) = (folder.join("train"), folder.join("test"));
    let (classes, [train_files, test_files]) = if train.is_dir() || test.is_dir() {
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
    let mut images = Images { n_files: train_files.len() + test_files.len(), ..Images::default() };
    train_files.iter().try_for_each(|file| images.add(file, &options))?;
    let n_train = images.split.len();
    test_files.iter().try_for_each(|file| images.add(file, &options))?;
    let Images { first, split, left_out, .. } = images;
    let Some((_, shape)) = first else {
        let problem = format!("holds 0 images that can be read, of {}", left_out.len());
        return Err(DataError::file(folder, problem, "put images into its classes"));
    };
    let splits = if test_files.is_empty() {
        split.every_fifth_is_test(shape.n_values()).into()
    } else {
        split_at(split, n_train, shape)
    };
    let mut dataset = Dataset::new(name, shape, classes.len(), splits, folder)?;
    dataset.class_names = classes.iter().map(|c| c.to_string_lossy().into_owned()).collect();
    dataset.left_out = left_out;
    match options.crop {
        Some(side) => dataset.cropped(side, folder),
        None => Ok(dataset),
    }
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

/// Images that are read one by one and laid one behind the other, in one shape.
#[derive(Default)]
struct Images {
    /// Files at most.
    n_files: usize,
    /// The first image's file, and the shape of all; grey until an image is in colour.
    first: Option<(PathBuf, ImageShape)>,
    split: Split,
    left_out: Vec<String>,
}

impl Images {
    /// Reads one more.
    fn add(&mut self, (path, label): &(PathBuf, u16), options: &FolderOptions) -> Result<(), DataError> {
        let image = read_file(path, MAX_FILE_BYTES).and_then(|bytes| decode(&bytes, path));
        let image = image.map(|image| match options.resize {
            Some(side) => square(&image, side),
            None => image,
        });
        match image.and_then(|image| self.append(image, path)) {
            Ok(()) => self.split.labels.push(*label),
            Err(error) if options.skips_broken => self.left_out.push(error.to_string()),
            Err(DataError::File { path, problem, remedy }) => {
                let remedy = format!("{remedy}; `,broken=skip` behind the folder leaves such images out");
                return Err(DataError::File { path, problem, remedy });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn append(&mut self, image: DynamicImage, path: &Path) -> Result<(), DataError> {
        let this = shape_of(&image, path)?;
        let (first, known) = self.first.get_or_insert_with(|| (path.to_owned(), this));
        if (this.height, this.width) != (known.height, known.width) {
            let problem = format!(
                "is {} x {} (height x width), but {} is {} x {}",
                this.height,
                this.width,
                first.display(),
                known.height,
                known.width
            );
            let remedy = "give all images the same size, or write `,resize=N` behind the folder";
            return Err(DataError::file(path, problem, remedy));
        }
        let shape = ImageShape { channels: known.channels.max(this.channels), ..*known };
        shape.bytes_of(self.n_files, path)?;
        if known.channels < this.channels {
            // The first image in colour: those before it were grey.
            self.split.images = self.split.images.iter().flat_map(|&grey| [grey; 3]).collect();
        }
        *known = shape;
        self.split.images.extend(if shape.channels == 1 {
            image.into_luma8().into_raw()
        } else {
            image.into_rgb8().into_raw()
        });
        Ok(())
    }
}

/// The largest square in the middle of an image, scaled to `side` pixels.
fn square(image: &DynamicImage, side: usize) -> DynamicImage {
    let (w, h) = (image.width(), image.height());
    let least = w.min(h);
    let middle = image.crop_imm((w - least) / 2, (h - least) / 2, least, least);
    // Bound: `side` is at most 4096.
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    if least == side { middle } else { middle.resize_exact(side, side, FilterType::Triangle) }
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
