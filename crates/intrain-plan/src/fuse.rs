//! Fusion: which layers a product computes in its epilogue, while its sums are still in cache.
//!
//! One decision for the whole plan. A tensor that only the next layer reads need not go to memory and back; what is fused
//! changes no bit.

use intrain_model::{LayerKind, Model};
use intrain_num::Quantizer;
use intrain_recipe::Recipe;

use crate::block::Pool;
use crate::error::PlanError;
use crate::names::Layout;

/// What a product computes behind its sums.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fused {
    pub(crate) pool: Option<Pool>,
    /// The number of the ReLU's layer.
    pub(crate) relu: Option<usize>,
    /// The number of the last layer that is fused: its shape is that of the result.
    pub(crate) last: Option<usize>,
}

/// What is fused behind each layer, and which layers are fused into a product.
pub(crate) struct Fusion {
    pub(crate) behind: Vec<Fused>,
    pub(crate) is_fused: Vec<bool>,
}

impl Fusion {
    /// For all products of `model`.
    pub(crate) fn of(model: &Model, recipe: &Recipe, layout: Layout) -> Result<Self, PlanError> {
        let sources = model.sources()?;
        let n = model.layers.len();
        let mut fusion = Self { behind: vec![Fused::default(); n], is_fused: vec![false; n] };
        let only_reader = |layer: usize| {
            let mut readers = (0..n).filter(|reader| sources[*reader].contains(&(layer + 1)));
            readers.next().filter(|_| readers.next().is_none())
        };
        for i in (0..n).filter(|i| model.layers[*i].kind.is_product()) {
            let rows = Rows { model, recipe, layout, product: i };
            let (mut at, mut fused, mut is_flat, mut path) = (i, Fused::default(), false, vec![]);
            while let Some(next) = only_reader(at) {
                match model.layers[next].kind {
                    LayerKind::Flatten => is_flat = true,
                    LayerKind::MaxPool { size, stride, pad } if !is_flat && rows.take_pool(&fused) => {
                        fused.pool = Some(Pool { size, stride, pad });
                        path.push(next);
                    }
                    LayerKind::Relu if rows.take_relu(&fused, next) => {
                        fused.relu = Some(next);
                        path.push(next);
                    }
                    _ => break,
                }
                at = next;
            }
            fused.last = path.last().copied();
            if rows.allow(&fused) {
                fusion.behind[i] = fused;
                path.into_iter().for_each(|layer| fusion.is_fused[layer] = true);
            }
        }
        Ok(fusion)
    }
}

/// A product and the rows that decide what may follow it at once.
struct Rows<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    layout: Layout,
    product: usize,
}

impl Rows<'_> {
    fn round_at_product(&self) -> bool {
        let name = &self.model.layers[self.product].name;
        self.recipe.activation_at_product.of_layer(name).format.is_quantized()
    }

    /// One pooling; in a graph in front of the ReLU, as diagnostics look at what the ReLU leaves. Between floats of a graph
    /// none, since a product may be one of codes.
    fn take_pool(&self, fused: &Fused) -> bool {
        fused.pool.is_none()
            && match self.layout {
                Layout::Chain => true,
                Layout::IntegerGraph => fused.relu.is_none(),
                Layout::FloatGraph => false,
            }
    }

    /// A ReLU, unless that is where a second rounding lies or a codebook between floats.
    fn take_relu(&self, fused: &Fused, relu: usize) -> bool {
        let row = self.recipe.activation.of_layer(&self.model.layers[relu].name);
        match self.layout {
            Layout::Chain => true,
            Layout::FloatGraph => fused.relu.is_none() && row == Quantizer::FLOAT,
            Layout::IntegerGraph => {
                fused.relu.is_none() && !(self.round_at_product() && row.format.is_quantized())
            }
        }
    }

    /// In a graph of integers a pooling alone is left to the norm or sum that reads it.
    fn allow(&self, fused: &Fused) -> bool {
        self.layout != Layout::IntegerGraph || fused.relu.is_some()
    }
}
