//! The largest magnitudes of runs of 16 and 32: the one loop of this folder that compilers lay across the runs, with a load
//! for each element.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si32, _mm_max_epu32, _mm_shuffle_epi32, _mm256_and_si256, _mm256_andnot_si256,
    _mm256_castsi256_si128, _mm256_cmpgt_epi32, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_max_epu32, _mm256_set1_epi32, _mm256_setzero_si256,
};

/// Raises each of `largest` to the largest magnitude of its run, as binary32 bits; NaN counts where `sees_nan`.
///
/// Runs that are not whole are left out.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn largest_of_runs<const WIDTH: usize>(largest: &mut [u32], row: &[f32], sees_nan: bool) {
    const { assert!(WIDTH.is_multiple_of(8)) };
    let magnitude = _mm256_set1_epi32(0x7fff_ffff);
    let limit = _mm256_set1_epi32(if sees_nan { i32::MAX } else { 0x7f80_0000 });
    for (largest, run) in largest.iter_mut().zip(row.as_chunks::<WIDTH>().0) {
        let mut sum = _mm256_setzero_si256();
        for eight in run.as_chunks::<8>().0 {
            // SAFETY: eight floats are the 32 bytes that are read, at any alignment.
            let bits = unsafe { _mm256_loadu_si256(eight.as_ptr().cast::<__m256i>()) };
            let bits = _mm256_and_si256(bits, magnitude);
            // Magnitudes are not negative as signed integers.
            let unseen = _mm256_cmpgt_epi32(bits, limit);
            sum = _mm256_max_epu32(sum, _mm256_andnot_si256(unseen, bits));
        }
        let half = _mm_max_epu32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let half = _mm_max_epu32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
        let one = _mm_max_epu32(half, _mm_shuffle_epi32::<0b10_11_00_01>(half));
        *largest = (*largest).max(_mm_cvtsi128_si32(one).cast_unsigned());
    }
}
