//! A folder of images: `PATH/train/CLASS/*.png` and `PATH/test/CLASS/*.png`, also `.jpg`, `.jpeg`, `.bmp` and `.webp`,
//! also in folders below that of a class; beside them perhaps `PATH/val/CLASS` (or `valid`, or `validation`) to choose by. Names
//! that begin with a dot do not count; images of other kinds are counted in a note. Classes are numbered in the order of their
//! names, images come in the order of class and file name. Without `train` and `test` the folders of `PATH` are the classes, and
//! of every five consecutive images of a class the fifth is for the test, of two to four the last; a note says so.
//!
//! All images have one size, or are brought to one: `PATH,resize=256` cuts the largest square out of the middle and scales
//! it, `crop=224` then cuts squares out of that, at random to learn and in the middle to test. They are grey if every one
//! is stored grey, else red, green, blue. They are turned as their EXIF data say, and laid over white where they are
//! transparent. `broken=skip` leaves out what can't be read, but no sound image for its size. PNG, BMP and WebP without loss are
//! exact; what a JPEG decodes to may differ in the last bit with the version of the decoder and the processor.

use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{ColorType, DynamicImage};

use crate::bounded::{read_file, reserve};
use crate::folder_layout::{File, Layout};
use crate::folder_options::FolderOptions;
pub use crate::picture::decode;
use crate::picture::{self, Picture};
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
    let layout = Layout::find(folder)?;
    let mut images = Images { n_files: layout.n_files(), ..Images::default() };
    layout.train.iter().try_for_each(|file| images.add(file, &options))?;
    let n_train = images.split.len();
    layout.test.iter().flatten().try_for_each(|file| images.add(file, &options))?;
    let n_known = images.split.len();
    layout.validation.iter().try_for_each(|file| images.add(file, &options))?;
    let mut notes = layout.notes.clone();
    notes.extend(images.note());
    let Images { first, mut split, left_out, .. } = images;
    let Some((_, shape)) = first else {
        let problem = format!("holds 0 images that can be read, of {}", left_out.len());
        return Err(DataError::file(folder, problem, "put images into its classes"));
    };
    layout.check_classes(&split.labels[..n_train])?;
    let validation = split_off(&mut split, n_known, shape);
    let splits = if layout.test.is_some() {
        let test = split_off(&mut split, n_train, shape);
        [split, test]
    } else {
        layout.part(split, shape.n_values(), &mut notes)?
    };
    let dataset = Dataset::new(name, shape, layout.classes.len(), splits, folder)?;
    let mut dataset = dataset.with_validation_split(validation, folder)?;
    dataset.class_names = layout.classes.iter().map(|c| c.to_string_lossy().into_owned()).collect();
    (dataset.left_out, dataset.notes) = (left_out, notes);
    match options.crop {
        Some(side) => dataset.cropped(side, folder),
        None => Ok(dataset),
    }
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
    /// Images with transparent pixels, and the first of them.
    n_transparent: usize,
    first_transparent: Option<PathBuf>,
}

impl Images {
    /// Reads one more.
    fn add(&mut self, (path, label): &File, options: &FolderOptions) -> Result<(), DataError> {
        let picture = read_regular(path).and_then(|bytes| picture::read(&bytes, path));
        let Picture { image, was_transparent } = match picture {
            Ok(picture) => picture,
            Err(error) if options.skips_broken => {
                self.left_out.push(error.to_string());
                return Ok(());
            }
            Err(DataError::File { path, problem, remedy }) => {
                let remedy = format!("{remedy}; `,broken=skip` behind the folder leaves such images out");
                return Err(DataError::File { path, problem, remedy });
            }
            Err(error) => return Err(error),
        };
        let image = match options.resize {
            Some(side) => square(&image, side),
            None => image,
        };
        self.append(image, path)?;
        self.split.labels.push(*label);
        let below = path.strip_prefix(&options.path).unwrap_or(path);
        self.split.names.push(below.to_string_lossy().into_owned());
        if was_transparent {
            self.n_transparent += 1;
            self.first_transparent.get_or_insert_with(|| path.clone());
        }
        Ok(())
    }

    /// A sentence about transparent images, where there are some.
    fn note(&self) -> Option<String> {
        let (n, first) = (self.n_transparent, self.first_transparent.as_ref()?.display());
        Some(format!("{n} images have transparent pixels and were laid over white, first {first}"))
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
        if self.split.images.is_empty() {
            // Bound: `bytes_of` has checked all files together.
            reserve(&mut self.split.images, shape.n_values() * self.n_files, path)?;
        }
        self.split.images.extend(if shape.channels == 1 {
            image.into_luma8().into_raw()
        } else {
            image.into_rgb8().into_raw()
        });
        Ok(())
    }
}

/// Reads a file or what a link to one names. To open a pipe would wait for ever, so its type is asked first.
pub(crate) fn read_regular(path: &Path) -> Result<Vec<u8>, DataError> {
    let metadata = std::fs::metadata(path).map_err(|e| DataError::io(path, "open", e))?;
    if !metadata.is_file() {
        let problem = "is a pipe, a socket or a device, not a file";
        return Err(DataError::file(path, problem, "put the image there as a file, or remove it"));
    }
    read_file(path, MAX_FILE_BYTES)
}

/// The largest square in the middle of an image, scaled to `side` pixels.
pub(crate) fn square(image: &DynamicImage, side: usize) -> DynamicImage {
    let (w, h) = (image.width(), image.height());
    let least = w.min(h);
    let middle = image.crop_imm((w - least) / 2, (h - least) / 2, least, least);
    // Bound: `side` is at most 4096.
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    if least == side { middle } else { middle.resize_exact(side, side, FilterType::Triangle) }
}

/// Size of an image; one channel if it is stored grey, else three.
pub(crate) fn shape_of(image: &DynamicImage, path: &Path) -> Result<ImageShape, DataError> {
    let grey = matches!(image.color(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    // Exact: u32 fits usize on every target of the project.
    ImageShape::new(image.height() as usize, image.width() as usize, if grey { 1 } else { 3 }, path)
}

/// Takes the images behind the first `n`.
fn split_off(all: &mut Split, n: usize, shape: ImageShape) -> Split {
    Split {
        images: all.images.split_off(n * shape.n_values()),
        labels: all.labels.split_off(n),
        names: all.names.split_off(n),
    }
}
