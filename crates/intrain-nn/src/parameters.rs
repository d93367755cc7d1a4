//! Parameters and gradients: integers (or floats) in the narrowest type that holds their format.

use intrain_num::{Format, Quantizer};

/// A stored tensor: `value = code * 2^-frac_bits` of its format.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stored {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    F32(Vec<f32>),
}

impl Stored {
    /// Zeros in the type that `quantizer`'s format needs.
    #[must_use]
    pub fn zeros(quantizer: Quantizer, len: usize) -> Self {
        match (quantizer.format, quantizer.format.bits()) {
            (Format::Float32 | Format::Coded(_), _) => Self::F32(vec![0.0; len]),
            (_, 0..=8) => Self::I8(vec![0; len]),
            (_, 9..=16) => Self::I16(vec![0; len]),
            _ => Self::I32(vec![0; len]),
        }
    }

    /// Elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::I8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code at `i`; floats have none and give 0.
    #[must_use]
    pub fn code(&self, i: usize) -> i64 {
        match self {
            Self::I8(v) => v[i].into(),
            Self::I16(v) => v[i].into(),
            Self::I32(v) => v[i].into(),
            Self::F32(_) => 0,
        }
    }

    /// Sets the code at `i`, held at the ends of the type; floats are left alone.
    pub fn set_code(&mut self, i: usize, code: i64) {
        /// `code` in a narrower type, held at its ends.
        fn narrow<T: TryFrom<i64>>(code: i64, min: T, max: T) -> T {
            T::try_from(code).unwrap_or(if code < 0 { min } else { max })
        }
        match self {
            Self::I8(v) => v[i] = narrow(code, i8::MIN, i8::MAX),
            Self::I16(v) => v[i] = narrow(code, i16::MIN, i16::MAX),
            Self::I32(v) => v[i] = narrow(code, i32::MIN, i32::MAX),
            Self::F32(_) => {}
        }
    }
}

impl Stored {
    /// Becomes equal to `other`, in memory that is there already where both have one type.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::I8(to), Self::I8(from)) => to.clone_from(from),
            (Self::I16(to), Self::I16(from)) => to.clone_from(from),
            (Self::I32(to), Self::I32(from)) => to.clone_from(from),
            (Self::F32(to), Self::F32(from)) => to.clone_from(from),
            (to, from) => *to = from.clone(),
        }
    }
}

impl Moments {
    /// Becomes equal to `other`, in memory that is there already.
    pub(crate) fn copy_to(other: Option<&Self>, to: &mut Option<Self>) {
        match (other, to) {
            (Some(from), Some(to)) => {
                to.mean.copy_from(&from.mean);
                to.spread.copy_from(&from.spread);
            }
            (from, to) => *to = from.cloned(),
        }
    }
}

/// What a block has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Weights `[kernel height, kernel width, in / groups, out]` or `[in, out]`.
    pub weight: Stored,
    /// Biases `[out]`, stored in the weights' format; in float where weights are binary or on a grid. A norm's offsets.
    pub bias: Option<Stored>,
    /// What a norm remembers of all batches, and evaluates with; without it, each batch is normalized by its own statistics.
    pub moments: Option<Moments>,
}

/// Each channel's mean, and how far its values are from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// In float; or codes of `norm.mean`, with more digits where they are those of all batches.
    pub mean: Stored,
    /// The variance in float; or codes of `norm.spread`, with more digits where they are those of all batches.
    pub spread: Stored,
}

/// A weight gradient, summed over the batch, in units of the product's last bit: in a type that holds all of its sums.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Gradient {
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
}

impl Gradient {
    /// The sum at `i`; floats have none and give 0.
    #[must_use]
    pub fn integer(&self, i: usize) -> i64 {
        match self {
            Self::I32(sums) => sums[i].into(),
            Self::I64(sums) => sums[i],
            Self::F32(_) => 0,
        }
    }

    /// Elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::I32(sums) => sums.len(),
            Self::I64(sums) => sums.len(),
            Self::F32(sums) => sums.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the memory of `len` elements, which costs nothing before they are written.
    pub(crate) fn reserve(&mut self, len: usize) {
        match self {
            Self::I32(sums) => sums.reserve_exact(len.saturating_sub(sums.len())),
            Self::I64(sums) => sums.reserve_exact(len.saturating_sub(sums.len())),
            Self::F32(sums) => sums.reserve_exact(len.saturating_sub(sums.len())),
        }
    }
}

/// A block's gradients after a backward pass.
#[derive(Debug, Clone, Copy)]
pub struct BlockGradient<'a> {
    /// Weights `[kernel height, kernel width, in / groups, out]`.
    pub weight: &'a Gradient,
    /// The largest magnitude among them, where it is known: at least where the recipe's row `gradient` divides by it.
    pub weight_max: Option<u64>,
    /// Biases `[out]`, in units of the error's last bit.
    pub bias: Option<&'a Gradient>,
    /// The powers of two that a gradient's sum of 1 is worth, weights and biases, where the errors keep theirs.
    pub exponents: Option<[i32; 2]>,
    /// A norm's mean and unbiased variance of the batch.
    pub moments: Option<&'a Moments>,
}
