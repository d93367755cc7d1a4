//! The largest magnitude of a tensor, on its own or in one pass with the mask of an activation.
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

/// Sets `values[i]` to 0 where `trace[i] & mask_bit == 0`, and gives `max |values[i]|` of what is left.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn masked<S: Integer>(isa: Isa, values: &mut [S], trace: &[u8], mask_bit: u8) -> u64 {
    assert_eq!(values.len(), trace.len(), "max_abs: values and trace differ in length");
    elementwise::run(isa, Masked { values, trace, mask_bit })
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

struct Masked<'a, S> {
    values: &'a mut [S],
    trace: &'a [u8],
    mask_bit: u8,
}

impl<S: Integer> Operation for Masked<'_, S> {
    type Output = u64;

    fn reference(self) -> u64 {
        for (x, t) in self.values.iter_mut().zip(self.trace) {
            if t & self.mask_bit == 0 {
                *x = S::default();
            }
        }
        MaxAbs { values: self.values }.reference()
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) -> u64 {
        let mut largest = S::Magnitude::default();
        for (x, t) in self.values.iter_mut().zip(self.trace) {
            let kept = if t & self.mask_bit == 0 { S::default() } else { *x };
            largest = largest.max(kept.magnitude());
            *x = kept;
        }
        largest.into()
    }
}
