//! The layout of a packed B, which packing writes and tiles read.
//!
//! ```text
//! n = 40:  panel 0, columns 0..32, 2 lines a step      panel 1, columns 32..48, 1 line a step
//!          step 0: [c0..c16][c16..c32] step 1: ...     step 0: [c32..c48] step 1: ...
//! ```
//! A line is 64 bytes: 16 columns of one step, each with its 4 bytes or 2 words.

/// Columns of a line.
pub const COLUMNS: usize = 16;

/// Sixteen columns of one step: `N = 16 * LANES` values, column by column; one cache line, one AVX-512 register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line<T, const N: usize>(pub [T; N]);

/// A line of bytes: 16 columns of 4.
pub type LineI8 = Line<i8, 64>;
/// A line of words: 16 columns of 2.
pub type LineI16 = Line<i16, 32>;

impl<T: Copy + Default, const N: usize> Default for Line<T, N> {
    fn default() -> Self {
        Self([T::default(); N])
    }
}

/// One addend of B: `B = sum over limbs of lines * 2^shift`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limb<L> {
    /// Weight of the limb, a power of two.
    pub shift: u32,
    /// Bound: sums over this many steps fit in 32 bits; then they must be flushed.
    pub flush_steps: usize,
    /// The lines, panel after panel.
    pub lines: Vec<L>,
}

/// Two lines a step, or one where only 1 to 16 columns are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// The first column.
    pub(crate) column: usize,
    /// Lines of a step: 1 or 2.
    pub(crate) width: usize,
}

impl Panel {
    /// Index of the first line: the panels before this one hold one line for each 16 columns and step.
    pub(crate) const fn first_line(self, n_steps: usize) -> usize {
        self.column / COLUMNS * n_steps
    }
}

/// The panels of `n` columns.
pub(crate) fn panels(n: usize) -> impl Iterator<Item = Panel> {
    let n_lines = n.div_ceil(COLUMNS);
    (0..n_lines).step_by(2).map(move |line| Panel { column: line * COLUMNS, width: (n_lines - line).min(2) })
}

/// Where `(step, column)` lies: the line and the place of its first lane in it.
pub(crate) fn locate(n: usize, n_steps: usize, step: usize, column: usize, lanes: usize) -> (usize, usize) {
    let panel = panels(n).nth(column / (2 * COLUMNS)).expect("the column is below n");
    let in_panel = column - panel.column;
    let line = panel.first_line(n_steps) + step * panel.width + in_panel / COLUMNS;
    (line, in_panel % COLUMNS * lanes)
}
