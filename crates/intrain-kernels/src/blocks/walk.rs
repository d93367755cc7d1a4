//! The way through a tensor: bands of block rows, pieces of a band that fit the nearest cache, scales first, then the
//! elements row by row in lanes.

use intrain_num::Round;
use intrain_num::minifloat::FloatFormat;

use super::lanes::{LaneValues, Lanes, Loop, Rounder, with_rounder};
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

/// The largest magnitude of some values, as binary32 bits.
pub(super) struct Largest<'a> {
    pub(super) values: &'a [f32],
    pub(super) sees_nan: bool,
}

impl Operation for Largest<'_> {
    type Output = u32;

    fn reference(self) -> u32 {
        let limit = if self.sees_nan { u32::MAX } else { 0x7f80_0000 };
        let magnitudes = self.values.iter().map(|x| x.to_bits() & 0x7fff_ffff);
        magnitudes.filter(|magnitude| *magnitude <= limit).max().unwrap_or(0)
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) -> u32 {
        if self.sees_nan {
            return self.values.iter().map(|x| x.to_bits() & 0x7fff_ffff).fold(0, u32::max);
        }
        largest(self.values)
    }
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
    /// All of it, by the definition, under the largest magnitude of the whole tensor where that is known.
    fn reference(&mut self, args: &Args<'_>, largest: Option<u32>) -> f32;
    /// The scales of blocks beside each other, from block `first`.
    fn scales(&mut self, first: usize, codes: &[u8]);
    /// One element by the definition: its code under a scale.
    fn element(&mut self, args: &Args<'_>, place: usize, code: u32, scale: u8);
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
        let largest = || f32::from_bits(known.unwrap_or_else(|| largest(args.values)));
        let scaling = Scaling::new(&args.coding, args.round, largest);
        let value = value_of(&args.coding, 127, 1.0);
        let element_value = |code| match scaling {
            // Exact: without its scale a code is worth what it is worth under 1.
            Scaling::Factor(..) => FloatFormat::E2M1.decode(code).to_f32(),
            _ => value(code),
        };
        let lanes = LaneValues::new(lanes, element_value);
        let words = if args.round.is_stochastic() { Round::Stochastic { bits: 32 } } else { Round::Floor };
        let mut band = Band {
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

/// Largest magnitude as binary32 bits; NaN is not seen.
#[inline(always)]
fn largest(values: &[f32]) -> u32 {
    let finite = |x: &f32| {
        let magnitude = x.to_bits() & 0x7fff_ffff;
        if magnitude > 0x7f80_0000 { 0 } else { magnitude }
    };
    values.iter().map(finite).fold(0, u32::max)
}

/// A row of blocks.
struct Band<'a> {
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
    fn run(&mut self, rows: std::ops::Range<usize>, first_block: usize, out: &mut impl Out) {
        let width = self.grid.block_columns;
        // Whole blocks of as many columns as fit a piece; a wide block alone.
        let step = if width >= SEGMENT { width } else { SEGMENT / width * width };
        for start in (0..self.grid.columns).step_by(step) {
            let end = self.grid.columns.min(start + step);
            let n = (end - start).div_ceil(width);
            let serves = self.scales(rows.clone(), start..end, n);
            if self.args.coding.extent().is_some() {
                out.scales(first_block + start / width, &self.blocks.codes[..n]);
            }
            if !serves {
                self.slowly(rows.clone(), start..end, out);
                continue;
            }
            for first in (start..end).step_by(SEGMENT) {
                let columns = first..end.min(first + SEGMENT);
                self.fill(first - start, columns.len());
                for row in rows.clone() {
                    let place = row * self.grid.columns + columns.start;
                    let values = &self.args.values[place..][..columns.len()];
                    let words = self.words.get(self.args.first_element + place as u64, values.len());
                    let row = Row { place, values, words, columns: &self.columns, scaling: self.scaling };
                    with_rounder(self.args.round, OneRow { row, lanes: &self.lanes, out });
                }
            }
        }
    }

    /// The scales of the blocks of a piece; whether lanes serve all of them.
    #[inline(always)]
    fn scales(&mut self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, n: usize) -> bool {
        let (args, grid) = (self.args, self.grid);
        let row = |row: usize| &args.values[row * grid.columns..][columns.clone()];
        let sees_nan = |magnitude: u32| magnitude;
        let skips_nan = |magnitude: u32| if magnitude > 0x7f80_0000 { 0 } else { magnitude };
        let largest = &mut self.blocks.largest[..n];
        match self.scaling {
            Scaling::None => return true,
            // One block is all of the tensor.
            Scaling::Bias(_) if let Some(known) = self.largest => largest.fill(known),
            Scaling::Bias(mx) if mx.magnitude(f32::NAN) != 0 => {
                largest_of_blocks(largest, rows.clone().map(row), grid.block_columns, sees_nan);
            }
            _ => largest_of_blocks(largest, rows.clone().map(row), grid.block_columns, skips_nan),
        }
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
    fn fill(&mut self, first: usize, n: usize) {
        let (width, blocks, columns) = (self.grid.block_columns, &self.blocks, &mut self.columns);
        match self.scaling {
            Scaling::None => {}
            Scaling::Bias(_) => {
                spread(&mut columns.bias[..n], &blocks.bias, first, width);
                spread(&mut columns.worth[..n], &blocks.worth, first, width);
            }
            Scaling::Factor(..) => {
                spread(&mut columns.encode[..n], &blocks.encode, first, width);
                spread(&mut columns.worth[..n], &blocks.worth, first, width);
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

/// The largest magnitude of each block of `width` columns in some rows, as binary32 bits.
#[inline(always)]
fn largest_of_blocks<'v>(
    largest: &mut [u32],
    rows: impl Iterator<Item = &'v [f32]>,
    width: usize,
    seen: impl Fn(u32) -> u32,
) {
    largest.fill(0);
    let seen = |x: &f32| seen(x.to_bits() & 0x7fff_ffff);
    for row in rows {
        match width {
            1 => largest.iter_mut().zip(row).for_each(|(a, x)| *a = (*a).max(seen(x))),
            16 => of_run::<16>(largest, row, seen),
            32 => of_run::<32>(largest, row, seen),
            _ => {
                for (a, block) in largest.iter_mut().zip(row.chunks(width)) {
                    *a = block.iter().map(seen).fold(*a, u32::max);
                }
            }
        }
    }
}

/// The same for blocks of a width that is known when this is compiled.
#[inline(always)]
fn of_run<const WIDTH: usize>(largest: &mut [u32], row: &[f32], seen: impl Fn(&f32) -> u32) {
    let (blocks, rest) = row.as_chunks::<WIDTH>();
    for (a, block) in largest.iter_mut().zip(blocks) {
        let mut lanes = [0; 8];
        for x in block.as_chunks::<8>().0 {
            lanes.iter_mut().zip(x).for_each(|(a, x)| *a = (*a).max(seen(x)));
        }
        *a = lanes.into_iter().fold(*a, u32::max);
    }
    if let Some(a) = largest.get_mut(blocks.len()) {
        *a = rest.iter().map(seen).fold(*a, u32::max);
    }
}

/// The numbers of blocks as numbers of columns, from column `first` on.
#[inline(always)]
fn spread<T: Copy>(columns: &mut [T], blocks: &[T], first: usize, width: usize) {
    if width == 1 {
        columns.copy_from_slice(&blocks[first..][..columns.len()]);
    } else {
        // A piece begins with a block, or lies within one.
        let blocks = &blocks[first / width..];
        columns.chunks_mut(width).zip(blocks).for_each(|(columns, block)| columns.fill(*block));
    }
}

/// A row with the rounding that its loop is compiled for.
struct OneRow<'a, 'r, O> {
    row: Row<'r>,
    lanes: &'a LaneValues,
    out: &'a mut O,
}

impl<O: Out> Loop for OneRow<'_, '_, O> {
    #[inline(always)]
    fn run(self, rounder: impl Rounder) {
        self.out.row(&self.row, self.lanes, rounder);
    }
}

impl<T: Code> Out for Codes<'_, T> {
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
