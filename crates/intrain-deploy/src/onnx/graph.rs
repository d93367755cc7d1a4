//! An ONNX graph as it grows, and the forms in which it has each tensor: bytes for products, reals for what rounds.

use super::proto::{self, Attribute, Data, Message, Type};

/// Floats that hold integers exactly: binary32 below 2^24, binary64 below 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Real {
    F32,
    F64,
}

impl Real {
    /// The narrowest that holds integers up to this magnitude; none where none does.
    pub(super) const fn holding(bound: u128) -> Option<Self> {
        if bound < 1 << 24 {
            Some(Self::F32)
        } else if bound < 1 << 53 {
            Some(Self::F64)
        } else {
            None
        }
    }

    pub(super) const fn kind(self) -> Type {
        match self {
            Self::F32 => Type::F32,
            Self::F64 => Type::F64,
        }
    }

    /// Integers as constants of this type. Exact: the caller has seen that they fit.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "integers that it holds exactly"
    )]
    pub(super) fn data(self, values: impl Iterator<Item = f64>) -> Data {
        match self {
            Self::F32 => Data::F32(values.map(|x| x as f32).collect()),
            Self::F64 => Data::F64(values.collect()),
        }
    }
}

/// Nodes and constants.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    n: usize,
}

impl Graph {
    /// Adds a node, whose result has the name that is returned: `owner/op/number`, where no layer's name has a slash.
    pub(super) fn node(
        &mut self,
        owner: &str,
        op: &str,
        inputs: &[&str],
        attributes: &[Attribute],
    ) -> String {
        self.of_domain("", owner, op, inputs, attributes)
    }

    /// The same with an operator that is none of ONNX's own.
    pub(super) fn of_domain(
        &mut self,
        domain: &str,
        owner: &str,
        op: &str,
        inputs: &[&str],
        attributes: &[Attribute],
    ) -> String {
        let name = self.name(owner, op);
        self.nodes.push(proto::node(domain, op, inputs, &name, attributes));
        name
    }

    /// Adds a node with a result of this name.
    pub(super) fn named(&mut self, name: &str, op: &str, inputs: &[&str], attributes: &[Attribute]) {
        self.nodes.push(proto::node("", op, inputs, name, attributes));
    }

    /// Adds a constant.
    pub(super) fn constant(&mut self, owner: &str, what: &str, dims: &[usize], data: &Data) -> String {
        let name = self.name(owner, what);
        self.constants.push(proto::tensor(&name, dims, data));
        name
    }

    /// Adds a number.
    pub(super) fn number(&mut self, owner: &str, real: Real, value: f64) -> String {
        self.constant(owner, "number", &[], &real.data(std::iter::once(value)))
    }

    fn name(&mut self, owner: &str, what: &str) -> String {
        self.n += 1;
        format!("{owner}/{what}/{}", self.n)
    }

    pub(super) fn cast(&mut self, owner: &str, x: &str, to: Type) -> String {
        self.node(owner, "Cast", &[x], &[Attribute::Int("to", to as i64)])
    }

    /// `GraphProto`.
    pub(super) fn message(&self, name: &str, inputs: &[Message], outputs: &[Message]) -> Message {
        Message::default()
            .messages(1, &self.nodes)
            .text(2, name)
            .messages(5, &self.constants)
            .messages(11, inputs)
            .messages(12, outputs)
    }
}
