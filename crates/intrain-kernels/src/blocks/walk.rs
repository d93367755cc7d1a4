//! The way through a tensor: bands of block rows, pieces of a band that fit the nearest cache, scales first, then the
//! elements row by row in lanes.

use intrain_num::Round;
use intrain_num::minifloat::FloatFormat;

use super::lanes::{LaneValues, Lanes, Loop, Rounder, with_rounder};
use super::largest::{largest, largest_of_blocks, largest_of_columns};
use super::lean::{Lean, RuleLanes, may_scale};
use super::out::{Columns, Out, Row, SEGMENT};
use super::reference::{self, value_of};
use super::scales::{Blocks, Scaling};
use super::{Args, Grid};
use crate::elementwise::Operation;
use crate::isa::Isa;
use crate::requantize::rounding::WordsOfChunk;

/// Columns of which a row is so short that its blocks are looked at together.
const NARROW: usize = 64;
/// Elements that rows are taken together for: loops this long are long, and what a column needs is copied for few rows.
const TOGETHER: usize = 128;

/// A walk with what it writes.
pub(super) struct Walk<'a, O> {
    pub(super) args: Args<'a>,
    /// Of a tensor of which this is a part, where its largest magnitude decides a scale of all of it.
    pub(super) largest: Option<u32>,
    pub(super) out: O,
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
        let least = lanes.lanes.bias + lanes.lanes.mantissa_bits().cast_signed();
        let band = Band {
            isa,
            lean: if may_scale(args.round) { Lean::new(&args.coding) } else { None },
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
        with_rounder(args.round, All { band, out });
        scaling.decode_factor()
    }
}

/// A walk with the rounding that its loops are compiled for: in one function with all roundings, a loop over rows would carry the
/// places of the loops of each.
struct All<'a, 'o, O> {
    band: Band<'a>,
    out: &'o mut O,
}

impl<O: Out> Loop for All<'_, '_, O> {
    #[inline(always)]
    fn run(self, rounder: impl Rounder) {
        let Self { mut band, out } = self;
        let grid = band.grid;
        for matrix in 0..grid.count {
            for down in 0..grid.blocks_down() {
                let rows = down * grid.block_rows..grid.rows.min((down + 1) * grid.block_rows);
                let rows = matrix * grid.rows + rows.start..matrix * grid.rows + rows.end;
                let first_block = (matrix * grid.blocks_down() + down) * grid.blocks_across();
                band.run((rows, first_block), &rounder, out);
            }
        }
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
    fn run<O: Out>(
        &mut self,
        (rows, first_block): (std::ops::Range<usize>, usize),
        rounder: &impl Rounder,
        out: &mut O,
    ) {
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
                // Rows of all columns lie behind one another: as many as a piece holds are one.
                let whole = columns.len() == self.grid.columns;
                let together = if whole { rows.len().min(TOGETHER.div_ceil(columns.len())) } else { 1 };
                self.fill::<O>(first - start, columns.len(), (together, lean.is_some()));
                for row in rows.clone().step_by(together) {
                    let place = row * self.grid.columns + columns.start;
                    let n = together.min(rows.end - row) * columns.len();
                    let values = &self.args.values[place..][..n];
                    let words = self.words.get(self.args.first_element + place as u64, n);
                    let row = Row { place, values, words, columns: &self.columns, scaling: self.scaling };
                    match &lean {
                        Some(lean) if lean.is_integer() => lean_piece::<true, _>(out, &row, lean, rounder),
                        Some(lean) => lean_piece::<false, _>(out, &row, lean, rounder),
                        None => out.row(&row, &self.lanes, rounder),
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
                if grid.block_columns == 1 && n == grid.columns && n <= NARROW {
                    let values = &args.values[rows.start * n..rows.end * n];
                    return largest_of_columns(largest, values, sees_nan);
                }
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

    /// What lanes need of `n` columns, the first of which is the `first` of the piece, for so many rows together.
    #[inline(always)]
    fn fill<O: Out>(&mut self, first: usize, n: usize, (rows, is_lean): (usize, bool)) {
        let (width, blocks, columns) = (self.grid.block_columns, &self.blocks, &mut self.columns);
        match self.scaling {
            Scaling::None => return,
            Scaling::Bias(_) if !is_lean => {
                spread(&mut columns.bias[..n * rows], &blocks.bias, (first, width, n))
            }
            Scaling::Bias(_) | Scaling::Factor(..) => {
                spread(&mut columns.encode[..n * rows], &blocks.encode, (first, width, n));
            }
        }
        if O::IS_WORTH {
            spread(&mut columns.worth[..n * rows], &blocks.worth, (first, width, n));
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

/// The numbers of blocks of `width` columns as numbers of `n` columns, from column `first` on, and the same again for each row behind.
#[inline(always)]
fn spread<T: Copy>(rows: &mut [T], blocks: &[T], (first, width, n): (usize, usize, usize)) {
    // A piece begins with a block, or lies within one.
    let blocks = &blocks[first / width..];
    let columns = &mut rows[..n];
    match width {
        1 => columns.copy_from_slice(&blocks[..n]),
        8 => spread_runs::<T, 8>(columns, blocks),
        16 => spread_runs::<T, 16>(columns, blocks),
        32 => spread_runs::<T, 32>(columns, blocks),
        _ => {
            for (columns, block) in columns.chunks_mut(width).zip(blocks) {
                columns.fill(*block);
            }
        }
    }
    // Twice as many rows each time.
    let mut done = n;
    while done < rows.len() {
        let more = done.min(rows.len() - done);
        rows.copy_within(..more, done);
        done += more;
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

#[inline(always)]
fn lean_piece<const INTEGER: bool, R: Rounder>(out: &mut impl Out, row: &Row<'_>, lean: &Lean, rounder: &R) {
    if R::IS_NEAREST_EVEN {
        out.nearest::<INTEGER>(row, lean);
    } else {
        out.lean_row::<INTEGER>(row, lean, rounder);
    }
}
