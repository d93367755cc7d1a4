//! The meaning of the byte product, in the plainest loops.

use super::{Args, Store};
use crate::product::Packed;

pub(super) fn run(args: Args<'_>) {
    let Args { a, rows, steps, segments, b, c, c_stride, init, store } = args;
    let first = b.n_steps() / b.segments() * segments.start;
    let (n, zero) = (b.n(), i32::from(b.left().zero()));
    // B as a matrix, `[depth][n]` with depth = 4 * step + lane.
    let depth = (0..steps.len()).flat_map(|step| (0..4).map(move |lane| (first + step, lane)));
    let matrix: Vec<i32> = depth
        .flat_map(|(step, lane)| (0..n).map(move |column| i32::from(b.value(step, column, lane))))
        .collect();
    for (m, &row) in rows.iter().enumerate() {
        let mut sums = init.map_or_else(|| vec![0; n], <[i32]>::to_vec);
        for (s, &step) in steps.iter().enumerate() {
            for lane in 0..4 {
                let code = i32::from(a[row as usize + step as usize + lane]) - zero;
                let values = &matrix[(4 * s + lane) * n..][..n];
                // Wrapping: modulo 2^32; the caller has proven that the true sum fits.
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_add(code * value));
            }
        }
        for (c, sum) in c[m * c_stride..].iter_mut().zip(sums) {
            *c = match store {
                Store::Set => sum,
                Store::Add => c.wrapping_add(sum),
            };
        }
    }
}
