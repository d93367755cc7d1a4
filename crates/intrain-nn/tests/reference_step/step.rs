//! The step forward, layer by layer, in 128-bit integers; what is rounded, and where.
//!
//! A network of products alone follows sections 7.1 and 7.3 of the contract: a product, a pooling and a ReLU are a block,
//! behind which one row rounds; in every other network each ReLU is.

mod back;
mod loss;
mod norm;
mod places;

use intrain_model::{LayerKind, Logits, Model, Shape, Window};
use intrain_nn::{Parameters, StepKey};
use intrain_num::norm::ChannelAffine;
use intrain_num::random::{Lfsr, Purpose, Stream};
use intrain_num::scale::{fan_log2, round_log2};
use intrain_num::{Quantizer, RandomSource, Round, Scale, Surrogate};
use intrain_recipe::{Bias, Recipe};

pub(crate) use loss::answer;

/// Integers and their fraction bits.
#[derive(Clone, Default)]
pub(crate) struct Tensor {
    pub(crate) x: Vec<i128>,
    pub(crate) digits: i32,
    /// The range of the format that has rounded them, where one has.
    limits: [i128; 2],
}

impl Tensor {
    const fn exact(x: Vec<i128>, digits: i32) -> Self {
        Self { x, digits, limits: [i128::MIN, i128::MAX] }
    }

    /// A wide error of section 7.3: held in 16 bits.
    fn wide(mut x: Vec<i128>, digits: i32) -> Self {
        let limits = [-32_767, 32_767];
        x.iter_mut().for_each(|x| *x = (*x).clamp(limits[0], limits[1]));
        Self { x, digits, limits }
    }

    /// Other integers of the same worth.
    const fn like(&self, x: Vec<i128>) -> Self {
        Self { x, ..*self }
    }

    fn largest(&self) -> u128 {
        self.x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0)
    }

    fn i64s(&self) -> Vec<i64> {
        self.x.iter().map(|x| *x as i64).collect()
    }

    /// Zeros where `keep` says no.
    fn mask(&mut self, keep: &[bool]) {
        assert_eq!(self.x.len(), keep.len());
        self.x.iter_mut().zip(keep).filter(|(_, keep)| !**keep).for_each(|(x, _)| *x = 0);
    }
}

/// What the backward pass needs of a layer.
#[derive(Default)]
struct Trace {
    /// Of a ReLU.
    passes: Vec<bool>,
    /// Where the activation's quantizer lets an error pass.
    inside: Vec<bool>,
    /// Of a max pooling: where each result came from.
    from: Vec<usize>,
    weights: Tensor,
    lines: Vec<ChannelAffine>,
    means: Vec<i64>,
    values: Vec<i64>,
}

/// The whole step's inputs, and what its forward pass leaves behind.
pub(crate) struct Step<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    parameters: &'a [Parameters],
    /// `None`: as in evaluation.
    key: Option<StepKey>,
    shapes: Vec<Shape>,
    sources: Vec<Vec<usize>>,
    /// Whether the network is no chain.
    is_graph: bool,
    /// Whether errors in front of products are rounded by what they could reach.
    has_bound: bool,
    n: usize,
    /// Result of each place of the model, the image first.
    results: Vec<Tensor>,
    traces: Vec<Trace>,
}

impl<'a> Step<'a> {
    /// Runs a step forward over all layers.
    pub(crate) fn run(
        (model, recipe): (&'a Model, &'a Recipe),
        parameters: &'a [Parameters],
        key: Option<StepKey>,
        images: &[u8],
    ) -> Self {
        let (shapes, sources) = (model.shapes().unwrap(), model.sources().unwrap());
        let has_bound = recipe.error_at_product.base.scale == Scale::Bound;
        let is_graph = has_bound || model.beyond_a_chain().is_some();
        let n = images.len() / model.input.shape.len();
        let (results, traces) = (vec![], vec![]);
        let mut step =
            Self { model, recipe, parameters, key, shapes, sources, is_graph, has_bound, n, results, traces };
        step.results.push(step.input(images));
        for i in 0..model.layers.len() {
            let (mut y, mut trace) = step.layer(i);
            trace.inside = vec![true; y.x.len()];
            if let Some((q, block)) = step.rounding_behind(i) {
                trace.inside = inside(q, &y);
                let entering = &step.results[step.sources[i][0]];
                y = match q.scale {
                    // By the largest of what enters a ReLU.
                    Scale::Dynamic => step.quantize_by(q, entering.largest(), &y),
                    _ => step.quantize(q, &y, Purpose::Activation, block),
                };
            }
            step.results.push(y);
            step.traces.push(trace);
        }
        step
    }

    /// Whether a gradient has the power of two of the errors that made it.
    pub(crate) fn keeps_exponents(&self) -> bool {
        let recipe = self.recipe;
        let rows = [
            &recipe.activation_at_product,
            &recipe.error_at_loss,
            &recipe.error_at_activation,
            &recipe.error_at_norm,
        ];
        self.is_graph || rows.iter().any(|row| row.base.scale == Scale::Dynamic)
    }

    pub(crate) fn logits(&self) -> &Tensor {
        self.results.last().unwrap()
    }

    fn stream(&self, purpose: Purpose, block: usize) -> Stream {
        let key = self.key.unwrap_or(StepKey { seed: 0, step: 0 });
        Stream::new(key.seed, purpose, block as u32, key.step)
    }

    /// Section 1.4 on a whole tensor.
    fn quantize(&self, q: Quantizer, exact: &Tensor, purpose: Purpose, block: usize) -> Tensor {
        let stream = self.stream(purpose, block);
        self.quantize_with(q, exact, |element| stream.word(element as u64))
    }

    /// The same for a product's results in rows of `columns`, where an array may have rounded them.
    fn quantize_product(
        &self,
        q: Quantizer,
        exact: &Tensor,
        (purpose, block): (Purpose, usize),
        columns: usize,
    ) -> Tensor {
        let RandomSource::Columns(array) = self.recipe.random else {
            return self.quantize(q, exact, purpose, block);
        };
        let stream = self.stream(purpose, block);
        let (n, rows) = (array.n, exact.x.len() / columns);
        let (row_tiles, column_tiles) = (rows.div_ceil(n), columns.div_ceil(n));
        // Section 3.4: the draws of each column, one after the other.
        let of_column = |column: usize| -> Vec<u32> {
            let seed = array.seeds(stream).nth(column).unwrap();
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

    /// By a power of two that other integers of the same unit have.
    fn quantize_by(&self, q: Quantizer, largest: u128, exact: &Tensor) -> Tensor {
        let n = round_log2(largest as u64).unwrap_or(0);
        let as_if = Tensor { digits: n, ..exact.clone() };
        let rounded = self.quantize_with(Quantizer { scale: Scale::One, ..q }, &as_if, |_| 0);
        Tensor { digits: q.format.frac_bits() + exact.digits - n, ..rounded }
    }

    fn quantize_with(&self, q: Quantizer, exact: &Tensor, word: impl Fn(usize) -> u32) -> Tensor {
        let n = match q.scale {
            Scale::Shift | Scale::Dynamic => round_log2(exact.largest() as u64).unwrap_or(0) - exact.digits,
            _ => 0,
        };
        let round = if self.key.is_some() { q.round } else { q.round.in_evaluation() };
        let code = |(i, x): (usize, &i128)| {
            let rounded = round.shift_right_wide(*x, exact.digits + n - q.format.frac_bits(), word(i));
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
        };
        // '@shift' forgets the power of two, '@dynamic' keeps it.
        let digits = q.format.frac_bits() - if q.scale == Scale::Dynamic { n } else { 0 };
        let codes = exact.x.iter().enumerate().map(code).map(i128::from).collect();
        Tensor { x: codes, digits, limits: [q.format.min(), q.format.max()].map(i128::from) }
    }

    fn input(&self, images: &[u8]) -> Tensor {
        let q = self.recipe.input.base;
        let code = |p: &u8| {
            let (numerator, denominator) = self.model.input.pixels.fraction(*p);
            let rounded = q.round.ratio(numerator << q.format.frac_bits(), denominator);
            q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits()).into()
        };
        Tensor::exact(images.iter().map(code).collect(), q.format.frac_bits())
    }

    /// The row `activation` that rounds what leaves a layer, and the number of its random bits.
    fn rounding_behind(&self, i: usize) -> Option<(Quantizer, usize)> {
        let layers = &self.model.layers;
        let (row, kind) = (&self.recipe.activation, layers[i].kind);
        let product = self.product_before(i + 1)?;
        if self.is_graph && kind.is_activation() {
            let fused = self.fused(i);
            let q = row.of_layer(&layers[fused.unwrap_or(i)].name);
            return match q.format.is_quantized() {
                true => Some((row.of_layer(&layers[i].name), self.block(product))),
                // What a product has rounded is not rounded again.
                false => fused.is_none().then(|| (self.row_between(i), self.block(product))),
            };
        }
        if self.is_graph {
            return None;
        }
        let next = layers[i + 1..].iter().find(|layer| layer.kind != LayerKind::Flatten);
        let ends_block = kind != LayerKind::Flatten && next.is_none_or(|layer| layer.kind.is_product());
        let is_exact = next.is_none() && self.model.logits == Logits::Exact;
        let q = row.of_layer(&layers[product].name);
        (ends_block && q.format.is_quantized() && !is_exact).then(|| (q, self.block(product)))
    }

    /// The row `activation`, or `activation.product` to the nearest.
    fn row_between(&self, i: usize) -> Quantizer {
        let name = &self.model.layers[i].name;
        let (row, at_product) =
            (self.recipe.activation.of_layer(name), self.recipe.activation_at_product.of_layer(name));
        let at_product = Quantizer { round: at_product.round.in_evaluation(), ..at_product };
        if row.format.is_quantized() { row } else { at_product }
    }

    /// The product of a graph whose block ends in the ReLU `i`: no other layer reads what lies between, and one row alone
    /// rounds.
    fn fused(&self, i: usize) -> Option<usize> {
        let layers = &self.model.layers;
        let reads = |place: usize| self.sources.iter().flatten().filter(|source| **source == place).count();
        let (mut place, mut pools) = (self.sources[i][0], 0);
        while reads(place) == 1 && place > 0 {
            let before = place - 1;
            match layers[before].kind {
                LayerKind::MaxPool { .. } if pools == 0 => pools += 1,
                LayerKind::Flatten => {}
                kind if kind.is_product() && layers[i].kind == LayerKind::Relu => {
                    let at_product = self.recipe.activation_at_product.of_layer(&layers[before].name);
                    let row = self.recipe.activation.of_layer(&layers[i].name);
                    let is_one = !(at_product.format.is_quantized() && row.format.is_quantized());
                    return is_one.then_some(before);
                }
                _ => return None,
            }
            place = self.sources[before][0];
        }
        None
    }

    /// The sum of two at the finer unit, at most 30 digits from the coarser.
    fn sum(&self, i: usize) -> Tensor {
        let [a, b] = [0, 1].map(|k| &self.results[self.sources[i][k]]);
        let digits = a.digits.max(b.digits).min(a.digits.min(b.digits) + 30);
        let of = |t: &Tensor, k: usize| -> i128 {
            match digits - t.digits {
                finer @ 0.. => t.x[k] << finer,
                coarser => Round::NearestDown.shift_right_wide(t.x[k], -coarser, 0).into(),
            }
        };
        Tensor::exact((0..a.x.len()).map(|k| of(a, k) + of(b, k)).collect(), digits)
    }

    /// The mean of sums over so many pixels each, rounded.
    fn mean(&self, i: usize, sums: &Tensor, pixels: usize) -> Tensor {
        let q = self.row_between(i);
        let mut digits = q.format.frac_bits();
        if q.scale == Scale::Dynamic {
            let largest = (sums.largest() << 24) / pixels as u128;
            digits += sums.digits - round_log2(largest as u64).map_or(0, |n| n - 24);
        }
        let places = digits - sums.digits;
        let mean = |sum: &i128| {
            let (up, down) = (places.max(0), (-places).max(0));
            let mean = Round::NearestDown.ratio_wide(sum << up, (pixels as i128) << down);
            i128::from(mean.clamp(q.format.min(), q.format.max()))
        };
        Tensor::exact(sums.x.iter().map(mean).collect(), digits)
    }

    fn layer(&self, i: usize) -> (Tensor, Trace) {
        let (layer, source) = (&self.model.layers[i], self.sources[i][0]);
        let entering = &self.results[source];
        let mut zeros = vec![0; self.n * self.shapes[i + 1].len()];
        let mut trace = Trace::default();
        let y = match layer.kind {
            LayerKind::Conv { .. } | LayerKind::GroupedConv { .. } | LayerKind::Linear { .. } => {
                return self.product(i);
            }
            LayerKind::BatchNorm { affine } | LayerKind::LayerNorm { affine } => return self.norm(i, affine),
            LayerKind::Relu => {
                trace.passes = entering.x.iter().map(|x| *x > 0).collect();
                entering.like(entering.x.iter().map(|x| (*x).max(0)).collect())
            }
            LayerKind::Relu6 => {
                let six = 6 << entering.digits;
                // Its errors pass inside of the format alone, whatever the row says.
                let q = self.recipe.activation.of_layer(&layer.name);
                let limit = i128::from(q.format.max()) << (entering.digits - q.format.frac_bits());
                trace.passes = entering.x.iter().map(|x| (1..=six.min(limit)).contains(x)).collect();
                entering.like(entering.x.iter().map(|x| (*x).clamp(0, six)).collect())
            }
            LayerKind::Add => self.sum(i),
            LayerKind::MaxPool { size, stride, pad } => {
                let mut best = vec![None; zeros.len()];
                self.pooled(i, Window::square(size, stride, pad), |from, to| {
                    if best[to].is_none_or(|at: usize| entering.x[from] > entering.x[at]) {
                        best[to] = Some(from);
                    }
                });
                trace.from = best.into_iter().map(Option::unwrap).collect();
                entering.like(trace.from.iter().map(|from| entering.x[*from]).collect())
            }
            LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool => {
                let pixels = self.means(i, |from, to| zeros[to] += entering.x[from]);
                self.mean(i, &Tensor::exact(zeros, entering.digits), pixels)
            }
            LayerKind::Shortcut { .. } => {
                self.kept(i, |from, to| zeros[to] = entering.x[from]);
                entering.like(zeros)
            }
            LayerKind::Concat => {
                // At the coarsest unit.
                let digits = self.sources[i].iter().map(|source| self.results[*source].digits).min().unwrap();
                self.joined(i, |source, from, to| {
                    let part = &self.results[source];
                    let coarser = part.digits - digits;
                    zeros[to] = Round::NearestDown.shift_right_wide(part.x[from], coarser, 0).into();
                });
                Tensor { x: zeros, digits, ..*entering }
            }
            LayerKind::Flatten => entering.clone(),
        };
        (y, trace)
    }

    fn fan_in(&self, i: usize) -> usize {
        self.parameters[self.block(i)].weight.len() / self.shapes[i + 1].c
    }

    fn has_bias(&self, i: usize) -> bool {
        let kind = self.model.layers[i].kind;
        kind.is_product() && kind.biases(self.shapes[i]) > 0 && self.recipe.bias == Bias::Model
    }

    /// Section 7.1: the stored weights as products read them, and `log2 alpha`, by which the product is divided.
    fn weights(&self, i: usize) -> (Tensor, i32) {
        let name = &self.model.layers[i].name;
        let (read, master) = (self.recipe.weight.of_layer(name), self.recipe.master.of_layer(name));
        let stored = &self.parameters[self.block(i)].weight;
        let codes = (0..stored.len()).map(|k| stored.code(k).into()).collect();
        let mut w = Tensor::exact(codes, master.format.frac_bits());
        let mut alpha = 0;
        if read.format.is_quantized() {
            w = self.quantize(read, &w, Purpose::Weight, self.block(i));
            if read.scale == Scale::Alpha {
                let least = 1.5 * 2f64.powi(1 - read.format.bits() as i32);
                alpha = (least / (3.0 / self.fan_in(i) as f64).sqrt()).log2().round().max(0.0) as i32;
            }
        }
        if [read, master].iter().any(|q| q.scale == Scale::Fan) {
            w.digits -= fan_log2(self.fan_in(i));
        }
        (w, alpha)
    }

    /// Weights and product of section 7.1.
    fn product(&self, i: usize) -> (Tensor, Trace) {
        let (name, c, block) = (&self.model.layers[i].name, self.shapes[i + 1].c, self.block(i));
        let entering = &self.results[self.sources[i][0]];
        let (weights, alpha) = self.weights(i);
        let mut sums = vec![0; self.n * self.shapes[i + 1].len()];
        self.products(i, |x, w, y| sums[y] += entering.x[x] * weights.x[w]);
        let digits = entering.digits + weights.digits;
        if self.has_bias(i) {
            let bias = self.parameters[block].bias.as_ref().unwrap();
            let finer = digits - self.recipe.master.of_layer(name).format.frac_bits();
            let add = |(y, sum): (usize, &mut i128)| *sum += i128::from(bias.code(y % c)) << finer;
            sums.iter_mut().enumerate().for_each(add);
        }
        let mut y = Tensor::exact(sums, digits + alpha);
        let q = self.recipe.activation_at_product.of_layer(name);
        let is_exact = self.has_bound && i + 1 == self.model.layers.len();
        if q.format.is_quantized() && !is_exact {
            y = self.quantize_product(q, &y, (Purpose::Activation, block), c);
        }
        (y, Trace { weights, ..Trace::default() })
    }
}

/// Section 6.6: where the quantizer `q` of an activation lets the error of `y` pass.
fn inside(q: Quantizer, y: &Tensor) -> Vec<bool> {
    let places = y.digits - q.format.frac_bits();
    let [min, max] = [q.format.min(), q.format.max()].map(|limit| i128::from(limit) << places.max(0));
    let holds = |y: &i128| (min..=max).contains(&(y << (-places).max(0)));
    y.x.iter().map(|y| q.surrogate != Surrogate::Clipped || holds(y)).collect()
}
