//! Random bits as an array of multiply-accumulate units has them: one shift register for each of its columns.
//!
//! Section 3.4 of `docs/arithmetic.md`. A word is still a pure function of (seed, step, layer, purpose, element): each
//! product starts its registers anew, and which draw an element gets follows from the order in which tiles leave the array.
#![allow(clippy::cast_possible_truncation, reason = "a state's bytes are cut out on purpose")]

use core::fmt;
use core::str::FromStr;

use crate::format::ParseError;
use crate::random::{Lfsr, Stream};

/// Where the random bits of a product's results come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RandomSource {
    /// A word for each element, from a counter.
    #[default]
    Philox,
    /// The registers of an array.
    Columns(Columns),
}

/// An array of `n` columns, and the order in which it computes the tiles of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Columns {
    /// Rows and columns of the array, 1 to 64: tiles of `n * n` results.
    pub n: usize,
    /// Tiles of rows that are kept while all columns pass.
    pub panel: usize,
    /// Bits of a register, 4 to 32.
    pub bits: u32,
    /// The state bits whose parity enters at the top; bit 0 is one of them, or a step could not be undone.
    pub taps: u32,
}

/// Gupta et al. 2015, section 5, with the register of section 3.4.
const PAPER: Columns = Columns { n: 28, panel: 4, bits: 16, taps: Lfsr::TAPS_16 };

impl Columns {
    /// The paper's array: 28 x 28.
    #[must_use]
    pub const fn paper() -> Self {
        PAPER
    }

    /// Most columns.
    pub const MAX: usize = 64;

    /// The states in which the registers start a product, column 0 first; none is 0.
    ///
    /// All columns draw from one sequence, equal shares of its length apart: they start in different states where
    /// [`Columns::fault`] has nothing to say.
    pub fn seeds(&self, stream: Stream) -> impl Iterator<Item = u32> {
        let Self { n, bits, taps, .. } = *self;
        let share = (self.n_draws() / n as u64).max(1);
        let first = 1 + stream.below(0, u32::MAX >> (32 - bits));
        let register = move |state: &u32| Lfsr::new(bits, taps, *state);
        let leap = register(&first).map_or(1, |lfsr| lfsr.leap(share * u64::from(bits)));
        core::iter::successors(Some(first), move |state| register(state).map(|lfsr| lfsr.leapt(leap))).take(n)
    }

    /// How many draws a register of maximal period makes before it repeats itself.
    const fn n_draws(&self) -> u64 {
        let period = (u32::MAX >> (32 - self.bits)) as u64;
        let (mut divisor, mut rest) = (period, self.bits as u64);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        period / divisor
    }

    /// Why columns may start a product in the same state, with the remedy; `None` where they cannot.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let is_maximal = Lfsr::new(self.bits, self.taps, 1).is_some_and(|lfsr| lfsr.is_maximal());
        if !is_maximal && self.n > 1 {
            return Some(Fault::NotMaximal { bits: self.bits, taps: self.taps });
        }
        let (n, n_draws) = (self.n, self.n_draws());
        (n as u64 > n_draws).then_some(Fault::TooMany { n, n_draws, bits: self.bits })
    }

    /// The random words of a product's results `[rows, columns]`, row by row: the states of the registers, in the top bits.
    ///
    /// # Panics
    /// When `out` is not as long.
    pub fn words(&self, stream: Stream, [rows, columns]: [usize; 2], out: &mut [u32]) {
        assert_eq!(out.len(), rows * columns, "a word for each result");
        let draw = Draw::new(self.bits, self.taps);
        let mut states = [0; Self::MAX];
        states.iter_mut().zip(self.seeds(stream)).for_each(|(state, seed)| *state = seed);
        let n = self.n;
        for panel in (0..rows).step_by(n * self.panel) {
            for left in (0..columns).step_by(n) {
                for top in (panel..rows.min(panel + n * self.panel)).step_by(n) {
                    for row in top..top + n {
                        // Results of an edge tile that nobody needs are rounded all the same.
                        for (column, state) in (left..left + n).zip(&mut states) {
                            *state = draw.next(*state);
                            if row < rows && column < columns {
                                out[row * columns + column] = *state << (32 - self.bits);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Why columns of an array may have the same random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// More columns than draws that differ.
    TooMany {
        /// Columns.
        n: usize,
        /// Draws of a register before it repeats itself.
        n_draws: u64,
        /// Bits of a register.
        bits: u32,
    },
    /// Taps with which a register does not pass through all of its states.
    NotMaximal {
        /// Bits of a register.
        bits: u32,
        /// The taps.
        taps: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { n, n_draws, bits } => write!(
                f,
                "{n} columns draw from a register of {bits} bits, which makes {n_draws} draws before it repeats itself, so \
                 some columns have the same random bits; use a longer register, such as lfsr<16,{:#x}>",
                Lfsr::TAPS_16
            ),
            Self::NotMaximal { bits, taps } => write!(
                f,
                "a register of {bits} bits with the taps {taps:#x} does not pass through all of its 2^{bits} - 1 states, so \
                 columns may have the same random bits; use taps of maximal period, such as lfsr<16,{:#x}>",
                Lfsr::TAPS_16
            ),
        }
    }
}

/// As many steps of a register as it has bits, at once: all of its bits are new.
#[derive(Debug, Clone)]
pub struct Draw {
    /// What each byte of the state contributes; steps are linear.
    bytes: [[u32; 256]; 4],
}

impl Draw {
    /// Of a register of `bits` (2 to 32) with that mask of taps.
    #[must_use]
    pub fn new(bits: u32, taps: u32) -> Self {
        let mut bytes = [[0; 256]; 4];
        for (k, table) in bytes.iter_mut().enumerate() {
            for byte in 1..256_usize {
                let low = byte & byte.wrapping_neg();
                table[byte] = if byte == low {
                    let state = (byte as u32) << (8 * k);
                    if state > u32::MAX >> (32 - bits) { 0 } else { stepped(state, bits, taps) }
                } else {
                    table[low] ^ table[byte ^ low]
                };
            }
        }
        Self { bytes }
    }

    /// The state after a draw.
    #[must_use]
    pub const fn next(&self, state: u32) -> u32 {
        let [a, b, c, d] = state.to_le_bytes();
        self.bytes[0][a as usize]
            ^ self.bytes[1][b as usize]
            ^ self.bytes[2][c as usize]
            ^ self.bytes[3][d as usize]
    }
}

/// A state after as many steps as it has bits.
fn stepped(state: u32, bits: u32, taps: u32) -> u32 {
    Lfsr::new(bits, taps, state).map_or(0, |mut lfsr| lfsr.draw())
}

impl fmt::Display for RandomSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Philox => f.write_str("philox"),
            Self::Columns(Columns { n, panel, bits, taps }) => {
                write!(f, "array<{n},{panel}> lfsr<{bits},{taps:#x}>")
            }
        }
    }
}

impl FromStr for RandomSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "philox" {
            return Ok(Self::Philox);
        }
        let pair = |text: &str, name: &str| {
            let (a, b) = text.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>')?.split_once(',')?;
            let hexadecimal = b.strip_prefix("0x").map(|digits| u32::from_str_radix(digits, 16));
            Some((a.parse().ok()?, hexadecimal.unwrap_or_else(|| b.parse()).ok()?))
        };
        let columns = || {
            let (array, lfsr) = text.split_once(' ')?;
            let ((n, panel), (bits, taps)) = (pair(array, "array")?, pair(lfsr, "lfsr")?);
            let columns = Columns { n: n as usize, panel: panel as usize, bits, taps };
            let is_array = (1..=Columns::MAX).contains(&columns.n) && (1..=64).contains(&columns.panel);
            let is_lfsr = (4..=32).contains(&bits) && taps & 1 == 1 && taps <= u32::MAX >> (32 - bits);
            (is_array && is_lfsr).then_some(columns)
        };
        columns().map(Self::Columns).ok_or(ParseError::RandomSource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    /// The words by the draws of each column, one after the other.
    fn by_draws(columns: Columns, stream: Stream, [rows, cols]: [usize; 2]) -> Vec<u32> {
        let n = columns.n;
        let (row_tiles, column_tiles) = (rows.div_ceil(n), cols.div_ceil(n));
        let of_column = |column: usize| -> Vec<u32> {
            let seed = columns.seeds(stream).nth(column).unwrap();
            let mut lfsr = Lfsr::new(columns.bits, columns.taps, seed).unwrap();
            (0..row_tiles * column_tiles * n).map(|_| lfsr.draw() << (32 - columns.bits)).collect()
        };
        let draws: Vec<Vec<u32>> = (0..n).map(of_column).collect();
        let mut words = vec![];
        for (row, column) in (0..rows).flat_map(|row| (0..cols).map(move |column| (row, column))) {
            let panel = row / n / columns.panel;
            let in_panel = columns.panel.min(row_tiles - panel * columns.panel);
            let before = panel * columns.panel * column_tiles;
            let tile = before + column / n * in_panel + row / n % columns.panel;
            words.push(draws[column % n][tile * n + row % n]);
        }
        words
    }

    #[test]
    fn words_follow_the_order_of_the_tiles() {
        let stream = Stream::new(7, Purpose::Activation, 3, 11);
        for (text, shape) in [
            ("array<3,2> lfsr<16,0x2d>", [10, 7]),
            ("array<4,1> lfsr<8,0x1d>", [5, 9]),
            ("array<1,3> lfsr<32,0x400007>", [4, 3]),
            ("array<28,4> lfsr<16,0x2d>", [3, 30]),
        ] {
            let RandomSource::Columns(columns) = text.parse().unwrap() else { panic!("{text}") };
            let mut words = vec![0; shape[0] * shape[1]];
            columns.words(stream, shape, &mut words);
            assert_eq!(words, by_draws(columns, stream, shape), "{text}");
        }
    }

    /// Of the paper's array, of the largest, of a register whose draws fall into three rounds (12 bits), and of one whose draws
    /// the columns use up: each column has its own state, a share of the round behind the one before.
    #[test]
    fn columns_start_in_different_states() {
        for (bits, taps, n) in
            [(16, Lfsr::TAPS_16, 28), (16, Lfsr::TAPS_16, 64), (12, 0x53, 64), (4, 0x3, 15)]
        {
            let columns = Columns { n, panel: 1, bits, taps };
            assert_eq!(columns.fault(), None);
            let share = columns.n_draws() / n as u64;
            for step in 0..200 {
                let stream = Stream::new(3, Purpose::Activation, 1, step);
                let mut seeds: Vec<u32> = columns.seeds(stream).collect();
                assert_eq!(seeds[0], 1 + stream.below(0, u32::MAX >> (32 - bits)));
                let draw = Draw::new(bits, taps);
                let walked = (0..share).fold(seeds[0], |state, _| draw.next(state));
                assert_eq!(walked, seeds[1], "{bits} bits");
                seeds.sort_unstable();
                assert!(
                    seeds[0] > 0 && seeds.windows(2).all(|pair| pair[0] < pair[1]),
                    "{bits} bits: {seeds:?}"
                );
            }
        }
    }

    #[test]
    fn columns_that_may_share_a_state_are_told() {
        let fault = |text: &str| match text.parse() {
            Ok(RandomSource::Columns(columns)) => {
                columns.fault().map(|fault| fault.to_string()).unwrap_or_default()
            }
            other => panic!("{text}: {other:?}"),
        };
        assert!(
            fault("array<16,1> lfsr<4,0x3>")
                .starts_with("16 columns draw from a register of 4 bits, which makes 15")
        );
        // Six bits: 63 states, but three rounds of 21 draws.
        assert!(fault("array<22,1> lfsr<6,0x3>").contains("makes 21 draws"));
        assert_eq!(fault("array<21,1> lfsr<6,0x3>"), "");
        assert_eq!(fault("array<1,1> lfsr<16,0x1>"), "");
        assert!(
            fault("array<2,1> lfsr<16,0x1>").contains("taps 0x1 does not pass through all of its 2^16 - 1")
        );
        // Where columns outnumber draws, neighbours still differ.
        let columns = Columns { n: 64, panel: 1, bits: 4, taps: 0x3 };
        let seeds: Vec<u32> = columns.seeds(Stream::new(1, Purpose::Activation, 0, 0)).collect();
        assert!(seeds.windows(15).all(|round| (1..16).all(|state| round.contains(&state))), "{seeds:?}");
    }

    #[test]
    fn sources_are_written_and_read() {
        for text in ["philox", "array<28,4> lfsr<16,0x2d>", "array<64,1> lfsr<4,0x3>"] {
            assert_eq!(text.parse::<RandomSource>().unwrap().to_string(), text);
        }
        assert_eq!("array<28,4> lfsr<16,45>".parse(), Ok(RandomSource::Columns(Columns::paper())));
        for text in [
            "",
            "lfsr<16,0x2d>",
            "array<0,4> lfsr<16,0x2d>",
            "array<65,1> lfsr<16,0x2d>",
            "array<28,0> lfsr<16,0x2d>",
            "array<28,4> lfsr<3,0x3>",
            "array<28,4> lfsr<16,0x2c>",
            "array<28,4> lfsr<16,0x1002d>",
            "array<28,4> lfsr<16>",
        ] {
            assert_eq!(text.parse::<RandomSource>(), Err(ParseError::RandomSource), "{text}");
        }
    }
}
