//! The deployed form: nodes in topological order, the image first, the logits last.

use intrain_model::{Shape, Window};
use intrain_num::Round;
use intrain_num::norm::{ChannelAffine, Moments, Rows, Spread};
use intrain_plan::Pool;

use crate::range::Range;

/// A network as the integers that it answers with.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    /// Where it comes from.
    pub about: About,
    /// What is computed, in topological order: the image first, the logits last.
    pub nodes: Vec<Node>,
}

/// Where a network comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// Name of the model.
    pub model: String,
    /// Name of the recipe.
    pub recipe: String,
    /// SHA-256 of the stored weights.
    pub weights_sha256: String,
    /// Names of the classes, output by output; may be empty.
    pub classes: Vec<String>,
}

/// One operation, and the tensor that it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it leaves.
    pub result: Tensor,
    /// What it computes.
    pub op: Op,
    /// The nodes whose results enter, each in front of this one.
    pub sources: Vec<usize>,
}

/// What a node leaves for one image, channels last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The layer's name; no two tensors have the same.
    pub name: String,
    /// Height, width, channels.
    pub shape: Shape,
    /// `value = integer * 2^-frac_bits`.
    pub frac_bits: i32,
    /// The integers that it can hold, proven from the weights.
    pub range: Range,
}

/// The type in which a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Element {
    I8,
    U8,
    I16,
    I32,
    I64,
}

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The integer of each of the 256 values of a pixel.
    Pixels(Vec<i64>),
    /// A convolution or a linear layer.
    Product(Product),
    /// The maximum of each window; what lies outside of the image does not count.
    MaxPool(Pool),
    /// A sum of terms, rounded once.
    Activation(Activation),
    /// The mean of each window, rounded to the nearest, ties down.
    Mean(Mean),
    /// Every `stride`-th pixel, zeros for new channels.
    Shortcut {
        /// Step in pixels.
        stride: usize,
    },
    /// Channels of several, one behind the other.
    Concat,
}

/// A convolution; a linear layer is one whose window is the whole image.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// What each output sees of the image.
    pub window: Window,
    /// Groups of channels.
    pub groups: usize,
    /// `[out][kernel height][kernel width][in / groups]`, as evaluation reads them.
    pub weights: Vec<i32>,
    /// One for each output, in the last bit of the sums; none where the layer has none.
    pub bias: Option<Vec<i64>>,
    /// No sum, whole or begun, in whatever order it is taken, is larger in magnitude.
    pub bound: u64,
    /// How sums are rounded; none where they are the result.
    pub requantize: Option<Requantize>,
}

/// `min(max(round(x * 2^-shift), min), max)`. A ReLU is a `min` of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requantize {
    /// Bits dropped; below 0 zeros are appended.
    pub shift: i32,
    /// Never stochastic.
    pub round: Round,
    /// The least integer that leaves.
    pub min: i64,
    /// The largest integer that leaves.
    pub max: i64,
}

/// Terms that are added up, and the one rounding of their sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// One or two, in the order of the node's sources.
    pub terms: Vec<Term>,
    /// No sum is larger in magnitude.
    pub bound: u64,
    /// How the sum is rounded.
    pub requantize: Requantize,
}

/// An integer, perhaps normalized, times `2^shift`.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Bits by which it is moved up to the sum's last bit.
    pub shift: u32,
    /// A norm on the way.
    pub norm: Option<Norm>,
}

/// A norm, as evaluation computes it.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a network has few")]
pub enum Norm {
    /// Each channel has its own affine map.
    Batch(BatchNorm),
    /// Each pixel is normalized by its own mean and spread.
    Layer(LayerNorm),
}

/// `round((x * multiplier - offset) * 2^-shift)`, held, times gain plus offset; channel by channel.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// The map of each channel.
    pub lines: Vec<ChannelAffine>,
    /// How a value is rounded and held; its `shift` is the line's.
    pub value: Requantize,
    /// Gains.
    pub gain: Vec<i64>,
    /// Offsets, in the last bit of a value times a gain.
    pub offset: Vec<i64>,
}

/// The same over the channels of each pixel, with statistics of that pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// How mean, spread and value are computed.
    pub rows: Rows,
    /// Gains of the channels.
    pub gain: Vec<i64>,
    /// Offsets of the channels, in the last bit of a value times a gain.
    pub offset: Vec<i64>,
}

/// `min(max(round(sum * 2^up / divisor), min), max)`, to the nearest, ties down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mean {
    /// Height and width of a window.
    pub size: [usize; 2],
    /// Steps from window to window.
    pub stride: [usize; 2],
    /// Bits by which a sum is moved up.
    pub up: u32,
    /// Pixels of a window, times a power of two.
    pub divisor: i128,
    /// The least integer that leaves.
    pub min: i64,
    /// The largest integer that leaves.
    pub max: i64,
}

impl Requantize {
    /// The integer that a sum becomes.
    #[must_use]
    pub fn apply(&self, x: i64) -> i64 {
        self.round.shift_right(x, self.shift, 0).clamp(self.min, self.max)
    }
}

impl Requantize {
    /// The largest magnitude on the way from a sum of at most `bound` to its rounding: with the half that is added, or the zeros
    /// that are appended. Sums lie below 2^62, so whatever is dropped beyond 62 bits changes no result.
    pub(crate) fn reach(&self, bound: u64) -> u128 {
        match self.shift {
            1.. => u128::from(bound) + (1 << (self.shift.min(62) - 1)),
            _ => u128::from(bound) << self.shift.unsigned_abs().min(63),
        }
    }
}

impl Mean {
    /// The integer that a sum over a window becomes.
    #[must_use]
    pub fn apply(&self, sum: i64) -> i64 {
        Round::NearestDown.ratio_wide(i128::from(sum) << self.up, self.divisor).clamp(self.min, self.max)
    }
}

impl LayerNorm {
    /// What the channels `x` of a pixel become.
    #[must_use]
    pub fn apply(&self, x: &[i64]) -> Vec<i64> {
        let rows = &self.rows;
        let moments =
            Moments { n: x.len() as u64, sum: x.iter().sum(), other: x.iter().map(|x| x * x).sum() };
        let mean = rows.mean(moments);
        let finer = rows.mean.format.frac_bits() - rows.frac_bits;
        let other = match rows.spread {
            Spread::L1 => x.iter().map(|x| ((x << finer) - mean).abs()).sum(),
            Spread::L2 | Spread::Range => moments.other,
        };
        let line = rows.line(mean, rows.spread(Moments { other, ..moments }));
        let learned = self.gain.iter().zip(&self.offset);
        x.iter().zip(learned).map(|(x, (gain, offset))| rows.value(*x, line) * gain + offset).collect()
    }
}

impl Product {
    /// Weights of one output.
    #[must_use]
    pub fn fan_in(&self, input: Shape) -> usize {
        self.window.n_taps() * input.c / self.groups
    }

    /// The weights as `[out][in / groups][kernel height][kernel width]`.
    #[must_use]
    pub fn channels_first(&self, input: Shape, output: Shape) -> Vec<i32> {
        let (taps, of_group) = (self.window.n_taps(), input.c / self.groups);
        let at = |out: usize, i: usize, tap: usize| self.weights[(out * taps + tap) * of_group + i];
        let of_output =
            |out: usize| (0..of_group).flat_map(move |i| (0..taps).map(move |tap| at(out, i, tap)));
        (0..output.c).flat_map(of_output).collect()
    }

    /// Whether each output sees one channel alone, and each channel one output.
    #[must_use]
    pub const fn is_depthwise(&self, [input, output]: [Shape; 2]) -> bool {
        self.groups > 1 && self.groups == input.c && self.groups == output.c
    }

    /// The least number of bits, two's complement, that holds each weight: 2 to 32.
    #[must_use]
    pub fn weight_bits(&self) -> u32 {
        let bits = |w: &i32| {
            33 - w.unsigned_abs().leading_zeros() - u32::from(*w < 0 && w.unsigned_abs().is_power_of_two())
        };
        self.weights.iter().map(bits).max().unwrap_or(0).max(2)
    }
}

impl Tensor {
    /// The narrowest type that holds its range.
    #[must_use]
    pub fn element(&self) -> Element {
        let holds = |min: i64, max: i64| min <= self.range.min && self.range.max <= max;
        if holds(-128, 127) {
            Element::I8
        } else if holds(0, 255) {
            Element::U8
        } else if holds(-32_768, 32_767) {
            Element::I16
        } else if holds(i32::MIN.into(), i32::MAX.into()) {
            Element::I32
        } else {
            Element::I64
        }
    }

    /// Bytes of one image.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shape.len() * self.element().bytes()
    }
}

impl Element {
    /// The narrowest type with a sign that holds all of `values`.
    #[must_use]
    pub fn narrowest(values: &[i64]) -> Self {
        let holds =
            |bits: u32| values.iter().all(|x| (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(x));
        let types = [(Self::I8, 8), (Self::I16, 16), (Self::I32, 32)];
        types.into_iter().find(|(_, bits)| holds(*bits)).map_or(Self::I64, |(element, _)| element)
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

impl Deployed {
    /// The shape of an image.
    #[must_use]
    pub fn image(&self) -> Shape {
        self.nodes[0].result.shape
    }

    /// What the network answers.
    ///
    /// # Panics
    /// Never: a network that was lowered has nodes.
    #[must_use]
    pub fn logits(&self) -> &Tensor {
        &self.nodes[self.nodes.len() - 1].result
    }

    /// Each product with its node's number.
    pub fn products(&self) -> impl Iterator<Item = (usize, &Product)> {
        self.nodes.iter().enumerate().filter_map(|(i, node)| match &node.op {
            Op::Product(product) => Some((i, product)),
            _ => None,
        })
    }

    /// Multiplications and additions of all products for one image, padding included.
    #[must_use]
    pub fn multiply_adds(&self) -> u64 {
        self.products()
            .map(|(i, p)| (self.nodes[i].result.shape.len() * p.fan_in(self.input_of(i))) as u64)
            .sum()
    }

    /// The shape of what enters node `i` first.
    #[must_use]
    pub fn input_of(&self, i: usize) -> Shape {
        self.nodes[i].sources.first().map_or(self.image(), |source| self.nodes[*source].result.shape)
    }
}
