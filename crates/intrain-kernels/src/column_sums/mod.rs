//! The sum of each column of a matrix of integers: a bias's gradient is that of the errors of all pixels.
//!
//! Invariant: exact, in 64 bits.

use crate::elementwise::{self, Integer, Operation};
use crate::isa::Isa;

#[cfg(test)]
mod tests;

/// `sums[j] += sum over i of rows[i * n + j]`, where `n` is the length of `sums`. Bound: values of at most 16 bits.
///
/// # Panics
/// When there are no columns, or `rows` is not whole rows.
pub fn add<T: Integer>(isa: Isa, rows: &[T], sums: &mut [i64]) {
    assert!(!sums.is_empty() && rows.len().is_multiple_of(sums.len()), "column_sums: rows of another length");
    const { assert!(T::BITS <= 16) };
    elementwise::run(isa, Add { rows, sums });
}

struct Add<'a, T> {
    rows: &'a [T],
    sums: &'a mut [i64],
}

/// Sums that stay in registers.
const LANES: usize = 64;
/// Rows whose sums of 16 bits fit 32.
const ROWS: usize = 1 << 15;

impl<T: Integer> Operation for Add<'_, T> {
    type Output = ();

    fn reference(self) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            self.sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += (*x).into());
        }
    }

    #[inline(always)]
    fn vectorized(self, _isa: Isa) {
        let Self { rows, sums } = self;
        let n = sums.len();
        for first in (0..n).step_by(LANES) {
            let columns = LANES.min(n - first);
            if columns == LANES {
                // Columns whose number the compiler knows.
                for rows in rows.chunks(ROWS * n) {
                    let mut lanes = [0; LANES];
                    for row in rows.chunks_exact(n) {
                        add_row(row[first..].first_chunk::<LANES>().expect("whole lanes"), &mut lanes);
                    }
                    sums[first..].iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += i64::from(lane));
                }
            } else if LANES.is_multiple_of(n) {
                // Several short rows side by side fill the lanes.
                for rows in rows.chunks(ROWS * LANES) {
                    let mut lanes = [0; LANES];
                    let (whole, rest) = rows.as_chunks::<LANES>();
                    whole.iter().for_each(|row| add_row(row, &mut lanes));
                    for (lane, x) in lanes.iter_mut().zip(rest) {
                        *lane += x.to_i32();
                    }
                    lanes.iter().enumerate().for_each(|(i, lane)| sums[i % n] += i64::from(*lane));
                }
            } else {
                for row in rows.chunks_exact(n) {
                    sums[first..].iter_mut().zip(&row[first..]).for_each(|(sum, x)| *sum += (*x).into());
                }
            }
        }
    }
}

#[inline(always)]
fn add_row<T: Integer>(row: &[T; LANES], lanes: &mut [i32; LANES]) {
    for (lane, x) in lanes.iter_mut().zip(row) {
        *lane += x.to_i32();
    }
}
