//! The array: sections 3.4 and 11 of `docs/arithmetic.md`.

use serde::{Deserialize, Serialize};

use super::Stream;

operations! {
    /// The random words of a product's results, from the registers of an array's columns.
    ArrayWords {
        /// Rows and columns of the array.
        n: usize,
        /// Tiles of rows that make a panel.
        panel: usize,
        /// Bits of a register.
        bits: u32,
        /// Its taps.
        taps: u32,
        /// Where the columns' first states come from; the element is the column.
        stream: Stream,
        /// Rows of the result.
        rows: usize,
        /// Columns of the result.
        columns: usize,
        /// First state of each column.
        seeds: Vec<u32>,
        /// A word for each result, row by row.
        words: Vec<u32>,
    }
    /// A product on an array: `c (l x m) = a (l x k) * b (k x m)`, rounded.
    ArrayProduct {
        /// Rows and columns of the array.
        n: usize,
        /// Tiles of rows that make a panel.
        panel: usize,
        /// Bits of an operand.
        word: u32,
        /// Bits of an accumulator.
        accumulator: u32,
        /// Whether accumulators are held at the ends of their range; else they wrap.
        saturate: bool,
        /// Bits dropped.
        drop: u32,
        /// Random bits compared, at most; 0: to the nearest.
        random_bits: u32,
        /// Bits of a register.
        bits: u32,
        /// Its taps.
        taps: u32,
        /// First state of each column; empty where nothing is random.
        seeds: Vec<u32>,
        /// Rows of the result.
        l: usize,
        /// Products that are summed.
        k: usize,
        /// Columns of the result.
        m: usize,
        /// Row by row.
        a: Vec<i32>,
        /// Row by row.
        b: Vec<i32>,
        /// Row by row.
        c: Vec<i64>,
    }
}
