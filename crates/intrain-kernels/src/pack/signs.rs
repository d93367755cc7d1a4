//! B of the product of codes by signs: one line holds 32 columns of a step, 16 signs each.
//!
//! Bits of a column's signs: 1 is plus. Byte `j` of a line's first half holds the signs of column `j` by the first four codes in its
//! low bits and by the second four in its high ones; the second half holds the other eight.

use std::ops::Range;

use super::panels::{Limb, Line, PANEL};
use super::{Source, ZERO_LANE};
use crate::product::Packed;
use crate::stage::Quad;

/// A packed B of signs, `[n_steps, n, 4, 4]` in panels of 32 columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedSigns {
    n: usize,
    n_steps: usize,
    segments: usize,
    limb: Limb,
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
        let word = self.limb.lines[column / PANEL * self.n_steps + step].0[byte / 4];
        (word.to_le_bytes()[byte % 4] >> (4 * (lane % 2))) & 15
    }

    /// The lines of the panel that starts with this column, one a step.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn panel(&self, column: usize) -> &[Line] {
        &self.limb.lines[column / PANEL * self.n_steps..][..self.n_steps]
    }
}

impl Packed for PackedSigns {
    type Left = u8;
    type Sum = i32;
    const LANES: usize = 4;
    const NEUTRAL: i32 = 0;

    fn n(&self) -> usize {
        self.n
    }

    fn n_steps(&self) -> usize {
        self.n_steps
    }

    fn limbs(&self) -> &[Limb] {
        std::slice::from_ref(&self.limb)
    }

    fn segments(&self) -> usize {
        self.segments
    }

    fn start(&self, init: Option<&[i32]>, first: usize, _: Range<usize>) -> [i32; PANEL] {
        let mut start = [0; PANEL];
        let init = init.unwrap_or_default().iter().skip(first);
        start.iter_mut().zip(init).for_each(|(start, init)| *start = *init);
        start
    }
}

/// Packs weights `[inputs][columns]`, of which those below 0 are minus one and the others one, into the signs that quads of
/// consecutive inputs meet: what [`pack_signs_into`] reads.
///
/// # Panics
/// If there are no whole quads.
pub fn quads_of_signs(weights: &[i8], n: usize, quads: &mut Vec<u8>) {
    assert!(
        weights.len().is_multiple_of(4 * n),
        "{} weights of {n} columns are no whole quads",
        weights.len()
    );
    quads.clear();
    for rows in weights.chunks_exact(4 * n) {
        let sign = |i: usize, column: usize| u8::from(rows[i * n + column] >= 0) << i;
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
    // Bound: sums are taken modulo 2^32 and never flushed, as those of bytes.
    packed.limb.flush_steps = packed.n_steps;
    let n_panels = source.n.div_ceil(PANEL);
    packed.limb.lines.clear();
    packed.limb.lines.resize(n_panels * packed.n_steps, Line::default());
    for (step, lanes) in source.table.as_chunks::<4>().0.iter().enumerate() {
        for (lane, quad) in lanes.iter().enumerate() {
            for column in 0..source.n {
                let byte = column % PANEL + PANEL * (lane / 2);
                let signs = u32::from(source.values[*quad as usize + column * source.n_stride] & 15);
                packed.limb.lines[column / PANEL * packed.n_steps + step].0[byte / 4] |=
                    signs << (8 * (byte % 4) + 4 * (lane % 2));
            }
        }
    }
}
