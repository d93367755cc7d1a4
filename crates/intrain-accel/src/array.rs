//! The values: what leaves the array for a product, bit for bit.
//!
//! Sums first (`sums.rs`), then rounding in the order of the tiles, as each column's LFSR draws once for every result, also
//! for those of filled-up edges. Formula: `y = saturate(floor((acc + (R << (d - b))) / 2^d))`, section 5.3 of
//! `docs/arithmetic.md`.

mod sums;
#[cfg(test)]
mod tests;

use crate::lfsr::Leap;
use crate::machine::{Machine, MachineError, Rounding};
use crate::order::{Format, Product, ProductError, Tiling};

/// The array of one machine, ready for products.
#[derive(Debug, Clone)]
pub struct Array {
    machine: Machine,
    leap: Leap,
}

/// Operands or seeds that do not belong to the product.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// The product itself is refused.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// An operand of another size.
    #[error("{name} has {got} elements, and a product of {rows} x {columns} needs {}", rows * columns)]
    Length {
        /// Which operand.
        name: &'static str,
        /// How many it has.
        got: usize,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// An operand that is no word.
    #[error("{name}[{index}] = {value} is outside {}..={} of {word} bits; saturate it first", -(1i64 << (word - 1)), (1i64 << (word - 1)) - 1)]
    Word {
        /// Which operand.
        name: &'static str,
        /// Which element, row-major.
        index: usize,
        /// Its value.
        value: i32,
        /// Bits of a word.
        word: u32,
    },
    /// Not one seed for each column of the array.
    #[error("{got} seeds for an array of {n} columns; give one for each")]
    Seeds {
        /// How many there are.
        got: usize,
        /// Columns of the array.
        n: usize,
    },
    /// A state that no register may start in.
    #[error(
        "seed {seed:#x} of column {column} is 0 or wider than the register's {bits} bits; it must be in 1..=2^{bits}-1"
    )]
    Seed {
        /// Which column.
        column: usize,
        /// Its seed.
        seed: u32,
        /// Bits of the register.
        bits: u32,
    },
}

impl Array {
    /// The array of `machine`.
    ///
    /// # Errors
    /// The machine cannot be built.
    pub fn new(machine: &Machine) -> Result<Self, MachineError> {
        machine.check()?;
        // A checked register always leaps: it has 4 to 32 bits, and a mask with bit 0.
        let taps = machine.lfsr.taps;
        let leap = Leap::new(machine.lfsr).ok_or(MachineError::TapsForget { taps, fixed: taps | 1 })?;
        Ok(Self { machine: machine.clone(), leap })
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// `C = A * B` as it leaves the array: row-major `[l, m]`, words of `word` bits, or accumulators in [`Format::Exact`].
    ///
    /// `a` is row-major `[l, k]`, `b` row-major `[k, m]`, both words; `seeds` has one start state for each column of the
    /// array, and may be empty where rounding is to nearest.
    ///
    /// # Errors
    /// Operands or seeds that do not fit the product or the machine.
    pub fn product(
        &self,
        product: &Product,
        a: &[i32],
        b: &[i32],
        seeds: &[u32],
    ) -> Result<Vec<i64>, ArrayError> {
        self.check(product, a, b, seeds)?;
        let mut c = sums::sums(&self.machine, product, a, b);
        if let Format::Rounded(index) = product.format {
            match self.machine.rounding {
                Rounding::Stochastic => self.round_stochastic(product, index, seeds, &mut c),
                Rounding::Nearest => self.round_nearest(index, &mut c),
            }
        }
        Ok(c)
    }

    /// Whether operands and seeds fit: what [`Self::product`] and the test vectors ask first.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self, product: &Product, a: &[i32], b: &[i32], seeds: &[u32]) -> Result<(), ArrayError> {
        product.check(&self.machine)?;
        let Product { l, k, m, .. } = *product;
        for (name, data, rows, columns) in [("A", a, l, k), ("B", b, k, m)] {
            // Bound: l, k and m are below 2^30, checked above.
            if data.len() != rows * columns {
                return Err(ArrayError::Length { name, got: data.len(), rows, columns });
            }
            let word = self.machine.word;
            let limit = 1 << (word - 1);
            let outside = data.iter().position(|value| !(-limit..limit).contains(value));
            if let Some(index) = outside {
                return Err(ArrayError::Word { name, index, value: data[index], word });
            }
        }
        let n = self.machine.n;
        if self.machine.rounding == Rounding::Nearest && seeds.is_empty() {
            return Ok(());
        }
        if seeds.len() != n {
            return Err(ArrayError::Seeds { got: seeds.len(), n });
        }
        match seeds.iter().position(|seed| !self.leap.may_start(*seed)) {
            Some(column) => {
                let bits = self.machine.lfsr.bits;
                Err(ArrayError::Seed { column, seed: seeds[column], bits })
            }
            None => Ok(()),
        }
    }

    /// Rounds in the order of the tiles; results of filled-up edges draw as well.
    fn round_stochastic(&self, product: &Product, index: usize, seeds: &[u32], c: &mut [i64]) {
        let (l, m, n) = (product.l, product.m, self.machine.n);
        let drop = self.machine.drop[index];
        let bits = self.machine.draw_bits(drop);
        let mut states = seeds.to_vec();
        for tile in Tiling::of(&self.machine, product).order() {
            for r in tile.row * n..(tile.row + 1) * n {
                // Columns beyond m have no results in any tile, so nobody asks for their draws.
                for (j, state) in states.iter_mut().enumerate().take(m) {
                    *state = self.leap.next(*state);
                    let column = tile.column * n + j;
                    if r < l && column < m {
                        let random = i64::from(self.leap.top(*state, bits));
                        let result = &mut c[r * m + column];
                        *result = narrow(*result, random << (drop - bits), drop, self.machine.word);
                    }
                }
            }
        }
    }

    fn round_nearest(&self, index: usize, c: &mut [i64]) {
        let drop = self.machine.drop[index];
        let addend = if drop == 0 { 0 } else { (1 << (drop - 1)) - 1 };
        for result in c {
            *result = narrow(*result, addend, drop, self.machine.word);
        }
    }
}

/// `saturate_word(floor((acc + addend) / 2^drop))`. Bound: accumulators have at most 48 bits, the addend is below
/// `2^drop <= 2^47`.
fn narrow(accumulator: i64, addend: i64, drop: u32, word: u32) -> i64 {
    let limit = 1 << (word - 1);
    ((accumulator + addend) >> drop).clamp(-limit, limit - 1)
}
