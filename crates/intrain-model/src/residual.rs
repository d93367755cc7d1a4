//! Residual networks: He et al. 2016, arXiv 1512.03385.

use crate::layer::{Init, LayerKind, Logits, Model, Pixels};
use crate::presets::{Layers, input};

/// Three stages of `n` blocks for 32 x 32 images, with shortcuts without weights (section 4.2, option A).
pub(crate) fn cifar(name: &str, n: usize, width: usize) -> Model {
    let mut layers = Layers::default().conv(width, 3, 1, false).norm(true).relu();
    let mut channels = width;
    for stage in 0..3 {
        let out = width << stage;
        for block in 0..n {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            layers = basic(layers, (channels, out), stride);
            channels = out;
        }
    }
    Model {
        name: name.to_owned(),
        source: "He et al. 2016, arXiv 1512.03385, section 4.2".to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.add("mean", LayerKind::GlobalAvgPool).linear(10, true).layers,
    }
}

/// Two convolutions and the way around them.
fn basic(layers: Layers, (channels, out): (usize, usize), stride: usize) -> Layers {
    let before = layers.last();
    let conv = LayerKind::Conv { out, kernel: 3, stride, pad: 1, bias: false };
    let layers = layers.add("conv", conv).norm(true).relu().conv(out, 3, 1, false).norm(true);
    let sum = layers.last();
    let (layers, around) = if stride == 1 && channels == out {
        (layers, before)
    } else {
        let layers = layers.add_behind("shortcut", LayerKind::Shortcut { out, stride }, &[&before]);
        let around = layers.last();
        (layers, around)
    };
    layers.add_behind("add", LayerKind::Add, &[&sum, &around]).relu()
}
