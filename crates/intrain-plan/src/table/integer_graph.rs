//! The rows of a graph of integers: nothing in them is a float.

use intrain_num::Sum;

use super::{Operation, stored_bytes};
use crate::{GraphPlan, Node, Op, Plan, ProductKind};

impl Plan {
    /// Forward through a node.
    pub(super) fn integer_rows(&self, node: &Node) -> Vec<Operation> {
        let row = |name, format: String, sum: Option<Sum>| self.row(&node.name, name, format, false, sum);
        let elements = self.batch_size * node.output.len();
        let payload_bytes = elements * self.payload_bytes();
        let as_it_arrives = || "as it arrives".to_owned();
        match node.op {
            // It has its row already.
            Op::Image => vec![],
            Op::Product(b) => {
                let block = &self.blocks[b];
                let read = block.weight.read;
                let mut rows = Vec::new();
                if read.format.is_quantized() {
                    let bytes = block.product.n_weights() * self.payload_bytes();
                    rows.push(Operation { bytes, ..row("read weight", read.to_string(), None) });
                }
                let name =
                    if block.product.kind == ProductKind::Conv { "conv forward" } else { "linear forward" };
                rows.push(row(name, self.sum_format(), Some(block.sums.forward)));
                let words = block.activation_at_product;
                if words.format.is_quantized() {
                    rows.push(Operation {
                        bytes: 2 * elements,
                        ..row("quantize output", words.to_string(), None)
                    });
                } else if let Some(last) = rows.last_mut() {
                    last.bytes = elements * self.sum_bytes();
                }
                rows
            }
            Op::Norm(b) => self.norm_rows(b, node),
            Op::Activation(q) => {
                let sum = node.sum.as_ref().map(|sum| sum.sum);
                let terms = node.sum.as_ref().map_or(0, |sum| sum.terms.len());
                let name = if terms > 1 { "residual sum" } else { "sum" };
                let rounded = row("quantize activation", q.to_string(), None);
                // The payload, and a byte for the way back.
                vec![
                    row(name, "int<32> sum".to_owned(), sum),
                    Operation { bytes: payload_bytes + elements, ..rounded },
                ]
            }
            // It is a row of the activation behind it.
            Op::Add => vec![],
            Op::MaxPool(_) => {
                vec![Operation { bytes: payload_bytes + elements, ..row("max pool", as_it_arrives(), None) }]
            }
            Op::AvgPool(_) | Op::GlobalAvgPool => {
                let format = format!("{} fractional bits", node.operand.frac_bits);
                vec![Operation { bytes: payload_bytes, ..row("mean pool", format, None) }]
            }
            Op::Shortcut { .. } => {
                vec![Operation { bytes: payload_bytes, ..row("shortcut", as_it_arrives(), None) }]
            }
            Op::Concat => vec![Operation { bytes: payload_bytes, ..row("concat", as_it_arrives(), None) }],
        }
    }

    fn norm_rows(&self, b: usize, node: &Node) -> Vec<Operation> {
        let Some(norm) = &self.blocks[b].norm else { return vec![] };
        let row = |name, format: String| self.row(&node.name, name, format, false, None);
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

    /// The way back: the error in front of a node, and what its block learns.
    pub(super) fn integer_rows_back(&self, graph: &GraphPlan, node: &Node) -> Vec<Operation> {
        let row = |name, format: String, sum: Option<Sum>| self.row(&node.name, name, format, false, sum);
        let mut rows = Vec::new();
        let (Op::Product(b) | Op::Norm(b)) = node.op else { return rows };
        let block = &self.blocks[b];
        let n = block.product.n_weights();
        let is_norm = block.norm.is_some();
        if is_norm {
            // What cuts the error behind a norm is a row of the product in front of it.
            let Op::Product(product) = product_before(graph, node).op else { return rows };
            let q = self.blocks[product].error_at_activation;
            rows.push(row("error", "int<32> sum".to_owned(), None));
            rows.push(row("quantize error", q.to_string(), None));
        }
        if n > 0 {
            let name = if is_norm { "gradient of gain" } else { "gradient" };
            let (format, bytes) =
                if is_norm { ("int<64> sum".to_owned(), 8) } else { (self.sum_format(), self.sum_bytes()) };
            rows.push(Operation { bytes: n * bytes, ..row(name, format, Some(block.sums.gradient)) });
        }
        if let Some(error) = block.sums.error.filter(|_| node.sources[0] != 0) {
            rows.push(row("error", self.sum_format(), Some(error)));
            rows.push(row("quantize error", block.error_at_product.to_string(), None));
        }
        if n > 0 {
            for (name, q) in [
                ("quantize gradient", block.gradient),
                ("quantize momentum", block.momentum),
                ("quantize update", block.update),
            ] {
                if q.format.is_quantized() {
                    rows.push(row(name, q.to_string(), None));
                }
            }
            let master = block.weight.master;
            let bytes = n * stored_bytes(master);
            rows.push(Operation { bytes, ..row("write weight", master.to_string(), None) });
        }
        rows
    }
}

/// The product whose words reach a node.
fn product_before<'a>(graph: &'a GraphPlan, node: &Node) -> &'a Node {
    let before = &graph.nodes[node.sources[0]];
    if let Op::Product(_) = before.op { before } else { product_before(graph, before) }
}
