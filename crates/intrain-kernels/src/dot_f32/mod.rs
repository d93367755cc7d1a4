//! The float product, `C[m][n] = (C[m][n] if Add) + init[n]`, then `C = fma(A[rows[m] + steps[s]], B[s][n], C)` step by step.
//!
//! A and C are binary32, B is [`PackedF32`]. Each element of C is one chain of fused multiply-adds in the order of the
//! steps, each rounded once: the same bits with every kernel, wherever a kernel puts a sum down and takes it up again.
#![allow(clippy::float_arithmetic, reason = "a float role")]

mod reference;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

pub use crate::product::Store;

use crate::isa::{Isa, Kernel};
use crate::pack::PackedF32;
use crate::product::{self, Run};

/// Operands of one float product.
pub type Args<'a> = product::Args<'a, PackedF32>;

/// Every kernel, best first.
pub static KERNELS: &[Kernel<Run<PackedF32>>] = &[
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
