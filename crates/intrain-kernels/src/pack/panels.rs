//! The layout of a packed B, which packing writes and tiles read.
//!
//! ```text
//! n = 40:  panel 0, columns 0..32, 2 lines a step      panel 1, columns 32..48, 1 line a step
//!          step 0: [c0..c16][c16..c32] step 1: ...     step 0: [c32..c48] step 1: ...
//! ```

/// Columns of a line.
pub const COLUMNS: usize = 16;

/// Columns of a panel, two lines.
pub const PANEL: usize = 2 * COLUMNS;

/// Sixteen columns of one step: one cache line, one AVX-512 register.
///
/// A column's 32 bits hold its 4 bytes or 2 words, lane 0 lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u32; COLUMNS]);

/// One addend of B: `B = sum over limbs of lines * 2^shift`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limb {
    /// Weight of the limb, a power of two.
    pub shift: u32,
    /// Bound: sums over this many steps fit in 32 bits; then they must be flushed.
    pub flush_steps: usize,
    /// The lines, panel after panel.
    pub lines: Vec<Line>,
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
#[cfg(target_arch = "x86_64")]
pub(crate) fn panels(n: usize) -> impl Iterator<Item = Panel> {
    let n_lines = n.div_ceil(COLUMNS);
    (0..n_lines).step_by(2).map(move |line| Panel { column: line * COLUMNS, width: (n_lines - line).min(2) })
}

/// Where a line of 16 columns lies: line `line` of step `step`, in a B of `n` columns and `n_steps` steps.
#[inline(always)]
pub(crate) fn line_index(n: usize, n_steps: usize, step: usize, line: usize) -> usize {
    let first = line & !1;
    let width = (n.div_ceil(COLUMNS) - first).min(2);
    Panel { column: first * COLUMNS, width }.first_line(n_steps) + step * width + line - first
}

impl Limb {
    /// The 32 bits of a column of `n` at a step of `n_steps`.
    pub(crate) fn column(&self, n: usize, n_steps: usize, step: usize, column: usize) -> u32 {
        assert!(step < n_steps && column < n, "({step}, {column}) is outside of [{n_steps}, {n}]");
        self.lines[line_index(n, n_steps, step, column / COLUMNS)].0[column % COLUMNS]
    }
}
