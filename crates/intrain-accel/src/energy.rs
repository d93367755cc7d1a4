//! Energy by a named table, in picojoules of a chip: never to be added to, or compared with, the watts of an FPGA board.
//!
//! Horowitz, "Computing's energy problem", ISSCC 2014: 45 nm, 0.9 V. What the table lacks is scaled from what it has, as said
//! at each function.

use crate::cycles::Cycles;
use crate::machine::Machine;
use crate::order::{Format, Product};

/// The table's name, as reports print it.
pub const TABLE: &str = "Horowitz 2014, 45 nm, 0.9 V";

/// Picojoules of a product by what they are spent on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Energy {
    /// Multiplications and additions, those of filled-up edges included.
    pub arithmetic: f64,
    /// Rounding: an addition and a draw for each result.
    pub rounding: f64,
    /// The buffers of A and B: written once for each beat that is loaded, read once in each step.
    pub buffers: f64,
    /// The memory behind them.
    pub memory: f64,
}

impl Energy {
    /// All together.
    #[must_use]
    pub const fn total(&self) -> f64 {
        self.arithmetic + self.rounding + self.buffers + self.memory
    }

    /// So many times that, and the other.
    #[must_use]
    pub const fn plus(&self, times: f64, other: &Self) -> Self {
        Self {
            arithmetic: self.arithmetic + times * other.arithmetic,
            rounding: self.rounding + times * other.rounding,
            buffers: self.buffers + times * other.buffers,
            memory: self.memory + times * other.memory,
        }
    }
}

/// An integer addition: 0.1 pJ at 32 bits (0.03 at 8, 0.05 at 16), and as the width.
fn addition(bits: u32) -> f64 {
    0.1 * f64::from(bits) / 32.0
}

/// An integer multiplication: 0.2 pJ at 8 bits and 3.1 at 32, and a power law through both.
fn multiplication(bits: u32) -> f64 {
    let exponent = (3.1_f64 / 0.2).ln() / 4.0_f64.ln();
    0.2 * (f64::from(bits) / 8.0).powf(exponent)
}

/// 64 bits of a memory on the chip: 10 pJ up to 8 KiB, 20 up to 32 KiB, 100 beyond (1 MiB in the table).
const fn on_chip(bytes: usize) -> f64 {
    match bytes {
        0..=0x2000 => 10.0,
        0x2001..=0x8000 => 20.0,
        _ => 100.0,
    }
}

/// 64 bits of DRAM: 1,300 to 2,600 pJ in the table.
const DRAM: f64 = 1300.0;

/// What a product costs.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn of_product(machine: &Machine, product: &Product, cycles: &Cycles) -> Energy {
    let (n, word) = (machine.n as f64, f64::from(machine.word));
    let executed = cycles.steps as f64 * n * n;
    let results = cycles.c_beats as f64 * n;
    let (drawn, out_bits) = match product.format {
        Format::Exact => (0.0, machine.accumulator),
        Format::Rounded(_) => (results, machine.word),
    };
    let loaded = (cycles.a_beats + cycles.b_beats) as f64 * n * word;
    let streamed = 2.0 * cycles.steps as f64 * n * word;
    Energy {
        arithmetic: executed * (multiplication(machine.word) + addition(machine.accumulator)),
        rounding: drawn * (addition(machine.accumulator) + addition(machine.lfsr.bits)),
        buffers: (loaded + streamed) * on_chip(machine.buffer_bytes()) / 64.0,
        memory: (loaded + results * f64::from(out_bits)) * DRAM / 64.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycles::{Memory, cycles};

    #[test]
    fn the_table_is_met_where_it_has_entries() {
        for (bits, pj) in [(8, 0.2), (32, 3.1)] {
            assert!((multiplication(bits) - pj).abs() < 1e-9, "{bits}");
        }
        assert!((addition(32) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn rounding_is_a_small_part_of_a_long_product() {
        let machine = Machine::default();
        let product = Product { l: 100, k: 1000, m: 1000, format: Format::Rounded(0) };
        let cycles = cycles(&machine, &product, &Memory::of(&machine)).unwrap();
        let energy = of_product(&machine, &product, &cycles);
        assert!(energy.rounding < 0.001 * energy.arithmetic, "{energy:?}");
        assert!(energy.total() > energy.memory && energy.memory > 0.0);
    }
}
