//! In which order the array computes the tiles of a product.

use crate::machine::Machine;

/// A tile of `n x n` results, by its place among the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Tiles above it.
    pub row: usize,
    /// Tiles to its left.
    pub column: usize,
}

/// The tiles of a result of `[rows, columns]`: panel after panel, column after column, row after row of the panel.
pub fn tiles(machine: &Machine, [rows, columns]: [usize; 2]) -> impl Iterator<Item = Tile> {
    let (panel, row_tiles) = (machine.panel, rows.div_ceil(machine.n));
    let column_tiles = columns.div_ceil(machine.n);
    (0..row_tiles).step_by(panel).flat_map(move |first| {
        (0..column_tiles).flat_map(move |column| {
            (first..row_tiles.min(first + panel)).map(move |row| Tile { row, column })
        })
    })
}
