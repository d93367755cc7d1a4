//! The meaning of the product by signs, in the plainest loops.

use super::Args;
use crate::product::{Packed, Store};

pub(super) fn run(args: Args<'_>) {
    let Args { a, rows, steps, segments, b, c, c_stride, init, store } = args;
    let (n, first) = (b.n(), b.n_steps() / b.segments() * segments.start);
    // B as a matrix, `[quads][n]`.
    let quads = (0..steps.len()).flat_map(|step| (0..4).map(move |lane| (first + step, lane)));
    let signs: Vec<u8> =
        quads.flat_map(|(step, lane)| (0..n).map(move |column| b.value(step, column, lane))).collect();
    for (m, &row) in rows.iter().enumerate() {
        let mut sums = init.map_or_else(|| vec![0; n], <[i32]>::to_vec);
        for (i, signs) in signs.chunks_exact(n).enumerate() {
            let quad = a[row as usize + steps[i / 4] as usize + i % 4];
            for k in 0..4 {
                let code = i32::from((quad >> (2 * k)) & 3);
                for (sum, signs) in sums.iter_mut().zip(signs) {
                    let product = if signs >> k & 1 == 1 { code } else { -code };
                    // Wrapping: modulo 2^32, as the fast kernels; the caller has proven that the true sum fits.
                    *sum = sum.wrapping_add(product);
                }
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
