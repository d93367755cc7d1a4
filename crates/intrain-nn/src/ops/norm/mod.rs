//! Normalizations: over the batch and over the channels of a pixel, in integers and in floats, both passes beside each other.

pub(crate) mod batch;
pub(crate) mod batch_floats;
pub(crate) mod layer;
pub(crate) mod layer_floats;
pub(crate) mod learned;

use intrain_kernels::Isa;
use intrain_kernels::fixed_norm::{self, Store};

use crate::key::Mode;
use crate::parameters::{Moments, Parameters};
use crate::plan::{BlockPlan, ProductKind};

/// A norm's state between its passes.
pub(crate) enum Norm {
    Batch(Box<batch::Norm>),
    Layer(Box<layer::LayerNorm>),
    BatchFloats(Box<batch_floats::Norm>),
    LayerFloats(Box<layer_floats::LayerNorm>),
}

impl Norm {
    pub(crate) fn new(plan: &BlockPlan) -> Self {
        match (plan.norm, plan.product.kind) {
            (Some(norm), ProductKind::LayerNorm) => Self::Layer(Box::new(layer::LayerNorm::new(norm))),
            (Some(norm), _) => Self::Batch(Box::new(batch::Norm::new(norm))),
            (None, ProductKind::LayerNorm) => Self::LayerFloats(Box::default()),
            (None, _) => Self::BatchFloats(Box::default()),
        }
    }

    /// Reads what was learned, and the running statistics.
    pub(crate) fn load(&mut self, plan: &BlockPlan, parameters: &Parameters) {
        match self {
            Self::Batch(norm) => norm.load(plan, parameters),
            Self::Layer(norm) => norm.load(plan, parameters),
            Self::BatchFloats(norm) => norm.load(parameters),
            Self::LayerFloats(norm) => norm.load(plan, parameters),
        }
    }

    /// Mean and spread of the last batch; none before there was one, and where a norm knows pixels alone.
    pub(crate) const fn moments(&self) -> Option<&Moments> {
        match self {
            Self::Batch(norm) => norm.moments(),
            Self::BatchFloats(norm) => norm.moments(),
            Self::Layer(_) | Self::LayerFloats(_) => None,
        }
    }

    /// `value * gain + offset` of whole pixels of wide integers.
    pub(crate) fn apply(&self, isa: Isa, x: &[i16], out: &mut [i32], store: Store) {
        match self {
            Self::Batch(norm) => fixed_norm::apply(isa, x, &norm.lines, out, store),
            Self::Layer(norm) => norm.apply(x, out, store),
            Self::BatchFloats(_) | Self::LayerFloats(_) => {
                unreachable!("the plan says that it is one of integers")
            }
        }
    }

    /// A norm of floats, with the activation behind it where that is computed along.
    pub(crate) fn forward_floats(
        &mut self,
        isa: Isa,
        (plan, activation): (&BlockPlan, Option<intrain_num::Quantizer>),
        x: &[f32],
        out: &mut [f32],
        mode: Mode,
    ) {
        match self {
            Self::BatchFloats(norm) => norm.forward(isa, (plan, activation), x, out, mode),
            Self::LayerFloats(norm) => norm.forward(x, out),
            Self::Batch(_) | Self::Layer(_) => unreachable!("the plan says that it is one of floats"),
        }
    }
}
