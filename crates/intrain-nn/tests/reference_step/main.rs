//! Forward, loss, backward and gradients against the contract in plain loops.
//!
//! The scalar step below follows sections 6 and 7 of `docs/arithmetic.md` line by line: it walks a model's layers in
//! 128-bit integers and calls `intrain-num` alone; it shares no code with the network. Equality is exact: an integer test
//! has no tolerance.
#![allow(clippy::cast_possible_truncation, reason = "sums are small here, and 128 bits wide")]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "positions in an image are small")]
#![allow(clippy::cast_precision_loss, reason = "the reference's float loss is compared with a tolerance")]

mod chains;
mod graphs;
#[path = "../network/mod.rs"]
mod network;
mod step;

use intrain_kernels::Isa;
use intrain_model::{LayerKind, Model};
use intrain_nn::{Network, Parameters, Plan, StepKey};
use intrain_recipe::Recipe;
use network::{integers, recipe};
use step::{Step, answer};

/// A network and a step of it.
#[derive(Debug, Clone)]
struct Case {
    model: Model,
    recipe: String,
    n: usize,
    seed: u64,
}

impl Case {
    fn recipe(&self) -> Recipe {
        // As a plan resolves '@last' among activations of a graph.
        let rounds = |kind: LayerKind| {
            kind.is_activation() || matches!(kind, LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool)
        };
        let last = self.model.layers.iter().rev().find(|layer| rounds(layer.kind));
        let name = last.map_or_else(String::new, |layer| layer.name.clone());
        recipe(&self.recipe).with_ends(|_| [String::new(), name.clone()])
    }

    fn plan(&self) -> Plan {
        Plan::build(&self.model, &recipe(&self.recipe), self.n)
            .unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// Runs one step of the network and of the reference, in training and as evaluation; gives the plan.
    fn compare(&self, is_black: bool) -> Plan {
        let (plan, recipe, seed) = (self.plan(), self.recipe(), self.seed);
        let parameters = network::parameters(&plan, seed);
        let (mut images, labels) = network::batch(&plan, self.n, seed);
        if is_black {
            images.fill(0);
        }
        let isa = Isa::available()[seed as usize % Isa::available().len()];
        let mut network = network::network(&plan, isa, 1 + seed as usize % 3);
        let key = StepKey { seed, step: seed >> 5 };
        for (key, n) in [(Some(key), self.n), (None, self.n), (None, self.n.div_ceil(2))] {
            let (images, labels) = (&images[..n * plan.input.shape.len()], &labels[..n]);
            let step = Step::run((&self.model, &recipe), &parameters, key, images);
            network.load(&parameters, key);
            network.forward(images, key);
            // The losses for each class as the label, and the places of the maxima, tell the logits apart.
            for class in 0..plan.loss.n_classes as u16 {
                let all = vec![class; n];
                let outcome = network.outcome(&all);
                let (wrong, loss) = answer(&recipe, step.logits(), &all);
                assert_eq!((outcome.n_wrong, outcome.n), (wrong, n), "mistakes for class {class}: {self:?}");
                let far = (outcome.loss - loss).abs() > 1e-12 * loss.abs();
                assert!(!far, "loss {} instead of {loss} for class {class}: {self:?}", outcome.loss);
            }
            if let Some(key) = key {
                network.backward(labels, key);
                self.compare_gradients((&plan, &network), &step, labels, isa);
            }
        }
        plan
    }

    /// The gradients of one training step on every instruction set.
    fn compare_all(&self, parameters: &[Parameters], (images, labels): (&[u8], &[u16])) {
        let key = StepKey { seed: 3, step: 1 };
        let (plan, recipe) = (self.plan(), self.recipe());
        let step = Step::run((&self.model, &recipe), parameters, Some(key), images);
        for isa in Isa::available() {
            let mut network = network::network(&plan, isa, 1);
            network.load(parameters, Some(key));
            network.forward(images, Some(key));
            network.backward(labels, key);
            self.compare_gradients((&plan, &network), &step, labels, isa);
        }
    }

    fn compare_gradients(
        &self,
        (plan, network): (&Plan, &Network),
        step: &Step<'_>,
        labels: &[u16],
        isa: Isa,
    ) {
        let mut expected = step.backward(labels);
        assert_eq!(network.gradients().len(), plan.blocks.len());
        for (found, block) in network.gradients().zip(&plan.blocks) {
            if let Some(moments) = found.moments {
                let means: Vec<_> = (0..moments.mean.len()).map(|k| moments.mean.code(k)).collect();
                assert_eq!(means, step.batch_means(&block.name), "means of {}: {self:?}", block.name);
            }
            let Some((weight, bias, worth)) = expected.remove(&block.name) else {
                assert_eq!(block.product.n_weights(), 0, "{}", block.name);
                continue;
            };
            let what = || format!("{} on {}: {self:?}", block.name, isa.name());
            assert_eq!(integers(found.weight), weight, "weights of {}", what());
            assert_eq!(found.bias.map(integers), bias, "biases of {}", what());
            assert_eq!(found.exponents, step.keeps_exponents().then_some(worth), "exponents of {}", what());
        }
        assert!(expected.is_empty(), "layers without a gradient in the network: {self:?}");
    }
}
