//! AVX2: `vpmaddwd` multiplies 2 by 2 words and adds them in 32 bits; the tile widens its sums at the end.
//!
//! Bound: a tile takes no more than a limb's `flush_steps`, so its 32-bit sums cannot overflow.

use super::{Args, Store};
use crate::pack::{COLUMNS, Line, PackedI16};
use crate::product::tile::{self, Tile, Tiles, tiles};
use core::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_si128,
    _mm256_cvtepi32_epi64, _mm256_extracti128_si256, _mm256_load_si256, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sll_epi64, _mm256_storeu_si256,
};

/// Five rows of 16 columns: 10 sums, 2 halves of B, a group of A and a product.
static TILES: Tiles<PackedI16> = [tiles!(tile, 1, 1 2 3 4 5), tiles!(tile, 2, 1 2 3 4 5)];

/// # Safety
/// As [`crate::product::Run`] says.
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tile::run(args, &TILES, usize::MAX) }
}

/// # Safety
/// As [`tile::TileFn`] says.
#[target_feature(enable = "avx2")]
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI16>) {
    let Tile { a, rows, steps, b, start, shift, c, c_stride, store } = tile;
    let shift = _mm_cvtsi32_si128(shift.cast_signed());
    for line in 0..WIDTH {
        // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
        let sums = unsafe { sums::<ROWS, WIDTH>(a.as_ptr(), rows, steps, b.as_ptr().add(line)) };
        for (row, sums) in sums.into_iter().enumerate() {
            for (half, sum) in sums.into_iter().enumerate() {
                let quarters = [_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum)];
                for (quarter, sum) in quarters.into_iter().enumerate() {
                    let column = line * COLUMNS + half * 8 + quarter * 4;
                    let mut sum = _mm256_sll_epi64(_mm256_cvtepi32_epi64(sum), shift);
                    // SAFETY: C holds `16 * WIDTH` columns of each of the tile's rows, `start` as many.
                    unsafe {
                        let to = c.as_mut_ptr().add(row * c_stride + column);
                        sum = _mm256_add_epi64(sum, _mm256_loadu_si256(start.as_ptr().add(column).cast()));
                        if store == Store::Add {
                            sum = _mm256_add_epi64(sum, _mm256_loadu_si256(to.cast()));
                        }
                        _mm256_storeu_si256(to.cast(), sum);
                    }
                }
            }
        }
    }
}

/// Sums of `ROWS` rows by 16 columns.
///
/// # Safety
/// `a` may be read for 2 words at each row plus step; `b` holds a line every `WIDTH` lines, for each step.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const ROWS: usize, const WIDTH: usize>(
    a: *const i16,
    rows: &[u32],
    steps: &[u32],
    b: *const Line,
) -> [[__m256i; 2]; ROWS] {
    let mut starts = [a; ROWS];
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    for (start, &row) in starts.iter_mut().zip(rows) {
        // SAFETY: the row starts inside A.
        *start = unsafe { a.add(row as usize) };
    }
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (s, &step) in steps.iter().enumerate() {
        // SAFETY: the line exists and is aligned to 64 bytes.
        let lines = unsafe {
            let line = b.add(s * WIDTH).cast::<__m256i>();
            [_mm256_load_si256(line), _mm256_load_si256(line.add(1))]
        };
        for row in 0..ROWS {
            // SAFETY: the 2 words of this row and step lie inside A.
            let group = unsafe { starts[row].add(step as usize).cast::<i32>().read_unaligned() };
            let group = _mm256_set1_epi32(group);
            for half in 0..2 {
                sums[row][half] = _mm256_add_epi32(sums[row][half], _mm256_madd_epi16(group, lines[half]));
            }
        }
    }
    sums
}
