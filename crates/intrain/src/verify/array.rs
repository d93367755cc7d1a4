//! The array's cases: its columns' random words by `intrain-num`, its products by `intrain-accel`.

use intrain_accel::{Array, Format, Machine, Overflow, Product, Register, Rounding};
use intrain_golden::{self as golden, Op};
use intrain_num::Columns;

use super::Differences;
use super::scalar::stream;

/// Whether the operation is one of an array; differences go to `found`.
pub(super) fn run(op: &Op, found: &mut Differences) -> bool {
    match op {
        Op::ArrayWords(c) => words(c, found),
        Op::ArrayProduct(c) => product(c, found),
        _ => return false,
    }
    true
}

fn words(c: &golden::ArrayWords, found: &mut Differences) {
    let columns = Columns { n: c.n, panel: c.panel, bits: c.bits, taps: c.taps };
    let stream = stream(c.stream);
    let seeds: Vec<u32> = columns.seeds(stream).collect();
    found.same("seeds", &seeds, &c.seeds);
    let mut words = vec![0; c.rows * c.columns];
    columns.words(stream, [c.rows, c.columns], &mut words);
    found.same("words", &words, &c.words);
}

fn product(c: &golden::ArrayProduct, found: &mut Differences) {
    let (rounding, random_bits) = if c.random_bits == 0 {
        (Rounding::Nearest, None)
    } else {
        (Rounding::Stochastic, Some(c.random_bits))
    };
    let machine = Machine {
        n: c.n,
        panel: c.panel,
        word: c.word,
        accumulator: c.accumulator,
        overflow: if c.saturate { Overflow::Saturate } else { Overflow::Wrap },
        rounding,
        random_bits,
        lfsr: Register { bits: c.bits, taps: c.taps },
        drop: vec![c.drop],
        ..Machine::default()
    };
    let product = Product { l: c.l, k: c.k, m: c.m, format: Format::Rounded(0) };
    let results = Array::new(&machine)
        .map_err(|error| error.to_string())
        .and_then(|array| array.product(&product, &c.a, &c.b, &c.seeds).map_err(|error| error.to_string()));
    found.same("c", &results, &Ok(c.c.clone()));
}
