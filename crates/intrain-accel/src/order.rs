//! The order of a product on the array: tiles, passes, and which draw rounds which element.
//!
//! Between the machine and everything that computes: values, cycles and test vectors all walk [`Tiling`].
//! `C (l x m) = A (l x k) * B (k x m)`; for each panel of row tiles, for each column tile, for each row tile of the panel.

use crate::Machine;

/// Most tiles along an edge, and most steps of k: the hardware's counters have 24 bits.
pub const COUNT_MAX: usize = (1 << 24) - 1;
/// Most beats that a product reads of one operand, or writes: addresses have 32 bits.
pub const BEATS_MAX: u64 = u32::MAX as u64;

/// What a command asks for: `C (l x m) = A (l x k) * B (k x m)` in a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Product {
    /// Rows of A and of C.
    pub l: usize,
    /// Columns of A, rows of B: the summed dimension.
    pub k: usize,
    /// Columns of B and of C.
    pub m: usize,
    /// How results leave.
    pub format: Format,
}

/// How results leave the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Rounded to a word: index into the machine's `drop`.
    Rounded(usize),
    /// The accumulator, whole.
    Exact,
}

/// A product that the machine cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProductError {
    /// An edge of zero.
    #[error("a product of {l} x {k} x {m} (l x k x m) is empty; every edge must be at least 1")]
    Empty {
        /// Rows of A.
        l: usize,
        /// Columns of A.
        k: usize,
        /// Columns of B.
        m: usize,
    },
    /// An edge that the counters cannot hold.
    #[error("{edge} = {value} is more than the {limit} that the machine counts to; split the product")]
    TooLarge {
        /// Which count.
        edge: &'static str,
        /// How many.
        value: u64,
        /// Most.
        limit: u64,
    },
    /// A format that is not built.
    #[error("format {index} is not one of the machine's {count} (drop); use an index below {count}")]
    Format {
        /// The index.
        index: usize,
        /// How many formats there are.
        count: usize,
    },
    /// Whole accumulators, which the machine does not give out.
    #[error("exact results are not built (exact = false); set exact = true, or name a format below {count}")]
    NotExact {
        /// How many formats there are.
        count: usize,
    },
}

impl Product {
    /// Whether `machine` can do this product.
    ///
    /// # Errors
    /// What stands against it.
    ///
    /// # Panics
    /// If `machine` has no rows, which [`Machine::check`] refuses.
    pub fn check(&self, machine: &Machine) -> Result<(), ProductError> {
        let Self { l, k, m, format } = *self;
        let count = machine.drop.len();
        match format {
            Format::Rounded(index) if index >= count => return Err(ProductError::Format { index, count }),
            Format::Exact if !machine.exact => return Err(ProductError::NotExact { count }),
            _ => {}
        }
        if l == 0 || k == 0 || m == 0 {
            return Err(ProductError::Empty { l, k, m });
        }
        let limit = COUNT_MAX as u64;
        let tiling = Tiling::of(machine, self);
        for (edge, value) in [("k", k), ("row tiles", tiling.rows), ("column tiles", tiling.columns)] {
            if value > COUNT_MAX {
                return Err(ProductError::TooLarge { edge, value: value as u64, limit });
            }
        }
        // Bound: counts below 2^24 and n <= 64, so all products here are below 2^54.
        for (edge, value) in [
            ("beats of A", tiling.rows as u64 * k as u64),
            ("beats of B", tiling.columns as u64 * k as u64),
            ("beats of C", tiling.tiles() * machine.n as u64),
        ] {
            if value > BEATS_MAX {
                return Err(ProductError::TooLarge { edge, value, limit: BEATS_MAX });
            }
        }
        Ok(())
    }

    /// Multiply-accumulates of the product itself, without filled-up edges.
    #[must_use]
    pub const fn macs(&self) -> u64 {
        self.l as u64 * self.k as u64 * self.m as u64
    }
}

/// How a product is cut into tiles of `n x n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Rows and columns of a tile.
    pub n: usize,
    /// Row tiles, `ceil(l / n)`.
    pub rows: usize,
    /// Column tiles, `ceil(m / n)`.
    pub columns: usize,
    /// Row tiles in a panel, all but perhaps the last.
    pub panel: usize,
    /// Steps of k.
    pub steps: usize,
    /// Most steps of one pass.
    pub depth: usize,
}

/// One tile of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Row tile, over all panels.
    pub row: usize,
    /// Column tile.
    pub column: usize,
}

impl Tiling {
    /// The cut of `product` on `machine`.
    ///
    /// # Panics
    /// If `machine` has no rows, which [`Machine::check`] refuses.
    #[must_use]
    pub const fn of(machine: &Machine, product: &Product) -> Self {
        let n = machine.n;
        Self {
            n,
            rows: product.l.div_ceil(n),
            columns: product.m.div_ceil(n),
            panel: machine.panel,
            steps: product.k,
            depth: machine.depth,
        }
    }

    /// Tiles of C.
    #[must_use]
    pub const fn tiles(&self) -> u64 {
        self.rows as u64 * self.columns as u64
    }

    /// Panels of row tiles.
    #[must_use]
    pub const fn panels(&self) -> usize {
        self.rows.div_ceil(self.panel)
    }

    /// Row tiles of panel number `panel`.
    #[must_use]
    pub fn panel_rows(&self, panel: usize) -> usize {
        self.panel.min(self.rows - panel * self.panel)
    }

    /// Passes of one tile: chunks of at most `depth` steps.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.steps.div_ceil(self.depth)
    }

    /// Whether a tile takes several passes, each of which loads both operands.
    #[must_use]
    pub const fn chunked(&self) -> bool {
        self.steps > self.depth
    }

    /// Every tile, in the order of the array.
    pub fn order(self) -> impl Iterator<Item = Tile> {
        (0..self.panels()).flat_map(move |panel| {
            (0..self.columns).flat_map(move |column| {
                (0..self.panel_rows(panel)).map(move |row| Tile { row: panel * self.panel + row, column })
            })
        })
    }

    /// Place of a tile in that order, counted from 0.
    #[must_use]
    pub fn number(&self, tile: Tile) -> u64 {
        let panel = tile.row / self.panel;
        let before = panel as u64 * self.panel as u64 * self.columns as u64;
        let rows = self.panel_rows(panel) as u64;
        before + tile.column as u64 * rows + (tile.row % self.panel) as u64
    }

    /// Which draw of LFSR number `c mod n` rounds `C[r][c]`, counted from 0.
    #[must_use]
    pub fn draw_number(&self, r: usize, c: usize) -> u64 {
        let tile = Tile { row: r / self.n, column: c / self.n };
        self.number(tile) * self.n as u64 + (r % self.n) as u64
    }

    /// Beats of A that the product reads: a panel's once, or once per column tile where k is cut.
    #[must_use]
    pub const fn a_beats(&self) -> u64 {
        let times = if self.chunked() { self.columns as u64 } else { 1 };
        self.rows as u64 * self.steps as u64 * times
    }

    /// Beats of B that the product reads: once per panel, or once per row tile where k is cut.
    #[must_use]
    pub const fn b_beats(&self) -> u64 {
        let times = if self.chunked() { self.rows } else { self.panels() };
        self.columns as u64 * self.steps as u64 * times as u64
    }

    /// Beats of C that the product writes: all rows of all tiles.
    #[must_use]
    pub const fn c_beats(&self) -> u64 {
        self.tiles() * self.n as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiling(rows: usize, columns: usize, panel: usize) -> Tiling {
        Tiling { n: 3, rows, columns, panel, steps: 5, depth: 16 }
    }

    #[test]
    fn numbers_count_the_tiles_in_order() {
        for (rows, columns, panel) in [(1, 1, 1), (5, 3, 2), (4, 4, 4), (7, 2, 3), (2, 5, 4), (9, 1, 4)] {
            let tiling = tiling(rows, columns, panel);
            let order: Vec<Tile> = tiling.order().collect();
            assert_eq!(order.len() as u64, tiling.tiles());
            for (number, tile) in order.into_iter().enumerate() {
                assert_eq!(tiling.number(tile), number as u64, "{rows} x {columns}, panel {panel}: {tile:?}");
            }
        }
    }

    #[test]
    fn elements_draw_in_the_order_in_which_they_leave() {
        // 2 row tiles and 2 column tiles of 3 x 3 in one panel: tile (1, 0) is second, (0, 1) third.
        let tiling = tiling(2, 2, 2);
        assert_eq!(tiling.draw_number(0, 0), 0);
        assert_eq!(tiling.draw_number(2, 1), 2);
        assert_eq!(tiling.draw_number(4, 2), 3 + 1);
        assert_eq!(tiling.draw_number(0, 5), 6);
        assert_eq!(tiling.draw_number(5, 5), 11);
    }

    #[test]
    fn what_a_machine_cannot_do_is_refused() {
        let machine = Machine { exact: false, ..Machine::default() };
        let product = |l, k, m, format| Product { l, k, m, format }.check(&machine);
        assert_eq!(product(1, 1, 1, Format::Rounded(1)), Ok(()));
        assert_eq!(product(1, 0, 1, Format::Rounded(0)), Err(ProductError::Empty { l: 1, k: 0, m: 1 }));
        assert_eq!(product(1, 1, 1, Format::Rounded(2)), Err(ProductError::Format { index: 2, count: 2 }));
        assert_eq!(product(1, 1, 1, Format::Exact), Err(ProductError::NotExact { count: 2 }));
        let error = product(1, 1 << 24, 1, Format::Rounded(0)).unwrap_err();
        assert!(error.to_string().starts_with("k = 16777216 is more than the 16777215"), "{error}");
        let error = product(usize::MAX, usize::MAX, usize::MAX, Format::Rounded(0)).unwrap_err();
        assert!(error.to_string().starts_with("k = "), "{error}");
        let error = product(28 << 12, 1 << 20, 1, Format::Rounded(0)).unwrap_err();
        assert!(error.to_string().starts_with("beats of A = 4294967296"), "{error}");
    }
}
