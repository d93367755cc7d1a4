//! From a product to register tiles: panels of B outside, row tiles inside, written once for all instruction sets.
//!
//! A panel of B stays in the first-level cache while all rows pass by it; a tile of C is finished before the next.

use super::{Args, Packed, Store};
use crate::pack::{COLUMNS, panels};

/// A few rows by one panel: what a tile function computes, `C (+)= start + (A * B) * 2^shift`.
pub(crate) struct Tile<'a, B: Packed> {
    pub(crate) a: &'a [B::Left],
    /// As many as the tile function is made for.
    pub(crate) rows: &'a [u32],
    pub(crate) steps: &'a [u32],
    /// `[steps][width]`.
    pub(crate) b: &'a [B::Line],
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

/// Runs a product in tiles.
///
/// # Safety
/// The CPU has the features of `tiles`, and `args` has passed its check.
pub(crate) unsafe fn run<B: Packed>(args: Args<'_, B>, tiles: &Tiles<B>) {
    let Args { a, rows, steps, b, c, c_stride, init, store } = args;
    let (first, zeros) = (b.start(init), [B::Sum::default(); 2 * COLUMNS]);
    for panel in panels(b.n()) {
        let tiles = tiles[panel.width - 1];
        for (row, rows) in balanced(rows, tiles.len()) {
            let (mut start, mut store) = (&first[panel.column..], store);
            for limb in b.limbs() {
                let lines = &limb.lines[panel.first_line(steps.len())..][..steps.len() * panel.width];
                let chunks = lines.chunks(limb.flush_steps * panel.width);
                for (steps, b) in steps.chunks(limb.flush_steps).zip(chunks) {
                    let c = &mut c[row * c_stride + panel.column..];
                    let tile = Tile { a, rows, steps, b, start, shift: limb.shift, c, c_stride, store };
                    // SAFETY: `check` bounds rows plus steps by A, and C holds `rows * c_stride` elements where
                    // `c_stride` covers all panels, so the last row of this tile has its `16 * width` columns.
                    unsafe { tiles[rows.len() - 1](tile) };
                    (start, store) = (&zeros, Store::Add);
                }
            }
        }
    }
}

/// Rows in tiles of at most `most`, all but equal: 13 rows are 7 and 6, for a tile of one row is slow.
fn balanced(rows: &[u32], most: usize) -> impl Iterator<Item = (usize, &[u32])> {
    let n_tiles = rows.len().div_ceil(most);
    (0..n_tiles).map(move |tile| {
        let first = rows.len() * tile / n_tiles;
        (first, &rows[first..rows.len() * (tile + 1) / n_tiles])
    })
}

/// The tile functions `f::<1, width>` to `f::<rows, width>`.
macro_rules! tiles {
    ($f:ident, $width:literal, $($rows:literal)*) => { &[$($f::<$rows, $width>),*] };
}
pub(crate) use tiles;
