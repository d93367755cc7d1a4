//! The loops of packing, portable: columns contiguous are interleaved, columns apart are gathered.
//!
//! Everything here is inlined into its callers, so that it is compiled for their instruction set.

use super::panels::{COLUMNS, Line, line_index};
use super::{Source, ZERO_LANE};
use crate::transpose::{BLOCK, transposed};

/// Writes all lines of `source`; `bits` gives the low `32 / LANES` bits of a lane, the others zero.
///
/// `source` is checked.
#[inline(always)]
pub(super) fn fill<S: Copy, const LANES: usize>(
    source: &Source<'_, S>,
    lines: &mut Vec<Line>,
    bits: impl Fn(S) -> u32 + Copy,
) {
    let (groups, _) = source.table.as_chunks::<LANES>();
    let n_lines = source.n.div_ceil(COLUMNS);
    lines.resize(n_lines * groups.len(), Line::default());
    let index = |step, line| line_index(source.n, groups.len(), step, line);
    if source.n_stride == 1 {
        for (step, group) in groups.iter().enumerate() {
            interleave(source, group, |line, columns| lines[index(step, line)] = Line(columns), bits);
        }
    } else {
        for line in 0..n_lines {
            let (mut step, column) = (0, line * COLUMNS);
            while step < groups.len() {
                if let Some(block) = gather_block(source, column, &groups[step..], bits) {
                    for columns in block {
                        lines[index(step, line)] = Line(columns);
                        step += 1;
                    }
                } else {
                    lines[index(step, line)] = Line(gather(source, column, &groups[step], bits));
                    step += 1;
                }
            }
        }
    }
}

/// The lines of one step from `LANES` rows of contiguous columns.
#[inline(always)]
fn interleave<S: Copy, const LANES: usize>(
    source: &Source<'_, S>,
    group: &[u32; LANES],
    mut write: impl FnMut(usize, [u32; COLUMNS]),
    bits: impl Fn(S) -> u32 + Copy,
) {
    let row = |lane: u32| &source.values[lane as usize..][..source.n];
    let mut done = 0;
    if !group.contains(&ZERO_LANE) {
        // All lanes and whole lines: sizes that the compiler knows, so this is vector code.
        let rows = group.map(|lane| row(lane).as_chunks::<COLUMNS>().0);
        done = source.n / COLUMNS;
        for line in 0..done {
            let mut columns = [0; COLUMNS];
            for (i, row) in rows.iter().enumerate() {
                merge(&mut columns, &row[line], i * 32 / LANES, bits);
            }
            write(line, columns);
        }
    }
    for line in done..source.n.div_ceil(COLUMNS) {
        let mut columns = [0; COLUMNS];
        for (i, &lane) in group.iter().enumerate().filter(|(_, lane)| **lane != ZERO_LANE) {
            let (start, shift) = (lane as usize + line * COLUMNS, i * 32 / LANES);
            // Whole vectors where there are so many values, though some belong to no column.
            match source.values[start..].first_chunk::<COLUMNS>() {
                Some(run) => merge(&mut columns, run, shift, bits),
                None => merge(&mut columns, &row(lane)[line * COLUMNS..], shift, bits),
            }
        }
        let present = source.n - line * COLUMNS;
        for (i, column) in columns.iter_mut().enumerate() {
            *column = if i < present { *column } else { 0 };
        }
        write(line, columns);
    }
}

/// Puts one lane of each column at its place.
#[inline(always)]
fn merge<S: Copy>(columns: &mut [u32; COLUMNS], run: &[S], shift: usize, bits: impl Fn(S) -> u32) {
    columns.iter_mut().zip(run).for_each(|(to, &value)| *to |= bits(value) << shift);
}

/// The lines of 16 steps from 16 columns that lie apart, where all their lanes are neighbours.
#[inline(always)]
fn gather_block<S: Copy, const LANES: usize>(
    source: &Source<'_, S>,
    column: usize,
    groups: &[[u32; LANES]],
    bits: impl Fn(S) -> u32 + Copy,
) -> Option<[[u32; COLUMNS]; BLOCK]> {
    let lanes = groups.first_chunk::<BLOCK>()?.as_flattened();
    // ZERO_LANE is the greatest of all: no lane comes behind it, and where it is the last it belongs to no run.
    let is_run = lanes[lanes.len() - 1] != ZERO_LANE
        && lanes.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    if !is_run || source.n < column + COLUMNS {
        return None;
    }
    let mut block = [[0; BLOCK]; COLUMNS];
    for (i, steps) in block.iter_mut().enumerate() {
        let start = (column + i) * source.n_stride + lanes[0] as usize;
        let run = source.values[start..][..BLOCK * LANES].as_chunks::<LANES>().0;
        for (to, lanes) in steps.iter_mut().zip(run) {
            *to = joined(lanes, bits);
        }
    }
    Some(transposed(block))
}

/// The lanes of one column and step.
#[inline(always)]
fn joined<S: Copy, const LANES: usize>(lanes: &[S; LANES], bits: impl Fn(S) -> u32) -> u32 {
    let mut joined = 0;
    for (i, &value) in lanes.iter().enumerate() {
        joined |= bits(value) << (i * 32 / LANES);
    }
    joined
}

/// A line from 16 columns that lie apart; each takes its lanes in one load where they are neighbours.
#[inline(always)]
fn gather<S: Copy, const LANES: usize>(
    source: &Source<'_, S>,
    column: usize,
    group: &[u32; LANES],
    bits: impl Fn(S) -> u32 + Copy,
) -> [u32; COLUMNS] {
    let mut line = [0; COLUMNS];
    let columns = &mut line[..COLUMNS.min(source.n - column)];
    // ZERO_LANE is the greatest of all, so it has no neighbour behind it.
    let neighbours = group.windows(2).all(|pair| pair[0] != ZERO_LANE && pair[1] == pair[0] + 1);
    if neighbours && group[LANES - 1] != ZERO_LANE {
        for (i, to) in columns.iter_mut().enumerate() {
            let start = (column + i) * source.n_stride + group[0] as usize;
            let run: &[S; LANES] = source.values[start..].first_chunk().expect("the source is checked");
            *to = joined(run, bits);
        }
    } else {
        for (i, &lane) in group.iter().enumerate().filter(|(_, lane)| **lane != ZERO_LANE) {
            for (j, to) in columns.iter_mut().enumerate() {
                let value = source.values[(column + j) * source.n_stride + lane as usize];
                *to |= bits(value) << (i * 32 / LANES);
            }
        }
    }
    line
}
