//! The product of codes of 0 to 3 by signs, `C[m][n] (+)= init[n] + sum A[m][k] * (+-1)[k][n]`: 16 codes a step.
//!
//! A holds quads of codes ([`crate::stage::Quad`]), B is [`PackedSigns`], C is `i32`. A byte of A by four signs is one of 16 sums, which a
//! table lists for each of the 256 bytes: one shuffle looks 32 columns up at once.
//! Invariant: the sums are exact; the caller has proven that they fit in `i32`.

mod reference;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

use crate::isa::{Isa, Kernel};
use crate::pack::PackedSigns;
use crate::product::{self, Run};

/// Operands of one product by signs.
pub type Args<'a> = product::Args<'a, PackedSigns>;

/// Every kernel, best first.
pub static KERNELS: &[Kernel<Run<PackedSigns>>] = &[
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
