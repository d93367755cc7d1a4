//! AVX-512: `vfmadd231ps`, a value of A by 16 columns of B.

use super::{Args, Store};
use crate::pack::{COLUMNS, PackedF32};
use crate::product::tile::{self, Tile, Tiles, tiles};
use crate::product::x86_avx512vnni::sums;
use core::arch::x86_64::{
    _mm512_add_ps, _mm512_castps_si512, _mm512_loadu_ps, _mm512_setzero_si512, _mm512_storeu_si512,
};

/// Twelve rows, as in the byte product.
static TILES: Tiles<PackedF32> =
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
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedF32>) {
    let Tile { a, rows, steps, b, start, c, c_stride, store, .. } = tile;
    let mut chains = [[_mm512_setzero_si512(); WIDTH]; ROWS];
    for (row, chains) in chains.iter_mut().enumerate() {
        for (column, chain) in chains.iter_mut().enumerate() {
            // SAFETY: C holds `16 * WIDTH` columns of each of the tile's rows, `start` as many.
            let value = unsafe {
                let start = _mm512_loadu_ps(start.as_ptr().add(column * COLUMNS));
                match store {
                    Store::Set => start,
                    Store::Add => {
                        let c = _mm512_loadu_ps(c.as_ptr().add(row * c_stride + column * COLUMNS));
                        _mm512_add_ps(c, start)
                    }
                }
            };
            *chain = _mm512_castps_si512(value);
        }
    }
    // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
    let chains = unsafe { sums::<ROWS, WIDTH, 1>(a.as_ptr().cast(), rows, steps, b.as_ptr().cast(), chains) };
    for (row, chains) in chains.into_iter().enumerate() {
        for (column, chain) in chains.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe {
                _mm512_storeu_si512(c.as_mut_ptr().add(row * c_stride + column * COLUMNS).cast(), chain);
            }
        }
    }
}
