//! B of the float product: binary32 values as they are, one lane a step.

use std::ops::Range;

use super::Source;
use super::fill::fill;
use super::panels::{Limb, PANEL};
use crate::elementwise::{self, Operation};
use crate::isa::Isa;
use crate::product::{Lined, Packed};

/// A packed B of `f32`, `[n_steps, n]` in panels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedF32 {
    n: usize,
    n_steps: usize,
    segments: usize,
    limb: Limb,
}

impl PackedF32 {
    /// `B[step][column]`.
    ///
    /// # Panics
    /// If the index lies outside B.
    #[must_use]
    pub fn value(&self, step: usize, column: usize) -> f32 {
        f32::from_bits(self.limb.column(self.n, self.n_steps, step, column))
    }
}

impl Packed for PackedF32 {
    type Left = f32;
    type Sum = f32;
    const LANES: usize = 1;

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

impl Lined for PackedF32 {
    // The one number that leaves a zero's sign alone.
    const NEUTRAL: f32 = -0.0;

    fn limbs(&self) -> &[Limb] {
        std::slice::from_ref(&self.limb)
    }

    fn start(&self, init: Option<&[f32]>, first: usize, _: Range<usize>) -> [f32; PANEL] {
        let mut start = [0.0; PANEL];
        let init = init.unwrap_or_default().iter().skip(first);
        start.iter_mut().zip(init).for_each(|(start, init)| *start = *init);
        start
    }
}

/// Packing as an operation: the same loops, compiled for each instruction set.
struct PackFloats<'a> {
    source: Source<'a, f32>,
    packed: &'a mut PackedF32,
}

impl Operation for PackFloats<'_> {
    type Output = ();

    fn reference(self) {
        self.vectorized(Isa::Reference);
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        fill::<f32, 1>(&self.source, &mut self.packed.limb.lines, f32::to_bits);
    }
}

/// Packs values into the buffers of an earlier pack of any shape; `source.table` holds 1 lane a step.
///
/// # Panics
/// If the CPU lacks `isa`, there is no column or no step, or a lane lies outside the values.
pub fn pack_f32_into(isa: Isa, source: Source<'_, f32>, packed: &mut PackedF32) {
    packed.n_steps = source.n_steps(1);
    (packed.n, packed.segments) = (source.n, source.segments);
    packed.limb.flush_steps = packed.n_steps;
    elementwise::run(isa, PackFloats { source, packed });
}
