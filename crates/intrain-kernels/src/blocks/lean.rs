//! The lanes of the formats in use: floats of at most 8 bits with -0, and integers of blocks, that are held at their largest value,
//! so that nothing but NaN needs a case of its own.
//!
//! Nearest-even comes from one addition: next to `2^(23-M)` times the power of two of a number's binade, a binary32 number has the
//! format's step, so the sum is rounded as the format asks, and its last bits are the steps. Invariant: equal to [`super::lanes`].
#![allow(
    clippy::float_arithmetic,
    reason = "an addition whose rounding is the format's, and products with powers of two"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lanes change between signed and unsigned; codes have at most 8 bits"
)]

use intrain_num::block::{Coding, Element, Mx};
use intrain_num::minifloat::{FloatFormat, FloatOverflow, FloatRound};

use super::lanes::Rounder;

const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

/// What a lane has to know of its format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lean {
    /// Mantissa bits of binary32 below those of the format.
    below: u32,
    /// The binary32 bits of the least normal number.
    least: u32,
    /// The largest value.
    max: f32,
    /// Bits of a binary32 number above the sign bit of a code.
    above_sign: u32,
    /// Sign bit of a code.
    sign: u32,
    /// Code and value of NaN without its sign, and the sign bits where it has one.
    nan: u32,
    nan_sign: u32,
    nan_value: u32,
    nan_value_sign: u32,
    /// All bits of a negative code in two's complement, else 0.
    complement: u32,
}

/// A magnitude of the format: steps and the power of two of one, as a code and as a binary32 number.
#[derive(Clone, Copy)]
struct Nearest {
    code: u32,
    value: f32,
}

impl Lean {
    /// Of a format, if lanes this lean serve it.
    pub(super) fn of(format: FloatFormat) -> Option<Self> {
        let m = format.mantissa_bits();
        let fits = format.bits() <= 8 && m >= 1 && format.is_signed() && format.has_minus_zero();
        // Bound: 22 binades above the largest are binary32 numbers, and the least normal one is.
        let is_inside = format.max_exponent() <= 100 && (-64..=64).contains(&format.bias());
        if !fits || !is_inside {
            return None;
        }
        let nan = format.nan(false);
        let has_sign = format.nan(true) != nan;
        Some(Self {
            below: 23 - m,
            least: ((1 - format.bias() + 127) as u32) << 23,
            max: format.max().to_f32(),
            above_sign: 32 - format.bits(),
            sign: format.sign(),
            nan: nan.unwrap_or(format.max_code()),
            nan_value: nan.map_or(format.max(), |nan| format.decode(nan)).to_f32().to_bits(),
            nan_sign: if has_sign { format.sign() } else { 0 },
            nan_value_sign: if has_sign { !MAGNITUDE } else { 0 },
            complement: 0,
        })
    }

    /// Of a coding whose elements are held at the largest value.
    pub(super) fn new(coding: &Coding) -> Option<Self> {
        match coding {
            Coding::Plain { format, overflow: FloatOverflow::SatFinite } => Self::of(*format),
            Coding::Scaled { element, .. } => Self::of_element(*element),
            Coding::Nvfp4 { .. } => Self::of(FloatFormat::E2M1),
            _ => None,
        }
    }

    /// Of the elements of a block.
    fn of_element(element: Element) -> Option<Self> {
        let format = element.magnitudes();
        match Self::of(format) {
            Some(lean) if element.is_integer() => {
                Some(Self { complement: u32::MAX >> (32 - format.bits()), ..lean })
            }
            lean => lean,
        }
    }

    /// Whether codes are integers in two's complement: then `INTEGER` has to be true below, else false, so that each has a loop
    /// of its own.
    pub(super) const fn is_integer(&self) -> bool {
        self.complement != 0
    }

    /// The magnitude held at the largest; of NaN too.
    #[inline(always)]
    fn held(&self, bits: u32) -> f32 {
        let magnitude = f32::from_bits(bits & MAGNITUDE);
        if magnitude < self.max { magnitude } else { self.max }
    }

    /// The nearest magnitude of the format. Bound: `held` has an exponent that leaves room for `below` more.
    #[inline(always)]
    fn nearest(&self, held: f32) -> Nearest {
        let binade = (held.to_bits() & INFINITY).max(self.least);
        let base = f32::from_bits(binade + (self.below << 23));
        let sum = held + base;
        // Exact: the sum lies in base .. 2 base, and the difference has few bits.
        let code = (sum.to_bits() - base.to_bits()) + ((binade - self.least) >> self.below);
        Nearest { code, value: sum - base }
    }

    /// A code with its sign, or NaN's.
    #[inline(always)]
    fn signed<const INTEGER: bool>(&self, bits: u32, code: u32) -> u32 {
        let sign = bits >> self.above_sign & self.sign;
        if INTEGER {
            let signs = (bits >> 31).wrapping_neg();
            let signed = (code ^ signs).wrapping_sub(signs) & self.complement;
            return if bits & MAGNITUDE > INFINITY { self.nan } else { signed };
        }
        if bits & MAGNITUDE > INFINITY { self.nan | sign & self.nan_sign } else { code | sign }
    }

    /// The code of `x`, rounded to nearest-even.
    #[inline(always)]
    pub(super) fn code<const INTEGER: bool>(&self, x: f32) -> u32 {
        let bits = x.to_bits();
        self.signed::<INTEGER>(bits, self.nearest(self.held(bits)).code)
    }

    /// The value of that code.
    #[inline(always)]
    pub(super) fn value<const INTEGER: bool>(&self, x: f32) -> f32 {
        self.with_sign::<INTEGER>(x.to_bits(), self.nearest(self.held(x.to_bits())).value)
    }

    /// A magnitude with its sign, or NaN's value.
    #[inline(always)]
    fn with_sign<const INTEGER: bool>(&self, bits: u32, magnitude: f32) -> f32 {
        let sign = bits & !MAGNITUDE;
        let nan = self.nan_value | sign & self.nan_value_sign;
        let value = f32::from_bits(magnitude.to_bits() | sign);
        // Integers have one zero.
        let value = if INTEGER { value + 0.0 } else { value };
        if bits & MAGNITUDE > INFINITY { f32::from_bits(nan) } else { value }
    }

    /// The steps of the magnitude of `x` under another rounding, and the binary32 bits of the power of two of its binade.
    #[inline(always)]
    fn steps(&self, bits: u32, word: u32, rounder: &impl Rounder) -> (u32, u32) {
        let held = self.held(bits).to_bits();
        let binade = (held & INFINITY).max(self.least);
        let exponent = (held >> 23).max(1);
        let mantissa = held & 0x7f_ffff | u32::from(held >= 1 << 23) << 23;
        let below = self.below + (binade >> 23) - exponent;
        (rounder.round(mantissa, below, word, bits >> 31), binade)
    }

    /// The code of `x` under another rounding.
    #[inline(always)]
    pub(super) fn rounded<const INTEGER: bool>(&self, x: f32, word: u32, rounder: &impl Rounder) -> u32 {
        let (steps, binade) = self.steps(x.to_bits(), word, rounder);
        self.signed::<INTEGER>(x.to_bits(), steps + ((binade - self.least) >> self.below))
    }

    /// The value of that code.
    #[inline(always)]
    pub(super) fn rounded_value<const INTEGER: bool>(
        &self,
        x: f32,
        word: u32,
        rounder: &impl Rounder,
    ) -> f32 {
        let (steps, binade) = self.steps(x.to_bits(), word, rounder);
        // Exact: at most 8 bits of a power of two that is a normal number.
        let step = f32::from_bits(binade - ((23 - self.below) << 23));
        self.with_sign::<INTEGER>(x.to_bits(), steps.cast_signed() as f32 * step)
    }
}

/// Whether a rounding may see a number that was multiplied by a power of two in binary32: it must not matter that a result below
/// the normal numbers is rounded, which is far below the least of the format.
pub(super) const fn may_scale(round: FloatRound) -> bool {
    !matches!(round, FloatRound::Up | FloatRound::Down | FloatRound::ToOdd)
}

/// A rule of E8M0 scales in lanes: within a binade every rule rises once.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleLanes {
    /// Code of the scale of `2^n` less the exponent field of that.
    offset: i32,
    /// The least mantissa field from which the scale is one higher; `2^23` where there is none.
    threshold: u32,
    /// The least and the largest code that lanes serve.
    codes: (i32, i32),
}

impl RuleLanes {
    /// Of a rule; `least` is the least code that lanes serve.
    pub(super) fn new(mx: &Mx, least: i32) -> Self {
        let one = 127 << 23;
        let exponent = |mantissa: u32| mx.rule.exponent(mx.element, one | mantissa);
        let at_one = exponent(0);
        let (mut low, mut high) = (0, 1 << 23);
        // The scale is `at_one` at low, and higher at high.
        while high - low > 1 {
            let middle = u32::midpoint(low, high);
            if exponent(middle) == at_one { low = middle } else { high = middle }
        }
        // The field of 1 is 127, and so is the code of its scale's exponent 0.
        Self { offset: at_one, threshold: high, codes: (least, 253) }
    }

    /// The code of the scale of a block whose largest magnitude has the binary32 bits `a`, and whether lanes serve it. A
    /// block of zeros has the code 0.
    #[inline(always)]
    pub(super) fn code(&self, a: u32) -> (u32, bool) {
        let code = (a >> 23) as i32 + self.offset + i32::from(a & 0x7f_ffff >= self.threshold);
        let is_normal = (1 << 23..INFINITY).contains(&a);
        let serves = is_normal && code >= self.codes.0 && code <= self.codes.1;
        (if a == 0 { 0 } else { code as u32 }, a == 0 || serves)
    }
}

/// `2^-k` and `2^k` of a scale code of 1 to 253; 1 and 1 for the code 0 of a block of zeros.
#[inline(always)]
pub(super) fn powers(code: u32) -> (f32, f32) {
    let code = if code == 0 { 127 } else { code };
    (f32::from_bits((254 - code) << 23), f32::from_bits(code << 23))
}
