//! Layers and shapes. Images are height x width x channels, channels last.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

pub use crate::input::{Init, Input, Logits, Pixels};
pub use crate::window::Window;
use crate::window::n_windows;

/// Height, width and channels of one image; a vector is `1 x 1 x n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Elements of one image.
    #[must_use]
    pub const fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Short name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// What enters.
    pub input: Input,
    /// How weights start, where the recipe does not say it (WAGE does).
    pub init: Init,
    /// Whether the activation quantizer also stands behind the last product.
    pub logits: Logits,
    /// The layers, in the order of the forward pass.
    pub layers: Vec<Layer>,
}

/// A layer with its name, which is unique in its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// As in recipes' patterns, logs and files.
    pub name: String,
    /// What it is.
    pub kind: LayerKind,
    /// Names of the layers whose outputs enter, `input` for the image; empty for the layer before.
    pub from: Vec<String>,
}

impl Layer {
    /// A layer behind the one before it.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Self { name: name.into(), kind, from: Vec::new() }
    }
}

/// The image, as a source of layers.
pub const INPUT: &str = "input";

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LayerKind {
    /// Convolution, zero padding. Weights `[kernel height, kernel width, in, out]`.
    Conv {
        /// Output channels.
        out: usize,
        /// What each output sees.
        #[serde(flatten)]
        window: Window,
        /// Whether it has a bias, where the recipe has biases.
        #[serde(default)]
        bias: bool,
    },
    /// Convolution by groups of channels: each output sees the inputs of its own group alone. Weights `[kernel height,
    /// kernel width, in / groups, out]`; as many groups as channels that enter and leave make it depthwise.
    GroupedConv {
        /// Output channels, a multiple of `groups`.
        out: usize,
        /// What each output sees.
        #[serde(flatten)]
        window: Window,
        /// Groups, which divide the channels that enter.
        groups: usize,
        /// Whether it has a bias, where the recipe has biases.
        #[serde(default)]
        bias: bool,
    },
    /// Fully connected. Weights `[in, out]`.
    Linear {
        /// Outputs.
        out: usize,
        /// Whether it has a bias, where the recipe has biases.
        #[serde(default)]
        bias: bool,
    },
    /// Maximum over square windows; what lies outside of the image does not count.
    MaxPool {
        /// Height and width of a window.
        size: usize,
        /// Step in pixels.
        stride: usize,
        /// Pixels before and behind the image that windows may reach into.
        #[serde(default, skip_serializing_if = "is_zero")]
        pad: usize,
    },
    /// Mean over square windows, no padding.
    AvgPool {
        /// Height and width of a window.
        size: usize,
        /// Step in pixels.
        stride: usize,
    },
    /// Mean over all pixels: one vector.
    GlobalAvgPool,
    /// Batch normalization: each channel less its mean, divided by its deviation.
    BatchNorm {
        /// Whether a gain and an offset per channel are learned.
        #[serde(default = "yes")]
        affine: bool,
    },
    /// Layer normalization: the channels of each pixel less their mean, divided by their deviation.
    LayerNorm {
        /// Whether a gain and an offset per channel are learned.
        #[serde(default = "yes")]
        affine: bool,
    },
    /// Sum of two outputs of one shape.
    Add,
    /// The channels of two to eight outputs of one height and width, one behind the other.
    Concat,
    /// Every `stride`-th pixel, with zeros for the channels that are new: He 2016's shortcut without weights.
    Shortcut {
        /// Output channels, no fewer than enter.
        out: usize,
        /// Step in pixels.
        stride: usize,
    },
    /// `max(x, 0)`, or whatever the recipe's row `activation` has in its place.
    Relu,
    /// `min(max(x, 0), 6)`, with the recipe's row `activation` behind it: Krizhevsky 2010, and MobileNet (arXiv 1704.04861).
    Relu6,
    /// Image to vector; the order (height, width, channel) stays.
    Flatten,
}

/// The kinds of layers, each with its own keys. Their order is that of [`LayerKind`].
pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("conv", &["out", "kernel", "stride", "pad", "dilation", "bias"]),
    ("grouped-conv", &["out", "kernel", "groups", "stride", "pad", "dilation", "bias"]),
    ("linear", &["out", "bias"]),
    ("max-pool", &["size", "stride", "pad"]),
    ("avg-pool", &["size", "stride"]),
    ("global-avg-pool", &[]),
    ("batch-norm", &["affine"]),
    ("layer-norm", &["affine"]),
    ("add", &[]),
    ("concat", &[]),
    ("shortcut", &["out", "stride"]),
    ("relu", &[]),
    ("relu6", &[]),
    ("flatten", &[]),
];

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}

const fn yes() -> bool {
    true
}

impl LayerKind {
    /// Shape behind the layer.
    ///
    /// # Errors
    /// What does not fit, and what would.
    pub fn output(&self, input: Shape) -> Result<Shape, String> {
        match *self {
            Self::Conv { out, window, .. } => window.output(input, out),
            Self::GroupedConv { out, window, groups, .. } => {
                positive("groups", groups, input.c)?;
                if !input.c.is_multiple_of(groups) || !out.is_multiple_of(groups) {
                    return Err(format!(
                        "groups = {groups} does not divide the {} channels that enter and the {out} that leave",
                        input.c
                    ));
                }
                window.output(input, out)
            }
            Self::Linear { out, .. } => {
                positive("out", out, 1 << 20)?;
                if input.h != 1 || input.w != 1 {
                    return Err(format!(
                        "a linear layer takes a vector, not {input}; put a flatten layer before it"
                    ));
                }
                Ok(Shape { h: 1, w: 1, c: out })
            }
            Self::MaxPool { size, stride, pad } => {
                positive("size", size, 8)?;
                positive("stride", stride, 8)?;
                if pad >= size {
                    return Err(format!(
                        "pad = {pad} is not below size = {size}: outer windows would be empty"
                    ));
                }
                pooled(input, pad, size, stride)
            }
            Self::AvgPool { size, stride } => {
                positive("size", size, 64)?;
                positive("stride", stride, 64)?;
                pooled(input, 0, size, stride)
            }
            Self::Shortcut { out, stride } => {
                positive("stride", stride, 64)?;
                if !(input.c..=1 << 16).contains(&out) {
                    return Err(format!(
                        "out = {out} is not in {}..={}: channels are only added",
                        input.c,
                        1 << 16
                    ));
                }
                Ok(Shape { h: input.h.div_ceil(stride), w: input.w.div_ceil(stride), c: out })
            }
            Self::GlobalAvgPool => Ok(Shape { h: 1, w: 1, c: input.c }),
            Self::Relu
            | Self::Relu6
            | Self::BatchNorm { .. }
            | Self::LayerNorm { .. }
            | Self::Add
            | Self::Concat => Ok(input),
            Self::Flatten => Ok(Shape { h: 1, w: 1, c: input.len() }),
        }
    }

    /// Shape of the weights, first to last dimension; empty without weights.
    #[must_use]
    pub fn weights(&self, input: Shape) -> Vec<usize> {
        match *self {
            Self::Conv { out, window: Window { kernel: [h, w], .. }, .. } => vec![h, w, input.c, out],
            Self::GroupedConv { out, window: Window { kernel: [h, w], .. }, groups, .. } => {
                vec![h, w, input.c / groups, out]
            }
            Self::Linear { out, .. } => vec![input.c, out],
            Self::BatchNorm { affine: true } | Self::LayerNorm { affine: true } => vec![input.c],
            _ => Vec::new(),
        }
    }

    /// Biases, or offsets of a norm.
    #[must_use]
    pub const fn biases(&self, input: Shape) -> usize {
        match *self {
            Self::Conv { out, bias: true, .. }
            | Self::GroupedConv { out, bias: true, .. }
            | Self::Linear { out, bias: true } => out,
            Self::BatchNorm { affine: true } | Self::LayerNorm { affine: true } => input.c,
            _ => 0,
        }
    }

    /// Outputs that may enter.
    pub(crate) const fn n_sources(&self) -> RangeInclusive<usize> {
        match self {
            Self::Add => 2..=2,
            Self::Concat => 2..=8,
            _ => 1..=1,
        }
    }

    /// Whether it holds weights that a product reads.
    #[must_use]
    pub const fn is_product(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::GroupedConv { .. } | Self::Linear { .. })
    }

    /// What an activation is called in files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            _ => "",
        }
    }

    /// Whether it is an activation: it rounds by the recipe's row `activation`, and nothing negative leaves it.
    #[must_use]
    pub const fn is_activation(&self) -> bool {
        matches!(self, Self::Relu | Self::Relu6)
    }

    /// Whether it normalizes.
    #[must_use]
    pub const fn is_norm(&self) -> bool {
        matches!(self, Self::BatchNorm { .. } | Self::LayerNorm { .. })
    }
}

/// The kind with what makes it this one: `conv 3x3, stride 2, pad 1`; how much comes out is in the shapes.
impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools = |name: &str, size, stride, pad| format!("{name} {}", Window::square(size, stride, pad));
        let with =
            |text: String, what: &str, is_so: bool| if is_so { format!("{text}, {what}") } else { text };
        let text = match *self {
            Self::Conv { window, bias, .. } => with(format!("conv {window}"), "bias", bias),
            Self::GroupedConv { window, groups, bias, .. } => {
                with(format!("grouped-conv {window}, {groups} groups"), "bias", bias)
            }
            Self::Linear { bias, .. } => with("linear".to_owned(), "bias", bias),
            Self::MaxPool { size, stride, pad } => pools("max-pool", size, stride, pad),
            Self::AvgPool { size, stride } => pools("avg-pool", size, stride, 0),
            Self::GlobalAvgPool => "global-avg-pool".to_owned(),
            Self::BatchNorm { affine } => with("batch-norm".to_owned(), "nothing learned", !affine),
            Self::LayerNorm { affine } => with("layer-norm".to_owned(), "nothing learned", !affine),
            Self::Add => "add".to_owned(),
            Self::Concat => "concat".to_owned(),
            Self::Shortcut { stride, .. } => {
                with("shortcut".to_owned(), &format!("stride {stride}"), stride != 1)
            }
            Self::Flatten => "flatten".to_owned(),
            activation => activation.name().to_owned(),
        };
        f.write_str(&text)
    }
}

pub(crate) fn positive(name: &str, value: usize, max: usize) -> Result<(), String> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(format!("{name} = {value} is not in 1..={max}")) }
}

fn pooled(input: Shape, pad: usize, size: usize, stride: usize) -> Result<Shape, String> {
    let side = |name, extent: usize| n_windows(name, extent + 2 * pad, size, stride);
    Ok(Shape { h: side("height", input.h)?, w: side("width", input.w)?, c: input.c })
}
