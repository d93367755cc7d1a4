//! AVX2: `vpmaddubsw` where what B holds proves that it can't saturate, else bytes widened to words.
//!
//! The bound of two products is known from packing. Where several such pairs fit in 16 bits (weights of few bits), they
//! are added there and widened later: twice the products for an instruction. Where one pair fits (an A without signs),
//! it is widened at once. Else both sides are widened first.

use super::{Args, Store};
use crate::pack::{COLUMNS, Line, PackedI8};
use crate::product::tile::{self, Tile, Tiles, tiles};
use crate::product::x86_avx2::STEPS_CACHED;
use core::arch::asm;
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_load_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi16, _mm256_srai_epi16,
    _mm256_srli_epi16, _mm256_storeu_si256,
};

/// Steps that must fit in 16 bits, so that adding there pays for widening at the end of each tile.
const STEPS_WANTED: u32 = 8;

/// Six rows of 16 columns: 12 sums, 2 halves of B, a group of A and a product.
static PAIRS_ADDED: Tiles<PackedI8> =
    [tiles!(pairs_added, 1, 1 2 3 4 5 6), tiles!(pairs_added, 2, 1 2 3 4 5 6)];
/// Five rows: 10 sums, 2 halves of B, a group of A, a product, and ones.
static PAIRS_WIDENED: Tiles<PackedI8> =
    [tiles!(pairs_widened, 1, 1 2 3 4 5), tiles!(pairs_widened, 2, 1 2 3 4 5)];
/// Four rows: 8 sums, and 4 halves of B stay in registers.
static WORDS: Tiles<PackedI8> = [tiles!(words, 1, 1 2 3 4), tiles!(words, 2, 1 2 3 4)];

/// # Safety
/// As [`crate::product::Run`] says.
pub(super) unsafe fn run(args: Args<'_>) {
    // Bound: two products are at most `pair_max` in magnitude, so this many of them fit in 16 bits.
    let steps_fit = i16::MAX.unsigned_abs() as u32 / args.b.pair_max().max(1);
    let (tiles, most_steps) = match steps_fit {
        0 => (&WORDS, STEPS_CACHED),
        1..STEPS_WANTED => (&PAIRS_WIDENED, STEPS_CACHED),
        _ => (&PAIRS_ADDED, STEPS_CACHED.min(steps_fit as usize)),
    };
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tile::run(args, tiles, most_steps) }
}

/// The sums of a line of 16 columns of a tile, from A, rows, steps, the first line, and the distance of two lines.
type Sums<const ROWS: usize> =
    unsafe fn(*const u8, &[u32; ROWS], &[u32], *const Line, usize) -> [[__m256i; 2]; ROWS];

/// Sums in 16 bits, widened at the end.
///
/// # Safety
/// As [`tile::TileFn`] says; the sums of pairs of all steps fit in 16 bits.
#[target_feature(enable = "avx2")]
unsafe fn pairs_added<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI8>) {
    // SAFETY: the caller's promise.
    unsafe { each_line::<ROWS, WIDTH>(tile, sums_of_pairs::<ROWS, false>) }
}

/// Pairs in 16 bits, sums in 32.
///
/// # Safety
/// As [`tile::TileFn`] says; each pair fits in 16 bits.
#[target_feature(enable = "avx2")]
unsafe fn pairs_widened<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI8>) {
    // SAFETY: the caller's promise.
    unsafe { each_line::<ROWS, WIDTH>(tile, sums_of_pairs::<ROWS, true>) }
}

/// Everything in words: exact for all bytes, as `2 * 255 * 128` fits in 32 bits.
///
/// # Safety
/// As [`tile::TileFn`] says.
#[target_feature(enable = "avx2")]
unsafe fn words<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI8>) {
    // SAFETY: the caller's promise.
    unsafe { each_line::<ROWS, WIDTH>(tile, sums_of_words::<ROWS>) }
}

/// Computes a tile line by line.
///
/// # Safety
/// As [`tile::TileFn`] says, and what `sums` demands.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn each_line<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_, PackedI8>, sums: Sums<ROWS>) {
    let Tile { a, rows, steps, b, start, c, c_stride, store, .. } = tile;
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    for line in 0..WIDTH {
        // SAFETY: a tile's rows and steps stay inside A, and B holds `WIDTH` lines a step.
        let sums = unsafe { sums(a.as_ptr(), rows, steps, b.as_ptr().add(line), WIDTH) };
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

/// Where each row starts in A.
///
/// # Safety
/// Rows start inside A.
#[inline]
unsafe fn starts<const ROWS: usize>(a: *const u8, rows: &[u32; ROWS]) -> [*const u8; ROWS] {
    let mut starts = [a; ROWS];
    for (start, &row) in starts.iter_mut().zip(rows) {
        // SAFETY: the caller's promise.
        *start = unsafe { a.add(row as usize) };
    }
    starts
}

/// Sums of `ROWS` rows by 16 columns through `vpmaddubsw`, each pair `WIDENED` at once or all at the end.
///
/// # Safety
/// `a` may be read for 4 bytes at each row plus step; `b` holds a line every `width` lines, for each step; pairs, or
/// their sums, fit in 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums_of_pairs<const ROWS: usize, const WIDENED: bool>(
    a: *const u8,
    rows: &[u32; ROWS],
    steps: &[u32],
    mut b: *const Line,
    width: usize,
) -> [[__m256i; 2]; ROWS] {
    // SAFETY: rows start inside A.
    let starts = unsafe { starts(a, rows) };
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for &step in steps {
        // SAFETY: the line exists and is aligned to 64 bytes; behind the last one the pointer is not read.
        let lines = unsafe {
            let line = b.cast::<__m256i>();
            b = b.wrapping_add(width);
            [_mm256_load_si256(line), _mm256_load_si256(line.add(1))]
        };
        for row in 0..ROWS {
            // SAFETY: the 4 bytes of this row and step lie inside A.
            unsafe {
                if WIDENED {
                    add_widened_pairs(&mut sums[row], starts[row], step as usize, lines, ones);
                } else {
                    add_pairs(&mut sums[row], starts[row], step as usize, lines);
                }
            }
        }
    }
    if !WIDENED {
        // Loops, not closures: those would be compiled without AVX2, and called.
        for halves in &mut sums {
            for sum in halves {
                *sum = _mm256_madd_epi16(*sum, ones);
            }
        }
    }
    sums
}

/// `sums += pairs` in 16 bits. Assembly fixes the order: left alone, a compiler loads the groups of all rows first
/// and runs out of registers.
///
/// # Safety
/// 4 bytes may be read at `start + step`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_pairs(sums: &mut [__m256i; 2], start: *const u8, step: usize, lines: [__m256i; 2]) {
    // SAFETY: one load of 4 readable bytes, else registers only.
    unsafe {
        asm!(
            "vpbroadcastd {a}, dword ptr [{start} + {step}]",
            "vpmaddubsw {p}, {a}, {b0}",
            "vpmaddubsw {a}, {a}, {b1}",
            "vpaddw {s0}, {s0}, {p}",
            "vpaddw {s1}, {s1}, {a}",
            a = out(ymm_reg) _, p = out(ymm_reg) _, start = in(reg) start, step = in(reg) step,
            b0 = in(ymm_reg) lines[0], b1 = in(ymm_reg) lines[1],
            s0 = inout(ymm_reg) sums[0], s1 = inout(ymm_reg) sums[1],
            options(readonly, nostack, preserves_flags)
        );
    }
}

/// `sums += pairs`, each widened to 32 bits by a product with one.
///
/// # Safety
/// 4 bytes may be read at `start + step`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_widened_pairs(
    sums: &mut [__m256i; 2],
    start: *const u8,
    step: usize,
    lines: [__m256i; 2],
    ones: __m256i,
) {
    // SAFETY: one load of 4 readable bytes, else registers only.
    unsafe {
        asm!(
            "vpbroadcastd {a}, dword ptr [{start} + {step}]",
            "vpmaddubsw {p}, {a}, {b0}",
            "vpmaddubsw {a}, {a}, {b1}",
            "vpmaddwd {p}, {p}, {ones}",
            "vpmaddwd {a}, {a}, {ones}",
            "vpaddd {s0}, {s0}, {p}",
            "vpaddd {s1}, {s1}, {a}",
            a = out(ymm_reg) _, p = out(ymm_reg) _, start = in(reg) start, step = in(reg) step,
            b0 = in(ymm_reg) lines[0], b1 = in(ymm_reg) lines[1], ones = in(ymm_reg) ones,
            s0 = inout(ymm_reg) sums[0], s1 = inout(ymm_reg) sums[1],
            options(readonly, nostack, preserves_flags)
        );
    }
}

/// Sums of `ROWS` rows by 16 columns, even and odd bytes widened to words, modulo 2^32.
///
/// # Safety
/// `a` may be read for 4 bytes at each row plus step; `b` holds a line every `width` lines, for each step.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums_of_words<const ROWS: usize>(
    a: *const u8,
    rows: &[u32; ROWS],
    steps: &[u32],
    b: *const Line,
    width: usize,
) -> [[__m256i; 2]; ROWS] {
    let low_bytes = _mm256_set1_epi16(0xFF);
    // SAFETY: rows start inside A.
    let starts = unsafe { starts(a, rows) };
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (s, &step) in steps.iter().enumerate() {
        let (mut even, mut odd) = ([low_bytes; 2], [low_bytes; 2]);
        for half in 0..2 {
            // SAFETY: the line exists and is aligned to 64 bytes.
            let b = unsafe { _mm256_load_si256(b.add(s * width).cast::<__m256i>().add(half)) };
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
