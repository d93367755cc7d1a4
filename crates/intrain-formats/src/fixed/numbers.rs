//! Numbers in memory, exactly, and the integers that hold codes.

use intrain_num::Real;
use rayon::prelude::*;

/// Numbers of an array in the order of its elements.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// binary32.
    F32(&'a [f32]),
    /// binary64.
    F64(&'a [f64]),
    /// Integers.
    Integers(&'a [i64]),
}

impl<'a> Numbers<'a> {
    /// Elements.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Integers(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The exact value of element `i`; `None` for NaN.
    #[must_use]
    pub fn real(self, i: usize) -> Option<Real> {
        match self {
            Self::F32(v) => Real::from_f32(v[i]),
            Self::F64(v) => Real::from_f64(v[i]),
            Self::Integers(v) => Some(Real { mantissa: v[i], exponent: 0 }),
        }
    }

    /// Whether element `i` is an infinity.
    #[must_use]
    pub fn is_infinite(self, i: usize) -> bool {
        match self {
            Self::F32(v) => v[i].is_infinite(),
            Self::F64(v) => v[i].is_infinite(),
            Self::Integers(_) => false,
        }
    }

    /// `n` elements from `first` on.
    pub(super) fn part(self, first: usize, n: usize) -> Self {
        match self {
            Self::F32(v) => Self::F32(&v[first..][..n]),
            Self::F64(v) => Self::F64(&v[first..][..n]),
            Self::Integers(v) => Self::Integers(&v[first..][..n]),
        }
    }

    pub(super) fn first_nan(self) -> Option<usize> {
        match self {
            Self::F32(v) => v.par_iter().position_first(|x| x.is_nan()),
            Self::F64(v) => v.par_iter().position_first(|x| x.is_nan()),
            Self::Integers(_) => None,
        }
    }

    pub(super) fn first_infinity(self) -> Option<usize> {
        match self {
            Self::F32(v) => v.par_iter().position_first(|x| x.is_infinite()),
            Self::F64(v) => v.par_iter().position_first(|x| x.is_infinite()),
            Self::Integers(_) => None,
        }
    }

    /// The number of the largest magnitude; none without elements. Bound: no NaN.
    pub(super) fn largest(self) -> Option<Real> {
        match self {
            Self::F32(v) => v.par_iter().map(|x| x.abs()).reduce_with(f32::max).and_then(Real::from_f32),
            Self::F64(v) => v.par_iter().map(|x| x.abs()).reduce_with(f64::max).and_then(Real::from_f64),
            Self::Integers(v) => {
                let largest = v.par_iter().copied().max_by_key(|x| x.unsigned_abs());
                largest.map(|mantissa| Real { mantissa, exponent: 0 })
            }
        }
    }
}

/// An integer that holds codes: `i8`, `i16`, `i32` or `i64`.
pub trait CodeInt: Copy + Into<i64> + Send + Sync + sealed::Sealed {
    /// Width.
    const BITS: u32;
    /// Bound: `code` fits.
    fn of(code: i64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! code_ints {
    ($($int:ty),*) => {$(
        impl sealed::Sealed for $int {}
        impl CodeInt for $int {
            const BITS: u32 = <$int>::BITS;
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "a code fits, as the caller asserts")]
            fn of(code: i64) -> Self {
                code as Self
            }
        }
    )*};
}

code_ints!(i8, i16, i32, i64);
