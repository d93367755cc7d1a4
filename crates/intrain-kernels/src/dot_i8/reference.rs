//! The meaning of the byte product, in the plainest loops.

use super::{Args, Store};
use crate::product::Packed;

pub(super) fn run(args: Args<'_>) {
    let Args { a, rows, steps, b, c, c_stride, init, store } = args;
    for (m, &row) in rows.iter().enumerate() {
        for n in 0..b.n() {
            let mut sum = init.map_or(0, |init| init[n]);
            for (s, &step) in steps.iter().enumerate() {
                for lane in 0..4 {
                    let payload = i32::from(a[row as usize + step as usize + lane]) - 128;
                    // Wrapping: modulo 2^32; the caller has proven that the true sum fits.
                    sum = sum.wrapping_add(payload * i32::from(b.value(s, n, lane)));
                }
            }
            let c = &mut c[m * c_stride + n];
            *c = match store {
                Store::Set => sum,
                Store::Add => c.wrapping_add(sum),
            };
        }
    }
}
