//! From a product to register tiles: panels of B outside, row tiles inside, written once for all instruction sets.
//!
//! A slice of a panel of B, as deep as the kernel wants it, stays in the first-level cache while all rows pass by it.

use super::{Args, Lined, Store};
use crate::pack::{COLUMNS, Line, PANEL, Panel, panels};

/// A few rows by one panel: what a tile function computes, `C (+)= start + (A * B) * 2^shift`.
pub(crate) struct Tile<'a, B: Lined> {
    pub(crate) a: &'a [B::Left],
    /// As many as the tile function is made for.
    pub(crate) rows: &'a [u32],
    pub(crate) steps: &'a [u32],
    /// `[steps][width]`.
    pub(crate) b: &'a [Line],
    pub(crate) start: &'a [B::Sum; PANEL],
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
pub(crate) unsafe fn run<B: Lined>(mut args: Args<'_, B>, tiles: &Tiles<B>, most_steps: usize) {
    let (rows, b) = (args.rows, args.b);
    let rows_block = (GROUPS_BLOCK / args.steps.len()).max(b.least_rows());
    let mut room = Vec::new();
    for (block, rows) in balanced(rows, rows_block) {
        for panel in panels(b.n()) {
            let start = b.start(args.init, panel.column, args.segments.clone());
            // SAFETY: the caller's promise; these are rows of C and a panel of B.
            unsafe {
                let tiles = (tiles[panel.width - 1], most_steps);
                run_panel(&mut args, tiles, (block, rows), panel, &start, &mut room);
            }
        }
    }
}

/// A block of rows by one panel, limb by limb, each flushed as often as it demands.
///
/// # Safety
/// As [`run`]; `tiles` are made for this width of panel, `rows` are the rows of C from number `block` on.
unsafe fn run_panel<B: Lined>(
    args: &mut Args<'_, B>,
    (tiles, most_steps): (&[TileFn<B>], usize),
    (block, rows): (usize, &[u32]),
    panel: Panel,
    start: &[B::Sum; PANEL],
    room: &mut Vec<Line>,
) {
    let &mut Args { a, steps, b, c_stride, mut store, .. } = args;
    let first_step = b.n_steps() / b.segments() * args.segments.start;
    let (mut start, neutral) = (start, &[B::NEUTRAL; PANEL]);
    let columns = (b.n() - panel.column).min(panel.width * COLUMNS);
    let mut beside = [B::Sum::default(); ROWS_MAX * PANEL];
    for limb in b.limbs() {
        let mut line = panel.first_line(b.n_steps()) + first_step * panel.width;
        let (shift, most_steps) = (limb.shift, limb.flush_steps.min(most_steps));
        for steps in steps.chunks(most_steps) {
            let end = line + steps.len() * panel.width;
            let b = b.lines(limb, line..end, room);
            line = end;
            for (row, rows) in balanced(rows, tiles.len()) {
                let c = &mut args.c[(block + row) * c_stride + panel.column..];
                let tile = Tile { a, rows, steps, b, start, shift, c, c_stride, store };
                // SAFETY: the check bounds rows plus steps by A; C holds `n` elements of each row, so a panel without
                // absent columns lies inside it.
                unsafe {
                    if columns == panel.width * COLUMNS {
                        tiles[rows.len() - 1](tile);
                    } else {
                        run_cut(tiles[rows.len() - 1], tile, columns, &mut beside);
                    }
                }
            }
            (start, store) = (neutral, Store::Add);
        }
    }
}

/// Most rows of any tile function.
const ROWS_MAX: usize = 12;

/// A tile of which C holds the first `columns` only: computed `beside` C, then copied.
///
/// # Safety
/// As [`TileFn`], but `c.len() >= (rows - 1) * c_stride + columns`.
unsafe fn run_cut<B: Lined>(
    run: TileFn<B>,
    tile: Tile<'_, B>,
    columns: usize,
    beside: &mut [B::Sum; ROWS_MAX * PANEL],
) {
    let Tile { rows, c, c_stride, store, .. } = tile;
    let c_rows = |row: usize| row * c_stride..row * c_stride + columns;
    if store == Store::Add {
        for (row, sums) in beside.chunks_exact_mut(PANEL).enumerate().take(rows.len()) {
            sums[..columns].copy_from_slice(&c[c_rows(row)]);
        }
    }
    // SAFETY: the caller's promise, and `beside` holds two lines for each row.
    unsafe { run(Tile { c: &mut *beside, c_stride: PANEL, ..tile }) };
    for (row, sums) in beside.chunks_exact(PANEL).enumerate().take(rows.len()) {
        c[c_rows(row)].copy_from_slice(&sums[..columns]);
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
