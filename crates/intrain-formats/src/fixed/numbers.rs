//! Numbers in memory, exactly, and the integers that hold codes.

use intrain_num::Real;
use rayon::prelude::*;

use super::FEW;

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

    /// The place of the first NaN.
    #[must_use]
    pub fn first_nan(self) -> Option<usize> {
        match self {
            Self::F32(v) => first(v, |x| x.is_nan()),
            Self::F64(v) => first(v, |x| x.is_nan()),
            Self::Integers(_) => None,
        }
    }

    pub(super) fn first_infinity(self) -> Option<usize> {
        match self {
            Self::F32(v) => first(v, |x| x.is_infinite()),
            Self::F64(v) => first(v, |x| x.is_infinite()),
            Self::Integers(_) => None,
        }
    }

    /// The number of the largest magnitude; none without elements. Bound: no NaN.
    pub(super) fn largest(self) -> Option<Real> {
        match self {
            Self::F32(v) => largest(v, |x| x.abs(), f32::max).and_then(Real::from_f32),
            Self::F64(v) => largest(v, |x| x.abs(), f64::max).and_then(Real::from_f64),
            Self::Integers(v) => {
                let by_magnitude = |a: i64, b: i64| if a.unsigned_abs() < b.unsigned_abs() { b } else { a };
                largest(v, |x| x, by_magnitude).map(|mantissa| Real { mantissa, exponent: 0 })
            }
        }
    }
}

/// The first that `is_found`, by threads where there are many.
fn first<T: Copy + Sync>(v: &[T], is_found: impl Fn(T) -> bool + Sync + Send) -> Option<usize> {
    if v.len() <= FEW {
        v.iter().position(|x| is_found(*x))
    } else {
        v.par_iter().position_first(|x| is_found(*x))
    }
}

/// The largest by `max` of what `of` makes of each, by threads where there are many.
fn largest<T: Copy + Send + Sync>(
    v: &[T],
    of: impl Fn(T) -> T + Sync + Send,
    max: impl Fn(T, T) -> T + Sync + Send,
) -> Option<T> {
    if v.len() <= FEW {
        v.iter().map(|x| of(*x)).reduce(max)
    } else {
        v.par_iter().map(|x| of(*x)).reduce_with(max)
    }
}

/// An integer that holds codes: `i8`, `i16`, `i32` or `i64`.
pub trait CodeInt: Copy + Into<i64> + Send + Sync + sealed::Sealed {
    /// Width.
    const BITS: u32;
    /// Bound: `code` fits.
    fn of(code: i64) -> Self;
}

/// A float that holds values: `f32` or `f64`.
pub trait ValueFloat: Copy + Send + Sync + sealed::Sealed {
    /// The same floats, where they are binary32 ones.
    fn as_f32(values: &mut [Self]) -> Option<&mut [f32]>;
    /// Floats as numbers.
    fn numbers(values: &[Self]) -> Numbers<'_>;
    /// `code * step`. Bound: a code of at most 24 bits and a step that is a power of two among the normal numbers, so it is exact.
    fn of_narrow(code: i32, step: f64) -> Self;
    /// The nearest, ties to even.
    fn of_real(value: Real) -> Self;
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

macro_rules! value_floats {
    ($($float:ty: $numbers:ident, $as_f32:expr;)*) => {$(
        impl sealed::Sealed for $float {}
        impl ValueFloat for $float {
            fn as_f32(values: &mut [Self]) -> Option<&mut [f32]> {
                let as_f32: fn(&mut [Self]) -> Option<&mut [f32]> = $as_f32;
                as_f32(values)
            }
            fn numbers(values: &[Self]) -> Numbers<'_> {
                Numbers::$numbers(values)
            }
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "exact, as the trait says")]
            fn of_narrow(code: i32, step: f64) -> Self {
                code as Self * step as Self
            }
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "a code has at most 53 bits, or is rounded once more")]
            fn of_real(value: Real) -> Self {
                value.to_f64() as Self
            }
        }
    )*};
}

value_floats!(f32: F32, |values| Some(values); f64: F64, |_| None;);
