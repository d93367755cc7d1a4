//! Tensors to small floats and to blocks that share a scale, and back: sections 12 and 13 of the contract.
//!
//! [`codes`] gives what is stored, [`values`] what a product of binary32 reads. Invariant: equal to `intrain-num`'s
//! `block` and `minifloat`, block by block and element by element.

use intrain_num::block::{Coding, Extent, Mx};
use intrain_num::minifloat::FloatRound;
use intrain_num::random::Stream;

use crate::elementwise;
use crate::isa::Isa;

mod lanes;
mod largest;
mod lean;
mod out;
mod reference;
mod scales;
mod short;
#[cfg(test)]
mod tests;
mod transform;
mod walk;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;

pub use reference::{Statistics, decode, each_block, statistics};
pub use transform::transform;

/// A tensor `[outer, len, inner]` in C order; blocks run along `len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Product of the dimensions in front.
    pub outer: usize,
    /// The dimension along which blocks run.
    pub len: usize,
    /// Product of the dimensions behind.
    pub inner: usize,
}

impl Axis {
    /// Elements of the tensor.
    #[must_use]
    pub const fn elements(self) -> usize {
        self.outer * self.len * self.inner
    }
}

/// What is quantized, and how.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    /// The format.
    pub coding: Coding,
    /// Rounding of the elements.
    pub round: FloatRound,
    /// The tensor's shape.
    pub axis: Axis,
    /// `[outer, len, inner]`.
    pub values: &'a [f32],
    /// The random words; a stochastic rounding needs them, others don't look.
    pub stream: Option<Stream>,
    /// The place of `values[0]` in the stream. Bound: `first_element + values.len() <= 2^34`.
    pub first_element: u64,
}

/// An integer that holds codes.
pub trait Code: Copy + Default + sealed::Sealed {
    /// Width.
    const BITS: u32;
    /// The low bits of `code`.
    fn of(code: u32) -> Self;
    /// The code.
    fn code(self) -> u32;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! codes {
    ($($int:ty),*) => {$(
        impl sealed::Sealed for $int {}
        impl Code for $int {
            const BITS: u32 = <$int>::BITS;
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "a code fits, as `check` asserts")]
            fn of(code: u32) -> Self {
                code as Self
            }
            #[inline(always)]
            fn code(self) -> u32 {
                self.into()
            }
        }
    )*};
}

codes!(u8, u16, u32);

/// The blocks of a tensor: `count` matrices of `rows x columns` in C order, cut into blocks from their first element.
/// Blocks at the end of a row or a column are smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) count: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) block_rows: usize,
    pub(crate) block_columns: usize,
}

impl Grid {
    pub(crate) fn new(coding: &Coding, axis: Axis) -> Self {
        let whole = axis.elements();
        let flat = Self { count: 1, rows: 1, columns: whole, block_rows: 1, block_columns: whole.max(1) };
        let Some(extent) = coding.extent() else { return flat };
        // Elements of a line are neighbours in memory, or those of neighbouring lines are.
        let along = |n: usize| {
            if axis.inner == 1 {
                let Axis { outer, len, .. } = axis;
                Self { count: 1, rows: outer, columns: len, block_rows: 1, block_columns: n }
            } else {
                let Axis { outer, len, inner } = axis;
                Self { count: outer, rows: len, columns: inner, block_rows: n, block_columns: 1 }
            }
        };
        match extent {
            Extent::Tensor => flat,
            Extent::Line => along(axis.len.max(1)),
            Extent::Run(n) => along(n as usize),
            Extent::Tile(n) => Self { block_rows: n as usize, block_columns: n as usize, ..along(1) },
        }
    }

    pub(crate) const fn blocks_down(&self) -> usize {
        self.rows.div_ceil(self.block_rows)
    }

    pub(crate) const fn blocks_across(&self) -> usize {
        self.columns.div_ceil(self.block_columns)
    }
}

/// How many scales a tensor has: none without one, 1 for a whole tensor, else one for each block, in C order of the
/// tensor whose blocked dimensions are divided by the block's (rounded up).
#[must_use]
pub fn scale_count(coding: &Coding, axis: Axis) -> usize {
    if coding.extent().is_none() || axis.elements() == 0 {
        return 0;
    }
    let grid = Grid::new(coding, axis);
    grid.count * grid.blocks_down() * grid.blocks_across()
}

/// Quantizes a tensor: its codes, the codes of its scales, and the factor of an NVFP4 tensor (else 1).
///
/// # Panics
/// When this CPU lacks `isa`, lengths differ, codes are wider than `T`, or a stochastic rounding has no stream.
pub fn codes<T: Code>(isa: Isa, args: Args<'_>, codes: &mut [T], scales: &mut [u8]) -> f32 {
    check(&args, codes.len());
    assert!(args.coding.bits() <= T::BITS, "codes of {} bits do not fit {}", args.coding.bits(), T::BITS);
    assert_eq!(scales.len(), scale_count(&args.coding, args.axis), "blocks: another number of scales");
    elementwise::run(isa, walk::Walk { args, largest: None, out: out::Codes { codes, scales } })
}

/// Quantizes a tensor to values of its format: what [`decode`] makes of [`codes`].
///
/// # Panics
/// When this CPU lacks `isa`, lengths differ, or a stochastic rounding has no stream.
pub fn values(isa: Isa, args: Args<'_>, out: &mut [f32]) {
    check(&args, out.len());
    match short::Short::new(&args.coding, args.round) {
        Some(short) => elementwise::run(isa, short::Walk { short, args, out }),
        None => elementwise::run(isa, walk::Walk { args, largest: None, out: out::Values { values: out } }),
    };
}

/// What decides a scale of the whole tensor, as binary32 bits: the largest magnitude of `values`, NaN and infinity above all
/// others where the format's scale looks at them. The largest of all parts is that of the tensor.
///
/// # Panics
/// When this CPU lacks `isa`.
#[must_use]
pub fn largest(isa: Isa, coding: &Coding, values: &[f32]) -> u32 {
    let sees_nan = matches!(coding, Coding::Scaled { element, rule, edges, .. }
        if Mx { element: *element, rule: *rule, edges: *edges, round: FloatRound::NearestEven }.magnitude(f32::NAN) != 0);
    elementwise::run(isa, largest::Largest { values, sees_nan })
}

/// As [`values`], of a part of a tensor whose [`largest`] magnitude decides a scale of all of it. A part begins and ends where blocks do.
///
/// # Panics
/// As [`values`].
pub fn values_of_part(isa: Isa, args: Args<'_>, largest: u32, out: &mut [f32]) {
    check(&args, out.len());
    let out = out::Values { values: out };
    elementwise::run(isa, walk::Walk { args, largest: Some(largest), out });
}

fn check(args: &Args<'_>, out: usize) {
    assert_eq!(args.values.len(), args.axis.elements(), "blocks: values and shape differ in length");
    assert_eq!(args.values.len(), out, "blocks: values and out differ in length");
    let needs = args.round.is_stochastic();
    assert!(!needs || args.stream.is_some(), "{} needs random words", args.round);
}
