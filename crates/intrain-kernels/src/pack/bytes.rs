//! B of the byte product: `i8` codes in lines of 16 columns by 4 bytes, with the sum of each column.

use std::ops::Range;

use super::fill::fill;
use super::panels::{COLUMNS, Limb, Line, PANEL, line_index};
use super::{Source, narrow};
use crate::elementwise::{self, Operation};
use crate::isa::Isa;
use crate::product::{LEAST_ROWS, Lined, Packed};

/// How the A of a byte product holds its codes, as unsigned bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Left {
    /// `code + 128`: any code.
    #[default]
    Signed,
    /// The code itself, which is never negative.
    Unsigned,
}

impl Left {
    /// What a code of 0 is in A.
    #[must_use]
    pub const fn zero(self) -> u8 {
        match self {
            Self::Signed => 0x80,
            Self::Unsigned => 0,
        }
    }

    /// The largest byte of A.
    #[must_use]
    pub const fn max(self) -> u8 {
        match self {
            Self::Signed => u8::MAX,
            Self::Unsigned => 0x7F,
        }
    }
}

/// Steps of a panel that are taken apart at once: 16 KiB of bytes, which stay in a first-level cache while rows pass by.
const NARROW_STEPS: usize = 128;

/// A packed B of `i8`, `[n_steps, n, 4]` in panels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedI8 {
    left: Left,
    n: usize,
    n_steps: usize,
    limb: Limb,
    /// Whether a line of the limb holds four of B, in 2 bits a value, and with what they are taken apart.
    narrow: Option<Isa>,
    /// The largest magnitude in B.
    max: u8,
    segments: usize,
    /// The sum of each column over all lanes and the steps up to each segment, modulo 2^32, `[segments + 1, n]` with `n`
    /// rounded up to 16; none where A is unsigned, as nothing needs them there.
    column_sums: Vec<i32>,
}

impl PackedI8 {
    /// How A must hold its codes.
    #[must_use]
    pub const fn left(&self) -> Left {
        self.left
    }

    /// Bound: the largest magnitude that two products of neighbouring lanes, as A holds them, can add up to.
    #[must_use]
    pub const fn pair_max(&self) -> u32 {
        2 * self.left.max() as u32 * self.max as u32
    }

    /// `B[step][column][lane]`.
    ///
    /// # Panics
    /// If the index lies outside B.
    #[must_use]
    pub fn value(&self, step: usize, column: usize, lane: usize) -> i8 {
        if self.narrow.is_none() {
            return self.limb.column(self.n, self.n_steps, step, column).to_le_bytes()[lane].cast_signed();
        }
        assert!(step < self.n_steps && column < self.n, "({step}, {column}) is outside of B");
        let line = line_index(self.n, self.n_steps, step, column / COLUMNS);
        narrow::value(&self.limb.lines, line, 4 * (column % COLUMNS) + lane)
    }

    /// Keeps B in a quarter of the memory, where every value is one of -2 to 1: in 2 bits each. Products take it apart as they read
    /// it.
    ///
    /// # Panics
    /// When this CPU lacks `isa`.
    pub fn narrow(&mut self, isa: Isa) {
        assert!(isa.is_available(), "this CPU lacks {}", isa.name());
        if self.narrow.is_none()
            && let Some(lines) = narrow::pack(&self.limb.lines)
        {
            (self.limb.lines, self.narrow) = (lines, Some(isa));
            self.limb.flush_steps = self.limb.flush_steps.min(NARROW_STEPS);
        }
    }

    /// Bytes of memory that B takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.limb.lines.as_slice()) + size_of_val(self.column_sums.as_slice())
    }

    /// Compiled for the instruction set of its caller.
    #[inline(always)]
    fn fill(&mut self, source: &Source<'_, i8>) {
        self.narrow = None;
        fill::<i8, 4>(source, &mut self.limb.lines, |value| u32::from(value.cast_unsigned()));
        self.max = largest(&self.limb.lines);
        self.column_sums.clear();
        if self.left == Left::Unsigned {
            return;
        }
        let n_lines = self.n.div_ceil(COLUMNS);
        self.column_sums.resize((self.segments + 1) * n_lines * COLUMNS, 0);
        let of_segment = self.n_steps / self.segments;
        let sums = self.column_sums.as_chunks_mut::<COLUMNS>().0;
        for (segment, line) in (0..self.segments).flat_map(|s| (0..n_lines).map(move |line| (s, line))) {
            // A copy, so that the sums stay in registers.
            let mut totals = sums[segment * n_lines + line];
            for step in segment * of_segment..(segment + 1) * of_segment {
                let columns = self.limb.lines[line_index(self.n, self.n_steps, step, line)].0;
                for (total, lanes) in totals.iter_mut().zip(columns) {
                    // Shifts of whole columns: taken apart as bytes, they would be spread over four times the registers.
                    let lanes = lanes.cast_signed();
                    let sum =
                        ((lanes << 24) >> 24) + ((lanes << 16) >> 24) + ((lanes << 8) >> 24) + (lanes >> 24);
                    // Wrapping: the products that this corrects wrap modulo 2^32 too.
                    *total = total.wrapping_add(sum);
                }
            }
            sums[(segment + 1) * n_lines + line] = totals;
        }
    }
}

/// The largest magnitude of any byte.
#[inline(always)]
fn largest(lines: &[Line]) -> u8 {
    let mut largest = [[0; 4]; COLUMNS];
    for line in lines {
        for (max, lanes) in
            largest.as_flattened_mut().iter_mut().zip(line.0.map(u32::to_le_bytes).as_flattened())
        {
            *max = u8::max(*max, lanes.cast_signed().unsigned_abs());
        }
    }
    largest.as_flattened().iter().copied().max().unwrap_or(0)
}

impl Packed for PackedI8 {
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

    fn accepts(&self, a: &[u8]) -> bool {
        a.iter().all(|&a| a <= self.left.max())
    }
}

impl Lined for PackedI8 {
    const NEUTRAL: i32 = 0;

    fn limbs(&self) -> &[Limb] {
        std::slice::from_ref(&self.limb)
    }

    /// `sum (a - 128) * b = sum a * b - 128 * sum b`: the kernels multiply the biased A, this takes the bias back.
    fn start(&self, init: Option<&[i32]>, first: usize, segments: Range<usize>) -> [i32; PANEL] {
        let mut start = [0; PANEL];
        let n = self.n.next_multiple_of(COLUMNS);
        let up_to = |segment: usize| self.column_sums.iter().skip(segment * n + first).take(n - first);
        for ((start, before), sum) in start.iter_mut().zip(up_to(segments.start)).zip(up_to(segments.end)) {
            // Wrapping: modulo 2^32, as the whole sum is; the caller has proven that the true sum fits.
            *start = sum.wrapping_sub(*before).wrapping_mul(-128);
        }
        for (start, init) in start.iter_mut().zip(init.unwrap_or_default().iter().skip(first)) {
            *start = start.wrapping_add(*init);
        }
        start
    }

    fn least_rows(&self) -> usize {
        if self.narrow.is_some() { 4 * LEAST_ROWS } else { LEAST_ROWS }
    }

    fn lines<'a>(&'a self, limb: &'a Limb, range: Range<usize>, room: &'a mut Vec<Line>) -> &'a [Line] {
        match self.narrow {
            None => &limb.lines[range],
            Some(isa) => narrow::unpack(isa, &limb.lines, range, room),
        }
    }
}

/// Packing as an operation: the same loops, compiled for each instruction set.
struct PackBytes<'a> {
    source: Source<'a, i8>,
    packed: &'a mut PackedI8,
}

impl Operation for PackBytes<'_> {
    type Output = ();

    fn reference(self) {
        self.packed.fill(&self.source);
    }

    #[inline(always)]
    fn vectorized(self, _: Isa) {
        self.packed.fill(&self.source);
    }
}

/// Packs `i8` codes for an A that holds its codes as `left` says; `source.table` holds 4 lanes a step.
///
/// # Panics
/// As [`pack_i8_into`], which uses buffers again.
#[must_use]
pub fn pack_i8(isa: Isa, source: Source<'_, i8>, left: Left) -> PackedI8 {
    let mut packed = PackedI8::default();
    pack_i8_into(isa, source, left, &mut packed);
    packed
}

/// As [`pack_i8`], into the buffers of an earlier pack of any shape.
///
/// # Panics
/// If the CPU lacks `isa`, there is no column or no step, or a lane lies outside the values.
pub fn pack_i8_into(isa: Isa, source: Source<'_, i8>, left: Left, packed: &mut PackedI8) {
    packed.left = left;
    packed.n_steps = source.n_steps(4);
    (packed.n, packed.segments) = (source.n, source.segments);
    // Bound: i8 sums are taken modulo 2^32 and never flushed.
    packed.limb.flush_steps = packed.n_steps;
    elementwise::run(isa, PackBytes { source, packed });
}
