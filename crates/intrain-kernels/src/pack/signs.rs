//! B of the product of codes by signs: one line holds 32 columns of a step, 16 signs each.
//!
//! Bits of a column's signs: 1 is plus. Byte `j` of a line's first half holds the signs of column `j` by the first four codes in its
//! low bits and by the second four in its high ones; the second half holds the other eight.

use super::panels::{Line, PANEL};
use super::{Source, ZERO_LANE};
use crate::product::Packed;
use crate::stage::Quad;

/// A packed B of signs, `[n_steps, n, 4, 4]` in panels of 32 columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedSigns {
    n: usize,
    n_steps: usize,
    segments: usize,
    /// Of each panel, one a step.
    lines: Vec<Line>,
}

impl PackedSigns {
    /// The signs of a column by the four codes of a quad, 1 for plus.
    ///
    /// # Panics
    /// If the index lies outside B.
    #[must_use]
    pub fn value(&self, step: usize, column: usize, lane: usize) -> u8 {
        assert!(
            step < self.n_steps && column < self.n && lane < 4,
            "({step}, {column}, {lane}) is outside of B"
        );
        let byte = column % PANEL + PANEL * (lane / 2);
        let word = self.lines[column / PANEL * self.n_steps + step].0[byte / 4];
        (word.to_le_bytes()[byte % 4] >> (4 * (lane % 2))) & 15
    }

    /// The lines of the panel that starts with this column, one a step.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn panel(&self, column: usize) -> &[Line] {
        &self.lines[column / PANEL * self.n_steps..][..self.n_steps]
    }
}

impl Packed for PackedSigns {
    type Left = u8;
    type Sum = i32;
    const LANES: usize = 4;

    fn n(&self) -> usize {
        self.n
    }

    fn n_steps(&self) -> usize {
        self.n_steps
    }

    fn segments(&self) -> usize {
        self.segments
    }
}

/// The signs that quads of consecutive inputs meet, of weights `[inputs][columns]`: what [`pack_signs_into`] reads.
///
/// # Panics
/// If there are no whole quads.
pub fn quads_of_signs<W: Copy>(weights: &[W], n: usize, is_plus: impl Fn(W) -> bool, quads: &mut Vec<u8>) {
    assert!(
        weights.len().is_multiple_of(4 * n),
        "{} weights of {n} columns are no whole quads",
        weights.len()
    );
    quads.clear();
    for rows in weights.chunks_exact(4 * n) {
        let sign = |i: usize, column: usize| u8::from(is_plus(rows[i * n + column])) << i;
        quads.extend((0..n).map(|column| (0..4).fold(0, |bits, i| bits | sign(i, column))));
    }
}

/// Packs the signs of quads; `source.table` holds 4 lanes a step, each a [`Quad`] of A.
///
/// # Panics
/// If a lane is absent (a sign is never 0) or lies outside the values, or there is no column or no step.
pub fn pack_signs_into(source: Source<'_, u8>, packed: &mut PackedSigns) {
    assert!(!source.table.contains(&ZERO_LANE), "signs have no zero for absent lanes");
    packed.n_steps = source.n_steps(<Quad as crate::stage::Code>::LANES);
    (packed.n, packed.segments) = (source.n, source.segments);
    let n_panels = source.n.div_ceil(PANEL);
    packed.lines.clear();
    packed.lines.resize(n_panels * packed.n_steps, Line::default());
    for (step, lanes) in source.table.as_chunks::<4>().0.iter().enumerate() {
        for (lane, quad) in lanes.iter().enumerate() {
            for column in 0..source.n {
                let byte = column % PANEL + PANEL * (lane / 2);
                let signs = u32::from(source.values[*quad as usize + column * source.n_stride] & 15);
                packed.lines[column / PANEL * packed.n_steps + step].0[byte / 4] |=
                    signs << (8 * (byte % 4) + 4 * (lane % 2));
            }
        }
    }
}
