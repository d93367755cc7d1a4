//! AVX2: `vpmaddwd` multiplies 2 by 2 words and adds them in 32 bits; the tile widens its sums at the end.
//!
//! Bound: a tile takes no more than a limb's `flush_steps`, so its 32-bit sums cannot overflow.

use super::{Args, Store};
use crate::pack::{COLUMNS, Line, PackedI16};
use crate::product::tile::{self, Tile, Tiles, tiles};
use crate::product::x86_avx2::STEPS_CACHED;
use core::arch::asm;
use core::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi64, _mm256_castsi256_si128, _mm256_cvtepi32_epi64,
    _mm256_extracti128_si256, _mm256_load_si256, _mm256_loadu_si256, _mm256_setzero_si256, _mm256_sll_epi64,
    _mm256_storeu_si256,
};

/// Six rows of 16 columns: 12 sums, 2 halves of B, a group of A and a product.
static TILES: Tiles<PackedI16> = [tiles!(tile, 1, 1 2 3 4 5 6), tiles!(tile, 2, 1 2 3 4 5 6)];

/// # Safety
/// As [`crate::product::Run`] says.
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tile::run(args, &TILES, STEPS_CACHED) }
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
            unsafe { add_products(&mut sums[row], starts[row], step as usize, lines) };
        }
    }
    sums
}

/// `sums += group * lines`. Assembly fixes the order: left alone, a compiler loads the groups of all rows first and
/// runs out of registers.
///
/// # Safety
/// 2 words may be read at `start + step`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_products(sums: &mut [__m256i; 2], start: *const i16, step: usize, lines: [__m256i; 2]) {
    // SAFETY: one load of 4 readable bytes, else registers only.
    unsafe {
        asm!(
            "vpbroadcastd {a}, dword ptr [{start} + 2 * {step}]",
            "vpmaddwd {p}, {a}, {b0}",
            "vpmaddwd {a}, {a}, {b1}",
            "vpaddd {s0}, {s0}, {p}",
            "vpaddd {s1}, {s1}, {a}",
            a = out(ymm_reg) _, p = out(ymm_reg) _, start = in(reg) start, step = in(reg) step,
            b0 = in(ymm_reg) lines[0], b1 = in(ymm_reg) lines[1],
            s0 = inout(ymm_reg) sums[0], s1 = inout(ymm_reg) sums[1],
            options(readonly, nostack, preserves_flags)
        );
    }
}
