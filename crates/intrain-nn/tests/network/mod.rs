//! Small networks, random parameters and batches for the proofs of this crate.
//!
//! Everything is a pure function of a seed, so that a failure names all that is needed to repeat it.
#![allow(dead_code, reason = "each proof uses its own part")]
#![allow(clippy::cast_possible_truncation, reason = "random words are cut down on purpose")]

use std::sync::Arc;

use intrain_kernels::Isa;
use intrain_model::{Init, Input, Layer, LayerKind, Logits, Model, Pixels, Shape, Window};
use intrain_nn::{Context, Gradient, Network, Parameters, Plan, Stored};
use intrain_num::random::{Purpose, Stream};
use intrain_recipe::{Exception, Pattern, Recipe, Role, preset};

/// Numbers drawn from a seed.
pub(crate) struct Draw {
    stream: Stream,
    element: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, Purpose::Tool, 0, 0), element: 0 }
    }

    /// A number in `0..n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        self.element += 1;
        self.stream.below(self.element, n)
    }

    /// A number in `min..=max`.
    pub(crate) fn within(&mut self, min: i64, max: i64) -> i64 {
        min + i64::from(self.below(u32::try_from(max - min + 1).unwrap()))
    }
}

/// A product and what follows it. What does not fit an image is made smaller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BlockShape {
    /// Kernel, stride and padding of a convolution; a linear layer has none.
    pub(crate) conv: Option<(usize, usize, usize)>,
    pub(crate) out: usize,
    /// Side and step of a max pooling.
    pub(crate) pool: Option<(usize, usize)>,
    pub(crate) relu: bool,
    pub(crate) bias: bool,
}

pub(crate) const fn conv(out: usize, kernel: usize, stride: usize, pad: usize) -> BlockShape {
    BlockShape { conv: Some((kernel, stride, pad)), out, pool: None, relu: true, bias: true }
}

pub(crate) const fn linear(out: usize) -> BlockShape {
    BlockShape { conv: None, out, pool: None, relu: true, bias: true }
}

impl BlockShape {
    pub(crate) const fn pooled(self, size: usize, stride: usize) -> Self {
        Self { pool: Some((size, stride)), ..self }
    }
}

/// A network of `blocks` named `block0`, `block1`, ..., and a linear layer `last` with a bias.
pub(crate) fn model(input: (usize, usize, usize), blocks: &[BlockShape], n_classes: usize) -> Model {
    let (h, w, c) = input;
    let mut shape = Shape { h, w, c };
    let mut layers: Vec<Layer> = Vec::new();
    let mut add = |name: String, kind: LayerKind, shape: &mut Shape| {
        *shape = kind.output(*shape).unwrap();
        layers.push(Layer::new(name, kind));
    };
    let mut flat = false;
    for (i, b) in blocks.iter().enumerate() {
        match b.conv {
            Some((kernel, stride, pad)) if !flat => {
                let kernel = kernel.min(shape.h).min(shape.w);
                let pad = pad.min(kernel - 1);
                let kind =
                    LayerKind::Conv { out: b.out, window: Window::square(kernel, stride, pad), bias: b.bias };
                add(format!("block{i}"), kind, &mut shape);
                if let Some((size, stride)) = b.pool {
                    let size = size.min(shape.h).min(shape.w);
                    add(format!("pool{i}"), LayerKind::MaxPool { size, stride, pad: 0 }, &mut shape);
                }
            }
            _ => {
                if !flat {
                    add(format!("flatten{i}"), LayerKind::Flatten, &mut shape);
                }
                flat = true;
                add(format!("block{i}"), LayerKind::Linear { out: b.out, bias: b.bias }, &mut shape);
            }
        }
        if b.relu {
            add(format!("relu{i}"), LayerKind::Relu, &mut shape);
        }
    }
    if !flat {
        add("flatten".to_owned(), LayerKind::Flatten, &mut shape);
    }
    add("last".to_owned(), LayerKind::Linear { out: n_classes, bias: true }, &mut shape);
    Model {
        name: "small".to_owned(),
        source: String::new(),
        input: Input { shape: Shape { h, w, c }, pixels: Pixels::Symmetric },
        init: Init::Uniform,
        logits: Logits::Exact,
        layers,
    }
}

/// A residual network with every layer that a chain has not.
pub(crate) fn residual() -> Model {
    Model::from_toml(
        r#"
        name = "residual"
        input = { h = 7, w = 6, c = 3, pixels = "x/127.5-1" }
        layer = [
            { name = "conv1", kind = "conv", out = 6, kernel = 3, pad = 1 },
            { name = "norm1", kind = "batch-norm" },
            { name = "relu1", kind = "relu" },
            { name = "conv2", kind = "conv", out = 8, kernel = 3, stride = 2, pad = 1 },
            { name = "norm2", kind = "batch-norm", affine = false },
            { name = "around", kind = "shortcut", out = 8, stride = 2, from = ["relu1"] },
            { name = "sum", kind = "add", from = ["norm2", "around"] },
            { name = "relu2", kind = "relu" },
            { name = "conv3", kind = "conv", out = 8, kernel = 1 },
            { name = "sum2", kind = "add", from = ["conv3", "relu2"] },
            { name = "mean", kind = "avg-pool", size = 2, stride = 1 },
            { name = "relu3", kind = "relu" },
            { name = "branch", kind = "conv", out = 5, kernel = 1 },
            { name = "largest", kind = "max-pool", size = 3, stride = 1, pad = 1, from = ["relu3"] },
            { name = "all", kind = "concat", from = ["branch", "largest", "relu3"] },
            { name = "means", kind = "global-avg-pool" },
            { name = "fc", kind = "linear", out = 4, bias = true },
        ]
        "#,
    )
    .unwrap()
}

/// A network with every layer that a graph of integers can have.
pub(crate) fn integer_residual() -> Model {
    Model::from_toml(
        r#"
        name = "integers"
        input = { h = 8, w = 6, c = 3, pixels = "x/127.5-1" }
        layer = [
            { name = "conv1", kind = "conv", out = 6, kernel = 3, pad = 1 },
            { name = "norm1", kind = "batch-norm" },
            { name = "relu1", kind = "relu" },
            { name = "conv2", kind = "conv", out = 8, kernel = 3, stride = 2, pad = 1 },
            { name = "norm2", kind = "batch-norm", affine = false },
            { name = "around", kind = "shortcut", out = 8, stride = 2, from = ["relu1"] },
            { name = "sum", kind = "add", from = ["norm2", "around"] },
            { name = "relu2", kind = "relu" },
            { name = "conv3", kind = "conv", out = 8, kernel = 1 },
            { name = "sum2", kind = "add", from = ["conv3", "relu2"] },
            { name = "relu3", kind = "relu" },
            { name = "conv4", kind = "conv", out = 20, kernel = 3, pad = 1 },
            { name = "pool4", kind = "max-pool", size = 3, stride = 1, pad = 1 },
            { name = "norm4", kind = "batch-norm" },
            { name = "conv5", kind = "conv", out = 20, kernel = 1, from = ["relu3"] },
            { name = "norm5", kind = "batch-norm" },
            { name = "sum5", kind = "add", from = ["norm4", "norm5"] },
            { name = "relu5", kind = "relu" },
            { name = "mean5", kind = "avg-pool", size = 2, stride = 2 },
            { name = "largest", kind = "max-pool", size = 2, stride = 2, from = ["relu5"] },
            { name = "all", kind = "concat", from = ["largest", "mean5"] },
            { name = "conv6", kind = "conv", out = 16, kernel = 1 },
            { name = "relu6", kind = "relu" },
            { name = "conv7", kind = "conv", out = 16, kernel = 1 },
            { name = "relu7", kind = "relu" },
            { name = "sum8", kind = "add", from = ["relu7", "relu6"] },
            { name = "relu8", kind = "relu" },
            { name = "means", kind = "global-avg-pool" },
            { name = "fc", kind = "linear", out = 4 },
        ]
        "#,
    )
    .unwrap()
}

/// The recipe of a preset, or of a preset with one row replaced: `PRESET | [LAYERS:]ROLE = QUANTIZER | ...`.
pub(crate) fn recipe(spec: &str) -> Recipe {
    let mut parts = spec.split(" | ");
    let mut recipe = preset(parts.next().unwrap()).unwrap();
    for part in parts {
        let (place, line) = part.split_once(" = ").unwrap();
        if place == "loss" {
            recipe.loss = line.parse().unwrap();
            continue;
        }
        if place == "random" {
            recipe.random = line.parse().unwrap();
            continue;
        }
        let (layers, role) = place.split_once(':').unwrap_or(("", place));
        let role = Role::ALL.into_iter().find(|r| r.name() == role).unwrap();
        let quantizer = line.parse().unwrap();
        let slot = recipe.slot_mut(role);
        if layers.is_empty() {
            slot.base = quantizer;
        } else {
            let layers = Pattern(layers.to_owned());
            slot.except.push(Exception { layers, from_epoch: 0, quantizer });
        }
    }
    recipe
}

/// Initial parameters, some layers of which are filled with codes from all over the stored format.
pub(crate) fn parameters(plan: &Plan, seed: u64) -> Vec<Parameters> {
    let mut draw = Draw::new(seed ^ 0x5eed);
    let mut parameters = Parameters::initial(plan, seed);
    for (block, p) in plan.blocks.iter().zip(&mut parameters) {
        let format = block.weight.master.format;
        let style = if format.is_quantized() { draw.below(3) } else { 0 };
        for stored in std::iter::once(&mut p.weight).chain(&mut p.bias) {
            for i in 0..stored.len() {
                let code = match (style, draw.below(8)) {
                    (1, 0) => format.min(),
                    (1, 1) => format.max(),
                    (1, _) => draw.within(format.min(), format.max()),
                    (2, _) => draw.within(format.min() / 8, format.max() / 8),
                    _ => stored.code(i),
                };
                stored.set_code(i, code);
            }
            if let Stored::F32(values) = stored {
                values.iter_mut().filter(|x| **x == 0.0).for_each(|x| *x = draw.below(100) as f32 / 400.0);
            }
        }
    }
    parameters
}

/// `n` images of noise with some black and some white, and their labels.
pub(crate) fn batch(plan: &Plan, n: usize, seed: u64) -> (Vec<u8>, Vec<u16>) {
    let mut draw = Draw::new(seed ^ 0xba7c4);
    let pixel = |draw: &mut Draw| match draw.below(6) {
        0 => 0,
        1 => 255,
        _ => draw.below(256) as u8,
    };
    let images = (0..n * plan.input.shape.len()).map(|_| pixel(&mut draw)).collect();
    let labels = (0..n).map(|_| draw.below(plan.loss.n_classes as u32) as u16).collect();
    (images, labels)
}

/// A network for `plan` on `threads` threads.
pub(crate) fn network(plan: &Plan, isa: Isa, threads: usize) -> Network {
    Network::new(plan.clone(), context(isa, threads))
}

/// So many threads with these kernels.
pub(crate) fn context(isa: Isa, threads: usize) -> Context {
    let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    Context { isa, threads, machine: None }
}

/// The integers of a gradient.
pub(crate) fn integers(gradient: &Gradient) -> Vec<i64> {
    assert!(!matches!(gradient, Gradient::F32(_)), "a float gradient in an integer network");
    (0..gradient.len()).map(|i| gradient.integer(i)).collect()
}
