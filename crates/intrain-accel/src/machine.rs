//! Which machine: the configuration of the array, its buffers and its board, and what is refused.
//!
//! The first thing on the path: values, cycles and hardware are all made from one checked [`Machine`]. The defaults are
//! the machine of Gupta et al. 2015, section 5. Invariant: what passes [`Machine::check`] can be built.

use intrain_num::Columns;
use serde::{Deserialize, Serialize};

/// Most rows and columns of the array.
pub const SIZE_MAX: usize = Columns::MAX;
/// Most bits of an operand: the narrow port of a DSP48E1, which multiplies 25 x 18.
pub const WORD_MAX: u32 = 18;
/// Most bits of an accumulator: the DSP48E1's.
pub const ACCUMULATOR_MAX: u32 = 48;
/// Most row tiles of A in a panel.
pub const PANEL_MAX: usize = 16;
/// Fewest and most steps of k in a slot of a buffer.
pub const DEPTH: std::ops::RangeInclusive<usize> = 16..=8192;
/// Most formats that a machine can round to.
pub const FORMATS_MAX: usize = 4;
/// Fewest and most bits of a column's LFSR.
pub const LFSR_BITS: std::ops::RangeInclusive<u32> = 4..=32;

/// One accelerator, as its TOML file says. Every key has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// Rows and columns of the array, 1 to [`SIZE_MAX`].
    pub n: usize,
    /// Bits of an operand, two's complement, 2 to [`WORD_MAX`].
    pub word: u32,
    /// Bits of an accumulator, `2 * word` to [`ACCUMULATOR_MAX`].
    pub accumulator: u32,
    /// What an accumulator does after an addition that does not fit.
    pub overflow: Overflow,
    /// Row tiles of A that stay while all columns of B stream by, 1 to [`PANEL_MAX`].
    pub panel: usize,
    /// Steps of k in one slot of a buffer, a power of two in [`DEPTH`].
    pub depth: usize,
    /// How results lose their low bits.
    pub rounding: Rounding,
    /// The register of random bits in each column.
    pub lfsr: Register,
    /// Random bits that are compared, at most; absent: as many as are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_bits: Option<u32>,
    /// The formats: bits dropped, each below `accumulator`; a command names one by its index.
    pub drop: Vec<u32>,
    /// Whether commands may ask for whole accumulators.
    pub exact: bool,
    /// What adds the random bits.
    pub round_unit: RoundUnit,
    /// Clock, MHz. Only reports use it, and [`crate::Memory::of`].
    pub megahertz: f64,
    /// What the memory delivers and takes together, 10^9 bytes per second.
    pub gigabytes_per_second: f64,
    /// Name of a line of [`DEVICES`].
    pub device: String,
}

/// What an accumulator does after each addition, in the order of k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// Keeps the low bits, as two's complement.
    Wrap,
    /// Stays at the nearer end of its range.
    Saturate,
}

/// How a result loses its low `d` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// Adds random bits below the last one kept, then floors.
    Stochastic,
    /// Adds `2^(d-1) - 1`, then floors: ties go down.
    Nearest,
}

/// What adds the random bits to the accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoundUnit {
    /// Carry chains.
    Fabric,
    /// One DSP48E1 per column, as in the paper.
    Dsp,
}

/// A Fibonacci register that shifts right, section 3.4 of `docs/arithmetic.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Bits, in [`LFSR_BITS`].
    pub bits: u32,
    /// Mask of the bits whose parity enters at the top; bit 0 must be in it.
    pub taps: u32,
}

/// What a device has, by its maker's tables (Xilinx DS180 and DS190).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Part, lower case, without package and speed.
    pub name: &'static str,
    /// DSP48E1 slices.
    pub dsp: usize,
    /// Six-input look-up tables.
    pub lut: usize,
    /// Flip-flops.
    pub ff: usize,
    /// Block RAMs of 36 Kbit.
    pub bram36: usize,
}

/// The devices that `device` may name.
pub const DEVICES: [Device; 9] = [
    Device { name: "xc7a35t", dsp: 90, lut: 20_800, ff: 41_600, bram36: 50 },
    Device { name: "xc7a100t", dsp: 240, lut: 63_400, ff: 126_800, bram36: 135 },
    Device { name: "xc7a200t", dsp: 740, lut: 134_600, ff: 269_200, bram36: 365 },
    Device { name: "xc7z020", dsp: 220, lut: 53_200, ff: 106_400, bram36: 140 },
    Device { name: "xc7z045", dsp: 900, lut: 218_600, ff: 437_200, bram36: 545 },
    Device { name: "xc7k325t", dsp: 840, lut: 203_800, ff: 407_600, bram36: 445 },
    Device { name: "xc7k410t", dsp: 1_540, lut: 254_200, ff: 508_400, bram36: 795 },
    Device { name: "xc7vx485t", dsp: 2_800, lut: 303_600, ff: 607_200, bram36: 1_030 },
    Device { name: "xc7vx690t", dsp: 3_600, lut: 433_200, ff: 866_400, bram36: 1_470 },
];

/// Shapes of a 36 Kbit block RAM, `(bits, words)`; the last is the simple dual-port shape.
const BRAM36_SHAPES: [(usize, usize); 5] = [(4, 8192), (9, 4096), (18, 2048), (36, 1024), (72, 512)];

/// A machine that cannot be built. Each message has the value, the limit and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The text is not a machine: no TOML, a key that is not known, or a value of another kind.
    #[error("{0}")]
    Text(String),
    /// A number outside its range.
    #[error("{key} = {value} is not in {low}..={high}; choose a value in that range")]
    Range {
        /// The key.
        key: &'static str,
        /// What it says.
        value: u64,
        /// Least value.
        low: u64,
        /// Largest value.
        high: u64,
    },
    /// A depth that addresses cannot be made of by joining bits.
    #[error("depth = {value} is not a power of two; use {below} or {above}")]
    Depth {
        /// What it says.
        value: usize,
        /// Next smaller power of two.
        below: usize,
        /// Next larger one.
        above: usize,
    },
    /// An accumulator that a single product may not fit.
    #[error(
        "accumulator = {accumulator} bits hold no product of two words of {word} bits; use at least {least}"
    )]
    Accumulator {
        /// What it says.
        accumulator: u32,
        /// The operand's bits.
        word: u32,
        /// Least accumulator, `2 * word`.
        least: u32,
    },
    /// Not one to four formats.
    #[error("drop has {count} formats; name 1 to {FORMATS_MAX}")]
    Formats {
        /// How many there are.
        count: usize,
    },
    /// A format whose draw is wider than the register, with no word on how many bits are compared.
    #[error(
        "drop = {drop} needs more random bits than the LFSR's {bits}; drop fewer, widen lfsr.bits to at most 32, \
         or say random_bits = {bits}"
    )]
    DrawTooWide {
        /// The format's dropped bits.
        drop: u32,
        /// The register's bits.
        bits: u32,
    },
    /// More random bits than the register has.
    #[error("random_bits = {random_bits} is more than the LFSR's {bits} bits; use at most {bits}")]
    RandomBits {
        /// What it says.
        random_bits: u32,
        /// The register's bits.
        bits: u32,
    },
    /// A mask without bit 0: two states would have one successor.
    #[error("lfsr.taps = {taps:#x} has no bit 0, so the register would forget states; use {fixed:#x}")]
    TapsForget {
        /// What it says.
        taps: u32,
        /// The mask with bit 0.
        fixed: u32,
    },
    /// A mask that is wider than the register.
    #[error("lfsr.taps = {taps:#x} has bits beyond the register's {bits}; use bits 0 to {} only", bits - 1)]
    TapsTooWide {
        /// What it says.
        taps: u32,
        /// The register's bits.
        bits: u32,
    },
    /// A rate that is no positive number.
    #[error(
        "{key} = {value} is not a positive number of at most {high}; measure or look up the board's value"
    )]
    Rate {
        /// The key.
        key: &'static str,
        /// What it says.
        value: f64,
        /// Largest value.
        high: f64,
    },
    /// A device that is not in the table.
    #[error("device = \"{name}\" is not known; use one of {known}")]
    Device {
        /// What it says.
        name: String,
        /// The names in the table.
        known: String,
    },
    /// A device with too few multipliers.
    #[error(
        "n = {n} needs {needed} DSP48E1 ({what}), and {device} has {limit}; use n <= {largest} or a larger device"
    )]
    Dsp {
        /// The array's size.
        n: usize,
        /// What is needed.
        needed: usize,
        /// How that comes about.
        what: String,
        /// The device.
        device: &'static str,
        /// What it has.
        limit: usize,
        /// The largest array that fits in DSPs and block RAM; 0: none.
        largest: usize,
    },
    /// A device with too little block RAM.
    #[error(
        "the buffers need about {needed} BRAM36 (n = {n}, panel = {panel}, depth = {depth}, word = {word}), and \
         {device} has {limit}; use n <= {largest}, a smaller panel or depth, or a larger device"
    )]
    Bram {
        /// The array's size.
        n: usize,
        /// Row tiles in a panel.
        panel: usize,
        /// Steps in a slot.
        depth: usize,
        /// Bits of an operand.
        word: u32,
        /// What is needed.
        needed: usize,
        /// The device.
        device: &'static str,
        /// What it has.
        limit: usize,
        /// The largest array that fits in DSPs and block RAM; 0: none.
        largest: usize,
    },
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            n: 28,
            word: 16,
            accumulator: 48,
            overflow: Overflow::Wrap,
            panel: 4,
            depth: 1024,
            rounding: Rounding::Stochastic,
            lfsr: Register { bits: 16, taps: intrain_num::random::Lfsr::TAPS_16 },
            random_bits: None,
            drop: vec![14, 8],
            exact: true,
            round_unit: RoundUnit::Fabric,
            megahertz: 166.0,
            gigabytes_per_second: 6.4,
            device: "xc7k325t".to_owned(),
        }
    }
}

impl Machine {
    /// Reads a machine from TOML and checks it.
    ///
    /// # Errors
    /// [`MachineError::Text`] for what is no machine, else as [`Self::check`].
    pub fn from_toml(text: &str) -> Result<Self, MachineError> {
        let machine: Self = toml::from_str(text).map_err(|error| MachineError::Text(error.to_string()))?;
        machine.check()?;
        Ok(machine)
    }

    /// Whether this machine can be built.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub fn check(&self) -> Result<(), MachineError> {
        range("n", self.n as u64, 1, SIZE_MAX as u64)?;
        range("word", self.word.into(), 2, WORD_MAX.into())?;
        range("accumulator", self.accumulator.into(), 1, ACCUMULATOR_MAX.into())?;
        if self.accumulator < 2 * self.word {
            let (accumulator, word) = (self.accumulator, self.word);
            return Err(MachineError::Accumulator { accumulator, word, least: 2 * word });
        }
        range("panel", self.panel as u64, 1, PANEL_MAX as u64)?;
        range("depth", self.depth as u64, *DEPTH.start() as u64, *DEPTH.end() as u64)?;
        if !self.depth.is_power_of_two() {
            let above = self.depth.next_power_of_two();
            return Err(MachineError::Depth { value: self.depth, below: above / 2, above });
        }
        self.check_random_bits()?;
        // Bound: above 10^6 the rate of a memory would no longer fit its fraction.
        rate("megahertz", self.megahertz, 1e4)?;
        rate("gigabytes_per_second", self.gigabytes_per_second, 1e4)?;
        self.check_device()
    }

    fn check_random_bits(&self) -> Result<(), MachineError> {
        let Register { bits, taps } = self.lfsr;
        range("lfsr.bits", bits.into(), (*LFSR_BITS.start()).into(), (*LFSR_BITS.end()).into())?;
        if taps & !(u32::MAX >> (32 - bits)) != 0 {
            return Err(MachineError::TapsTooWide { taps, bits });
        }
        if taps & 1 == 0 {
            return Err(MachineError::TapsForget { taps, fixed: taps | 1 });
        }
        if self.drop.is_empty() || self.drop.len() > FORMATS_MAX {
            return Err(MachineError::Formats { count: self.drop.len() });
        }
        if let Some(random_bits) = self.random_bits {
            range("random_bits", random_bits.into(), 1, u64::from(u32::MAX))?;
            if random_bits > bits {
                return Err(MachineError::RandomBits { random_bits, bits });
            }
        }
        for drop in &self.drop {
            range("drop", (*drop).into(), 0, (self.accumulator - 1).into())?;
            let draws = self.rounding == Rounding::Stochastic && self.random_bits.is_none();
            if draws && *drop > bits {
                return Err(MachineError::DrawTooWide { drop: *drop, bits });
            }
        }
        Ok(())
    }

    fn check_device(&self) -> Result<(), MachineError> {
        let device = self.device_entry()?;
        if self.dsp() > device.dsp {
            let n = self.n;
            let what = match self.round_unit {
                RoundUnit::Fabric => format!("{n} x {n}"),
                RoundUnit::Dsp => format!("{n} x {n} + {n} for rounding"),
            };
            let (needed, largest) = (self.dsp(), self.largest_n(device));
            return Err(MachineError::Dsp {
                n,
                needed,
                what,
                device: device.name,
                limit: device.dsp,
                largest,
            });
        }
        if self.bram36() > device.bram36 {
            return Err(MachineError::Bram {
                n: self.n,
                panel: self.panel,
                depth: self.depth,
                word: self.word,
                needed: self.bram36(),
                device: device.name,
                limit: device.bram36,
                largest: self.largest_n(device),
            });
        }
        Ok(())
    }

    /// The device's line of [`DEVICES`].
    ///
    /// # Errors
    /// [`MachineError::Device`] if there is none.
    pub fn device_entry(&self) -> Result<&'static Device, MachineError> {
        DEVICES.iter().find(|device| device.name == self.device).ok_or_else(|| MachineError::Device {
            name: self.device.clone(),
            known: DEVICES.map(|device| device.name).join(", "),
        })
    }

    /// DSP48E1 slices: one per node of the array, and one per column where they round.
    #[must_use]
    pub const fn dsp(&self) -> usize {
        match self.round_unit {
            RoundUnit::Fabric => self.n * self.n,
            RoundUnit::Dsp => self.n * self.n + self.n,
        }
    }

    /// Block RAMs of 36 Kbit that the two operand buffers take in their best shape: an estimate, not a placement.
    #[must_use]
    pub fn bram36(&self) -> usize {
        let memory = |slots: usize| {
            let (width, words) = (self.n * self.word as usize, slots * self.depth);
            let blocks = BRAM36_SHAPES.map(|(w, d)| width.div_ceil(w) * words.div_ceil(d));
            blocks.into_iter().min().unwrap_or(0)
        };
        memory(self.a_slots()) + memory(B_SLOTS)
    }

    fn largest_n(&self, device: &Device) -> usize {
        let fits = |n: &usize| {
            let smaller = Self { n: *n, ..self.clone() };
            smaller.dsp() <= device.dsp && smaller.bram36() <= device.bram36
        };
        (1..=SIZE_MAX).rev().find(fits).unwrap_or(0)
    }

    /// Slots of the buffer of A: two halves of a panel each.
    #[must_use]
    pub const fn a_slots(&self) -> usize {
        2 * self.panel
    }

    /// Bytes of both operand buffers.
    #[must_use]
    pub const fn buffer_bytes(&self) -> usize {
        (self.a_slots() + B_SLOTS) * self.depth * self.n * self.word as usize / 8
    }

    /// The random source of recipes for this machine.
    #[must_use]
    pub const fn columns(&self) -> Columns {
        Columns { n: self.n, panel: self.panel, bits: self.lfsr.bits, taps: self.lfsr.taps }
    }

    /// Bits of a result on its way to memory: the accumulator's if `exact` is built.
    #[must_use]
    pub const fn out_bits(&self) -> u32 {
        if self.exact { self.accumulator } else { self.word }
    }

    /// Random bits that the format with `drop` dropped bits compares.
    #[must_use]
    pub fn draw_bits(&self, drop: u32) -> u32 {
        drop.min(self.random_bits.unwrap_or(drop))
    }

    /// Operations per second of the full array, a multiplication and an addition each counted.
    #[must_use]
    pub fn peak_operations_per_second(&self) -> f64 {
        // Exact: at most 2 * 64 * 64.
        2.0 * (self.n * self.n) as f64 * self.megahertz * 1e6
    }

    /// Tiles whose results the output FIFOs hold: as few as never hold the array up while memory takes results at once.
    ///
    /// A tile's room is taken at its last step and is free again `3n + 8` cycles later ([`crate::cycles`]); last steps are
    /// at least `2n - 1` cycles apart.
    ///
    /// # Panics
    /// If `n` is 0, which [`Self::check`] refuses.
    #[must_use]
    pub const fn output_tiles(&self) -> usize {
        (3 * self.n + 8).div_ceil(2 * self.n - 1)
    }
}

/// Slots of the buffer of B.
pub const B_SLOTS: usize = 2;

fn range(key: &'static str, value: u64, low: u64, high: u64) -> Result<(), MachineError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(MachineError::Range { key, value, low, high }) }
}

fn rate(key: &'static str, value: f64, high: f64) -> Result<(), MachineError> {
    if value > 0.0 && value <= high { Ok(()) } else { Err(MachineError::Rate { key, value, high }) }
}

#[cfg(test)]
mod tests;
