//! AVX-512: two panels are 64 bytes, of which `vpshufb` looks each up among the 16 sums of a quad. It needs BW alone, not VNNI.

use core::arch::x86_64::{
    _mm256_load_si256, _mm256_storeu_si256, _mm512_add_epi8, _mm512_add_epi16, _mm512_and_si512,
    _mm512_broadcast_i32x4, _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_extracti64x4_epi64,
    _mm512_inserti64x4, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_srli_epi16,
};

use super::Args;
use super::tiles::{self, STEPS_IN_BYTES, Tile, Tiles, sums_of_quad};
use super::x86_avx2::ONE_PANEL;
use crate::product::tile::tiles;

/// Eight rows by two pairs of panels: 16 sums, the signs of each pair, the entries that they choose, 16 sums and a mask. Of three panels
/// the last counts twice.
static TILES: &Tiles = &[
    ONE_PANEL,
    tiles!(tile, 1, 1 2 3 4 5 6 7 8),
    tiles!(tile, 2, 1 2 3 4 5 6 7 8),
    tiles!(tile, 2, 1 2 3 4 5 6 7 8),
];

/// # Safety
/// As [`crate::product::Run`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn run(args: Args<'_>) {
    // SAFETY: the caller's promise is the one that tiles need.
    unsafe { tiles::run(args, TILES) }
}

/// `PAIRS` pairs of panels.
///
/// # Safety
/// As [`super::tiles::TileFn`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn tile<const ROWS: usize, const PAIRS: usize>(tile: Tile<'_>) {
    let Tile { a, rows, steps, panels, sums } = tile;
    let rows: &[u32; ROWS] = rows.try_into().expect("a tile gets the rows that it is made for");
    let low = _mm512_set1_epi8(15);
    let mut words = [[[_mm512_setzero_si512(); 2]; PAIRS]; ROWS];
    for (chunk, steps) in steps.chunks(STEPS_IN_BYTES).enumerate() {
        let mut bytes = [[_mm512_setzero_si512(); PAIRS]; ROWS];
        for (s, &step) in steps.iter().enumerate() {
            for half in 0..2 {
                let mut signs = [low; PAIRS];
                for (signs, pair) in signs.iter_mut().zip(panels.as_chunks::<2>().0) {
                    // SAFETY: each panel has a line for each step, aligned to 64 bytes.
                    let [even, odd] = unsafe {
                        pair.map(|panel| {
                            let line = panel.as_ptr().add(chunk * STEPS_IN_BYTES + s);
                            _mm256_load_si256(line.cast::<core::arch::x86_64::__m256i>().add(half))
                        })
                    };
                    *signs = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(even), odd);
                }
                for lane in 2 * half..2 * half + 2 {
                    let mut chosen = [low; PAIRS];
                    for (chosen, signs) in chosen.iter_mut().zip(&mut signs) {
                        *chosen = _mm512_and_si512(*signs, low);
                        *signs = _mm512_srli_epi16::<4>(*signs);
                    }
                    for (bytes, row) in bytes.iter_mut().zip(rows) {
                        // SAFETY: the byte lies inside A.
                        let table = unsafe { sums_of_quad(a.add(*row as usize + step as usize + lane)) };
                        let table = _mm512_broadcast_i32x4(table);
                        for (sum, chosen) in bytes.iter_mut().zip(chosen) {
                            *sum = _mm512_add_epi8(*sum, _mm512_shuffle_epi8(table, chosen));
                        }
                    }
                }
            }
        }
        for (words, bytes) in words.as_flattened_mut().iter_mut().zip(bytes.as_flattened()) {
            words[0] = _mm512_add_epi16(words[0], _mm512_and_si512(*bytes, _mm512_set1_epi16(0xFF)));
            words[1] = _mm512_add_epi16(words[1], _mm512_srli_epi16::<8>(*bytes));
        }
    }
    for (sums, words) in sums.iter_mut().zip(words) {
        for (sums, [even, odd]) in sums.as_chunks_mut::<2>().0.iter_mut().zip(words) {
            // SAFETY: 16 words are 32 bytes.
            unsafe {
                _mm256_storeu_si256(sums[0][0].as_mut_ptr().cast(), _mm512_castsi512_si256(even));
                _mm256_storeu_si256(sums[0][1].as_mut_ptr().cast(), _mm512_castsi512_si256(odd));
                let high = [_mm512_extracti64x4_epi64::<1>(even), _mm512_extracti64x4_epi64::<1>(odd)];
                _mm256_storeu_si256(sums[1][0].as_mut_ptr().cast(), high[0]);
                _mm256_storeu_si256(sums[1][1].as_mut_ptr().cast(), high[1]);
            }
        }
    }
}
