//! Initial weights: section 8.4 of `docs/arithmetic.md`.

use serde::{Deserialize, Serialize};

use super::Stream;

operations! {
    /// Initial weights of WAGE, as payloads of `unit<k>`.
    InitWage {
        /// Bits of `unit<k>` in which the weight is read.
        weight_bits: u32,
        /// Products per output.
        fan_in: u32,
        /// Random words.
        stream: Stream,
        /// Payloads.
        payloads: Vec<i64>,
    }
    /// Normal initial weights: the sums of twelve words, and the payloads.
    InitNormal {
        /// Standard deviation in millionths.
        deviation_millionths: u32,
        /// Line of the stored weight's quantizer.
        quantizer: String,
        /// Random words; `first_element` counts weights, of twelve words each.
        stream: Stream,
        /// Sum of each weight's twelve words.
        word_sums: Vec<u64>,
        /// Payloads.
        payloads: Vec<i64>,
    }
}
