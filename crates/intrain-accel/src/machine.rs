//! The machine as data: the numbers that simulator, hardware and report share.
//!
//! Defaults are those of Gupta et al. 2015 (arXiv 1502.02551), section 5: a 28 x 28 array on a Kintex-7 325T. What the paper
//! leaves open is said at the field.

use intrain_num::Columns;
use serde::{Deserialize, Serialize};

use crate::device::{self, Device};

/// An array of multiply-accumulate units with its buffers and its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// Rows and columns of the array.
    pub n: usize,
    /// Bits of an operand and of a rounded result, two's complement.
    pub word: u32,
    /// Bits of an accumulator; the paper's are those of a DSP48E1.
    pub accumulator: u32,
    /// What an accumulator does beyond its range.
    pub overflow: Overflow,
    /// How results are rounded.
    pub rounding: Rounding,
    /// Bits that results drop: a command names one of these formats by its place.
    pub drop: Vec<u32>,
    /// Whether accumulators may also leave as they are (the format behind the last).
    pub exact: bool,
    /// A column's register: the paper says only that it is as wide as the bits that are dropped.
    pub lfsr: Register,
    /// Random bits that are compared; all that are dropped where it is left out.
    pub random_bits: Option<u32>,
    /// What adds the random bits: look-up tables, or a DSP slice for each column as in the paper.
    pub round_unit: RoundUnit,
    /// Tiles of rows of A that stay while all columns of B pass; the paper's p, which is not stated.
    pub panel: usize,
    /// Steps of k that a slot of a buffer holds; not stated.
    pub depth: usize,
    /// Clock.
    pub megahertz: f64,
    /// Bandwidth of the memory.
    pub gigabytes_per_second: f64,
    /// Power of the whole machine, for energy: the paper's estimate.
    pub watts: f64,
    /// The part that it is to fit.
    pub device: String,
}

/// A shift register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Register {
    /// Width.
    pub bits: u32,
    /// The state bits whose parity enters at the top.
    pub taps: u32,
}

/// What an accumulator does beyond its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Overflow {
    Wrap,
    /// After each addition, in the order of k.
    Saturate,
}

/// How results are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Rounding {
    Stochastic,
    /// A constant in place of the random bits: ties go down.
    Nearest,
}

/// What adds the random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum RoundUnit {
    Fabric,
    Dsp,
}

impl Default for Register {
    fn default() -> Self {
        let Columns { bits, taps, .. } = Columns::paper();
        Self { bits, taps }
    }
}

impl Default for Machine {
    fn default() -> Self {
        let Columns { n, panel, .. } = Columns::paper();
        Self {
            n,
            word: 16,
            accumulator: 48,
            overflow: Overflow::Wrap,
            rounding: Rounding::Stochastic,
            drop: vec![14],
            exact: true,
            lfsr: Register::default(),
            random_bits: None,
            round_unit: RoundUnit::Dsp,
            panel,
            depth: 1024,
            megahertz: 166.0,
            gigabytes_per_second: 6.4,
            watts: 7.0,
            device: "xc7k325t".to_owned(),
        }
    }
}

/// What a machine cannot be: each message names the field, the value, the limit and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Not TOML, or not a machine's.
    #[error("the machine is not readable: {0}")]
    Text(String),
    /// A number outside of its limits.
    #[error("{field} = {value} is not in {limits}; {remedy}")]
    Limit {
        /// The field.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it can be.
        limits: String,
        /// What to write.
        remedy: String,
    },
    /// It does not fit the part.
    #[error("it needs {needed} {what}, and {device} has {available}; {remedy}")]
    Device {
        /// Which resource.
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        available: usize,
        /// The part.
        device: String,
        /// What fits.
        remedy: String,
    },
}

impl Machine {
    /// Reads a machine and checks it.
    ///
    /// # Errors
    /// As [`Machine::check`]; and text that is no machine's.
    pub fn from_toml(text: &str) -> Result<Self, MachineError> {
        let machine: Self = toml::from_str(text).map_err(|e| MachineError::Text(e.to_string()))?;
        machine.check()?;
        Ok(machine)
    }

    /// The machine as TOML that [`Machine::from_toml`] reads back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| unreachable!("plain fields: {error}"))
    }

    /// The same with a constant in place of random bits: what evaluation uses.
    #[must_use]
    pub fn nearest(&self) -> Self {
        Self { rounding: Rounding::Nearest, ..self.clone() }
    }

    /// Random bits that are compared where `dropped` bits are dropped.
    #[must_use]
    pub fn compared(&self, dropped: u32) -> u32 {
        self.random_bits.map_or(dropped, |bits| bits.min(dropped))
    }

    /// Bits of a result as it leaves the array.
    #[must_use]
    pub const fn out_bits(&self) -> u32 {
        if self.exact { self.accumulator } else { self.word }
    }

    /// DSP slices: one for each unit of the array, and one for each column where they round.
    #[must_use]
    pub const fn dsp(&self) -> usize {
        self.n * self.n + if matches!(self.round_unit, RoundUnit::Dsp) { self.n } else { 0 }
    }

    /// Block memories of 36 Kbit: the slots of both buffers, two halves of `panel` tiles of A and two tiles of B.
    #[must_use]
    pub fn bram(&self) -> usize {
        // A block is 72 bits wide at 512 deep.
        let blocks = (self.n * self.word as usize).div_ceil(72) * self.depth.div_ceil(512);
        blocks * (2 * self.panel + 2)
    }

    /// The part.
    ///
    /// # Errors
    /// No part has that name.
    pub fn part(&self) -> Result<&'static Device, MachineError> {
        device::find(&self.device).ok_or_else(|| MachineError::Limit {
            field: "device",
            value: format!("'{}'", self.device),
            limits: device::names(),
            remedy: "name one of these".to_owned(),
        })
    }

    /// Whether it can be built and fits its part.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), MachineError> {
        let limit = |field, value: usize, min: usize, max: usize, remedy: &str| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let (value, limits) = (value.to_string(), format!("{min}..={max}"));
            Err(MachineError::Limit { field, value, limits, remedy: remedy.to_owned() })
        };
        limit("n", self.n, 1, Columns::MAX, "the paper has 28")?;
        limit("word", self.word as usize, 2, 18, "a DSP slice multiplies 25 x 18 bits")?;
        let (product, accumulator) = (2 * self.word as usize, self.accumulator as usize);
        limit(
            "accumulator",
            accumulator,
            product,
            48,
            "no narrower than a product of two words, no wider than a DSP slice's",
        )?;
        limit(
            "drop: number of formats",
            self.drop.len(),
            1,
            4,
            "more would be a barrel shifter in each column",
        )?;
        limit("panel", self.panel, 1, 64, "tiles of rows that are kept")?;
        limit("depth", self.depth, 16, 8192, "steps that a slot holds")?;
        limit("lfsr.bits", self.lfsr.bits as usize, 4, 32, "the default is 16")?;
        let mask = u32::MAX >> (32 - self.lfsr.bits);
        if self.lfsr.taps & 1 == 0 || self.lfsr.taps > mask {
            return Err(MachineError::Limit {
                field: "lfsr.taps",
                value: format!("{:#x}", self.lfsr.taps),
                limits: format!("0x1..={mask:#x} with bit 0"),
                remedy: "without bit 0 states would die out; 16 bits have 0x2d".to_owned(),
            });
        }
        let bits = self.lfsr.bits as usize;
        limit(
            "random_bits",
            self.random_bits.map_or(1, |bits| bits as usize),
            1,
            bits,
            "a register of lfsr.bits has no more",
        )?;
        for dropped in &self.drop {
            limit(
                "drop",
                *dropped as usize,
                0,
                accumulator - 1,
                "a result keeps at least a bit of the accumulator",
            )?;
            let remedy = "it is dropped, and as many random bits are compared; give lfsr.bits as many, or set random_bits";
            if self.rounding == Rounding::Stochastic {
                limit("drop", self.compared(*dropped) as usize, 0, bits, remedy)?;
            }
        }
        let positive = |field, value: f64| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            let (limits, remedy) = ("numbers above 0".to_owned(), "leave it out for the paper's".to_owned());
            Err(MachineError::Limit { field, value: value.to_string(), limits, remedy })
        };
        positive("megahertz", self.megahertz)?;
        positive("gigabytes_per_second", self.gigabytes_per_second)?;
        positive("watts", self.watts)?;
        self.check_part()
    }

    fn check_part(&self) -> Result<(), MachineError> {
        let part = self.part()?;
        let (dsp, bram) = (self.dsp(), self.bram());
        let fits = |what, needed, available, remedy: String| {
            if needed <= available {
                return Ok(());
            }
            Err(MachineError::Device { what, needed, available, device: part.name.to_owned(), remedy })
        };
        let largest = (1..=Columns::MAX).rev().find(|n| Self { n: *n, ..self.clone() }.dsp() <= part.dsp);
        let remedy = format!("at most n = {} fits, or name another device", largest.unwrap_or(0));
        fits(part.multipliers, dsp, part.dsp, remedy)?;
        fits("block memories of 36 Kbit", bram, part.bram, "give it a smaller panel or depth".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_fits_its_part() {
        let machine = Machine::default();
        machine.check().unwrap();
        assert_eq!((machine.dsp(), machine.part().unwrap().dsp), (784 + 28, 840));
        assert_eq!(Machine::from_toml(&machine.to_toml()), Ok(machine));
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_its_numbers() {
        for (text, parts) in [
            ("n = 0", ["n = 0", "1..=64"]),
            ("n = 29", ["870 DSP slices", "at most n = 28"]),
            ("n = 65", ["n = 65", "1..=64"]),
            ("accumulator = 31", ["accumulator = 31", "32..=48"]),
            ("drop = [17]", ["drop = 17 is not in 0..=16", "set random_bits"]),
            ("random_bits = 17", ["random_bits = 17", "1..=16"]),
            ("drop = [48]", ["drop = 48", "0..=47"]),
            ("drop = []", ["drop: number of formats = 0", "1..=4"]),
            ("lfsr = { bits = 16, taps = 0x2c }", ["lfsr.taps = 0x2c", "with bit 0"]),
            ("lfsr = { bits = 3, taps = 3 }", ["lfsr.bits = 3", "4..=32"]),
            ("depth = 8192\npanel = 16", ["block memories", "smaller panel or depth"]),
            ("device = 'xc7k70'", ["device = 'xc7k70'", "xc7k325t"]),
            ("device = 'ecp5-25f'\nround_unit = 'fabric'", ["784 18 x 18 multipliers", "at most n = 5"]),
            ("megahertz = 0.0", ["megahertz = 0", "above 0"]),
            ("word = 1", ["word = 1", "2..=18"]),
            ("words = 16", ["not readable", "words"]),
        ] {
            let message = Machine::from_toml(text).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{text}: '{message}' lacks '{part}'");
            }
        }
        let nearest = Machine::from_toml("drop = [20]\nrounding = 'nearest'").unwrap();
        assert_eq!(nearest.compared(20), 20);
    }
}
