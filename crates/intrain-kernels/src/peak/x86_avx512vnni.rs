//! AVX-512 VNNI: `vpdpbusd`, `vpdpwssd` and `vfmadd231ps` on 24 accumulators, more than any of their latencies.

use super::Operands;
use core::arch::asm;
use core::arch::x86_64::{
    _mm512_add_epi32, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtps_epi32, _mm512_reduce_add_epi32,
    _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_ps, _mm512_setzero_si512,
};

/// `times` the instruction on each accumulator, ones by ones. Each is assembly of its own, so that the compiler keeps
/// the accumulators in registers, and drops and joins nothing.
macro_rules! accumulate {
    ($instruction:literal, $ones:expr, $times:expr) => {{
        let (ones, mut sums) = ($ones, [_mm512_setzero_si512(); 24]);
        for _ in 0..$times {
            for sum in &mut sums {
                // SAFETY: registers only; the features are enabled here.
                unsafe {
                    asm!(concat!($instruction, " {sum}, {ones}, {ones}"), sum = inout(zmm_reg) *sum,
                        ones = in(zmm_reg) ones, options(nomem, nostack));
                }
            }
        }
        sums
    }};
}

/// # Safety
/// As [`super::Run`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn run(operands: Operands, rounds: u32) -> u64 {
    // A round is 24 times 64 bytes, so twice as often 32 words, or four times 16 floats.
    let sums = match operands {
        Operands::Bytes => accumulate!("vpdpbusd", _mm512_set1_epi8(1), rounds),
        Operands::Int16 => accumulate!("vpdpwssd", _mm512_set1_epi16(1), 2 * rounds),
        Operands::Floats => {
            let ones = _mm512_castps_si512(_mm512_set1_ps(1.0));
            let mut sums = accumulate!("vfmadd231ps", ones, 4 * rounds);
            for sum in &mut sums {
                *sum = _mm512_cvtps_epi32(_mm512_castsi512_ps(*sum));
            }
            sums
        }
    };
    let mut total = _mm512_setzero_si512();
    for sum in sums {
        total = _mm512_add_epi32(total, sum);
    }
    u64::from(_mm512_reduce_add_epi32(total).unsigned_abs())
}
