//! From the nodes of a graph to layers: one pass in the order of the file, which is that of the data.

mod pools;
mod products;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};

use intrain_model::{INPUT, Init, Input, Layer, LayerKind, Logits, Model, Shape};

use crate::error::ImportError;
use crate::onnx::{Graph, Node};
use crate::pixels::Entering;
use crate::tensor::Tensor;
use crate::{Imported, Options, Weights};

/// The network of a graph.
pub(crate) fn build(graph: &Graph<'_>, options: &Options) -> Result<Imported, ImportError> {
    let [output] = graph.outputs[..] else {
        let names = graph.outputs.join(", ");
        return Err(ImportError::Graph(format!(
            "the graph has {} outputs ({names}), and one is read; export the logits alone",
            graph.outputs.len()
        )));
    };
    let (name, shape, batch) = image(graph)?;
    let entering = options.scaling.entering(shape.c).map_err(ImportError::Graph)?;
    let input = Input { shape, pixels: entering.pixels };
    let mut builder = Builder {
        constants: graph.constants.clone(),
        values: BTreeMap::from([(name, Flow { place: 0, shape, order: None })]),
        uses: uses(graph, output),
        output,
        batch,
        entering,
        layers: vec![],
        weights: vec![],
    };
    let needed = needed(graph, output);
    for node in &graph.nodes {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            builder.node(node)?;
        }
    }
    let Some(end) = builder.values.get(output).filter(|end| end.place == builder.layers.len()) else {
        return Err(ImportError::Graph(format!("its output '{output}' is not what its last layer gives")));
    };
    if end.order.as_ref().is_some_and(|pieces| pieces.iter().any(|piece| piece.h * piece.w > 1)) {
        return Err(ImportError::Graph(
            "its output is a flattened image; end with a linear layer".to_owned(),
        ));
    }
    let model = Model {
        name: options.name.clone(),
        source: options.source.clone(),
        input,
        init: Init::Uniform,
        logits: Logits::Exact,
        layers: builder.layers,
    };
    model.n_classes()?;
    let ends = |node: &Node<'_>| node.outputs.first() == Some(&output);
    let has_softmax = graph.nodes.iter().any(|node| ends(node) && node.operator == "Softmax");
    Ok(Imported { model, weights: builder.weights, has_softmax })
}

/// The image that enters: its name, its shape, and how many of them at a time, where that is fixed.
fn image<'a>(graph: &Graph<'a>) -> Result<(&'a str, Shape, Option<i64>), ImportError> {
    let [input] = &graph.inputs[..] else {
        let n = graph.inputs.len();
        return Err(ImportError::Graph(format!("the graph has {n} inputs, and one image is read")));
    };
    let side = |dim: Option<i64>| {
        dim.and_then(|dim| usize::try_from(dim).ok()).filter(|dim| (1..=4096).contains(dim))
    };
    let shape = match input.dims[..] {
        [_, c, h, w] => [h, w, c].map(side),
        _ => [None; 3],
    };
    let [Some(h), Some(w), Some(c)] = shape else {
        let dims: Vec<String> =
            input.dims.iter().map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect();
        return Err(ImportError::Graph(format!(
            "its input '{}' is [{}], and [images, channels, height, width] is read, the last three fixed and at most 4096; export it \
             with a fixed size of images, and with the Flatten of a network that takes vectors",
            input.name,
            dims.join(", ")
        )));
    };
    Ok((input.name, Shape { h, w, c }, input.dims[0].filter(|batch| *batch > 0)))
}

/// The names on the way to the output.
fn needed<'a>(graph: &Graph<'a>, output: &'a str) -> BTreeSet<&'a str> {
    let mut needed = BTreeSet::from([output]);
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(&node.inputs);
        }
    }
    needed
}

/// How often each name is read, the output once more.
fn uses<'a>(graph: &Graph<'a>, output: &'a str) -> BTreeMap<&'a str, usize> {
    let mut uses = BTreeMap::from([(output, 1)]);
    for input in graph.nodes.iter().flat_map(|node| &node.inputs) {
        *uses.entry(*input).or_default() += 1;
    }
    uses
}

/// A tensor of the graph: which output it is here.
#[derive(Debug, Clone, PartialEq)]
struct Flow {
    /// 0 is the image, `i + 1` the output of layer `i`.
    place: usize,
    /// Without the batch.
    shape: Shape,
    /// Where it is a vector, the images that were flattened into it, one behind the other: in the graph channel by channel, here
    /// pixel by pixel. None for an image.
    order: Option<Vec<Shape>>,
}

impl Flow {
    /// For each element of a vector here, its place in that of the graph.
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let mut start = 0;
        let pieces = self.order.as_deref().unwrap_or(std::slice::from_ref(&self.shape));
        pieces.iter().flat_map(move |&Shape { h, w, c }| {
            let base = start;
            start += h * w * c;
            (0..h * w).flat_map(move |pixel| (0..c).map(move |channel| base + channel * h * w + pixel))
        })
    }
}

struct Builder<'a> {
    constants: BTreeMap<&'a str, Tensor<'a>>,
    values: BTreeMap<&'a str, Flow>,
    uses: BTreeMap<&'a str, usize>,
    output: &'a str,
    batch: Option<i64>,
    entering: Entering,
    layers: Vec<Layer>,
    weights: Vec<Weights>,
}

/// What is read, for the message about what is not.
const READ: &str = "Conv, BatchNormalization, Relu, Clip(0, 6), MaxPool, AveragePool, GlobalAveragePool, ReduceMean over pixels, Add, Concat, Flatten, Reshape, Gemm, \
                    MatMul, Identity, Dropout, Constant and a last Softmax";

impl<'a> Builder<'a> {
    fn node(&mut self, node: &Node<'a>) -> Result<(), ImportError> {
        let operator = if node.is_standard() { node.operator } else { "" };
        let flow = match operator {
            "Constant" => return self.constant(node),
            "Identity" | "Dropout" => return self.identity(node),
            "Conv" => self.conv(node)?,
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.mat_mul(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "Relu" => self.layer(node, "relu", LayerKind::Relu)?,
            "Clip" => self.clip(node)?,
            "MaxPool" => self.max_pool(node)?,
            "AveragePool" => self.average_pool(node)?,
            "GlobalAveragePool" => self.global_pool(node)?,
            "ReduceMean" => self.reduce_mean(node)?,
            "Add" => self.add(node)?,
            "Concat" => self.concat(node)?,
            "Flatten" => self.flatten_node(node)?,
            "Reshape" => self.reshape(node)?,
            "Softmax" => self.softmax(node)?,
            _ => return Err(node.refuse(format!("this operator is not read; those that are: {READ}"))),
        };
        self.bind(node, flow)
    }

    /// Names the first output of a node.
    fn bind(&mut self, node: &Node<'a>, flow: Flow) -> Result<(), ImportError> {
        match node.outputs.first() {
            Some(output) if !self.values.contains_key(output) => {
                self.values.insert(output, flow);
                Ok(())
            }
            _ => Err(node.refuse("its output has no name, or that of another one; the file is damaged")),
        }
    }

    fn constant(&mut self, node: &Node<'a>) -> Result<(), ImportError> {
        let value = node.value().ok_or_else(|| node.refuse("a constant of this form is not read"))?;
        let output = node.outputs.first().copied().unwrap_or("");
        self.constants.insert(output, value.named(output));
        Ok(())
    }

    /// What changes nothing when a network answers.
    fn identity(&mut self, node: &Node<'a>) -> Result<(), ImportError> {
        let input = node.inputs.first().copied().unwrap_or("");
        if let (Some(constant), Some(output)) = (self.constants.get(input).cloned(), node.outputs.first()) {
            self.constants.insert(output, constant);
            return Ok(());
        }
        if node.operator == "Dropout" && node.inputs.len() > 2 {
            return Err(
                node.refuse("it drops as in training; export the network for evaluation: model.eval()")
            );
        }
        let flow = self.flow(node, 0)?;
        self.bind(node, flow)
    }

    fn softmax(&self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        let is_last = node.outputs.first() == Some(&self.output);
        let axis = node.int("axis", -1);
        if is_last && flow.order.is_some() && matches!(axis, 1 | -1) {
            return Ok(flow);
        }
        Err(node.refuse(
            "a softmax is read as the last node, over the classes, and left out: the loss has its own",
        ))
    }

    fn clip(&mut self, node: &Node<'a>) -> Result<Flow, ImportError> {
        let mut limits = [node.float("min"), node.float("max")];
        for (limit, input) in limits.iter_mut().zip(node.inputs.iter().skip(1)) {
            if !input.is_empty() {
                let values = self.parameter(node, input)?.floats();
                *limit = values.map_err(|reason| node.refuse(reason))?.first().copied();
            }
        }
        match limits.map(|limit| limit.map(f32::to_bits)) {
            [Some(0), Some(max)] if max == 6_f32.to_bits() => self.layer(node, "relu", LayerKind::Relu6),
            [Some(0), None] => self.layer(node, "relu", LayerKind::Relu),
            _ => {
                let [min, max] =
                    limits.map(|limit| limit.map_or("nothing".to_owned(), |limit| limit.to_string()));
                Err(node.refuse(format!("it clips to {min} and {max}, and 0 and 6 are read (ReLU6)")))
            }
        }
    }

    /// What enters a node at `i`, an output of a layer or the image.
    fn flow(&self, node: &Node<'a>, i: usize) -> Result<Flow, ImportError> {
        let name = node.inputs.get(i).copied().unwrap_or("");
        match self.values.get(name) {
            Some(flow) => Ok(flow.clone()),
            None if self.constants.contains_key(name) => {
                Err(node
                    .refuse(format!("its input '{name}' is a constant, and here a computed tensor is read")))
            }
            None => {
                Err(node
                    .refuse(format!("its input '{name}' comes from no node before it; the file is damaged")))
            }
        }
    }

    /// A constant that enters a node.
    fn parameter(&self, node: &Node<'a>, name: &str) -> Result<&Tensor<'a>, ImportError> {
        self.constants.get(name).ok_or_else(|| {
            node.refuse(format!(
                "its input '{name}' is no constant; weights and shapes must be: export with fixed weights and a fixed size of images"
            ))
        })
    }

    /// The constant that enters a node at `i`; none where nothing does.
    fn optional(&self, node: &Node<'a>, i: usize) -> Result<Option<&Tensor<'a>>, ImportError> {
        match node.inputs.get(i).copied().unwrap_or("") {
            "" => Ok(None),
            name => self.parameter(node, name).map(Some),
        }
    }

    /// A layer that takes the first input of a node.
    fn layer(&mut self, node: &Node<'a>, stem: &str, kind: LayerKind) -> Result<Flow, ImportError> {
        let flow = self.flow(node, 0)?;
        self.push(node, stem, kind, &[flow])
    }

    /// A layer that takes these tensors.
    fn push(
        &mut self,
        node: &Node<'a>,
        stem: &str,
        kind: LayerKind,
        sources: &[Flow],
    ) -> Result<Flow, ImportError> {
        let first = &sources[0];
        let joined = match kind {
            LayerKind::Concat => Shape { c: sources.iter().map(|flow| flow.shape.c).sum(), ..first.shape },
            _ => first.shape,
        };
        let shape = kind.output(joined).map_err(|reason| node.refuse(reason))?;
        let from = match sources {
            [flow] if flow.place == self.layers.len() => vec![],
            sources => sources.iter().map(|flow| self.name_of(flow.place)).collect(),
        };
        let is_stem = |layer: &&Layer| {
            layer
                .name
                .strip_prefix(stem)
                .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let number = self
            .layers
            .iter()
            .rev()
            .find(is_stem)
            .map_or(0, |layer| layer.name[stem.len()..].parse::<usize>().unwrap_or(0));
        self.layers.push(Layer { from, ..Layer::new(format!("{stem}{}", number + 1), kind) });
        Ok(Flow { place: self.layers.len(), shape, order: first.order.clone() })
    }

    fn name_of(&self, place: usize) -> String {
        place.checked_sub(1).map_or_else(|| INPUT.to_owned(), |i| self.layers[i].name.clone())
    }

    /// Keeps the numbers of the last layer.
    fn keep(&mut self, weights: Weights) {
        let layer = self.name_of(self.layers.len());
        self.weights.push(Weights { layer, ..weights });
    }
}

/// Numbers for so many outputs: as many, whatever dimensions of 1 stand in front.
fn numbers(node: &Node<'_>, tensor: &Tensor<'_>, n: usize) -> Result<Vec<f32>, ImportError> {
    if tensor.len() != Some(n) {
        let reason =
            format!("'{}' has the dimensions {:?}, and {n} numbers belong there", tensor.name, tensor.dims);
        return Err(node.refuse(reason));
    }
    tensor.floats().map_err(|reason| node.refuse(reason))
}
