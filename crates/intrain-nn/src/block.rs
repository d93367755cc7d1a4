//! A layer with parameters in motion: a product or a norm, and what the backward pass learns about it.

use intrain_kernels::Isa;

use crate::key::Mode;
use crate::machine::MachineProduct;
use crate::ops::norm::Norm;
use crate::ops::product::{Gradients, Weights};
use crate::parameters::Parameters;
use crate::plan::BlockPlan;

/// A layer with parameters.
pub(crate) struct Block {
    pub(crate) plan: BlockPlan,
    pub(crate) part: Part,
    pub(crate) gradients: Gradients,
}

/// What a layer with parameters computes.
pub(crate) enum Part {
    Product(Weights),
    Norm(Norm),
}

impl Block {
    pub(crate) fn new(plan: &BlockPlan, batch_size: usize, machine: Option<Box<dyn MachineProduct>>) -> Self {
        let part = if plan.product.kind.is_norm() {
            Part::Norm(Norm::new(plan))
        } else {
            Part::Product(Weights::new(plan, batch_size, machine))
        };
        Self { plan: plan.clone(), part, gradients: Gradients::new(plan) }
    }

    pub(crate) fn load(&mut self, isa: Isa, parameters: &Parameters, mode: Mode) {
        match &mut self.part {
            Part::Product(weights) => weights.load(isa, &self.plan, parameters, mode),
            Part::Norm(norm) => norm.load(&self.plan, parameters),
        }
    }

    /// The norm that the plan says is here.
    pub(crate) fn norm(&self) -> &Norm {
        match &self.part {
            Part::Norm(norm) => norm,
            Part::Product(_) => unreachable!("the plan says that '{}' is a norm", self.plan.name),
        }
    }

    /// The same, to change its state.
    pub(crate) fn norm_mut(&mut self) -> &mut Norm {
        match &mut self.part {
            Part::Norm(norm) => norm,
            Part::Product(_) => unreachable!("the plan says that '{}' is a norm", self.plan.name),
        }
    }

    /// The product that the plan says is here, its plan and its gradients.
    pub(crate) fn product_mut(&mut self) -> (&BlockPlan, &mut Weights, &mut Gradients) {
        match &mut self.part {
            Part::Product(weights) => (&self.plan, weights, &mut self.gradients),
            Part::Norm(_) => unreachable!("the plan says that '{}' is a product", self.plan.name),
        }
    }
}
