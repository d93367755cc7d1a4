//! From a product to register tiles: panels of B outside, row tiles inside, written once for all instruction sets.
//!
//! A panel of B stays in the first-level cache while all rows pass by it; a tile of C is finished before the next.

use super::{Args, Packed, Store};
use crate::pack::{COLUMNS, Line, Panel, panels};

/// A few rows by one panel: what a tile function computes, `C (+)= start + (A * B) * 2^shift`.
pub(crate) struct Tile<'a, B: Packed> {
    pub(crate) a: &'a [B::Left],
    /// As many as the tile function is made for.
    pub(crate) rows: &'a [u32],
    pub(crate) steps: &'a [u32],
    /// `[steps][width]`.
    pub(crate) b: &'a [Line],
    /// At least `16 * width` columns.
    pub(crate) start: &'a [B::Sum],
    pub(crate) shift: u32,
    /// From the tile's first element.
    pub(crate) c: &'a mut [B::Sum],
    pub(crate) c_stride: usize,
    pub(crate) store: Store,
}

/// A register tile.
///
/// # Safety
/// The CPU has its features; each `row + step + LANES <= a.len()`; the slices are as long as [`Tile`] says; and
/// `c.len() >= (rows - 1) * c_stride + 16 * width`.
pub(crate) type TileFn<B> = unsafe fn(Tile<'_, B>);

/// The tile functions of a panel one line wide and of one two lines wide; entry `i` takes `i + 1` rows.
pub(crate) type Tiles<B> = [&'static [TileFn<B>]; 2];

/// Groups of 4 bytes of A in a block of rows: 256 KiB, which stay in the second-level cache while B passes by.
const GROUPS_BLOCK: usize = 1 << 16;

/// Runs a product in tiles of at most `most_steps` steps.
///
/// # Safety
/// The CPU has the features of `tiles`, and `args` has passed its check.
pub(crate) unsafe fn run<B: Packed>(mut args: Args<'_, B>, tiles: &Tiles<B>, most_steps: usize) {
    let start = args.b.start(args.init);
    let (rows, b) = (args.rows, args.b);
    // A block of few rows would read B too often.
    let rows_block = (GROUPS_BLOCK / b.n_steps()).max(48);
    for (block, rows) in balanced(rows, rows_block) {
        for panel in panels(b.n()) {
            let tiles = tiles[panel.width - 1];
            for (row, rows) in balanced(rows, tiles.len()) {
                // SAFETY: the caller's promise; these are rows of C and a panel of B.
                unsafe {
                    let tile = tiles[rows.len() - 1];
                    run_tile(&mut args, tile, most_steps, (block + row, rows), panel, &start);
                }
            }
        }
    }
}

/// One tile over all of the depth, limb by limb, flushed as often as each limb demands.
///
/// # Safety
/// As [`run`]; `tile` is made for this number of rows and this width of panel.
unsafe fn run_tile<B: Packed>(
    args: &mut Args<'_, B>,
    tile: TileFn<B>,
    most_steps: usize,
    (row, rows): (usize, &[u32]),
    panel: Panel,
    start: &[B::Sum],
) {
    let &mut Args { a, steps, b, c_stride, mut store, .. } = args;
    let (mut start, zeros) = (&start[panel.column..], [B::Sum::default(); 2 * COLUMNS]);
    for limb in b.limbs() {
        let lines = &limb.lines[panel.first_line(steps.len())..][..steps.len() * panel.width];
        let most_steps = limb.flush_steps.min(most_steps);
        for (steps, b) in steps.chunks(most_steps).zip(lines.chunks(most_steps * panel.width)) {
            let c = &mut args.c[row * c_stride + panel.column..];
            // SAFETY: the check bounds rows plus steps by A; C holds `c_stride` elements for each row, and `c_stride`
            // covers all panels, so the last row of this tile has its `16 * width` columns.
            unsafe { tile(Tile { a, rows, steps, b, start, shift: limb.shift, c, c_stride, store }) };
            (start, store) = (&zeros, Store::Add);
        }
    }
}

/// Parts of at most `most`, all but equal: 13 rows are 7 and 6, for a tile of one row is slow.
fn balanced(all: &[u32], most: usize) -> impl Iterator<Item = (usize, &[u32])> {
    let n_parts = all.len().div_ceil(most);
    (0..n_parts).map(move |part| {
        let first = all.len() * part / n_parts;
        (first, &all[first..all.len() * (part + 1) / n_parts])
    })
}

/// The tile functions `f::<1, width>` to `f::<rows, width>`.
macro_rules! tiles {
    ($f:ident, $width:literal, $($rows:literal)*) => { &[$($f::<$rows, $width>),*] };
}
pub(crate) use tiles;
