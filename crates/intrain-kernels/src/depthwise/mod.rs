//! Products channel by channel, for convolutions whose outputs see one input channel each: forward, error and gradient.
//!
//! ```text
//! multiply  C[m][c]  = init[c] + sum over steps s of A[rows[m] + steps[s] + c] * B[s][c]
//! gradient  G[s][c] += sum over rows m of A[rows[m] + steps[s] + c] * E[m][c]
//! ```
//! A is staged as for [`crate::product`], with codes of 8 bits as they are (a zero of 0): nothing here is unsigned. The general
//! product would multiply zeros between the channels.
//! Invariant: no read leaves A, no write leaves C or G; integers are added modulo the width of a sum, and the caller has
//! proven that the true sum fits; floats are added in the order of the steps, or of the rows, each by a fused multiply-add.

#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_avx512vnni;

use crate::elementwise::{self, Operation};
use crate::isa::{Isa, Kernel};
use crate::stage::Code;

/// A code that can be multiplied channel by channel.
pub trait Channel: Code + sealed::Kernels {
    /// A weight as it is read.
    type Weight: Copy + Default;
    /// A sum of products.
    type Sum: Copy + Default + PartialEq + std::fmt::Debug;

    /// `sum + staged * weight`.
    fn add_weighted(sum: Self::Sum, staged: Self::Staged, weight: Self::Weight) -> Self::Sum;
    /// `sum + staged * error`.
    fn add_error(sum: Self::Sum, staged: Self::Staged, error: Self) -> Self::Sum;
}

/// A kernel of the bytes' products.
///
/// # Safety
/// The CPU has the kernel's instruction set, and the arguments have passed the checks of [`multiply`].
type RunMultiply = unsafe fn(Multiply<'_, i8>);
/// The same of their gradients.
///
/// # Safety
/// The CPU has the kernel's instruction set, and the arguments have passed the checks of [`gradient`].
type RunGradient = unsafe fn(Gradient<'_, i8>);

/// Kernels of the bytes' products. Other instruction sets run the plain loop as the compiler vectorizes it.
static MULTIPLY: &[Kernel<RunMultiply>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx512Vnni, name: "x86_avx512vnni", run: x86_avx512vnni::multiply },
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx2, name: "x86_avx2", run: |args| elementwise::run(Isa::Avx2, args) },
    Kernel { isa: Isa::Reference, name: "reference", run: |args| args.reference() },
];
/// The same of their gradients.
static GRADIENT: &[Kernel<RunGradient>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx512Vnni, name: "x86_avx512vnni", run: x86_avx512vnni::gradient },
    #[cfg(target_arch = "x86_64")]
    Kernel { isa: Isa::Avx2, name: "x86_avx2", run: |args| elementwise::run(Isa::Avx2, args) },
    Kernel { isa: Isa::Reference, name: "reference", run: |args| args.reference() },
];

impl Channel for i8 {
    type Weight = i8;
    type Sum = i32;

    #[inline(always)]
    fn add_weighted(sum: i32, staged: u8, weight: i8) -> i32 {
        sum.wrapping_add(i32::from(staged.cast_signed()) * i32::from(weight))
    }

    #[inline(always)]
    fn add_error(sum: i32, staged: u8, error: i8) -> i32 {
        Self::add_weighted(sum, staged, error)
    }
}

impl Channel for i16 {
    type Weight = i32;
    type Sum = i64;

    #[inline(always)]
    fn add_weighted(sum: i64, staged: i16, weight: i32) -> i64 {
        sum.wrapping_add(i64::from(staged) * i64::from(weight))
    }

    #[inline(always)]
    fn add_error(sum: i64, staged: i16, error: i16) -> i64 {
        // Bound: the product fits 32 bits.
        sum.wrapping_add(i64::from(i32::from(staged) * i32::from(error)))
    }
}

impl Channel for f32 {
    type Weight = Self;
    type Sum = Self;

    #[inline(always)]
    fn add_weighted(sum: f32, staged: f32, weight: f32) -> f32 {
        staged.mul_add(weight, sum)
    }

    #[inline(always)]
    fn add_error(sum: f32, staged: f32, error: f32) -> f32 {
        staged.mul_add(error, sum)
    }
}

/// The kernels of a type. Nobody outside can call them: they rely on checked arguments.
mod sealed {
    use super::{Channel, GRADIENT, Gradient, MULTIPLY, Multiply};
    use crate::elementwise;
    use crate::isa::{Isa, choose};

    pub trait Kernels: Sized {
        /// Multiplies what was checked.
        fn multiply(isa: Isa, args: Multiply<'_, Self>)
        where
            Self: Channel,
        {
            elementwise::run(isa, args);
        }

        /// Adds up what was checked.
        fn gradient(isa: Isa, args: Gradient<'_, Self>)
        where
            Self: Channel,
        {
            elementwise::run(isa, args);
        }
    }

    impl Kernels for i16 {}
    impl Kernels for f32 {}
    impl Kernels for i8 {
        fn multiply(isa: Isa, args: Multiply<'_, Self>) {
            let kernel = choose(MULTIPLY, isa);
            // SAFETY: `choose` has found the CPU's features, the caller has checked sizes and addresses.
            unsafe { (kernel.run)(args) }
        }

        fn gradient(isa: Isa, args: Gradient<'_, Self>) {
            let kernel = choose(GRADIENT, isa);
            // SAFETY: as above.
            unsafe { (kernel.run)(args) }
        }
    }
}

/// Sums of a row, about, where pixels of few channels share one.
const ROW: usize = 512;

/// Neighbouring pixels that should share a row of sums, so that vectors are full: they divide `width`, the pixels in a row of the
/// output. Pixels that are `stride` apart are neighbours in memory for a stride of 1 alone.
#[must_use]
pub fn pixels_a_row(width: usize, channels: usize, stride: usize) -> usize {
    let is_whole = channels.is_multiple_of(WIDE);
    let most = if stride > 1 || is_whole { 1 } else { (ROW / channels).clamp(1, width) };
    (1..=most).rev().find(|pixels| width.is_multiple_of(*pixels)).unwrap_or(1)
}

/// Operands of one product of `rows.len()` rows and `init.len()` channels.
#[derive(Debug)]
pub struct Multiply<'a, P: Channel> {
    /// A, flat.
    pub a: &'a [P::Staged],
    /// Where each row of C starts in A, in elements.
    pub rows: &'a [u32],
    /// Offset of each tap, in elements.
    pub steps: &'a [u32],
    /// B, `[steps.len()][init.len()]`.
    pub b: &'a [P::Weight],
    /// What each channel's sum starts from.
    pub init: &'a [P::Sum],
    /// C, `[rows.len()][init.len()]`.
    pub c: &'a mut [P::Sum],
}

/// Multiplies.
///
/// # Panics
/// If the CPU lacks `isa`, or sizes and addresses do not fit.
pub fn multiply<P: Channel>(isa: Isa, args: Multiply<'_, P>) {
    let n = args.init.len();
    assert_eq!(Some(args.b.len()), args.steps.len().checked_mul(n), "B must hold each step's {n} channels");
    assert_eq!(Some(args.c.len()), args.rows.len().checked_mul(n), "C must hold each row's {n} channels");
    check_addresses(args.a.len(), args.rows, args.steps, n);
    P::multiply(isa, args);
}

/// Operands of the sums of one gradient, of as many channels as `channels` says.
#[derive(Debug)]
pub struct Gradient<'a, P: Channel> {
    /// A, flat.
    pub a: &'a [P::Staged],
    /// Where each row of E starts in A, in elements.
    pub rows: &'a [u32],
    /// Offset of each tap, in elements.
    pub steps: &'a [u32],
    /// Channels.
    pub channels: usize,
    /// E, `[rows.len()][channels]`.
    pub e: &'a [P],
    /// G, `[steps.len()][channels]`: added to.
    pub g: &'a mut [P::Sum],
}

/// Adds a gradient's sums up.
///
/// # Panics
/// If the CPU lacks `isa`, or sizes and addresses do not fit.
pub fn gradient<P: Channel>(isa: Isa, args: Gradient<'_, P>) {
    let n = args.channels;
    assert_eq!(Some(args.e.len()), args.rows.len().checked_mul(n), "E must hold each row's {n} channels");
    assert_eq!(Some(args.g.len()), args.steps.len().checked_mul(n), "G must hold each step's {n} channels");
    check_addresses(args.a.len(), args.rows, args.steps, n);
    P::gradient(isa, args);
}

fn check_addresses(len: usize, rows: &[u32], steps: &[u32], n: usize) {
    assert!(n > 0 && !steps.is_empty(), "a product needs a channel and a step");
    if let (Some(&row), Some(&step)) = (rows.iter().max(), steps.iter().max()) {
        let end = (row as usize + step as usize).checked_add(n).expect("the number of channels overflows");
        assert!(end <= len, "the tables reach {end} of {len} elements of A");
    }
}

/// Channels that are summed in registers.
const WIDE: usize = 64;
const NARROW: usize = 16;

impl<P: Channel> Operation for Multiply<'_, P> {
    type Output = ();

    fn reference(self) {
        let n = self.init.len();
        for (row, c) in self.rows.iter().zip(self.c.chunks_exact_mut(n)) {
            for (i, c) in c.iter_mut().enumerate() {
                let products = self.steps.iter().zip(self.b.chunks_exact(n));
                *c = products.fold(self.init[i], |sum, (step, b)| {
                    P::add_weighted(sum, self.a[*row as usize + *step as usize + i], b[i])
                });
            }
        }
    }

    #[inline(always)]
    fn vectorized(mut self, _: Isa) {
        for m in 0..self.rows.len() {
            let first = self.row::<WIDE>(m, 0);
            let first = self.row::<NARROW>(m, first);
            self.row::<1>(m, first);
        }
    }
}

impl<P: Channel> Multiply<'_, P> {
    /// The sums of a row from channel `first` on, as far as whole blocks go; the first channel behind them.
    #[inline(always)]
    fn row<const LANES: usize>(&mut self, m: usize, mut first: usize) -> usize {
        let (n, row) = (self.init.len(), self.rows[m] as usize);
        while first + LANES <= n {
            let mut sums = [P::Sum::default(); LANES];
            sums.copy_from_slice(&self.init[first..first + LANES]);
            for (step, b) in self.steps.iter().zip(self.b.chunks_exact(n)) {
                let at = row + *step as usize + first;
                let (a, b) = (&self.a[at..at + LANES], &b[first..first + LANES]);
                for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                    *sum = P::add_weighted(*sum, *a, *b);
                }
            }
            self.c[m * n + first..][..LANES].copy_from_slice(&sums);
            first += LANES;
        }
        first
    }
}

impl<P: Channel> Operation for Gradient<'_, P> {
    type Output = ();

    fn reference(self) {
        let n = self.channels;
        for (row, e) in self.rows.iter().zip(self.e.chunks_exact(n)) {
            for (step, g) in self.steps.iter().zip(self.g.chunks_exact_mut(n)) {
                let a = &self.a[*row as usize + *step as usize..][..n];
                g.iter_mut().zip(a.iter().zip(e)).for_each(|(g, (a, e))| *g = P::add_error(*g, *a, *e));
            }
        }
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        self.channels_from(0);
    }
}

/// Taps whose sums of a block of channels stay in registers.
const TAPS: usize = 3;

impl<P: Channel> Gradient<'_, P> {
    /// The sums of all channels from `first` on.
    #[inline(always)]
    fn channels_from(mut self, first: usize) {
        let first = self.channels::<NARROW>(first);
        self.channels::<1>(first);
    }

    /// The sums from channel `first` on, as far as whole blocks go; the first channel behind them.
    #[inline(always)]
    fn channels<const LANES: usize>(&mut self, mut first: usize) -> usize {
        let n = self.channels;
        while first + LANES <= n {
            let (whole, rest) = self.steps.as_chunks::<TAPS>();
            for (i, steps) in whole.iter().enumerate() {
                self.taps::<LANES, TAPS>(first, i * TAPS, steps);
            }
            for (i, step) in rest.iter().enumerate() {
                self.taps::<LANES, 1>(first, whole.len() * TAPS + i, &[*step]);
            }
            first += LANES;
        }
        first
    }

    /// The sums of some taps, from number `tap` on.
    #[inline(always)]
    fn taps<const LANES: usize, const N: usize>(&mut self, first: usize, tap: usize, steps: &[u32; N]) {
        let n = self.channels;
        let mut sums = [[P::Sum::default(); LANES]; N];
        for (i, sums) in sums.iter_mut().enumerate() {
            sums.copy_from_slice(&self.g[(tap + i) * n + first..][..LANES]);
        }
        for (row, e) in self.rows.iter().zip(self.e.chunks_exact(n)) {
            let e = &e[first..first + LANES];
            for (sums, step) in sums.iter_mut().zip(steps) {
                let at = *row as usize + *step as usize + first;
                let a = &self.a[at..at + LANES];
                for (sum, (a, e)) in sums.iter_mut().zip(a.iter().zip(e)) {
                    *sum = P::add_error(*sum, *a, *e);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            self.g[(tap + i) * n + first..][..LANES].copy_from_slice(sums);
        }
    }
}
