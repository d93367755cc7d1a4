//! Random words by the tensor: `out[4b..4b+4] = philox4x32_10(key, [first_block + b, counter_high..])`.
//!
//! Feeds every stochastic rounding. Invariant: the words are those of `intrain_num::random`, whatever the kernel.

mod reference;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

use crate::isa::{Isa, Kernel, choose};

/// A kernel: key, counter words 1 to 3, first block, words out.
///
/// # Safety
/// The CPU has the kernel's instruction set.
pub type Run = unsafe fn([u32; 2], [u32; 3], u32, &mut [u32]);

/// Every kernel, best first.
pub static KERNELS: &[Kernel<Run>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx512Vnni, name: "x86_avx512vnni", run: x86_avx512vnni::run },
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx2, name: "x86_avx2", run: x86_avx2::run },
    Kernel { isa: Isa::Reference, name: "reference", run: reference::run },
];

/// Fills `out` with the words of consecutive blocks, block numbers modulo 2^32; the last block may be cut.
///
/// # Panics
/// If the CPU lacks `isa`.
pub fn fill(isa: Isa, key: [u32; 2], counter_high: [u32; 3], first_block: u32, out: &mut [u32]) {
    let kernel = choose(KERNELS, isa);
    // SAFETY: `choose` has found the CPU's features.
    unsafe { (kernel.run)(key, counter_high, first_block, out) }
}

/// All of `out`, vectors of `WORDS / 4` blocks: `VECTORS` of them at a time, then one by one, the last through a buffer.
///
/// Must be inlined, with what it calls, so that all is compiled with the instructions of its caller.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn in_chunks<const WORDS: usize, const VECTORS: usize>(
    first_block: u32,
    out: &mut [u32],
    many: impl Fn(u32, &mut [[u32; WORDS]; VECTORS]),
    one: impl Fn(u32, &mut [[u32; WORDS]; 1]),
) {
    let mut block = first_block;
    let mut next = |vectors| {
        let first = block;
        for _ in 0..vectors * WORDS / 4 {
            // Wrapping: the block number is the low counter word, modulo 2^32.
            block = block.wrapping_add(1);
        }
        first
    };
    let (vectors, rest) = out.as_chunks_mut::<WORDS>();
    let (chunks, left) = vectors.as_chunks_mut::<VECTORS>();
    for out in chunks {
        many(next(VECTORS), out);
    }
    for out in left {
        one(next(1), std::array::from_mut(out));
    }
    if !rest.is_empty() {
        let mut last = [[0; WORDS]];
        one(next(1), &mut last);
        rest.copy_from_slice(&last[0][..rest.len()]);
    }
}

/// The multipliers of the two products of a round.
#[cfg(target_arch = "x86_64")]
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];

/// The keys of the ten rounds, each word as wide as the lanes that it is spread over.
#[cfg(target_arch = "x86_64")]
fn round_keys(mut key: [u32; 2]) -> [[u64; 2]; 10] {
    let mut keys = [[0; 2]; 10];
    for round in &mut keys {
        *round = key.map(u64::from);
        // Wrapping: the schedule is a Weyl sequence modulo 2^32.
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    keys
}
