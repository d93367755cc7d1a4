//! The largest magnitudes of runs of 8, 16 and 32: the one loop of this folder that compilers lay across the runs, with a load
//! for each element.

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_loadu_si256, _mm256_max_epu32, _mm256_max_ps, _mm256_permute2x128_si256, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::out::SEGMENT;

/// Raises each of `largest` to the largest magnitude of its run, as binary32 bits; NaN counts where `SEES_NAN`.
///
/// Eight runs at a time, and what is left over or not whole is left out: returns how many runs were served.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn largest_of_runs<const WIDTH: usize, const SEES_NAN: bool>(
    largest: &mut [u32],
    row: &[f32],
) -> usize {
    const { assert!(WIDTH.is_multiple_of(8)) };
    let runs = row.as_chunks::<WIDTH>().0.as_chunks::<8>().0;
    let (groups, _) = largest.as_chunks_mut::<8>();
    for (largest, runs) in groups.iter_mut().zip(runs) {
        ahead(runs.as_flattened());
        // Not by `map`, which would be compiled without AVX2.
        let of_each: [__m256i; 8] = [
            of_run::<SEES_NAN>(&runs[0]),
            of_run::<SEES_NAN>(&runs[1]),
            of_run::<SEES_NAN>(&runs[2]),
            of_run::<SEES_NAN>(&runs[3]),
            of_run::<SEES_NAN>(&runs[4]),
            of_run::<SEES_NAN>(&runs[5]),
            of_run::<SEES_NAN>(&runs[6]),
            of_run::<SEES_NAN>(&runs[7]),
        ];
        let of_runs = across(of_each);
        // SAFETY: eight integers are the 32 bytes that are read and written, at any alignment.
        unsafe {
            let place = largest.as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(place, _mm256_max_epu32(of_runs, _mm256_loadu_si256(place)));
        }
    }
    runs.len().min(groups.len()) * 8
}

/// Asks for what lies a piece behind `values`: it is read here first, and meanwhile the lanes of this piece run.
#[target_feature(enable = "avx2")]
#[inline]
fn ahead(values: &[f32]) {
    for line in values.as_chunks::<16>().0 {
        let place = line.as_ptr().wrapping_add(SEGMENT).cast();
        _mm_prefetch::<_MM_HINT_T0>(place);
    }
}

/// In each lane, the largest of every eighth magnitude.
#[target_feature(enable = "avx2")]
#[inline]
fn of_run<const SEES_NAN: bool>(run: &[f32]) -> __m256i {
    let magnitude = _mm256_set1_epi32(0x7fff_ffff);
    let mut largest = _mm256_setzero_si256();
    for eight in run.as_chunks::<8>().0 {
        // SAFETY: eight floats are the 32 bytes that are read, at any alignment.
        let bits = unsafe { _mm256_loadu_si256(eight.as_ptr().cast::<__m256i>()) };
        let bits = _mm256_and_si256(bits, magnitude);
        largest = if SEES_NAN {
            _mm256_max_epu32(bits, largest)
        } else {
            // The second where one of both is NaN, and it never is.
            _mm256_castps_si256(_mm256_max_ps(_mm256_castsi256_ps(bits), _mm256_castsi256_ps(largest)))
        };
    }
    largest
}

/// The largest lane of each of eight vectors, as the lanes of one.
#[target_feature(enable = "avx2")]
#[inline]
fn across(v: [__m256i; 8]) -> __m256i {
    let low = four(two(v[0], v[1]), two(v[2], v[3]));
    let high = four(two(v[4], v[5]), two(v[6], v[7]));
    _mm256_max_epu32(
        _mm256_permute2x128_si256::<0x20>(low, high),
        _mm256_permute2x128_si256::<0x31>(low, high),
    )
}

/// Of two vectors in turn, the larger of two lanes each.
#[target_feature(enable = "avx2")]
#[inline]
fn two(a: __m256i, b: __m256i) -> __m256i {
    _mm256_max_epu32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b))
}

/// The same of pairs of lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn four(a: __m256i, b: __m256i) -> __m256i {
    _mm256_max_epu32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
}
