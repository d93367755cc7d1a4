//! Networks of small devices: those of the benchmark MLPerf Tiny, and MobileNet.
//!
//! As elsewhere here, a norm stands behind each convolution, which then has no bias.

use crate::layer::{Init, LayerKind, Logits, Model, Pixels, Window};
use crate::layers::{Layers, input};
use crate::residual::{Block, with_projections};

/// A depthwise convolution and one of single pixels, a norm and a ReLU behind each (arXiv 1704.04861, figure 3).
fn separable(layers: Layers, [channels, out]: [usize; 2], stride: usize) -> Layers {
    let window = Window::square(3, stride, 1);
    let depthwise = LayerKind::GroupedConv { out: channels, window, groups: channels, bias: false };
    layers.add("depthwise", depthwise).norm(true).relu().conv(out, 1, 0, false).norm(true).relu()
}

/// MLPerf Tiny's image classification: one block a stage, 1 x 1 convolutions in the shortcuts where shapes change.
pub(crate) fn resnet8(width: usize) -> Model {
    let layers = Layers::default().conv(width, 3, 1, false).norm(true).relu();
    let layers = with_projections(layers, Block::Basic, &[1, 1, 1], width);
    Model {
        name: "resnet8".to_owned(),
        source: "mlcommons/tiny, benchmark/training/image_classification/keras_model.py, with a norm in each shortcut \
                 and biases in the last layer alone"
            .to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.add("mean", LayerKind::GlobalAvgPool).linear(10, true).layers,
    }
}

/// `MobileNet` (v1) for images of 32 x 32 pixels, its channels in quarters of the paper's.
///
/// Its first convolution has a stride of 1, where the paper's has 2; the other four that halve the image are the paper's and
/// leave 2 of 32 pixels.
pub(crate) fn mobilenet(quarters: usize) -> Model {
    let channels = |of_paper: usize| of_paper * quarters / 4;
    let first = channels(32);
    let blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
        .into_iter()
        .chain([(512, 1); 5])
        .chain([(1024, 2), (1024, 1)]);
    let start = (Layers::default().conv(first, 3, 1, false).norm(true).relu(), first);
    let (layers, _) = blocks.fold(start, |(layers, before), (out, stride)| {
        let out = channels(out);
        (separable(layers, [before, out], stride), out)
    });
    Model {
        name: "mobilenet".to_owned(),
        source:
            "Howard et al. 2017, arXiv 1704.04861, table 1; stride 1 in the first layer, for 32 x 32 pixels"
                .to_owned(),
        input: input(32, 32, 3, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.add("mean", LayerKind::GlobalAvgPool).linear(10, true).layers,
    }
}

/// MLPerf Tiny's keyword spotting: a spectrogram of 49 times and 10 frequencies, 12 words.
pub(crate) fn ds_cnn() -> Model {
    // The benchmark pads 4 rows above and 5 below; here both sides are alike, and as many windows fit.
    let window = Window { kernel: [10, 4], stride: [2, 2], pad: [5, 1], dilation: [1, 1] };
    let first = LayerKind::Conv { out: 64, window, bias: false };
    let layers = Layers::default().add("conv", first).norm(true).relu();
    let layers = (0..4).fold(layers, |layers, _| separable(layers, [64, 64], 1));
    Model {
        name: "ds-cnn".to_owned(),
        source: "mlcommons/tiny, benchmark/training/keyword_spotting/keras_model.py, with biases in the last layer \
                 alone"
            .to_owned(),
        input: input(49, 10, 1, Pixels::Symmetric),
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: layers.add("mean", LayerKind::GlobalAvgPool).linear(12, true).layers,
    }
}
