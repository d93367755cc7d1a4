//! B of every product, in the order in which the kernels read it: panels of 32 columns, step after step.
//!
//! Runs before a product: over weights once a step, over errors once a gradient. Which values become lanes is said
//! by a table of offsets, so a convolution's weights, their mirror image and an error image all pack the same way.
//! Invariant: absent columns and absent lanes are zero, so whatever A holds there does not count. Signs have no zero: they have no absent
//! lanes, and products leave what they sum in absent columns.

mod bytes;
mod fill;
mod floats;
mod narrow;
mod panels;
mod signs;
#[cfg(test)]
mod tests;
mod words;

pub use bytes::{Left, PackedI8, pack_i8, pack_i8_into};
pub use floats::{PackedF32, pack_f32_into};
pub use panels::{COLUMNS, Limb, Line, PANEL};
#[cfg(target_arch = "x86_64")]
pub(crate) use panels::{Panel, panels};
pub use signs::{PackedSigns, pack_signs_into, quads_of_signs};
pub use words::{PackedI16, pack_i16, pack_i16_into};

/// A lane of a pack table that holds zero whatever the column.
pub const ZERO_LANE: u32 = u32::MAX;

/// Where the values of B lie: `value(step, column, lane) = values[column * n_stride + table[LANES * step + lane]]`.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// The codes, in any order.
    pub values: &'a [T],
    /// Columns of B.
    pub n: usize,
    /// Distance of two columns; 1 where columns are contiguous.
    pub n_stride: usize,
    /// Offset of each lane of each step, length `LANES * n_steps`; [`ZERO_LANE`] is an absent lane.
    pub table: &'a [u32],
    /// Parts of equal length that the steps fall into, of which a product may leave some out; at least 1.
    pub segments: usize,
}

impl<'a, T> Source<'a, T> {
    /// A few of the columns.
    ///
    /// # Panics
    /// If they are not columns of B.
    #[must_use]
    pub fn columns(&self, columns: std::ops::Range<usize>) -> Self {
        assert!(columns.end <= self.n, "columns {columns:?} of {}", self.n);
        Self { values: &self.values[columns.start * self.n_stride..], n: columns.len(), ..*self }
    }

    /// The values that become lanes, in runs; others may be among them.
    fn runs(&self) -> impl Iterator<Item = &'a [T]> {
        let Self { values, n, n_stride, table, .. } = *self;
        let mut present = table.iter().filter(|lane| **lane != ZERO_LANE).map(|&lane| lane as usize);
        let whole = if n_stride == 1 {
            None
        } else {
            let end = present.by_ref().max();
            end.map(|end| &values[..=end + (n - 1) * n_stride])
        };
        present.map(move |lane| &values[lane..][..n]).chain(whole)
    }

    /// Steps of depth, checked.
    ///
    /// # Panics
    /// If there is no column or no step, or a lane lies outside `values`.
    fn n_steps(&self, lanes: usize) -> usize {
        let Self { values, n, n_stride, table, segments } = *self;
        assert!(n > 0 && !table.is_empty(), "B needs at least a column and a step, has {n} columns");
        assert!(
            table.len().is_multiple_of(lanes),
            "a pack table of {} is no multiple of {lanes}",
            table.len()
        );
        // The lane that wraps to 0 is ZERO_LANE, so the greatest of all is the end of the last present one.
        let end = table.iter().map(|&lane| lane.wrapping_add(1)).max().map_or(0, |end| end as usize);
        assert!(
            end == 0 || end + (n - 1) * n_stride <= values.len(),
            "the pack table reaches {} of {} values",
            end + (n - 1) * n_stride,
            values.len()
        );
        let n_steps = table.len() / lanes;
        assert!(
            segments > 0 && n_steps.is_multiple_of(segments),
            "{n_steps} steps do not fall into {segments} segments"
        );
        n_steps
    }
}
