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

/// What a vector kernel computes at once: `WORDS / 4` blocks.
#[cfg(target_arch = "x86_64")]
type Chunk<const WORDS: usize> = unsafe fn([u32; 2], [u32; 3], u32, &mut [u32; WORDS]);

/// All of `out` in chunks, the last one through a buffer.
///
/// # Safety
/// The CPU has the instruction set of `chunk`.
#[cfg(target_arch = "x86_64")]
unsafe fn in_chunks<const WORDS: usize>(
    chunk: Chunk<WORDS>,
    key: [u32; 2],
    counter_high: [u32; 3],
    first_block: u32,
    out: &mut [u32],
) {
    let mut block = first_block;
    let (whole, rest) = out.as_chunks_mut::<WORDS>();
    for out in whole {
        // SAFETY: the caller's promise.
        unsafe { chunk(key, counter_high, block, out) };
        for _ in 0..WORDS / 4 {
            // Wrapping: the block number is the low counter word, modulo 2^32.
            block = block.wrapping_add(1);
        }
    }
    if !rest.is_empty() {
        let mut last = [0; WORDS];
        // SAFETY: the caller's promise.
        unsafe { chunk(key, counter_high, block, &mut last) };
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The multipliers of the two products of a round.
#[cfg(target_arch = "x86_64")]
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];

/// The keys of the ten rounds.
#[cfg(target_arch = "x86_64")]
fn round_keys(mut key: [u32; 2]) -> [[u32; 2]; 10] {
    let mut keys = [key; 10];
    for round in &mut keys {
        *round = key;
        // Wrapping: the schedule is a Weyl sequence modulo 2^32.
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    keys
}
