//! The transpose of a small square block, in loops that compilers turn into vector shuffles.
//!
//! Staging (pixels to planes) and packing (rows of weights to columns) are made of it.

/// Side of a block: what fits in registers.
pub(crate) const BLOCK: usize = 16;

/// `[j][i]` from `[i][j]`: four perfect shuffles of the rows, which are four layers of vector unpacks.
#[inline(always)]
pub(crate) fn transposed<T: Copy>(block: [[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    shuffled(shuffled(shuffled(shuffled(block))))
}

/// Rows `i` and `i + 8` interleaved into rows `2 i` and `2 i + 1`.
#[inline(always)]
fn shuffled<T: Copy>(block: [[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    const HALF: usize = BLOCK / 2;
    let mut next = block;
    for i in 0..HALF {
        let pair = [block[i], block[i + HALF]];
        next[2 * i] = std::array::from_fn(|j| pair[j % 2][j / 2]);
        next[2 * i + 1] = std::array::from_fn(|j| pair[j % 2][HALF + j / 2]);
    }
    next
}
