//! One safe loop, compiled once per instruction set: how every elementwise operation becomes a kernel.
//!
//! An operation has a meaning ([`Operation::reference`], one element at a time through `intrain-num`) and a
//! branch-free body that the compiler vectorizes ([`Operation::vectorized`]). [`run`] makes the only unsafe call.
//! Invariant: the two give equal bits for every argument that the operation accepts.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "lanes are narrowed after they were clamped"
)]

use crate::isa::{Isa, Kernel, choose};

/// An elementwise operation with its arguments.
pub(crate) trait Operation: Sized {
    /// What it returns beside what it writes.
    type Output;

    /// The meaning, in the plainest loop.
    fn reference(self) -> Self::Output;

    /// The same as branch-free loops over slices. Must be `#[inline(always)]`, with all that it calls per element,
    /// so that it is compiled with the instructions of its caller. `isa` is for operations that it calls.
    fn vectorized(self, isa: Isa) -> Self::Output;
}

/// How a kernel is called.
type Run<O> = unsafe fn(O) -> <O as Operation>::Output;

/// Runs `operation` with the best kernel for `isa`.
///
/// # Panics
/// When this CPU lacks `isa`.
pub(crate) fn run<O: Operation>(isa: Isa, operation: O) -> O::Output {
    let kernels: &[Kernel<Run<O>>] = &[
        #[cfg(target_arch = "x86_64")]
        Kernel { isa: Isa::Avx512Vnni, name: "x86_avx512vnni", run: x86_avx512vnni::<O> },
        #[cfg(target_arch = "x86_64")]
        Kernel { isa: Isa::Avx2, name: "x86_avx2", run: x86_avx2::<O> },
        Kernel { isa: Isa::Reference, name: "reference", run: O::reference },
    ];
    let kernel = choose(kernels, isa);
    // SAFETY: the kernel's instruction set is at most `isa`, which `choose` has asserted that this CPU has.
    unsafe { (kernel.run)(operation) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn x86_avx2<O: Operation>(operation: O) -> O::Output {
    operation.vectorized(Isa::Avx2)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn x86_avx512vnni<O: Operation>(operation: O) -> O::Output {
    operation.vectorized(Isa::Avx512Vnni)
}

/// The integers that tensors are made of: `i8`, `i16`, `i32` and `i64`.
pub trait Integer: Copy + Default + Ord + Into<i64> + sealed::Sealed {
    /// The type of `|x|`.
    type Magnitude: Copy + Default + Ord + Into<u64>;
    /// Width.
    const BITS: u32;
    /// Smallest value.
    const MIN: i64;
    /// Largest value.
    const MAX: i64;

    /// `|x|`, exact for the smallest value too.
    fn magnitude(self) -> Self::Magnitude;
    /// `x` as a lane of 32 bits. Bound: `x` fits.
    fn to_i32(self) -> i32;
    /// A lane of 32 bits as a value. Bound: the lane fits.
    fn from_i32(lane: i32) -> Self;
    /// A lane of 64 bits as a value, modulo `2^BITS`.
    fn from_i64(lane: i64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($int:ty => $magnitude:ty),*) => {$(
        impl sealed::Sealed for $int {}
        impl Integer for $int {
            type Magnitude = $magnitude;
            const BITS: u32 = <$int>::BITS;
            const MIN: i64 = <$int>::MIN as i64;
            const MAX: i64 = <$int>::MAX as i64;

            #[inline(always)]
            fn magnitude(self) -> $magnitude {
                self.unsigned_abs()
            }
            #[inline(always)]
            fn to_i32(self) -> i32 {
                self as i32
            }
            #[inline(always)]
            fn from_i32(lane: i32) -> Self {
                lane as Self
            }
            #[inline(always)]
            fn from_i64(lane: i64) -> Self {
                lane as Self
            }
        }
    )*};
}

integers!(i8 => u8, i16 => u16, i32 => u32, i64 => u64);
