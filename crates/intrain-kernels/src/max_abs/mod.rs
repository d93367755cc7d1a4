//! The largest magnitude of a tensor, on its own or in one pass that keeps the tensor in fewer bits.
//!
//! It decides the power of two that a tensor is divided by (`Scale::Shift`), so it must be exact: a maximum of
//! unsigned magnitudes, in which the smallest value of a type has no special case.

use crate::elementwise::{self, Integer, Operation};
use crate::isa::Isa;

#[cfg(test)]
mod tests;

/// `max |values[i]|`, 0 for no values.
#[must_use]
pub fn run<S: Integer>(isa: Isa, values: &[S]) -> u64 {
    elementwise::run(isa, MaxAbs { values })
}

/// `max |values[i]|` over those whose trace has every bit of `mask`; meanwhile `kept[i] = values[i]`, modulo 2^BITS of
/// its type: where the maximum fits that type, what counted is kept as it was.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn keep<S: Integer, T: Integer>(isa: Isa, values: &[S], trace: &[u8], mask: u8, kept: &mut [T]) -> u64 {
    assert_eq!(values.len(), trace.len(), "max_abs: values and trace differ in length");
    assert_eq!(values.len(), kept.len(), "max_abs: values and what is kept differ in length");
    elementwise::run(isa, Keep { values, trace, mask, kept })
}

/// `max |values[i]|`; meanwhile `kept[i] = values[i]`, modulo 2^BITS of its type: where the maximum fits that type, all are
/// kept as they were.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn narrow<S: Integer, T: Integer>(isa: Isa, values: &[S], kept: &mut [T]) -> u64 {
    assert_eq!(values.len(), kept.len(), "max_abs: values and what is kept differ in length");
    elementwise::run(isa, Narrow { values, kept })
}

struct MaxAbs<'a, S> {
    values: &'a [S],
}

impl<S: Integer> Operation for MaxAbs<'_, S> {
    type Output = u64;

    fn reference(self) -> u64 {
        self.values.iter().map(|&x| x.into().unsigned_abs()).max().unwrap_or(0)
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) -> u64 {
        let mut largest = S::Magnitude::default();
        for x in self.values {
            largest = largest.max(x.magnitude());
        }
        largest.into()
    }
}

struct Narrow<'a, S, T> {
    values: &'a [S],
    kept: &'a mut [T],
}

impl<S: Integer, T: Integer> Operation for Narrow<'_, S, T> {
    type Output = u64;

    fn reference(self) -> u64 {
        for (kept, &x) in self.kept.iter_mut().zip(self.values) {
            *kept = T::from_i64(x.into());
        }
        MaxAbs { values: self.values }.reference()
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) -> u64 {
        let mut largest = S::Magnitude::default();
        for (&x, kept) in self.values.iter().zip(self.kept) {
            largest = largest.max(x.magnitude());
            *kept = T::from_i64(x.into());
        }
        largest.into()
    }
}

struct Keep<'a, S, T> {
    values: &'a [S],
    trace: &'a [u8],
    mask: u8,
    kept: &'a mut [T],
}

impl<S: Integer, T: Integer> Operation for Keep<'_, S, T> {
    type Output = u64;

    fn reference(self) -> u64 {
        let mut largest = 0;
        for (i, &x) in self.values.iter().enumerate() {
            if self.trace[i] & self.mask == self.mask {
                largest = largest.max(x.into().unsigned_abs());
            }
            self.kept[i] = T::from_i64(x.into());
        }
        largest
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) -> u64 {
        let mut largest = S::Magnitude::default();
        for ((&x, t), kept) in self.values.iter().zip(self.trace).zip(self.kept) {
            let counted = if t & self.mask == self.mask { x } else { S::default() };
            largest = largest.max(counted.magnitude());
            *kept = T::from_i64(x.into());
        }
        largest.into()
    }
}
