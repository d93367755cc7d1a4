//! What a plan holds: the input, nodes, layers with parameters, the loss.

use intrain_model::{Init, Model, Pixels, Shape};
use intrain_num::Quantizer;
use intrain_recipe::{Feedback, LearningRate, Loss, Recipe, Warning};

use crate::block::{Arithmetic, BlockPlan, Operand};
use crate::error::PlanError;
use crate::node::Node;

/// A network, planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Images in a training step.
    pub batch_size: usize,
    /// The widest arithmetic of its products.
    pub arithmetic: Arithmetic,
    /// What enters.
    pub input: InputPlan,
    /// The layers with parameters, in the order of the forward pass.
    pub blocks: Vec<BlockPlan>,
    /// What is computed, in topological order: the image first, the logits last.
    pub nodes: Vec<Node>,
    /// Whether each gradient carries the power of two of the errors that made it, which a step finds out.
    pub keeps_exponents: bool,
    /// The loss behind the last block.
    pub loss: LossPlan,
    /// How weights start.
    pub init: Init,
    /// How the learning rate is represented.
    pub learning_rate: LearningRate,
    /// What becomes of the error that rounding makes in a stored weight.
    pub error_feedback: Feedback,
    /// What is allowed but doubtful.
    pub warnings: Vec<Warning>,
}

/// What enters the first block.
#[derive(Debug, Clone, PartialEq)]
pub struct InputPlan {
    /// Shape of one image.
    pub shape: Shape,
    /// What a pixel is worth.
    pub pixels: Pixels,
    /// How it becomes a code.
    pub quantizer: Quantizer,
}

impl InputPlan {
    /// How the image becomes codes in front of the first product, `layer`.
    pub(crate) fn new(model: &Model, recipe: &Recipe, layer: &str) -> Result<Self, PlanError> {
        let quantizer = recipe.input.of_layer(layer);
        if quantizer.round.is_stochastic() {
            let reason = "the image is quantized once, not per step; use a nearest rounding";
            return Err(crate::error::refuse_row("input", reason));
        }
        Ok(Self { shape: model.input.shape, pixels: model.input.pixels, quantizer })
    }

    /// The code of each pixel value, 0 to 255.
    pub fn codes(&self) -> impl Iterator<Item = i64> + '_ {
        let q = &self.quantizer;
        (0..=255).map(move |pixel| {
            let (numerator, denominator) = self.pixels.fraction(pixel);
            let rounded = q.round.ratio(numerator << q.format.frac_bits(), denominator);
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
        })
    }

    /// Pixels as an operand: what its 256 values are, not what its format could hold.
    pub(crate) fn operand(&self) -> Operand {
        let range = |(min, max): (i64, i64), code: i64| (min.min(code), max.max(code));
        let (min, max) =
            if self.quantizer.format.is_quantized() { self.codes().fold((0, 0), range) } else { (0, 0) };
        Operand { frac_bits: self.quantizer.format.frac_bits(), min, max }
    }
}

/// The loss and what it sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossPlan {
    /// Which loss.
    pub loss: Loss,
    /// Classes.
    pub n_classes: usize,
    /// Fraction bits of the logits; where activations are `@dynamic`, a step finds others.
    pub logits_frac_bits: i32,
    /// Recipe row `error.loss`.
    pub quantizer: Quantizer,
}

impl Plan {
    /// Weights and biases of all blocks.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        let of_block =
            |b: &BlockPlan| b.product.n_weights() + if b.product.bias { b.product.output.c } else { 0 };
        self.blocks.iter().map(of_block).sum()
    }
}
