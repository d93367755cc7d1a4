//! The most that a CPU can multiply and add: loops of the instructions that products are made of, in registers only.
//!
//! No step runs it. `intrain bench` divides its counts by their time, and compares products and steps with that.
//! Invariant: the count is read from the accumulators, so a loop that does less than all of its work counts less.

mod reference;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

use crate::isa::{Isa, Kernel, choose};

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// Unsigned by signed bytes into 32 bits, as in `dot_i8`.
    Bytes,
    /// Integers of 16 bits into 32, as in `dot_i16`.
    Int16,
    /// binary32, as in `dot_f32`.
    Floats,
}

/// Multiply-adds of a round.
pub const ROUND: u64 = 1536;

/// Most rounds of a call.
pub const ROUNDS_MAX: u32 = 1 << 19;

/// Fewest lanes that a kernel counts in.
const LANES_MIN: u64 = 64;

// Bound: a lane stays exact in binary32, and all of them together fit in `i32`.
const _: () = assert!(ROUND / LANES_MIN * (ROUNDS_MAX as u64) < 1 << 24);
const _: () = assert!(ROUND * (ROUNDS_MAX as u64) < 1 << 31);

/// A kernel: operands and rounds; gives the multiply-adds done.
///
/// # Safety
/// The CPU has the kernel's instruction set, and there are at most [`ROUNDS_MAX`] rounds.
pub type Run = unsafe fn(Operands, u32) -> u64;

/// Every kernel, best first.
pub static KERNELS: &[Kernel<Run>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx512Vnni, name: "x86_avx512vnni", run: x86_avx512vnni::run },
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx2, name: "x86_avx2", run: x86_avx2::run },
    Kernel { isa: Isa::Reference, name: "reference", run: reference::run },
];

/// Multiplies ones by ones for `rounds` times [`ROUND`] multiply-adds; gives how many the accumulators have counted.
///
/// # Panics
/// If the CPU lacks `isa`, or there are more than [`ROUNDS_MAX`] rounds.
#[must_use]
pub fn run(isa: Isa, operands: Operands, rounds: u32) -> u64 {
    assert!(rounds <= ROUNDS_MAX, "{rounds} rounds are more than {ROUNDS_MAX}");
    let kernel = choose(KERNELS, isa);
    // SAFETY: `choose` has found the CPU's features, and the rounds are bounded.
    unsafe { (kernel.run)(operands, rounds) }
}
