//! A network as QONNX, which FINN and hls4ml read: real numbers between `Quant` nodes, each a power of two times an integer of few
//! bits. Exact where binary32 holds every integer on the way.
//!
//! `Quant` is that of github.com/fastmachinelearning/qonnx: `x / scale`, held between limits of so many bits, rounded, times `scale`.

use intrain_num::Round;

use super::graph::{Graph, Real};
use super::operators::{largest, pooling, power, window};
use super::proto::{Attribute, Data};
use crate::error::DeployError;
use crate::form::{Activation, BatchNorm, Deployed, Mean, Norm, Op, Product, Requantize};
use crate::range::Range;

/// The operators beside those of ONNX.
pub(super) const DOMAIN: &str = "qonnx.custom_op.general";
/// No integer on the way is as large.
const LIMIT: u128 = 1 << 24;

/// A graph, and the results that it has.
pub(super) struct Writer<'a> {
    deployed: &'a Deployed,
    pub(super) graph: Graph,
    /// The result of each node as real numbers, and whether it is a vector in place of an image of one pixel.
    results: Vec<(String, bool)>,
}

/// The integers of a `Quant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits {
    n: u32,
    is_signed: bool,
    /// Without the least of two's complement.
    is_narrow: bool,
}

impl Bits {
    /// The fewest that hold a range.
    const fn holding(range: Range) -> Self {
        if range.min >= 0 {
            let n = 64 - range.max.leading_zeros();
            return Self { n: if n == 0 { 1 } else { n }, is_signed: false, is_narrow: false };
        }
        let magnitude = if range.max > !range.min { range.max } else { !range.min };
        let n = 65 - magnitude.leading_zeros();
        // A signed bit alone would stand for -1 and 1.
        let n = if n < 2 { 2 } else { n };
        Self { n, is_signed: true, is_narrow: range.min > -(1 << (n - 1)) }
    }

    /// The integers that it lets pass.
    const fn limits(self) -> Range {
        if !self.is_signed {
            return Range { min: 0, max: (1 << self.n) - 1 };
        }
        let half = 1 << (self.n - 1);
        Range { min: -half + self.is_narrow as i64, max: half - 1 }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn of(deployed: &'a Deployed) -> Result<Self, DeployError> {
        let mut writer = Self { deployed, graph: Graph::default(), results: vec![] };
        for i in 0..deployed.nodes.len() {
            let result = writer.node(i)?;
            writer.results.push(result);
        }
        let last = writer.vector(deployed.nodes.len() - 1);
        writer.graph.named("logits", "Identity", &[&last], &[]);
        Ok(writer)
    }

    fn layer(&self, i: usize) -> &'a str {
        &self.deployed.nodes[i].result.name
    }

    fn refuse(&self, i: usize, reason: &str) -> DeployError {
        DeployError::Target {
            layer: self.layer(i).to_owned(),
            target: "QONNX",
            reason: format!("{reason}; use --to onnx or c"),
        }
    }

    /// Whether binary32 holds integers up to this magnitude.
    fn check(&self, i: usize, what: &str, reach: u128) -> Result<(), DeployError> {
        if reach < LIMIT {
            return Ok(());
        }
        Err(self.refuse(i, &format!("{what} can reach {reach}, and binary32 holds integers below 2^24")))
    }

    fn node(&mut self, i: usize) -> Result<(String, bool), DeployError> {
        let deployed = self.deployed;
        let node = &deployed.nodes[i];
        let layer = self.layer(i);
        Ok(match &node.op {
            Op::Pixels(codes) => (self.pixels(i, codes)?, false),
            Op::Product(p) => return self.product(i, p),
            Op::MaxPool(pool) => {
                let x = self.image(node.sources[0]);
                (self.graph.node(layer, "MaxPool", &[&x], &pooling(*pool)), false)
            }
            Op::Activation(a) => (self.activation(i, a)?, false),
            Op::Mean(m) => (self.mean(i, m)?, false),
            Op::Shortcut { stride } => {
                let (x, new) = (self.image(node.sources[0]), node.result.shape.c - deployed.input_of(i).c);
                (self.graph.shortcut(layer, &x, *stride, new), false)
            }
            Op::Concat => {
                let parts: Vec<String> = node.sources.iter().map(|source| self.image(*source)).collect();
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                (self.graph.node(layer, "Concat", &parts, &[Attribute::Int("axis", 1)]), false)
            }
        })
    }

    /// The result of node `i` as an image.
    fn image(&mut self, i: usize) -> String {
        let (x, is_vector) = self.results[i].clone();
        if !is_vector {
            return x;
        }
        let c = i64::try_from(self.deployed.nodes[i].result.shape.c).unwrap_or(i64::MAX);
        let shape = self.graph.constant(self.layer(i), "shape", &[4], &Data::I64(vec![-1, c, 1, 1]));
        self.graph.node(self.layer(i), "Reshape", &[&x, &shape], &[])
    }

    /// The result of node `i` as a vector, channels first.
    fn vector(&mut self, i: usize) -> String {
        let (x, is_vector) = self.results[i].clone();
        if is_vector {
            x
        } else {
            self.graph.node(self.layer(i), "Flatten", &[&x], &[Attribute::Int("axis", 1)])
        }
    }

    /// Real numbers as integers of so many bits, each worth `2^-frac_bits`.
    fn quant(&mut self, layer: &str, x: &str, frac_bits: i32, bits: Bits, mode: &'static str) -> String {
        let [scale, zero, n] = [power(-frac_bits), 0.0, f64::from(bits.n)]
            .map(|number| self.graph.number(layer, Real::F32, number));
        let attributes = [
            Attribute::Int("signed", bits.is_signed.into()),
            Attribute::Int("narrow", bits.is_narrow.into()),
            Attribute::Text("rounding_mode", mode),
        ];
        self.graph.of_domain(DOMAIN, layer, "Quant", &[x, &scale, &zero, &n], &attributes)
    }

    /// Constant integers, each worth `2^-frac_bits`.
    fn constant(
        &mut self,
        layer: &str,
        what: &str,
        dims: &[usize],
        values: &[i64],
        frac_bits: i32,
    ) -> String {
        let ranges = values.iter().map(|value| Range { min: *value, max: *value });
        let bits = Bits::holding(ranges.reduce(Range::hull).unwrap_or(Range::ZERO));
        let name = self.reals(layer, what, dims, &mut values.iter().map(|value| (*value, -frac_bits)));
        self.quant(layer, &name, frac_bits, bits, "ROUND")
    }

    /// Constants `integer * 2^exponent`. Exact: the caller has seen that the integers lie below 2^24.
    fn reals(
        &mut self,
        layer: &str,
        what: &str,
        dims: &[usize],
        values: &mut dyn Iterator<Item = (i64, i32)>,
    ) -> String {
        #[allow(clippy::cast_precision_loss, reason = "integers below 2^24")]
        let data = Real::F32.data(values.map(|(value, exponent)| value as f64 * power(exponent)));
        self.graph.constant(layer, what, dims, &data)
    }

    /// Sums, each worth a part `2^-shift` of the result's last bit, rounded and held.
    fn requantized(&mut self, i: usize, sums: &str, q: &Requantize) -> String {
        let (layer, frac_bits) = (self.layer(i), self.deployed.nodes[i].result.frac_bits);
        let (mut x, limits) = (sums.to_owned(), Range { min: q.min, max: q.max });
        if q.min == 0 {
            x = self.graph.node(layer, "Relu", &[&x], &[]);
        }
        let mode = match q.round {
            _ if q.shift <= 0 => "ROUND",
            Round::NearestEven => "ROUND",
            Round::Floor => "FLOOR",
            Round::TowardZero => "DOWN",
            Round::NearestAway => "HALF_UP",
            // Evaluation has none that is stochastic.
            Round::NearestDown | Round::Stochastic { .. } | Round::StochasticMagnitude { .. } => {
                if q.min >= 0 {
                    "HALF_DOWN"
                } else {
                    let below_half = std::iter::once(below_half(q.shift));
                    let below_half = self.reals(
                        layer,
                        "half",
                        &[],
                        &mut below_half.map(|half| (half, -q.shift - frac_bits)),
                    );
                    x = self.graph.node(layer, "Add", &[&x, &below_half], &[]);
                    "FLOOR"
                }
            }
        };
        let bits = Bits::holding(limits);
        if bits.limits() != limits {
            let [min, max] = [q.min, q.max]
                .map(|limit| self.reals(layer, "limit", &[], &mut std::iter::once((limit, -frac_bits))));
            x = self.graph.node(layer, "Clip", &[&x, &min, &max], &[]);
        }
        self.quant(layer, &x, frac_bits, bits, mode)
    }

    /// Pixels, 0 to 255, as the line through their codes, rounded.
    fn pixels(&mut self, i: usize, codes: &[i64]) -> Result<String, DeployError> {
        let (layer, tensor) = (self.layer(i), &self.deployed.nodes[i].result);
        let bits = Bits::holding(tensor.range);
        let found = Line::ALL.into_iter().find_map(|line| {
            let is_right = |mode: &&str| line.gives(codes, tensor.frac_bits, bits.limits(), mode);
            MODES.into_iter().find(is_right).map(|mode| (line, mode))
        });
        let Some((line, mode)) = found else {
            return Err(self.refuse(i, "its integers are not pixels times a number, rounded"));
        };
        let factor = self.graph.number(layer, Real::F32, line.factor.into());
        let mut x = self.graph.node(layer, "Mul", &["image", &factor], &[]);
        if line.addend != 0.0 {
            let addend = self.graph.number(layer, Real::F32, line.addend.into());
            x = self.graph.node(layer, "Add", &[&x, &addend], &[]);
        }
        Ok(self.quant(layer, &x, tensor.frac_bits, bits, mode))
    }

    fn product(&mut self, i: usize, p: &Product) -> Result<(String, bool), DeployError> {
        let (deployed, layer) = (self.deployed, self.layer(i));
        let node = &deployed.nodes[i];
        let reach = p.requantize.as_ref().map_or_else(|| p.bound.into(), |q| q.reach(p.bound));
        self.check(i, "its sums", reach)?;
        let (source, input, output) = (node.sources[0], deployed.input_of(i), node.result.shape);
        let sum_digits = node.result.frac_bits + p.requantize.as_ref().map_or(0, |q| q.shift);
        let digits = sum_digits - deployed.nodes[source].result.frac_bits;
        let weights: Vec<i64> = p.channels_first(input, output).into_iter().map(i64::from).collect();
        let [kh, kw] = p.window.kernel;
        let is_linear = p.window.kernel == [input.h, input.w] && p.window.pad == [0, 0] && p.groups == 1;
        let bias = p.bias.as_ref().map(|bias| self.constant(layer, "bias", &[bias.len()], bias, sum_digits));
        let sums = if is_linear {
            let x = self.vector(source);
            let fan_in = weights.len() / output.c;
            let columns = (0..fan_in).flat_map(|at| weights.iter().skip(at).step_by(fan_in)).copied();
            let columns: Vec<i64> = columns.collect();
            let w = self.constant(layer, "weights", &[fan_in, output.c], &columns, digits);
            let sums = self.graph.node(layer, "MatMul", &[&x, &w], &[]);
            match bias {
                Some(bias) => self.graph.node(layer, "Add", &[&sums, &bias], &[]),
                None => sums,
            }
        } else {
            let x = self.image(source);
            let w =
                self.constant(layer, "weights", &[output.c, input.c / p.groups, kh, kw], &weights, digits);
            let inputs: Vec<&str> = [&x, &w].into_iter().chain(&bias).map(String::as_str).collect();
            self.graph.node(layer, "Conv", &inputs, &window(p))
        };
        Ok(match &p.requantize {
            Some(q) => (self.requantized(i, &sums, q), is_linear),
            None => (sums, is_linear),
        })
    }

    fn activation(&mut self, i: usize, a: &Activation) -> Result<String, DeployError> {
        let deployed = self.deployed;
        let (node, layer) = (&deployed.nodes[i], self.layer(i));
        let digits = node.result.frac_bits + a.requantize.shift;
        let mut sum: Option<String> = None;
        for (term, source) in a.terms.iter().zip(&node.sources) {
            let mut x = self.image(*source);
            match &term.norm {
                None => {}
                Some(Norm::Batch(norm)) => {
                    let entering = &deployed.nodes[*source].result;
                    self.check(i, "the integers of its norm", largest(norm, entering.range))?;
                    x = self.norm(layer, &x, norm, [entering.frac_bits, digits - term.shift.cast_signed()]);
                }
                Some(Norm::Layer(_)) => {
                    let reason = "a norm of each pixel divides and takes roots of integers beyond binary32";
                    return Err(self.refuse(i, reason));
                }
            }
            sum = Some(match sum {
                None => x,
                Some(before) => self.graph.node(layer, "Add", &[&before, &x], &[]),
            });
        }
        self.check(i, "its sums", a.requantize.reach(a.bound))?;
        Ok(self.requantized(i, &sum.unwrap_or_default(), &a.requantize))
    }

    /// Two multiplications, each exact, with one rounding between them: from numbers with some fraction bits to numbers with others.
    fn norm(&mut self, layer: &str, x: &str, norm: &BatchNorm, [entering, leaving]: [i32; 2]) -> String {
        let dims = [1, norm.lines.len(), 1, 1];
        let (lines, value) = (&norm.lines, &norm.value);
        let (mode, is_down) = match value.round {
            Round::NearestEven => ("ROUND", false),
            Round::Floor => ("FLOOR", false),
            Round::TowardZero => ("DOWN", false),
            Round::NearestAway => ("HALF_UP", false),
            Round::NearestDown | Round::Stochastic { .. } | Round::StochasticMagnitude { .. } => {
                ("FLOOR", true)
            }
        };
        let multiplier = lines.iter().map(|line| (line.multiplier, entering - line.shift));
        let offset = lines.iter().map(|line| {
            (if is_down { line.offset - below_half(line.shift) } else { line.offset }, -line.shift)
        });
        let gain = norm.gain.iter().map(|gain| (*gain, -leaving));
        let add = norm.offset.iter().map(|offset| (*offset, -leaving));
        let multiplier = self.reals(layer, "multiplier", &dims, &mut { multiplier });
        let offset = self.reals(layer, "offset", &dims, &mut { offset });
        let gain = self.reals(layer, "gain", &dims, &mut { gain });
        let add = self.reals(layer, "add", &dims, &mut { add });
        let x = self.graph.node(layer, "Mul", &[x, &multiplier], &[]);
        let mut x = self.graph.node(layer, "Sub", &[&x, &offset], &[]);
        let limits = Range { min: value.min, max: value.max };
        let bits = Bits::holding(limits);
        if bits.limits() != limits {
            let [min, max] = [value.min, value.max]
                .map(|limit| self.reals(layer, "limit", &[], &mut std::iter::once((limit, 0))));
            x = self.graph.node(layer, "Clip", &[&x, &min, &max], &[]);
        }
        let x = self.quant(layer, &x, 0, bits, mode);
        let x = self.graph.node(layer, "Mul", &[&x, &gain], &[]);
        self.graph.node(layer, "Add", &[&x, &add], &[])
    }

    /// A mean over so many pixels that dividing by them is exact.
    fn mean(&mut self, i: usize, m: &Mean) -> Result<String, DeployError> {
        let (layer, node) = (self.layer(i), &self.deployed.nodes[i]);
        let (source, pixels) = (node.sources[0], m.size[0] * m.size[1]);
        if !pixels.is_power_of_two() {
            return Err(self.refuse(i, &format!("its mean divides by {pixels}, which is no power of two")));
        }
        let entering = &self.deployed.nodes[source].result;
        let digits = entering.frac_bits + pixels.ilog2().cast_signed();
        let shift = digits - node.result.frac_bits;
        let q = Requantize { shift, round: Round::NearestDown, min: m.min, max: m.max };
        self.check(i, "the sum of its mean", q.reach(entering.range.max_abs() * pixels as u64))?;
        let x = self.image(source);
        let ints = |values: [usize; 2]| values.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).to_vec();
        let attributes =
            [Attribute::Ints("kernel_shape", ints(m.size)), Attribute::Ints("strides", ints(m.stride))];
        let means = self.graph.node(layer, "AveragePool", &[&x], &attributes);
        Ok(self.requantized(i, &means, &q))
    }
}

/// A half of the result's last bit less one of the sum's, by whose addition a floor rounds to the nearest, ties down.
const fn below_half(shift: i32) -> i64 {
    (1 << (shift - 1)) - 1
}

/// `pixel * factor + addend`, the value of a pixel in binary32.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    factor: f32,
    addend: f32,
}

/// Modes by which pixels may have been rounded.
const MODES: [&str; 3] = ["ROUND", "FLOOR", "DOWN"];

impl Line {
    /// Those of the models: `p / 255`, `p / 256` and `p / 127.5 - 1`.
    const ALL: [Self; 3] = [
        Self { factor: 1.0 / 255.0, addend: 0.0 },
        Self { factor: 1.0 / 256.0, addend: 0.0 },
        Self { factor: 2.0 / 255.0, addend: -1.0 },
    ];

    /// Whether `Quant` makes these codes of the pixels 0 to 255: the same operations in the same type.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "powers of two, integers below 2^24"
    )]
    fn gives(self, codes: &[i64], frac_bits: i32, limits: Range, mode: &str) -> bool {
        let scale = power(-frac_bits) as f32;
        (0u8..=255).zip(codes).all(|(pixel, code)| {
            let x = (f32::from(pixel) * self.factor + self.addend) / scale;
            let x = x.min(limits.max as f32).max(limits.min as f32);
            let rounded = match mode {
                "FLOOR" => x.floor(),
                "DOWN" => x.trunc(),
                _ => x.round_ties_even(),
            };
            rounded == *code as f32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of bits, signs and `narrow` of the operator's description.
    #[test]
    fn a_range_takes_the_fewest_bits() {
        let bits = |min, max| {
            let bits = Bits::holding(Range { min, max });
            (bits.n, bits.is_signed, bits.is_narrow, bits.limits() == Range { min, max })
        };
        assert_eq!(bits(0, 127), (7, false, false, true));
        assert_eq!(bits(0, 128), (8, false, false, false));
        assert_eq!(bits(-127, 127), (8, true, true, true));
        assert_eq!(bits(-128, 127), (8, true, false, true));
        assert_eq!(bits(-1, 1), (2, true, true, true));
        assert_eq!(bits(-1, 0), (2, true, true, false));
        assert_eq!(bits(0, 0), (1, false, false, false));
        assert_eq!(bits(-3, 9), (5, true, true, false));
    }
}
