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

/// What was drawn for one image in one epoch: word `index` of the stream (seed, `Crop`, layer 0, step = epoch), cut to as
/// many places as the result has in the padded image, is `down * (places in a row) + right`; the same word of `Flip`, cut
/// to two, is `flip`.
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

    /// Draws for image `index` in `epoch`, where a result of the second size is cut of an image of the first.
    fn draw(&self, [from, to]: [ImageShape; 2], (seed, epoch, index): (u64, u64, u32)) -> Draw {
        let element = u64::from(index);
        // Bound: pad and sides are at most 4096, so there are below 2^28 places; a place has one number in it.
        let rows = from.height + 2 * self.pad - to.height + 1;
        let columns = from.width + 2 * self.pad - to.width + 1;
        let places = (rows * columns) as u32;
        let place = Stream::new(seed, Purpose::Crop, 0, epoch).below(element, places) as usize;
        let flip = self.flip && Stream::new(seed, Purpose::Flip, 0, epoch).below(element, 2) == 1;
        Draw { down: place / columns, right: place % columns, flip }
    }

    /// Appends the augmented `image`, of the first shape, to `out`, in the second shape.
    pub(crate) fn append(
        &self,
        image: &[u8],
        shapes: [ImageShape; 2],
        draw: (u64, u64, u32),
        out: &mut Vec<u8>,
    ) {
        let [from, to] = shapes;
        if *self == Self::default() && from == to {
            out.extend_from_slice(image);
            return;
        }
        let Draw { down, right, flip } = self.draw(shapes, draw);
        let start = out.len();
        out.resize(start + to.n_values(), 0);
        let out = &mut out[start..];
        cut(image, from, [down, right], self.pad, out, to);
        if flip {
            for row in out.chunks_exact_mut(to.width * to.channels) {
                mirror(row, to.channels);
            }
        }
    }
}

/// Cuts the middle of an image, of the first shape, and appends it to `out`, in the second.
pub(crate) fn append_middle(image: &[u8], [from, to]: [ImageShape; 2], out: &mut Vec<u8>) {
    if from == to {
        out.extend_from_slice(image);
        return;
    }
    let start = out.len();
    out.resize(start + to.n_values(), 0);
    let place = [(from.height - to.height) / 2, (from.width - to.width) / 2];
    cut(image, from, place, 0, &mut out[start..], to);
}

/// Writes the part of an image with `pad` zeros around that begins at a place; what lies on zeros is left alone.
fn cut(
    image: &[u8],
    from: ImageShape,
    [down, right]: [usize; 2],
    pad: usize,
    out: &mut [u8],
    to: ImageShape,
) {
    let channels = to.channels;
    let rows = pad.saturating_sub(down)..(from.height + pad - down).min(to.height);
    let columns = pad.saturating_sub(right)..(from.width + pad - right).min(to.width);
    let n_values = columns.len() * channels;
    for y in rows {
        let first = ((y + down - pad) * from.width + columns.start + right - pad) * channels;
        let start = (y * to.width + columns.start) * channels;
        out[start..start + n_values].copy_from_slice(&image[first..first + n_values]);
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
                    augment.append(&image, [SHAPE; 2], (3, 1, index), &mut out);
                    let draw = augment.draw([SHAPE; 2], (3, 1, index));
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
        let draws =
            |seed, epoch| (0..64).map(|i| augment.draw([SHAPE; 2], (seed, epoch, i))).collect::<Vec<_>>();
        assert_eq!(draws(1, 1), draws(1, 1));
        assert_ne!(draws(1, 1), draws(2, 1));
        assert_ne!(draws(1, 1), draws(1, 2));
        // Computed by a second program from the definition; a change here changes every augmented run.
        let places = (0..5)
            .map(|i| augment.draw([SHAPE; 2], (1, 2, i)))
            .map(|d| (d.down, d.right, d.flip))
            .collect::<Vec<_>>();
        assert_eq!(places, [(3, 0, true), (4, 1, false), (8, 2, false), (3, 5, true), (8, 8, true)]);
        let flips = (0..10_000).filter(|&i| augment.draw([SHAPE; 2], (0, 0, i)).flip).count();
        assert!((4_800..5_200).contains(&flips), "{flips} of 10,000");
    }

    #[test]
    fn squares_are_cut_at_random_or_from_the_middle() {
        let (from, to) = (SHAPE, ImageShape { height: 3, width: 2, channels: 2 });
        let image: Vec<u8> = (0..40).collect();
        let mut middle = vec![];
        append_middle(&image, [from, to], &mut middle);
        assert_eq!(middle, [10, 11, 12, 13, 18, 19, 20, 21, 26, 27, 28, 29]);
        let mut corners = std::collections::BTreeSet::new();
        for index in 0..200 {
            let mut out = vec![];
            Augment::default().append(&image, [from, to], (1, 0, index), &mut out);
            let first = usize::from(out[0]);
            let rows: Vec<u8> = (0..3).flat_map(|y| image[first + 8 * y..][..4].to_vec()).collect();
            assert_eq!(out, rows);
            corners.insert(first);
        }
        assert_eq!(corners.len(), 9, "three places down, three to the right");
    }

    #[test]
    fn pad_has_a_limit() {
        assert!(Augment { pad: 4, flip: false }.check(SHAPE).is_ok());
        let message = Augment { pad: 5, flip: false }.check(SHAPE).unwrap_err().to_string();
        assert_eq!(message, "augment pad is 5, but must be at most 4, the smaller side of the images");
    }
}
