//! The array's values: sums in its accumulators, then one rounding for each result, in the order in which results leave.
//!
//! Sections 3.4 and 5.3 of `docs/arithmetic.md`. Sums come from the product kernels, which are exact; what makes them the
//! array's is that they are cut to the accumulator's width, and that each column's register steps once for each result,
//! those of a tile's unused rows and columns included.

use intrain_kernels::pack::pack_i16;
use intrain_kernels::product::{Args, Store};
use intrain_kernels::stage::{Conv, stage_rows};
use intrain_kernels::{Isa, dot_i16};
use intrain_num::columns::Draw;
use rayon::prelude::*;

use crate::machine::{Machine, Overflow, Rounding};
use crate::order::tiles;

/// What leaves the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Words, with so many bits dropped.
    Drop(u32),
    /// The accumulators.
    Exact,
}

/// A product `A (l x k) * B (k x m)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Product {
    /// Rows of the result.
    pub l: usize,
    /// Products that are summed.
    pub k: usize,
    /// Columns of the result.
    pub m: usize,
    /// What leaves.
    pub format: Format,
}

/// A machine's arithmetic.
#[derive(Debug)]
pub struct Array {
    machine: Machine,
    draw: Draw,
    isa: Isa,
}

/// Rows that a thread takes at a time.
const ROWS: usize = 32;

impl Array {
    /// The arithmetic of `machine`.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        let draw = Draw::new(machine.lfsr.bits, machine.lfsr.taps);
        Self { machine: machine.clone(), draw, isa: Isa::best() }
    }

    /// The results `[l][m]`, from `a` `[l][k]` and `b` `[k][m]`; `seeds` are the states in which the columns' registers
    /// start, one for each.
    ///
    /// # Panics
    /// When lengths differ, an operand is wider than a word, or a stochastic rounding lacks seeds.
    #[must_use]
    pub fn product(&self, product: &Product, a: &[i32], b: &[i32], seeds: &[u32]) -> Vec<i64> {
        let Product { l, k, m, format } = *product;
        assert!(a.len() == l * k && b.len() == k * m, "array: operands are {l} x {k} and {k} x {m}");
        let limit = 1_u32 << (self.machine.word - 1);
        let largest = |x: &[i32]| x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0);
        let (a_max, b_max) = (largest(a), largest(b));
        assert!(
            a_max <= limit && b_max <= limit,
            "array: an operand is wider than {} bits",
            self.machine.word
        );
        // Bound: 2^17 * 2^17 * k fits 63 bits for any k that fits memory.
        let reach = u128::from(a_max) * u128::from(b_max) * k as u128;
        let mut sums =
            if reach < 1 << (self.machine.accumulator - 1) || self.machine.overflow == Overflow::Wrap {
                self.sums(product, a, b)
            } else {
                self.held_sums(product, a, b)
            };
        if reach >= 1 << (self.machine.accumulator - 1) {
            let unused = 64 - self.machine.accumulator;
            sums.iter_mut().for_each(|sum| *sum = (*sum << unused) >> unused);
        }
        match (format, self.machine.rounding) {
            // Nobody sees what the registers draw.
            (Format::Exact, _) => {}
            (Format::Drop(dropped), Rounding::Nearest) => {
                let constant = if dropped == 0 { 0 } else { (1_i64 << (dropped - 1)) - 1 };
                sums.par_iter_mut().for_each(|sum| *sum = self.rounded(*sum, constant, dropped));
            }
            (Format::Drop(dropped), Rounding::Stochastic) => self.round(product, dropped, seeds, &mut sums),
        }
        sums
    }

    /// Exact sums.
    fn sums(&self, product: &Product, a: &[i32], b: &[i32]) -> Vec<i64> {
        let Product { l, k, m, .. } = *product;
        let mut sums = vec![0_i64; l * m];
        if self.machine.word > 16 {
            sums.par_chunks_exact_mut(m).zip(a.par_chunks_exact(k)).for_each(|(sums, a)| {
                for (a, b) in a.iter().zip(b.chunks_exact(m)) {
                    sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += i64::from(*a) * i64::from(*b));
                }
            });
            return sums;
        }
        let rows = ROWS.min(l);
        let conv = Conv::linear(rows, k, m);
        let tables = conv.forward::<i16>(1);
        let packed = pack_i16(self.isa, tables.source(b), 1 << 15, (i16::MIN.into(), i16::MAX.into()));
        let layout = conv.forward_layout();
        let items = sums.par_chunks_mut(rows * m).zip(a.par_chunks(rows * k));
        items.for_each_init(
            || (vec![], vec![], vec![0; rows * m]),
            |(words, staged, c), (sums, a)| {
                words.clear();
                // Bound: an operand fits 16 bits.
                words.extend(a.iter().map(|a| i16::try_from(*a).unwrap_or(i16::MAX)));
                words.resize(rows * k, 0);
                staged.resize(layout.buffer_len(1), 0);
                stage_rows(words, &layout, staged, 0);
                let (rows, steps) = (&tables.rows, &tables.steps);
                let (init, store) = (None, Store::Set);
                let args =
                    Args { a: staged, rows, steps, segments: 0..1, b: &packed, c, c_stride: m, init, store };
                dot_i16::run(self.isa, args);
                sums.copy_from_slice(&c[..sums.len()]);
            },
        );
        sums
    }

    /// Sums that are held in the accumulator's range after each addition.
    fn held_sums(&self, product: &Product, a: &[i32], b: &[i32]) -> Vec<i64> {
        let Product { k, m, .. } = *product;
        let max = (1_i64 << (self.machine.accumulator - 1)) - 1;
        let mut sums = vec![0_i64; product.l * m];
        sums.par_chunks_exact_mut(m).zip(a.par_chunks_exact(k)).for_each(|(sums, a)| {
            for (a, b) in a.iter().zip(b.chunks_exact(m)) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = (*sum + i64::from(*a) * i64::from(*b)).clamp(-max - 1, max);
                }
            }
        });
        sums
    }

    /// Rounds all results, tile after tile.
    fn round(&self, product: &Product, dropped: u32, seeds: &[u32], sums: &mut [i64]) {
        let Product { l, m, .. } = *product;
        let (n, bits) = (self.machine.n, self.machine.lfsr.bits);
        assert!(seeds.len() == n, "array: {} seeds for {n} columns", seeds.len());
        let compared = self.machine.compared(dropped);
        let mut states = seeds.to_vec();
        for tile in tiles(&self.machine, [l, m]) {
            for row in tile.row * n..(tile.row + 1) * n {
                for (column, state) in (tile.column * n..).zip(&mut states) {
                    *state = self.draw.next(*state);
                    if row < l && column < m {
                        let sum = &mut sums[row * m + column];
                        let random = if compared == 0 { 0 } else { i64::from(*state >> (bits - compared)) };
                        *sum = self.rounded(*sum, random << (dropped - compared), dropped);
                    }
                }
            }
        }
    }

    /// DSP ROUND: adds, drops, saturates. Bound: an accumulator of at most 48 bits and an addend below `2^48`.
    fn rounded(&self, accumulator: i64, addend: i64, dropped: u32) -> i64 {
        let max = (1_i64 << (self.machine.word - 1)) - 1;
        ((accumulator + addend) >> dropped).clamp(-max - 1, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Register;

    fn machine(n: usize, word: u32, accumulator: u32) -> Machine {
        Machine { n, word, accumulator, drop: vec![4], ..Machine::default() }
    }

    fn one(machine: &Machine, format: Format, a: &[i32], b: &[i32], seed: u32) -> i64 {
        let product = Product { l: 1, k: a.len(), m: 1, format };
        Array::new(machine).product(&product, a, b, &vec![seed; machine.n])[0]
    }

    /// Gupta et al. 2015: the example of section 5.3, whatever the register draws.
    #[test]
    fn multiply_accumulate_and_round() {
        let machine = Machine { n: 1, ..Machine::default() };
        let (a, b) = ([2867, -5120, 8196], [1364, 410, 12288]);
        assert_eq!(one(&machine, Format::Exact, &a, &b, 1), 102_523_836);
        assert_eq!(one(&machine.nearest(), Format::Drop(12), &a, &b, 1), 25030);
        for seed in 1..2000 {
            // The top 12 bits after 16 steps.
            let mut lfsr = intrain_num::random::Lfsr::new(16, 0x2d, seed).unwrap();
            let random = lfsr.draw() >> 4;
            let expected = if random <= 3139 { 25030 } else { 25031 };
            assert_eq!(one(&machine, Format::Drop(12), &a, &b, seed), expected, "seed {seed}");
        }
    }

    #[test]
    fn accumulators_wrap_or_hold() {
        let (a, b) = ([-8, -8, 7, 7], [-8, -8, -8, -8]);
        // 64 + 64 - 56 - 56 in 8 bits.
        let wrap = machine(1, 4, 8);
        assert_eq!(one(&wrap, Format::Exact, &a[..2], &b[..2], 1), -128);
        assert_eq!(one(&wrap, Format::Exact, &a, &b, 1), 16);
        let hold = Machine { overflow: Overflow::Saturate, ..wrap };
        assert_eq!(one(&hold, Format::Exact, &a[..2], &b[..2], 1), 127);
        assert_eq!(one(&hold, Format::Exact, &a, &b, 1), 15);
    }

    #[test]
    fn words_saturate() {
        let machine = machine(1, 8, 24).nearest();
        assert_eq!(one(&machine, Format::Drop(4), &[127, 127], &[127, 127], 1), 127);
        assert_eq!(one(&machine, Format::Drop(4), &[-128, -128], &[127, 127], 1), -128);
        assert_eq!(one(&machine, Format::Drop(0), &[3], &[5], 1), 15);
    }

    /// Sums by the kernels are those of plain loops, in both widths of words.
    #[test]
    fn sums_are_exact() {
        for word in [8, 16, 18] {
            let machine = machine(4, word, 48);
            let limit = 1 << (word - 1);
            let (l, k, m) = (37, 19, 11);
            let noise = |i: usize, salt: usize| {
                let x = (i * 2_654_435_761 + salt).wrapping_mul(40_503) >> 7;
                i32::try_from(x % (2 * limit as usize)).unwrap() - limit
            };
            let a: Vec<i32> = (0..l * k).map(|i| noise(i, 1)).collect();
            let b: Vec<i32> = (0..k * m).map(|i| noise(i, 2)).collect();
            let found =
                Array::new(&machine).product(&Product { l, k, m, format: Format::Exact }, &a, &b, &[]);
            for (i, found) in found.iter().enumerate() {
                let sum: i64 =
                    (0..k).map(|j| i64::from(a[i / m * k + j]) * i64::from(b[j * m + i % m])).sum();
                assert_eq!(*found, sum, "{word} bits, {i}");
            }
        }
    }

    /// Results that are the same but for their draws: the order is that of the contract's words.
    #[test]
    fn draws_follow_the_contract() {
        use intrain_num::Columns;
        use intrain_num::random::{Purpose, Stream};
        for (n, panel, bits, taps, [l, m]) in [
            (3, 2, 16, 0x2d, [10, 7]),
            (4, 1, 8, 0x1d, [5, 9]),
            (1, 3, 32, 0x0040_0007, [4, 3]),
            (5, 4, 12, 0x53, [23, 11]),
        ] {
            let lfsr = Register { bits, taps };
            let machine =
                Machine { n, panel, lfsr, random_bits: Some(8), drop: vec![10], ..Machine::default() };
            let columns = Columns { n, panel, bits, taps };
            let stream = Stream::new(5, Purpose::ErrorAtProduct, 2, 9);
            let seeds: Vec<u32> = (0..n as u64).map(|j| columns.seed(stream, j)).collect();
            let mut words = vec![0; l * m];
            columns.words(stream, [l, m], &mut words);
            let product = Product { l, k: 1, m, format: Format::Drop(10) };
            let (a, b) = (vec![23; l], vec![22; m]);
            let found = Array::new(&machine).product(&product, &a, &b, &seeds);
            let round = intrain_num::Round::Stochastic { bits: 8 };
            let expected: Vec<i64> = words.iter().map(|word| round.shift_right(23 * 22, 10, *word)).collect();
            assert_eq!(found, expected, "n = {n}");
        }
    }
}
