//! The scales of some blocks beside each other, and what they mean for the lanes of their columns.

use intrain_num::block::{Coding, Edges, Mx, NAN_SCALE, NVFP4_BLOCK, NvRule, NvTensor};
use intrain_num::minifloat::{FloatFormat, FloatRound};

use super::lanes::Lanes;
use super::lean::{Lean, RuleLanes, powers};
use super::out::SEGMENT;

/// How lanes scale the elements of a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scaling {
    /// Not at all.
    None,
    /// By powers of two, as biases.
    Bias(Mx),
    /// By a product in binary32.
    Factor(NvTensor, NvRule),
}

impl Scaling {
    /// `largest` is the largest magnitude of the tensor.
    pub(super) fn new(coding: &Coding, round: FloatRound, largest: impl FnOnce() -> f32) -> Self {
        match *coding {
            Coding::Plain { .. } => Self::None,
            Coding::Scaled { element, rule, edges, .. } => Self::Bias(Mx { element, rule, edges, round }),
            Coding::Nvfp4 { rule, .. } => Self::Factor(NvTensor::new(rule, largest()), rule),
        }
    }

    /// The factor of the tensor behind its scales.
    pub(super) fn decode_factor(&self) -> f32 {
        match self {
            Self::Factor(tensor, _) => tensor.decode_factor(),
            _ => 1.0,
        }
    }
}

/// Blocks beside each other: their scales, and what lanes need of them.
pub(super) struct Blocks {
    /// Largest magnitudes, as binary32 bits.
    pub(super) largest: [u32; SEGMENT],
    /// Scale codes.
    pub(super) codes: [u8; SEGMENT],
    /// Bias of the lanes.
    pub(super) bias: [i32; SEGMENT],
    /// What elements are multiplied by in front of the lanes (NVFP4).
    pub(super) encode: [f32; SEGMENT],
    /// What the largest code is worth; of NVFP4, and in lean lanes, what a code is multiplied by.
    pub(super) worth: [f32; SEGMENT],
    /// Scale codes in lanes, before they are bytes.
    lanes: [u32; SEGMENT],
}

impl Blocks {
    pub(super) const fn new() -> Self {
        Self {
            largest: [0; SEGMENT],
            codes: [0; SEGMENT],
            bias: [0; SEGMENT],
            encode: [1.0; SEGMENT],
            worth: [1.0; SEGMENT],
            lanes: [0; SEGMENT],
        }
    }

    /// The scales of the first `n` blocks from their largest magnitudes; whether lanes serve all of them.
    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "a product with a power of two, exact or infinite")]
    pub(super) fn powers_of_two(&mut self, n: usize, mx: &Mx, lanes: &Lanes) -> bool {
        let format = mx.element.magnitudes();
        let mut serves = true;
        let max = format.max().to_f32();
        // Bound: as in `Lanes::new`, for the bias that the scale leaves.
        let least = lanes.bias + format.mantissa_bits().cast_signed();
        for b in 0..n {
            let code = mx.scale(self.largest[b]);
            self.codes[b] = code;
            // A block of zeros has the scale 0, and any bias.
            let is_zero = self.largest[b] == 0;
            serves &= is_zero || i32::from(code) >= least && code != NAN_SCALE;
            let exponent = if is_zero { 0 } else { i32::from(code) - 127 };
            self.bias[b] = lanes.bias - exponent;
            // Exact, or infinite: a power of two that is a normal number.
            self.worth[b] = max * f32::from_bits((exponent + 127).cast_unsigned() << 23);
        }
        // The least code divides otherwise there, and lies below `least` for all formats but the narrowest.
        serves && !(mx.edges == Edges::Torchao018 && self.codes[..n].contains(&0))
    }

    /// The same for lean lanes: what elements are multiplied by, and their codes.
    #[inline(always)]
    pub(super) fn powers_for_lean(&mut self, n: usize, rule: &RuleLanes) -> bool {
        let mut serves = true;
        for (code, largest) in self.lanes[..n].iter_mut().zip(&self.largest[..n]) {
            let (scale, is_served) = rule.code(*largest);
            serves &= is_served;
            // Bound: what is not served is computed again.
            *code = scale.min(253);
        }
        for ((encode, worth), code) in
            self.encode[..n].iter_mut().zip(&mut self.worth[..n]).zip(&self.lanes[..n])
        {
            (*encode, *worth) = powers(*code);
        }
        self.narrow(n);
        serves
    }

    /// The codes of `n` blocks as bytes.
    #[inline(always)]
    fn narrow(&mut self, n: usize) {
        for (byte, code) in self.codes[..n].iter_mut().zip(&self.lanes[..n]) {
            *byte = code.to_le_bytes()[0];
        }
    }

    /// The scales of NVFP4 where they are a product of the block's maximum, in lanes.
    #[inline(always)]
    #[allow(clippy::float_arithmetic, reason = "the rule is a sequence of binary32 operations, section 13.3")]
    pub(super) fn nvfp4_by_product(&mut self, n: usize, multiplier: f32, decode: f32, e4m3: &Lean) {
        // Whole vectors: what lies behind the last block is not read.
        let n = n.next_multiple_of(8).min(SEGMENT);
        let blocks = self.lanes[..n].iter_mut().zip(&mut self.worth[..n]).zip(&self.largest[..n]);
        for ((code, worth), largest) in blocks {
            let scaled = f32::from_bits(*largest) * multiplier;
            *code = e4m3.code::<false>(scaled);
            *worth = e4m3.value::<false>(scaled);
        }
        for (encode, worth) in self.encode[..n].iter_mut().zip(&self.worth[..n]) {
            let factor = 1.0 / (worth * decode);
            *encode = if factor > f32::MAX { f32::MAX } else { factor };
        }
        self.narrow(n);
    }

    /// The same for NVFP4; 4over6 looks at the elements of a block, which `elements` copies row by row and counts.
    #[inline(always)]
    pub(super) fn nvfp4(
        &mut self,
        n: usize,
        tensor: &NvTensor,
        rule: NvRule,
        elements: impl Fn(usize, &mut [f32]) -> usize,
    ) {
        let mut values = [0.0; NVFP4_BLOCK * NVFP4_BLOCK];
        for b in 0..n {
            let looks = matches!(rule, NvRule::FourOverSix { .. });
            let len = if looks { elements(b, &mut values) } else { 0 };
            let block = tensor.block(&values[..len], f32::from_bits(self.largest[b]));
            self.codes[b] = block.scale;
            self.encode[b] = block.encode;
            self.worth[b] = FloatFormat::E4M3.decode(block.scale.into()).to_f32();
        }
    }
}
