//! AVX-512 VNNI: `vpdpwssd` multiplies 2 by 2 words and adds them in 32 bits; the tile widens its sums at the end.
//!
//! Bound: a tile takes no more than a limb's `flush_steps`, so its 32-bit sums cannot overflow.

use super::{Args, Store};
use crate::pack::{COLUMNS, PackedI16};
use crate::product::tile::{self, Tile, Tiles, tiles};
use crate::product::x86_avx512vnni::sums;
use core::arch::x86_64::{
    _mm_cvtsi32_si128, _mm512_add_epi64, _mm512_castsi512_si256, _mm512_cvtepi32_epi64,
    _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_setzero_si512, _mm512_sll_epi64,
    _mm512_storeu_si512,
};

/// Twelve rows, as in the byte product.
static TILES: Tiles<PackedI16> =
    [tiles!(tile, 1, 1 2 3 4 5 6 7 8 9 10 11 12), tiles!(tile, 2, 1 2 3 4 5 6 7 8 9 10 11 12)];

/// # Safety
/// As [`crate::product::Run`] says.
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tile::run(args, &TILES, usize::MAX) }
}

/// # Safety
/// As [`tile::TileFn`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI16>) {
    let Tile { a, rows, steps, b, start, shift, c, c_stride, store } = tile;
    let zeros = [[_mm512_setzero_si512(); WIDTH]; ROWS];
    // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
    let sums = unsafe { sums::<ROWS, WIDTH, 2>(a.as_ptr().cast(), rows, steps, b.as_ptr().cast(), zeros) };
    let shift = _mm_cvtsi32_si128(shift.cast_signed());
    for (row, sums) in sums.into_iter().enumerate() {
        for (column, sum) in sums.into_iter().enumerate() {
            let halves = [_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)];
            for (half, sum) in halves.into_iter().enumerate() {
                let column = column * COLUMNS + half * 8;
                let mut sum = _mm512_sll_epi64(_mm512_cvtepi32_epi64(sum), shift);
                // SAFETY: C holds `16 * WIDTH` columns of each of the tile's rows, `start` as many.
                unsafe {
                    let to = c.as_mut_ptr().add(row * c_stride + column);
                    sum = _mm512_add_epi64(sum, _mm512_loadu_si512(start.as_ptr().add(column).cast()));
                    if store == Store::Add {
                        sum = _mm512_add_epi64(sum, _mm512_loadu_si512(to.cast()));
                    }
                    _mm512_storeu_si512(to.cast(), sum);
                }
            }
        }
    }
}
