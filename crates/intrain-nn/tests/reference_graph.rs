//! A step of a graph of integers against the contract in plain loops: sections 6, 7.4 and 7.5 of `docs/arithmetic.md`.
//!
//! The scalar step below walks the model's layers in 128-bit integers and calls `intrain-num` alone; it shares no code with
//! the network. Equality is exact.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "sums are small here")]
#![allow(clippy::cast_sign_loss, reason = "positions in an image are small")]

mod network;

use std::collections::BTreeMap;

use intrain_kernels::Isa;
use intrain_model::{Layer, LayerKind, Model, Shape};
use intrain_nn::{Parameters, Plan, StepKey};
use intrain_num::norm::{Back, ErrorSums, Line, Moments, Rows, of_running, range_part, range_parts};
use intrain_num::random::{Purpose, Stream};
use intrain_num::scale::{fan_log2, round_log2};
use intrain_num::{Quantizer, Round, Scale, Spread, Surrogate, softmax};
use intrain_recipe::{Loss, Recipe, Slot};
use network::{batch, integer_residual, integers, parameters, recipe};

/// Integers and their binary digits behind the point.
#[derive(Clone, Default)]
struct Tensor {
    x: Vec<i128>,
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

struct Step<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    parameters: &'a [Parameters],
    shapes: Vec<Shape>,
    sources: Vec<Vec<usize>>,
    key: Option<StepKey>,
    n: usize,
    /// Result of each place of the model, the image first.
    results: Vec<Tensor>,
    traces: Vec<Trace>,
}

/// Gradients of weights and biases, and what 1 of each is worth.
type Gradients = BTreeMap<String, (Vec<i64>, Option<Vec<i64>>, [i32; 2])>;

impl<'a> Step<'a> {
    fn new(model: &'a Model, recipe: &'a Recipe, parameters: &'a [Parameters], key: Option<StepKey>) -> Self {
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

    fn run(&mut self, images: &[u8]) {
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

    fn error_at_loss(&self, labels: &[u16]) -> Error {
        let logits = self.results.last().unwrap();
        let n_classes = logits.x.len() / labels.len();
        let (mut errors, mut digits) = (vec![], logits.digits);
        for (row, label) in logits.x.chunks(n_classes).zip(labels) {
            let (row, label) = (row.iter().map(|y| *y as i64), usize::from(*label));
            if self.recipe.loss == Loss::SquaredError {
                errors.extend(row.enumerate().map(|(k, y)| y - (i64::from(k == label) << logits.digits)));
            } else {
                softmax::i_exp_error(row, logits.digits, label, |error| errors.push(error));
                digits = softmax::I_EXP_DIGITS;
            }
        }
        let q = self.recipe.error_at_loss.base;
        let exact: Vec<i128> = errors.into_iter().map(i128::from).collect();
        let last = self.block(self.model.layers.len()) - 1;
        self.quantize(q, &exact, -digits, Purpose::ErrorAtLoss, last)
    }

    /// Integers that are worth `2^unit` each, cut by a row.
    fn quantize(&self, q: Quantizer, x: &[i128], unit: i32, purpose: Purpose, layer: usize) -> Error {
        let largest = x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0) as u64;
        let n = round_log2(largest).unwrap_or(0);
        let digits = q.format.frac_bits();
        let payloads = self.cut(q, x, n - digits, purpose, layer);
        let exponent = if q.scale == Scale::Dynamic { unit + n - digits } else { -digits };
        // A loss of nothing has the power of two 1, whatever its unit.
        let exponent = if largest == 0 && purpose == Purpose::ErrorAtLoss { -digits } else { exponent };
        Error { x: payloads, exponent }
    }

    fn backward(&self, labels: &[u16]) -> Gradients {
        let mut gradients = BTreeMap::new();
        let mut errors: Vec<Option<Error>> = vec![None; self.results.len()];
        *errors.last_mut().unwrap() = Some(self.error_at_loss(labels));
        for i in (0..self.model.layers.len()).rev() {
            let Some(error) = errors[i + 1].take() else { continue };
            let source = self.sources[i][0];
            for (to, error) in self.back(i, source, error, &mut gradients) {
                if to == 0 {
                    continue;
                }
                errors[to] = Some(match errors[to].take() {
                    None => error,
                    Some(other) => add(other, error),
                });
            }
        }
        gradients
    }

    /// The errors in front of a layer.
    fn back(&self, i: usize, source: usize, error: Error, gradients: &mut Gradients) -> Vec<(usize, Error)> {
        let layer = &self.model.layers[i];
        let zeros = |at: usize| vec![0_i64; self.results[at].x.len()];
        let Error { x: e, exponent } = error;
        match layer.kind {
            LayerKind::Conv { .. } | LayerKind::Linear { .. } => {
                let mut gradient = vec![0_i64; self.traces[i].weights.len()];
                let x = &self.results[source];
                self.products(i, |xi, wi, ei| gradient[wi] += x.x[xi] as i64 * e[ei]);
                gradients.insert(layer.name.clone(), (gradient, None, [exponent - x.digits, exponent]));
                vec![(source, self.error_of_product(i, source, &Error { x: e, exponent }))]
            }
            LayerKind::BatchNorm { .. } | LayerKind::LayerNorm { .. } => {
                vec![(source, self.norm_back(i, source, &Error { x: e, exponent }, gradients))]
            }
            LayerKind::Relu => {
                let q = self.recipe.activation.of_layer(&layer.name);
                let trace = &self.traces[i];
                let clipped = q.surrogate == Surrogate::Clipped;
                let gate = |k: usize| if trace.passes[k] && (trace.inside[k] || !clipped) { e[k] } else { 0 };
                let gated = Error { x: (0..e.len()).map(gate).collect(), exponent };
                self.to_terms(source, gated)
            }
            LayerKind::MaxPool { .. } => {
                let mut out = zeros(source);
                self.traces[i].from.iter().zip(&e).for_each(|(from, e)| out[*from] += e);
                let is_words = self.results[i + 1].digits == 8 && !self.is_payload(source);
                let limit = if is_words { 127 } else { 32_767 };
                // 12 bits where a test says so.
                let limit =
                    if is_words { self.recipe.error_at_norm.base.format.max().max(limit) } else { limit };
                out.iter_mut().for_each(|e| *e = (*e).clamp(-limit, limit));
                vec![(source, Error { x: out, exponent })]
            }
            LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool => {
                let mut out = zeros(source);
                let pixels = self.means(i, |_, _| {});
                let m = pixels.ilog2();
                let share = |e: i64| Round::NearestDown.ratio(e << m, pixels as i64).clamp(-32_767, 32_767);
                self.means(i, |from, to| out[from] = share(e[to]));
                vec![(source, Error { x: out, exponent: exponent - m as i32 })]
            }
            LayerKind::Shortcut { .. } => {
                let mut out = zeros(source);
                self.kept(i, |from, to| out[from] = e[to]);
                vec![(source, Error { x: out, exponent })]
            }
            LayerKind::Concat => {
                let mut outs: Vec<_> = self.sources[i].iter().map(|s| (*s, zeros(*s))).collect();
                self.joined(i, |source, from, to| {
                    let (_, out) = outs.iter_mut().find(|(s, _)| *s == source).unwrap();
                    out[from] = e[to];
                });
                outs.into_iter().map(|(s, x)| (s, Error { x, exponent })).collect()
            }
            LayerKind::Add | LayerKind::Flatten => unreachable!("errors pass it with the ReLU behind it"),
        }
    }

    /// Whether a place holds payloads: what leaves a ReLU and what is made of it.
    fn is_payload(&self, place: usize) -> bool {
        place == 0
            || match self.model.layers[place - 1].kind {
                LayerKind::Conv { .. } => false,
                LayerKind::MaxPool { .. } => self.is_payload(self.sources[place - 1][0]),
                _ => true,
            }
    }

    /// A gated error to what a ReLU has added up: cut in front of a product, as it is for the rest.
    fn to_terms(&self, place: usize, error: Error) -> Vec<(usize, Error)> {
        let i = place - 1;
        match self.model.layers[i].kind {
            LayerKind::Add => {
                self.sources[i].iter().flat_map(|source| self.to_terms(*source, error.clone())).collect()
            }
            LayerKind::Conv { .. } => {
                let q = self.recipe.error_at_activation.base;
                let exact: Vec<i128> = error.x.iter().map(|x| i128::from(*x)).collect();
                let cut = self.quantize(q, &exact, error.exponent, Purpose::ErrorAtActivation, self.block(i));
                vec![(place, cut)]
            }
            _ => vec![(place, error)],
        }
    }

    fn error_of_product(&self, i: usize, source: usize, error: &Error) -> Error {
        let weights = &self.traces[i].weights;
        let c_out = self.shapes[i + 1].c;
        let c_in = match self.model.layers[i].kind {
            LayerKind::Conv { .. } => self.shapes[self.sources[i][0]].c,
            _ => weights.len() / c_out,
        };
        let mut reach = vec![0_u128; c_in];
        weights.iter().enumerate().for_each(|(k, w)| reach[k / c_out % c_in] += w.unsigned_abs());
        let largest = error.x.iter().map(|e| e.unsigned_abs()).max().unwrap_or(0);
        let bound = u128::from(largest) * reach.into_iter().max().unwrap();
        let shift = (128 - bound.leading_zeros() as i32 - 15).max(0);
        let mut sums = vec![0_i128; self.results[source].x.len()];
        self.products(i, |xi, wi, ei| sums[xi] += i128::from(error.x[ei]) * weights[wi]);
        let q = self.recipe.error_at_product.base;
        let stream = self.stream(Purpose::ErrorAtProduct, self.block(i));
        let word = |(k, sum): (usize, &i128)| {
            q.round.shift_right_wide(*sum, shift, stream.word(k as u64)).clamp(-32_767, 32_767)
        };
        let x = sums.iter().enumerate().map(word).collect();
        Error { x, exponent: error.exponent - self.weight_digits(i) + shift }
    }

    fn norm_back(&self, i: usize, source: usize, error: &Error, gradients: &mut Gradients) -> Error {
        let kind = self.model.layers[i].kind;
        let affine =
            kind == LayerKind::BatchNorm { affine: true } || kind == LayerKind::LayerNorm { affine: true };
        let (rows, c, trace) = (self.rows(i), self.shapes[i + 1].c, &self.traces[i]);
        let [(gain, gain_digits), _] = self.gains(i, affine);
        let x: Vec<i64> = self.results[source].x.iter().map(|x| *x as i64).collect();
        let is_layer = matches!(kind, LayerKind::LayerNorm { .. });
        let groups = self.groups(i, x.len());
        let n = x.len() / groups;
        let mut sums = vec![ErrorSums::default(); groups];
        let (mut products, mut errors) = (vec![0_i64; c], vec![0_i64; c]);
        // A layer norm's lines have one unit for all channels: errors are multiplied by their gains first.
        let gained = |k: usize| if is_layer { error.x[k] * gain[k % c] } else { error.x[k] };
        let gain_of = |group: usize| if is_layer { 1 } else { gain[group] };
        let finer = rows.mean.format.frac_bits() - rows.frac_bits;
        let sign = |k: usize| ((x[k] << finer) - trace.means[self.group(i, k)]).signum();
        for (k, e) in error.x.iter().enumerate() {
            let sums = &mut sums[self.group(i, k)];
            sums.errors += gained(k);
            sums.products += gained(k) * trace.values[k];
            sums.signs += sign(k);
            products[k % c] += e * trace.values[k];
            errors[k % c] += e;
        }
        let digits = rows.value.format.frac_bits();
        if affine {
            let worth = [error.exponent - digits, error.exponent];
            gradients.insert(self.model.layers[i].name.clone(), (products, Some(errors), worth));
        }
        // The most places with which every coefficient of an error has at most 14 bits, and every sum fits 32 bits.
        let bits = |k: usize| {
            let factor = (gain_of(k) * trace.lines[k].multiplier).unsigned_abs();
            (factor > 0).then(|| 64 - factor.leading_zeros() as i32 - trace.lines[k].power as i32)
        };
        let mut places = 14 - (0..groups).filter_map(bits).max().unwrap_or(0);
        let largest = error.x.iter().map(|e| e.unsigned_abs()).max().unwrap_or(0);
        let largest_gain = gain.iter().map(|g| g.unsigned_abs()).max().unwrap();
        let (largest, limit) = if is_layer { (largest * largest_gain, 1 << 62) } else { (largest, 1 << 31) };
        let lines = loop {
            let back = Back { rows, n: n as u64, places };
            let lines: Vec<_> = (0..groups).map(|k| back.line(gain_of(k), trace.lines[k], sums[k])).collect();
            if lines.iter().all(|line| line.bound(largest, rows.value.format.magnitude()) < limit) {
                break lines;
            }
            places -= 1;
        };
        let mut dx: Vec<i128> = (0..x.len())
            .map(|k| {
                let w = match rows.spread {
                    Spread::L1 => sign(k),
                    _ => trace.values[k],
                };
                let line = lines[self.group(i, k)];
                (gained(k) * line.from_error + w * line.from_value + line.constant).into()
            })
            .collect();
        if rows.spread == Spread::Range {
            for (k, part) in grid(c, range_parts(n)) {
                let at: Vec<usize> = range_part(part, n).map(|pixel| pixel * c + k).collect();
                let Some(largest) = at.iter().copied().reduce(|a, b| if x[b] > x[a] { b } else { a }) else {
                    continue;
                };
                let smallest = at.iter().copied().reduce(|a, b| if x[b] < x[a] { b } else { a }).unwrap();
                dx[largest] -= i128::from(lines[k].point);
                dx[smallest] += i128::from(lines[k].point);
            }
        }
        let unit = error.exponent + rows.spread_row.format.frac_bits() - gain_digits - places;
        let q = self.recipe.error_at_norm.base;
        // The product that left the words, behind a pooling or not.
        let mut product = source - 1;
        while !self.model.layers[product].kind.is_product() {
            product = self.sources[product][0] - 1;
        }
        self.quantize(q, &dx, unit, Purpose::ErrorAtActivation, self.block(product))
    }
}

/// Two errors behind one place.
fn add(a: Error, b: Error) -> Error {
    let largest = |e: &Error| e.x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0);
    let (high, low) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
    let apart = high.exponent - low.exponent;
    if largest(&low) == 0 || (apart > 30 && largest(&high) > 0) {
        return high;
    }
    if largest(&high) == 0 {
        return low;
    }
    let bound = (u128::from(largest(&high)) << apart) + u128::from(largest(&low));
    let shift = (128 - bound.leading_zeros() as i32 - 15).max(0);
    let sum = |(h, l): (&i64, &i64)| {
        let sum = (i128::from(*h) << apart) + i128::from(*l);
        Round::NearestDown.shift_right_wide(sum, shift, 0).clamp(-32_767, 32_767)
    };
    Error { x: high.x.iter().zip(&low.x).map(sum).collect(), exponent: low.exponent + shift }
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

fn compare(model: &Model, spec: &str, n: usize, seed: u64, black: bool) {
    let recipe = recipe(spec);
    let plan = Plan::build(model, &recipe, n).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let parameters = parameters(&plan, seed);
    let (mut images, labels) = batch(&plan, n, seed);
    if black {
        images.fill(0);
    }
    // As the plan has resolved '@last'.
    let last =
        model.layers.iter().rev().find(|l| {
            matches!(l.kind, LayerKind::Relu | LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool)
        });
    let names = [String::new(), last.unwrap().name.clone()];
    let recipe = recipe.with_ends(|_| names.clone());
    let key = StepKey { seed, step: seed >> 5 };
    let isa = Isa::available()[seed as usize % Isa::available().len()];
    let mut network = network::network(&plan, isa, 1 + seed as usize % 3);
    for key in [Some(key), None] {
        let mut step = Step::new(model, &recipe, &parameters, key);
        step.run(&images);
        network.load(&parameters, key);
        network.forward(&images, key);
        let logits = step.results.last().unwrap();
        for class in 0..4_u16 {
            let outcome = network.outcome(&vec![class; n]);
            let right = |row: &[i128]| row.iter().position(|y| y == row.iter().max().unwrap());
            let wrong = logits.x.chunks(4).filter(|row| right(row) != Some(usize::from(class))).count();
            assert_eq!(outcome.n_wrong, wrong, "{spec}, {n} images, seed {seed}: class {class}");
        }
        let Some(key) = key else { continue };
        network.backward(&labels, key);
        let expected = step.backward(&labels);
        for (found, block) in network.gradients().zip(&plan.blocks) {
            let Some((weight, bias, exponents)) = expected.get(&block.name) else {
                assert_eq!(block.product.n_weights(), 0, "{}", block.name);
                continue;
            };
            let what = format!("{spec}, {n} images, seed {seed}: {}", block.name);
            assert_eq!(&integers(found.weight), weight, "{what}");
            assert_eq!(found.bias.map(integers).as_ref(), bias.as_ref(), "{what}");
            assert_eq!(found.exponents, Some(*exponents), "{what}");
        }
    }
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
        [("fc1", linear), ("norm7", LayerKind::LayerNorm { affine: true }), ("relu7", LayerKind::Relu)];
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
