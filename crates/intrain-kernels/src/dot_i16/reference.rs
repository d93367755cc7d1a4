//! The meaning of the word product, in the plainest loops.

use super::{Args, Store};
use crate::product::Packed;

pub(super) fn run(args: Args<'_>) {
    let Args { a, rows, steps, segments, b, c, c_stride, init, store } = args;
    let first = b.n_steps() / b.segments() * segments.start;
    let n = b.n();
    // B as a matrix, `[depth][n]` with depth = 2 * step + lane.
    let depth = (0..steps.len()).flat_map(|step| (0..2).map(move |lane| (first + step, lane)));
    let matrix: Vec<i64> =
        depth.flat_map(|(step, lane)| (0..n).map(move |column| b.value(step, column, lane))).collect();
    for (m, &row) in rows.iter().enumerate() {
        let mut sums = init.map_or_else(|| vec![0; n], <[i64]>::to_vec);
        for (s, &step) in steps.iter().enumerate() {
            for lane in 0..2 {
                let code = i64::from(a[row as usize + step as usize + lane]);
                let values = &matrix[(2 * s + lane) * n..][..n];
                // Bound: below 2^46 a product, so 2^17 steps and more before the 64-bit sum could overflow.
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += code * value);
            }
        }
        for (c, sum) in c[m * c_stride..].iter_mut().zip(sums) {
            *c = match store {
                Store::Set => sum,
                Store::Add => *c + sum,
            };
        }
    }
}
