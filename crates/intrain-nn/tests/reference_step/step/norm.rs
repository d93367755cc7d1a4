//! Norms in integers: section 7.5, forward and back.

use intrain_model::LayerKind;
use intrain_nn::Stored;
use intrain_num::norm::{
    Back, ChannelAffine, ErrorSums, Moments, NormBackward, Rows, range_part, range_parts,
};
use intrain_num::random::Purpose;
use intrain_num::{Round, Spread};
use intrain_recipe::Slot;

use super::back::Gradients;
use super::places::grid;
use super::{Step, Tensor, Trace};

impl Step<'_> {
    fn rows(&self, i: usize) -> Rows {
        let name = &self.model.layers[i].name;
        let recipe = self.recipe;
        let product = self.product_before(self.sources[i][0]).unwrap();
        let words = recipe.activation_at_product.of_layer(&self.model.layers[product].name);
        Rows {
            spread: recipe.norm,
            frac_bits: words.format.frac_bits(),
            mean: recipe.norm_mean.of_norm(name),
            spread_row: recipe.norm_spread.of_norm(name),
            value: recipe.norm_value.of_norm(name),
        }
    }

    /// Digits that a step has found for the integers, beyond those of their row.
    fn found(&self, i: usize) -> i32 {
        self.results[self.sources[i][0]].digits - self.rows(i).frac_bits
    }

    /// The means of a batch as they are blended into those running: worth what the rows say.
    pub(crate) fn batch_means(&self, name: &str) -> Vec<i64> {
        let i = self.model.layers.iter().position(|layer| layer.name == name).unwrap();
        let mean = |mean: &i64| Round::NearestDown.shift_right(*mean, self.found(i), 0);
        self.traces[i].means.iter().map(mean).collect()
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
        let read = |slot: &Slot, stored: Option<&Stored>, one: bool| {
            let q = slot.of_norm(name);
            let digits = if q.format.is_quantized() { q.format.frac_bits() } else { master };
            let code = |k: usize| match stored {
                None => i64::from(one) << digits,
                Some(stored) if q.format.is_quantized() => {
                    let round = q.round.in_evaluation();
                    let rounded = round.shift_right(stored.code(k), master - digits, 0);
                    q.overflow.apply(rounded, q.format.min(), q.format.max(), q.format.bits())
                }
                Some(stored) => stored.code(k),
            };
            ((0..c).map(code).collect(), digits)
        };
        let [gain, offset] = [affine.then_some(&p.weight), p.bias.as_ref().filter(|_| affine)];
        [read(&self.recipe.norm_gain, gain, true), read(&self.recipe.norm_offset, offset, false)]
    }

    pub(super) fn norm(&self, i: usize, affine: bool) -> (Tensor, Trace) {
        let (rows, c) = (self.rows(i), self.shapes[i + 1].c);
        let x = self.results[self.sources[i][0]].i64s();
        let [(gain, gain_digits), (offset, offset_digits)] = self.gains(i, affine);
        let running = self.parameters[self.block(i)].moments.as_ref().filter(|_| self.key.is_none());
        let (mut lines, mut means) = (vec![], vec![]);
        for k in 0..self.groups(i, x.len()) {
            let of: Vec<i64> = (0..x.len()).filter(|at| self.group(i, *at) == k).map(|at| x[at]).collect();
            let of_batch = || {
                let moments = moments(&rows, &of);
                (rows.mean(moments), rows.spread(moments))
            };
            let (mean, spread) = running.map_or_else(of_batch, |running| {
                let [mean, spread] = [&running.mean, &running.spread].map(|stored| stored.code(k));
                rows.of_running([mean, spread], self.found(i)).into()
            });
            means.push(mean);
            lines.push(rows.line(mean, spread));
        }
        let value = |(k, x): (usize, &i64)| rows.value(*x, lines[self.group(i, k)]);
        let values: Vec<i64> = x.iter().enumerate().map(value).collect();
        let digits = rows.value.format.frac_bits() + gain_digits;
        let of = |(k, value): (usize, &i64)| {
            let offset = Round::NearestEven.shift_right(offset[k % c], offset_digits - digits, 0);
            i128::from(value * gain[k % c] + offset)
        };
        let y = values.iter().enumerate().map(of).collect();
        (Tensor::exact(y, digits), Trace { lines, means, values, ..Trace::default() })
    }

    pub(super) fn norm_back(
        &self,
        i: usize,
        affine: bool,
        error: &Tensor,
        gradients: &mut Gradients,
    ) -> Tensor {
        let (rows, c, trace) = (self.rows(i), self.shapes[i + 1].c, &self.traces[i]);
        let (x, e) = (self.results[self.sources[i][0]].i64s(), error.i64s());
        let [(gain, gain_digits), _] = self.gains(i, affine);
        let is_layer = matches!(self.model.layers[i].kind, LayerKind::LayerNorm { .. });
        let mut sums = vec![ErrorSums::default(); self.groups(i, x.len())];
        let (mut products, mut errors) = (vec![0_i64; c], vec![0_i64; c]);
        // A layer norm's lines have one unit for all channels: errors are multiplied by their gains first.
        let gained = |k: usize| if is_layer { e[k] * gain[k % c] } else { e[k] };
        let gain_of = |group: usize| if is_layer { 1 } else { gain[group] };
        let finer = rows.mean.format.frac_bits() - rows.frac_bits;
        let sign = |k: usize| ((x[k] << finer) - trace.means[self.group(i, k)]).signum();
        for k in 0..x.len() {
            let sums = &mut sums[self.group(i, k)];
            sums.errors += gained(k);
            sums.products += gained(k) * trace.values[k];
            sums.signs += sign(k);
            products[k % c] += e[k] * trace.values[k];
            errors[k % c] += e[k];
        }
        if affine {
            let worth = [-error.digits - rows.value.format.frac_bits(), -error.digits];
            gradients.insert(self.model.layers[i].name.clone(), (products, Some(errors), worth));
        }
        let largest_gain = gain.iter().map(|g| g.unsigned_abs()).max().unwrap();
        let (gain_bound, limit) = if is_layer { (largest_gain, 1 << 62) } else { (1, 1 << 31) };
        let gains: Vec<i64> = (0..sums.len()).map(gain_of).collect();
        let n = (x.len() / sums.len()) as u64;
        let (places, lines) =
            lines_back(rows, n, (&gains, &trace.lines, &sums), (error.largest() as u64 * gain_bound, limit));
        let back = |k: usize| {
            let (w, line) = match rows.spread {
                Spread::L1 => (sign(k), lines[self.group(i, k)]),
                _ => (trace.values[k], lines[self.group(i, k)]),
            };
            (gained(k) * line.from_error + w * line.from_value + line.constant).into()
        };
        let mut dx: Vec<i128> = (0..x.len()).map(back).collect();
        if rows.spread == Spread::Range {
            take_points(&mut dx, &x, &lines);
        }
        let digits = error.digits - rows.spread_row.format.frac_bits() + gain_digits + places;
        let digits = digits - self.found(i);
        let product = self.product_before(self.sources[i][0]).unwrap();
        let q = self.recipe.error_at_norm.base;
        self.quantize(q, &Tensor::exact(dx, digits), Purpose::ErrorAtActivation, self.block(product))
    }
}

/// The lines of the backward pass, with the most places with which every coefficient of an error has at most 14 bits, and
/// every sum from errors up to `largest` is below `limit`.
fn lines_back(
    rows: Rows,
    n: u64,
    (gains, lines, sums): (&[i64], &[ChannelAffine], &[ErrorSums]),
    (largest, limit): (u64, u128),
) -> (i32, Vec<NormBackward>) {
    let bits = |(gain, line): (&i64, &ChannelAffine)| {
        let factor = (gain * line.multiplier).unsigned_abs();
        (factor > 0).then(|| 64 - factor.leading_zeros() as i32 - line.power as i32)
    };
    let mut places = 14 - gains.iter().zip(lines).filter_map(bits).max().unwrap_or(0);
    loop {
        let back = Back { rows, n, frac_bits: places };
        let lines: Vec<_> = (0..gains.len()).map(|k| back.line(gains[k], lines[k], sums[k])).collect();
        if lines.iter().all(|line| line.bound(largest, rows.value.format.magnitude()) < limit) {
            return (places, lines);
        }
        places -= 1;
    }
}

/// What a range gives back to the first largest and the first smallest integer of each part of a channel.
fn take_points(dx: &mut [i128], x: &[i64], lines: &[NormBackward]) {
    let c = lines.len();
    let n = x.len() / c;
    for (k, part) in grid(c, range_parts(n)) {
        let at = || range_part(part, n).map(|pixel| pixel * c + k);
        let Some(largest) = at().reduce(|a, b| if x[b] > x[a] { b } else { a }) else { continue };
        let smallest = at().reduce(|a, b| if x[b] < x[a] { b } else { a }).unwrap();
        dx[largest] -= i128::from(lines[k].point);
        dx[smallest] += i128::from(lines[k].point);
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
