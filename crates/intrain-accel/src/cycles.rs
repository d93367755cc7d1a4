//! The cycles: when everything of a product happens, equal to the hardware's counters.
//!
//! Cycle 0 is the one whose edge accepts the command; the first read is requested in cycle 2. `model.rs` has the registers
//! of the loader, the tile control and the writer, clock by clock, and `period.rs` jumps over what repeats. With `n` rows,
//! times after the edge that issues a step:
//!
//! * `+2` its operands stand at the array's edge; `+3 + i + j` in node `(i, j)`;
//! * `+9 + 2i + j` the result of row `i` leaves the rounding unit of column `j`, if it was a tile's last step;
//! * `+9 + n + 2i` row `i` is offered to memory, at the earliest; so a tile is written `3n + 7` after its last step.
//!
//! Last steps are at least `2n - 1` cycles apart, as results of two tiles would meet in a column otherwise: short tiles
//! wait for that before their last step, and for room in the output FIFOs ([`Machine::output_tiles`]).
//!
//! Closed form, where memory is never waited for (`T` tiles, one pass each, `I = max(k, 2n - 1)`):
//! the array takes `(T - 1) * I + k + 3n + 4` cycles, and the product `2k + latency + (T - 1) * I + k + 3n + 9` in all.

mod model;
mod period;
#[cfg(test)]
mod tests;
mod walk;

use crate::machine::{Machine, MachineError};
use crate::order::{Product, ProductError};

/// The memory that a product is computed from and to.
///
/// Every read takes `latency`. Reads and writes share a bucket of tokens: each cycle adds the bytes of one cycle, up to one
/// beat each of reading and writing and one cycle's bytes on top; a beat is accepted when its bytes are there, and writes
/// go first. The bucket is full when the first read is requested. A read beat is `n` words; a write beat `n` results of the
/// format's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Cycles from the edge that accepts a request to the one that takes its data, at least 1.
    pub latency: u32,
    /// Reading and writing together.
    pub rate: Rate,
}

/// What a memory delivers and takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// A read beat and a write beat in every cycle.
    Unlimited,
    /// So many bytes in a cycle, as a fraction.
    BytesPerCycle {
        /// Bytes, at least 1.
        numerator: u32,
        /// Cycles, at least 1.
        denominator: u32,
    },
}

/// Latency of [`Memory::of`], cycles: about 200 ns at 166 MHz. An assumption; the paper has none.
pub const LATENCY: u32 = 32;

/// A product whose cycles are not defined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CyclesError {
    /// The machine cannot be built.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The machine cannot do the product.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// A latency of nothing, or a fraction with a zero.
    #[error(
        "a memory with latency {latency} and {numerator}/{denominator} bytes a cycle never answers; all must be at least 1"
    )]
    Memory {
        /// Its latency.
        latency: u32,
        /// Bytes.
        numerator: u32,
        /// Cycles.
        denominator: u32,
    },
}

/// Where the time of a product went, in cycles and beats. Every field is a counter of the hardware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cycles {
    /// From the edge that accepts the command to the edge that accepts the last write beat, both counted.
    pub total: u64,
    /// From the first operand at the array's edge to the last result out of a rounding unit, both counted.
    pub array: u64,
    /// Steps of k issued to the array: `k` for each tile.
    pub steps: u64,
    /// Cycles between first and last step without one, as operands were not loaded.
    pub wait_load: u64,
    /// The same, as the tile before is still draining.
    pub wait_drain: u64,
    /// The same, as the output FIFOs may have no room.
    pub wait_output: u64,
    /// Beats of A read.
    pub a_beats: u64,
    /// Beats of B read.
    pub b_beats: u64,
    /// Beats of C written.
    pub c_beats: u64,
}

impl Cycles {
    /// Cycles between the first and the last step in which the array stood still.
    #[must_use]
    pub const fn stalls(&self) -> u64 {
        self.wait_load + self.wait_drain + self.wait_output
    }

    /// Part of the array's multiply-accumulates, over all cycles, that the product itself needed.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for reports")]
    pub fn utilization(&self, machine: &Machine, product: &Product) -> f64 {
        product.macs() as f64 / (self.total as f64 * (machine.n * machine.n) as f64)
    }
}

impl Memory {
    /// The memory of a machine's board: its bandwidth at its clock, in sixteenths of a byte per cycle (rounded down), and
    /// [`LATENCY`].
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    pub fn of(machine: &Machine) -> Self {
        let bytes = machine.gigabytes_per_second * 1e3 / machine.megahertz;
        let numerator = (bytes * 16.0).floor().clamp(1.0, f64::from(u32::MAX)) as u32;
        Self { latency: LATENCY, rate: Rate::BytesPerCycle { numerator, denominator: 16 } }
    }

    /// A memory that is never waited for but at the start.
    #[must_use]
    pub const fn unlimited(latency: u32) -> Self {
        Self { latency, rate: Rate::Unlimited }
    }

    /// Whether the memory ever answers.
    ///
    /// # Errors
    /// A zero.
    pub const fn check(&self) -> Result<(), CyclesError> {
        let (numerator, denominator) = match self.rate {
            Rate::Unlimited => (1, 1),
            Rate::BytesPerCycle { numerator, denominator } => (numerator, denominator),
        };
        if self.latency == 0 || numerator == 0 || denominator == 0 {
            return Err(CyclesError::Memory { latency: self.latency, numerator, denominator });
        }
        Ok(())
    }
}

/// The shared bucket of a [`Memory`] for one command, in bits times the rate's denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Added in each cycle.
    pub rate: u64,
    /// Most that the bucket holds.
    pub capacity: u64,
    /// Taken by a read beat.
    pub read: u64,
    /// Taken by a write beat.
    pub write: u64,
}

impl Tokens {
    /// The bucket of `memory` while `machine` does `product`.
    #[must_use]
    pub fn of(machine: &Machine, product: &Product, memory: &Memory) -> Self {
        let Rate::BytesPerCycle { numerator, denominator } = memory.rate else {
            return Self { rate: 0, capacity: 0, read: 0, write: 0 };
        };
        let beat = |bits: u32| machine.n as u64 * u64::from(bits) * u64::from(denominator);
        let result_bits = match product.format {
            crate::Format::Exact => machine.accumulator,
            crate::Format::Rounded(_) => machine.word,
        };
        // Bound: 8 * 2^32 + 2 * 64 * 48 * 2^32 is below 2^46.
        let (rate, read, write) = (8 * u64::from(numerator), beat(machine.word), beat(result_bits));
        Self { rate, capacity: read + write + rate, read, write }
    }
}

/// The cycles of `product` on `machine` at `memory`.
///
/// # Errors
/// The machine, the product or the memory is refused.
pub fn cycles(machine: &Machine, product: &Product, memory: &Memory) -> Result<Cycles, CyclesError> {
    machine.check()?;
    product.check(machine)?;
    memory.check()?;
    Ok(period::run(model::Model::new(machine, product, memory)))
}

/// The same without jumps over what repeats: slow, for tests of the jumps.
#[cfg(test)]
fn cycles_step_by_step(machine: &Machine, product: &Product, memory: &Memory) -> Cycles {
    let mut model = model::Model::new(machine, product, memory);
    while !model.step().done {}
    model.counters()
}
