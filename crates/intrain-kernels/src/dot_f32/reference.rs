//! The meaning of the float product, in the plainest loops.

use super::{Args, Store};
use crate::product::Packed;

pub(super) fn run(args: Args<'_>) {
    let Args { a, rows, steps, segments, b, c, c_stride, init, store } = args;
    let first = b.n_steps() / b.segments() * segments.start;
    let n = b.n();
    let matrix: Vec<f32> =
        (0..steps.len()).flat_map(|step| (0..n).map(move |column| b.value(first + step, column))).collect();
    for (m, &row) in rows.iter().enumerate() {
        let c = &mut c[m * c_stride..][..n];
        for (column, c) in c.iter_mut().enumerate() {
            let init = init.map_or(0.0, |init| init[column]);
            *c = match store {
                Store::Set => init,
                Store::Add => *c + init,
            };
        }
        for (&step, values) in steps.iter().zip(matrix.chunks_exact(n)) {
            let value = a[row as usize + step as usize];
            c.iter_mut().zip(values).for_each(|(c, b)| *c = value.mul_add(*b, *c));
        }
    }
}
