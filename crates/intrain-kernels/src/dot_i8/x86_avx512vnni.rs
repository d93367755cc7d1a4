//! AVX-512 VNNI: `vpdpbusd` multiplies 4 unsigned by 4 signed bytes and adds them in 32 bits, without saturation.

use super::{Args, Store};
use crate::pack::{COLUMNS, PackedI8};
use crate::product::tile::{self, Tile, Tiles, tiles};
use crate::product::x86_avx512vnni::sums;
use core::arch::x86_64::{_mm512_add_epi32, _mm512_loadu_si512, _mm512_setzero_si512, _mm512_storeu_si512};

/// Twelve rows: 24 sums, 2 lines of B and a group of A fill the registers; one line wide, 12 hide the latency.
static TILES: Tiles<PackedI8> =
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
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI8>) {
    let Tile { a, rows, steps, b, start, c, c_stride, store, .. } = tile;
    let zeros = [[_mm512_setzero_si512(); WIDTH]; ROWS];
    // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
    let sums = unsafe { sums::<ROWS, WIDTH, 4>(a.as_ptr(), rows, steps, b.as_ptr().cast(), zeros) };
    for (row, sums) in sums.into_iter().enumerate() {
        for (column, sum) in sums.into_iter().enumerate() {
            // SAFETY: C holds `16 * WIDTH` columns of each of the tile's rows, `start` as many.
            unsafe {
                let to = c.as_mut_ptr().add(row * c_stride + column * COLUMNS);
                let mut sum =
                    _mm512_add_epi32(sum, _mm512_loadu_si512(start.as_ptr().add(column * COLUMNS).cast()));
                if store == Store::Add {
                    sum = _mm512_add_epi32(sum, _mm512_loadu_si512(to.cast()));
                }
                _mm512_storeu_si512(to.cast(), sum);
            }
        }
    }
}
