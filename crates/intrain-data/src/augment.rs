//! Random crop and flip of training images, between the data set and the batch.
//!
//! What happens to an image is a pure function of (seed, epoch, index of the image in the data set).

#![allow(clippy::cast_possible_truncation, reason = "the number of places is cast, and is bounded")]

use intrain_num::random::{Purpose, Stream};

use crate::{DataError, ImageShape};

/// What is done to training images; the default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Augment {
    /// Rows and columns of zeros put around an image, out of which the original size is cut at a random place; 0 is
    /// no crop. At most the smaller side of the image.
    pub pad: usize,
    /// Whether every second image, by chance, is mirrored left to right.
    pub flip: bool,
}

/// What was drawn for one image in one epoch: word `index` of the stream (seed, `Crop`, layer 0, step = epoch), cut to
/// `(2 pad + 1)^2` places, is `down * (2 pad + 1) + right`; the same word of `Flip`, cut to two, is `flip`.
///
/// The pixel `(y, x)` comes from `(y + down - pad, x + right - pad)` of the original; the row is mirrored after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Draw {
    down: usize,
    right: usize,
    flip: bool,
}

impl Augment {
    /// Checks the range of `pad`.
    ///
    /// # Errors
    /// `pad` is larger than the smaller side of the images.
    pub fn check(&self, shape: ImageShape) -> Result<(), DataError> {
        let limit = shape.height.min(shape.width);
        if self.pad > limit {
            let limit = format!("at most {limit}, the smaller side of the images");
            return Err(DataError::Setting { setting: "augment pad", value: self.pad.to_string(), limit });
        }
        Ok(())
    }

    /// Draws for image `index` in `epoch`.
    fn draw(&self, seed: u64, epoch: u64, index: u32) -> Draw {
        let element = u64::from(index);
        // Bound: pad is at most 4096, so the square of the span is below 2^27; a place has one number in it.
        let span = 2 * self.pad + 1;
        let place = Stream::new(seed, Purpose::Crop, 0, epoch).below(element, (span * span) as u32) as usize;
        let flip = self.flip && Stream::new(seed, Purpose::Flip, 0, epoch).below(element, 2) == 1;
        Draw { down: place / span, right: place % span, flip }
    }

    /// Appends the augmented `image`, `[height, width, channels]`, to `out`.
    pub(crate) fn append(
        &self,
        image: &[u8],
        shape: ImageShape,
        (seed, epoch, index): (u64, u64, u32),
        out: &mut Vec<u8>,
    ) {
        if *self == Self::default() {
            out.extend_from_slice(image);
            return;
        }
        let Draw { down, right, flip } = self.draw(seed, epoch, index);
        let ImageShape { height, width, channels } = shape;
        let start = out.len();
        out.resize(start + image.len(), 0);
        let out = &mut out[start..];
        // The rows and columns of the result that lie on the original, not on the zeros around it.
        let rows = self.pad.saturating_sub(down)..(height + self.pad - down).min(height);
        let columns = self.pad.saturating_sub(right)..(width + self.pad - right).min(width);
        for y in rows {
            let from = ((y + down - self.pad) * width + columns.start + right - self.pad) * channels;
            let to = (y * width + columns.start) * channels;
            let n_values = columns.len() * channels;
            out[to..to + n_values].copy_from_slice(&image[from..from + n_values]);
        }
        if flip {
            for row in out.chunks_exact_mut(width * channels) {
                mirror(row, channels);
            }
        }
    }
}

/// Turns the pixels of a row around, each keeping the order of its channels.
fn mirror(row: &mut [u8], channels: usize) {
    row.reverse();
    for pixel in row.chunks_exact_mut(channels) {
        pixel.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 5, width: 4, channels: 2 };

    /// The meaning, pixel by pixel.
    fn reference(image: &[u8], pad: usize, draw: Draw) -> Vec<u8> {
        let ImageShape { height, width, channels } = SHAPE;
        let mut out = vec![0; image.len()];
        for y in 0..height {
            for x in 0..width {
                let column = if draw.flip { width - 1 - x } else { x };
                let (from_y, from_x) =
                    ((y + draw.down).wrapping_sub(pad), (column + draw.right).wrapping_sub(pad));
                for c in 0..channels {
                    if from_y < height && from_x < width {
                        out[(y * width + x) * channels + c] = image[(from_y * width + from_x) * channels + c];
                    }
                }
            }
        }
        out
    }

    #[test]
    fn rows_are_copied_as_pixels_would_be() {
        let image: Vec<u8> = (1..=40).collect();
        let mut seen = std::collections::BTreeSet::new();
        for pad in 0..=4 {
            for flip in [false, true] {
                let augment = Augment { pad, flip };
                for index in 0..200 {
                    let mut out = vec![99];
                    augment.append(&image, SHAPE, (3, 1, index), &mut out);
                    let draw = augment.draw(3, 1, index);
                    assert_eq!(out[1..], reference(&image, pad, draw), "{augment:?} {draw:?}");
                    seen.insert((pad, draw.down, draw.right, draw.flip));
                }
            }
        }
        // With pad 1 all nine places come up, flipped and not.
        assert_eq!(seen.iter().filter(|s| s.0 == 1).count(), 18);
    }

    #[test]
    fn draws_differ_by_seed_epoch_and_image() {
        let augment = Augment { pad: 4, flip: true };
        let draws = |seed, epoch| (0..64).map(|i| augment.draw(seed, epoch, i)).collect::<Vec<_>>();
        assert_eq!(draws(1, 1), draws(1, 1));
        assert_ne!(draws(1, 1), draws(2, 1));
        assert_ne!(draws(1, 1), draws(1, 2));
        // Computed by a second program from the definition; a change here changes every augmented run.
        let places =
            (0..5).map(|i| augment.draw(1, 2, i)).map(|d| (d.down, d.right, d.flip)).collect::<Vec<_>>();
        assert_eq!(places, [(3, 0, true), (4, 1, false), (8, 2, false), (3, 5, true), (8, 8, true)]);
        let flips = (0..10_000).filter(|&i| augment.draw(0, 0, i).flip).count();
        assert!((4_800..5_200).contains(&flips), "{flips} of 10,000");
    }

    #[test]
    fn pad_has_a_limit() {
        assert!(Augment { pad: 4, flip: false }.check(SHAPE).is_ok());
        let message = Augment { pad: 5, flip: false }.check(SHAPE).unwrap_err().to_string();
        assert_eq!(message, "augment pad is 5, but must be at most 4, the smaller side of the images");
    }
}
