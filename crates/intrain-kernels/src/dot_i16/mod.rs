//! The word product, `C[m][n] (+)= init[n] + sum A[rows[m] + steps[s] + i] * B[s][n][i]`, 2 lanes a step, in 64 bits.
//!
//! A is `i16`, B is [`PackedI16`] of up to 32-bit values, C is `i64`. 32-bit sums are flushed before they overflow.
//! Invariant: exact, provided `|a| <= b.a_max()` and the true sum fits in `i64`.

mod reference;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

pub use crate::product::Store;

use crate::isa::{Isa, Kernel};
use crate::pack::PackedI16;
use crate::product::{self, Run};

/// Operands of one word product.
pub type Args<'a> = product::Args<'a, PackedI16>;

/// Every kernel, best first.
pub static KERNELS: &[Kernel<Run<PackedI16>>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx512Vnni, name: "x86_avx512vnni", run: x86_avx512vnni::run },
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx2, name: "x86_avx2", run: x86_avx2::run },
    Kernel { isa: Isa::Reference, name: "reference", run: reference::run },
];

/// Multiplies with the best kernel that `isa` allows.
///
/// # Panics
/// If the CPU lacks `isa`, or sizes and addresses do not fit.
pub fn run(isa: Isa, args: Args<'_>) {
    product::dispatch(KERNELS, isa, args);
}
