//! AVX2: 4 blocks a vector, each counter word in the low half of a 64-bit lane, as `vpmuludq` wants it.
//!
//! The high halves hold rests of products, which no multiplication reads and the final merge drops.

use super::{MULTIPLIERS, in_chunks, round_keys};
use core::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_blend_epi32, _mm256_mul_epu32, _mm256_set_epi64x, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_slli_epi64, _mm256_storeu_si256,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

/// Vectors in flight, to hide the latency of a round.
const VECTORS: usize = 2;

#[target_feature(enable = "avx2")]
pub(super) fn run(key: [u32; 2], counter_high: [u32; 3], first_block: u32, out: &mut [u32]) {
    let keys = round_keys(key);
    in_chunks::<16, VECTORS>(
        first_block,
        out,
        |block, out| chunk(&keys, counter_high, block, out),
        |block, out| chunk(&keys, counter_high, block, out),
    );
}

#[inline]
#[target_feature(enable = "avx2")]
fn chunk<const V: usize>(
    keys: &[[u64; 2]; 10],
    counter_high: [u32; 3],
    block: u32,
    out: &mut [[u32; 16]; V],
) {
    // Even lanes hold blocks 0 and 1, odd lanes 2 and 3: so the two unpacks at the end give them in order.
    let lanes = _mm256_set_epi64x(3, 1, 2, 0);
    let [high1, high2, high3] = counter_high.map(|word| _mm256_set1_epi64x(i64::from(word)));
    let mut state = [[_mm256_setzero_si256(), high1, high2, high3]; V];
    for (vector, state) in (0_i64..).zip(&mut state) {
        state[0] = _mm256_add_epi64(lanes, _mm256_set1_epi64x(i64::from(block) + vector * 4));
    }
    // Half of what the first two rounds compute is the same for all blocks: apart from the loop, it is done once.
    let [first, second, others @ ..] = keys;
    round(&mut state, *first);
    round(&mut state, *second);
    for key in others {
        round(&mut state, *key);
    }
    for (out, [c0, c1, c2, c3]) in out.iter_mut().zip(state) {
        let (low, high) = (merge(c0, c1), merge(c2, c3));
        // SAFETY: `out` is 64 writable bytes; `storeu` needs no alignment.
        unsafe {
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_unpacklo_epi64(low, high));
            _mm256_storeu_si256(out.as_mut_ptr().add(8).cast(), _mm256_unpackhi_epi64(low, high));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn round<const V: usize>(state: &mut [[__m256i; 4]; V], key: [u64; 2]) {
    let [m0, m1] = MULTIPLIERS.map(|m| _mm256_set1_epi64x(i64::from(m)));
    let [k0, k1] = key.map(|k| _mm256_set1_epi64x(k.cast_signed()));
    for state in state {
        let [c0, c1, c2, c3] = *state;
        let (p0, p1) = (_mm256_mul_epu32(c0, m0), _mm256_mul_epu32(c2, m1));
        *state = [xor3(high_half(p1), c1, k0), p1, xor3(high_half(p0), c3, k1), p0];
    }
}

/// The high half of each lane where the low half was: by a shuffle, since shifts share their ports with products.
#[inline]
#[target_feature(enable = "avx2")]
fn high_half(lanes: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0b11_11_01_01>(lanes)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(a, b), c)
}

/// The low halves of `even` below those of `odd`.
#[inline]
#[target_feature(enable = "avx2")]
fn merge(even: __m256i, odd: __m256i) -> __m256i {
    _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
}
