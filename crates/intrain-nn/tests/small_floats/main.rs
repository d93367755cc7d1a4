//! A step in small floats against section 13.6 of `docs/arithmetic.md` in plain loops: logits and gradients, bit for bit.
//!
//! The loops below share no code with the network: they walk a model's layers and call the scalar crate alone. Sums of floats have
//! an order, which section 9 states; batches are so small that a gradient is one span.
#![allow(clippy::cast_possible_truncation, reason = "one rounding to binary32 is meant")]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "positions in an image are small")]

#[path = "../network/mod.rs"]
mod network;
mod quantize;

use intrain_kernels::Isa;
use intrain_model::{LayerKind, Model, Shape, Window};
use intrain_nn::{Gradient, Logits, Parameters, Plan, StepKey, Stored};
use intrain_num::Coded;
use intrain_num::random::{Purpose, Stream};
use intrain_recipe::Recipe;
use network::{batch, conv, linear, model, parameters, recipe};
use quantize::{Line, quantized, transformed};

/// A product of a chain with what follows it.
struct Block {
    name: String,
    input: Shape,
    output: Shape,
    window: Window,
    groups: usize,
    pool: Option<(usize, usize)>,
    relu: bool,
}

/// The products of a chain.
fn blocks(model: &Model) -> Vec<Block> {
    let shapes = model.shapes().unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for (layer, (input, output)) in model.layers.iter().zip(shapes.iter().zip(&shapes[1..])) {
        let (window, groups) = match layer.kind {
            LayerKind::Conv { window, .. } => (window, 1),
            LayerKind::GroupedConv { window, groups, .. } => (window, groups),
            LayerKind::Linear { .. } => (Window::PIXEL, 1),
            LayerKind::MaxPool { size, stride, .. } => {
                blocks.last_mut().unwrap().pool = Some((size, stride));
                continue;
            }
            LayerKind::Relu => {
                blocks.last_mut().unwrap().relu = true;
                continue;
            }
            _ => continue,
        };
        let name = layer.name.clone();
        let (input, output, pool, relu) = (*input, *output, None, false);
        blocks.push(Block { name, input, output, window, groups, pool, relu });
    }
    blocks
}

/// What a step knows of a block.
struct Rows {
    weight: Option<Coded>,
    activation: Option<Coded>,
    error: Option<Coded>,
    gradient: Option<Coded>,
}

struct Step<'a> {
    recipe: &'a Recipe,
    blocks: Vec<Block>,
    parameters: &'a [Parameters],
    key: Option<StepKey>,
    n: usize,
}

fn floats(stored: &Stored) -> &[f32] {
    match stored {
        Stored::F32(values) => values,
        other => panic!("weights between floats are floats: {other:?}"),
    }
}

/// What a forward pass leaves of a block.
struct Passed {
    entered: Vec<f32>,
    /// The place of each maximum in the product's output; without a pooling each element's own.
    places: Vec<usize>,
    result: Vec<f32>,
}

impl Step<'_> {
    fn rows(&self, block: usize) -> Rows {
        let name = &self.blocks[block].name;
        let of = |slot: &intrain_recipe::Slot| slot.of_layer(name).format.coded();
        let Recipe { weight, activation, error_at_product, gradient, .. } = self.recipe;
        Rows {
            weight: of(weight),
            activation: of(activation),
            error: of(error_at_product),
            gradient: of(gradient),
        }
    }

    /// A tensor as a row has it, with the words of a purpose.
    fn read(
        &self,
        row: Option<Coded>,
        (purpose, block): (Purpose, usize),
        lines: &[Line],
        values: &[f32],
    ) -> Vec<f32> {
        let Some(coded) = row else { return values.to_vec() };
        let word = |i: usize| match self.key {
            Some(key) => Stream::new(key.seed, purpose, block as u32, key.step).word(i as u64),
            None => 0,
        };
        let coded = if self.key.is_none() { coded.in_evaluation() } else { coded };
        quantized(coded, lines, values, word)
    }

    /// The weights `[taps, in / groups, out]` as the two products read them.
    fn weights(&self, b: usize) -> [Vec<f32>; 2] {
        let Block { input, output, window, groups, .. } = &self.blocks[b];
        let (taps, c_in, c_out) = (window.n_taps(), input.c / groups, output.c);
        let (row, stored) = (self.rows(b).weight, floats(&self.parameters[b].weight));
        let at = |tap: usize, i: usize, o: usize| (tap * c_in + i) * c_out + o;
        let mut forward = Vec::new();
        let mut back = Vec::new();
        for tap in 0..taps {
            for o in 0..c_out {
                let line = (0..c_in).map(|i| at(tap, i, o)).collect();
                forward.push(Line { plane: tap, elements: line });
            }
            for i in 0..c_in {
                for group in 0..*groups {
                    let n = c_out / groups;
                    let line = (0..n).map(|o| at(tap, i, group * n + o)).collect();
                    back.push(Line { plane: tap, elements: line });
                }
            }
        }
        let read = self.read(row, (Purpose::Weight, b), &forward, stored);
        let is_same = row.is_none_or(|row| !row.has_direction());
        let error =
            if is_same { read.clone() } else { self.read(row, (Purpose::WeightBackward, b), &back, stored) };
        [read, error]
    }

    /// A tensor `[rows, c]` in lines of channels, or in columns of rows.
    fn lines(n: usize, c: usize, along_rows: bool) -> Vec<Line> {
        if along_rows {
            let column = |channel: usize| (0..n / c).map(|row| row * c + channel).collect();
            (0..c).map(|channel| Line { plane: 0, elements: column(channel) }).collect()
        } else {
            (0..n / c).map(|row| Line { plane: 0, elements: (row * c..(row + 1) * c).collect() }).collect()
        }
    }

    /// Calls `f(input element, weight, output element)` in the order of the forward sums: of each output, row by row of its
    /// window, pixel by pixel, channel by channel.
    fn each_product(&self, b: usize, mut f: impl FnMut(usize, usize, usize)) {
        let Block { input, output, window, groups, .. } = &self.blocks[b];
        let (c_in, c_out) = (input.c / groups, output.c);
        let [kh, kw] = window.kernel;
        for image in 0..self.n {
            for (y, x) in (0..output.h).flat_map(|y| (0..output.w).map(move |x| (y, x))) {
                for o in 0..c_out {
                    let group = o / (c_out / groups);
                    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                        let v =
                            (y * window.stride[0] + ky * window.dilation[0]) as i64 - window.pad[0] as i64;
                        let u =
                            (x * window.stride[1] + kx * window.dilation[1]) as i64 - window.pad[1] as i64;
                        if v < 0 || u < 0 || v >= input.h as i64 || u >= input.w as i64 {
                            continue;
                        }
                        let pixel = (image * input.h + v as usize) * input.w + u as usize;
                        for i in 0..c_in {
                            let weight = ((ky * kw + kx) * c_in + i) * c_out + o;
                            let out = ((image * output.h + y) * output.w + x) * c_out + o;
                            f(pixel * input.c + group * c_in + i, weight, out);
                        }
                    }
                }
            }
        }
    }

    fn forward(&self, images: &[f32]) -> Vec<Passed> {
        let mut passed: Vec<Passed> = Vec::new();
        for (b, block) in self.blocks.iter().enumerate() {
            let entered = passed.last().map_or(images, |passed| &passed.result).to_vec();
            let lines = Self::lines(entered.len(), block.input.c / block.groups, false);
            let x = self.read(self.rows(b).activation, (Purpose::OperandForward, b), &lines, &entered);
            let [w, _] = self.weights(b);
            let bias = floats(self.parameters[b].bias.as_ref().unwrap());
            let mut sums: Vec<f32> =
                (0..self.n * block.output.len()).map(|i| bias[i % block.output.c]).collect();
            self.each_product(b, |i, k, o| sums[o] = x[i].mul_add(w[k], sums[o]));
            let places = self.maxima(block, &sums);
            let relu = |x: f32| if block.relu && x <= 0.0 { 0.0 } else { x };
            let result = places.iter().map(|place| relu(sums[*place])).collect();
            passed.push(Passed { entered, places, result });
        }
        passed
    }

    /// The place of each result in the product's output.
    fn maxima(&self, block: &Block, sums: &[f32]) -> Vec<usize> {
        let Some((size, stride)) = block.pool else { return (0..sums.len()).collect() };
        let Shape { h, w, c } = block.output;
        let [out_h, out_w] = [h, w].map(|n| (n - size) / stride + 1);
        let mut places = Vec::new();
        for (image, y) in (0..self.n).flat_map(|image| (0..out_h).map(move |y| (image, y))) {
            for (x, channel) in (0..out_w).flat_map(|x| (0..c).map(move |channel| (x, channel))) {
                let at = |k: usize| {
                    let (v, u) = (y * stride + k / size, x * stride + k % size);
                    ((image * h + v) * w + u) * c + channel
                };
                let first = (0..size * size).map(at);
                places.push(first.reduce(|best, at| if sums[at] > sums[best] { at } else { best }).unwrap());
            }
        }
        places
    }

    /// Softmax less target.
    fn loss_error(logits: &[f32], labels: &[u16]) -> Vec<f32> {
        let n_classes = logits.len() / labels.len();
        let mut errors = Vec::new();
        for (row, label) in logits.chunks(n_classes).zip(labels) {
            let row: Vec<f64> = row.iter().map(|y| f64::from(*y)).collect();
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|y| libm::exp(y - max)).sum();
            for (class, y) in row.iter().enumerate() {
                let target = f64::from(u8::from(class == usize::from(*label)));
                errors.push((libm::exp(y - max) / sum - target) as f32);
            }
        }
        errors
    }

    /// Gradients of weights and biases, block by block.
    fn backward(&self, passed: &[Passed], labels: &[u16]) -> Vec<[Vec<f32>; 2]> {
        let mut error = Self::loss_error(&passed.last().unwrap().result, labels);
        let mut gradients = Vec::new();
        for (b, block) in self.blocks.iter().enumerate().rev() {
            let Passed { entered, places, result } = &passed[b];
            let mut at_product = vec![0.0; self.n * block.output.len()];
            for ((place, e), y) in places.iter().zip(&error).zip(result) {
                at_product[*place] += if block.relu && *y <= 0.0 { 0.0 } else { *e };
            }
            gradients.push(self.gradients(b, entered, &at_product));
            error = self.error_before(b, &at_product);
        }
        gradients.reverse();
        gradients
    }

    fn gradients(&self, b: usize, entered: &[f32], error: &[f32]) -> [Vec<f32>; 2] {
        let (block, rows) = (&self.blocks[b], self.rows(b));
        let Window { kernel, stride, pad, .. } = block.window;
        let is_pixel = kernel == [1, 1] && stride == [1, 1] && pad == [0, 0];
        let is_transformed = is_pixel && rows.error.is_some_and(|error| error.hadamard);
        let read = |row, purpose, c, values: &[f32]| {
            let lines = Self::lines(values.len(), c, true);
            let values = if is_transformed { transformed(&lines, values) } else { values.to_vec() };
            self.read(row, (purpose, b), &lines, &values)
        };
        let x = read(rows.activation, Purpose::OperandOfGradient, block.input.c, entered);
        let e = read(rows.error, Purpose::ErrorOfGradient, block.output.c, error);
        let mut sums = vec![0.0_f32; floats(&self.parameters[b].weight).len()];
        // Images that one call of the kernel sums, here all of them, are met row by row of output pixels.
        let mut products: Vec<(usize, usize, usize)> = Vec::new();
        self.each_product(b, |i, k, o| products.push((o, i, k)));
        let Shape { h, w, c } = block.output;
        products.sort_by_key(|(o, ..)| (o / (w * c) % h, o / (h * w * c), o % (w * c)));
        products.into_iter().for_each(|(o, i, k)| sums[k] = x[i].mul_add(e[o], sums[k]));
        let one = [Line { plane: 0, elements: (0..sums.len()).collect() }];
        let sums = self.read(rows.gradient, (Purpose::Gradient, b), &one, &sums);
        let mut bias = vec![0.0; block.output.c];
        error.iter().enumerate().for_each(|(i, e)| bias[i % block.output.c] += e);
        [sums, bias]
    }

    fn error_before(&self, b: usize, error: &[f32]) -> Vec<f32> {
        let block = &self.blocks[b];
        let lines = Self::lines(error.len(), block.output.c / block.groups, false);
        let e = self.read(self.rows(b).error, (Purpose::ErrorBackward, b), &lines, error);
        let [_, w] = self.weights(b);
        // Of each input pixel: the outputs that saw it, the first ones first, and their channels in order.
        let mut products: Vec<Vec<(usize, usize)>> = vec![vec![]; self.n * block.input.len()];
        self.each_product(b, |i, k, o| products[i].push((o, k)));
        let sum = |mut products: Vec<(usize, usize)>| {
            products.sort_unstable();
            products.iter().fold(0.0_f32, |sum, (o, k)| e[*o].mul_add(w[*k], sum))
        };
        products.into_iter().map(sum).collect()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn of_gradient(gradient: &Gradient) -> Vec<u32> {
    match gradient {
        Gradient::F32(values) => bits(values),
        other => panic!("an integer gradient between floats: {other:?}"),
    }
}

/// Runs a step of the network, on all kernels and some numbers of threads, and of the loops.
fn compare(model: &Model, spec: &str, n: usize) {
    let recipe = recipe(spec);
    let plan = Plan::build(model, &recipe, n).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let parameters = parameters(&plan, 7);
    let (images, labels) = batch(&plan, n, 7);
    let pixels: Vec<f32> = images.iter().map(|p| f32::from(i16::from(*p) * 2 - 255) / 255.0).collect();
    let resolved = recipe.with_ends(|_| ["block0".to_owned(), "last".to_owned()]);
    for key in [Some(StepKey { seed: 7, step: 3 }), None] {
        let step = Step { recipe: &resolved, blocks: blocks(model), parameters: &parameters, key, n };
        let passed = step.forward(&pixels);
        let expected = key.map(|_| step.backward(&passed, &labels));
        for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
            let what = format!("{spec}: {threads} threads, {}", isa.name());
            let mut network = network::network(&plan, isa, threads);
            network.load(&parameters, key);
            network.forward(&images, key);
            let Logits::Floats(logits) = network.logits() else { panic!("{what}: logits are floats") };
            assert_eq!(bits(&logits), bits(&passed.last().unwrap().result), "logits, {what}");
            let (Some(key), Some(expected)) = (key, &expected) else { continue };
            network.backward(&labels, key);
            for ((found, [weight, bias]), block) in network.gradients().zip(expected).zip(&step.blocks) {
                assert_eq!(of_gradient(found.weight), bits(weight), "weights of {}, {what}", block.name);
                assert_eq!(found.bias.map(of_gradient), Some(bits(bias)), "biases of {}, {what}", block.name);
            }
        }
    }
}

/// The presets, and what they leave out.
const RECIPES: [&str; 12] = [
    "float32",
    "bf16",
    "fp8",
    "mxfp8",
    "mxfp4",
    "mxint8",
    "nvfp4",
    "mxfp4 | weight = mxfp4@floor/4x4 sr-c<7> | activation = mxfp6@rceil/8 sr-a<8> | error.product = e5m2 sr-b<4>",
    "mxfp4 | weight = mxfp6@even/4 sr-a<8> | gradient = e5m2@rceil sr-a<8> | error.product = mxint8@even sr-a<8> hadamard",
    "bf16 | gradient = bfloat16 sr-a<16> | master = bfloat16 sr-a<16> | weight = float32 | @last:error.product = float32",
    "nvfp4 | weight = nvfp4@4over6-mae-256 | activation = float32 | @first:weight = bfp<5>@ceil",
    "fp8 | weight = bfp<5>@ceil | activation = mx<e3m2,row>@even | error.product = bfp<7> hadamard",
];

#[test]
fn linear_layers_are_those_of_the_contract() {
    let model = model((1, 1, 50), &[linear(37), linear(20)], 10);
    for spec in RECIPES {
        compare(&model, spec, 45);
    }
}

#[test]
fn convolutions_are_those_of_the_contract() {
    let blocks = [conv(20, 3, 1, 1), conv(18, 1, 1, 0), conv(24, 3, 2, 1).pooled(2, 2), linear(17)];
    let model = model((7, 6, 3), &blocks, 10);
    for spec in RECIPES {
        compare(&model, spec, 5);
    }
}

/// Blocks end with the channels of a group.
#[test]
fn groups_are_those_of_the_contract() {
    let blocks = [conv(36, 3, 1, 1), conv(36, 3, 1, 1), conv(24, 1, 1, 0)];
    let mut model = model((4, 5, 4), &blocks, 10);
    for (layer, n) in model.layers.iter_mut().filter(|layer| layer.kind.is_product()).zip([2, 2, 4]) {
        if let LayerKind::Conv { out, window, bias } = layer.kind {
            layer.kind = LayerKind::GroupedConv { out, window, groups: n, bias };
        }
    }
    for spec in RECIPES {
        compare(&model, spec, 4);
    }
}
