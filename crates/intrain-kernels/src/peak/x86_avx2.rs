//! AVX2 and FMA: `vpmaddubsw`, `vpmaddwd` and `vfmadd231ps`, on 12 accumulators beside the operands and a product.

use super::Operands;
use core::arch::asm;
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cvtps_epi32,
    _mm256_madd_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_ps, _mm256_setzero_si256,
    _mm256_storeu_si256,
};

/// `times` the instructions on each accumulator, ones by ones. Each is assembly of its own, so that the compiler keeps
/// the accumulators in registers, and drops and joins nothing.
macro_rules! accumulate {
    ($($instruction:literal),+; $ones:expr, $times:expr) => {{
        let (ones, mut sums) = ($ones, [_mm256_setzero_si256(); 12]);
        for _ in 0..$times {
            for sum in &mut sums {
                // SAFETY: registers only; the features are enabled here.
                unsafe {
                    asm!($($instruction),+, "/* {product} */", sum = inout(ymm_reg) *sum,
                        product = out(ymm_reg) _, ones = in(ymm_reg) ones, options(nomem, nostack));
                }
            }
        }
        sums
    }};
}

/// Bound: rounds, of 8 for each accumulator, that 16 bits can count.
const ROUNDS_IN_WORDS: u32 = i16::MAX.unsigned_abs() as u32 / 8;

/// # Safety
/// As [`super::Run`] says.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run(operands: Operands, rounds: u32) -> u64 {
    match operands {
        Operands::Bytes => bytes(rounds),
        // A round is 12 times 16 words, eight times.
        Operands::Int16 => {
            total(accumulate!("vpmaddwd {product}, {ones}, {ones}", "vpaddd {sum}, {sum}, {product}";
            _mm256_set1_epi16(1), 8 * rounds))
        }
        // 12 times 8 floats, sixteen times.
        Operands::Floats => {
            let ones = _mm256_castps_si256(_mm256_set1_ps(1.0));
            let mut sums = accumulate!("vfmadd231ps {sum}, {ones}, {ones}"; ones, 16 * rounds);
            for sum in &mut sums {
                *sum = _mm256_cvtps_epi32(_mm256_castsi256_ps(*sum));
            }
            total(sums)
        }
    }
}

/// As `dot_i8` does where it is fastest: sums in 16 bits, widened as rarely as they allow.
#[target_feature(enable = "avx2")]
fn bytes(rounds: u32) -> u64 {
    let (mut count, mut left) = (0, rounds);
    while left > 0 {
        let rounds = left.min(ROUNDS_IN_WORDS);
        // A round is 12 times 32 bytes, four times.
        let mut sums = accumulate!("vpmaddubsw {product}, {ones}, {ones}", "vpaddw {sum}, {sum}, {product}";
            _mm256_set1_epi8(1), 4 * rounds);
        for sum in &mut sums {
            *sum = _mm256_madd_epi16(*sum, _mm256_set1_epi16(1));
        }
        count += total(sums);
        left -= rounds;
    }
    count
}

/// The sum of all lanes.
#[target_feature(enable = "avx2")]
fn total(sums: [__m256i; 12]) -> u64 {
    let mut total = _mm256_setzero_si256();
    for sum in sums {
        total = _mm256_add_epi32(total, sum);
    }
    let mut lanes = [0_u32; 8];
    // SAFETY: `lanes` is 32 writable bytes; `storeu` needs no alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), total) };
    lanes.into_iter().map(u64::from).sum()
}
