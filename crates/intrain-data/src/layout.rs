//! The order in which an array of images lies in a file, and its pixels in the order of this crate.

use crate::npy::Order;

/// Which dimension of an array of images is which, behind the first, which counts images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axes {
    /// `[n, height, width, channels]`
    ChannelsLast,
    /// `[n, channels, height, width]`
    ChannelsFirst,
}

impl Axes {
    /// Whether channels seem to come first: as many as grey, colour or transparent images have, in front of a last
    /// dimension of more. Images of 1, 3 or 4 rows and many channels look the same.
    pub(crate) fn seem_channels_first(shape: &[usize]) -> bool {
        matches!(*shape, [_, 1 | 3 | 4, _, last] if last > 4)
    }
}

/// An array `[n, height, width, channels]` of bytes that may lie in another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Sizes: n, height, width, channels.
    pub(crate) sizes: [usize; 4],
    /// How many values apart neighbours lie, along each of these dimensions.
    strides: [usize; 4],
}

impl Layout {
    /// Of an array of this shape: `[n, features]` as images of one row, `[n, height, width]`, or four dimensions by `axes`;
    /// `None` for any other rank.
    pub(crate) fn new(shape: &[usize], contiguous: Order, axes: Axes) -> Option<Self> {
        let strides = strides(shape, contiguous);
        match (shape, &strides[..]) {
            (&[n, width], &[a, b]) => Some(Self { sizes: [n, 1, width, 1], strides: [a, a, b, 1] }),
            (&[n, height, width], &[a, b, c]) => {
                Some(Self { sizes: [n, height, width, 1], strides: [a, b, c, 1] })
            }
            (&[a, b, c, d], &[of_a, of_b, of_c, of_d]) => Some(match axes {
                Axes::ChannelsLast => Self { sizes: [a, b, c, d], strides: [of_a, of_b, of_c, of_d] },
                Axes::ChannelsFirst => Self { sizes: [a, c, d, b], strides: [of_a, of_c, of_d, of_b] },
            }),
            _ => None,
        }
    }

    /// Which value of its image lies at a place of the file.
    ///
    /// # Panics
    /// A size is zero.
    pub(crate) fn value_at(&self, place: usize) -> usize {
        let [_, height, width, channels] = self.sizes;
        let [_, of_row, of_column, of_channel] = self.strides;
        let index = |stride: usize, size: usize| place / stride % size;
        (index(of_row, height) * width + index(of_column, width)) * channels + index(of_channel, channels)
    }

    /// The pixels image by image, row by row, channels last.
    ///
    /// # Panics
    /// There are not as many of them as the product of the sizes.
    pub(crate) fn in_order(&self, pixels: Vec<u8>) -> Vec<u8> {
        /// Images whose pixels are gathered together, so that what they are read from stays in cache.
        const BLOCK: usize = 64;
        let [n, height, width, channels] = self.sizes;
        let n_values = height * width * channels;
        assert_eq!(pixels.len(), n * n_values, "{self:?}");
        if self.strides == [n_values, width * channels, channels, 1] || pixels.is_empty() {
            return pixels;
        }
        let [of_image, of_row, of_column, of_channel] = self.strides;
        let mut ordered = vec![0; pixels.len()];
        for (block, images) in ordered.chunks_mut(BLOCK * n_values).enumerate() {
            for value in 0..n_values {
                let (row, column, channel) =
                    (value / channels / width, value / channels % width, value % channels);
                let first =
                    block * BLOCK * of_image + row * of_row + column * of_column + channel * of_channel;
                for (i, image) in images.chunks_exact_mut(n_values).enumerate() {
                    image[value] = pixels[first + i * of_image];
                }
            }
        }
        ordered
    }
}

/// How many values apart neighbours lie, along each dimension of an array without gaps.
///
/// Sizes that are more than can be addressed give nonsense, and no panic.
fn strides(shape: &[usize], contiguous: Order) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1_usize;
    let mut set = |dimension: usize| {
        strides[dimension] = stride;
        stride = stride.saturating_mul(shape[dimension]);
    };
    match contiguous {
        Order::C => (0..shape.len()).rev().for_each(&mut set),
        Order::Fortran => (0..shape.len()).for_each(&mut set),
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each value of `[n, height, width, channels]` lies, found by counting through the file.
    fn counted(sizes: [usize; 4], fastest_last: [usize; 4]) -> Vec<u8> {
        let [n, height, width, channels] = sizes;
        let n_values = n * height * width * channels;
        let place = |dims: [usize; 4]| {
            let [i, y, x, c] = dims;
            ((i * height + y) * width + x) * channels + c
        };
        let mut file = vec![0; n_values];
        for (at, value) in file.iter_mut().enumerate() {
            let (mut rest, mut dims) = (at, [0; 4]);
            for dimension in fastest_last.into_iter().rev() {
                dims[dimension] = rest % sizes[dimension];
                rest /= sizes[dimension];
            }
            *value = u8::try_from(place(dims) % 251).unwrap();
        }
        file
    }

    #[test]
    fn pixels_come_in_order_from_any_order_of_the_file() {
        use Axes::{ChannelsFirst, ChannelsLast};
        // More images than are gathered together.
        let (sizes, planes) = ([131, 2, 3, 2], [131, 2, 2, 3]);
        let ordered = counted(sizes, [0, 1, 2, 3]);
        assert_eq!(Layout::new(&sizes, Order::C, ChannelsLast).unwrap().in_order(ordered.clone()), ordered);
        for (shape, order, axes, fastest_last) in [
            (&sizes, Order::Fortran, ChannelsLast, [3, 2, 1, 0]),
            (&planes, Order::C, ChannelsFirst, [0, 3, 1, 2]),
            (&planes, Order::Fortran, ChannelsFirst, [2, 1, 3, 0]),
        ] {
            let file = counted(sizes, fastest_last);
            assert_ne!(file, ordered);
            let layout = Layout::new(shape, order, axes).unwrap();
            assert_eq!((layout.sizes, layout.in_order(file.clone())), (sizes, ordered.clone()));
            for (at, pixel) in file.into_iter().enumerate() {
                let image = at / layout.strides[0] % 131;
                assert_eq!((image * 12 + layout.value_at(at)) % 251, usize::from(pixel), "{order:?} {at}");
            }
        }
        let grey = Layout::new(&[3, 1, 2], Order::Fortran, ChannelsFirst).unwrap();
        assert_eq!(
            (grey.sizes, grey.in_order(vec![0, 1, 2, 3, 4, 5])),
            ([3, 1, 2, 1], vec![0, 3, 1, 4, 2, 5])
        );
    }

    #[test]
    fn features_are_images_of_one_row() {
        for (order, file, values) in [
            (Order::C, vec![0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2]),
            (Order::Fortran, vec![0, 3, 1, 4, 2, 5], [0, 0, 1, 1, 2, 2]),
        ] {
            let layout = Layout::new(&[2, 3], order, Axes::ChannelsLast).unwrap();
            assert_eq!(layout.sizes, [2, 1, 3, 1]);
            assert_eq!(std::array::from_fn(|at| layout.value_at(at)), values);
            assert_eq!(layout.in_order(file), [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn other_ranks_are_none_and_sizes_without_end_no_panic() {
        assert_eq!(Layout::new(&[2], Order::C, Axes::ChannelsLast), None);
        assert_eq!(Layout::new(&[1; 5], Order::Fortran, Axes::ChannelsLast), None);
        assert!(Layout::new(&[0, 1 << 40, 1 << 40, 1 << 40], Order::C, Axes::ChannelsLast).is_some());
    }

    #[test]
    fn channels_seem_to_come_first_where_they_are_few() {
        for (shape, seem) in [
            (&[10, 3, 32, 32][..], true),
            (&[10, 1, 28, 28], true),
            (&[10, 4, 8, 5], true),
            (&[10, 32, 32, 3], false),
            (&[10, 3, 3, 3], false),
            (&[10, 2, 32, 32], false),
            (&[10, 3, 32], false),
        ] {
            assert_eq!(Axes::seem_channels_first(shape), seem, "{shape:?}");
        }
    }
}
