//! An operand of a product as lines along the contracted dimension: its numbers, and the scales of a line.

use intrain_kernels::blocks;
use intrain_num::block::{Coding, Extent, scale_value};
use intrain_num::minifloat::{FloatFormat, Number};

use super::error::ProductError;
use crate::quantized::axis_of;
use crate::{Quantized, ShapeError};

/// One side of a product.
pub(super) struct Operand<'a> {
    q: &'a Quantized,
    /// Lines: rows of the result for A, columns of it for B.
    pub(super) lines: usize,
    /// Numbers of a line.
    pub(super) k: usize,
    /// Whether lines are the columns of the array.
    is_columns: bool,
    /// What each code is worth without its scale; empty for codes of more than 16 bits.
    numbers: Vec<Number>,
}

/// What the numbers of a line hold beside finite ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Finite,
    Infinite,
    /// A NaN code, or a scale that is NaN.
    Nan,
}

/// A finite number, `mantissa * 2^exponent`. Bound: 24 bits, or 8 bits times 4 of an E4M3 scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) mantissa: i32,
    pub(super) exponent: i32,
}

impl<'a> Operand<'a> {
    pub(super) fn new(
        name: &'static str,
        q: &'a Quantized,
        may_be_columns: bool,
    ) -> Result<Self, ProductError> {
        let &[first, last] = q.shape.as_slice() else {
            return Err(ProductError::Dimensions { name, shape: q.shape.clone() });
        };
        let is_columns = match q.way.axis {
            1 | -1 => false,
            0 | -2 if may_be_columns => true,
            axis => {
                let last = if may_be_columns { ", or [k, n] along axis 0" } else { "" };
                return Err(ProductError::Axis { name, axis, columns: last });
            }
        };
        let axis = axis_of(&q.shape, q.way.axis)?;
        for (what, got, want) in [
            ("codes", q.codes.len(), axis.elements()),
            ("scales", q.scales.len(), blocks::scale_count(&q.way.coding, axis)),
        ] {
            if got != want {
                return Err(ShapeError::Length { what, shape: q.shape.clone(), got, want }.into());
            }
        }
        let (lines, k) = if is_columns { (last, first) } else { (first, last) };
        let coding = &q.way.coding;
        let numbers = match coding.bits() {
            bits @ ..=16 => (0..1 << bits).map(|code| element(coding, code)).collect(),
            _ => Vec::new(),
        };
        Ok(Self { q, lines, k, is_columns, numbers })
    }

    pub(super) const fn quantized(&self) -> &Quantized {
        self.q
    }

    /// Where the array holds number `i` of a line.
    pub(super) const fn place(&self, line: usize, i: usize) -> usize {
        if self.is_columns { i * self.lines + line } else { line * self.k + i }
    }

    /// What the code of number `i` of a line is worth without its scale.
    fn code_value(&self, line: usize, i: usize) -> Number {
        let code = self.q.codes.get(self.place(line, i));
        match self.numbers.len() {
            0 => element(&self.q.way.coding, code),
            n => self.numbers[code as usize & (n - 1)],
        }
    }

    /// The scale of number `i` of a line.
    fn scale(&self, line: usize, i: usize) -> Number {
        let coding = &self.q.way.coding;
        let Some(extent) = coding.extent() else {
            return Number::Finite { negative: false, mantissa: 1, exponent: 0 };
        };
        let at = |run: u32, together: usize| {
            let (along, across) = (i / run as usize, line / together);
            if self.is_columns {
                along * self.lines.div_ceil(together) + across
            } else {
                across * self.k.div_ceil(run as usize) + along
            }
        };
        let code = self.q.scales[match extent {
            Extent::Tensor => 0,
            Extent::Line => line,
            Extent::Run(run) => at(run, 1),
            Extent::Tile(tile) => at(tile, tile as usize),
        }];
        match coding {
            Coding::Nvfp4 { .. } => FloatFormat::E4M3.decode(code.into()),
            _ => scale_value(code),
        }
    }

    /// Numbers along a line that share a scale; at least 1.
    pub(super) fn run(&self) -> usize {
        match self.q.way.coding.extent() {
            Some(Extent::Run(n) | Extent::Tile(n)) => n as usize,
            _ => self.k.max(1),
        }
    }

    /// Number `i` of a line, exactly, under its scale.
    pub(super) fn number(&self, line: usize, i: usize) -> Number {
        match (self.code_value(line, i), self.scale(line, i)) {
            (_, Number::Nan { .. }) | (Number::Nan { .. }, _) => Number::Nan { negative: false },
            (
                Number::Finite { negative, mantissa, exponent },
                Number::Finite { negative: turns, mantissa: by, exponent: up },
            ) => Number::Finite {
                negative: negative != turns,
                mantissa: mantissa * by,
                exponent: exponent + up,
            },
            // Only codes can be infinite, and only under powers of two.
            (infinite, _) => infinite,
        }
    }

    /// Number `i` of a finite line. NaN and infinities, which no finite line has, count as 0.
    pub(super) fn term(&self, line: usize, i: usize) -> Term {
        signed(self.number(line, i))
    }

    /// The scale of number `i` of a line as an integer times a power of two; NaN counts as 0.
    pub(super) fn scale_term(&self, line: usize, i: usize) -> Term {
        signed(self.scale(line, i))
    }

    /// Number `i` of a line without its scale, as an integer of units of `2^unit`. Bound: [`Operand::largest`] is some.
    pub(super) fn integer(&self, line: usize, i: usize) -> i64 {
        match self.code_value(line, i) {
            Number::Finite { negative, mantissa, exponent } => {
                let magnitude = (mantissa << (exponent - self.unit())).cast_signed();
                if negative { -magnitude } else { magnitude }
            }
            _ => 0,
        }
    }

    /// What a line holds.
    pub(super) fn class(&self, line: usize) -> Class {
        let mut class = Class::Finite;
        let run = self.run();
        for i in 0..self.k {
            let is_nan = |number| matches!(number, Number::Nan { .. });
            let value = self.code_value(line, i);
            if is_nan(value) || i % run == 0 && is_nan(self.scale(line, i)) {
                return Class::Nan;
            }
            if matches!(value, Number::Infinite { .. }) {
                class = Class::Infinite;
            }
        }
        class
    }

    /// The format of the codes' magnitudes.
    const fn format(&self) -> FloatFormat {
        match self.q.way.coding {
            Coding::Plain { format, .. } => format,
            Coding::Scaled { element, .. } => element.magnitudes(),
            Coding::Nvfp4 { .. } => FloatFormat::E2M1,
        }
    }

    /// Whether codes are integers, whose least has no counterpart.
    const fn is_integer(&self) -> bool {
        matches!(self.q.way.coding, Coding::Scaled { element, .. } if element.is_integer())
    }

    /// The power of two that all values without scale are multiples of.
    pub(super) const fn unit(&self) -> i32 {
        let format = self.format();
        1 - format.bias() - format.mantissa_bits().cast_signed()
    }

    /// The largest magnitude of a code in units; `None` from `2^42` on, which is beyond binary16's.
    pub(super) const fn largest(&self) -> Option<u64> {
        let up = match self.format().max() {
            Number::Finite { mantissa, exponent, .. } if exponent - self.unit() <= 42 => {
                mantissa << (exponent - self.unit())
            }
            _ => return None,
        };
        if up >= 1 << 42 { None } else { Some(up + self.is_integer() as u64) }
    }

    /// Whether codes are integers below 2^9 without infinities, of a unit of at most 1: their sums of 4096 products fit
    /// i32.
    pub(super) fn is_narrow(&self) -> bool {
        self.largest().is_some_and(|x| x < 1 << 9) && self.unit() <= 0 && self.format().infinity().is_none()
    }

    /// Powers of two of the least scale and of the one above the largest.
    const fn scale_range(&self) -> (i32, i32) {
        match self.q.way.coding {
            Coding::Plain { .. } => (0, 0),
            Coding::Scaled { .. } => (-127, 127),
            Coding::Nvfp4 { .. } => (-9, 9),
        }
    }

    /// The powers of two between which all values lie: multiples of the first, below the second.
    pub(super) const fn range(&self) -> (i32, i32) {
        let (low, high) = self.scale_range();
        let integer = self.is_integer() as i32;
        (self.unit() + low, self.format().max_exponent() + 1 + integer + high)
    }

    /// How far the exponent of a number lies above that of its mantissa as [`Operand::term`] has it: subnormal numbers
    /// have the exponent of the least normal one, integers that of 1.
    pub(super) const fn element_digits(&self) -> i32 {
        self.format().mantissa_bits().cast_signed()
    }

    /// The same for a scale.
    pub(super) const fn scale_digits(&self) -> i32 {
        match self.q.way.coding {
            Coding::Nvfp4 { .. } => FloatFormat::E4M3.mantissa_bits().cast_signed(),
            _ => 0,
        }
    }

    /// Bits of a scale's mantissa beyond the first.
    pub(super) const fn scale_bits(&self) -> u32 {
        // A power of two is 1; E4M3 has four bits, below 2^4.
        if self.scale_digits() == 0 { 0 } else { 4 }
    }
}

fn element(coding: &Coding, code: u32) -> Number {
    match coding {
        Coding::Plain { format, .. } => format.decode(code),
        #[allow(clippy::cast_possible_truncation, reason = "elements have at most 8 bits")]
        Coding::Scaled { element, .. } => element.decode(code as u8),
        Coding::Nvfp4 { .. } => FloatFormat::E2M1.decode(code),
    }
}

fn signed(number: Number) -> Term {
    match number {
        Number::Finite { negative, mantissa, exponent } => {
            #[allow(clippy::cast_possible_truncation, reason = "at most 24 bits, as a format's mantissa has")]
            let magnitude = mantissa as i32;
            Term { mantissa: if negative { -magnitude } else { magnitude }, exponent }
        }
        _ => Term { mantissa: 0, exponent: 0 },
    }
}

/// Where the numbers of a line are cut: at every multiple of one of `runs`, each at least 1.
pub(super) fn segments(k: usize, runs: &[usize]) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < k {
        // The next multiple of each.
        let end = runs.iter().map(|run| (start / run + 1).saturating_mul(*run)).min().unwrap_or(k).min(k);
        all.push((start, end));
        start = end;
    }
    all
}
