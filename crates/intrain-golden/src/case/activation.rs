//! Activations: sums to payloads, and which of them let the error pass.

use serde::{Deserialize, Serialize};

use super::Stream;

operations! {
    /// ReLU, activation quantizer and the trace for the backward pass.
    Activate {
        /// Type of the sums: `i32` or `i64`.
        sum_type: String,
        /// Type of the payloads: `i8` or `i16`.
        payload_type: String,
        /// Integer sums.
        sums: Vec<i64>,
        /// Whether a ReLU comes first.
        relu: bool,
        /// Bits dropped; negative: bits appended.
        shift: i32,
        /// Spelling of the rounding.
        round: String,
        /// Smallest payload.
        min: i64,
        /// Largest payload.
        max: i64,
        /// Random words; absent where the rounding uses none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
        /// Payloads.
        payloads: Vec<i64>,
        /// 1 where ReLU lets the error pass.
        passes: Vec<u8>,
        /// 1 where the value before rounding was inside the range, limits included.
        inside: Vec<u8>,
    }
    /// ReLU6 behind a sum: payloads, and where the error passes.
    Relu6 {
        /// Integer sums.
        sums: Vec<i64>,
        /// Fraction bits of the sums.
        sum_frac_bits: i32,
        /// Line of the activation's quantizer.
        quantizer: String,
        /// Payloads, at most `6 * 2^frac_bits`.
        payloads: Vec<i64>,
        /// 1 where the error passes.
        passes: Vec<u8>,
    }
}
