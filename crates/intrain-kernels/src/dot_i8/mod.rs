//! The byte product, `C[m][n] (+)= init[n] + sum (A[rows[m] + steps[s] + i] - zero) * B[s][n][i]`, 4 lanes a step.
//!
//! A holds `code + zero` as `u8`, where [`crate::pack::Left`] says which zero; B is [`PackedI8`], C is `i32`. Most
//! of a training step's time is spent here.
//! Invariant: sums are taken modulo 2^32; the caller has proven that the true sum fits in `i32`.

mod reference;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

pub use crate::product::Store;

use crate::isa::{Isa, Kernel};
use crate::pack::PackedI8;
use crate::product::{self, Run};

/// Operands of one byte product.
pub type Args<'a> = product::Args<'a, PackedI8>;

/// Every kernel, best first.
pub static KERNELS: &[Kernel<Run<PackedI8>>] = &[
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
