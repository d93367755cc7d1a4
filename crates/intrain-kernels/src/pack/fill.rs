//! The loops of packing, portable: columns contiguous are interleaved, columns apart are gathered.

use super::panels::{COLUMNS, Line, panels};
use super::{Source, ZERO_LANE};

/// Writes all lines of `source`, each value through `convert`; the lines it does not reach do not exist.
///
/// `N = 16 * LANES`; `source` is checked.
pub(super) fn fill<S: Copy, T: Copy + Default, const LANES: usize, const N: usize>(
    source: &Source<'_, S>,
    lines: &mut Vec<Line<T, N>>,
    convert: impl Fn(S) -> T + Copy,
) {
    const { assert!(N == COLUMNS * LANES) };
    let (groups, _) = source.table.as_chunks::<LANES>();
    lines.resize(source.n.div_ceil(COLUMNS) * groups.len(), Line::default());
    for panel in panels(source.n) {
        let first = panel.first_line(groups.len());
        let panel_lines = &mut lines[first..first + groups.len() * panel.width];
        for half in 0..panel.width {
            let column = panel.column + half * COLUMNS;
            let every = panel_lines[half..].iter_mut().step_by(panel.width);
            for (line, group) in every.zip(groups) {
                line.0 = if source.n_stride == 1 {
                    interleave(source, column, group, convert)
                } else {
                    gather(source, column, group, convert)
                };
            }
        }
    }
}

/// A line from `LANES` runs of 16 contiguous columns.
#[inline]
fn interleave<S: Copy, T: Copy + Default, const LANES: usize, const N: usize>(
    source: &Source<'_, S>,
    column: usize,
    group: &[u32; LANES],
    convert: impl Fn(S) -> T,
) -> [T; N] {
    let width = COLUMNS.min(source.n - column);
    let mut runs = [[T::default(); COLUMNS]; LANES];
    for (run, &lane) in runs.iter_mut().zip(group) {
        if lane == ZERO_LANE {
            continue;
        }
        let from = &source.values[lane as usize + column..][..width];
        if let Ok(whole) = <&[S; COLUMNS]>::try_from(from) {
            // A whole line has a length that the compiler knows, so it becomes vector code.
            *run = whole.each_ref().map(|&value| convert(value));
        } else {
            run.iter_mut().zip(from).for_each(|(to, &value)| *to = convert(value));
        }
    }
    let mut line = [T::default(); N];
    for column in 0..COLUMNS {
        for lane in 0..LANES {
            line[column * LANES + lane] = runs[lane][column];
        }
    }
    line
}

/// A line from 16 columns that lie apart; each takes its lanes in one copy where they are neighbours.
#[inline]
fn gather<S: Copy, T: Copy + Default, const LANES: usize, const N: usize>(
    source: &Source<'_, S>,
    column: usize,
    group: &[u32; LANES],
    convert: impl Fn(S) -> T,
) -> [T; N] {
    let mut line = [T::default(); N];
    let (columns, _) = line.as_chunks_mut::<LANES>();
    let columns = columns[..COLUMNS.min(source.n - column)].iter_mut().enumerate();
    let neighbours = group[0] != ZERO_LANE && group.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    if neighbours && group[LANES - 1] != ZERO_LANE {
        for (i, to) in columns {
            let start = (column + i) * source.n_stride + group[0] as usize;
            let from: &[S] = &source.values[start..][..LANES];
            to.iter_mut().zip(from).for_each(|(to, &value)| *to = convert(value));
        }
    } else {
        for (i, to) in columns {
            for (to, &lane) in to.iter_mut().zip(group).filter(|(_, lane)| **lane != ZERO_LANE) {
                *to = convert(source.values[(column + i) * source.n_stride + lane as usize]);
            }
        }
    }
    line
}
