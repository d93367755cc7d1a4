//! NVFP4: E2M1 codes in blocks of 16 under an E4M3 scale, and one binary32 factor for the tensor.
//!
//! The libraries compute scales in binary32, and each of their operations rounds; so the rule is a sequence of
//! binary32 operations, written here as such. Every one is exactly rounded on every machine (IEEE 754).
//! Sources: NVIDIA TransformerEngine at d0067d0, `common/cast/nvfp4/core_nvfp4.cuh` and
//! `quantize_4over6_nvfp4.cuh`; pytorch/ao 0.18, `torchao/prototype/mx_formats/nvfp4_tensor.py`.
#![allow(clippy::float_arithmetic, reason = "the rules are sequences of single binary32 operations")]

use core::fmt;
use core::str::FromStr;

use crate::minifloat::{FloatFormat, FloatOverflow, FloatRound, Number};

/// Elements of a block.
pub const NVFP4_BLOCK: usize = 16;

/// The largest value of E2M1.
const MAX: f32 = 6.0;
/// The largest value of E4M3.
const MAX_SCALE: f32 = 448.0;
/// The least scale that torchao gives: the least normal E4M3 number.
const TORCHAO_MIN: f32 = 1.0 / 64.0;

/// What 4over6 minimizes over a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorOf {
    /// The sum of magnitudes of errors.
    Magnitude,
    /// The sum of squares.
    Square,
}

/// How scales are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NvRule {
    /// TransformerEngine: `S = 2688 / A`, `s = E4M3(a * (S * (1/6)))`.
    Te,
    /// As its documentation has it: `s = E4M3((a / 6) * S)`, which rounds twice.
    TeDivFirst,
    /// torchao without a factor for the tensor: `s = E4M3(a / 6)`, at least 2^-6.
    TorchaoOneLevel,
    /// torchao: `s = E4M3((a / 6) / (A / 2688))`, at least 2^-6.
    TorchaoTwoLevel,
    /// TransformerEngine's 4over6: the block's maximum becomes 6 or 4, whichever errs less.
    FourOverSix {
        /// What is compared.
        error: ErrorOf,
        /// Whether the tensor's maximum becomes `6 * 256`, else `6 * 448`.
        bound_256: bool,
        /// Whether an error is computed through `1 / S`, as some kernels do, else through `A / (6 bound)`.
        through_inverse: bool,
    },
}

impl NvRule {
    /// All rules and their names.
    pub const ALL: [(&'static str, Self); 12] = [
        ("te", Self::Te),
        ("te-divfirst", Self::TeDivFirst),
        ("torchao-1level", Self::TorchaoOneLevel),
        ("torchao-2level", Self::TorchaoTwoLevel),
        ("4over6-mae-256", four_over_six(ErrorOf::Magnitude, true, false)),
        ("4over6-mse-256", four_over_six(ErrorOf::Square, true, false)),
        ("4over6-mae-448", four_over_six(ErrorOf::Magnitude, false, false)),
        ("4over6-mse-448", four_over_six(ErrorOf::Square, false, false)),
        ("4over6-mae-256-dec", four_over_six(ErrorOf::Magnitude, true, true)),
        ("4over6-mse-256-dec", four_over_six(ErrorOf::Square, true, true)),
        ("4over6-mae-448-dec", four_over_six(ErrorOf::Magnitude, false, true)),
        ("4over6-mse-448-dec", four_over_six(ErrorOf::Square, false, true)),
    ];
}

const fn four_over_six(error: ErrorOf, bound_256: bool, through_inverse: bool) -> NvRule {
    NvRule::FourOverSix { error, bound_256, through_inverse }
}

impl fmt::Display for NvRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for NvRule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, known)| *known).ok_or(())
    }
}

/// What all blocks of a tensor share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NvTensor {
    rule: NvRule,
    /// The largest magnitude of the tensor, `A`.
    amax: f32,
    /// What elements are multiplied by before the block's scale is known: `S`, or for torchao `A / 2688`.
    factor: f32,
}

/// A block's scale, and what its elements are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NvBlock {
    /// The E4M3 code.
    pub scale: u8,
    /// The factor in front of the rounding to E2M1.
    pub encode: f32,
}

/// The E4M3 code of `x`, held at 448.
const fn e4m3(x: f32) -> u8 {
    #[allow(clippy::cast_possible_truncation, reason = "8 bits")]
    let code =
        FloatFormat::E4M3.encode(Number::from_f32(x), FloatRound::NearestEven, FloatOverflow::SatFinite, 0)
            as u8;
    code
}

/// Exact: E4M3 and E2M1 values are binary32 numbers.
fn value(format: FloatFormat, code: u8) -> f32 {
    format.decode(code.into()).to_f32()
}

/// `x` or `limit`; NaN stays, as comparisons in the kernels have it.
const fn at_most(x: f32, limit: f32) -> f32 {
    if x > limit { limit } else { x }
}

/// `x` held in `low..=high`; NaN stays.
const fn held(x: f32, low: f32, high: f32) -> f32 {
    if x < low { low } else { at_most(x, high) }
}

impl NvTensor {
    /// The factors of a tensor whose largest magnitude is `amax`.
    #[must_use]
    pub const fn new(rule: NvRule, amax: f32) -> Self {
        let factor = match rule {
            NvRule::TorchaoOneLevel => 1.0,
            NvRule::TorchaoTwoLevel => amax / (MAX_SCALE * MAX),
            NvRule::Te | NvRule::TeDivFirst | NvRule::FourOverSix { .. } => {
                let s = at_most(Self::bound_of(rule) * MAX / amax, f32::MAX);
                if amax == 0.0 || s == 0.0 { 1.0 } else { s }
            }
        };
        Self { rule, amax, factor }
    }

    const fn bound_of(rule: NvRule) -> f32 {
        if matches!(rule, NvRule::FourOverSix { bound_256: true, .. }) { 256.0 } else { MAX_SCALE }
    }

    /// The factor of the tensor that a decoded value is multiplied by: `1 / S`, or torchao's `A / 2688`.
    #[must_use]
    pub const fn decode_factor(&self) -> f32 {
        match self.rule {
            NvRule::TorchaoOneLevel | NvRule::TorchaoTwoLevel => self.factor,
            _ => 1.0 / self.factor,
        }
    }

    /// What a block's maximum is multiplied by, where the scale is the E4M3 number next to that product, held at 448.
    #[must_use]
    pub const fn multiplier(&self) -> Option<f32> {
        // Beyond FLT_MAX is beyond 448 either way.
        if matches!(self.rule, NvRule::Te) { Some(self.factor * (1.0 / MAX)) } else { None }
    }

    /// What a block's elements are multiplied by under the scale code `scale`.
    #[must_use]
    pub fn encode_factor(&self, scale: u8) -> f32 {
        let s = value(FloatFormat::E4M3, scale);
        match self.rule {
            NvRule::TorchaoOneLevel => 1.0 / s,
            NvRule::TorchaoTwoLevel => 1.0 / self.factor / s,
            _ => at_most(1.0 / (s * (1.0 / self.factor)), f32::MAX),
        }
    }

    /// The scale code of a block whose largest magnitude is `a`, for the rules that need nothing else; 4over6 starts
    /// from the one that makes the maximum 6.
    fn scale(&self, a: f32) -> u8 {
        e4m3(match self.rule {
            NvRule::Te => at_most(a * (self.factor * (1.0 / MAX)), f32::MAX),
            NvRule::TeDivFirst | NvRule::FourOverSix { .. } => at_most(a / MAX * self.factor, f32::MAX),
            NvRule::TorchaoOneLevel => held(a / MAX, TORCHAO_MIN, MAX_SCALE),
            NvRule::TorchaoTwoLevel => held(a / MAX / self.factor, TORCHAO_MIN, MAX_SCALE),
        })
    }

    /// The scale of a block.
    ///
    /// `largest` is the block's largest magnitude, which for a tile lies in another row.
    #[must_use]
    pub fn block(&self, values: &[f32], largest: f32) -> NvBlock {
        let with = |scale| NvBlock { scale, encode: self.encode_factor(scale) };
        let six = with(self.scale(largest));
        let NvRule::FourOverSix { .. } = self.rule else { return six };
        let four = with(e4m3(at_most(largest / MAX * self.factor * 1.5, MAX_SCALE)));
        // 4 only where it errs strictly less.
        if self.error(values, four) < self.error(values, six) { four } else { six }
    }

    /// The E2M1 code of `x` in a block: `x * encode` in binary32, rounded once more.
    #[must_use]
    pub const fn code(&self, x: f32, block: NvBlock, round: FloatRound, word: u32) -> u8 {
        #[allow(clippy::cast_possible_truncation, reason = "4 bits")]
        let code = FloatFormat::E2M1.encode(
            Number::from_f32(x * block.encode),
            round,
            FloatOverflow::SatFinite,
            word,
        ) as u8;
        code
    }

    /// The error of a block under a scale, summed in binary32 in the order of the elements; tiles sum their rows in
    /// pairs, then the pairs in pairs.
    fn error(&self, values: &[f32], block: NvBlock) -> f32 {
        let row = |values: &[f32]| values.iter().fold(0.0, |sum, x| sum + self.error_of(*x, block));
        if values.len() <= NVFP4_BLOCK {
            return row(values);
        }
        let mut rows = [0.0f32; NVFP4_BLOCK];
        for (sum, values) in rows.iter_mut().zip(values.chunks(NVFP4_BLOCK)) {
            *sum = row(values);
        }
        let mut n = NVFP4_BLOCK / 2;
        while n > 0 {
            for i in 0..n {
                rows[i] += rows[i + n];
            }
            n /= 2;
        }
        rows[0]
    }

    fn error_of(&self, x: f32, block: NvBlock) -> f32 {
        let NvRule::FourOverSix { error, through_inverse, .. } = self.rule else { return 0.0 };
        let code = self.code(x, block, FloatRound::NearestEven, 0);
        let value = value(FloatFormat::E2M1, code) * value(FloatFormat::E4M3, block.scale);
        let decoded = if through_inverse {
            value * (1.0 / self.factor)
        } else {
            value * self.amax / (MAX * Self::bound_of(self.rule))
        };
        let difference = decoded - x;
        match error {
            ErrorOf::Magnitude => difference.abs(),
            ErrorOf::Square => difference * difference,
        }
    }

    /// What a code is worth: exact but for the last product with the tensor's factor.
    #[must_use]
    pub fn value(&self, code: u8, scale: u8) -> f32 {
        value(FloatFormat::E2M1, code) * value(FloatFormat::E4M3, scale) * self.decode_factor()
    }
}
