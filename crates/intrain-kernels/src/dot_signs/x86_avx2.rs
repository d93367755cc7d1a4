//! AVX2: a panel is 32 bytes, of which `vpshufb` looks each up among the 16 sums of a quad.

use core::arch::x86_64::{
    _mm256_add_epi8, _mm256_add_epi16, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_load_si256,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    _mm256_storeu_si256,
};

use super::Args;
use super::tiles::{self, STEPS_IN_BYTES, Tile, TileFn, Tiles, sums_of_quad};
use crate::product::tile::tiles;

/// One panel, for every instruction set.
pub(super) static ONE_PANEL: &[TileFn] = tiles!(tile, 1, 1 2 3 4);
/// Four rows by two panels: 8 sums, a half line of signs of each panel, the entries that they choose, 16 sums and a mask.
static TILES: &Tiles = &[ONE_PANEL, tiles!(tile, 2, 1 2 3 4)];

/// # Safety
/// As [`crate::product::Run`] says.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tiles::run(args, TILES) }
}

/// # Safety
/// As [`TileFn`] says.
#[target_feature(enable = "avx2")]
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(tile: Tile<'_>) {
    let Tile { a, rows, steps, panels, sums } = tile;
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    let low = _mm256_set1_epi8(15);
    let mut words = [[[_mm256_setzero_si256(); 2]; WIDTH]; ROWS];
    for (chunk, steps) in steps.chunks(STEPS_IN_BYTES).enumerate() {
        let mut bytes = [[_mm256_setzero_si256(); WIDTH]; ROWS];
        for (s, &step) in steps.iter().enumerate() {
            for half in 0..2 {
                let mut signs = [low; WIDTH];
                for (signs, panel) in signs.iter_mut().zip(panels) {
                    // SAFETY: a line for each step, aligned to 64 bytes.
                    *signs = unsafe {
                        let line = panel.as_ptr().add(chunk * STEPS_IN_BYTES + s);
                        _mm256_load_si256(line.cast::<core::arch::x86_64::__m256i>().add(half))
                    };
                }
                for lane in 2 * half..2 * half + 2 {
                    let mut chosen = [low; WIDTH];
                    for (chosen, signs) in chosen.iter_mut().zip(&mut signs) {
                        *chosen = _mm256_and_si256(*signs, low);
                        *signs = _mm256_srli_epi16::<4>(*signs);
                    }
                    for (bytes, row) in bytes.iter_mut().zip(rows) {
                        // SAFETY: the byte lies inside A.
                        let table = unsafe { sums_of_quad(a.add(*row as usize + step as usize + lane)) };
                        let table = _mm256_broadcastsi128_si256(table);
                        for (sum, chosen) in bytes.iter_mut().zip(chosen) {
                            *sum = _mm256_add_epi8(*sum, _mm256_shuffle_epi8(table, chosen));
                        }
                    }
                }
            }
        }
        for (words, bytes) in words.as_flattened_mut().iter_mut().zip(bytes.as_flattened()) {
            words[0] = _mm256_add_epi16(words[0], _mm256_and_si256(*bytes, _mm256_set1_epi16(0xFF)));
            words[1] = _mm256_add_epi16(words[1], _mm256_srli_epi16::<8>(*bytes));
        }
    }
    for (sums, words) in sums.iter_mut().zip(words) {
        for (sums, words) in sums.as_flattened_mut().iter_mut().zip(words.as_flattened()) {
            // SAFETY: 16 words are 32 bytes.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *words) };
        }
    }
}
