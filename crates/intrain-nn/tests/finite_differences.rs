//! The float network's backward pass against central finite differences of its loss.
//!
//! With steps of `2^-9` the differences of a smooth loss agree with its gradient to `TOLERANCE` of the tensor's largest
//! gradient. Where ReLU or a maximum switches between the points there is no slope to compare: such elements show as
//! a curvature that jumps, are skipped, and may be one in ten at most.
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

mod network;

use intrain_kernels::Isa;
use intrain_model::{LayerKind, Model, Window};
use intrain_nn::{Gradient, Network, Parameters, Plan, StepKey, Stored};
use intrain_recipe::{Loss, Recipe, preset};
use network::{batch, conv, linear, model, network, parameters, residual};

const STEP: f32 = 1.0 / 512.0;
/// Share of a tensor's largest gradient; what binary32 leaves of a difference of two losses.
const TOLERANCE: f64 = 4e-3;
/// Share of a tensor's largest gradient by which a slope may change more here than there. A kink below it moves the
/// central difference by less than the tolerance.
const KINK: f64 = TOLERANCE / 2.0;

struct Setup {
    network: Network,
    parameters: Vec<Parameters>,
    images: Vec<u8>,
    labels: Vec<u16>,
}

impl Setup {
    fn loss(&mut self) -> f64 {
        // As in training, for a norm is another function in evaluation; nothing in a float step is random.
        let key = Some(StepKey { seed: 5, step: 0 });
        self.network.load(&self.parameters, key);
        self.network.forward(&self.images, key);
        self.network.outcome(&self.labels).loss
    }

    fn value(&mut self, block: usize, part: usize, i: usize) -> &mut f32 {
        let p = &mut self.parameters[block];
        match if part == 0 { Some(&mut p.weight) } else { p.bias.as_mut() } {
            Some(Stored::F32(values)) => &mut values[i],
            other => panic!("not a float tensor: {other:?}"),
        }
    }

    /// The loss with one parameter moved by `by`.
    fn loss_at(&mut self, block: usize, part: usize, i: usize, by: f32) -> f64 {
        let before = *self.value(block, part, i);
        *self.value(block, part, i) = before + by;
        let loss = self.loss();
        *self.value(block, part, i) = before;
        loss
    }

    /// How the loss rises between -2, -1, 0, 1 and 2 steps.
    fn slopes(&mut self, block: usize, part: usize, i: usize, here: f64) -> [f64; 4] {
        let mut at = |steps: f32| self.loss_at(block, part, i, steps * STEP);
        let losses = [at(-2.0), at(-1.0), here, at(1.0), at(2.0)];
        [0, 1, 2, 3].map(|k| (losses[k + 1] - losses[k]) / f64::from(STEP))
    }
}

fn floats(gradient: &Gradient) -> Vec<f64> {
    match gradient {
        Gradient::F32(g) => g.iter().map(|x| f64::from(*x)).collect(),
        other => panic!("an integer gradient in a float network: {other:?}"),
    }
}

fn compare(name: &str, model: &Model, loss: Loss, n: usize) {
    let recipe = Recipe { loss, ..preset("float32").unwrap() };
    let plan = Plan::build(model, &recipe, n).unwrap();
    let (images, labels) = batch(&plan, n, 5);
    let mut setup =
        Setup { network: network(&plan, Isa::best(), 1), parameters: parameters(&plan, 5), images, labels };
    let here = setup.loss();
    setup.network.backward(&setup.labels.clone(), StepKey { seed: 5, step: 0 });
    let gradients: Vec<[Option<Vec<f64>>; 2]> = setup
        .network
        .gradients()
        .map(|g| [Some(floats(g.weight)).filter(|g| !g.is_empty()), g.bias.map(floats)])
        .collect();
    let (mut n_compared, mut n_skipped) = (0, 0);
    for (block, parts) in gradients.iter().enumerate() {
        for (part, gradient) in parts.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?))) {
            let largest = gradient.iter().fold(0.0f64, |max, g| max.max(g.abs()));
            assert!(largest > 1e-3, "{name}: block {block}, part {part}: nothing to compare");
            // Every element of a small tensor, about 200 of a large one.
            for i in (0..gradient.len()).step_by(gradient.len() / 200 + 1) {
                let slopes = setup.slopes(block, part, i, here);
                let bends = [1, 2, 3].map(|k| slopes[k] - slopes[k - 1]);
                if bends.iter().any(|bend| (bend - bends[0]).abs() > KINK * largest) {
                    n_skipped += 1;
                    continue;
                }
                n_compared += 1;
                let (found, expected) = (gradient[i], f64::midpoint(slopes[1], slopes[2]));
                assert!(
                    (found - expected).abs() <= TOLERANCE * largest,
                    "{name}, {loss}: block {block}, part {part}, element {i}: gradient {found}, but the loss rises by \
                     {expected} (largest {largest})"
                );
            }
        }
    }
    assert!(9 * n_skipped <= n_compared, "{name}, {loss}: {n_skipped} of {n_compared} at a kink");
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let without_relu = |mut model: Model| {
        model.layers.retain(|l| !l.name.starts_with("relu"));
        model
    };
    let in_groups = |mut model: Model| {
        for layer in &mut model.layers {
            if let LayerKind::Conv { out, window, bias } = layer.kind {
                layer.kind = LayerKind::GroupedConv { out, window, groups: 2, bias };
            }
        }
        model
    };
    let depthwise = |mut model: Model| {
        for layer in &mut model.layers {
            if let LayerKind::Conv { out, window, bias } = layer.kind {
                layer.kind = LayerKind::GroupedConv { out, window, groups: out, bias };
            }
        }
        model
    };
    let with_relu6 = |mut model: Model| {
        let relus = model.layers.iter_mut().filter(|layer| layer.kind == LayerKind::Relu);
        relus.for_each(|layer| layer.kind = LayerKind::Relu6);
        model
    };
    let with_window = |mut model: Model, to: Window| {
        if let LayerKind::Conv { window, .. } = &mut model.layers[0].kind {
            *window = to;
        }
        model
    };
    let dilated = Window { kernel: [2, 3], stride: [1, 2], pad: [1, 2], dilation: [3, 2] };
    let strided = model((7, 6, 2), &[conv(4, 3, 2, 1), conv(3, 2, 1, 0)], 3);
    let networks = [
        ("linear", model((1, 1, 12), &[linear(7)], 4)),
        ("conv, stride and padding", strided.clone()),
        ("conv, dilation", with_window(strided.clone(), dilated)),
        ("conv with ReLU6", with_relu6(strided.clone())),
        ("grouped conv", in_groups(model((6, 5, 4), &[conv(8, 3, 1, 1), conv(4, 2, 2, 0)], 3))),
        ("depthwise conv", depthwise(model((6, 5, 3), &[conv(3, 3, 2, 1), conv(3, 2, 1, 0)], 3))),
        ("conv without ReLU", without_relu(strided)),
        ("pooling", model((4, 5, 2), &[conv(4, 3, 1, 1).pooled(2, 2), linear(6)], 3)),
        ("overlapping pooling", model((5, 5, 2), &[conv(4, 3, 1, 1).pooled(3, 2)], 3)),
    ];
    for loss in [Loss::SoftmaxCrossEntropy, Loss::SquaredError] {
        // Each weight of a convolution moves hundreds of values, and some cross 0: smooth in place of ReLU.
        let mut smooth = residual();
        let relus = smooth.layers.iter_mut().filter(|layer| layer.kind == LayerKind::Relu);
        relus.for_each(|layer| layer.kind = LayerKind::AvgPool { size: 1, stride: 1 });
        compare("residual", &smooth, loss, 5);
        // Not all of them: a mean of normalized channels is 0, and so would be the gradients of what lies before it.
        let norms = smooth.layers.iter_mut().filter(|layer| layer.name == "norm1" || layer.name == "norm2");
        norms.for_each(|layer| {
            if let LayerKind::BatchNorm { affine } = layer.kind {
                layer.kind = LayerKind::LayerNorm { affine };
            }
        });
        compare("residual with layer norms", &smooth, loss, 5);
    }
    for (name, model) in &networks {
        for loss in [Loss::SoftmaxCrossEntropy, Loss::SquaredError] {
            compare(name, model, loss, 2);
        }
    }
}
