//! Each node as operators on integers: sums of bytes, exact, then floats that hold them.

use intrain_model::Shape;
use intrain_num::Round;
use intrain_plan::Pool;

use super::graph::{Graph, Real};
use super::operators::{largest, pooling, power, window};
use super::proto::{self, Attribute, Data, Dim, Message, Type};
use crate::error::DeployError;
use crate::form::{Activation, BatchNorm, Deployed, Mean, Norm, Op, Product, Requantize};
use crate::range::Range;

/// Exact: constants are checked against the floats that hold them.
#[allow(clippy::cast_precision_loss, reason = "integers below 2^53")]
const fn real(value: i64) -> f64 {
    value as f64
}

/// A graph, and the results that it has.
pub(super) struct Writer<'a> {
    deployed: &'a Deployed,
    pub(super) graph: Graph,
    /// The result of each node as floats.
    reals: Vec<(String, Real)>,
    /// As bytes, with the number that stands for 0.
    bytes: Vec<Option<Bytes>>,
}

/// Integers of 8 bits as unsigned bytes.
#[derive(Debug, Clone)]
struct Bytes {
    name: String,
    /// Name of the constant that stands for 0.
    zero: String,
    /// What a byte is worth beside the lowest: `2^shift`.
    shift: i32,
}

impl<'a> Writer<'a> {
    pub(super) fn of(deployed: &'a Deployed) -> Result<Self, DeployError> {
        let mut writer = Self { deployed, graph: Graph::default(), reals: vec![], bytes: vec![] };
        for i in 0..deployed.nodes.len() {
            let result = writer.node(i)?;
            writer.reals.push(result);
            writer.bytes.push(None);
        }
        writer.finish();
        Ok(writer)
    }

    /// Makes the result of each layer an output under the layer's name.
    pub(super) fn name_results(&mut self) -> Vec<Message> {
        let mut outputs = vec![];
        for (i, node) in self.deployed.nodes.iter().enumerate() {
            let (Shape { h, w, c }, (result, real)) = (node.result.shape, self.reals[i].clone());
            let mut name = node.result.name.clone();
            // The network's own ends have these names.
            if ["image", "logits"].contains(&name.as_str()) {
                name.push('_');
            }
            self.graph.named(&name, "Identity", &[&result], &[]);
            let dims = [Dim::Images, Dim::Size(c), Dim::Size(h), Dim::Size(w)];
            outputs.push(proto::value(&name, real.kind(), &dims));
        }
        outputs
    }

    fn layer(&self, i: usize) -> &'a str {
        &self.deployed.nodes[i].result.name
    }

    fn refuse(&self, i: usize, reason: String) -> DeployError {
        DeployError::Target { layer: self.layer(i).to_owned(), target: "ONNX", reason }
    }

    /// The floats that hold integers up to a bound.
    fn holding(&self, i: usize, bound: u128) -> Result<Real, DeployError> {
        let reason = || format!("its integers can reach {bound}, and floats of 64 bits hold them below 2^53");
        Real::holding(bound).ok_or_else(|| self.refuse(i, reason()))
    }

    fn node(&mut self, i: usize) -> Result<(String, Real), DeployError> {
        let node = &self.deployed.nodes[i];
        match &node.op {
            Op::Pixels(codes) => self.pixels(i, codes),
            Op::Product(p) => self.product(i, p),
            Op::MaxPool(pool) => Ok(self.max_pool(i, *pool)),
            Op::Activation(a) => self.activation(i, a),
            Op::Mean(m) => self.mean(i, m),
            Op::Shortcut { stride } => Ok(self.shortcut(i, *stride)),
            Op::Concat => Ok(self.concat(i)),
        }
    }

    /// The logits, as integers.
    fn finish(&mut self) {
        let last = self.deployed.nodes.len() - 1;
        let (name, _) = self.reals[last].clone();
        let integers = self.graph.cast("logits", &name, Type::I64);
        self.graph.named("logits", "Flatten", &[&integers], &[Attribute::Int("axis", 1)]);
    }

    /// The result of node `i` in at least this type.
    fn real(&mut self, i: usize, at_least: Real) -> String {
        let (name, kind) = self.reals[i].clone();
        if kind >= at_least {
            name
        } else {
            self.graph.cast(self.deployed.nodes[i].result.name.as_str(), &name, at_least.kind())
        }
    }

    fn pixels(&mut self, i: usize, codes: &[i64]) -> Result<(String, Real), DeployError> {
        let (layer, range) = (self.layer(i), self.deployed.nodes[i].result.range);
        let kind = self.holding(i, range.max_abs().into())?;
        let table =
            self.graph.constant(layer, "codes", &[codes.len()], &kind.data(codes.iter().map(|x| real(*x))));
        let indices = self.graph.cast(layer, "image", Type::I32);
        Ok((self.graph.node(layer, "Gather", &[&table, &indices], &[]), kind))
    }

    /// The result of node `i` as bytes: one, or the low and the high one of 16 bits.
    fn limbs(&mut self, i: usize) -> Result<Vec<Bytes>, DeployError> {
        let (layer, range) = (self.layer(i), self.deployed.nodes[i].result.range);
        if let Some(bytes) = &self.bytes[i] {
            return Ok(vec![bytes.clone()]);
        }
        let (x, kind) = self.reals[i].clone();
        if let Some(offset) = offset(range) {
            let bytes = self.byte(layer, &x, kind, offset, 0);
            self.bytes[i] = Some(bytes.clone());
            return Ok(vec![bytes]);
        }
        if range.max_abs() > 1 << 15 {
            return Err(self.refuse(
                i,
                format!("it leaves integers up to {}, and products take 16 bits", range.max_abs()),
            ));
        }
        let scaled = self.times(layer, &x, kind, power(-8));
        let high = self.graph.node(layer, "Floor", &[&scaled], &[]);
        let moved = self.times(layer, &high, kind, power(8));
        let low = self.graph.node(layer, "Sub", &[&x, &moved], &[]);
        Ok(vec![self.byte(layer, &low, kind, 0, 0), self.byte(layer, &high, kind, 128, 8)])
    }

    /// Integers of 8 bits as unsigned bytes.
    fn byte(&mut self, layer: &str, x: &str, kind: Real, offset: u8, shift: i32) -> Bytes {
        let moved = if offset == 0 { x.to_owned() } else { self.plus(layer, x, kind, f64::from(offset)) };
        let name = self.graph.cast(layer, &moved, Type::U8);
        let zero = self.graph.constant(layer, "zero", &[], &Data::U8(vec![offset]));
        Bytes { name, zero, shift }
    }

    fn times(&mut self, layer: &str, x: &str, kind: Real, factor: f64) -> String {
        if factor == 1.0 {
            return x.to_owned();
        }
        let factor = self.graph.number(layer, kind, factor);
        self.graph.node(layer, "Mul", &[x, &factor], &[])
    }

    fn plus(&mut self, layer: &str, x: &str, kind: Real, addend: f64) -> String {
        let addend = self.graph.number(layer, kind, addend);
        self.graph.node(layer, "Add", &[x, &addend], &[])
    }

    fn clip(&mut self, layer: &str, x: &str, kind: Real, range: Range) -> String {
        let [min, max] = [range.min, range.max].map(|limit| self.graph.number(layer, kind, real(limit)));
        self.graph.node(layer, "Clip", &[x, &min, &max], &[])
    }

    /// `x`, whose integers have been multiplied by `2^-shift`, rounded.
    fn rounded(&mut self, layer: &str, x: &str, kind: Real, round: Round) -> String {
        match round {
            Round::NearestEven => self.graph.node(layer, "Round", &[x], &[]),
            Round::Floor => self.graph.node(layer, "Floor", &[x], &[]),
            Round::NearestAway | Round::TowardZero => {
                let sign = self.graph.node(layer, "Sign", &[x], &[]);
                let mut magnitude = self.graph.node(layer, "Abs", &[x], &[]);
                if round == Round::NearestAway {
                    magnitude = self.plus(layer, &magnitude, kind, 0.5);
                }
                let floor = self.graph.node(layer, "Floor", &[&magnitude], &[]);
                self.graph.node(layer, "Mul", &[&floor, &sign], &[])
            }
            // Evaluation has none that is stochastic.
            Round::NearestDown | Round::Stochastic { .. } | Round::StochasticMagnitude { .. } => {
                let moved = self.plus(layer, x, kind, -0.5);
                self.graph.node(layer, "Ceil", &[&moved], &[])
            }
        }
    }

    /// Sums as integers of a float type, rounded and held.
    fn requantized(&mut self, layer: &str, x: &str, kind: Real, q: &Requantize) -> String {
        let mut x = self.times(layer, x, kind, power(-q.shift.min(100)));
        if q.shift > 0 {
            x = self.rounded(layer, &x, kind, q.round);
        }
        self.clip(layer, &x, kind, Range { min: q.min, max: q.max })
    }

    fn product(&mut self, i: usize, p: &Product) -> Result<(String, Real), DeployError> {
        let (layer, source) = (self.layer(i), self.deployed.nodes[i].sources[0]);
        let (input, shape) = (self.deployed.input_of(i), self.deployed.nodes[i].result.shape);
        let x = self.limbs(source)?;
        let fan_in = p.fan_in(input) as u128;
        if fan_in * 255 * 255 >= 1 << 31 {
            return Err(self.refuse(i, format!("it adds {fan_in} products of bytes, and 33,025 fit 32 bits")));
        }
        let weights = self.weights(layer, p, (input, shape));
        // Limits are constants of the same type.
        let limits = |q: &Requantize| u128::from(q.max.unsigned_abs().max(q.min.unsigned_abs()));
        let reach = |q: &Requantize| q.reach(p.bound).max(limits(q));
        let mut bound = p.requantize.as_ref().map_or_else(|| p.bound.into(), reach);
        let is_one = x.len() == 1 && weights.len() == 1;
        if !is_one {
            let shift = x.iter().chain(&weights).map(|limb| limb.shift).max().unwrap_or(0).unsigned_abs();
            bound = bound.max((fan_in * 255 * 255) << (2 * shift + 2));
        }
        let kind = self.holding(i, bound)?;
        let attributes = window(p);
        let mut sums: Option<String> = None;
        for (x, w) in x.iter().flat_map(|x| weights.iter().map(move |w| (x, w))) {
            let sum =
                self.graph.node(layer, "ConvInteger", &[&x.name, &w.name, &x.zero, &w.zero], &attributes);
            let sum = self.graph.cast(layer, &sum, kind.kind());
            let sum = self.times(layer, &sum, kind, power(x.shift + w.shift));
            sums = Some(match sums {
                None => sum,
                Some(before) => self.graph.node(layer, "Add", &[&before, &sum], &[]),
            });
        }
        let mut sums = sums.unwrap_or_default();
        if let Some(bias) = &p.bias {
            let data = kind.data(bias.iter().map(|bias| real(*bias)));
            let bias = self.graph.constant(layer, "bias", &[1, bias.len(), 1, 1], &data);
            sums = self.graph.node(layer, "Add", &[&sums, &bias], &[]);
        }
        Ok(match &p.requantize {
            Some(q) => (self.requantized(layer, &sums, kind, q), kind),
            None => (sums, kind),
        })
    }

    /// Weights as unsigned bytes, `[out, in / groups, height, width]`: as many as their bits need, the lowest first.
    fn weights(&mut self, layer: &str, p: &Product, (input, output): (Shape, Shape)) -> Vec<Bytes> {
        let [kh, kw] = p.window.kernel;
        let (all, of_group) = (p.channels_first(input, output), input.c / p.groups);
        let n = p.weight_bits().div_ceil(8);
        let mut limb = |k: u32| {
            // The highest has the sign.
            let offset = if k + 1 == n { 128 } else { 0 };
            // Little-endian: byte `k` is the limb.
            let byte = |w: &i32| w.to_le_bytes()[k as usize] ^ offset;
            let data = Data::U8(all.iter().map(byte).collect());
            let name = self.graph.constant(layer, "weights", &[output.c, of_group, kh, kw], &data);
            let zero = self.graph.constant(layer, "zero", &[], &Data::U8(vec![offset]));
            Bytes { name, zero, shift: (8 * k).cast_signed() }
        };
        (0..n).map(&mut limb).collect()
    }

    fn max_pool(&mut self, i: usize, pool: Pool) -> (String, Real) {
        let source = self.deployed.nodes[i].sources[0];
        let (x, kind) = self.reals[source].clone();
        (self.graph.node(self.layer(i), "MaxPool", &[&x], &pooling(pool)), kind)
    }

    fn activation(&mut self, i: usize, a: &Activation) -> Result<(String, Real), DeployError> {
        let node = &self.deployed.nodes[i];
        let (layer, q) = (self.layer(i), &a.requantize);
        let mut kind = self.holding(i, q.reach(a.bound))?;
        for (term, source) in a.terms.iter().zip(&node.sources) {
            let range = self.deployed.nodes[*source].result.range;
            kind = kind.max(self.reals[*source].1);
            match &term.norm {
                None => {}
                Some(Norm::Batch(norm)) => kind = kind.max(self.holding(i, largest(norm, range))?),
                Some(Norm::Layer(_)) => {
                    let reason =
                        "a norm of each pixel divides and takes roots of integers beyond floats of 64 bits";
                    return Err(self.refuse(i, reason.to_owned()));
                }
            }
        }
        let mut sum: Option<String> = None;
        for (term, source) in a.terms.iter().zip(&node.sources) {
            let mut x = self.real(*source, kind);
            if let Some(Norm::Batch(norm)) = &term.norm {
                x = self.norm(layer, &x, kind, norm);
            }
            let x = self.times(layer, &x, kind, power(term.shift.cast_signed()));
            sum = Some(match sum {
                None => x,
                Some(before) => self.graph.node(layer, "Add", &[&before, &x], &[]),
            });
        }
        Ok((self.requantized(layer, &sum.unwrap_or_default(), kind, q), kind))
    }

    /// Two multiplications, each exact, with one rounding between them.
    fn norm(&mut self, layer: &str, x: &str, kind: Real, norm: &BatchNorm) -> String {
        let c = norm.lines.len();
        let channels = |graph: &mut Graph, what: &str, values: &mut dyn Iterator<Item = f64>| {
            graph.constant(layer, what, &[1, c, 1, 1], &kind.data(values))
        };
        let lines = &norm.lines;
        let multiplier =
            channels(&mut self.graph, "multiplier", &mut lines.iter().map(|line| real(line.multiplier)));
        let offset = channels(&mut self.graph, "offset", &mut lines.iter().map(|line| real(line.offset)));
        let scale = channels(&mut self.graph, "scale", &mut lines.iter().map(|line| power(-line.shift)));
        let gain = channels(&mut self.graph, "gain", &mut norm.gain.iter().map(|gain| real(*gain)));
        let add = channels(&mut self.graph, "add", &mut norm.offset.iter().map(|offset| real(*offset)));
        let x = self.graph.node(layer, "Mul", &[x, &multiplier], &[]);
        let x = self.graph.node(layer, "Sub", &[&x, &offset], &[]);
        let x = self.graph.node(layer, "Mul", &[&x, &scale], &[]);
        let x = self.rounded(layer, &x, kind, norm.value.round);
        let x = self.clip(layer, &x, kind, Range { min: norm.value.min, max: norm.value.max });
        let x = self.graph.node(layer, "Mul", &[&x, &gain], &[]);
        self.graph.node(layer, "Add", &[&x, &add], &[])
    }

    /// The sum of a window by a convolution with ones, then `ceil((2 sum - divisor) / (2 divisor))`.
    fn mean(&mut self, i: usize, m: &Mean) -> Result<(String, Real), DeployError> {
        let (layer, source) = (self.layer(i), self.deployed.nodes[i].sources[0]);
        let (range, c) = (self.deployed.nodes[source].result.range, self.deployed.input_of(i).c);
        let pixels = (m.size[0] * m.size[1]) as u128;
        let sum = u128::from(range.max_abs()) * pixels;
        let divisor = m.divisor.unsigned_abs();
        // Exact: a quotient that is no integer lies at least 1 / (2 divisor) from one, which floats of 53 bits tell apart.
        let exact = (sum << m.up.min(60)).max(divisor) * 4 * divisor;
        if sum >= 1 << 24 || self.holding(i, exact).is_err() {
            return Err(self.refuse(i, format!("the sum that its mean divides by {divisor} can reach {sum}")));
        }
        let x = self.real(source, Real::F32);
        let x = if self.reals[source].1 == Real::F64 { self.graph.cast(layer, &x, Type::F32) } else { x };
        let ones = Real::F32.data(std::iter::repeat_n(1.0, c * m.size[0] * m.size[1]));
        let ones = self.graph.constant(layer, "ones", &[c, 1, m.size[0], m.size[1]], &ones);
        let ints = |values: [usize; 2]| values.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).to_vec();
        let attributes = [
            Attribute::Int("group", i64::try_from(c).unwrap_or(i64::MAX)),
            Attribute::Ints("strides", ints(m.stride)),
        ];
        let sums = self.graph.node(layer, "Conv", &[&x, &ones], &attributes);
        let sums = self.graph.cast(layer, &sums, Type::F64);
        let divisor = real(i64::try_from(m.divisor).unwrap_or(i64::MAX));
        let twice = self.times(layer, &sums, Real::F64, power(m.up.cast_signed() + 1));
        let less = self.plus(layer, &twice, Real::F64, -divisor);
        let by = self.graph.number(layer, Real::F64, 2.0 * divisor);
        let quotient = self.graph.node(layer, "Div", &[&less, &by], &[]);
        let rounded = self.graph.node(layer, "Ceil", &[&quotient], &[]);
        Ok((self.clip(layer, &rounded, Real::F64, Range { min: m.min, max: m.max }), Real::F64))
    }

    fn shortcut(&mut self, i: usize, stride: usize) -> (String, Real) {
        let node = &self.deployed.nodes[i];
        let (layer, new) = (self.layer(i), node.result.shape.c - self.deployed.input_of(i).c);
        let (x, kind) = self.reals[node.sources[0]].clone();
        (self.graph.shortcut(layer, &x, stride, new), kind)
    }

    fn concat(&mut self, i: usize) -> (String, Real) {
        let (layer, sources) = (self.layer(i), self.deployed.nodes[i].sources.clone());
        let kind = sources.iter().map(|source| self.reals[*source].1).max().unwrap_or(Real::F32);
        let parts: Vec<String> = sources.iter().map(|source| self.real(*source, kind)).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        (self.graph.node(layer, "Concat", &parts, &[Attribute::Int("axis", 1)]), kind)
    }
}

/// What stands for 0 in unsigned bytes that hold a range; none where 8 bits do not.
const fn offset(range: Range) -> Option<u8> {
    match (range.min, range.max) {
        (0.., ..=255) => Some(0),
        (-128.., ..=127) => Some(128),
        _ => None,
    }
}
