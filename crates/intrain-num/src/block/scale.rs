//! E8M0 scales: a power of two for a block, by the rules that are in use, from the bits of the block's maximum.
//!
//! The maximum is `a = f 2^n` with `1 <= f < 2`, the element's largest value `F 2^emax` alike. Every rule is a
//! function of `n - emax` and of a comparison between `f` and `F`, so none needs a logarithm or a division.
//! Sources: OCP microscaling formats 1.0, section 6.3; pytorch/ao `torchao/prototype/mx_formats`; NVIDIA
//! TransformerEngine; AMD Quark; vLLM; MLX.

use core::fmt;
use core::str::FromStr;

use super::Element;
use crate::minifloat::{FloatRound, Number};

/// Elements of an MX block.
pub const MX_BLOCK: usize = 32;
/// The scale of a block without numbers.
pub const NAN_SCALE: u8 = 0xff;
/// The largest scale, `2^127`.
const MAX_SCALE: i32 = 254;
const BIAS: i32 = 127;

const INFINITY: u32 = 0x7f80_0000;

/// What a scale code is worth: `2^(code - 127)`, or NaN.
#[must_use]
pub const fn scale_value(code: u8) -> Number {
    if code == NAN_SCALE {
        return Number::Nan { negative: false };
    }
    Number::Finite { negative: false, mantissa: 1, exponent: code as i32 - BIAS }
}

/// How the exponent `k` of a block's scale follows from its maximum `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScaleRule {
    /// `n - emax`: the maximum may be clipped. OCP 6.3; torchao's FLOOR.
    Floor,
    /// One more unless `a` is a power of two. torchao's CEIL.
    Ceil,
    /// One more where rounding to the element's mantissa carries into the next power of two. torchao's EVEN, AMD Quark.
    Even,
    /// The least `k` with `a <= max 2^k`: nothing is clipped. torchao's RCEIL, TransformerEngine, cuDNN.
    Rceil,
    /// `floor(log2(a / max))`: the largest value is clipped unless it fits exactly. vLLM's first MXFP4.
    DivFloor,
    /// `a / max` to a power of two, up from 1.5. FlyDSL's first.
    DivNearest,
    /// `round(log2(a / max))`. MLX's first.
    DivLog2Round,
}

impl ScaleRule {
    /// All rules and their names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("floor", Self::Floor),
        ("ceil", Self::Ceil),
        ("even", Self::Even),
        ("rceil", Self::Rceil),
        ("div-floor", Self::DivFloor),
        ("div-nearest", Self::DivNearest),
        ("div-log2round", Self::DivLog2Round),
    ];

    /// `k` for the maximum with the binary32 bits `a`, neither zero nor infinite.
    #[must_use]
    pub const fn exponent(self, element: Element, a: u32) -> i32 {
        let format = element.magnitudes();
        let up = a.leading_zeros().saturating_sub(8);
        let (f, n) = if a >> 23 == 0 {
            // Bound: not zero, so that its first bit can be moved to bit 23.
            (a << up, -126 - up.cast_signed())
        } else {
            (a & 0x7f_ffff | 1 << 23, (a >> 23).cast_signed() - BIAS)
        };
        let max = max_mantissa(element);
        let k = n - format.max_exponent();
        // `a / max` lies in `[r, 2r) 2^k'` with `r` the fraction's quotient.
        let (ratio, below) = if f < max { (2 * f as u64, 1) } else { (f as u64, 0) };
        let (max_wide, f_carries) = (max as u64, (1 << 24) - (1 << (22 - format.mantissa_bits())));
        k + match self {
            Self::Floor => 0,
            Self::Ceil => (f > 1 << 23) as i32,
            Self::Even => (f >= f_carries) as i32,
            Self::Rceil => (f > max) as i32,
            Self::DivFloor => -below,
            Self::DivNearest => (2 * ratio >= 3 * max_wide) as i32 - below,
            Self::DivLog2Round => (ratio * ratio >= 2 * max_wide * max_wide) as i32 - below,
        }
    }
}

/// The largest value as a mantissa of 24 bits.
const fn max_mantissa(element: Element) -> u32 {
    let format = element.magnitudes();
    match format.max() {
        #[allow(clippy::cast_possible_truncation, reason = "24 bits are left")]
        Number::Finite { mantissa, .. } => (mantissa << mantissa.leading_zeros() >> 40) as u32,
        _ => 0,
    }
}

/// What a library does at the edges of the scale's range, where the rules say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Edges {
    /// A NaN or an infinity makes the block NaN; scales are held at `2^127`.
    #[default]
    Ocp,
    /// As `ocp`, but a scale beyond `2^127` is NaN. torchao at 36027d8.
    TorchaoMain,
    /// An infinity is read as `2^128`; where the scale code is 0, elements are divided by `2^-126`, with `rceil` by 1.
    Torchao018,
    /// NaN is not seen in the maximum; an infinity has the scale `2^127`. TransformerEngine at d0067d0.
    Te,
    /// A NaN makes the block NaN; an infinity has the scale `2^127`. AMD Quark 0.13.
    Quark,
}

impl Edges {
    /// All and their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ocp", Self::Ocp),
        ("torchao@main", Self::TorchaoMain),
        ("torchao@0.18", Self::Torchao018),
        ("te", Self::Te),
        ("quark", Self::Quark),
    ];
}

/// How a block becomes a scale and codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mx {
    /// Format of the codes.
    pub element: Element,
    /// Rule of the scale.
    pub rule: ScaleRule,
    /// What happens at its edges.
    pub edges: Edges,
    /// Rounding of the elements.
    pub round: FloatRound,
}

impl Mx {
    /// The magnitude that a value adds to the block's maximum, as binary32 bits.
    #[must_use]
    pub const fn magnitude(&self, x: f32) -> u32 {
        let magnitude = x.to_bits() & 0x7fff_ffff;
        if matches!(self.edges, Edges::Te) && magnitude > INFINITY { 0 } else { magnitude }
    }

    /// The scale of a block whose largest magnitude has the binary32 bits `a`; NaN lies above infinity.
    #[must_use]
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "held in 0..=254")]
    pub const fn scale(&self, a: u32) -> u8 {
        if a == 0 {
            return 0;
        }
        if a > INFINITY {
            return NAN_SCALE;
        }
        if a == INFINITY {
            return match self.edges {
                Edges::Ocp | Edges::TorchaoMain => NAN_SCALE,
                Edges::Te | Edges::Quark => MAX_SCALE as u8,
                Edges::Torchao018 if matches!(self.rule, ScaleRule::Rceil) => MAX_SCALE as u8,
                // 2^128: one binade above the floats.
                Edges::Torchao018 => (255 - self.element.magnitudes().max_exponent()) as u8,
            };
        }
        let code = self.rule.exponent(self.element, a) + BIAS;
        if code > MAX_SCALE {
            return if matches!(self.edges, Edges::TorchaoMain) { NAN_SCALE } else { MAX_SCALE as u8 };
        }
        if code < 0 { 0 } else { code as u8 }
    }

    /// The code of `x` under the scale `scale`: `x / 2^(scale - 127)`, exactly, rounded once and held at the largest.
    /// In a NaN block: the element's NaN, or 0.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "codes have at most 8 bits")]
    pub const fn code(&self, x: f32, scale: u8, word: u32) -> u8 {
        if scale == NAN_SCALE {
            return match self.element.magnitudes().nan(false) {
                Some(nan) => nan as u8,
                None => 0,
            };
        }
        let exponent = match (self.edges, scale, self.rule) {
            (Edges::Torchao018, 0, ScaleRule::Rceil) => 0,
            (Edges::Torchao018, 0, _) => -126,
            _ => scale as i32 - BIAS,
        };
        self.element.encode(Number::from_f32(x).scaled(-exponent), self.round, word)
    }

    /// Quantizes a block; `word` gives the random word of an element of the block. Gives the scale.
    ///
    /// # Panics
    /// When `codes` is shorter than `values`.
    pub fn quantize(&self, values: &[f32], codes: &mut [u8], word: impl Fn(usize) -> u32) -> u8 {
        let scale = self.scale(values.iter().map(|x| self.magnitude(*x)).max().unwrap_or(0));
        for (i, x) in values.iter().enumerate() {
            codes[i] = self.code(*x, scale, if self.round.is_stochastic() { word(i) } else { 0 });
        }
        scale
    }

    /// What a code is worth under a scale.
    #[must_use]
    pub const fn value(&self, code: u8, scale: u8) -> Number {
        if scale == NAN_SCALE {
            return Number::Nan { negative: false };
        }
        self.element.decode(code).scaled(scale as i32 - BIAS)
    }
}

/// Declares a name for each value of an enumeration's table `ALL`.
macro_rules! named {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::ALL.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name))
            }
        }

        impl FromStr for $type {
            type Err = ();

            /// The value of that name; `ALL` lists them.
            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, known)| *known).ok_or(())
            }
        }
    )*};
}

named!(ScaleRule, Edges);
