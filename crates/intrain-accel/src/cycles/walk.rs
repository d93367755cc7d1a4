//! The nests that loader and tile control walk: passes of a product, and the loads among them. `pass_walker.sv` and
//! `load_sequence.sv` are the same in hardware.

use crate::order::Tiling;

/// A place in the nest panel, column tile, row tile, chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walker {
    tiling: Tiling,
    pub(super) panel: usize,
    pub(super) column: usize,
    /// In the panel.
    pub(super) row: usize,
    /// Steps of the tile that are left, this pass's included.
    pub(super) left: usize,
}

impl Walker {
    pub(super) const fn new(tiling: Tiling) -> Self {
        Self { tiling, panel: 0, column: 0, row: 0, left: tiling.steps }
    }

    pub(super) fn panel_rows(&self) -> usize {
        self.tiling.panel_rows(self.panel)
    }

    pub(super) fn length(&self) -> usize {
        self.left.min(self.tiling.depth)
    }

    pub(super) const fn last_chunk(&self) -> bool {
        self.left <= self.tiling.depth
    }

    pub(super) fn last_row(&self) -> bool {
        self.row + 1 == self.panel_rows()
    }

    pub(super) const fn last_column(&self) -> bool {
        self.column + 1 == self.tiling.columns
    }

    /// On to the next pass, or from any row to the next column tile. Gives whether there was no next.
    pub(super) fn advance(&mut self, skip_rows: bool) -> bool {
        if !self.last_chunk() {
            self.left -= self.tiling.depth;
            return false;
        }
        self.left = self.tiling.steps;
        if !self.last_row() && !skip_rows {
            self.row += 1;
            return false;
        }
        self.row = 0;
        if !self.last_column() {
            self.column += 1;
            return false;
        }
        self.column = 0;
        self.panel += 1;
        self.panel == self.tiling.panels()
    }
}

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operand {
    A,
    B,
}

/// The loads in their order: B of each pass that needs it, then A. One pass per tile: B for each column tile, A with the
/// first; else both for every pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loads {
    pub(super) walker: Walker,
    pub(super) operand: Operand,
    pub(super) beat: usize,
    pub(super) done: bool,
}

impl Loads {
    pub(super) const fn new(tiling: Tiling) -> Self {
        Self { walker: Walker::new(tiling), operand: Operand::B, beat: 0, done: false }
    }

    pub(super) fn last_beat(&self) -> bool {
        self.beat + 1 == self.walker.length()
    }

    /// One beat is done.
    pub(super) fn advance(&mut self) {
        if !self.last_beat() {
            self.beat += 1;
            return;
        }
        self.beat = 0;
        let chunked = self.walker.tiling.chunked();
        match self.operand {
            Operand::B if chunked || self.walker.column == 0 => self.operand = Operand::A,
            Operand::B => self.done = self.walker.advance(true),
            Operand::A => {
                if chunked || self.walker.last_row() {
                    self.operand = Operand::B;
                }
                self.done = self.walker.advance(false);
            }
        }
    }
}
