//! Norms and softmax in integers: sections 7.2 and 7.5 of `docs/arithmetic.md`.

use serde::{Deserialize, Serialize};

operations! {
    /// A channel's normalization and its backward pass.
    IntegerNorm {
        /// `l2`, `l1` or `range`.
        spread: String,
        /// Fraction bits of the words.
        frac_bits: i32,
        /// Line of the row `norm.mean`.
        mean_row: String,
        /// Line of the row `norm.spread`.
        spread_row: String,
        /// Line of the row `norm.value`.
        value_row: String,
        /// What enters, in the order of the batch.
        words: Vec<i16>,
        /// The gain's payload.
        gain: i64,
        /// The errors behind the norm.
        errors: Vec<i16>,
        /// Fraction bits of the line back.
        places: i32,
        /// Payload of the mean.
        mean: i64,
        /// Payload of the spread.
        scale: i64,
        /// Payloads of the normalized values.
        values: Vec<i64>,
        /// The errors in front of the norm, before they are cut.
        dx: Vec<i64>,
    }
    /// Values of words where mean and spread are known.
    IntegerLine {
        /// `l2`, `l1` or `range`.
        spread: String,
        /// Fraction bits of the words.
        frac_bits: i32,
        /// Line of the row `norm.mean`.
        mean_row: String,
        /// Line of the row `norm.spread`.
        spread_row: String,
        /// Line of the row `norm.value`.
        value_row: String,
        /// Payload of the mean.
        mean: i64,
        /// Payload of the spread.
        scale: i64,
        /// What enters.
        words: Vec<i16>,
        /// Payloads of the normalized values.
        values: Vec<i64>,
    }
    /// The error of softmax cross-entropy for one image.
    IntegerSoftmax {
        /// `softmax-i-exp` or `softmax-base-2`.
        kind: String,
        /// Fraction bits of the logits.
        digits: i32,
        /// Logits.
        logits: Vec<i64>,
        /// The right class.
        label: usize,
        /// Errors, in parts of `2^-16` or `2^-11`.
        errors: Vec<i64>,
    }
    /// I-BERT's exponential.
    IExp {
        /// Fraction bits of the arguments.
        digits: u32,
        /// Arguments, none above 0.
        inputs: Vec<i64>,
        /// Exponentials, times a constant.
        outputs: Vec<i64>,
    }
    /// Floors of square roots.
    IntegerRoot {
        /// Numbers.
        inputs: Vec<u64>,
        /// Roots.
        roots: Vec<u64>,
    }
}
