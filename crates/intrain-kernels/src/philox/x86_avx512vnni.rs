//! AVX-512: 8 blocks a vector, each counter word in the low half of a 64-bit lane, as `vpmuludq` wants it.
//!
//! The high halves hold rests of products, which no multiplication reads and the final merge drops.

use super::{MULTIPLIERS, in_chunks, round_keys};
use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_mask_shuffle_epi32, _mm512_mul_epu32, _mm512_set_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shuffle_epi32, _mm512_storeu_si512,
    _mm512_ternarylogic_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

/// Vectors in flight, to hide the latency of a round: as many as registers hold.
const VECTORS: usize = 6;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn run(key: [u32; 2], counter_high: [u32; 3], first_block: u32, out: &mut [u32]) {
    let keys = round_keys(key);
    in_chunks::<32, VECTORS>(
        first_block,
        out,
        |block, out| chunk(&keys, counter_high, block, out),
        |block, out| chunk(&keys, counter_high, block, out),
    );
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn chunk<const V: usize>(
    keys: &[[u64; 2]; 10],
    counter_high: [u32; 3],
    block: u32,
    out: &mut [[u32; 32]; V],
) {
    // Even lanes hold blocks 0 to 3, odd lanes 4 to 7: so the two unpacks at the end give them in order.
    let lanes = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    let [high1, high2, high3] = counter_high.map(|word| _mm512_set1_epi64(i64::from(word)));
    let mut state = [[_mm512_setzero_si512(), high1, high2, high3]; V];
    for (vector, state) in (0_i64..).zip(&mut state) {
        state[0] = _mm512_add_epi64(lanes, _mm512_set1_epi64(i64::from(block) + vector * 8));
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
        // SAFETY: `out` is 128 writable bytes; `storeu` needs no alignment.
        unsafe {
            _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_unpacklo_epi64(low, high));
            _mm512_storeu_si512(out.as_mut_ptr().add(16).cast(), _mm512_unpackhi_epi64(low, high));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn round<const V: usize>(state: &mut [[__m512i; 4]; V], key: [u64; 2]) {
    let [m0, m1] = MULTIPLIERS.map(|m| _mm512_set1_epi64(i64::from(m)));
    let [k0, k1] = key.map(|k| _mm512_set1_epi64(k.cast_signed()));
    for state in state {
        let [c0, c1, c2, c3] = *state;
        let (p0, p1) = (_mm512_mul_epu32(c0, m0), _mm512_mul_epu32(c2, m1));
        *state = [xor3(high_half(p1), c1, k0), p1, xor3(high_half(p0), c3, k1), p0];
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// The high half of each lane where the low half was: by a shuffle, since shifts share their ports with products.
#[inline]
#[target_feature(enable = "avx512f")]
fn high_half(lanes: __m512i) -> __m512i {
    _mm512_shuffle_epi32::<0b11_11_01_01>(lanes)
}

/// The low halves of `even` below those of `odd`.
#[inline]
#[target_feature(enable = "avx512f")]
fn merge(even: __m512i, odd: __m512i) -> __m512i {
    _mm512_mask_shuffle_epi32::<0b10_10_00_00>(even, 0xAAAA, odd)
}
