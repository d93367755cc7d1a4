//! The way through a tensor: bands of block rows, pieces of a band that fit the nearest cache, scales first, then the
//! elements row by row in lanes.

use intrain_num::Round;
use intrain_num::minifloat::{FloatFormat, FloatRound};

use super::lanes::{LaneValues, Lanes, Loop, Rounder, with_rounder};
use super::largest::{largest, largest_of_blocks};
use super::lean::{Lean, RuleLanes, may_scale};
use super::reference::{self, value_of};
use super::scales::{Blocks, Scaling};
use super::{Args, Code, Grid};
use crate::elementwise::Operation;
use crate::isa::Isa;
use crate::requantize::rounding::WordsOfChunk;

/// Columns of a piece, and its blocks at most.
pub(super) const SEGMENT: usize = 512;

/// A walk with what it writes.
pub(super) struct Walk<'a, O> {
    pub(super) args: Args<'a>,
    /// Of a tensor of which this is a part, where its largest magnitude decides a scale of all of it.
    pub(super) largest: Option<u32>,
    pub(super) out: O,
}

/// Codes of elements and of scales.
pub(super) struct Codes<'a, T> {
    pub(super) codes: &'a mut [T],
    pub(super) scales: &'a mut [u8],
}

/// Values of a format.
pub(super) struct Values<'a> {
    pub(super) values: &'a mut [f32],
}

/// What a walk writes.
pub(super) trait Out {
    /// Whether lean lanes serve roundings other than to nearest-even.
    const HAS_LEAN_ROUNDS: bool;
    /// Whether it is asked what a code is worth.
    const IS_WORTH: bool;

    /// All of it, by the definition, under the largest magnitude of the whole tensor where that is known.
    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32;
    /// The scales of blocks beside each other, from block `first`.
    fn scales(&mut self, first: usize, codes: &[u8]);
    /// One element by the definition: its code under a scale.
    fn element(&mut self, args: &Args<'_>, place: usize, code: u32, scale: u8);
    /// A piece of a row in lean lanes, rounded to nearest-even.
    fn nearest(&mut self, row: &Row<'_>, lean: &Lean);
    /// A piece of a row in lean lanes under another rounding.
    fn lean_row(&mut self, row: &Row<'_>, lean: &Lean, rounder: impl Rounder);
    /// A piece of a row in lanes.
    fn row(&mut self, row: &Row<'_>, lanes: &LaneValues, rounder: impl Rounder);
}

/// A piece of a row.
pub(super) struct Row<'a> {
    /// Place of its first element in the tensor.
    place: usize,
    values: &'a [f32],
    words: &'a [u32],
    columns: &'a Columns,
    scaling: &'a Scaling,
}

/// What the lanes of each column need.
struct Columns {
    bias: [i32; SEGMENT],
    encode: [f32; SEGMENT],
    worth: [f32; SEGMENT],
}

impl<O: Out> Operation for Walk<'_, O> {
    type Output = f32;

    fn reference(mut self) -> f32 {
        self.out.reference(&self.args, self.largest)
    }

    #[inline(always)]
    fn vectorized(mut self, isa: Isa) -> f32 {
        let Some(lanes) = Lanes::new(&self.args.coding, self.args.round) else { return self.reference() };
        let (args, out) = (self.args, &mut self.out);
        let known = self.largest;
        let largest = || f32::from_bits(known.unwrap_or_else(|| largest(isa, args.values, false)));
        let scaling = Scaling::new(&args.coding, args.round, largest);
        let value = value_of(&args.coding, 127, 1.0);
        let element_value = |code| match scaling {
            // Exact: without its scale a code is worth what it is worth under 1.
            Scaling::Factor(..) => FloatFormat::E2M1.decode(code).to_f32(),
            _ => value(code),
        };
        let lanes = LaneValues::new(lanes, element_value);
        let words = if args.round.is_stochastic() { Round::Stochastic { bits: 32 } } else { Round::Floor };
        let has_lanes = args.round == FloatRound::NearestEven || O::HAS_LEAN_ROUNDS && may_scale(args.round);
        let lean = Lean::new(&args.coding).filter(|_| has_lanes);
        let least = lanes.lanes.bias + lanes.lanes.mantissa_bits().cast_signed();
        let mut band = Band {
            isa,
            lean,
            rule: if let Scaling::Bias(mx) = &scaling { Some(RuleLanes::new(mx, least)) } else { None },
            e4m3: Lean::of(FloatFormat::E4M3),
            args: &args,
            largest: known,
            grid: Grid::new(&args.coding, args.axis),
            lanes,
            scaling: &scaling,
            words: WordsOfChunk::new(isa, args.stream.map(Into::into), words),
            blocks: Blocks::new(),
            columns: Columns {
                bias: [lanes.lanes.bias; SEGMENT],
                encode: [1.0; SEGMENT],
                worth: [1.0; SEGMENT],
            },
        };
        let grid = band.grid;
        for matrix in 0..grid.count {
            for down in 0..grid.blocks_down() {
                let rows = down * grid.block_rows..grid.rows.min((down + 1) * grid.block_rows);
                let rows = matrix * grid.rows + rows.start..matrix * grid.rows + rows.end;
                band.run(rows, (matrix * grid.blocks_down() + down) * grid.blocks_across(), out);
            }
        }
        scaling.decode_factor()
    }
}

/// A row of blocks.
struct Band<'a> {
    isa: Isa,
    /// Lean lanes, if the format and the rounding have them.
    lean: Option<Lean>,
    rule: Option<RuleLanes>,
    e4m3: Option<Lean>,
    args: &'a Args<'a>,
    largest: Option<u32>,
    grid: Grid,
    lanes: LaneValues,
    scaling: &'a Scaling,
    words: WordsOfChunk<'a, { SEGMENT + 4 }>,
    blocks: Blocks,
    columns: Columns,
}

impl Band<'_> {
    /// Quantizes some rows; `first_block` is the number of their first block.
    #[inline(always)]
    fn run<O: Out>(&mut self, rows: std::ops::Range<usize>, first_block: usize, out: &mut O) {
        let width = self.grid.block_columns;
        // Whole blocks of as many columns as fit a piece; a wide block alone.
        let step = if width >= SEGMENT { width } else { SEGMENT / width * width };
        for start in (0..self.grid.columns).step_by(step) {
            let end = self.grid.columns.min(start + step);
            let n = (end - start).div_ceil(width);
            self.largest(rows.clone(), start..end, n);
            // Not by a closure, which would be compiled without the instructions of this loop.
            let lean = if self.lean_scales(n) { self.lean } else { None };
            let serves = lean.is_some() || self.scales(rows.clone(), start..end, n);
            if self.args.coding.extent().is_some() {
                out.scales(first_block + start / width, &self.blocks.codes[..n]);
            }
            if !serves {
                self.slowly(rows.clone(), start..end, out);
                continue;
            }
            for first in (start..end).step_by(SEGMENT) {
                let columns = first..end.min(first + SEGMENT);
                self.fill::<O>(first - start, columns.len(), lean.is_some());
                for row in rows.clone() {
                    let place = row * self.grid.columns + columns.start;
                    let values = &self.args.values[place..][..columns.len()];
                    let words = self.words.get(self.args.first_element + place as u64, values.len());
                    let row = Row { place, values, words, columns: &self.columns, scaling: self.scaling };
                    match &lean {
                        Some(lean) if self.args.round == FloatRound::NearestEven => out.nearest(&row, lean),
                        lean => {
                            let lean = lean.as_ref();
                            with_rounder(self.args.round, OneRow { row, lanes: &self.lanes, lean, out });
                        }
                    }
                }
            }
        }
    }

    /// The largest magnitudes of the blocks of a piece.
    #[inline(always)]
    fn largest(&mut self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, n: usize) {
        let (args, grid) = (self.args, self.grid);
        let row = |row: usize| &args.values[row * grid.columns..][columns.clone()];
        let largest = &mut self.blocks.largest[..n];
        match self.scaling {
            Scaling::None => {}
            // One block is all of the tensor.
            Scaling::Bias(_) if let Some(known) = self.largest => largest.fill(known),
            scaling => {
                let sees_nan = matches!(scaling, Scaling::Bias(mx) if mx.magnitude(f32::NAN) != 0);
                largest_of_blocks(self.isa, largest, rows.map(row), (grid.block_columns, sees_nan));
            }
        }
    }

    /// The scales of the blocks of a piece for lean lanes; whether those serve all of them.
    #[inline(always)]
    fn lean_scales(&mut self, n: usize) -> bool {
        match (self.scaling, &self.rule, &self.e4m3) {
            _ if self.lean.is_none() => false,
            (Scaling::None, ..) => true,
            (Scaling::Bias(_), Some(rule), _) => self.blocks.powers_for_lean(n, rule),
            (Scaling::Factor(tensor, _), _, Some(e4m3)) => match tensor.multiplier() {
                Some(multiplier) => {
                    self.blocks.nvfp4_by_product(n, multiplier, tensor.decode_factor(), e4m3);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// The scales of the blocks of a piece; whether lanes serve all of them.
    #[inline(always)]
    fn scales(&mut self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, n: usize) -> bool {
        let (args, grid) = (self.args, self.grid);
        let row = |row: usize| &args.values[row * grid.columns..][columns.clone()];
        match self.scaling {
            Scaling::None => true,
            Scaling::Bias(mx) => self.blocks.powers_of_two(n, mx, &self.lanes.lanes),
            Scaling::Factor(tensor, rule) => {
                let width = grid.block_columns;
                let copy = |block: usize, out: &mut [f32]| {
                    let mut len = 0;
                    for values in rows.clone().map(row) {
                        let values = &values[block * width..values.len().min((block + 1) * width)];
                        out[len..][..values.len()].copy_from_slice(values);
                        len += values.len();
                    }
                    len
                };
                self.blocks.nvfp4(n, tensor, *rule, copy);
                true
            }
        }
    }

    /// What lanes need of `n` columns, the first of which is the `first` of the piece.
    #[inline(always)]
    fn fill<O: Out>(&mut self, first: usize, n: usize, is_lean: bool) {
        let (width, blocks, columns) = (self.grid.block_columns, &self.blocks, &mut self.columns);
        match self.scaling {
            Scaling::None => {}
            Scaling::Bias(_) if !is_lean => {
                spread(&mut columns.bias[..n], &blocks.bias, first, width);
                if O::IS_WORTH {
                    spread(&mut columns.worth[..n], &blocks.worth, first, width);
                }
            }
            Scaling::Bias(_) | Scaling::Factor(..) => {
                spread(&mut columns.encode[..n], &blocks.encode, first, width);
                if O::IS_WORTH {
                    spread(&mut columns.worth[..n], &blocks.worth, first, width);
                }
            }
        }
    }

    /// A piece by the definition.
    fn slowly(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, out: &mut impl Out) {
        let Scaling::Bias(mx) = self.scaling else { return };
        for row in rows {
            for column in columns.clone() {
                let place = row * self.grid.columns + column;
                let scale = self.blocks.codes[(column - columns.start) / self.grid.block_columns];
                let code = mx.code(self.args.values[place], scale, reference::word(self.args, place));
                out.element(self.args, place, code.into(), scale);
            }
        }
    }
}

/// The numbers of blocks as numbers of columns, from column `first` on.
#[inline(always)]
fn spread<T: Copy>(columns: &mut [T], blocks: &[T], first: usize, width: usize) {
    // A piece begins with a block, or lies within one.
    let blocks = &blocks[first / width..];
    match width {
        1 => columns.copy_from_slice(&blocks[..columns.len()]),
        16 => spread_runs::<T, 16>(columns, blocks),
        32 => spread_runs::<T, 32>(columns, blocks),
        _ => columns.chunks_mut(width).zip(blocks).for_each(|(columns, block)| columns.fill(*block)),
    }
}

/// The same for blocks of a width that is known when this is compiled.
#[inline(always)]
fn spread_runs<T: Copy, const WIDTH: usize>(columns: &mut [T], blocks: &[T]) {
    let (runs, rest) = columns.as_chunks_mut::<WIDTH>();
    runs.iter_mut().zip(blocks).for_each(|(run, block)| *run = [*block; WIDTH]);
    if let Some(block) = blocks.get(runs.len()) {
        rest.fill(*block);
    }
}

/// A row with the rounding that its loop is compiled for.
struct OneRow<'a, 'r, O> {
    row: Row<'r>,
    lanes: &'a LaneValues,
    lean: Option<&'a Lean>,
    out: &'a mut O,
}

impl<O: Out> Loop for OneRow<'_, '_, O> {
    #[inline(always)]
    fn run(self, rounder: impl Rounder) {
        match self.lean {
            Some(lean) if O::HAS_LEAN_ROUNDS => self.out.lean_row(&self.row, lean, rounder),
            _ => self.out.row(&self.row, self.lanes, rounder),
        }
    }
}

impl<T: Code> Out for Codes<'_, T> {
    const HAS_LEAN_ROUNDS: bool = true;
    const IS_WORTH: bool = false;

    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32 {
        let Self { codes, scales } = self;
        reference::quantize(
            args,
            largest,
            |i, code| codes[i] = T::of(code),
            |block, scale| scales[block] = scale,
        )
    }

    fn scales(&mut self, first: usize, codes: &[u8]) {
        self.scales[first..][..codes.len()].copy_from_slice(codes);
    }

    fn element(&mut self, _args: &Args<'_>, place: usize, code: u32, _scale: u8) {
        self.codes[place] = T::of(code);
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "a product with a power of two, or section 13.3's")]
    fn nearest(&mut self, row: &Row<'_>, lean: &Lean) {
        // Loops, not closures, which would be compiled without the instructions of this one.
        let codes = self.codes[row.place..][..row.values.len()].iter_mut().zip(row.values);
        if let Scaling::None = row.scaling {
            for (code, x) in codes {
                *code = T::of(lean.code(*x));
            }
        } else {
            for ((code, x), encode) in codes.zip(&row.columns.encode) {
                *code = T::of(lean.code(x * encode));
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "a product with a power of two, or section 13.3's")]
    fn lean_row(&mut self, row: &Row<'_>, lean: &Lean, rounder: impl Rounder) {
        let codes = self.codes[row.place..][..row.values.len()].iter_mut();
        let elements = codes.zip(row.values).zip(row.words);
        if let Scaling::None = row.scaling {
            for ((code, x), word) in elements {
                *code = T::of(lean.rounded(*x, *word, &rounder));
            }
        } else {
            for (((code, x), word), encode) in elements.zip(&row.columns.encode) {
                *code = T::of(lean.rounded(x * encode, *word, &rounder));
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "the product in front of an NVFP4 code rounds, section 13.3")]
    fn row(&mut self, row: &Row<'_>, lanes: &LaneValues, rounder: impl Rounder) {
        let codes = self.codes[row.place..][..row.values.len()].iter_mut();
        let elements = codes.zip(row.values).zip(row.words);
        let lanes = &lanes.lanes;
        if let Scaling::Factor(..) = row.scaling {
            for (((code, x), word), encode) in elements.zip(&row.columns.encode) {
                *code = T::of(lanes.code((x * encode).to_bits(), lanes.bias, *word, &rounder));
            }
        } else {
            for (((code, x), word), bias) in elements.zip(&row.columns.bias) {
                *code = T::of(lanes.code(x.to_bits(), *bias, *word, &rounder));
            }
        }
    }
}

impl Out for Values<'_> {
    const HAS_LEAN_ROUNDS: bool = false;
    const IS_WORTH: bool = true;

    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32 {
        // The scales of a tensor are known before its values, so codes are kept where values will be.
        let mut scales = vec![0; super::scale_count(&args.coding, args.axis)];
        let mut codes = vec![0u32; args.values.len()];
        let factor = reference::quantize(
            args,
            largest,
            |i, code| codes[i] = code,
            |block, scale| scales[block] = scale,
        );
        reference::decode(&args.coding, args.axis, &codes, &scales, factor, self.values);
        factor
    }

    fn scales(&mut self, _first: usize, _codes: &[u8]) {}

    fn element(&mut self, args: &Args<'_>, place: usize, code: u32, scale: u8) {
        self.values[place] = value_of(&args.coding, scale, 1.0)(code);
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "products with powers of two, or section 13.3's")]
    fn nearest(&mut self, row: &Row<'_>, lean: &Lean) {
        let values = self.values[row.place..][..row.values.len()].iter_mut().zip(row.values);
        let columns = row.columns.encode.iter().zip(&row.columns.worth);
        match row.scaling {
            Scaling::None => {
                for (value, x) in values {
                    *value = lean.value(*x);
                }
            }
            // Exact: a code's value and a power of two whose product is a normal number.
            Scaling::Bias(_) => {
                for ((value, x), (encode, worth)) in values.zip(columns) {
                    *value = lean.value(x * encode) * worth;
                }
            }
            Scaling::Factor(tensor, _) => {
                let factor = tensor.decode_factor();
                for ((value, x), (encode, worth)) in values.zip(columns) {
                    *value = lean.value(x * encode) * worth * factor;
                }
            }
        }
    }

    fn lean_row(&mut self, row: &Row<'_>, lean: &Lean, _rounder: impl Rounder) {
        // Not called: other roundings have the lanes of every format.
        self.nearest(row, lean);
    }

    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "the products around an NVFP4 code round, section 13.3")]
    fn row(&mut self, row: &Row<'_>, lanes: &LaneValues, rounder: impl Rounder) {
        let values = self.values[row.place..][..row.values.len()].iter_mut();
        let elements = values.zip(row.values).zip(row.words);
        let bias = lanes.lanes.bias;
        match row.scaling {
            Scaling::None => {
                for ((value, x), word) in elements {
                    *value = lanes.value(x.to_bits(), bias, None, *word, &rounder);
                }
            }
            Scaling::Bias(_) => {
                for (((value, x), word), (bias, worth)) in
                    elements.zip(row.columns.bias.iter().zip(&row.columns.worth))
                {
                    *value = lanes.value(x.to_bits(), *bias, Some(*worth), *word, &rounder);
                }
            }
            Scaling::Factor(tensor, _) => {
                let factor = tensor.decode_factor();
                for (((value, x), word), (encode, worth)) in
                    elements.zip(row.columns.encode.iter().zip(&row.columns.worth))
                {
                    let code = lanes.value((x * encode).to_bits(), bias, None, *word, &rounder);
                    *value = code * worth * factor;
                }
            }
        }
    }
}
