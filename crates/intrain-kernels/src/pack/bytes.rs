//! B of the byte product: `i8` payloads in lines of 16 columns by 4 bytes, with the sum of each column.

use super::Source;
use super::fill::fill;
use super::panels::{COLUMNS, Limb, LineI8, locate, panels};
use crate::product::Packed;

/// A packed B of `i8`, `[n_steps, n, 4]` in panels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedI8 {
    n: usize,
    n_steps: usize,
    limb: Limb<LineI8>,
    column_sums: Vec<i32>,
}

impl PackedI8 {
    /// The sum of each column over all steps and lanes, modulo 2^32; length `n` rounded up to 16.
    #[must_use]
    pub fn column_sums(&self) -> &[i32] {
        &self.column_sums
    }

    /// `B[step][column][lane]`.
    ///
    /// # Panics
    /// If the index lies outside B.
    #[must_use]
    pub fn value(&self, step: usize, column: usize, lane: usize) -> i8 {
        assert!(step < self.n_steps && column < self.n && lane < 4);
        let (line, place) = locate(self.n, self.n_steps, step, column, 4);
        self.limb.lines[line].0[place + lane]
    }

    fn sum_columns(&mut self) {
        self.column_sums.clear();
        for panel in panels(self.n) {
            let first = panel.first_line(self.n_steps);
            let lines = &self.limb.lines[first..first + self.n_steps * panel.width];
            for half in 0..panel.width {
                self.column_sums.extend(sums(lines[half..].iter().step_by(panel.width)));
            }
        }
    }
}

/// Sums of 16 columns.
fn sums<'a>(lines: impl Iterator<Item = &'a LineI8>) -> [i32; COLUMNS] {
    let mut sums = [0_i32; COLUMNS];
    for line in lines {
        for (sum, lanes) in sums.iter_mut().zip(line.0.as_chunks::<4>().0) {
            // Wrapping: the products that this corrects wrap modulo 2^32 too.
            *sum = sum.wrapping_add(lanes.iter().map(|&b| i32::from(b)).sum());
        }
    }
    sums
}

impl Packed for PackedI8 {
    type Left = u8;
    type Sum = i32;
    type Line = LineI8;
    const LANES: usize = 4;

    fn n(&self) -> usize {
        self.n
    }

    fn n_steps(&self) -> usize {
        self.n_steps
    }

    fn limbs(&self) -> &[Limb<LineI8>] {
        std::slice::from_ref(&self.limb)
    }

    /// `sum (a - 128) * b = sum a * b - 128 * sum b`: the kernels multiply the biased A, this takes the bias back.
    fn start(&self, init: Option<&[i32]>) -> Vec<i32> {
        // Wrapping: modulo 2^32, as the whole sum is; the caller has proven that the true sum fits.
        let mut start: Vec<i32> = self.column_sums.iter().map(|sum| sum.wrapping_mul(-128)).collect();
        for (start, init) in start.iter_mut().zip(init.unwrap_or_default()) {
            *start = start.wrapping_add(*init);
        }
        start
    }
}

/// Packs `i8` payloads; `source.table` holds 4 lanes a step.
///
/// # Panics
/// If the table and the values do not fit; see [`pack_i8_into`] to use buffers again.
#[must_use]
pub fn pack_i8(source: Source<'_, i8>) -> PackedI8 {
    let mut packed = PackedI8::default();
    pack_i8_into(source, &mut packed);
    packed
}

/// As [`pack_i8`], into the buffers of an earlier pack of any shape.
///
/// # Panics
/// If there is no column or no step, or a lane lies outside the values.
pub fn pack_i8_into(source: Source<'_, i8>, packed: &mut PackedI8) {
    packed.n_steps = source.n_steps(4);
    packed.n = source.n;
    // Bound: i8 sums are taken modulo 2^32 and never flushed.
    packed.limb.flush_steps = packed.n_steps;
    fill::<i8, i8, 4, 64>(&source, &mut packed.limb.lines, |value| value);
    packed.sum_columns();
}
