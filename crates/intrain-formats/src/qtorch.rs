//! Arrays as QPyTorch quantizes them: values to values, section 12.4 of the contract.

use std::fmt;
use std::str::FromStr;

use intrain_num::qtorch::{block_exponent, block_quantize, float_quantize};
use intrain_num::random::Stream;
use rayon::prelude::*;

use crate::ShapeError;
use crate::quantized::axis_of;

/// `qtorch<EXP,MAN>` is `float_quantize`, `qtorch-block<WL>` is `block_quantize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qtorch {
    /// A float.
    Float {
        /// Exponent bits, 1 to 8.
        exponent: u32,
        /// Mantissa bits, 0 to 22.
        mantissa: u32,
    },
    /// Integers that share an exponent.
    Block {
        /// Word length, 1 to 22.
        word_length: u32,
    },
}

/// A text that names no format of QPyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no format of QPyTorch; write qtorch<E,M> with 1 to 8 and 0 to 22 bits, or qtorch-block<W> with 1 to 22"
)]
pub struct NoQtorch;

impl fmt::Display for Qtorch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float { exponent, mantissa } => write!(f, "qtorch<{exponent},{mantissa}>"),
            Self::Block { word_length } => write!(f, "qtorch-block<{word_length}>"),
        }
    }
}

impl FromStr for Qtorch {
    type Err = NoQtorch;

    fn from_str(text: &str) -> Result<Self, NoQtorch> {
        let fields = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix('>');
        if let Some(word_length) = fields("qtorch-block<").and_then(|field| field.trim().parse().ok()) {
            return if (1..=22).contains(&word_length) {
                Ok(Self::Block { word_length })
            } else {
                Err(NoQtorch)
            };
        }
        let (exponent, mantissa) =
            fields("qtorch<").and_then(|fields| fields.split_once(',')).ok_or(NoQtorch)?;
        let number = |text: &str| text.trim().parse().map_err(|_| NoQtorch);
        let (exponent, mantissa) = (number(exponent)?, number(mantissa)?);
        if (1..=8).contains(&exponent) && mantissa <= 22 {
            Ok(Self::Float { exponent, mantissa })
        } else {
            Err(NoQtorch)
        }
    }
}

impl Qtorch {
    /// Quantizes an array. A block is, as there, the whole tensor for `dim` -1 and else all elements with one index
    /// of dimension `dim`. With a stream, stochastic: the word of element `i` is its word `i`.
    ///
    /// # Errors
    /// The shape has no such dimension.
    pub fn quantize(
        &self,
        values: &[f32],
        shape: &[usize],
        dim: i64,
        stream: Option<Stream>,
    ) -> Result<Vec<f32>, ShapeError> {
        let word = |i: usize| stream.map(|stream| stream.word(i as u64));
        match *self {
            Self::Float { exponent, mantissa } => {
                Ok(each(values, |i, x| float_quantize(x, exponent, mantissa, word(i))))
            }
            Self::Block { word_length } => {
                let (len, inner) = if dim == -1 {
                    (1, values.len().max(1))
                } else {
                    let axis = axis_of(shape, dim)?;
                    (axis.len, axis.inner)
                };
                let block = |i: usize| i / inner % len;
                let mut largest = vec![0.0f32; len];
                for (i, x) in values.iter().enumerate() {
                    let a = &mut largest[block(i)];
                    // NaN stays.
                    *a = if x.abs() > *a || x.is_nan() { x.abs() } else { *a };
                }
                let exponents: Vec<_> = largest.into_iter().map(block_exponent).collect();
                Ok(each(values, |i, x| match exponents[block(i)] {
                    Some(exponent) => block_quantize(x, exponent, word_length, word(i)),
                    None => f32::NAN,
                }))
            }
        }
    }
}

/// What `of` makes of each element, by threads where there are many.
fn each(values: &[f32], of: impl Fn(usize, f32) -> f32 + Sync) -> Vec<f32> {
    /// Elements that one thread takes at a time.
    const CHUNK: usize = 1 << 14;
    let mut out = vec![0.0; values.len()];
    let chunk = |(c, (out, values)): (usize, (&mut [f32], &[f32]))| {
        out.iter_mut().zip(values).enumerate().for_each(|(i, (out, x))| *out = of(c * CHUNK + i, *x));
    };
    if values.len() <= CHUNK {
        chunk((0, (&mut out, values)));
    } else {
        out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).enumerate().for_each(chunk);
    }
    out
}
