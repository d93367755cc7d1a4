//! How much memory a network needs: for a training step, and where it only answers.
//!
//! Counted are tensors that are there whole. The buffers of each thread, the data, what a run copies for its files, and the
//! program itself come on top.

use crate::block::{Arithmetic, BlockPlan, ProductKind};
use crate::node::{Element, ErrorRule, Node, Op, Storage};
use crate::plan::Plan;
use crate::table::{stored_bytes, sum_bytes, weight_bytes};

/// Bytes, by what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Parameters as they are stored.
    pub stored: usize,
    /// Parameters as products read them.
    pub read: usize,
    /// One tensor of an optimizer for each of the parameters: momentum, where there is any.
    pub momentum: usize,
    /// Results of all nodes for a batch, with what the backward pass must know of each element.
    pub activations: usize,
    /// Errors of a batch, where they are most at once.
    pub errors: usize,
    /// Gradients of the parameters.
    pub gradients: usize,
    /// Results of one image, where they are most at once if each goes behind its last reader.
    pub image: usize,
}

impl Memory {
    /// Parameters in a training step: stored, read, and laid out for the products of either direction.
    #[must_use]
    pub const fn parameters(&self) -> usize {
        self.stored + 3 * self.read
    }

    /// A training step, with so many tensors of the optimizer for each of the parameters.
    #[must_use]
    pub const fn training(&self, optimizer_tensors: usize) -> usize {
        let of_parameters = self.parameters() + optimizer_tensors * self.momentum + self.gradients;
        of_parameters + self.activations + self.errors
    }

    /// The answers to so many images at once: parameters as they are read, and results.
    #[must_use]
    pub const fn inference(&self, images: usize) -> usize {
        self.read + images * self.image
    }
}

impl Plan {
    /// How much memory the network needs.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let sum = |bytes: fn(&BlockPlan) -> usize| self.blocks.iter().map(bytes).sum();
        let results: usize = self.nodes.iter().map(|node| self.bytes_of(node)).sum();
        Memory {
            stored: sum(|b| n_parameters(b) * stored_bytes(b.weight.master) + statistics(b)),
            read: sum(read_bytes),
            momentum: sum(|b| n_parameters(b) * stored_bytes(b.momentum)),
            activations: self.batch_size * results,
            errors: self.batch_size * self.errors_of_image(),
            gradients: sum(|b| n_parameters(b) * gradient_bytes(b)),
            image: self.results_of_image(),
        }
    }

    /// Bytes of one image's result, with what the backward pass must know of each element.
    pub(crate) fn bytes_of(&self, node: &Node) -> usize {
        let trace = match (&node.op, node.storage) {
            (Op::Product(_) | Op::Activation(_), Storage::Codes(_)) | (Op::MaxPool(_), _) => 1,
            (Op::Product(product), _) => usize::from(product.epilogue.pool.is_some()),
            _ => 0,
        };
        result_bytes(node) + node.output.len() * trace
    }

    /// Bytes of one image's error in front of a product of integers that is handed to the product before it: the sums,
    /// where they have to wait for the largest of the batch, and the codes that they become.
    pub(crate) fn direct_error_bytes(&self, node: &Node) -> [usize; 2] {
        let Op::Product(product) = &node.op else { return [0; 2] };
        let Op::Product(before) = &self.nodes[node.sources[0]].op else { return [0; 2] };
        let block = &self.blocks[product.block];
        let bytes_of_sum = sum_bytes(block.arithmetic);
        let rows = [product.error.at_input, before.error.at_output];
        let sums = match block.sums.error {
            _ if !rows.iter().any(|row| row.scale.is_relative()) => 0,
            // They are kept in half the bits while they fit.
            Some(sum) if sum.fits(if bytes_of_sum == 8 { 32 } else { 16 }) => bytes_of_sum / 2,
            _ => bytes_of_sum,
        };
        [sums, code_bytes(&self.blocks[before.block])].map(|bytes| bytes * node.input.len())
    }

    /// Bytes of one image's error behind a node.
    fn error_bytes(&self, i: usize) -> usize {
        let node = &self.nodes[i];
        let bytes = match &node.op {
            Op::Product(product) if node.storage == Storage::Wide || i + 1 == self.nodes.len() => {
                code_bytes(&self.blocks[product.block])
            }
            _ if self.is_float() => Element::F32.bytes(),
            _ => Element::I16.bytes(),
        };
        node.output.len() * bytes
    }

    /// The nodes with a result of their own that a node reads.
    fn reads(&self, node: &Node) -> Vec<usize> {
        let sources: Vec<usize> = match &node.op {
            Op::Activation(activation) => activation.terms.iter().map(|term| term.source).collect(),
            _ => node.sources.clone(),
        };
        let stored = |source: usize| match self.nodes[source].storage {
            Storage::Fused => self.reads(&self.nodes[source]),
            _ => vec![source],
        };
        sources.into_iter().flat_map(stored).collect()
    }

    /// The most that results of one image hold at once, if each goes behind its last reader.
    fn results_of_image(&self) -> usize {
        let mut last_reader = vec![self.nodes.len(); self.nodes.len()];
        let computed = || self.nodes.iter().enumerate().filter(|(_, node)| node.storage != Storage::Fused);
        for (i, node) in computed() {
            self.reads(node).into_iter().for_each(|source| last_reader[source] = i);
        }
        let (mut held, mut most) = (0, 0);
        for (i, node) in computed() {
            let in_place = matches!(&node.op, Op::Activation(activation) if activation.in_place);
            held += if in_place { 0 } else { result_bytes(node) };
            most = most.max(held + self.entering_bytes(node));
            let over = computed().filter(|(source, _)| last_reader[*source] == i && !in_place);
            held -= over.map(|(_, node)| result_bytes(node)).sum::<usize>();
        }
        most
    }

    /// The most that errors of one image hold at once: each from its first reader in the backward pass to its own node.
    fn errors_of_image(&self) -> usize {
        let mut held = vec![0; self.nodes.len()];
        let last = self.nodes.len() - 1;
        held[last] = self.error_bytes(last);
        let mut most = held[last];
        for (i, node) in self.nodes.iter().enumerate().skip(1).rev() {
            if node.storage == Storage::Fused {
                continue;
            }
            let mut note = |held: &[usize], more: usize| most = most.max(held.iter().sum::<usize>() + more);
            note(&held, self.operand_bytes(node));
            if let Op::Product(product) = &node.op
                && product.epilogue.pool.is_some()
            {
                let block = &self.blocks[product.block];
                let behind = block.product.output.len() * code_bytes(block);
                note(&held, behind);
                held[i] = behind;
            }
            let passes =
                matches!(&node.op, Op::Activation(a) if a.terms.len() == 1 && a.terms[0].norm.is_none());
            if passes {
                held[i] = 0;
            }
            for source in self.reads(node).into_iter().filter(|source| *source > 0) {
                let [sums, codes] = match &node.op {
                    Op::Product(product) if product.error.rule == ErrorRule::Direct => {
                        self.direct_error_bytes(node)
                    }
                    _ => [0, self.error_bytes(source)],
                };
                held[source] = held[source].max(codes);
                note(&held, sums);
            }
            held[i] = 0;
        }
        most
    }
}

impl Plan {
    /// Bytes of one image as a product between floats reads it, where it is quantized for that.
    fn entering_bytes(&self, node: &Node) -> usize {
        let Op::Product(product) = &node.op else { return 0 };
        let is_coded = self.blocks[product.block].operands.activation.is_some();
        if is_coded { 4 * node.input.len() } else { 0 }
    }

    /// Bytes of one image's operands as the gradient's product between floats reads them: what entered, the error, and one of
    /// both on its way through the transform.
    fn operand_bytes(&self, node: &Node) -> usize {
        let Op::Product(product) = &node.op else { return 0 };
        let (rows, p) = (&self.blocks[product.block].operands, &self.blocks[product.block].product);
        let [input, output] = [p.input.len(), p.output.len()].map(|n| 4 * n);
        let is_read = |coded: bool, bytes: usize| if coded || rows.hadamard { bytes } else { 0 };
        let transformed = if rows.hadamard { input.max(output) } else { 0 };
        is_read(rows.activation.is_some(), input) + is_read(rows.error.is_some(), output) + transformed
    }
}

fn n_parameters(block: &BlockPlan) -> usize {
    block.product.n_weights() + if block.product.bias { block.product.output.c } else { 0 }
}

/// Bytes of a norm's running statistics.
fn statistics(block: &BlockPlan) -> usize {
    if block.product.kind == ProductKind::BatchNorm { 2 * 4 * block.product.output.c } else { 0 }
}

/// Bytes of a block's parameters as they are read.
fn read_bytes(block: &BlockPlan) -> usize {
    let product = &block.product;
    if product.kind.is_norm() {
        return 4 * n_parameters(block) + statistics(block);
    }
    let biases = if product.bias { product.output.c * sum_bytes(block.arithmetic) } else { 0 };
    // Where blocks of small floats lie along a product's sum, either direction reads weights of its own.
    let is_twice = block.weight.read.format.coded().is_some_and(|coded| coded.has_direction());
    let n = product.n_read_weights() << u32::from(is_twice);
    n * weight_bytes(block.arithmetic) + biases
}

fn gradient_bytes(block: &BlockPlan) -> usize {
    match block.arithmetic {
        Arithmetic::Float32 => 4,
        Arithmetic::Int8 if !block.product.kind.is_norm() && block.sums.gradient.fits(32) => 4,
        Arithmetic::Int8 | Arithmetic::Int16 => 8,
    }
}

/// Bytes of an error as a product reads it.
const fn code_bytes(block: &BlockPlan) -> usize {
    match block.arithmetic {
        Arithmetic::Int8 => 1,
        Arithmetic::Int16 => 2,
        Arithmetic::Float32 => 4,
    }
}

fn result_bytes(node: &Node) -> usize {
    node.output.len() * node.storage.element().map_or(0, Element::bytes)
}

#[cfg(test)]
mod tests {
    use intrain_model::Model;

    use super::*;

    fn memory(layers: &str, recipe: &str, batch_size: usize) -> Memory {
        let text = format!(
            "name = 'small'\ninput = {{ h = 8, w = 8, c = 1, pixels = 'x/256' }}\nlayer = [{layers}]\n"
        );
        let (model, recipe) = (Model::from_toml(&text).unwrap(), intrain_recipe::preset(recipe).unwrap());
        Plan::build(&model, &recipe, batch_size).unwrap().memory()
    }

    const CHAIN: &str = "{ name = 'conv1', kind = 'conv', out = 4, kernel = 3, pad = 1 },
        { name = 'pool1', kind = 'max-pool', size = 2, stride = 2 }, { name = 'relu1', kind = 'relu' },
        { name = 'conv2', kind = 'conv', out = 4, kernel = 3 }, { name = 'relu2', kind = 'relu' },
        { name = 'flatten1', kind = 'flatten' }, { name = 'fc1', kind = 'linear', out = 10 }";

    #[test]
    fn a_chain_of_bytes() {
        let m = memory(CHAIN, "wage", 3);
        let n = 9 * 4 + 9 * 4 * 4 + 16 * 10;
        assert_eq!((m.stored, m.read), (n, n));
        // The image, two activations with traces, and exact logits.
        assert_eq!(m.activations, 3 * (64 + 2 * 4 * 16 + 2 * 4 * 4 + 4 * 10));
        // Image and first activation at once.
        assert_eq!((m.image, m.inference(5)), (64 + 64, n + 5 * 128));
        // The largest: sums of 16 or 32 bits in front of conv2, their codes, and the error behind it.
        assert!((3 * (2 * 64 + 64)..=3 * (4 * 64 + 64 + 256 + 16)).contains(&m.errors), "{m:?}");
        let more = memory(CHAIN, "wage", 6);
        assert_eq!((more.image, more.activations, more.errors), (m.image, 2 * m.activations, 2 * m.errors));
        assert_eq!(m.training(0), n + 3 * n + m.activations + m.errors + m.gradients);
        assert_eq!(m.training(2), m.training(0) + 2 * m.momentum);
    }

    #[test]
    fn a_result_waits_for_its_last_reader() {
        let block = "{ name = 'conv1', kind = 'conv', out = 2, kernel = 3, pad = 1 }, { name = 'relu1', kind = 'relu' },
            { name = 'conv2', kind = 'conv', out = 2, kernel = 3, pad = 1 }";
        let end = "{ name = 'flatten1', kind = 'flatten' }, { name = 'fc1', kind = 'linear', out = 10 }";
        let add = "{ name = 'add1', kind = 'add', from = ['conv2', 'relu1'] }";
        let pixels = 4 * 2 * 64;
        assert_eq!(memory(&format!("{block}, {end}"), "float32", 1).image, 2 * pixels);
        assert_eq!(memory(&format!("{block}, {add}, {end}"), "float32", 1).image, 3 * pixels);
    }

    #[test]
    fn a_grouped_convolution_is_read_densely_but_for_a_depthwise_one() {
        let layers = |kind: &str| {
            format!(
                "{{ name = 'conv1', kind = 'conv', out = 4, kernel = 3 }}, {{ name = 'relu1', kind = 'relu' }},
                {{ name = 'conv2', out = 4, kernel = 3, {kind} }}, {{ name = 'relu2', kind = 'relu' }},
                {{ name = 'flatten1', kind = 'flatten' }}, {{ name = 'fc1', kind = 'linear', out = 10 }}"
            )
        };
        let dense = memory(&layers("kind = 'conv'"), "gupta", 1);
        let grouped = memory(&layers("kind = 'grouped-conv', groups = 2"), "gupta", 1);
        assert_eq!((grouped.read, grouped.stored), (dense.read, dense.stored - 2 * 9 * 4 * 2));
        // A depthwise one has kernels of its own.
        let depthwise = memory(&layers("kind = 'grouped-conv', groups = 4"), "gupta", 1);
        assert_eq!(dense.stored - depthwise.stored, 2 * 9 * 4 * 3);
        assert_eq!(dense.read - depthwise.read, 4 * 9 * 4 * 3);
    }
}
