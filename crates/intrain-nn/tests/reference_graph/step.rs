//! The step forward, layer by layer, in 128-bit integers.

mod back;

use std::collections::BTreeMap;

use intrain_model::{LayerKind, Model, Shape};
use intrain_nn::{Parameters, StepKey};
use intrain_num::norm::{Line, Moments, Rows, of_running, range_part, range_parts};
use intrain_num::random::{Purpose, Stream};
use intrain_num::scale::fan_log2;
use intrain_num::{Quantizer, Round, Scale, Spread};
use intrain_recipe::{Recipe, Slot};

/// Integers and their binary digits behind the point.
#[derive(Clone, Default)]
pub(crate) struct Tensor {
    pub(crate) x: Vec<i128>,
    digits: i32,
}

/// What the way back needs of a layer.
#[derive(Default)]
struct Trace {
    passes: Vec<bool>,
    inside: Vec<bool>,
    /// Of a max pooling: where each result came from.
    from: Vec<usize>,
    weights: Vec<i128>,
    lines: Vec<Line>,
    means: Vec<i64>,
    values: Vec<i64>,
}

/// Errors: `value = x * 2^exponent`.
#[derive(Clone)]
struct Error {
    x: Vec<i64>,
    exponent: i32,
}

pub(crate) struct Step<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    parameters: &'a [Parameters],
    shapes: Vec<Shape>,
    sources: Vec<Vec<usize>>,
    key: Option<StepKey>,
    n: usize,
    /// Result of each place of the model, the image first.
    pub(crate) results: Vec<Tensor>,
    traces: Vec<Trace>,
}

/// Gradients of weights and biases, and what 1 of each is worth.
pub(crate) type Gradients = BTreeMap<String, (Vec<i64>, Option<Vec<i64>>, [i32; 2])>;

impl<'a> Step<'a> {
    pub(crate) fn new(
        model: &'a Model,
        recipe: &'a Recipe,
        parameters: &'a [Parameters],
        key: Option<StepKey>,
    ) -> Self {
        Self {
            model,
            recipe,
            parameters,
            shapes: model.shapes().unwrap(),
            sources: model.sources().unwrap(),
            key,
            n: 0,
            results: vec![],
            traces: vec![],
        }
    }

    /// The number of a layer among those with parameters.
    fn block(&self, i: usize) -> usize {
        let has_parameters = |kind: LayerKind| kind.is_product() || kind.is_norm();
        self.model.layers[..i].iter().filter(|layer| has_parameters(layer.kind)).count()
    }

    fn stream(&self, purpose: Purpose, layer: usize) -> Stream {
        let key = self.key.unwrap_or(StepKey { seed: 0, step: 0 });
        Stream::new(key.seed, purpose, layer as u32, key.step)
    }

    fn cut(&self, q: Quantizer, x: &[i128], shift: i32, purpose: Purpose, layer: usize) -> Vec<i64> {
        let round = if self.key.is_some() { q.round } else { q.round.in_evaluation() };
        let stream = self.stream(purpose, layer);
        let payload = |(i, x): (usize, &i128)| {
            let rounded = round.shift_right_wide(*x, shift, stream.word(i as u64));
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
        };
        x.iter().enumerate().map(payload).collect()
    }

    /// `[pixels of all images][channel]` in windows: calls `f(input pixel, window place, output pixel)`.
    fn windows(
        &self,
        i: usize,
        (size, stride, pad): (usize, usize, usize),
        mut f: impl FnMut(usize, usize, usize),
    ) {
        let (input, output) = (self.shapes[self.sources[i][0]], self.shapes[i + 1]);
        for image in 0..self.n {
            for (o, (y, x)) in grid(output.h, output.w).enumerate() {
                for (place, (ky, kx)) in grid(size, size).enumerate() {
                    let (v, u) =
                        ((y * stride + ky) as i64 - pad as i64, (x * stride + kx) as i64 - pad as i64);
                    if v >= 0 && u >= 0 && v < input.h as i64 && u < input.w as i64 {
                        let pixel = (image * input.h + v as usize) * input.w + u as usize;
                        f(pixel, place, image * output.h * output.w + o);
                    }
                }
            }
        }
    }

    /// Calls `f(index of X, of W, of E)` for every product of a layer.
    fn products(&self, i: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (input, output) = (self.shapes[self.sources[i][0]], self.shapes[i + 1]);
        match self.model.layers[i].kind {
            LayerKind::Conv { kernel, stride, pad, .. } => {
                self.windows(i, (kernel, stride, pad), |pixel, place, out| {
                    for (ci, o) in grid(input.c, output.c) {
                        f(pixel * input.c + ci, (place * input.c + ci) * output.c + o, out * output.c + o);
                    }
                });
            }
            _ => {
                for image in 0..self.n {
                    for (ci, o) in grid(input.len(), output.c) {
                        f(image * input.len() + ci, ci * output.c + o, image * output.c + o);
                    }
                }
            }
        }
    }

    pub(crate) fn run(&mut self, images: &[u8]) {
        self.n = images.len() / self.model.input.shape.len();
        let q = self.recipe.input.base;
        let payload = |p: &u8| {
            let (numerator, denominator) = self.model.input.pixels.fraction(*p);
            let rounded = q.round.ratio(numerator << q.format.frac_bits(), denominator);
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits()).into()
        };
        self.results = vec![Tensor { x: images.iter().map(payload).collect(), digits: q.format.frac_bits() }];
        for i in 0..self.model.layers.len() {
            let (result, trace) = self.layer(i);
            self.results.push(result);
            self.traces.push(trace);
        }
    }

    fn layer(&self, i: usize) -> (Tensor, Trace) {
        let layer = &self.model.layers[i];
        let (name, c) = (layer.name.as_str(), self.shapes[i + 1].c);
        let entering = &self.results[self.sources[i][0]];
        match layer.kind {
            LayerKind::Conv { .. } | LayerKind::Linear { .. } => self.product(i),
            LayerKind::BatchNorm { affine } | LayerKind::LayerNorm { affine } => self.norm(i, affine),
            LayerKind::Relu => {
                let q = self.recipe.activation.of_layer(name);
                let places = entering.digits - q.format.frac_bits();
                let passes = entering.x.iter().map(|x| *x > 0).collect();
                let limit = i128::from(q.format.max()) << places;
                let positive: Vec<i128> = entering.x.iter().map(|x| (*x).max(0)).collect();
                let inside = positive.iter().map(|x| *x <= limit).collect();
                let x = self.cut(q, &positive, places, Purpose::Activation, 0);
                (tensor(x, q.format.frac_bits()), Trace { passes, inside, ..Trace::default() })
            }
            LayerKind::Add => {
                let [a, b] = [0, 1].map(|k| &self.results[self.sources[i][k]]);
                let digits = a.digits.max(b.digits);
                let of = |t: &Tensor, k: usize| t.x[k] << (digits - t.digits);
                (
                    Tensor { x: (0..a.x.len()).map(|k| of(a, k) + of(b, k)).collect(), digits },
                    Trace::default(),
                )
            }
            LayerKind::MaxPool { size, stride, pad } => {
                let mut best = vec![None; self.n * self.shapes[i + 1].len()];
                self.windows(i, (size, stride, pad), |pixel, _, out| {
                    for k in 0..c {
                        let (from, to) = (pixel * c + k, out * c + k);
                        if best[to].is_none_or(|at: usize| entering.x[from] > entering.x[at]) {
                            best[to] = Some(from);
                        }
                    }
                });
                let from: Vec<usize> = best.into_iter().map(Option::unwrap).collect();
                let x = from.iter().map(|from| entering.x[*from]).collect();
                (Tensor { x, digits: entering.digits }, Trace { from, ..Trace::default() })
            }
            LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool => {
                let q = self.recipe.activation.of_layer(name);
                let places = q.format.frac_bits() - entering.digits;
                let mut sums = vec![0_i128; self.n * self.shapes[i + 1].len()];
                let pixels = self.means(i, |from, to| sums[to] += entering.x[from]);
                let mean = |sum: &i128| {
                    let (up, down) = (places.max(0), (-places).max(0));
                    let mean = Round::NearestDown.ratio_wide(sum << up, (pixels as i128) << down);
                    mean.clamp(q.format.min(), q.format.max())
                };
                (tensor(sums.iter().map(mean).collect(), q.format.frac_bits()), Trace::default())
            }
            LayerKind::Shortcut { .. } => {
                let mut x = vec![0; self.n * self.shapes[i + 1].len()];
                self.kept(i, |from, to| x[to] = entering.x[from]);
                (Tensor { x, digits: entering.digits }, Trace::default())
            }
            LayerKind::Concat => {
                let mut x = vec![0; self.n * self.shapes[i + 1].len()];
                self.joined(i, |source, from, to| x[to] = self.results[source].x[from]);
                (Tensor { x, digits: entering.digits }, Trace::default())
            }
            LayerKind::Flatten => (entering.clone(), Trace::default()),
        }
    }

    /// Calls `f(input, output)` for the elements of each mean; how many there are in one.
    fn means(&self, i: usize, mut f: impl FnMut(usize, usize)) -> usize {
        let (input, c) = (self.shapes[self.sources[i][0]], self.shapes[i + 1].c);
        match self.model.layers[i].kind {
            LayerKind::AvgPool { size, stride } => {
                self.windows(i, (size, stride, 0), |pixel, _, out| {
                    (0..c).for_each(|k| f(pixel * c + k, out * c + k));
                });
                size * size
            }
            _ => {
                for (pixel, k) in grid(self.n * input.h * input.w, c) {
                    f(pixel * c + k, pixel / (input.h * input.w) * c + k);
                }
                input.h * input.w
            }
        }
    }

    /// Calls `f(input, output)` for the elements that a shortcut keeps.
    fn kept(&self, i: usize, mut f: impl FnMut(usize, usize)) {
        let LayerKind::Shortcut { stride, .. } = self.model.layers[i].kind else { panic!("a shortcut") };
        let (input, output) = (self.shapes[self.sources[i][0]], self.shapes[i + 1]);
        for image in 0..self.n {
            for (o, (y, x)) in grid(output.h, output.w).enumerate() {
                let pixel = (image * input.h + y * stride) * input.w + x * stride;
                let out = image * output.h * output.w + o;
                (0..input.c).for_each(|k| f(pixel * input.c + k, out * output.c + k));
            }
        }
    }

    /// Calls `f(source, input, output)` for the elements that are put behind each other.
    fn joined(&self, i: usize, mut f: impl FnMut(usize, usize, usize)) {
        let output = self.shapes[i + 1];
        let mut first = 0;
        for &source in &self.sources[i] {
            let c = self.shapes[source].c;
            for (pixel, k) in grid(self.n * output.h * output.w, c) {
                f(source, pixel * c + k, pixel * output.c + first + k);
            }
            first += c;
        }
    }

    fn product(&self, i: usize) -> (Tensor, Trace) {
        let name = self.model.layers[i].name.as_str();
        let entering = &self.results[self.sources[i][0]];
        let (read, master) = (self.recipe.weight.of_layer(name), self.recipe.master.of_layer(name));
        let stored = &self.parameters[self.block(i)].weight;
        let payloads: Vec<i128> = (0..stored.len()).map(|k| stored.payload(k).into()).collect();
        let shift = master.format.frac_bits() - read.format.frac_bits();
        let w = self.cut(read, &payloads, shift, Purpose::Weight, self.block(i));
        let weights: Vec<i128> = w.into_iter().map(i128::from).collect();
        let mut sums = vec![0_i128; self.n * self.shapes[i + 1].len()];
        self.products(i, |x, w, y| sums[y] += entering.x[x] * weights[w]);
        let digits = entering.digits + self.weight_digits(i) + self.alpha(i);
        let trace = Trace { weights, ..Trace::default() };
        if i + 1 == self.model.layers.len() {
            return (Tensor { x: sums, digits }, trace);
        }
        let q = self.recipe.activation_at_product.of_layer(name);
        let words = self.cut(q, &sums, digits - q.format.frac_bits(), Purpose::Activation, self.block(i));
        (tensor(words, q.format.frac_bits()), trace)
    }

    fn fan_in(&self, i: usize) -> usize {
        self.parameters[self.block(i)].weight.len() / self.shapes[i + 1].c
    }

    /// Digits of a weight as read, alpha left out.
    fn weight_digits(&self, i: usize) -> i32 {
        let q = self.recipe.weight.of_layer(&self.model.layers[i].name);
        let fan = if q.scale == Scale::Fan { fan_log2(self.fan_in(i)) } else { 0 };
        q.format.frac_bits() - fan
    }

    fn alpha(&self, i: usize) -> i32 {
        let q = self.recipe.weight.of_layer(&self.model.layers[i].name);
        if q.scale != Scale::Alpha {
            return 0;
        }
        let least = 1.5 * 2_f64.powi(1 - q.format.bits() as i32);
        (least / (3.0 / self.fan_in(i) as f64).sqrt()).log2().round().max(0.0) as i32
    }

    fn rows(&self, i: usize) -> Rows {
        let name = &self.model.layers[i].name;
        let recipe = self.recipe;
        Rows {
            spread: recipe.norm,
            frac_bits: self.results[self.sources[i][0]].digits,
            mean: recipe.norm_mean.of_norm(name),
            spread_row: recipe.norm_spread.of_norm(name),
            value: recipe.norm_value.of_norm(name),
        }
    }

    /// Which of a norm's lines is that of an element: a channel's, or a pixel's.
    fn group(&self, i: usize, element: usize) -> usize {
        let c = self.shapes[i + 1].c;
        match self.model.layers[i].kind {
            LayerKind::LayerNorm { .. } => element / c,
            _ => element % c,
        }
    }

    fn groups(&self, i: usize, len: usize) -> usize {
        self.group(i, len - 1) + 1
    }

    /// Gain and offset of a norm's channels, with the digits of each.
    fn gains(&self, i: usize, affine: bool) -> [(Vec<i64>, i32); 2] {
        let (name, c) = (&self.model.layers[i].name, self.shapes[i + 1].c);
        let p = &self.parameters[self.block(i)];
        let master = self.recipe.master.of_norm(name).format.frac_bits();
        let read = |slot: &Slot, stored: Option<&intrain_nn::Stored>, one: bool| {
            let q = slot.of_norm(name);
            let digits = if q.format.is_quantized() { q.format.frac_bits() } else { master };
            let payload = |k: usize| match stored {
                None => i64::from(one) << digits,
                Some(stored) if q.format.is_quantized() => {
                    let round = q.round.in_evaluation();
                    let rounded = round.shift_right(stored.payload(k), master - digits, 0);
                    q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
                }
                Some(stored) => stored.payload(k),
            };
            ((0..c).map(payload).collect(), digits)
        };
        let [gain, offset] = [affine.then_some(&p.weight), p.bias.as_ref().filter(|_| affine)];
        [read(&self.recipe.norm_gain, gain, true), read(&self.recipe.norm_offset, offset, false)]
    }

    fn norm(&self, i: usize, affine: bool) -> (Tensor, Trace) {
        let (rows, c) = (self.rows(i), self.shapes[i + 1].c);
        let x: Vec<i64> = self.results[self.sources[i][0]].x.iter().map(|x| *x as i64).collect();
        let [(gain, gain_digits), (offset, offset_digits)] = self.gains(i, affine);
        let (mut lines, mut means) = (vec![], vec![]);
        for k in 0..self.groups(i, x.len()) {
            let of: Vec<i64> = (0..x.len()).filter(|at| self.group(i, *at) == k).map(|at| x[at]).collect();
            let running = self.parameters[self.block(i)].moments.as_ref().filter(|_| self.key.is_none());
            let (mean, spread) = match running {
                Some(running) => {
                    (of_running(running.mean.payload(k)), of_running(running.spread.payload(k)).max(1))
                }
                None => {
                    let moments = moments(&rows, &of);
                    (rows.mean(moments), rows.spread(moments))
                }
            };
            means.push(mean);
            lines.push(rows.line(mean, spread));
        }
        let values: Vec<i64> =
            x.iter().enumerate().map(|(k, x)| rows.value(*x, lines[self.group(i, k)])).collect();
        let digits = rows.value.format.frac_bits() + gain_digits;
        let of = |(k, value): (usize, &i64)| {
            let offset = Round::NearestEven.shift_right(offset[k % c], offset_digits - digits, 0);
            i128::from(value * gain[k % c] + offset)
        };
        let y = values.iter().enumerate().map(of).collect();
        (Tensor { x: y, digits }, Trace { lines, means, values, ..Trace::default() })
    }
}

fn moments(rows: &Rows, x: &[i64]) -> Moments {
    let mut moments = Moments { n: x.len() as u64, sum: x.iter().sum(), other: 0 };
    let mean = rows.mean(moments);
    let finer = rows.mean.format.frac_bits() - rows.frac_bits;
    moments.other = match rows.spread {
        Spread::L2 => x.iter().map(|x| x * x).sum(),
        Spread::L1 => x.iter().map(|x| ((x << finer) - mean).abs()).sum(),
        Spread::Range => (0..range_parts(x.len()))
            .filter_map(|part| {
                let part = &x[range_part(part, x.len())];
                Some(part.iter().max()? - part.iter().min()?)
            })
            .sum(),
    };
    moments
}

fn tensor(x: Vec<i64>, digits: i32) -> Tensor {
    Tensor { x: x.into_iter().map(i128::from).collect(), digits }
}

fn grid(h: usize, w: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..h).flat_map(move |y| (0..w).map(move |x| (y, x)))
}
