//! What has no product.

use super::accumulate::NoAccumulate;
use crate::ShapeError;

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
    /// Numbers beyond the limits of [`super::Accumulate::Truncated`].
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
