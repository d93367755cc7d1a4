//! The backward pass: gradients of every product and norm, and the errors in front of them.

use std::collections::BTreeMap;

use intrain_model::LayerKind;
use intrain_num::random::Purpose;
use intrain_num::{Quantizer, Round, Scale};

use super::{Step, Tensor};

/// By layer: gradients of weights and biases, and what 1 of each is worth.
pub(crate) type Gradients = BTreeMap<String, (Vec<i64>, Option<Vec<i64>>, [i32; 2])>;

impl Step<'_> {
    pub(crate) fn backward(&self, labels: &[u16]) -> Gradients {
        let mut gradients = Gradients::new();
        let mut errors: Vec<Option<Tensor>> = vec![None; self.results.len()];
        let mut error = self.error_at_loss(labels);
        // Quantized logits: the mask acts behind the quantizer of the loss.
        error.mask(&self.traces.last().unwrap().inside);
        *errors.last_mut().unwrap() = Some(error);
        for i in (0..self.model.layers.len()).rev() {
            let Some(error) = errors[i + 1].take() else { continue };
            // In front of the first product nothing learns.
            let to = self.back(i, &error, &mut gradients);
            for (place, error) in to.into_iter().filter(|(place, _)| self.product_before(*place).is_some()) {
                let met = errors[place].take();
                errors[place] = Some(met.map_or_else(|| error.clone(), |met| add(met, error.clone())));
            }
        }
        gradients
    }

    /// The errors in front of a layer.
    fn back(&self, i: usize, error: &Tensor, gradients: &mut Gradients) -> Vec<(usize, Tensor)> {
        let (kind, trace, source) = (self.model.layers[i].kind, &self.traces[i], self.sources[i][0]);
        let e = &error.x;
        let mut out = vec![0; self.results[source].x.len()];
        let before = match kind {
            LayerKind::Conv { .. } | LayerKind::GroupedConv { .. } | LayerKind::Linear { .. } => {
                self.product_back(i, error, gradients)
            }
            LayerKind::BatchNorm { affine } | LayerKind::LayerNorm { affine } => {
                self.norm_back(i, affine, error, gradients)
            }
            LayerKind::Relu | LayerKind::Relu6 => {
                let mut gated = error.clone();
                gated.mask(&trace.passes);
                gated.mask(&trace.inside);
                if !self.is_graph || self.is_direct(i + 1) {
                    return vec![(source, gated)];
                }
                if let Some(product) = self.fused(i) {
                    let row = self.recipe.error_at_activation.of_layer(&self.model.layers[i].name);
                    return vec![(source, self.rounded(row, &gated, product))];
                }
                return self.to_terms(source, gated);
            }
            LayerKind::MaxPool { .. } => {
                trace.from.iter().zip(e).for_each(|(from, e)| out[*from] += e);
                // Section 6.4: where windows overlap, the sum is held in the error's format.
                let [min, max] = error.limits;
                error.like(out.into_iter().map(|e| e.clamp(min, max)).collect())
            }
            LayerKind::AvgPool { .. } | LayerKind::GlobalAvgPool => {
                let pixels = self.means(i, |_, _| {});
                // Of the windows that a pixel can lie in.
                let most = match self.model.layers[i].kind {
                    LayerKind::AvgPool { size, stride } => size.div_ceil(stride).pow(2),
                    _ => 1,
                };
                let m = (pixels / most).ilog2();
                self.means(i, |from, to| out[from] += e[to]);
                for out in &mut out {
                    *out = Round::NearestDown.ratio_wide(*out << m, pixels as i128).into();
                }
                Tensor::wide(out, error.digits + m as i32)
            }
            LayerKind::Shortcut { .. } => {
                self.kept(i, |from, to| out[from] = e[to]);
                error.like(out)
            }
            LayerKind::Concat => {
                let zeros = |source: usize| vec![0; self.results[source].x.len()];
                let mut outs: Vec<_> =
                    self.sources[i].iter().map(|source| (*source, zeros(*source))).collect();
                self.joined(i, |source, from, to| {
                    let (_, out) = outs.iter_mut().find(|(s, _)| *s == source).unwrap();
                    out[from] = e[to];
                });
                return outs.into_iter().map(|(source, x)| (source, error.like(x))).collect();
            }
            LayerKind::Flatten => error.clone(),
            LayerKind::Add => unreachable!("errors pass it with the ReLU behind it"),
        };
        vec![(source, before)]
    }

    /// Whether the row that rounds the error at a product's output is `@shift`.
    fn forgets(&self, i: usize) -> bool {
        let (name, recipe) = (&self.model.layers[i].name, self.recipe);
        if i + 1 == self.model.layers.len() {
            return recipe.error_at_loss.of_layer(name).scale == Scale::Shift;
        }
        let is_normed = self.has_norm_behind(i);
        let row = if is_normed { &recipe.error_at_norm } else { &recipe.error_at_activation };
        row.base.scale == Scale::Shift
    }

    /// Whether a norm reads a product, behind a pooling or not.
    fn has_norm_behind(&self, i: usize) -> bool {
        let reader = (0..self.sources.len()).find(|reader| self.sources[*reader].contains(&(i + 1)));
        reader.is_some_and(|reader| match self.model.layers[reader].kind {
            LayerKind::MaxPool { .. } => self.has_norm_behind(reader),
            kind => kind.is_norm(),
        })
    }

    /// The error at a product's output, rounded by a row unless that is exact.
    fn rounded(&self, row: Quantizer, error: &Tensor, product: usize) -> Tensor {
        match row.format.is_quantized() {
            true => self.quantize(row, error, Purpose::ErrorAtActivation, self.block(product)),
            false => error.clone(),
        }
    }

    /// Whether a place is the end of a block that one product alone reads, whose error sums come back to it at once.
    fn is_direct(&self, mut place: usize) -> bool {
        let ends_block = match place.checked_sub(1).map(|i| self.model.layers[i].kind) {
            Some(kind) if kind.is_activation() => self.fused(place - 1).is_some(),
            _ => false,
        };
        let readers =
            |place: usize| (0..self.sources.len()).filter(move |i| self.sources[*i].contains(&place));
        while ends_block && readers(place).count() == 1 {
            let reader = readers(place).next().unwrap();
            match self.model.layers[reader].kind {
                LayerKind::Flatten => place = reader + 1,
                kind => return kind.is_product() && !self.has_bound,
            }
        }
        false
    }

    /// A gated error to what a ReLU has added up: in section 7.3 rounded in front of a product, as it is for the rest.
    fn to_terms(&self, place: usize, error: Tensor) -> Vec<(usize, Tensor)> {
        let i = place - 1;
        let row = &self.recipe.error_at_activation;
        match self.model.layers[i].kind {
            LayerKind::Add => {
                self.sources[i].iter().flat_map(|source| self.to_terms(*source, error.clone())).collect()
            }
            kind if kind.is_product() => vec![(place, self.rounded(row.base, &error, i))],
            _ => vec![(place, error)],
        }
    }

    fn product_back(&self, i: usize, error: &Tensor, gradients: &mut Gradients) -> Tensor {
        let (x, c) = (&self.results[self.sources[i][0]], self.shapes[i + 1].c);
        let weights = &self.traces[i].weights;
        let mut gradient = vec![0; weights.x.len()];
        self.products(i, |xi, wi, ei| gradient[wi] += (x.x[xi] * error.x[ei]) as i64);
        let of_channel = |o: usize| error.x.iter().skip(o).step_by(c).map(|e| *e as i64).sum();
        let bias = self.has_bias(i).then(|| (0..c).map(of_channel).collect());
        let worth = [-error.digits - x.digits, -error.digits];
        gradients.insert(self.model.layers[i].name.clone(), (gradient, bias, worth));
        let mut sums = vec![0; x.x.len()];
        self.products(i, |xi, wi, ei| sums[xi] += error.x[ei] * weights.x[wi]);
        // '@shift' at the product's output has forgotten the power of two, and alpha with it.
        let alpha = if self.forgets(i) { 0 } else { self.weights(i).1 };
        let sums = Tensor::exact(sums, error.digits + weights.digits + alpha);
        let mut source = self.sources[i][0];
        while source > 0 && self.model.layers[source - 1].kind == LayerKind::Flatten {
            source = self.sources[source - 1][0];
        }
        if !self.is_graph || self.is_direct(source) {
            return self.direct(i, sums);
        }
        let row = self.recipe.error_at_product.of_layer(&self.model.layers[i].name);
        match (row.format.is_quantized(), row.scale) {
            (true, Scale::One) => {
                let columns = self.shapes[self.sources[i][0]].c;
                let place = (Purpose::ErrorAtProduct, self.block(i));
                let words = self.quantize_product(row, &sums, place, columns);
                let max = i128::from(row.format.max());
                Tensor::wide(words.x.into_iter().map(|x| x.clamp(-max, max)).collect(), words.digits)
            }
            _ => self.bounded(i, error, sums),
        }
    }

    /// Section 7.3: error sums rounded to wide errors by the bound of what they can be.
    fn bounded(&self, i: usize, error: &Tensor, sums: Tensor) -> Tensor {
        let weights = &self.traces[i].weights.x;
        let (c_in, c_out) = (self.shapes[self.sources[i][0]].c, self.shapes[i + 1].c);
        let mut reach = vec![0_u128; c_in];
        let groups = match self.model.layers[i].kind {
            LayerKind::GroupedConv { groups, .. } => groups,
            _ => 1,
        };
        let [of_in, of_out] = [c_in, c_out].map(|c| c / groups);
        let channel = |k: usize| k % c_out / of_out * of_in + k / c_out % of_in;
        weights.iter().enumerate().for_each(|(k, w)| reach[channel(k)] += w.unsigned_abs());
        let bound = error.largest() * reach.into_iter().max().unwrap();
        let shift = (128 - bound.leading_zeros() as i32 - 15).max(0);
        let row = self.recipe.error_at_product.base;
        let round = if row.format.is_quantized() { row.round } else { Round::NearestDown };
        let stream = self.stream(Purpose::ErrorAtProduct, self.block(i));
        let word =
            |(k, sum): (usize, &i128)| i128::from(round.shift_right_wide(*sum, shift, stream.word(k as u64)));
        Tensor::wide(sums.x.iter().enumerate().map(word).collect(), sums.digits - shift)
    }

    /// Section 7.3, where an error passes directly; the mask `passes` is that of the ReLU in front.
    fn direct(&self, i: usize, mut sums: Tensor) -> Tensor {
        let source = self.sources[i][0];
        let Some(before) = self.product_before(source) else { return sums };
        let mut end = source;
        while self.model.layers[end - 1].kind == LayerKind::Flatten {
            end = self.sources[end - 1][0];
        }
        sums.mask(&self.traces[end - 1].inside);
        let name = |i: usize| &self.model.layers[i].name;
        let at_activation = if self.is_graph { end - 1 } else { before };
        let at_activation = self.recipe.error_at_activation.of_layer(name(at_activation));
        if at_activation.format.is_quantized() {
            return self.quantize(at_activation, &sums, Purpose::ErrorAtActivation, self.block(before));
        }
        let at_product = self.recipe.error_at_product.of_layer(name(i));
        let columns = self.shapes[source].c;
        self.quantize_product(at_product, &sums, (Purpose::ErrorAtProduct, self.block(i)), columns)
    }
}

/// Two errors behind one place.
fn add(a: Tensor, b: Tensor) -> Tensor {
    let (high, low) = if a.digits <= b.digits { (a, b) } else { (b, a) };
    let apart = low.digits - high.digits;
    let [largest_high, largest_low] = [&high, &low].map(Tensor::largest);
    if largest_low == 0 || (apart > 30 && largest_high > 0) {
        return Tensor::wide(high.x, high.digits);
    }
    if largest_high == 0 {
        return Tensor::wide(low.x, low.digits);
    }
    let bound = (largest_high << apart) + largest_low;
    let shift = (128 - bound.leading_zeros() as i32 - 15).max(0);
    let sum =
        |(h, l): (&i128, &i128)| i128::from(Round::NearestDown.shift_right_wide((h << apart) + l, shift, 0));
    Tensor::wide(high.x.iter().zip(&low.x).map(sum).collect(), low.digits - shift)
}
