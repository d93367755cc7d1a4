//! Residual networks: He et al. 2016, arXiv 1512.03385. For 32 x 32 images with shortcuts without weights, for larger ones
//! with 1 x 1 convolutions.

use crate::layer::{Init, LayerKind, Logits, Model, Pixels, Window};
use crate::layers::{Layers, input};

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

/// Which block a network for large images is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// Two 3 x 3 convolutions.
    Basic,
    /// 1 x 1, 3 x 3, 1 x 1, the last with four times the channels.
    Bottleneck,
}

/// Four stages of blocks for 224 x 224 images (table 1, option B).
pub(crate) fn imagenet(name: &str, block: Block, stages: [usize; 4], width: usize) -> Model {
    let first = LayerKind::Conv { out: width, window: Window::square(7, 2, 3), bias: false };
    let pool = LayerKind::MaxPool { size: 3, stride: 2, pad: 1 };
    let layers = Layers::default().add("conv", first).norm(true).relu().add("pool", pool);
    let layers = with_projections(layers, block, &stages, width);
    Model {
        name: name.to_owned(),
        source: "He et al. 2016, arXiv 1512.03385, table 1, option B".to_owned(),
        input: input(224, 224, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.add("mean", LayerKind::GlobalAvgPool).linear(1000, true).layers,
    }
}

/// Stages of blocks behind a layer of `width` channels, with 1 x 1 convolutions in the shortcuts where shapes change.
pub(crate) fn with_projections(mut layers: Layers, block: Block, stages: &[usize], width: usize) -> Layers {
    let mut channels = width;
    for (stage, n) in stages.iter().enumerate() {
        let inner = width << stage;
        let out = if block == Block::Basic { inner } else { 4 * inner };
        for i in 0..*n {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            layers = wide(layers, block, [channels, inner, out], stride);
            channels = out;
        }
    }
    layers
}

/// A block and its shortcut, which is a convolution where shapes change.
fn wide(layers: Layers, block: Block, [channels, inner, out]: [usize; 3], stride: usize) -> Layers {
    let before = layers.last();
    let conv = |out, kernel, stride| {
        let window = Window::square(kernel, stride, kernel / 2);
        LayerKind::Conv { out, window, bias: false }
    };
    let layers = match block {
        Block::Basic => layers.add("conv", conv(inner, 3, stride)).norm(true).relu(),
        Block::Bottleneck => {
            let layers = layers.add("conv", conv(inner, 1, 1)).norm(true).relu();
            layers.add("conv", conv(inner, 3, stride)).norm(true).relu()
        }
    };
    let last = if block == Block::Basic { 3 } else { 1 };
    let layers = layers.add("conv", conv(out, last, 1)).norm(true);
    let sum = layers.last();
    if stride == 1 && channels == out {
        return layers.add_behind("add", LayerKind::Add, &[&sum, &before]).relu();
    }
    let layers = layers.add_behind("conv", conv(out, 1, stride), &[&before]).norm(true);
    let around = layers.last();
    layers.add_behind("add", LayerKind::Add, &[&sum, &around]).relu()
}

/// Two convolutions and the way around them.
fn basic(layers: Layers, (channels, out): (usize, usize), stride: usize) -> Layers {
    let before = layers.last();
    let conv = LayerKind::Conv { out, window: Window::square(3, stride, 1), bias: false };
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
