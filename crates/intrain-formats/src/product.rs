//! Products of two quantized matrices: exact, in binary32, and as tensor cores sum. Sections 13.4 and 13.7 of
//! `docs/arithmetic.md`.
//!
//! Invariant: equal operands give equal bits, with any number of threads.
//!
//! ```
//! use intrain_formats::product::{Accumulate, product};
//! use intrain_formats::{Quantized, Way};
//!
//! let way = Way::new("mxfp4".parse()?);
//! let a = Quantized::new(&[0.5, -1.5, 6.0, 0.0], &[1, 4], &way)?;
//! let b = Quantized::new(&[1.0, 2.0, 0.5, 6.0, 1.0, 1.0, 1.0, 1.0], &[2, 4], &way)?;
//! assert_eq!(product(&a, &b, Accumulate::Exact)?, [0.5, 5.0]);
//! assert_eq!(product(&a, &b, "truncated<25,32>".parse()?)?, [0.5, 5.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compare;
mod exact;
mod models;
mod operand;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

use crate::{Quantized, ShapeError};
pub use compare::{Difference, compare};
use models::Widths;
use operand::Operand;

/// How the products of a row and a column become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accumulate {
    /// Their sum, rounded once: section 13.4.
    #[default]
    Exact,
    /// Values in binary32; each product and each sum is rounded to it, in the order of `k` from +0.
    F32,
    /// A model of tensor cores, not a measurement of one: section 13.7. Its source is microsoft/MMA-Sim at c785138.
    ///
    /// The accumulator starts at +0. A block of products joins it at once: each term, and the accumulator, is aligned
    /// to the largest exponent among them, truncated toward zero to `fraction` bits below it, all are added exactly,
    /// and the result is truncated toward zero to a binary32 with `min(fraction, 23)` fraction bits. A term is a
    /// product of two significands with the sum of the exponents of both elements and both scales; or with `group`,
    /// an exact sum of that many products times the significands of the scales, with the sum of their exponents.
    Truncated {
        /// Fraction bits, 1 to 48.
        fraction: u32,
        /// Products of a block, 1 to 65,536.
        block: u32,
        /// Products whose exact sum is one term, a divisor of `block` and at most 4096; a group also ends where a
        /// scale does.
        group: Option<u32>,
    },
}

impl Accumulate {
    /// Hopper's `wgmma` of 8-bit floats.
    pub const HOPPER_FP8: Self = Self::Truncated { fraction: 13, block: 32, group: None };
    /// Blackwell's 8- and 4-bit floats, plain and as MX.
    pub const BLACKWELL_MX: Self = Self::Truncated { fraction: 25, block: 32, group: None };
    /// Blackwell's 4-bit floats under scales at its full rate, MXFP4 and NVFP4.
    pub const BLACKWELL_FP4: Self = Self::Truncated { fraction: 35, block: 64, group: Some(16) };
}

impl fmt::Display for Accumulate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::F32 => f.write_str("f32"),
            Self::Truncated { fraction, block, group: None } => write!(f, "truncated<{fraction},{block}>"),
            Self::Truncated { fraction, block, group: Some(group) } => {
                write!(f, "truncated<{fraction},{block},{group}>")
            }
        }
    }
}

/// A text that names no way to add products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no way to add products; write exact, f32, truncated<F,BLOCK> with F of 1 to 48 fraction bits and 1 to 65536 \
     products (Hopper's FP8: truncated<13,32>, Blackwell: truncated<25,32>), or truncated<F,BLOCK,GROUP> with a divisor \
     of BLOCK up to 4096 (Blackwell's FP4: truncated<35,64,16>)"
)]
pub struct NoAccumulate;

impl FromStr for Accumulate {
    type Err = NoAccumulate;

    fn from_str(text: &str) -> Result<Self, NoAccumulate> {
        match text {
            "exact" => return Ok(Self::Exact),
            "f32" => return Ok(Self::F32),
            _ => {}
        }
        let fields =
            text.strip_prefix("truncated<").and_then(|text| text.strip_suffix('>')).ok_or(NoAccumulate)?;
        let numbers = fields.split(',').map(|field| field.trim().parse().map_err(|_| NoAccumulate));
        let new = match *numbers.collect::<Result<Vec<u32>, _>>()?.as_slice() {
            [fraction, block] => Self::Truncated { fraction, block, group: None },
            [fraction, block, group] => Self::Truncated { fraction, block, group: Some(group) },
            _ => return Err(NoAccumulate),
        };
        if new.is_valid() { Ok(new) } else { Err(NoAccumulate) }
    }
}

impl Accumulate {
    /// Whether its numbers lie within their limits.
    const fn is_valid(&self) -> bool {
        let Self::Truncated { fraction, block, group } = *self else { return true };
        let within = 1 <= fraction && fraction <= 48 && 1 <= block && block <= 1 << 16;
        within
            && match group {
                Some(group) => group >= 1 && group <= 4096 && block % group == 0,
                None => true,
            }
    }
}

/// Two arrays that have no product, or none of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProductError {
    /// Not a matrix.
    #[error("{name} has the shape {shape:?}; a product takes matrices of two dimensions, so reshape it")]
    Dimensions {
        /// The operand.
        name: &'static str,
        /// Its sizes.
        shape: Vec<usize>,
    },
    /// Blocks that do not lie along the contracted dimension, or not where it is looked for.
    #[error(
        "{name} is quantized along axis {axis}; the axis says which dimension is contracted, and must be the last one{columns}"
    )]
    Axis {
        /// The operand.
        name: &'static str,
        /// Its axis.
        axis: i64,
        /// What else is allowed.
        columns: &'static str,
    },
    /// Different lengths of the contracted dimension.
    #[error("lines of a have {a} numbers, those of b {b}; both need the same k")]
    Inner {
        /// Of A.
        a: usize,
        /// Of B.
        b: usize,
    },
    /// A result that is too large.
    #[error("the result of {m} x {n} has more than 2^34 numbers")]
    Size {
        /// Rows.
        m: usize,
        /// Columns.
        n: usize,
    },
    /// Values beyond what an exact sum holds.
    #[error(
        "products of these formats lie between 2^{low} and 2^{high}, and a sum holds 2^-320 to 2^384; use f32 or formats of a smaller range"
    )]
    Range {
        /// All products are multiples of this power of two.
        low: i32,
        /// And their sums lie below this one.
        high: i32,
    },
    /// Numbers beyond the limits of [`Accumulate::Truncated`].
    #[error(transparent)]
    Accumulate(#[from] NoAccumulate),
    /// Groups of elements that are too wide.
    #[error(
        "groups of products are summed exactly for elements such as e2m1, e2m3, e3m2 and int8; leave out the group"
    )]
    Group,
    /// Codes or scales that do not belong to the shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// `A B^T`, the matrix `[m, n]` of sums over `k` in C order.
///
/// A is `[m, k]` with blocks along its last axis. B is `[n, k]` along its last axis, or `[k, n]` along axis 0. The axis
/// of a [`crate::Way`] says which dimension is `k`, for floats without scale too. The two may have different formats.
/// Tensors' factors are multiplied with each other in binary32, and the result with that; but for [`Accumulate::F32`],
/// whose values hold the factors. A NaN is 0x7fc00000.
///
/// # Errors
/// Other than two dimensions, other axes, different `k`; formats that are too wide for an exact sum, or for groups; and
/// limits of a truncated sum.
pub fn product(a: &Quantized, b: &Quantized, how: Accumulate) -> Result<Vec<f32>, ProductError> {
    let factor = a.factor * b.factor;
    let (a, b) = (Operand::new("a", a, false)?, Operand::new("b", b, true)?);
    if a.k != b.k {
        return Err(ProductError::Inner { a: a.k, b: b.k });
    }
    let size = ProductError::Size { m: a.lines, n: b.lines };
    if a.lines.checked_mul(b.lines).is_none_or(|outputs| outputs as u64 > 1 << 34) {
        return Err(size);
    }
    let ((low_a, high_a), (low_b, high_b)) = (a.range(), b.range());
    let (low, high) = (low_a + low_b, high_a + high_b + log2_up(a.k).cast_signed());
    if how != Accumulate::F32 && (low < -320 || high > 384) {
        return Err(ProductError::Range { low, high });
    }
    if !how.is_valid() {
        return Err(NoAccumulate.into());
    }
    let mut out = match how {
        Accumulate::Exact => exact::exact(&a, &b),
        Accumulate::F32 => models::sequential(&a, &b),
        Accumulate::Truncated { fraction, block, group } => {
            let widths = Widths { fraction, block: block as usize };
            match group {
                None => models::truncated(&a, &b, widths),
                Some(group) => {
                    if !a.is_narrow() || !b.is_narrow() {
                        return Err(ProductError::Group);
                    }
                    models::grouped(&a, &b, widths, group as usize)
                }
            }
        }
    };
    let applies = how != Accumulate::F32;
    out.par_iter_mut().for_each(|y| {
        let scaled = if applies { *y * factor } else { *y };
        *y = if scaled.is_nan() { f32::NAN } else { scaled };
    });
    Ok(out)
}

/// `f` of each row and column, on all threads.
fn fill(m: usize, n: usize, f: impl Fn(usize, usize) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    each_part(&mut out, n, 16, |i, j, out| (j..).zip(out).for_each(|(j, y)| *y = f(i, j)));
    out
}

/// Calls `f` with parts of rows of `n`, each with its row and its first column, on all threads.
fn each_part(out: &mut [f32], n: usize, part: usize, f: impl Fn(usize, usize, &mut [f32]) + Sync) {
    out.par_chunks_mut(n.max(1)).enumerate().for_each(|(i, row)| {
        row.par_chunks_mut(part).enumerate().for_each(|(j, out)| f(i, j * part, out));
    });
}

/// The least `n` with `x <= 2^n`.
fn log2_up(x: usize) -> u32 {
    x.checked_next_power_of_two().map_or(usize::BITS, usize::ilog2)
}
