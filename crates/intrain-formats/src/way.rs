//! Everything that decides the bytes of a quantized array.

use std::fmt;

use intrain_kernels::Isa;
use intrain_kernels::blocks::{Args, Axis};
use intrain_num::block::Coding;
use intrain_num::minifloat::FloatRound;
use intrain_num::random::{Purpose, Stream};

use crate::ShapeError;
use crate::parts;
use crate::quantized::{check, check_length};

/// Format, rounding and axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The format, its scales and what shares one.
    pub coding: Coding,
    /// Rounding of the elements.
    pub round: FloatRound,
    /// The axis along which blocks run; negative ones count from the end.
    pub axis: i64,
    /// Seed of a stochastic rounding.
    pub seed: u64,
    /// Which of the arrays that are rounded under one seed this is.
    pub step: u64,
}

impl Way {
    /// Nearest-even, along the last axis.
    #[must_use]
    pub const fn new(coding: Coding) -> Self {
        Self { coding, round: FloatRound::NearestEven, axis: -1, seed: 1, step: 0 }
    }

    /// The random words: that of element `i` is word `i`.
    #[must_use]
    pub const fn stream(&self) -> Stream {
        Stream::new(self.seed, Purpose::Tool, 0, self.step)
    }

    /// What the numbers of an array of the sizes `shape`, in C order, are in the format: what [`Quantized::values`](crate::Quantized::values) gives, by threads.
    ///
    /// # Errors
    /// The shape has no such axis, no second one for tiles, or another number of values; or `out` has.
    ///
    /// ```
    /// use intrain_formats::Way;
    ///
    /// let mut out = [0.0; 4];
    /// Way::new("mxfp4@rceil".parse()?).values(&[0.5, -1.5, 6.5, 0.1], &[1, 4], &mut out)?;
    /// assert_eq!(out, [0.0, -2.0, 6.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn values(&self, values: &[f32], shape: &[usize], out: &mut [f32]) -> Result<(), ShapeError> {
        let axis = check(shape, self)?;
        check_length("values", (values.len(), axis.elements()), shape)?;
        check_length("values of out", (out.len(), axis.elements()), shape)?;
        parts::values(Isa::best(), self.args(axis, values), out);
        Ok(())
    }

    pub(crate) const fn args<'a>(&self, axis: Axis, values: &'a [f32]) -> Args<'a> {
        let Self { coding, round, .. } = *self;
        Args { coding, round, axis, values, stream: Some(self.stream()), first_element: 0 }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.coding, self.round)?;
        if self.coding.extent().is_some() { write!(f, " axis {}", self.axis) } else { Ok(()) }
    }
}
