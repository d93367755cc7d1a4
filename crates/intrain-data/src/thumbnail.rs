//! One image of a data set as a small PNG, for a person to look at.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use crate::augment::append_middle;
use crate::{Dataset, Part};

/// A PNG and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The file.
    pub png: Vec<u8>,
}

impl Thumbnail {
    /// Image `index` of a part as an evaluation sees it: its middle, where batches are smaller than images. Of larger images every
    /// second, third, ... pixel, so that no side exceeds `side_max`. The first three channels are red, green and blue; of fewer
    /// than three the first one is grey. None where there is no such image.
    #[must_use]
    pub fn of(dataset: &Dataset, part: Part, index: usize, side_max: usize) -> Option<Self> {
        let split = dataset.part(part);
        if index >= split.len() {
            return None;
        }
        let shape = dataset.shape;
        let mut pixels = Vec::with_capacity(shape.n_values());
        append_middle(split.image(dataset.stored, index), [dataset.stored, shape], &mut pixels);
        let step = shape.height.max(shape.width).div_ceil(side_max.max(1));
        let [height, width] = [shape.height, shape.width].map(|side| side.div_ceil(step));
        let n_channels = if shape.channels < 3 { 1 } else { 3 };
        let mut kept = Vec::with_capacity(height * width * n_channels);
        for row in pixels.chunks_exact(shape.width * shape.channels).step_by(step) {
            row.chunks_exact(shape.channels)
                .step_by(step)
                .for_each(|pixel| kept.extend(&pixel[..n_channels]));
        }
        let (w, h) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        let image = if n_channels == 1 {
            DynamicImage::ImageLuma8(GrayImage::from_raw(w, h, kept)?)
        } else {
            DynamicImage::ImageRgb8(RgbImage::from_raw(w, h, kept)?)
        };
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).ok()?;
        Some(Self { width, height, png: png.into_inner() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::picture::decode;
    use crate::{ImageShape, Split};

    fn dataset(channels: usize) -> Dataset {
        let shape = ImageShape { height: 3, width: 5, channels };
        let split = |first: u8| Split {
            images: (first..).take(shape.n_values()).collect(),
            labels: vec![0],
            names: vec![],
        };
        Dataset::new("x", shape, 1, [split(0), split(100)], Path::new("x")).unwrap()
    }

    fn pixels(thumbnail: &Thumbnail) -> Vec<u8> {
        decode(&thumbnail.png, Path::new("x")).unwrap().into_bytes()
    }

    #[test]
    fn images_come_back_pixel_by_pixel() {
        let grey = Thumbnail::of(&dataset(1), Part::Test, 0, 5).unwrap();
        assert_eq!((grey.width, grey.height), (5, 3));
        assert_eq!(pixels(&grey), (100..115).collect::<Vec<u8>>());
        let color = Thumbnail::of(&dataset(3), Part::Train, 0, 100).unwrap();
        assert_eq!(pixels(&color), (0..45).collect::<Vec<u8>>());
        let two = Thumbnail::of(&dataset(2), Part::Train, 0, 100).unwrap();
        assert_eq!(pixels(&two), (0..30).step_by(2).collect::<Vec<u8>>());
        assert_eq!(Thumbnail::of(&dataset(1), Part::Test, 1, 5), None);
    }

    #[test]
    fn large_images_are_thinned_and_middles_are_cut_out() {
        let small = Thumbnail::of(&dataset(1), Part::Test, 0, 4).unwrap();
        assert_eq!((small.width, small.height), (3, 2));
        assert_eq!(pixels(&small), [100, 102, 104, 110, 112, 114]);
        let cropped = dataset(1).cropped(3, Path::new("x")).unwrap();
        let middle = Thumbnail::of(&cropped, Part::Test, 0, 9).unwrap();
        assert_eq!(pixels(&middle), [101, 102, 103, 106, 107, 108, 111, 112, 113]);
    }
}
