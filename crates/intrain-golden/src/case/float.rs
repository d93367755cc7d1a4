//! The operations between floats: section 1.6 of `docs/arithmetic.md`.

use serde::{Deserialize, Serialize};

operations! {
    /// Binary32 numbers to payloads, and what those are worth.
    FloatQuantize {
        /// Line of the quantizer.
        quantizer: String,
        /// Numbers that are rounded to binary32 first.
        inputs: Vec<f64>,
        /// A random word per element; empty where the rounding uses none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<u32>,
        /// Payloads.
        payloads: Vec<i64>,
        /// Their values, rounded to binary32.
        values: Vec<f64>,
    }
    /// An activation between floats, and its way back.
    FloatActivation {
        /// Line of the quantizer.
        quantizer: String,
        /// What enters, rounded to binary32 first.
        inputs: Vec<f64>,
        /// The errors behind it.
        errors: Vec<f64>,
        /// What leaves.
        outputs: Vec<f64>,
        /// The errors in front of it.
        errors_in: Vec<f64>,
    }
    /// The scale of each filter's binary weights.
    Filter {
        /// Filters; they are the last dimension.
        filters: usize,
        /// `[.., filters]`.
        weights: Vec<f64>,
        /// Mean magnitude of each filter.
        means: Vec<f64>,
        /// `[.., filters]`: -1 or 1.
        signs: Vec<i64>,
    }
    /// Levels with the least squared error for the positive half of a normal distribution.
    Codebook {
        /// `uniform` or `free`.
        kind: String,
        /// The levels of a codebook of 1, of 2 and so on, to four digits.
        levels: Vec<Vec<String>>,
    }
}
