//! AVX2 and FMA: `vfmadd231ps`, a value of A by 8 columns of B twice.

use super::{Args, Store};
use crate::pack::{COLUMNS, Line, PackedF32};
use crate::product::tile::{self, Tile, Tiles, tiles};
use crate::product::x86_avx2::STEPS_CACHED;
use core::arch::asm;
use core::arch::x86_64::{
    __m256, _mm256_add_ps, _mm256_load_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

/// Six rows of 16 columns: 12 chains, 2 halves of B and a value of A.
static TILES: Tiles<PackedF32> = [tiles!(tile, 1, 1 2 3 4 5 6), tiles!(tile, 2, 1 2 3 4 5 6)];

/// # Safety
/// As [`crate::product::Run`] says.
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tile::run(args, &TILES, STEPS_CACHED) }
}

/// # Safety
/// As [`tile::TileFn`] says.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedF32>) {
    let Tile { a, rows, steps, b, start, c, c_stride, store, .. } = tile;
    for line in 0..WIDTH {
        let mut chains = [[_mm256_setzero_ps(); 2]; ROWS];
        for (row, chains) in chains.iter_mut().enumerate() {
            for (half, chain) in chains.iter_mut().enumerate() {
                let column = line * COLUMNS + half * 8;
                // SAFETY: C holds `16 * WIDTH` columns of each of the tile's rows, `start` as many.
                *chain = unsafe {
                    let start = _mm256_loadu_ps(start.as_ptr().add(column));
                    match store {
                        Store::Set => start,
                        Store::Add => {
                            _mm256_add_ps(_mm256_loadu_ps(c.as_ptr().add(row * c_stride + column)), start)
                        }
                    }
                };
            }
        }
        // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
        unsafe { extend::<ROWS, WIDTH>(&mut chains, a.as_ptr(), rows, steps, b.as_ptr().add(line)) };
        for (row, chains) in chains.into_iter().enumerate() {
            for (half, chain) in chains.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe {
                    let to = c.as_mut_ptr().add(row * c_stride + line * COLUMNS + half * 8);
                    _mm256_storeu_ps(to, chain);
                }
            }
        }
    }
}

/// Goes on with the chains of `ROWS` rows by 16 columns.
///
/// # Safety
/// `a` may be read at each row plus step; `b` holds a line every `WIDTH` lines, for each step.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn extend<const ROWS: usize, const WIDTH: usize>(
    chains: &mut [[__m256; 2]; ROWS],
    a: *const f32,
    rows: &[u32],
    steps: &[u32],
    b: *const Line,
) {
    let mut starts = [a; ROWS];
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    for (start, &row) in starts.iter_mut().zip(rows) {
        // SAFETY: the row starts inside A.
        *start = unsafe { a.add(row as usize) };
    }
    for (s, &step) in steps.iter().enumerate() {
        // SAFETY: the line exists and is aligned to 64 bytes.
        let lines = unsafe {
            let line = b.add(s * WIDTH).cast::<f32>();
            [_mm256_load_ps(line), _mm256_load_ps(line.add(8))]
        };
        for row in 0..ROWS {
            // SAFETY: the value of this row and step lies inside A.
            unsafe { multiply_add(&mut chains[row], starts[row], step as usize, lines) };
        }
    }
}

/// `chains += value * lines`. Assembly fixes the order: left alone, a compiler loads the values of all rows first and
/// runs out of registers.
///
/// # Safety
/// A value may be read at `start + step`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_add(chains: &mut [__m256; 2], start: *const f32, step: usize, lines: [__m256; 2]) {
    // SAFETY: one load of 4 readable bytes, else registers only.
    unsafe {
        asm!(
            "vbroadcastss {a}, dword ptr [{start} + 4 * {step}]",
            "vfmadd231ps {s0}, {a}, {b0}",
            "vfmadd231ps {s1}, {a}, {b1}",
            a = out(ymm_reg) _, start = in(reg) start, step = in(reg) step,
            b0 = in(ymm_reg) lines[0], b1 = in(ymm_reg) lines[1],
            s0 = inout(ymm_reg) chains[0], s1 = inout(ymm_reg) chains[1],
            options(readonly, nostack, preserves_flags)
        );
    }
}
