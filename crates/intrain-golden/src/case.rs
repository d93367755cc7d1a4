//! The schema: one struct per operation, inputs first, the expected answer last.
//!
//! Quantizers, formats and roundings are the contract's own spellings, as text, so that any engine can parse them.

use serde::{Deserialize, Serialize};

use crate::pair;

/// The operation of a case, named by its `op` field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each struct carries the docs")]
pub enum Op {
    Philox(Philox),
    Stream(StreamWords),
    Lfsr(Lfsr),
    ArrayWords(ArrayWords),
    ArrayProduct(ArrayProduct),
    Round(Round),
    Format(Format),
    Quantize(Quantize),
    Pixels(Pixels),
    RoundLog2(RoundLog2),
    Shift(Shift),
    Alpha(Alpha),
    Accumulator(Accumulator),
    Macc(Macc),
    Requantize(Requantize),
    Activate(Activate),
    Relu6(Relu6),
    Error(Error),
    SquaredError(SquaredError),
    Linear(Linear),
    Conv(Conv),
    MaxPool(MaxPool),
    LearningRate(LearningRate),
    Update(Update),
    Momentum(Momentum),
    InitWage(InitWage),
    InitNormal(InitNormal),
    FloatQuantize(FloatQuantize),
    FloatActivation(FloatActivation),
    FloatFeedback(FloatFeedback),
    Filter(Filter),
    Codebook(Codebook),
    BinaryProduct(BinaryProduct),
    BatchNorm(BatchNorm),
    PolynomialRate(PolynomialRate),
    IntegerNorm(IntegerNorm),
    IntegerLine(IntegerLine),
    IntegerSoftmax(IntegerSoftmax),
    IExp(IExp),
    IntegerRoot(IntegerRoot),
    MarkovChain(MarkovChain),
    ToyChain(ToyChain),
    ConvexBounds(ConvexBounds),
    Minifloat(Minifloat),
    Stochastic(Stochastic),
    Qtorch(Qtorch),
    MxBlock(MxBlock),
    NvBlock(NvBlock),
    BlockDot(BlockDot),
    Hadamard(Hadamard),
}

/// Where the random words of a case come from, when they are those of a stream (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Seed of the run; below 2^63 here, because TOML's integers are signed.
    pub seed: u64,
    /// Number of the purpose.
    pub purpose: u8,
    /// Number of the layer.
    pub layer: u32,
    /// Number of the step.
    pub step: u64,
    /// Element index of the first value of the case.
    pub first_element: u64,
}

/// A number `mantissa * 2^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Mantissa, below 2^15.
    pub mantissa: i64,
    /// Power of two.
    pub exponent: i32,
}

/// Declares the structs of the schema: all fields are public and unknown ones are refused.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)+ }
        )+
    };
}

const fn one() -> usize {
    1
}

const fn is_one(n: &usize) -> bool {
    *n == 1
}

mod activation;
mod array;
mod block;
mod float;
mod init;
mod norm;

pub use activation::{Activate, Relu6};
pub use array::{ArrayProduct, ArrayWords};
pub use block::{BlockDot, Hadamard, Minifloat, MxBlock, NvBlock, Qtorch, Stochastic};
pub use float::{
    BatchNorm, BinaryProduct, Codebook, ConvexBounds, Filter, FloatActivation, FloatFeedback, FloatQuantize,
    MarkovChain, PolynomialRate, ToyChain,
};
pub use init::{InitNormal, InitWage};
pub use norm::{IExp, IntegerLine, IntegerNorm, IntegerRoot, IntegerSoftmax};

operations! {
    /// One block of Philox4x32-10.
    Philox {
        /// Key, low word first.
        key: [u32; 2],
        /// Counter.
        counter: [u32; 4],
        /// The block.
        words: [u32; 4],
    }
    /// Consecutive words of a stream.
    StreamWords {
        /// From here on.
        stream: Stream,
        /// One word per element.
        words: Vec<u32>,
    }
    /// A linear-feedback shift register.
    Lfsr {
        /// Width.
        bits: u32,
        /// Mask of the bits whose parity enters at the top.
        taps: u32,
        /// State before the first step.
        state: u32,
        /// States after each step.
        states: Vec<u32>,
        /// Steps after which the first state comes back.
        period: u32,
    }
    /// `x * 2^-shift` to an integer.
    Round {
        /// Spelling of the rounding.
        round: String,
        /// Bits dropped; negative: bits appended.
        shift: i32,
        /// Integers.
        x: Vec<i64>,
        /// A random word per element; empty where the rounding uses none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<u32>,
        /// Rounded.
        rounded: Vec<i64>,
    }
    /// What a format's spelling says.
    Format {
        /// All accepted spellings; the first is the canonical one.
        spellings: Vec<String>,
        /// Bits of a payload.
        bits: u32,
        /// Fraction bits.
        frac_bits: i32,
        /// Smallest payload.
        min: i64,
        /// Largest payload.
        max: i64,
    }
    /// Real numbers to payloads.
    Quantize {
        /// Line of the quantizer; `@shift` takes its power of two from `inputs` themselves.
        quantizer: String,
        /// Exact values of these binary64 numbers.
        inputs: Vec<f64>,
        /// A random word per element; empty where the rounding uses none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<u32>,
        /// The tensor's power of two, 0 without `@shift`.
        scale_log2: i32,
        /// Payloads.
        payloads: Vec<i64>,
    }
    /// The 256 values of a pixel to payloads.
    Pixels {
        /// `x/255`, `x/256` or `x/127.5-1`.
        scaling: String,
        /// Line of the input's quantizer.
        quantizer: String,
        /// Payload of pixel 0, 1, ... 255.
        payloads: Vec<i64>,
    }
    /// `round(log2 m)`.
    RoundLog2 {
        /// Integers above 0.
        m: Vec<u64>,
        /// Exponents.
        log2: Vec<i32>,
    }
    /// `Shift(x) = 2^log2`.
    Shift {
        /// Values other than 0.
        x: Vec<f64>,
        /// Exponents.
        log2: Vec<i32>,
    }
    /// A layer's alpha.
    Alpha {
        /// Bits of `unit<k>` in which the weight is read.
        weight_bits: u32,
        /// Fan-ins.
        fan_in: Vec<u64>,
        /// One alpha for each.
        alpha: Vec<u64>,
    }
    /// Bound and width of a sum of products.
    Accumulator {
        /// Products.
        depth: u64,
        /// Largest magnitude on one side.
        a_max: u64,
        /// Largest magnitude on the other.
        b_max: u64,
        /// Magnitude that the register already holds.
        held: u64,
        /// Largest magnitude of the sum.
        bound: u64,
        /// Bits of the narrowest register.
        width_bits: u32,
    }
    /// The hardware's inner product and its one rounding.
    Macc {
        /// Payloads of one side.
        a: Vec<i64>,
        /// Payloads of the other.
        b: Vec<i64>,
        /// What the accumulator holds afterwards; it starts at 0.
        accumulator: i64,
        /// Low bits that are dropped.
        drop_bits: u32,
        /// Bits of the result, two's complement, saturating.
        result_bits: u32,
        /// The random numbers added, each `drop_bits` wide.
        random: Vec<u32>,
        /// The result for each random number.
        results: Vec<i64>,
    }
    /// Sums to payloads.
    Requantize {
        /// Type of the sums: `i32` or `i64`.
        sum_type: String,
        /// Type of the payloads: `i8`, `i16` or `i32`.
        payload_type: String,
        /// Integer sums.
        sums: Vec<i64>,
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
    }
    /// The error at an activation, from sums to payloads.
    Error {
        /// Integer sums behind a product's backward pass.
        sums: Vec<i64>,
        /// Fraction bits of the sums.
        sum_frac_bits: i32,
        /// `inside` of the activation's trace; empty where its quantizer is straight-through.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inside: Vec<u8>,
        /// `passes` of the activation's trace; empty without ReLU.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        passes: Vec<u8>,
        /// Line of the error's quantizer; `@shift` takes its power of two from the sums that are left by `inside`.
        quantizer: String,
        /// The tensor's power of two relative to the sums' last bit: `round(log2 max|sum|)`; 0 without `@shift`.
        max_log2: i32,
        /// Random words; absent where the rounding uses none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
        /// Payloads.
        payloads: Vec<i64>,
    }
    /// Squared error of integer logits: `error = output - target`, exact.
    SquaredError {
        /// Classes.
        classes: usize,
        /// Fraction bits of the logits.
        frac_bits: u32,
        /// Logits, `[image, class]`.
        logits: Vec<i64>,
        /// A class per image.
        labels: Vec<usize>,
        /// Errors, in the logits' unit.
        errors: Vec<i64>,
        /// Sum of the squared errors, in the square of the logits' unit: twice the loss.
        sum_of_squares: i64,
    }
    /// A linear layer's three products.
    Linear {
        /// Type of activations and errors: `i8` or `i16`.
        payload_type: String,
        /// Images.
        batch: usize,
        /// Inputs.
        n_in: usize,
        /// Outputs.
        n_out: usize,
        /// `[batch, in]`.
        activation: Vec<i64>,
        /// `[in, out]`.
        weight: Vec<i64>,
        /// `[batch, out]`.
        error: Vec<i64>,
        /// `[batch, out]`.
        forward_sums: Vec<i64>,
        /// `[batch, in]`.
        error_sums: Vec<i64>,
        /// `[in, out]`.
        gradient_sums: Vec<i64>,
    }
    /// A convolution's three products.
    Conv {
        /// Type of activations and errors: `i8` or `i16`.
        payload_type: String,
        /// Images.
        batch: usize,
        /// Height of the input.
        h: usize,
        /// Width of the input.
        w: usize,
        /// Input channels.
        c_in: usize,
        /// Output channels.
        c_out: usize,
        /// Height and width of the kernel, in taps.
        #[serde(with = "pair")]
        kernel: [usize; 2],
        /// Step in pixels.
        #[serde(with = "pair")]
        stride: [usize; 2],
        /// Zeros around the image.
        #[serde(with = "pair")]
        pad: [usize; 2],
        /// Distance of two taps in pixels; absent where it is 1.
        #[serde(with = "pair", default = "pair::ones", skip_serializing_if = "pair::is_ones")]
        dilation: [usize; 2],
        /// Groups of channels; absent where each output sees all inputs.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        groups: usize,
        /// `[batch, h, w, c_in]`.
        activation: Vec<i64>,
        /// `[kernel height, kernel width, c_in / groups, c_out]`.
        weight: Vec<i64>,
        /// `[batch, h_out, w_out, c_out]`.
        error: Vec<i64>,
        /// `[batch, h_out, w_out, c_out]`.
        forward_sums: Vec<i64>,
        /// `[batch, h, w, c_in]`.
        error_sums: Vec<i64>,
        /// `[kernel height, kernel width, c_in / groups, c_out]`.
        gradient_sums: Vec<i64>,
    }
    /// Max pooling of one image and its backward pass.
    MaxPool {
        /// Type of the values: `i8` or `i16`.
        payload_type: String,
        /// Height of the input.
        h: usize,
        /// Width of the input.
        w: usize,
        /// Channels.
        c: usize,
        /// Side of a window.
        size: usize,
        /// Step in pixels.
        stride: usize,
        /// `[h, w, c]`.
        input: Vec<i64>,
        /// `[h_out, w_out, c]`.
        output: Vec<i64>,
        /// Position of each maximum in its window: `ky * size + kx`.
        index: Vec<u8>,
        /// `[h_out, w_out, c]`.
        error: Vec<i64>,
        /// Smallest payload of the error behind the pooling.
        min: i64,
        /// Largest payload of the error behind the pooling.
        max: i64,
        /// `[h, w, c]`.
        error_in: Vec<i64>,
    }
    /// Rates as integers.
    LearningRate {
        /// Exact values of these binary64 numbers.
        rates: Vec<f64>,
        /// Mantissas below 2^15.
        mantissas: Vec<i64>,
        /// Powers of two.
        exponents: Vec<i32>,
    }
    /// The station where a stored weight changes.
    Update {
        /// Type of the gradient's sums: `i32` or `i64`.
        sum_type: String,
        /// Type of the stored weights: `i8`, `i16` or `i32`.
        master_type: String,
        /// Gradient sums.
        gradient: Vec<i64>,
        /// Stored weights before the update.
        master: Vec<i64>,
        /// Mantissa of the rate.
        multiplier: i64,
        /// Bits dropped from `gradient * multiplier`; negative: bits appended.
        shift: i32,
        /// Spelling of the rounding.
        round: String,
        /// A random word per element; empty with `stream`, and where the rounding uses none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<u32>,
        /// Random words of a stream.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
        /// Smallest update.
        update_min: i64,
        /// Largest update.
        update_max: i64,
        /// Limit of a stored weight before the update is subtracted, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clip_before: Option<i64>,
        /// Smallest stored weight.
        master_min: i64,
        /// Largest stored weight.
        master_max: i64,
        /// The updates.
        updates: Vec<i64>,
        /// Stored weights after the update.
        masters: Vec<i64>,
    }
    /// Momentum and weight decay, one rounding each for momentum and weight.
    Momentum {
        /// Gradient sums over the batch.
        gradient: Vec<i64>,
        /// Fraction bits of the sums.
        gradient_frac_bits: i32,
        /// Stored weights before.
        master: Vec<i64>,
        /// Stored momentum before.
        momentum: Vec<i64>,
        /// Learning rate over batch size.
        rate: Rate,
        /// Learning rate times weight decay.
        decay: Rate,
        /// Share of the old momentum that is kept.
        keep: Rate,
        /// Line of the momentum's quantizer.
        momentum_quantizer: String,
        /// Line of the stored weight's quantizer.
        master_quantizer: String,
        /// A random word per element for the momentum; empty where its rounding uses none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<u32>,
        /// Momentum after.
        momentums: Vec<i64>,
        /// Stored weights after.
        masters: Vec<i64>,
    }
}
