//! The plan as a table of operations, for a reader: formats, integer or float, bound and width of each sum, memory.

mod integer_graph;

use intrain_num::{Format, Quantizer, Sum};
use intrain_recipe::Loss;

use crate::build::loss_is_float;
use crate::{Arithmetic, BlockPlan, Node, Op, Plan, ProductKind};

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
        let float = self.arithmetic == Arithmetic::Float32;
        let mut rows = vec![self.row("input", "quantize", self.input.quantizer.to_string(), float, None)];
        rows[0].bytes = self.batch_size * self.input.shape.len() * self.payload_bytes();
        match &self.graph {
            Some(graph) if float => rows.extend(graph.nodes.iter().flat_map(|node| self.node_rows(node))),
            Some(graph) => rows.extend(graph.nodes.iter().flat_map(|node| self.integer_rows(node))),
            None => self.blocks.iter().for_each(|block| self.forward_rows(block, float, &mut rows)),
        }
        let loss_float = float || loss_is_float(self.loss.loss);
        let loss_name = match self.loss.loss {
            Loss::SquaredError => "squared error",
            Loss::SoftmaxCrossEntropy => "softmax cross-entropy",
            Loss::SoftmaxIExp => "softmax cross-entropy, i-exp",
            Loss::SoftmaxBase2 => "softmax cross-entropy, base 2",
        };
        rows.push(self.row(
            "loss",
            loss_name,
            if loss_float { "float32".to_owned() } else { "exact".to_owned() },
            loss_float,
            None,
        ));
        rows.push(self.row("loss", "quantize error", self.loss.quantizer.to_string(), float, None));
        match &self.graph {
            Some(graph) if float => {
                rows.extend(graph.nodes.iter().rev().flat_map(|node| self.node_rows_back(node)));
            }
            Some(graph) => {
                rows.extend(graph.nodes.iter().rev().flat_map(|node| self.integer_rows_back(graph, node)));
            }
            None => self.blocks.iter().rev().for_each(|block| self.backward_rows(block, float, &mut rows)),
        }
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

    fn row(
        &self,
        layer: &str,
        name: &'static str,
        format: String,
        float: bool,
        sum: Option<Sum>,
    ) -> Operation {
        let sum = sum.filter(|_| !float);
        Operation { layer: layer.to_owned(), name, format, float, promise: Promise::Exact, sum, bytes: 0 }
    }

    fn forward_rows(&self, block: &BlockPlan, float: bool, rows: &mut Vec<Operation>) {
        let product = match block.product.kind {
            ProductKind::Conv => "conv forward",
            ProductKind::Linear => "linear forward",
            ProductKind::BatchNorm | ProductKind::LayerNorm => unreachable!("a chain has no norm"),
        };
        if block.weight.read.format.is_quantized() {
            let mut row = self.row(&block.name, "read weight", block.weight.read.to_string(), float, None);
            row.bytes = block.product.n_weights() * self.payload_bytes();
            rows.push(row);
        }
        rows.push(self.row(&block.name, product, self.sum_format(), float, Some(block.sums.forward)));
        if block.activation_at_product.format.is_quantized() {
            rows.push(self.row(
                &block.name,
                "quantize output",
                block.activation_at_product.to_string(),
                float,
                None,
            ));
        }
        if block.pool.is_some() {
            rows.push(self.row(&block.name, "max pool", "as it arrives".to_owned(), float, None));
        }
        if block.relu {
            rows.push(self.row(&block.name, "relu", "as it arrives".to_owned(), float, None));
        }
        if block.activation.format.is_quantized() {
            rows.push(self.row(
                &block.name,
                "quantize activation",
                block.activation.to_string(),
                float,
                None,
            ));
        }
        if let Some(last) = rows.last_mut() {
            // The payload, and one byte that remembers the pooling's choice, ReLU's and the clip's mask.
            let element_bytes =
                if block.has_exact_output() { self.sum_bytes() } else { self.payload_bytes() };
            last.bytes = self.batch_size * block.output.len() * (element_bytes + 1);
        }
    }

    /// Forward through a node of a graph, whose results are floats.
    fn node_rows(&self, node: &Node) -> Vec<Operation> {
        let row = |name, format: String| self.row(&node.name, name, format, true, None);
        let float = || "float32".to_owned();
        let mut rows = Vec::new();
        let last = match node.op {
            // It has its row already.
            Op::Image => return rows,
            Op::Product(b) => {
                let block = &self.blocks[b];
                let read = block.weight.read;
                if read.format.is_quantized() {
                    let mut row = row("read weight", read.to_string());
                    row.bytes = block.product.n_weights() * 4;
                    rows.push(row);
                }
                let name =
                    if block.product.kind == ProductKind::Conv { "conv forward" } else { "linear forward" };
                match block.codes {
                    Some(_) => {
                        let sum = Some(block.sums.forward);
                        rows.push(self.row(&node.name, name, "int<32> sum".to_owned(), false, sum));
                        row("scale of the filter", float())
                    }
                    None => row(name, float()),
                }
            }
            Op::Norm(b) => row(self.blocks[b].product.kind.norm_name(), float()),
            Op::MaxPool(_) => row("max pool", float()),
            Op::Concat => row("concat", float()),
            Op::AvgPool(_) | Op::GlobalAvgPool => row("mean pool", float()),
            Op::Activation(q) if q.format == Format::Float32 => row("relu", float()),
            Op::Activation(q) => row("quantize activation", q.to_string()),
            Op::Add => row("add", float()),
            Op::Shortcut { .. } => row("shortcut", float()),
        };
        let place_bytes = usize::from(matches!(node.op, Op::MaxPool(_)));
        rows.push(Operation { bytes: self.batch_size * node.output.len() * (4 + place_bytes), ..last });
        rows
    }

    /// The way back: the error in front of a node, and what its block learns.
    fn node_rows_back(&self, node: &Node) -> Vec<Operation> {
        let row = |name, format: String, bytes| Operation {
            bytes,
            ..self.row(&node.name, name, format, true, None)
        };
        let float = || "float32".to_owned();
        let mut rows = Vec::new();
        if let Op::Product(b) | Op::Norm(b) = node.op {
            let (n, master) = (self.blocks[b].product.n_weights(), self.blocks[b].weight.master);
            if n > 0 {
                rows.push(row("gradient", float(), n * 4));
                rows.push(row("write weight", master.to_string(), n * stored_bytes(master)));
            }
        }
        // The image learns nothing.
        if node.sources.iter().any(|source| *source > 0) {
            rows.push(row("error", float(), 0));
        }
        rows
    }

    fn backward_rows(&self, block: &BlockPlan, float: bool, rows: &mut Vec<Operation>) {
        let mut gradient =
            self.row(&block.name, "gradient", self.sum_format(), float, Some(block.sums.gradient));
        gradient.bytes = block.product.n_weights() * self.sum_bytes();
        rows.push(gradient);
        if let Some(i) = block.index.checked_sub(1) {
            let previous = &self.blocks[i as usize];
            let mut error = self.row(&block.name, "error", self.sum_format(), float, block.sums.error);
            error.bytes = self.batch_size * previous.output.len() * self.sum_bytes();
            rows.push(error);
            for q in [block.error_at_product, previous.error_at_activation] {
                if q.format.is_quantized() {
                    rows.push(self.row(&previous.name, "quantize error", q.to_string(), float, None));
                }
            }
        }
        for (name, q) in [
            ("quantize gradient", block.gradient),
            ("quantize momentum", block.momentum),
            ("quantize update", block.update),
        ] {
            if q.format.is_quantized() {
                rows.push(self.row(&block.name, name, q.to_string(), float, None));
            }
        }
        let mut master = self.row(&block.name, "write weight", block.weight.master.to_string(), float, None);
        master.bytes = block.product.n_weights() * stored_bytes(block.weight.master);
        rows.push(master);
    }

    const fn payload_bytes(&self) -> usize {
        match self.arithmetic {
            Arithmetic::Int8 => 1,
            Arithmetic::Int16 => 2,
            Arithmetic::Float32 => 4,
        }
    }

    const fn sum_bytes(&self) -> usize {
        match self.arithmetic {
            Arithmetic::Int8 | Arithmetic::Float32 => 4,
            Arithmetic::Int16 => 8,
        }
    }

    fn sum_format(&self) -> String {
        match self.arithmetic {
            Arithmetic::Int8 => "int<32> sum".to_owned(),
            Arithmetic::Int16 => "int<64> sum".to_owned(),
            Arithmetic::Float32 => "float32".to_owned(),
        }
    }
}

/// Bytes of one stored weight.
pub(crate) const fn stored_bytes(master: Quantizer) -> usize {
    match (master.format, master.format.bits()) {
        (Format::Float32, _) => 4,
        (_, 0..=8) => 1,
        (_, 9..=16) => 2,
        _ => 4,
    }
}
