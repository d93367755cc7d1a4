//! A chain as quantized operators (`QuantizeLinear` and `DequantizeLinear` around `Conv`): fast in ONNX Runtime, which computes it in bytes,
//! and exact where its roundings in binary32 provably are.

use intrain_model::Shape;
use intrain_num::Round;
use intrain_plan::Pool;

use super::graph::{Graph, Real};
use super::operators::{pooling, power, window};
use super::proto::{Attribute, Data, Type};
use crate::error::DeployError;
use crate::form::{Deployed, Op, Product, Requantize};
use crate::range::Range;

/// The largest sum of two products of an unsigned by a signed byte that CPUs with 16-bit pairs (AVX2) hold.
const PAIR: u64 = 32_767;

/// The graph of a network, and its logits as real numbers.
pub(super) struct Writer<'a> {
    deployed: &'a Deployed,
    pub(super) graph: Graph,
    /// The result of each node, and the type of its bytes.
    names: Vec<(String, Type)>,
}

impl<'a> Writer<'a> {
    pub(super) fn of(deployed: &'a Deployed) -> Result<Self, DeployError> {
        let mut writer = Self { deployed, graph: Graph::default(), names: vec![] };
        for i in 0..deployed.nodes.len() {
            let result = writer.node(i)?;
            writer.names.push(result);
        }
        writer.finish();
        Ok(writer)
    }

    fn refuse(&self, i: usize, reason: &str) -> DeployError {
        let layer = self.deployed.nodes[i].result.name.clone();
        DeployError::Target {
            layer,
            target: "ONNX of quantized operators",
            reason: format!("{reason}; use --to onnx"),
        }
    }

    fn node(&mut self, i: usize) -> Result<(String, Type), DeployError> {
        match &self.deployed.nodes[i].op {
            Op::Pixels(codes) => self.pixels(i, codes),
            Op::Product(p) => self.product(i, p),
            Op::MaxPool(pool) => Ok(self.max_pool(i, *pool)),
            Op::Activation(_) | Op::Mean(_) | Op::Shortcut { .. } | Op::Concat => {
                Err(self.refuse(i, "quantized operators have no sums, norms and means of this arithmetic"))
            }
        }
    }

    /// The logits, as integers.
    fn finish(&mut self) {
        let last = self.deployed.nodes.len() - 1;
        let (mut name, kind) = self.names[last].clone();
        if kind == Type::F32 {
            let scale = self.graph.number("logits", Real::F32, power(self.deployed.logits().frac_bits));
            name = self.graph.node("logits", "Mul", &[&name, &scale], &[]);
        }
        let integers = self.graph.cast("logits", &name, Type::I64);
        self.graph.named("logits", "Flatten", &[&integers], &[Attribute::Int("axis", 1)]);
    }

    /// The type of bytes that holds a result.
    fn byte(&self, i: usize) -> Result<Type, DeployError> {
        match self.deployed.nodes[i].result.range {
            Range { min: 0.., max: ..=255 } => Ok(Type::U8),
            Range { min: -128.., max: ..=127 } => Ok(Type::I8),
            _ => Err(self.refuse(i, "its result does not fit 8 bits")),
        }
    }

    fn pixels(&mut self, i: usize, codes: &[i64]) -> Result<(String, Type), DeployError> {
        let (layer, kind) = (self.deployed.nodes[i].result.name.as_str(), self.byte(i)?);
        let table = self.graph.constant(layer, "codes", &[codes.len()], &bytes(kind, codes.iter().copied()));
        let indices = self.graph.cast(layer, "image", Type::I32);
        Ok((self.graph.node(layer, "Gather", &[&table, &indices], &[]), kind))
    }

    /// What is not exact in these operators.
    fn check(&self, i: usize, p: &Product) -> Result<(), DeployError> {
        let source = self.deployed.nodes[i].sources[0];
        let range = self.deployed.nodes[source].result.range;
        let w_max = p.weights.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0);
        let half = p.requantize.as_ref().map_or(0, |q| 1u64 << (q.shift.clamp(1, 60) - 1));
        if p.bound.saturating_add(half) >= 1 << 24 {
            return Err(self.refuse(
                i,
                &format!("its sums can reach {}, and binary32 holds integers below 2^24", p.bound),
            ));
        }
        if w_max > 127 {
            return Err(self.refuse(i, &format!("its weights can reach {w_max}, and bytes 127")));
        }
        if range.min >= 0 && 2 * range.max_abs() * u64::from(w_max) > PAIR {
            let reason = format!(
                "pairs of its products can reach {}, and CPUs without VNNI hold {PAIR}",
                2 * range.max_abs() * u64::from(w_max)
            );
            return Err(self.refuse(i, &reason));
        }
        match &p.requantize {
            Some(q) if q.round != Round::NearestEven => Err(self.refuse(
                i,
                "it does not round to the nearest, ties to even, which is all that these operators do",
            )),
            _ => Ok(()),
        }
    }

    fn product(&mut self, i: usize, p: &Product) -> Result<(String, Type), DeployError> {
        self.check(i, p)?;
        let node = &self.deployed.nodes[i];
        let (layer, source) = (node.result.name.as_str(), node.sources[0]);
        let x_digits = self.deployed.nodes[source].result.frac_bits;
        let digits = node.result.frac_bits + p.requantize.as_ref().map_or(0, |q| q.shift);
        let (x, kind) = self.names[source].clone();
        let x = self.dequantize(layer, &x, kind, x_digits);
        let w = self.weights(layer, p, (self.deployed.input_of(i), node.result.shape));
        let w = self.dequantize(layer, &w, Type::I8, digits - x_digits);
        let mut inputs = vec![x, w];
        if let Some(bias) = &p.bias {
            // Bound: no sum, biases included, reaches 2^24.
            let data = bias.iter().map(|bias| i32::try_from(*bias).unwrap_or(i32::MAX)).collect();
            let bias = self.graph.constant(layer, "bias", &[bias.len()], &Data::I32(data));
            inputs.push(self.dequantize(layer, &bias, Type::I32, digits));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let sums = self.graph.node(layer, "Conv", &inputs, &window(p));
        match &p.requantize {
            Some(q) => self.quantize(i, &sums, q),
            None => Ok((sums, Type::F32)),
        }
    }

    /// Weights as signed bytes, `[out, in / groups, height, width]`.
    fn weights(&mut self, layer: &str, p: &Product, (input, output): (Shape, Shape)) -> String {
        let [kh, kw] = p.window.kernel;
        let all = p.channels_first(input, output).into_iter().map(i64::from);
        self.graph.constant(layer, "weights", &[output.c, input.c / p.groups, kh, kw], &bytes(Type::I8, all))
    }

    fn dequantize(&mut self, layer: &str, x: &str, kind: Type, digits: i32) -> String {
        let [scale, zero] = self.unit(layer, kind, digits);
        self.graph.node(layer, "DequantizeLinear", &[x, &scale, &zero], &[])
    }

    /// Scale and zero point of integers with so many fraction bits.
    fn unit(&mut self, layer: &str, kind: Type, digits: i32) -> [String; 2] {
        let scale = self.graph.number(layer, Real::F32, power(-digits));
        let data = if kind == Type::I32 { Data::I32(vec![0]) } else { bytes(kind, std::iter::once(0)) };
        [scale, self.graph.constant(layer, "zero", &[], &data)]
    }

    /// Sums as bytes. The operator saturates at its type; what the format does not hold is held behind it.
    fn quantize(&mut self, i: usize, sums: &str, q: &Requantize) -> Result<(String, Type), DeployError> {
        let tensor = &self.deployed.nodes[i].result;
        let (layer, digits) = (tensor.name.as_str(), tensor.frac_bits);
        let kind = if q.min >= 0 { Type::U8 } else { Type::I8 };
        let limits = if kind == Type::U8 { [0, 255] } else { [-128, 127] };
        if q.min < limits[0] || q.max > limits[1] {
            return Err(self.refuse(i, "its result does not fit 8 bits"));
        }
        let [scale, zero] = self.unit(layer, kind, digits);
        let mut x = self.graph.node(layer, "QuantizeLinear", &[sums, &scale, &zero], &[]);
        if [q.min, q.max] != limits {
            let [min, max] = [q.min, q.max]
                .map(|limit| self.graph.constant(layer, "limit", &[], &bytes(kind, std::iter::once(limit))));
            x = self.graph.node(layer, "Clip", &[&x, &min, &max], &[]);
        }
        Ok((x, kind))
    }

    fn max_pool(&mut self, i: usize, pool: Pool) -> (String, Type) {
        let node = &self.deployed.nodes[i];
        let (x, kind) = self.names[node.sources[0]].clone();
        (self.graph.node(&node.result.name, "MaxPool", &[&x], &pooling(pool)), kind)
    }
}

/// Integers of 8 bits as constants. Bound: the caller has seen that they fit.
fn bytes(kind: Type, values: impl Iterator<Item = i64>) -> Data {
    if kind == Type::U8 {
        Data::U8(values.map(|x| u8::try_from(x).unwrap_or(u8::MAX)).collect())
    } else {
        Data::I8(values.map(|x| i8::try_from(x).unwrap_or(i8::MAX)).collect())
    }
}
