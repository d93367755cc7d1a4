//! The implicit product by two address tables, which every linear and convolutional product is:
//!
//! ```text
//! C[m][n] = init[n] + (C[m][n] if Add) + sum over steps s, lanes i of A[rows[m] + steps[s] + i] * B[s][n][i]
//! ```
//! A is never rearranged into a matrix: `rows` says where each row starts, `steps` where each step of depth lies.
//! `dot_i8`, `dot_i16` and `dot_f32` are this with bytes, words and floats; in `dot_signs` a lane is four codes. Invariant: no read leaves A, no write leaves C.

#[cfg(test)]
pub(crate) mod tests;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_avx512vnni;

use std::ops::Range;

use crate::isa::{Isa, Kernel, choose};
use crate::pack::{Limb, Line, PANEL};

/// What to do with what C holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Overwrite.
    Set,
    /// Add to it.
    Add,
}

/// Fewer rows at a time would read B too often.
pub(crate) const LEAST_ROWS: usize = 48;

/// A packed B, and with it the types of the product.
pub trait Packed {
    /// An element of A.
    type Left: Copy;
    /// An element of C.
    type Sum: Copy + Default;
    /// Consecutive elements of A that a step takes: together 4 bytes.
    const LANES: usize;

    /// Columns.
    fn n(&self) -> usize;
    /// Steps of depth, at least 1.
    fn n_steps(&self) -> usize;
    /// Parts of equal length that the steps fall into: a product may take a few of them only.
    fn segments(&self) -> usize;
    /// Whether A holds what B was packed for; checked in builds with debug assertions.
    fn accepts(&self, _a: &[Self::Left]) -> bool {
        true
    }
}

/// A B in lines of 16 columns, which the register tiles of `product/tile.rs` multiply.
pub trait Lined: Packed {
    /// What changes no sum that it is added to.
    const NEUTRAL: Self::Sum;

    /// The addends of B.
    fn limbs(&self) -> &[Limb];
    /// Rows of A that pass by a slice of B, at least: the more, the less often it is read.
    fn least_rows(&self) -> usize {
        LEAST_ROWS
    }
    /// Some lines of a limb as kernels multiply them; `room` is for those that are kept in fewer bits.
    fn lines<'a>(&'a self, limb: &'a Limb, range: Range<usize>, _room: &'a mut Vec<Line>) -> &'a [Line] {
        &limb.lines[range]
    }
    /// What the sums of a panel's columns, from number `first` on, start from when they go over these segments: `init`
    /// and whatever corrects A's bias; 0 for absent columns.
    fn start(&self, init: Option<&[Self::Sum]>, first: usize, segments: Range<usize>) -> [Self::Sum; PANEL];
}

/// Operands of one product of `rows.len()` rows and `b.n()` columns.
#[derive(Debug)]
pub struct Args<'a, B: Packed> {
    /// A, flat; in the byte product each is its code plus the zero of [`crate::pack::Left`].
    pub a: &'a [B::Left],
    /// Where each row of C starts in A, in elements.
    pub rows: &'a [u32],
    /// Offset of each step of depth, in elements; as many as the segments have.
    pub steps: &'a [u32],
    /// The segments of B's steps that are summed; the others would add nothing.
    pub segments: Range<usize>,
    /// B, packed.
    pub b: &'a B,
    /// C, `[rows.len()][c_stride]`; columns from `n` on are left alone.
    pub c: &'a mut [B::Sum],
    /// Distance of two rows of C, at least `n`.
    pub c_stride: usize,
    /// Added to each column, length `n`; `None` is zeros.
    pub init: Option<&'a [B::Sum]>,
    /// Whether C is overwritten or added to.
    pub store: Store,
}

/// A kernel of a product.
///
/// # Safety
/// The CPU has the kernel's instruction set, and the arguments have passed `Args::check`.
pub type Run<B> = unsafe fn(Args<'_, B>);

/// Checks, chooses and runs: the one entry of all products.
///
/// # Panics
/// If the CPU lacks `isa`, or sizes and addresses do not fit.
pub(crate) fn dispatch<B: Packed>(kernels: &[Kernel<Run<B>>], isa: Isa, args: Args<'_, B>) {
    let kernel = choose(kernels, isa);
    args.check();
    // SAFETY: `choose` has found the CPU's features, `check` has proven sizes and bounds.
    unsafe { (kernel.run)(args) }
}

impl<B: Packed> Args<'_, B> {
    fn check(&self) {
        let (n, n_steps) = (self.b.n(), self.b.n_steps());
        assert!(n > 0 && n_steps > 0, "a product needs a column and a step");
        let Range { start, end } = self.segments;
        assert!(start < end && end <= self.b.segments(), "segments {start}..{end} of {}", self.b.segments());
        let n_steps = n_steps / self.b.segments() * (end - start);
        assert_eq!(self.steps.len(), n_steps, "the offsets of the steps must be as many as B's steps");
        assert!(self.c_stride >= n, "a C stride of {} for {n} columns", self.c_stride);
        let last_row = self.rows.len().saturating_sub(1);
        let c_len = last_row.checked_mul(self.c_stride).and_then(|start| start.checked_add(n));
        let c_len = c_len.expect("the size of C overflows");
        assert!(self.c.len() >= c_len, "C holds {} of {c_len}", self.c.len());
        assert!(self.init.is_none_or(|init| init.len() == n), "init must hold {n} columns");
        if let (Some(&row), Some(&step)) = (self.rows.iter().max(), self.steps.iter().max()) {
            let end = row as usize + step as usize + B::LANES;
            assert!(end <= self.a.len(), "the tables reach {end} of {} elements of A", self.a.len());
        }
        debug_assert!(self.b.accepts(self.a), "A exceeds the bound that B was packed for");
    }
}
