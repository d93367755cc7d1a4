//! The plan as a table of operations, for a reader: formats, integer or float, bound and width of each sum, memory.

use intrain_num::{Coded, Format, Quantizer, Sum};
use intrain_recipe::Loss;

use crate::block::{Arithmetic, BlockPlan, ProductKind};
use crate::formats::loss_is_float;
use crate::node::{ErrorRule, Node, Op, Product};
use crate::plan::Plan;

/// Which promise of the contract holds for an operation's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// An integer: the same bits whatever the order of the work, in any engine that keeps the contract.
    Exact,
    /// Computed in float, or from a float, in an order that shapes decide: the same bits at any thread count, with any
    /// kernel and on any machine, as long as this version's order is kept.
    FixedOrder,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Layer, or `input` and `loss`.
    pub layer: String,
    /// What is computed.
    pub name: &'static str,
    /// In which format the result is.
    pub format: String,
    /// Whether it is computed in float.
    pub float: bool,
    /// Which promise holds for its result, where the stored weights are the same.
    pub promise: Promise,
    /// Largest magnitude of the sum and the bits it needs, for products.
    pub sum: Option<Sum>,
    /// Bytes of the result for one batch (weights: once); 0 where it never reaches memory whole.
    pub bytes: usize,
}

impl Plan {
    /// Every operation of a step, in order.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let float = self.is_float();
        let mut rows = vec![row("input", "quantize", self.input.quantizer.to_string(), float)];
        rows[0].bytes = self.batch_size * self.bytes_of(&self.nodes[0]);
        rows.extend(self.nodes.iter().flat_map(|node| self.forward_rows(node)));
        let loss_float = float || loss_is_float(self.loss.loss);
        let loss_name = match self.loss.loss {
            Loss::SquaredError => "squared error",
            Loss::SoftmaxCrossEntropy => "softmax cross-entropy",
            Loss::SoftmaxIExp => "softmax cross-entropy, i-exp",
            Loss::SoftmaxBase2 => "softmax cross-entropy, base 2",
        };
        let format = if loss_float { "float32" } else { "exact" };
        rows.push(row("loss", loss_name, format.to_owned(), loss_float));
        rows.push(row("loss", "quantize error", self.loss.quantizer.to_string(), float));
        rows.extend(self.nodes.iter().rev().flat_map(|node| self.backward_rows(node)));
        // Whatever follows a float comes from it.
        let first_float = rows.iter().position(|row| row.float).unwrap_or(rows.len());
        for row in &mut rows[first_float..] {
            row.promise = Promise::FixedOrder;
        }
        rows
    }

    /// Operations that are computed in float.
    #[must_use]
    pub fn float_operations(&self) -> Vec<Operation> {
        self.operations().into_iter().filter(|o| o.float).collect()
    }

    /// What a node computes forward; the last row holds its result.
    fn forward_rows(&self, node: &Node) -> Vec<Operation> {
        let float = self.is_float();
        let row = |name, format: String| row(&node.name, name, format, float);
        let as_it_arrives = || if float { "float32" } else { "as it arrives" }.to_owned();
        let mut rows = match &node.op {
            // It has its row already; a sum is a row of the activation that computes it.
            Op::Image => return vec![],
            Op::Add if !float => return vec![],
            Op::Product(product) => self.product_rows(node, product),
            Op::Norm(b) if float => vec![row(self.blocks[*b].product.kind.norm_name(), "float32".to_owned())],
            Op::Norm(b) => self.norm_rows(*b, node),
            Op::MaxPool(_) => vec![row("max pool", as_it_arrives())],
            Op::MeanPool(_) | Op::GlobalMean if float => vec![row("mean pool", as_it_arrives())],
            Op::MeanPool(_) | Op::GlobalMean => {
                vec![row("mean pool", format!("{} fractional bits", node.operand.frac_bits))]
            }
            Op::Shortcut { .. } => vec![row("shortcut", as_it_arrives())],
            Op::Concat => vec![row("concat", as_it_arrives())],
            Op::Add => vec![row("add", as_it_arrives())],
            Op::Activation(activation) if float => {
                let is_relu = activation.row.format == Format::Float32;
                let name = if is_relu { activation.kind.name() } else { "quantize activation" };
                vec![row(name, activation.row.to_string())]
            }
            Op::Activation(activation) => {
                let name = if activation.terms.len() > 1 { "residual sum" } else { "sum" };
                let sum = Operation { sum: Some(activation.sum), ..row(name, "int<32> sum".to_owned()) };
                vec![sum, row("quantize activation", activation.row.to_string())]
            }
        };
        if let Some(last) = rows.last_mut() {
            last.bytes = self.batch_size * self.bytes_of(node);
        }
        rows
    }

    fn product_rows(&self, node: &Node, product: &Product) -> Vec<Operation> {
        let (block, epilogue, float) = (&self.blocks[product.block], &product.epilogue, self.is_float());
        let row = |name, format: String| row(&node.name, name, format, float);
        let as_it_arrives = || if float { "float32" } else { "as it arrives" }.to_owned();
        let mut rows = Vec::new();
        if let Some(coded) = block.operands.activation {
            rows.push(row("quantize input", coded.to_string()));
        }
        if block.weight.read.format.is_quantized() || block.weight.read.format.coded().is_some() {
            let bytes = block.product.n_weights() * weight_bytes(block.arithmetic);
            rows.push(Operation { bytes, ..row("read weight", block.weight.read.to_string()) });
        }
        let name = if block.product.kind == ProductKind::Conv { "conv forward" } else { "linear forward" };
        match block.codes {
            Some(_) => {
                let sum = Some(block.sums.forward);
                rows.push(Operation { sum, float: false, ..row(name, "int<32> sum".to_owned()) });
                rows.push(row("scale of the filter", "float32".to_owned()));
            }
            None => {
                let sum = Some(block.sums.forward).filter(|_| !float);
                rows.push(Operation { sum, ..row(name, sum_format(block.arithmetic)) });
            }
        }
        if epilogue.at_product.format.is_quantized() && !float {
            rows.push(row("quantize output", epilogue.at_product.to_string()));
        }
        if epilogue.pool.is_some() {
            rows.push(row("max pool", as_it_arrives()));
        }
        if epilogue.relu {
            rows.push(row("relu", as_it_arrives()));
        }
        if epilogue.activation.format.is_quantized() && !float {
            rows.push(row("quantize activation", epilogue.activation.to_string()));
        }
        rows
    }

    fn norm_rows(&self, b: usize, node: &Node) -> Vec<Operation> {
        let Some(norm) = &self.blocks[b].norm else { return vec![] };
        let row = |name, format: String| row(&node.name, name, format, false);
        let mut rows = vec![
            row("mean", norm.rows.mean.to_string()),
            row("spread", format!("{} of {}", norm.rows.spread_row, norm.rows.spread)),
            row("normalized value", norm.rows.value.to_string()),
        ];
        for (name, q) in [("read gain", norm.gain), ("read offset", norm.offset)] {
            if q.format.is_quantized() {
                rows.push(row(name, q.to_string()));
            }
        }
        rows
    }

    /// The backward pass: the gradient of a node's weights, the error in front of it, the update.
    fn backward_rows(&self, node: &Node) -> Vec<Operation> {
        let float = self.is_float();
        let row = |name, format: String| row(&node.name, name, format, float);
        let mut rows = Vec::new();
        let block = match &node.op {
            Op::Product(product) => &self.blocks[product.block],
            Op::Norm(b) => &self.blocks[*b],
            // The image learns nothing.
            _ if float && node.sources.iter().any(|source| *source > 0) => {
                return vec![row("error", "float32".to_owned())];
            }
            _ => return rows,
        };
        if block.operands.hadamard {
            rows.push(row("transform operands", "bfloat16".to_owned()));
        }
        if let Some(coded) = block.operands.error {
            rows.push(row("quantize error", Coded { hadamard: false, ..coded }.to_string()));
        }
        let n = block.product.n_weights();
        let is_norm = !float && block.norm.is_some();
        if is_norm {
            rows.push(row("error", "int<32> sum".to_owned()));
            // What rounds the error behind a norm is a row of the product in front of it.
            rows.push(row("quantize error", self.product_before(node).error.at_output.to_string()));
        }
        if n > 0 {
            let name = if is_norm { "gradient of gain" } else { "gradient" };
            let (format, bytes) = if is_norm {
                ("int<64> sum".to_owned(), 8)
            } else {
                (sum_format(block.arithmetic), sum_bytes(block.arithmetic))
            };
            let sum = Some(block.sums.gradient).filter(|_| !float);
            rows.push(Operation { bytes: n * bytes, sum, ..row(name, format) });
        }
        rows.extend(self.error_rows(node, block));
        if block.gradient.format.coded().is_some() && n > 0 {
            rows.push(row("quantize gradient", block.gradient.to_string()));
        }
        if n > 0 {
            for (name, q) in [
                ("quantize gradient", block.gradient),
                ("quantize momentum", block.momentum),
                ("quantize update", block.update),
            ] {
                if q.format.is_quantized() && !float {
                    rows.push(row(name, q.to_string()));
                }
            }
            let master = block.weight.master;
            let bytes = n * stored_bytes(master);
            rows.push(Operation { bytes, ..row("write weight", master.to_string()) });
        }
        rows
    }

    /// The error in front of a product, and the row that rounds it.
    fn error_rows(&self, node: &Node, block: &BlockPlan) -> Vec<Operation> {
        let float = self.is_float();
        let source = node.sources[0];
        let elements = self.batch_size * node.input.len();
        let Op::Product(product) = &node.op else {
            let is_needed = float && source > 0;
            return is_needed
                .then(|| row(&node.name, "error", "float32".to_owned(), true))
                .into_iter()
                .collect();
        };
        let error = row(&node.name, "error", sum_format(block.arithmetic), float);
        let error = Operation { sum: block.sums.error.filter(|_| !float), ..error };
        let quantize = |layer: &str, q: Quantizer| {
            q.format.is_quantized().then(|| row(layer, "quantize error", q.to_string(), false))
        };
        match (product.error.rule, &self.nodes[source].op) {
            (ErrorRule::None, _) => vec![],
            (ErrorRule::Direct, Op::Product(before)) if !float => {
                let [sums, codes] = self.direct_error_bytes(node).map(|bytes| self.batch_size * bytes);
                let error = Operation { bytes: sums, ..error };
                let name = &self.nodes[source].name;
                let rows = [quantize(name, product.error.at_input), quantize(name, before.error.at_output)];
                let rows = rows.into_iter().flatten().map(|row| Operation { bytes: codes, ..row });
                std::iter::once(error).chain(rows).collect()
            }
            (ErrorRule::Wide, _) if !float => {
                let error = Operation { bytes: 2 * elements, ..error };
                std::iter::once(error).chain(quantize(&node.name, product.error.at_input)).collect()
            }
            _ => vec![Operation { bytes: 4 * elements, ..error }],
        }
    }

    /// The product whose result reaches a node of integers.
    fn product_before(&self, node: &Node) -> &Product {
        let before = &self.nodes[node.sources[0]];
        if let Op::Product(product) = &before.op { product } else { self.product_before(before) }
    }

    /// Whether errors and gradients are floats.
    #[must_use]
    pub fn is_float(&self) -> bool {
        self.arithmetic == Arithmetic::Float32
    }
}

fn row(layer: &str, name: &'static str, format: String, float: bool) -> Operation {
    Operation { layer: layer.to_owned(), name, format, float, promise: Promise::Exact, sum: None, bytes: 0 }
}

/// Bytes of a weight as a product reads it.
pub(crate) const fn weight_bytes(arithmetic: Arithmetic) -> usize {
    match arithmetic {
        Arithmetic::Int8 => 1,
        Arithmetic::Int16 | Arithmetic::Float32 => 4,
    }
}

pub(crate) const fn sum_bytes(arithmetic: Arithmetic) -> usize {
    match arithmetic {
        Arithmetic::Int8 | Arithmetic::Float32 => 4,
        Arithmetic::Int16 => 8,
    }
}

fn sum_format(arithmetic: Arithmetic) -> String {
    match arithmetic {
        Arithmetic::Int8 => "int<32> sum".to_owned(),
        Arithmetic::Int16 => "int<64> sum".to_owned(),
        Arithmetic::Float32 => "float32".to_owned(),
    }
}

/// Bytes of one stored weight.
pub(crate) const fn stored_bytes(master: Quantizer) -> usize {
    match (master.format, master.format.bits()) {
        // Small floats are kept as the binary32 numbers that they are.
        (Format::Float32 | Format::Coded(_), _) => 4,
        (_, 0..=8) => 1,
        (_, 9..=16) => 2,
        _ => 4,
    }
}
