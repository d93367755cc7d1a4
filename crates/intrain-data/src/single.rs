//! Single images for a network that was trained on a data set: brought to its size and colours as that set was.

use std::path::{Path, PathBuf};

use image::DynamicImage;

use crate::class_files::Unread;
use crate::folder::{read_regular, shape_of, square};
use crate::folder_options::FolderOptions;
use crate::picture::{self, Picture};
use crate::{DataError, ImageShape, augment};

/// Reads image files as a data set's were read.
#[derive(Debug, Clone)]
pub struct SingleImages {
    shape: ImageShape,
    /// Side of the squares that images were brought to, before the middle of `shape` was cut out.
    resize: Option<usize>,
}

impl SingleImages {
    /// For a network of images of `shape`, trained on `data`, as the command line names it: a folder's `resize` and `crop` hold.
    #[must_use]
    pub fn of(data: &str, shape: ImageShape) -> Self {
        let options = data.strip_prefix("folder:").and_then(|text| FolderOptions::parse(text).ok());
        Self { shape, resize: options.and_then(|options| options.resize) }
    }

    /// The image files of a folder and of folders below it, sorted by their paths; and what else lies there and is not read, a sentence each.
    /// Hidden files are no images.
    ///
    /// # Errors
    /// A folder cannot be listed, or there is no image.
    pub fn in_folder(folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>), DataError> {
        let mut unread = Unread::default();
        let images = unread.list(folder)?;
        Ok((images, unread.notes()))
    }

    /// The pixels of one PNG, JPEG, BMP or WebP, `[height, width, channels]`, behind those in `out`; and what was done to it that
    /// the training data did not say, a sentence each.
    ///
    /// # Errors
    /// The file cannot be read, is no such image, or ends too early.
    pub fn append(&self, path: &Path, out: &mut Vec<u8>) -> Result<Vec<&'static str>, DataError> {
        let bytes = read_regular(path)?;
        let Picture { image, was_transparent } = picture::read(&bytes, path)?;
        let mut notes = Vec::new();
        if was_transparent {
            notes.push("it was transparent, and was laid over white");
        }
        let ImageShape { height, width, channels } = self.shape;
        let fits = (image.height() as usize, image.width() as usize) == (height, width);
        let image = match self.resize {
            Some(side) => square(&image, side),
            None if fits => image,
            None if height == width => {
                notes.push("it had another size: the largest square in its middle was scaled");
                square(&image, height)
            }
            None => {
                let problem = format!(
                    "is {} x {} (height x width), and the network takes {height} x {width}",
                    image.height(),
                    image.width()
                );
                return Err(DataError::file(path, problem, "bring the image to that size"));
            }
        };
        let found = shape_of(&image, path)?;
        if found.channels > channels {
            notes.push("it was in colour, and the network takes grey");
        }
        let pixels = pixels(image, channels, path)?;
        let from = ImageShape { channels, ..found };
        augment::append_middle(&pixels, [from, self.shape], out);
        Ok(notes)
    }
}

fn pixels(image: DynamicImage, channels: usize, path: &Path) -> Result<Vec<u8>, DataError> {
    match channels {
        1 => Ok(image.into_luma8().into_raw()),
        3 => Ok(image.into_rgb8().into_raw()),
        n => {
            let problem = format!("is an image, and the network takes {n} channels");
            Err(DataError::file(path, problem, "give arrays with --data npz:PATH"))
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageBuffer, Luma, Rgb};

    use super::*;

    fn shape(side: usize, channels: usize) -> ImageShape {
        ImageShape { height: side, width: side, channels }
    }

    #[test]
    fn an_image_becomes_what_the_training_data_were() {
        let folder = tempfile::tempdir().unwrap();
        let (grey, colour) = (folder.path().join("grey.png"), folder.path().join("colour.png"));
        let ramp = |x: u32, y: u32| u8::try_from(16 * y + x).unwrap();
        GrayImage::from_fn(8, 6, |x, y| Luma([ramp(x, y)])).save(&grey).unwrap();
        ImageBuffer::from_fn(6, 6, |x, y| Rgb([ramp(x, y), 0, 255])).save(&colour).unwrap();
        let read = |data: &str, shape, path| {
            let mut out = vec![7];
            let notes = SingleImages::of(data, shape).append(path, &mut out).unwrap();
            (out[1..].to_vec(), notes.len())
        };
        // As it is.
        let (pixels, notes) = read("npz:x.npz", shape(6, 3), &colour);
        assert_eq!((pixels.len(), &pixels[..6], notes), (108, &[0, 0, 255, 1, 0, 255][..], 0));
        // The folder's own way: no note.
        let (pixels, notes) = read("folder:x,resize=6,crop=2", shape(2, 1), &grey);
        assert_eq!((pixels, notes), (vec![35, 36, 51, 52], 0));
        // The square in the middle, grey for all three colours.
        let (pixels, notes) = read("digits", shape(6, 3), &grey);
        assert_eq!((&pixels[..4], notes), (&[1, 1, 1, 2][..], 1));
        let (pixels, notes) = read("digits", shape(6, 1), &colour);
        assert_eq!((pixels.len(), notes), (36, 1));

        let mut out = Vec::new();
        let wide = ImageShape { height: 4, width: 8, channels: 1 };
        let message = SingleImages::of("", wide).append(&grey, &mut out).unwrap_err().to_string();
        assert!(message.contains("is 6 x 8 (height x width), and the network takes 4 x 8"), "{message}");
        let message = SingleImages::of("", shape(6, 2)).append(&colour, &mut out).unwrap_err().to_string();
        assert!(message.contains("takes 2 channels"), "{message}");
        assert!(out.is_empty());
    }
}
