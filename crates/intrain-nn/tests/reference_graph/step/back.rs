//! The way back: the error at the loss, gradients of every product and norm, errors in front of them.

use std::collections::BTreeMap;

use intrain_model::LayerKind;
use intrain_num::norm::{Back, ErrorSums, range_part, range_parts};
use intrain_num::random::Purpose;
use intrain_num::scale::round_log2;
use intrain_num::{Quantizer, Round, Scale, Spread, Surrogate, softmax};
use intrain_recipe::Loss;

use super::{Error, Gradients, Step, grid};

impl Step<'_> {
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

    pub(crate) fn backward(&self, labels: &[u16]) -> Gradients {
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
