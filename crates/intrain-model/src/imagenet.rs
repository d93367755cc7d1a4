//! Networks for ImageNet without residual sums: AlexNet, a VGG and GoogLeNet, in the order of layers of Cai et al. 2017.
//!
//! Pooling lies in front of the norm, so that what is quantized has the norm's distribution. Norms stand for local
//! response normalization, dropout and side losses.

use crate::layer::{Init, LayerKind, Logits, Model, Pixels, Window};
use crate::layers::{Layers, input};

fn model(name: &str, source: &str, side: usize, layers: Layers) -> Model {
    Model {
        name: name.to_owned(),
        source: source.to_owned(),
        input: input(side, side, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.linear(1000, true).layers,
    }
}

fn conv(layers: Layers, out: usize, kernel: usize, stride: usize, pad: usize) -> Layers {
    layers.add("conv", LayerKind::Conv { out, window: Window::square(kernel, stride, pad), bias: false })
}

/// Without a padding of its own: the first windows begin at the first pixel.
pub(crate) fn alexnet() -> Model {
    let layers = conv(Layers::default(), 96, 11, 4, 0).pool(3, 2).norm(false).relu();
    let layers = conv(layers, 256, 5, 1, 2).pool(3, 2).norm(false).relu();
    let layers = conv(layers, 384, 3, 1, 1).norm(false).relu();
    let layers = conv(layers, 384, 3, 1, 1).norm(false).relu();
    let layers = conv(layers, 256, 3, 1, 1).pool(3, 2).norm(false).relu();
    let layers = layers.flatten().linear(4096, false).norm(false).relu();
    let source = "Krizhevsky et al. 2012, in the order of Cai et al. 2017 (zhaoweicai/hwgq@ebc706b)";
    model("alexnet", source, 227, layers.linear(4096, false).norm(true).relu())
}

/// Three convolutions in each of three stages; the first layer is as in model A of He et al. 2015.
pub(crate) fn vgg_variant() -> Model {
    let first = conv(Layers::default(), 96, 7, 2, 3).relu().pool(2, 2).norm(false);
    let layers = [256, 512, 512].into_iter().fold(first, |layers, out| {
        let layers = conv(conv(layers, out, 3, 1, 1).norm(false).relu(), out, 3, 1, 1).norm(false).relu();
        conv(layers, out, 3, 1, 1).pool(2, 2).norm(false).relu()
    });
    let layers = layers.flatten().linear(4096, false).norm(false).relu();
    let source = "Cai et al. 2017, section 5: model A of He et al. 2015 (arXiv 1502.01852) with three convolutions a stage";
    model("vgg-variant", source, 224, layers.linear(4096, false).norm(true).relu())
}

/// Channels of an inception's branches: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 5 x 5; 1 x 1 behind the pooling.
type Branches = [usize; 6];

/// Two inceptions, five, two, with a pooling between (Szegedy et al. 2015, table 1).
const INCEPTIONS: [&[Branches]; 3] = [
    &[[64, 96, 128, 16, 32, 32], [128, 128, 192, 32, 96, 64]],
    &[
        [192, 96, 208, 16, 48, 64],
        [160, 112, 224, 24, 64, 64],
        [128, 128, 256, 24, 64, 64],
        [112, 144, 288, 32, 64, 64],
        [256, 160, 320, 32, 128, 128],
    ],
    &[[256, 160, 320, 32, 128, 128], [384, 192, 384, 48, 128, 128]],
];

/// Poolings reach one pixel into a border instead of past the last one: the same sizes.
pub(crate) fn googlenet() -> Model {
    let pool = |layers: Layers| layers.add("pool", LayerKind::MaxPool { size: 3, stride: 2, pad: 1 });
    let layers = pool(conv(Layers::default(), 64, 7, 2, 3)).norm(true).relu();
    let layers = conv(layers, 64, 1, 1, 0).norm(true).relu();
    let layers = pool(conv(layers, 192, 3, 1, 1)).norm(true).relu();
    let mut layers = layers;
    for (stage, inceptions) in INCEPTIONS.into_iter().enumerate() {
        layers = if stage > 0 { pool(layers) } else { layers };
        layers = inceptions.iter().fold(layers, inception);
    }
    let source = "Szegedy et al. 2015, arXiv 1409.4842, table 1, with norms and without side losses";
    model("googlenet", source, 224, layers.add("mean", LayerKind::GlobalAvgPool))
}

/// Four ways beside each other, their channels one behind the other.
fn inception(layers: Layers, &[one, reduce3, three, reduce5, five, pooled]: &Branches) -> Layers {
    let from = layers.last();
    let first = |layers: Layers, kind: LayerKind| layers.add_behind("conv", kind, &[&from]).norm(true).relu();
    let point = |out| LayerKind::Conv { out, window: Window::PIXEL, bias: false };
    let layers = first(layers, point(one));
    let a = layers.last();
    let layers = conv(first(layers, point(reduce3)), three, 3, 1, 1).norm(true).relu();
    let b = layers.last();
    let layers = conv(first(layers, point(reduce5)), five, 5, 1, 2).norm(true).relu();
    let c = layers.last();
    let pool = LayerKind::MaxPool { size: 3, stride: 1, pad: 1 };
    let layers = conv(layers.add_behind("pool", pool, &[&from]), pooled, 1, 1, 0).norm(true).relu();
    let d = layers.last();
    layers.add_behind("concat", LayerKind::Concat, &[&a, &b, &c, &d])
}
