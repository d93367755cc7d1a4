//! Nodes: what a network computes, in topological order, and where each result is stored.

use intrain_model::{LayerKind, Shape};
use intrain_num::{Format, Quantizer, Sum};

use crate::block::{Operand, Pool};

/// One operation over the whole batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name of its layer in the model.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes whose results enter, each in front of this one.
    pub sources: Vec<usize>,
    /// Shape of what enters first, for one image.
    pub input: Shape,
    /// Shape of its result, for one image.
    pub output: Shape,
    /// The integers of its result and what they are worth; all zeros where the result is a float.
    pub operand: Operand,
    /// Whether each step finds the unit of its integers, by the largest of them (`@dynamic`); the operand's fraction bits
    /// are then those of its row.
    pub finds_unit: bool,
    /// In which form its result is kept.
    pub storage: Storage,
    /// The layer under whose name diagnostics report what it leaves; none where its result is no activation.
    pub reported_as: Option<String>,
}

/// In which form a node's result is kept until the backward pass has used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Integers that products read, in the narrowest type that holds them.
    Codes(Element),
    /// Integers of at most 16 bits that a product wrote and that an activation will round.
    Wide,
    /// The exact sums of the last product.
    Accumulators(Element),
    /// binary32.
    Floats,
    /// Nowhere: the node that reads it computes it.
    Fused,
}

impl Storage {
    /// The type in memory; none where nothing is stored.
    #[must_use]
    pub const fn element(self) -> Option<Element> {
        match self {
            Self::Codes(element) | Self::Accumulators(element) => Some(element),
            Self::Wide => Some(Element::I16),
            Self::Floats => Some(Element::F32),
            Self::Fused => None,
        }
    }
}

/// The type of a tensor's elements in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Element {
    I8,
    I16,
    I32,
    I64,
    F32,
}

impl Element {
    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 => 8,
        }
    }

    /// The narrowest type for codes of `operand`, which have at most 16 bits.
    pub(crate) const fn of_codes(operand: Operand) -> Self {
        if operand.fits_i8() { Self::I8 } else { Self::I16 }
    }
}

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "most nodes are products, and there are few of them")]
pub enum Op {
    /// Pixels to codes, or to floats.
    Image,
    /// The convolution or linear layer of a block, with what is fused behind it.
    Product(Product),
    /// The normalization of that block.
    Norm(usize),
    /// Maximum over windows.
    MaxPool(Pool),
    /// Mean over windows.
    MeanPool(Pool),
    /// Mean over all pixels.
    GlobalMean,
    /// ReLU, and the recipe's row `activation`.
    Activation(Activation),
    /// Sum of two.
    Add,
    /// Channels of several, one behind the other.
    Concat,
    /// Every `stride`-th pixel, zeros for new channels.
    Shortcut {
        /// Step in pixels.
        stride: usize,
    },
}

/// A convolution or linear layer in the graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// Number of its block in [`crate::Plan::blocks`].
    pub block: usize,
    /// What happens to each sum before it is stored.
    pub epilogue: Epilogue,
    /// How errors pass it.
    pub error: ErrorPath,
}

/// What happens to a product's sums while they are still in cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epilogue {
    /// Recipe row `activation.product`; it rounds in front of the pooling.
    pub at_product: Quantizer,
    /// Max pooling.
    pub pool: Option<Pool>,
    /// Whether a ReLU follows (in front of the pooling or behind it: the result is the same).
    pub relu: bool,
    /// Recipe row `activation`; it rounds behind pooling and ReLU. At most one of the two rows rounds.
    pub activation: Quantizer,
}

impl Epilogue {
    /// The row that rounds; one that is exact where none does.
    #[must_use]
    pub const fn row(&self) -> Quantizer {
        if self.activation.format.is_quantized() { self.activation } else { self.at_product }
    }

    /// Whether the sums are stored as they are, but for a pooling.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!((self.at_product.format, self.activation.format), (Format::Exact, Format::Exact))
    }
}

/// How errors pass a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorPath {
    /// The row that rounds the error at the product's output: `error.loss`, `error.norm` or `error.activation`; exact
    /// where a row `error.product` has done so.
    pub at_output: Quantizer,
    /// Recipe row `error.product`: the error in front of the product.
    pub at_input: Quantizer,
    /// How the error in front of the product is handed on.
    pub rule: ErrorRule,
}

/// How the error sums of a product become the error at the node in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorRule {
    /// Not at all: the image has no error.
    None,
    /// The sums are masked by what the node in front recorded and rounded straight to codes of its product.
    Direct,
    /// The sums are rounded to wide errors, which add up with those of other readers before anything masks them.
    Wide,
}

/// An activation that is a node of its own: it adds up what enters and rounds once.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Which activation.
    pub kind: LayerKind,
    /// Recipe row `activation`; a plain float for ReLU between floats.
    pub row: Quantizer,
    /// What it adds up: norms as affine maps, products, codes. One or two.
    pub terms: Vec<Term>,
    /// Fraction bits of the sum; 0 between floats. None where a step finds the units of the terms or of the result: the sum
    /// is then one of 64 bits, at the finest unit of that step.
    pub frac_bits: Option<i32>,
    /// Largest magnitude that the sum can reach.
    pub sum: Sum,
    /// Between floats: whether it takes over the buffer of what enters, which nobody else reads.
    pub in_place: bool,
}

/// One of the things that an activation adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The node whose stored result enters.
    pub source: usize,
    /// The block of the norm on the way.
    pub norm: Option<usize>,
    /// Bits by which it is moved to the sum's last bit, where that is known.
    pub shift: u32,
}
