//! Layers with parameters: their shapes, how their weights are stored and read, and what their products read.

use intrain_model::{Shape, Window};
use intrain_num::norm::Rows;
use intrain_num::{Coded, Columns, Quantizer, Sum};

/// Windows of `size * size` pixels, `stride` pixels apart; the first begins `pad` pixels before the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Side of a window, 1 to 8 (a mean's: to 64).
    pub size: usize,
    /// Step from window to window, at least 1.
    pub stride: usize,
    /// Rows and columns around the image that windows may reach into, below `size`.
    pub pad: usize,
}

/// In what a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Operands of at most 8 bits, 32-bit sums.
    Int8,
    /// Operands of at most 16 bits (weights 24), 64-bit sums.
    Int16,
    /// binary32 throughout.
    Float32,
}

/// An operand of a product: what one unit of its code is worth, and which codes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// `value = code * 2^-frac_bits`.
    pub frac_bits: i32,
    /// Smallest code.
    pub min: i64,
    /// Largest code.
    pub max: i64,
}

impl Operand {
    /// Largest magnitude of a code.
    #[must_use]
    pub const fn max_abs(self) -> u64 {
        let (min, max) = (self.min.unsigned_abs(), self.max.unsigned_abs());
        if min > max { min } else { max }
    }

    /// Whether every code fits 8 bits.
    #[must_use]
    pub const fn fits_i8(self) -> bool {
        -128 <= self.min && self.max <= 127
    }
}

/// A layer with parameters: its shape, how its weights are stored and read, and its proven sums.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockPlan {
    /// Name of its layer.
    pub name: String,
    /// Number of the block: the `layer` of its random streams.
    pub index: u32,
    /// The product's shape.
    pub product: ProductPlan,
    /// In what its products are computed; of a norm, that of its neighbours.
    pub arithmetic: Arithmetic,
    /// The activation that enters.
    pub input_operand: Operand,
    /// The stored weights and how they are read.
    pub weight: WeightPlan,
    /// Fraction bits of the product's sum, the layer's alpha included.
    pub sum_frac_bits: i32,
    /// The error as an operand of this block's two backward products.
    pub error_operand: Operand,
    /// Recipe row `gradient`.
    pub gradient: Quantizer,
    /// Recipe row `momentum`.
    pub momentum: Quantizer,
    /// Recipe row `update`.
    pub update: Quantizer,
    /// Largest magnitude of the three products' sums.
    pub sums: Sums,
    /// Width of the accumulator that the recipe states.
    pub accumulator_bits: u32,
    /// The array whose registers give the products' random bits; otherwise each element has its own.
    pub columns: Option<Columns>,
    /// How a norm of integers computes.
    pub norm: Option<NormPlan>,
    /// Between floats: the codes that enter, where all of them meet binary weights. The forward product is then one of
    /// integers.
    pub codes: Option<Codes>,
    /// Between floats: what the products make of their operands beside the weights.
    pub operands: OperandRows,
}

/// How products between floats quantize what they read, each along its own sum (contract, 13.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperandRows {
    /// Recipe row `activation`: what enters, for the forward product and the gradient's.
    pub activation: Option<Coded>,
    /// Recipe row `error.product`: the error at the output, for both products of the backward pass.
    pub error: Option<Coded>,
    /// Whether both operands of the gradient's product are transformed before.
    pub hadamard: bool,
}

impl BlockPlan {
    /// The block as whoever multiplies densely sees it.
    #[must_use]
    pub fn dense(&self) -> Self {
        Self { product: ProductPlan { groups: 1, ..self.product }, ..self.clone() }
    }

    /// Bits by which a stored bias is moved to the sum's last bit; below 0 it would not fit there.
    #[must_use]
    pub const fn bias_shift(&self) -> i32 {
        self.input_operand.frac_bits + self.weight.operand.frac_bits - self.weight.master_frac_bits()
    }
}

/// Codes that leave an activation between floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codes {
    /// The activation.
    pub quantizer: Quantizer,
    /// What a code of 1 is worth.
    pub step: f32,
}

/// Largest magnitudes of a block's sums, from the operands' formats and the depths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// Forward, the bias included.
    pub forward: Sum,
    /// Error; `None` for the first block, whose error goes nowhere.
    pub error: Option<Sum>,
    /// Gradient of the weights, over the whole batch.
    pub gradient: Sum,
}

/// Shape of a product on one image. A linear layer is a 1 x 1 convolution whose image is the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductPlan {
    /// Whether it came from a linear layer.
    pub kind: ProductKind,
    /// What enters, for one image.
    pub input: Shape,
    /// What leaves, for one image.
    pub output: Shape,
    /// What each output sees of the image.
    pub window: Window,
    /// Groups of channels, each with weights of its own; 1 where each output sees all inputs.
    pub groups: usize,
    /// Whether it has a bias; a norm: whether it has gains and offsets.
    pub bias: bool,
}

/// What the parameters of a block are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ProductKind {
    Conv,
    Linear,
    /// Gains and offsets of a normalization over the batch, where it has any.
    BatchNorm,
    /// The same of one over the channels of each pixel.
    LayerNorm,
}

impl ProductKind {
    /// Whether it is no product at all.
    #[must_use]
    pub const fn is_norm(self) -> bool {
        matches!(self, Self::BatchNorm | Self::LayerNorm)
    }

    /// What a norm is called in tables.
    pub(crate) const fn norm_name(self) -> &'static str {
        match self {
            Self::LayerNorm => "layer norm",
            Self::BatchNorm | Self::Conv | Self::Linear => "batch norm",
        }
    }
}

impl ProductPlan {
    /// Weights: `taps * in / groups * out`, in that order of dimensions; a gain for each channel of a norm.
    #[must_use]
    pub const fn n_weights(&self) -> usize {
        match self.kind {
            ProductKind::BatchNorm | ProductKind::LayerNorm if !self.bias => 0,
            ProductKind::BatchNorm | ProductKind::LayerNorm => self.output.c,
            ProductKind::Conv | ProductKind::Linear => self.fan_in() * self.output.c,
        }
    }

    /// Whether each output sees one channel alone, and each channel one output.
    #[must_use]
    pub const fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input.c && self.groups == self.output.c
    }

    /// Weights as the product reads them: a grouped convolution is read densely, with zeros between its groups, but for a
    /// depthwise one.
    #[must_use]
    pub const fn n_read_weights(&self) -> usize {
        if self.is_depthwise() { self.n_weights() } else { self.n_weights() * self.groups }
    }

    /// Products that are summed for one output element.
    #[must_use]
    pub const fn fan_in(&self) -> usize {
        match self.kind {
            ProductKind::BatchNorm | ProductKind::LayerNorm => 1,
            ProductKind::Conv | ProductKind::Linear => self.window.n_taps() * self.input.c / self.groups,
        }
    }

    /// Whether each output pixel sees the one input pixel of its own place: both operands of the gradient's product then have the
    /// same rows.
    #[must_use]
    pub fn sees_one_pixel(&self) -> bool {
        let Window { kernel, stride, pad, .. } = self.window;
        self.kind == ProductKind::Linear || (kernel == [1, 1] && stride == [1, 1] && pad == [0, 0])
    }

    /// Dimensions of the weight tensor: `[kernel height, kernel width, in / groups, out]`, `[in, out]` or `[channels]`.
    #[must_use]
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            ProductKind::BatchNorm | ProductKind::LayerNorm => vec![self.n_weights()],
            ProductKind::Conv => {
                let [h, w] = self.window.kernel;
                vec![h, w, self.input.c / self.groups, self.output.c]
            }
            ProductKind::Linear => vec![self.input.c, self.output.c],
        }
    }
}

/// How a weight is stored and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightPlan {
    /// Recipe row `master`.
    pub master: Quantizer,
    /// Recipe row `weight`; exact reads the stored code as it is.
    pub read: Quantizer,
    /// The weight as an operand.
    pub operand: Operand,
    /// `log2` of the layer's alpha, by which the product is divided; 0 without one.
    pub alpha_log2: i32,
    /// Binary digits that a stored weight has beyond those of its format, by its fan-in (`@fan`).
    pub fan_shift: i32,
}

impl WeightPlan {
    /// Fraction bits of a stored weight.
    #[must_use]
    pub const fn master_frac_bits(&self) -> i32 {
        self.master.format.frac_bits() + self.fan_shift
    }
}

/// How a norm of integers computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormPlan {
    /// Mean, spread and value.
    pub rows: Rows,
    /// Recipe row `norm.gain`.
    pub gain: Quantizer,
    /// Recipe row `norm.offset`.
    pub offset: Quantizer,
    /// Fraction bits of a gain as it is read.
    pub gain_frac_bits: i32,
    /// Fraction bits of an offset as it is read.
    pub offset_frac_bits: i32,
}

impl NormPlan {
    /// Fraction bits of `value * gain + offset`.
    #[must_use]
    pub const fn frac_bits(&self) -> i32 {
        self.rows.value.format.frac_bits() + self.gain_frac_bits
    }
}
