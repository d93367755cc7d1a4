//! The meaning of the word product, in the plainest loops.

use super::{Args, Store};
use crate::product::Packed;

pub(super) fn run(args: Args<'_>) {
    let Args { a, rows, steps, b, c, c_stride, init, store } = args;
    for (m, &row) in rows.iter().enumerate() {
        for n in 0..b.n() {
            let mut sum = init.map_or(0, |init| init[n]);
            for (s, &step) in steps.iter().enumerate() {
                for lane in 0..2 {
                    // Bound: below 2^46 a product, so 2^17 steps and more before the 64-bit sum could overflow.
                    sum += i64::from(a[row as usize + step as usize + lane]) * b.value(s, n, lane);
                }
            }
            let c = &mut c[m * c_stride + n];
            *c = match store {
                Store::Set => sum,
                Store::Add => *c + sum,
            };
        }
    }
}
