//! Channels-last images with zeros around them and, for the error of a strided convolution, between their pixels.

use super::{Code, SLACK, stage_run};

/// The shape of a staged image, `[height][width][c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsLayout {
    /// Rows of the source image, at least 1.
    pub h: usize,
    /// Pixels of a source row, at least 1.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Rows of zeros above.
    pub top: usize,
    /// Pixels of zeros before each row.
    pub left: usize,
    /// Rows of zeros below.
    pub bottom: usize,
    /// Pixels of zeros behind each row.
    pub right: usize,
    /// Distance of two source pixels in the staged image, down and along, at least 1; zeros between them.
    pub distance: [usize; 2],
}

impl RowsLayout {
    /// Rows of the staged image.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height_of_rows() + self.top + self.bottom
    }

    /// From the first staged row that came from the source to behind the last.
    pub(super) const fn height_of_rows(&self) -> usize {
        (self.h - 1) * self.distance[0] + 1
    }

    /// Pixels of a staged row.
    #[must_use]
    pub const fn width(&self) -> usize {
        (self.w - 1) * self.distance[1] + 1 + self.left + self.right
    }

    /// Elements of a staged image.
    #[must_use]
    pub const fn image_len(&self) -> usize {
        self.height() * self.width() * self.c
    }

    /// Elements of a buffer for consecutive staged images, slack included.
    #[must_use]
    pub const fn buffer_len(&self, images: usize) -> usize {
        self.image_len() * images + SLACK
    }
}

/// Stages one image, `src` `[h][w][c]`, into the first [`RowsLayout::image_len`] elements of `dst`, 0 as `zero`.
///
/// # Panics
/// If a slice is too short.
pub fn stage_rows<P: Code>(src: &[P], layout: &RowsLayout, dst: &mut [P::Staged], zero: P::Staged) {
    let (width, c) = (layout.width(), layout.c);
    let (src, dst) = (&src[..layout.h * layout.w * c], &mut dst[..layout.image_len()]);
    if c == 0 {
        return;
    }
    let (above, rest) = dst.split_at_mut(layout.top * width * c);
    above.fill(zero);
    let mut from_rows = src.chunks_exact(layout.w * c);
    for (y, to) in rest.chunks_exact_mut(width * c).enumerate() {
        let from = if y.is_multiple_of(layout.distance[0]) { from_rows.next() } else { None };
        let Some(from) = from else {
            to.fill(zero);
            continue;
        };
        let (before, to) = to.split_at_mut(layout.left * c);
        let (pixels, behind) = to.split_at_mut(to.len() - layout.right * c);
        before.fill(zero);
        behind.fill(zero);
        if layout.distance[1] == 1 {
            stage_run(from, pixels, zero);
        } else {
            for (to, from) in pixels.chunks_mut(layout.distance[1] * c).zip(from.chunks_exact(c)) {
                let (pixel, between) = to.split_at_mut(c);
                stage_run(from, pixel, zero);
                between.fill(zero);
            }
        }
    }
}
