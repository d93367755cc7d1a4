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

mod accumulate;
mod compare;
mod error;
mod exact;
mod models;
mod operand;
mod parts;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::Quantized;
pub use accumulate::{Accumulate, NoAccumulate};
pub use compare::{Difference, compare};
pub use error::ProductError;
use models::Widths;
use operand::Operand;
use parts::log2_up;

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
        *y = if scaled.is_nan() { f32::from_bits(0x7fc0_0000) } else { scaled };
    });
    Ok(out)
}
