//! The messages of ONNX that a network needs: a graph, its nodes with their attributes, its constants.

use std::collections::BTreeMap;

use crate::error::ImportError;
use crate::tensor::Tensor;
use crate::wire::{Message, Value, damaged};

/// Nodes that a graph may have.
const NODES_MAX: usize = 1 << 16;
/// Inputs, outputs and attributes that a node may have, and numbers in an attribute.
const PARTS_MAX: usize = 256;
/// The operators' version from which attributes mean what they mean here.
const OPSET_MIN: i64 = 7;

/// A graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) constants: BTreeMap<&'a str, Tensor<'a>>,
    /// What enters, without the constants.
    pub(crate) inputs: Vec<Input<'a>>,
    pub(crate) outputs: Vec<&'a str>,
}

/// Something that enters a graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input<'a> {
    pub(crate) name: &'a str,
    /// Its dimensions; none where a dimension has no number.
    pub(crate) dims: Vec<Option<i64>>,
}

/// A node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node<'a> {
    /// Its place, counted from 0.
    pub(crate) index: usize,
    pub(crate) operator: &'a str,
    domain: &'a str,
    name: &'a str,
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Debug, Clone, Default)]
struct Attribute<'a> {
    name: &'a str,
    float: Option<f32>,
    int: Option<i64>,
    text: Option<&'a [u8]>,
    tensor: Option<Tensor<'a>>,
    floats: Vec<f32>,
    ints: Vec<i64>,
}

/// The graph of a `ModelProto`.
pub(crate) fn graph(bytes: &[u8]) -> Result<Graph<'_>, ImportError> {
    let mut graph = None;
    for field in (Message { bytes, at: 0 }) {
        let field = field?;
        match field.number {
            7 => graph = Some(Graph::read(field.message()?)?),
            8 => check_opset(field.message()?)?,
            _ => {}
        }
    }
    graph.ok_or_else(|| damaged(bytes.len(), "there is no graph in it"))
}

fn check_opset(message: Message<'_>) -> Result<(), ImportError> {
    let (mut domain, mut version) = ("", 0);
    for field in message {
        let field = field?;
        match field.number {
            1 => domain = field.text()?,
            2 => version = field.int()?,
            _ => {}
        }
    }
    if is_standard(domain) && version < OPSET_MIN {
        return Err(ImportError::Graph(format!(
            "the file has operators of version {version}, and those from {OPSET_MIN} on are read; export the network anew"
        )));
    }
    Ok(())
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

impl<'a> Graph<'a> {
    fn read(message: Message<'a>) -> Result<Self, ImportError> {
        let mut graph = Self::default();
        for field in message {
            let field = field?;
            match field.number {
                1 if graph.nodes.len() >= NODES_MAX => {
                    return Err(ImportError::Graph(format!("the graph has more than {NODES_MAX} nodes")));
                }
                1 => graph.nodes.push(Node::read(field.message()?, graph.nodes.len())?),
                5 if graph.constants.len() >= NODES_MAX => {
                    return Err(ImportError::Graph(format!("the graph has more than {NODES_MAX} constants")));
                }
                5 => {
                    let tensor = Tensor::read(field.message()?)?;
                    graph.constants.insert(tensor.name, tensor);
                }
                11 if graph.inputs.len() >= NODES_MAX => {
                    return Err(ImportError::Graph(format!("the graph has more than {NODES_MAX} inputs")));
                }
                11 => graph.inputs.push(Input::read(field.message()?)?),
                12 if graph.outputs.len() < NODES_MAX => {
                    graph.outputs.push(Input::read(field.message()?)?.name);
                }
                _ => {}
            }
        }
        let constants = &graph.constants;
        graph.inputs.retain(|input| !constants.contains_key(input.name));
        Ok(graph)
    }
}

impl<'a> Input<'a> {
    /// A `ValueInfoProto`: its type is a tensor's, which has a shape of dimensions.
    fn read(message: Message<'a>) -> Result<Self, ImportError> {
        let mut input = Self::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => input.name = field.text()?,
                2 => {
                    if let Some(shape) =
                        inner(field.message()?, 1)?.map(|tensor| inner(tensor, 2)).transpose()?.flatten()
                    {
                        input.dims = dims(shape)?;
                    }
                }
                _ => {}
            }
        }
        Ok(input)
    }
}

/// The message in a field of a message.
fn inner(message: Message<'_>, number: u64) -> Result<Option<Message<'_>>, ImportError> {
    for field in message {
        let field = field?;
        if field.number == number {
            return field.message().map(Some);
        }
    }
    Ok(None)
}

fn dims(shape: Message<'_>) -> Result<Vec<Option<i64>>, ImportError> {
    let mut dims = Vec::new();
    for field in shape {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        if dims.len() >= PARTS_MAX {
            return Err(damaged(field.at, format!("a shape has more than {PARTS_MAX} dimensions")));
        }
        let mut value = None;
        for part in field.message()? {
            let part = part?;
            if part.number == 1 {
                value = Some(part.int()?);
            }
        }
        dims.push(value);
    }
    Ok(dims)
}

impl<'a> Node<'a> {
    fn read(message: Message<'a>, index: usize) -> Result<Self, ImportError> {
        let mut node = Self { index, ..Self::default() };
        for field in message {
            let field = field?;
            let is_full = [node.inputs.len(), node.outputs.len(), node.attributes.len()]
                .iter()
                .any(|len| *len >= PARTS_MAX);
            if is_full {
                return Err(damaged(field.at, format!("node {index} has more than {PARTS_MAX} parts")));
            }
            match field.number {
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                3 => node.name = field.text()?,
                4 => node.operator = field.text()?,
                5 => node.attributes.push(Attribute::read(field.message()?)?),
                7 => node.domain = field.text()?,
                _ => {}
            }
        }
        Ok(node)
    }

    /// The error of this node.
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> ImportError {
        let name = if self.name.is_empty() { self.outputs.first().copied().unwrap_or("") } else { self.name };
        let operator = if self.is_standard() {
            self.operator.to_owned()
        } else {
            format!("{}.{}", self.domain, self.operator)
        };
        ImportError::Node { index: self.index, operator, name: name.to_owned(), reason: reason.into() }
    }

    /// Whether its operator is one of ONNX itself.
    pub(crate) fn is_standard(&self) -> bool {
        is_standard(self.domain)
    }

    fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// A whole number among its attributes.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.int).unwrap_or(default)
    }

    /// A number among its attributes.
    pub(crate) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).and_then(|attribute| attribute.float)
    }

    /// A text among its attributes, empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &'a str {
        let bytes = self.attribute(name).and_then(|attribute| attribute.text).unwrap_or(b"");
        std::str::from_utf8(bytes).unwrap_or("?")
    }

    /// Whole numbers among its attributes, none where there are none.
    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| &attribute.ints[..]).filter(|ints| !ints.is_empty())
    }

    /// What a `Constant` is.
    pub(crate) fn value(&self) -> Option<Tensor<'a>> {
        let [attribute] = &self.attributes[..] else { return None };
        match attribute {
            Attribute { name: "value", tensor: Some(tensor), .. } => Some(tensor.clone()),
            Attribute { name: "value_float", float: Some(value), .. } => {
                Some(Tensor::of_floats(vec![*value], vec![]))
            }
            Attribute { name: "value_int", int: Some(value), .. } => {
                Some(Tensor::of_ints(vec![*value], vec![]))
            }
            Attribute { name: "value_floats", floats, .. } => {
                Some(Tensor::of_floats(floats.clone(), vec![floats.len()]))
            }
            Attribute { name: "value_ints", ints, .. } => {
                Some(Tensor::of_ints(ints.clone(), vec![ints.len()]))
            }
            _ => None,
        }
    }
}

impl<'a> Attribute<'a> {
    fn read(message: Message<'a>) -> Result<Self, ImportError> {
        let mut attribute = Self::default();
        for field in message {
            let field = field?;
            if attribute.ints.len().max(attribute.floats.len()) > PARTS_MAX {
                return Err(damaged(field.at, format!("an attribute has more than {PARTS_MAX} numbers")));
            }
            match (field.number, field.value) {
                (1, _) => attribute.name = field.text()?,
                (2, _) => attribute.float = Some(field.float()?),
                (3, _) => attribute.int = Some(field.int()?),
                (4, _) => attribute.text = Some(field.message()?.bytes),
                (5, _) => attribute.tensor = Some(Tensor::read(field.message()?)?),
                (7, Value::Bytes(packed)) => {
                    let numbers = packed.bytes.as_chunks().0.iter().take(PARTS_MAX + 1);
                    attribute.floats.extend(numbers.map(|bytes| f32::from_le_bytes(*bytes)));
                }
                (7, _) => attribute.floats.push(field.float()?),
                (8, Value::Bytes(packed)) => {
                    for value in packed.varints().take(PARTS_MAX + 1) {
                        attribute.ints.push(value?.cast_signed());
                    }
                }
                (8, _) => attribute.ints.push(field.int()?),
                _ => {}
            }
        }
        Ok(attribute)
    }
}
