//! Parts of a result on all threads.

use rayon::prelude::*;

/// `f` of each row and column, on all threads.
pub(super) fn fill(m: usize, n: usize, f: impl Fn(usize, usize) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    each_part(&mut out, n, 16, |i, j, out| (j..).zip(out).for_each(|(j, y)| *y = f(i, j)));
    out
}

/// Calls `f` with parts of rows of `n`, each with its row and its first column, on all threads.
pub(super) fn each_part(out: &mut [f32], n: usize, part: usize, f: impl Fn(usize, usize, &mut [f32]) + Sync) {
    out.par_chunks_mut(n.max(1)).enumerate().for_each(|(i, row)| {
        row.par_chunks_mut(part).enumerate().for_each(|(j, out)| f(i, j * part, out));
    });
}

/// The least `n` with `x <= 2^n`.
pub(super) fn log2_up(x: usize) -> u32 {
    x.checked_next_power_of_two().map_or(usize::BITS, usize::ilog2)
}
