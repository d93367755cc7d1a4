//! The accumulators of a product, before they are rounded: exact sums, then what the accumulator's width does to them.
//!
//! A sum that wraps is the exact sum modulo `2^accumulator`, so order is free and sums are taken in 64 bits, by the product
//! kernels where words have at most 16. A sum that
//! may saturate on its way is taken step by step, in the order of k. Rows are independent: threads share them.

use intrain_kernels::pack::pack_i16;
use intrain_kernels::product::{Args, Store};
use intrain_kernels::stage::{Conv, stage_rows};
use intrain_kernels::{Isa, dot_i16};
use rayon::prelude::*;

use crate::machine::{Machine, Overflow};
use crate::order::Product;

/// Multiply-accumulates below which one thread is faster.
const SERIAL_MACS: u64 = 1 << 16;

/// The accumulators, row-major `[l, m]`, sign-extended. Operands fit the product and the machine's word.
pub(super) fn sums(machine: &Machine, product: &Product, a: &[i32], b: &[i32]) -> Vec<i64> {
    let Product { l, k, m, .. } = *product;
    let mut c = vec![0; l * m];
    // Bound: |a| and |b| are at most 2^17 and k is below 2^24, so every exact sum is below 2^58.
    let (a_max, b_max) = (magnitude(a), magnitude(b));
    let bound = a_max * b_max * k as u64;
    let limit = 1i64 << (machine.accumulator - 1);
    match machine.overflow {
        Overflow::Saturate if bound >= limit.unsigned_abs() => {
            rows(&mut c, a, product, |c, a| saturating_row(c, a, b, limit));
        }
        overflow => {
            if machine.word <= 16 {
                short_sums(&mut c, a, b, product);
            } else {
                rows(&mut c, a, product, |c, a| row(c, a, b));
            }
            if overflow == Overflow::Wrap && bound >= limit.unsigned_abs() {
                let shift = 64 - machine.accumulator;
                // Wrapping: the accumulator keeps its low bits.
                c.iter_mut().for_each(|sum| *sum = *sum << shift >> shift);
            }
        }
    }
    c
}

fn magnitude(operand: &[i32]) -> u64 {
    operand.iter().map(|value| u64::from(value.unsigned_abs())).max().unwrap_or(0)
}

/// Does `row` for each row of C and its row of A.
fn rows<T: Sync>(c: &mut [i64], a: &[T], product: &Product, row: impl Fn(&mut [i64], &[T]) + Sync) {
    let Product { k, m, .. } = *product;
    if product.macs() < SERIAL_MACS {
        c.chunks_exact_mut(m).zip(a.chunks_exact(k)).for_each(|(c, a)| row(c, a));
    } else {
        c.par_chunks_exact_mut(m).zip(a.par_chunks_exact(k)).for_each(|(c, a)| row(c, a));
    }
}

fn row(c: &mut [i64], a: &[i32], b: &[i32]) {
    for (a, b) in a.iter().zip(b.chunks_exact(c.len())) {
        for (c, b) in c.iter_mut().zip(b) {
            *c += i64::from(*a) * i64::from(*b);
        }
    }
}

fn saturating_row(c: &mut [i64], a: &[i32], b: &[i32], limit: i64) {
    for (a, b) in a.iter().zip(b.chunks_exact(c.len())) {
        for (c, b) in c.iter_mut().zip(b) {
            *c = (*c + i64::from(*a) * i64::from(*b)).clamp(-limit, limit - 1);
        }
    }
}

/// Rows that a thread takes at a time.
const ROWS: usize = 32;

/// Exact sums of operands of at most 16 bits, by the kernels of `intrain-kernels`.
fn short_sums(c: &mut [i64], a: &[i32], b: &[i32], product: &Product) {
    let (Product { l, k, m, .. }, isa) = (*product, Isa::best());
    let conv = Conv::linear(ROWS.min(l), k, m);
    let (tables, layout) = (conv.forward::<i16>(1), conv.forward_layout());
    let packed = pack_i16(isa, tables.source(b), 1 << 15, (i16::MIN.into(), i16::MAX.into()));
    let rows = tables.rows.len();
    c.par_chunks_mut(rows * m).zip(a.par_chunks(rows * k)).for_each_init(
        || (vec![], vec![], vec![0; rows * m]),
        |(words, staged, sums), (c, a)| {
            words.clear();
            // Bound: the caller has seen that they fit.
            words.extend(a.iter().map(|a| i16::try_from(*a).unwrap_or(i16::MAX)));
            words.resize(rows * k, 0);
            staged.resize(layout.buffer_len(1), 0);
            stage_rows(words, &layout, staged, 0);
            let args = Args {
                a: staged,
                rows: &tables.rows,
                steps: &tables.steps,
                segments: 0..1,
                b: &packed,
                c: sums,
                c_stride: m,
                init: None,
                store: Store::Set,
            };
            dot_i16::run(isa, args);
            c.copy_from_slice(&sums[..c.len()]);
        },
    );
}
