//! The step, block by block: what a model says, forward, the loss, and the way back.

use intrain_model::{LayerKind, Logits, Model, Shape};
use intrain_nn::{Parameters, StepKey};
use intrain_num::random::{Lfsr, Purpose, Stream};
use intrain_num::scale::{fan_log2, round_log2};
use intrain_num::{Quantizer, RandomSource, Real, Scale, Surrogate, softmax};
use intrain_recipe::{Bias, Loss, Recipe};

/// A product with what follows it, as the model says.
struct Block<'a> {
    name: &'a str,
    input: Shape,
    product: Shape,
    output: Shape,
    kernel: usize,
    stride: usize,
    pad: usize,
    pool: Option<(usize, usize)>,
    relu: bool,
    bias: bool,
}

fn blocks<'a>(model: &'a Model, recipe: &Recipe) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut shape = model.input.shape;
    for layer in &model.layers {
        let input = shape;
        shape = layer.kind.output(input).unwrap();
        let (kernel, stride, pad, bias) = match layer.kind {
            LayerKind::Conv { kernel, stride, pad, bias, .. } => (kernel, stride, pad, bias),
            LayerKind::Linear { bias, .. } => (1, 1, 0, bias),
            LayerKind::MaxPool { size, stride, pad: 0 } => {
                let block = blocks.last_mut().unwrap();
                (block.pool, block.output) = (Some((size, stride)), shape);
                continue;
            }
            LayerKind::Relu => {
                blocks.last_mut().unwrap().relu = true;
                continue;
            }
            LayerKind::Flatten => continue,
            kind => unreachable!("a chain has no {kind:?}"),
        };
        let bias = bias && recipe.bias == Bias::Model;
        let (name, product, output) = (layer.name.as_str(), shape, shape);
        blocks.push(Block {
            name,
            input,
            product,
            output,
            kernel,
            stride,
            pad,
            pool: None,
            relu: false,
            bias,
        });
    }
    blocks
}

impl Block<'_> {
    fn fan_in(&self) -> usize {
        self.kernel * self.kernel * self.input.c
    }

    /// Calls `f(index of X, of W, of E)` for every product of the three sums of section 6.2.
    fn products(&self, n: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (input, output) = (self.input, self.product);
        for b in 0..n {
            for (y, x) in grid(output) {
                for (ky, kx) in grid(Shape { h: self.kernel, w: self.kernel, c: 0 }) {
                    let v = (y * self.stride + ky) as i64 - self.pad as i64;
                    let u = (x * self.stride + kx) as i64 - self.pad as i64;
                    if v < 0 || u < 0 || v >= input.h as i64 || u >= input.w as i64 {
                        continue;
                    }
                    for i in 0..input.c {
                        for o in 0..output.c {
                            f(
                                ((b * input.h + v as usize) * input.w + u as usize) * input.c + i,
                                ((ky * self.kernel + kx) * input.c + i) * output.c + o,
                                ((b * output.h + y) * output.w + x) * output.c + o,
                            );
                        }
                    }
                }
            }
        }
    }

    /// Calls `f(index of the pooled element, place in its window, index of the product's element)`.
    fn windows(&self, n: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (from, to) = (self.product, self.output);
        let (size, stride) = self.pool.unwrap_or((1, 1));
        for b in 0..n {
            for (y, x) in grid(to) {
                for (ky, kx) in grid(Shape { h: size, w: size, c: 0 }) {
                    for o in 0..to.c {
                        let pixel = (b * from.h + y * stride + ky) * from.w + x * stride + kx;
                        let out = ((b * to.h + y) * to.w + x) * to.c + o;
                        f(out, ky * size + kx, pixel * from.c + o);
                    }
                }
            }
        }
    }
}

fn grid(shape: Shape) -> impl Iterator<Item = (usize, usize)> {
    (0..shape.h).flat_map(move |y| (0..shape.w).map(move |x| (y, x)))
}

/// What a block's forward pass leaves behind.
#[derive(Default)]
pub(crate) struct Trace {
    x: Vec<i64>,
    w: Vec<i64>,
    w_digits: i32,
    passes: Vec<bool>,
    inside: Vec<bool>,
    index: Vec<usize>,
}

/// The whole step's inputs.
pub(crate) struct Step<'a> {
    pub(crate) model: &'a Model,
    pub(crate) recipe: &'a Recipe,
    pub(crate) parameters: &'a [Parameters],
    /// `None`: as in evaluation.
    pub(crate) key: Option<StepKey>,
}

/// A tensor of exact integers with their digits behind the point.
pub(crate) type Exact = (Vec<i128>, i32);

impl Step<'_> {
    fn stream(&self, purpose: Purpose, layer: usize) -> Stream {
        let key = self.key.unwrap_or(StepKey { seed: 0, step: 0 });
        Stream::new(key.seed, purpose, layer as u32, key.step)
    }

    /// Section 1.4 on a whole tensor.
    fn quantize(&self, q: Quantizer, exact: &Exact, purpose: Purpose, layer: usize) -> Vec<i64> {
        let stream = self.stream(purpose, layer);
        self.quantize_with(q, exact, |element| stream.word(element as u64))
    }

    /// The same for a product's results in rows of `columns`, where an array may have rounded them.
    fn quantize_product(
        &self,
        q: Quantizer,
        exact: &Exact,
        (purpose, layer): (Purpose, usize),
        columns: usize,
    ) -> Vec<i64> {
        let RandomSource::Columns(array) = self.recipe.random else {
            return self.quantize(q, exact, purpose, layer);
        };
        let stream = self.stream(purpose, layer);
        let (n, rows) = (array.n, exact.0.len() / columns);
        let (row_tiles, column_tiles) = (rows.div_ceil(n), columns.div_ceil(n));
        // Section 3.4: the draws of each column, one after the other.
        let of_column = |column: usize| -> Vec<u32> {
            let seed = array.seed(stream, column as u64);
            let mut lfsr = Lfsr::new(array.bits, array.taps, seed).unwrap();
            (0..row_tiles * column_tiles * n).map(|_| lfsr.draw() << (32 - array.bits)).collect()
        };
        let draws: Vec<Vec<u32>> = (0..n).map(of_column).collect();
        self.quantize_with(q, exact, |element| {
            let (row, column) = (element / columns, element % columns);
            let panel = row / n / array.panel;
            let in_panel = array.panel.min(row_tiles - panel * array.panel);
            let tile = panel * array.panel * column_tiles + column / n * in_panel + row / n % array.panel;
            draws[column % n][tile * n + row % n]
        })
    }

    fn quantize_with(&self, q: Quantizer, (x, digits): &Exact, word: impl Fn(usize) -> u32) -> Vec<i64> {
        let largest = x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0);
        let n = match q.scale {
            Scale::Shift | Scale::Dynamic => round_log2(largest as u64).map_or(0, |log2| log2 - digits),
            _ => 0,
        };
        let round = if self.key.is_some() { q.round } else { q.round.in_evaluation() };
        let payload = |(i, x): (usize, &i128)| {
            let rounded = round.shift_right_wide(*x, digits + n - q.format.frac_bits(), word(i));
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
        };
        x.iter().enumerate().map(payload).collect()
    }

    fn input(&self, images: &[u8]) -> Vec<i64> {
        let q = self.recipe.input.base;
        let payload = |p: &u8| {
            let (numerator, denominator) = self.model.input.pixels.fraction(*p);
            let rounded = q.round.ratio(numerator << q.format.frac_bits(), denominator);
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
        };
        images.iter().map(payload).collect()
    }

    /// Station 1: the stored weights as products read them.
    fn weights(&self, i: usize, block: &Block<'_>) -> (Vec<i64>, i32, i32) {
        let (read, master) =
            (self.recipe.weight.of_layer(block.name), self.recipe.master.of_layer(block.name));
        let stored = &self.parameters[i].weight;
        let payloads: Vec<i128> = (0..stored.len()).map(|k| stored.payload(k).into()).collect();
        let is_fan = read.scale == Scale::Fan || master.scale == Scale::Fan;
        let fan = if is_fan { fan_log2(block.fan_in()) } else { 0 };
        let digits = master.format.frac_bits() - fan;
        if !read.format.is_quantized() {
            return (payloads.iter().map(|x| *x as i64).collect(), digits, 0);
        }
        let alpha = match read.scale {
            Scale::Alpha => {
                let least = 1.5 * 2f64.powi(1 - read.format.bits() as i32);
                (least / (3.0 / block.fan_in() as f64).sqrt()).log2().round().max(0.0) as i32
            }
            _ => 0,
        };
        (self.quantize(read, &(payloads, digits), Purpose::Weight, i), read.format.frac_bits(), alpha)
    }

    /// Stations 2 to 6 of section 7.1: the block's output, and what the way back needs.
    fn forward(&self, i: usize, block: &Block<'_>, x: Vec<i64>, x_digits: i32, last: bool) -> (Exact, Trace) {
        let n = x.len() / block.input.len();
        let (w, w_digits, alpha) = self.weights(i, block);
        let mut sums = vec![0i128; n * block.product.len()];
        block.products(n, |xi, wi, yi| sums[yi] += i128::from(x[xi]) * i128::from(w[wi]));
        if block.bias {
            let bias = self.parameters[i].bias.as_ref().unwrap();
            let finer = x_digits + w_digits - self.recipe.master.of_layer(block.name).format.frac_bits();
            for (yi, sum) in sums.iter_mut().enumerate() {
                *sum += i128::from(bias.payload(yi % block.product.c)) << finer;
            }
        }
        let mut y = (sums, x_digits + w_digits + alpha);
        let q = self.recipe.activation_at_product.of_layer(block.name);
        if q.format.is_quantized() {
            let payloads = self.quantize_product(q, &y, (Purpose::Activation, i), block.product.c);
            let largest = y.0.iter().map(|y| y.unsigned_abs()).max().unwrap_or(0);
            let n = match q.scale {
                Scale::Dynamic => round_log2(largest as u64).unwrap_or(0) - y.1,
                _ => 0,
            };
            y = (payloads.into_iter().map(i128::from).collect(), q.format.frac_bits() - n);
        }
        let mut pooled = vec![i128::MIN; n * block.output.len()];
        let mut index = vec![0; pooled.len()];
        block.windows(n, |out, place, from| {
            if y.0[from] > pooled[out] {
                (pooled[out], index[out]) = (y.0[from], place);
            }
        });
        y.0 = pooled;
        let passes = y.0.iter().map(|v| !block.relu || *v > 0).collect();
        if block.relu {
            y.0.iter_mut().for_each(|v| *v = (*v).max(0));
        }
        let mut inside = vec![true; y.0.len()];
        let q = self.recipe.activation.of_layer(block.name);
        if q.format.is_quantized() && !(last && self.model.logits == Logits::Exact) {
            let places = y.1 - q.format.frac_bits();
            let at = |payload: i64| i128::from(payload) << places.max(0);
            let is_inside = |v: &i128| {
                let v = v << (-places).max(0);
                at(q.format.min()) <= v && v <= at(q.format.max())
            };
            inside = y.0.iter().map(is_inside).collect();
            let payloads = self.quantize(q, &y, Purpose::Activation, i);
            y = (payloads.into_iter().map(i128::from).collect(), q.format.frac_bits());
        }
        (y, Trace { x, w, w_digits, passes, inside, index })
    }

    /// All blocks: the logits and the traces.
    pub(crate) fn run(&self, images: &[u8]) -> (Exact, Vec<Trace>) {
        let blocks = blocks(self.model, self.recipe);
        let mut y = (
            self.input(images).into_iter().map(i128::from).collect::<Vec<_>>(),
            self.recipe.input.base.format.frac_bits(),
        );
        let mut traces = Vec::new();
        for (i, block) in blocks.iter().enumerate() {
            let x = y.0.iter().map(|x| *x as i64).collect();
            let (next, trace) = self.forward(i, block, x, y.1, i + 1 == blocks.len());
            traces.push(trace);
            y = next;
        }
        (y, traces)
    }

    /// Section 7.2: payloads of `error.loss`.
    fn error_at_loss(&self, (y, digits): &Exact, labels: &[u16]) -> Vec<i64> {
        let n_classes = y.len() / labels.len();
        let layer = blocks(self.model, self.recipe).len() - 1;
        let is_label = |i: usize| i % n_classes == usize::from(labels[i / n_classes]);
        let q = self.recipe.error_at_loss.base;
        if self.recipe.loss == Loss::SquaredError {
            let target = |i: usize| if is_label(i) { 1i128 << digits } else { 0 };
            let errors = y.iter().enumerate().map(|(i, y)| y - target(i)).collect();
            return self.quantize(q, &(errors, *digits), Purpose::ErrorAtLoss, layer);
        }
        if self.recipe.loss != Loss::SoftmaxCrossEntropy {
            let (mut errors, mut unit) = (vec![], 0);
            for (row, label) in y.chunks(n_classes).zip(labels) {
                let (row, label) = (row.iter().map(|y| *y as i64), usize::from(*label));
                let put = |error: i64| errors.push(i128::from(error));
                if self.recipe.loss == Loss::SoftmaxIExp {
                    unit = softmax::I_EXP_DIGITS;
                    softmax::i_exp_error(row, *digits, label, put);
                } else {
                    unit = softmax::BASE_2_DIGITS;
                    softmax::base_2_error(row, *digits, label, put);
                }
            }
            return self.quantize(q, &(errors, unit), Purpose::ErrorAtLoss, layer);
        }
        let stream = self.stream(Purpose::ErrorAtLoss, layer);
        let p = y.chunks(n_classes).flat_map(|row| float_softmax(row, *digits));
        p.enumerate()
            .map(|(i, p)| {
                let error = Real::from_f64(p - if is_label(i) { 1.0 } else { 0.0 }).unwrap();
                q.payload(error, 0, stream.word(i as u64))
            })
            .collect()
    }

    /// Section 7.3: the gradients of weights and biases, block by block.
    pub(crate) fn backward(
        &self,
        logits: &Exact,
        traces: &[Trace],
        labels: &[u16],
    ) -> Vec<(Vec<i64>, Option<Vec<i64>>)> {
        let blocks = blocks(self.model, self.recipe);
        let mut cut = self.recipe.error_at_loss.base;
        let mut error = self.error_at_loss(logits, labels);
        let last = blocks.len() - 1;
        let surrogate = self.recipe.activation.of_layer(blocks[last].name).surrogate;
        if surrogate == Surrogate::Clipped && self.model.logits == Logits::Quantized {
            error.iter_mut().zip(&traces[last].inside).filter(|(_, i)| !**i).for_each(|(e, _)| *e = 0);
        }
        let mut gradients = Vec::new();
        for (i, block) in blocks.iter().enumerate().rev() {
            let trace = &traces[i];
            let n = labels.len();
            let mut e = vec![0i64; n * block.product.len()];
            block.windows(n, |out, place, from| {
                if trace.index[out] == place {
                    e[from] += error[out];
                }
            });
            e.iter_mut().for_each(|e| *e = (*e).clamp(cut.format.min(), cut.format.max()));
            let mut gradient = vec![0i64; trace.w.len()];
            block.products(n, |xi, wi, ei| gradient[wi] += trace.x[xi] * e[ei]);
            let bias = block.bias.then(|| {
                (0..block.product.c).map(|o| e.iter().skip(o).step_by(block.product.c).sum()).collect()
            });
            gradients.push((gradient, bias));
            let Some(before) = i.checked_sub(1) else { break };
            let mut sums = vec![0i128; trace.x.len()];
            block.products(n, |xi, wi, ei| sums[xi] += i128::from(e[ei]) * i128::from(trace.w[wi]));
            (error, cut) =
                self.cut(before, i, (sums, cut.format.frac_bits() + trace.w_digits), &traces[before]);
        }
        gradients.reverse();
        gradients
    }

    /// Steps 4 to 6 of section 7.3, from the sums behind block `i` to the error at the output of block `before`.
    fn cut(&self, before: usize, i: usize, mut sums: Exact, trace: &Trace) -> (Vec<i64>, Quantizer) {
        let blocks = blocks(self.model, self.recipe);
        if self.recipe.activation.of_layer(blocks[before].name).surrogate == Surrogate::Clipped {
            sums.0.iter_mut().zip(&trace.inside).filter(|(_, inside)| !**inside).for_each(|(s, _)| *s = 0);
        }
        let at_activation = self.recipe.error_at_activation.of_layer(blocks[before].name);
        let (q, purpose, layer) = if at_activation.format.is_quantized() {
            (at_activation, Purpose::ErrorAtActivation, before)
        } else {
            (self.recipe.error_at_product.of_layer(blocks[i].name), Purpose::ErrorAtProduct, i)
        };
        let mut error = match purpose {
            Purpose::ErrorAtProduct => self.quantize_product(q, &sums, (purpose, layer), blocks[i].input.c),
            _ => self.quantize(q, &sums, purpose, layer),
        };
        error.iter_mut().zip(&trace.passes).filter(|(_, passes)| !**passes).for_each(|(e, _)| *e = 0);
        (error, q)
    }
}

fn float_softmax(row: &[i128], digits: i32) -> Vec<f64> {
    let y: Vec<f64> = row.iter().map(|y| Real { mantissa: *y as i64, exponent: -digits }.to_f64()).collect();
    let largest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = y.iter().map(|y| libm::exp(y - largest)).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

/// `(wrong answers, loss)` of the logits.
pub(crate) fn answer(recipe: &Recipe, (y, digits): &Exact, labels: &[u16]) -> (usize, f64) {
    let n_classes = y.len() / labels.len();
    let (mut wrong, mut loss) = (0, 0.0);
    for (row, label) in y.chunks(n_classes).zip(labels.iter().map(|l| usize::from(*l))) {
        let first_largest = row.iter().position(|y| y == row.iter().max().unwrap()).unwrap();
        wrong += usize::from(first_largest != label);
        loss += match recipe.loss {
            Loss::SoftmaxCrossEntropy | Loss::SoftmaxIExp | Loss::SoftmaxBase2 => {
                -libm::log(float_softmax(row, *digits)[label].max(f64::MIN_POSITIVE))
            }
            Loss::SquaredError => {
                let target = |c: usize| if c == label { 1i128 << digits } else { 0 };
                let squares = row.iter().enumerate().map(|(c, y)| (y - target(c)).pow(2));
                0.5 * squares.sum::<i128>() as f64 * 2f64.powi(-2 * digits)
            }
        };
    }
    (wrong, loss)
}
