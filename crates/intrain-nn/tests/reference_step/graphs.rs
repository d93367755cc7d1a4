//! Networks with norms, sums and means: sections 7.4 and 7.5 of the contract.

use intrain_model::{Layer, LayerKind, Model, Window};

use super::Case;
use super::network::{conv, integer_residual, model};

fn compare(model: &Model, spec: &str, n: usize, seed: u64, is_black: bool) {
    Case { model: model.clone(), recipe: spec.to_owned(), n, seed }.compare(is_black);
}

const SPECS: [&str; 7] = [
    "intrain-int8",
    "wageubn",
    "wage-l1bn",
    "wage-rangebn",
    "intrain-int8 | error.norm = unit<8>@dynamic stochastic | error.product = int<16>@bound stochastic",
    "intrain-int8 | norm.gain = fixed<2,6> nearest-even | norm.offset = fixed<2,6> nearest-even | norm.value = fixed<3,5> floor",
    "intrain-int8 | error.norm = unit<12>@dynamic nearest-even | error.activation = unit<12>@dynamic nearest-even",
];

/// Layer norms instead: of pixels, and of vectors.
fn layer_norms() -> Model {
    let mut model = integer_residual();
    for layer in &mut model.layers {
        if let LayerKind::BatchNorm { affine } = layer.kind {
            layer.kind = LayerKind::LayerNorm { affine };
        }
    }
    let at = model.layers.len() - 1;
    let linear = LayerKind::Linear { out: 24, bias: false };
    let added =
        [("fc1", linear), ("norm9", LayerKind::LayerNorm { affine: true }), ("relu9", LayerKind::Relu)];
    model.layers.splice(at..at, added.map(|(name, kind)| Layer::new(name, kind)));
    model
}

#[test]
fn layer_norms_equal_the_contract() {
    let model = layer_norms();
    for spec in SPECS.into_iter().filter(|spec| *spec != "wage-rangebn") {
        for (n, seed) in [(5, 1), (2, 2), (8, 4), (7, 9)] {
            compare(&model, spec, n, seed, false);
        }
        compare(&model, spec, 1, 5, false);
        compare(&model, spec, 3, 7, true);
    }
}

/// Recipes whose rows lie elsewhere: units that a step finds, and errors in absolute formats.
const OTHERS: [&str; 10] = [
    // A weight's alpha, which counts where errors keep their power of two.
    "wage-l1bn | error.product = exact | error.norm = unit<8>@dynamic stochastic | error.activation = unit<8>@dynamic \
     nearest-even | error.loss = unit<8>@dynamic nearest-even",
    "intrain-int8 | error.product = exact",
    "intrain-int8 | activation.product = fixed<8,8>@dynamic nearest-down",
    "niti",
    "niti | error.norm = unit<8>@dynamic nearest-away | norm.gain = fixed<2,6> nearest-even",
    "niti | error.loss = unit<8>@dynamic stochastic",
    "niti | activation = fixed<4,4> nearest-down clipped",
    "gupta",
    "gupta:nearest | error.activation = fixed<2,14> nearest-down",
    "gupta:Q2.14:Q8.8:Q2.14:array",
];

#[test]
fn units_of_a_step_and_absolute_errors_equal_the_contract() {
    let model = integer_residual();
    for spec in OTHERS {
        for (n, seed) in [(5, 1), (2, 2), (8, 4), (7, 9)] {
            compare(&model, spec, n, seed, false);
        }
        compare(&model, spec, 1, 5, false);
        compare(&model, spec, 3, 7, true);
    }
    for spec in ["niti", "gupta"] {
        compare(&layer_norms(), spec, 5, 3, false);
    }
}

#[test]
fn a_step_equals_the_contract() {
    let model = integer_residual();
    for spec in SPECS {
        for (n, seed) in [(5, 1), (2, 2), (3, 3), (8, 4), (4, 6), (7, 9)] {
            compare(&model, spec, n, seed, false);
        }
    }
}

/// Channels that are constant, a batch of one, and nothing to learn from: defined, and the same as the contract.
#[test]
fn nothing_is_divided_by_zero() {
    let model = integer_residual();
    for spec in SPECS {
        compare(&model, spec, 1, 5, false);
        compare(&model, spec, 3, 7, true);
        compare(&model, spec, 1, 8, true);
    }
}

#[test]
fn relu6_equals_the_contract() {
    let mut model = integer_residual();
    for layer in model.layers.iter_mut().filter(|layer| layer.kind == LayerKind::Relu) {
        layer.kind = LayerKind::Relu6;
    }
    // Formats that hold 6 and formats that do not, clipped and straight-through; large gains, so that 6 is passed.
    for spec in [
        "intrain-int8",
        "intrain-int8 | activation = fixed<5,3> nearest-down",
        "wageubn",
        "wage-l1bn",
        "intrain-int8 | activation = fixed<6,2> nearest-even clipped | norm.value = fixed<6,10> nearest-down",
    ] {
        for (n, seed) in [(5, 1), (2, 2), (8, 4), (7, 9)] {
            compare(&model, spec, n, seed, false);
        }
    }
}

/// Windows of other shapes in place of those of 3 x 3 taps, whose outputs have the same size.
fn with_windows(mut model: Model) -> Model {
    let shapes = [
        Window { kernel: [5, 1], pad: [2, 0], ..Window::PIXEL },
        Window { pad: [2, 1], dilation: [2, 1], ..Window::square(3, 1, 1) },
        Window { kernel: [3, 4], pad: [3, 3], dilation: [3, 2], ..Window::PIXEL },
    ];
    let mut shapes = shapes.into_iter().cycle();
    for layer in &mut model.layers {
        if let LayerKind::Conv { window, .. } | LayerKind::GroupedConv { window, .. } = &mut layer.kind
            && window.kernel == [3, 3]
        {
            *window = Window { stride: window.stride, ..shapes.next().unwrap() };
        }
    }
    model
}

#[test]
fn overlapping_means_equal_the_contract() {
    for (size, stride) in [(2, 1), (3, 1), (3, 2), (4, 3)] {
        let mut model = integer_residual();
        model.layers.retain(|layer| !["largest", "all"].contains(&&*layer.name));
        // Over 8 x 6 pixels.
        if let LayerKind::Conv { window, .. } = &mut model.layers[3].kind {
            window.stride = [1, 1];
        }
        let around = model.layers.iter_mut().find(|layer| layer.name == "around").unwrap();
        around.kind = LayerKind::Shortcut { out: 8, stride: 1 };
        let mean = model.layers.iter_mut().find(|layer| layer.name == "mean5").unwrap();
        mean.kind = LayerKind::AvgPool { size, stride };
        for spec in ["intrain-int8", "wage-l1bn", "niti", "gupta"] {
            for (n, seed) in [(5, 1), (8, 4)] {
                compare(&model, spec, n, seed, false);
            }
        }
    }
}

#[test]
fn windows_of_any_shape_equal_the_contract() {
    let blocks = [conv(6, 3, 1, 1).pooled(2, 2), conv(12, 3, 2, 1), conv(12, 2, 1, 0)];
    let chain = with_windows(model((9, 8, 6), &blocks, 4));
    for model in [with_windows(integer_residual()), with_windows(grouped(integer_residual(), 2))] {
        for spec in ["intrain-int8", "wage-l1bn", "niti", "gupta"] {
            for (n, seed) in [(5, 1), (8, 4)] {
                compare(&model, spec, n, seed, false);
            }
        }
    }
    for spec in ["wage", "wage:2-8-12-12", "gupta:array"] {
        for (n, seed) in [(5, 1), (3, 4)] {
            compare(&chain, spec, n, seed, false);
        }
    }
}

/// Convolutions of `groups` in place of those that divide so.
fn grouped(mut model: Model, groups: usize) -> Model {
    let shapes = model.shapes().unwrap();
    let sources = model.sources().unwrap();
    for (layer, sources) in model.layers.iter_mut().zip(&sources) {
        if let LayerKind::Conv { out, window, bias } = layer.kind
            && shapes[sources[0]].c.is_multiple_of(groups)
            && out.is_multiple_of(groups)
        {
            layer.kind = LayerKind::GroupedConv { out, window, groups, bias };
        }
    }
    model
}

/// A depthwise convolution with its norm in front of each that divides so, and one behind the image.
fn depthwise(model: &Model) -> Model {
    let shapes = model.shapes().unwrap();
    let sources = model.sources().unwrap();
    let windows = [
        Window::square(3, 1, 1),
        Window { kernel: [1, 3], pad: [0, 1], ..Window::PIXEL },
        Window { dilation: [2, 1], pad: [2, 1], ..Window::square(3, 1, 0) },
        Window::square(5, 1, 2),
    ];
    let mut layers = vec![];
    for (i, layer) in model.layers.iter().enumerate() {
        let window = windows[layers.len() % windows.len()];
        if matches!(layer.kind, LayerKind::Conv { .. }) && sources[i] == [i] && i > 0 {
            let c = shapes[i].c;
            let kind = LayerKind::GroupedConv { out: c, window, groups: c, bias: false };
            layers.push(Layer::new(format!("depth{i}"), kind));
            layers.push(Layer::new(format!("depth{i}norm"), LayerKind::BatchNorm { affine: true }));
            layers.push(Layer::new(format!("depth{i}relu"), LayerKind::Relu));
        }
        layers.push(layer.clone());
    }
    let first = LayerKind::GroupedConv { out: 3, window: windows[0], groups: 3, bias: false };
    let first = [Layer::new("depth0", first), Layer::new("depth0relu", LayerKind::Relu)];
    Model { layers: first.into_iter().chain(layers).collect(), ..model.clone() }
}

/// A chain whose depthwise convolutions have strides, and one of more channels than a vector.
fn strided_depthwise() -> Model {
    let own = |channels: usize, window: Window| LayerKind::GroupedConv {
        out: channels,
        window,
        groups: channels,
        bias: false,
    };
    let point = |out: usize| LayerKind::Conv { out, window: Window::PIXEL, bias: false };
    let norm = LayerKind::BatchNorm { affine: true };
    let kinds = [
        own(3, Window { stride: [2, 1], ..Window::square(3, 1, 1) }),
        LayerKind::Relu,
        point(70),
        norm,
        LayerKind::Relu,
        own(70, Window::square(3, 2, 1)),
        norm,
        LayerKind::Relu,
        own(70, Window { stride: [1, 2], ..Window::square(2, 1, 1) }),
        norm,
        LayerKind::Relu,
        LayerKind::GlobalAvgPool,
        LayerKind::Linear { out: 4, bias: false },
    ];
    let layers = kinds.into_iter().enumerate().map(|(i, kind)| Layer::new(format!("layer{i}"), kind));
    Model { layers: layers.collect(), ..integer_residual() }
}

#[test]
fn strided_depthwise_convolutions_equal_the_contract() {
    for spec in ["intrain-int8", "wage-l1bn", "niti", "gupta"] {
        for (n, seed) in [(5, 1), (8, 4)] {
            compare(&strided_depthwise(), spec, n, seed, false);
        }
    }
}

#[test]
fn depthwise_convolutions_equal_the_contract() {
    let model = depthwise(&integer_residual());
    for spec in ["intrain-int8", "wageubn", "wage-l1bn", "niti", "gupta"] {
        for (n, seed) in [(5, 1), (8, 4), (1, 9)] {
            compare(&model, spec, n, seed, false);
        }
        compare(&model, spec, 3, 7, true);
    }
}

#[test]
fn grouped_convolutions_equal_the_contract() {
    for groups in [2, 4] {
        let model = grouped(integer_residual(), groups);
        for spec in ["intrain-int8", "wageubn", "wage-l1bn"] {
            for (n, seed) in [(5, 1), (8, 4), (7, 9)] {
                compare(&model, spec, n, seed, false);
            }
        }
    }
    let blocks = [conv(6, 3, 1, 1).pooled(2, 2), conv(12, 3, 2, 1), conv(12, 2, 1, 0)];
    for groups in [2, 3, 6] {
        let chain = grouped(model((9, 8, 6), &blocks, 4), groups);
        for spec in ["wage", "wage:2-8-12-12", "gupta", "gupta:array", "niti"] {
            for (n, seed) in [(5, 1), (3, 4)] {
                compare(&chain, spec, n, seed, false);
            }
        }
    }
}
