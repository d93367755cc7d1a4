//! How products are added, as one line of text.

use std::fmt;
use std::str::FromStr;

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
    pub(super) const fn is_valid(&self) -> bool {
        let Self::Truncated { fraction, block, group } = *self else { return true };
        let within = 1 <= fraction && fraction <= 48 && 1 <= block && block <= 1 << 16;
        within
            && match group {
                Some(group) => group >= 1 && group <= 4096 && block % group == 0,
                None => true,
            }
    }
}
