//! Networks of random parameters, planned and lowered.

use intrain_deploy::{About, Deployed, StoredLayer};
use intrain_model::{Layer, LayerKind, Logits, Model, Pixels};
use intrain_nn::{Parameters, Plan, Stored};

use super::network::{self, BlockShape, Draw, conv, integer_residual, linear, model, recipe};

/// Parameters from all over their formats; norms have statistics of many batches.
fn parameters(plan: &Plan, seed: u64) -> Vec<Parameters> {
    let mut parameters = network::parameters(plan, seed);
    let mut draw = Draw::new(seed ^ 0x3a11);
    for p in &mut parameters {
        let Some(moments) = &mut p.moments else { continue };
        for i in 0..moments.mean.len() {
            moments.mean.set_code(i, draw.within(-(1 << 20), 1 << 20));
            moments.spread.set_code(i, draw.within(1, 1 << 22));
        }
    }
    parameters
}

fn integers(stored: &Stored) -> Vec<i64> {
    (0..stored.len()).map(|i| stored.code(i)).collect()
}

pub(crate) fn stored(parameters: &[Parameters]) -> Vec<StoredLayer> {
    let layer = |p: &Parameters| StoredLayer {
        weight: integers(&p.weight),
        bias: p.bias.as_ref().map(integers),
        moments: p.moments.as_ref().map(|m| [integers(&m.mean), integers(&m.spread)]),
    };
    parameters.iter().map(layer).collect()
}

/// A network of a seed.
pub(crate) struct Trained {
    pub(crate) plan: Plan,
    pub(crate) parameters: Vec<Parameters>,
    pub(crate) deployed: Deployed,
    /// `n` images.
    pub(crate) images: Vec<u8>,
}

pub(crate) fn trained(model: &Model, spec: &str, n: usize, seed: u64) -> Trained {
    let recipe = recipe(spec);
    let plan = Plan::build(model, &recipe, n).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let parameters = parameters(&plan, seed);
    let (images, _) = network::batch(&plan, n, seed);
    let about = About { model: model.name.clone(), recipe: recipe.name, ..About::default() };
    let deployed = Deployed::lower(&plan, &stored(&parameters), about).unwrap();
    Trained { plan, parameters, deployed, images }
}

/// A chain of random products, poolings and ReLUs.
pub(crate) fn chain(draw: &mut Draw) -> Model {
    let side = |draw: &mut Draw| 4 + draw.below(6) as usize;
    let blocks: Vec<BlockShape> = (0..1 + draw.below(3))
        .map(|_| {
            let out = 1 + draw.below(9) as usize;
            let mut block = if draw.below(4) == 0 {
                linear(out)
            } else {
                let kernel = 1 + draw.below(3) as usize;
                conv(out, kernel, 1 + draw.below(2) as usize, draw.below(2) as usize)
            };
            if draw.below(2) == 0 {
                block = block.pooled(2 + draw.below(2) as usize, 1 + draw.below(2) as usize);
            }
            BlockShape { bias: draw.below(2) == 0, ..block }
        })
        .collect();
    let mut model =
        model((side(draw), side(draw), 1 + draw.below(3) as usize), &blocks, 2 + draw.below(9) as usize);
    model.logits = if draw.below(2) == 0 { Logits::Exact } else { Logits::Quantized };
    model.input.pixels = [Pixels::Unit255, Pixels::Unit256, Pixels::Symmetric][draw.below(3) as usize];
    model
}

/// Depthwise convolutions of random channels, kernels and strides: one whose image is high enough to be cut, with a pooling or a norm behind
/// it, and one in a residual sum.
pub(crate) fn by_channel(draw: &mut Draw) -> Model {
    let c = [3, 16, 20, 64, 70][draw.below(5) as usize];
    let (h, w) = (17 + draw.below(8), 13 + draw.below(5));
    let mut side = |least: u32, n: u32| least + draw.below(n);
    let (kernel, stride, pad) =
        ([side(1, 3), side(1, 4)], [side(1, 2), side(1, 2)], [side(0, 2), side(0, 2)]);
    let dilation = [side(1, 3), side(1, 2)];
    let (pool, small) = (side(2, 2), side(1, 2) * 2 - 1);
    let behind = if side(0, 2) == 0 {
        format!(r#"{{ name = "pool1", kind = "max-pool", size = {pool}, stride = {pool} }}"#)
    } else {
        r#"{ name = "norm1", kind = "batch-norm" }"#.to_owned()
    };
    let text = format!(
        r#"
        name = "by-channel"
        input = {{ h = {h}, w = {w}, c = 2, pixels = "x/127.5-1" }}
        layer = [
            {{ name = "conv", kind = "conv", out = {c}, kernel = 1 }},
            {{ name = "relu", kind = "relu" }},
            {{ name = "each1", kind = "grouped-conv", out = {c}, groups = {c}, kernel = {kernel:?}, stride = {stride:?}, pad = {pad:?}, dilation = {dilation:?}, bias = true }},
            {behind},
            {{ name = "relu1", kind = "relu" }},
            {{ name = "each2", kind = "grouped-conv", out = {c}, groups = {c}, kernel = {small}, pad = {} }},
            {{ name = "norm2", kind = "batch-norm" }},
            {{ name = "sum", kind = "add", from = ["norm2", "relu1"] }},
            {{ name = "relu2", kind = "relu" }},
            {{ name = "means", kind = "global-avg-pool" }},
            {{ name = "fc", kind = "linear", out = 4 }},
        ]
        "#,
        small / 2
    );
    Model::from_toml(&text).unwrap()
}

/// Recipes of networks with norms and sums.
pub(crate) const GRAPHS: [&str; 8] = [
    "intrain-int8",
    "wageubn",
    "wage-l1bn",
    "wage-rangebn",
    "gupta",
    "intrain-int8 | activation = fixed<4,4> nearest-even",
    "intrain-int8 | activation = fixed<2,4> floor",
    "intrain-int8 | norm.gain = fixed<2,6> nearest-even | norm.offset = fixed<2,6> nearest-even | norm.value = fixed<3,5> floor",
];

/// Recipes of chains.
pub(crate) const CHAINS: [&str; 5] =
    ["wage", "wage:2-8-12-12", "gupta", "gupta:nearest", "gupta:Q2.6:Q4.4:Q2.6:stochastic"];

/// Layer norms in place of norms over the batch: of pixels, and of a vector.
pub(crate) fn layer_norms() -> Model {
    let mut model = integer_residual();
    for layer in &mut model.layers {
        if let LayerKind::BatchNorm { affine } = layer.kind {
            layer.kind = LayerKind::LayerNorm { affine };
        }
    }
    let at = model.layers.len() - 1;
    let added = [
        ("fc1", LayerKind::Linear { out: 24, bias: false }),
        ("norm9", LayerKind::LayerNorm { affine: true }),
        ("relu9", LayerKind::Relu),
    ];
    model.layers.splice(at..at, added.map(|(name, kind)| Layer::new(name, kind)));
    model
}

/// Residual sums of 16 bits, means, and channels side by side, without norms: what entered a norm takes its place.
pub(crate) fn residual_without_norms() -> Model {
    let mut model = integer_residual();
    while let Some(at) = model.layers.iter().position(|layer| layer.name.starts_with("norm")) {
        let norm = model.layers.remove(at).name;
        let before = model.layers[at - 1].name.clone();
        let sources = model.layers.iter_mut().flat_map(|layer| &mut layer.from);
        sources.filter(|source| **source == norm).for_each(|source| source.clone_from(&before));
    }
    model
}
