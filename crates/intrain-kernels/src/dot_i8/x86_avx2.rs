//! AVX2: even and odd bytes widened to words, then `vpmaddwd`.
//!
//! Exact: no `vpmaddubsw`, so no 16-bit saturation; `2 * 255 * 128` fits in 32 bits.

use super::{Args, Store};
use crate::pack::{COLUMNS, Line, PackedI8};
use crate::product::tile::{self, Tile, Tiles, tiles};
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_load_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi16, _mm256_srai_epi16,
    _mm256_srli_epi16, _mm256_storeu_si256,
};

/// Four rows of 16 columns: 8 sums, and 4 halves of B stay in registers.
static TILES: Tiles<PackedI8> = [tiles!(tile, 1, 1 2 3 4), tiles!(tile, 2, 1 2 3 4)];

/// # Safety
/// As [`crate::product::Run`] says.
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tile::run(args, &TILES) }
}

/// # Safety
/// As [`tile::TileFn`] says.
#[target_feature(enable = "avx2")]
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI8>) {
    let Tile { a, rows, steps, b, start, c, c_stride, store, .. } = tile;
    for line in 0..WIDTH {
        // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
        let sums = unsafe { sums::<ROWS, WIDTH>(a.as_ptr(), rows, steps, b.as_ptr().add(line)) };
        for (row, sums) in sums.into_iter().enumerate() {
            for (half, sum) in sums.into_iter().enumerate() {
                let column = line * COLUMNS + half * 8;
                // SAFETY: C holds `16 * WIDTH` columns of each of the tile's rows, `start` as many.
                unsafe {
                    let to = c.as_mut_ptr().add(row * c_stride + column);
                    let mut sum =
                        _mm256_add_epi32(sum, _mm256_loadu_si256(start.as_ptr().add(column).cast()));
                    if store == Store::Add {
                        sum = _mm256_add_epi32(sum, _mm256_loadu_si256(to.cast()));
                    }
                    _mm256_storeu_si256(to.cast(), sum);
                }
            }
        }
    }
}

/// Sums of `ROWS` rows by 16 columns, modulo 2^32.
///
/// # Safety
/// `a` may be read for 4 bytes at each row plus step; `b` holds a line every `WIDTH` lines, for each step.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const ROWS: usize, const WIDTH: usize>(
    a: *const u8,
    rows: &[u32],
    steps: &[u32],
    b: *const Line,
) -> [[__m256i; 2]; ROWS] {
    let low_bytes = _mm256_set1_epi16(0xFF);
    let mut starts = [a; ROWS];
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    for (start, &row) in starts.iter_mut().zip(rows) {
        // SAFETY: the row starts inside A.
        *start = unsafe { a.add(row as usize) };
    }
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (s, &step) in steps.iter().enumerate() {
        let (mut even, mut odd) = ([low_bytes; 2], [low_bytes; 2]);
        for half in 0..2 {
            // SAFETY: the line exists and is aligned to 64 bytes.
            let b = unsafe { _mm256_load_si256(b.add(s * WIDTH).cast::<__m256i>().add(half)) };
            even[half] = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b));
            odd[half] = _mm256_srai_epi16::<8>(b);
        }
        for row in 0..ROWS {
            // SAFETY: the 4 bytes of this row and step lie inside A.
            let group = unsafe { starts[row].add(step as usize).cast::<i32>().read_unaligned() };
            let group = _mm256_set1_epi32(group);
            let (a_even, a_odd) = (_mm256_and_si256(group, low_bytes), _mm256_srli_epi16::<8>(group));
            for half in 0..2 {
                let evens = _mm256_madd_epi16(a_even, even[half]);
                let odds = _mm256_madd_epi16(a_odd, odd[half]);
                sums[row][half] = _mm256_add_epi32(_mm256_add_epi32(sums[row][half], evens), odds);
            }
        }
    }
    sums
}
