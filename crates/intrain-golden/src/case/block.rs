//! Small floats and blocks that share a scale: sections 12 and 13 of `docs/arithmetic.md`.

use serde::{Deserialize, Serialize};

operations! {
    /// Numbers to the codes of a small float.
    Minifloat {
        /// Name of the format.
        format: String,
        /// Name of the rounding.
        round: String,
        /// Name of the overflow.
        overflow: String,
        /// Numbers, exact in binary32.
        inputs: Vec<f64>,
        /// Codes.
        codes: Vec<u32>,
    }
    /// How many random words round a fraction up.
    Stochastic {
        /// Name of the rounding.
        round: String,
        /// Bits of a random word.
        bits: u32,
        /// Sixteenths of the step between two codes.
        fractions: Vec<u32>,
        /// Words that round up, of `2^bits`.
        ups: Vec<u32>,
    }
    /// Numbers through QPyTorch's rules: `exponent` and `mantissa` for a float, `word_length` for a block.
    Qtorch {
        /// Exponent bits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exponent: Option<u32>,
        /// Mantissa bits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mantissa: Option<u32>,
        /// Word length of a block.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word_length: Option<u32>,
        /// Numbers, exact in binary32.
        inputs: Vec<f64>,
        /// The largest magnitude of each number's block.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        largest: Vec<f64>,
        /// Binary32 numbers.
        outputs: Vec<f64>,
    }
    /// A block of 32 with a scale that is a power of two.
    MxBlock {
        /// Format of the elements.
        element: String,
        /// Name of the scale's rule.
        rule: String,
        /// The first numbers; the others are +0.
        inputs: Vec<f64>,
        /// Code of the scale.
        scale: u8,
        /// The first codes; empty where the block is NaN.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        codes: Vec<u8>,
    }
    /// A block of 16 of NVFP4.
    NvBlock {
        /// Name of the rule.
        rule: String,
        /// Largest magnitude of the tensor.
        largest: f64,
        /// The first numbers; the others are +0.
        inputs: Vec<f64>,
        /// Code of the scale.
        scale: u8,
        /// The first codes.
        codes: Vec<u8>,
    }
    /// The product of two blocks, exact.
    BlockDot {
        /// Format of the elements.
        element: String,
        /// Codes of the two scales.
        scales: [u8; 2],
        /// Codes.
        a: Vec<u8>,
        /// Codes.
        b: Vec<u8>,
        /// The sum of products, times `2^binary_digits`.
        exact: i64,
        /// Binary digits of the sum.
        binary_digits: i32,
        /// The sum in binary32.
        rounded: f64,
    }
    /// The Hadamard transform of 16 numbers with the usual signs.
    Hadamard {
        /// Numbers.
        inputs: [f64; 16],
        /// Numbers.
        outputs: [f64; 16],
    }
}
