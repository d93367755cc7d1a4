//! The part of ONNX's protocol buffers that a network needs, written field by field.
//!
//! Numbers of fields are those of `onnx/onnx.proto` in github.com/onnx/onnx. The same calls give the same bytes.

/// A message as it grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value.cast_unsigned());
        self
    }

    pub(super) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(super) fn messages(self, field: u64, values: &[Self]) -> Self {
        values.iter().fold(self, |message, value| message.message(field, value))
    }
}

/// Elements of a constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    U8(Vec<u8>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// The types of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    I32 = 6,
    I64 = 7,
    F64 = 11,
}

impl Data {
    const fn kind(&self) -> Type {
        match self {
            Self::U8(_) => Type::U8,
            Self::I8(_) => Type::I8,
            Self::I32(_) => Type::I32,
            Self::I64(_) => Type::I64,
            Self::F32(_) => Type::F32,
            Self::F64(_) => Type::F64,
        }
    }

    fn raw(&self) -> Vec<u8> {
        match self {
            Self::U8(v) => v.clone(),
            Self::I8(v) => v.iter().map(|x| x.cast_unsigned()).collect(),
            Self::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

/// `TensorProto`.
pub(super) fn tensor(name: &str, dims: &[usize], data: &Data) -> Message {
    let dims =
        dims.iter().fold(Message::default(), |m, dim| m.int(1, i64::try_from(*dim).unwrap_or(i64::MAX)));
    dims.int(2, data.kind() as i64).text(8, name).bytes(9, &data.raw())
}

/// A dimension of an input or output: a size, or the number of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dim {
    Size(usize),
    Images,
}

/// `ValueInfoProto`.
pub(super) fn value(name: &str, kind: Type, dims: &[Dim]) -> Message {
    let dim = |dim: &Dim| match dim {
        Dim::Size(n) => Message::default().int(1, i64::try_from(*n).unwrap_or(i64::MAX)),
        Dim::Images => Message::default().text(2, "N"),
    };
    let shape = Message::default().messages(1, &dims.iter().map(dim).collect::<Vec<_>>());
    let tensor = Message::default().int(1, kind as i64).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// An attribute of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attribute {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Text(&'static str, &'static str),
}

impl Attribute {
    /// `AttributeProto`.
    fn message(&self) -> Message {
        match self {
            Self::Int(name, value) => Message::default().text(1, name).int(3, *value).int(20, 2),
            Self::Ints(name, values) => {
                values.iter().fold(Message::default().text(1, name), |m, value| m.int(8, *value)).int(20, 7)
            }
            Self::Text(name, value) => Message::default().text(1, name).text(4, value).int(20, 3),
        }
    }
}

/// `NodeProto`; the operators of ONNX have an empty domain.
pub(super) fn node(
    domain: &str,
    op: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[Attribute],
) -> Message {
    let node = inputs.iter().fold(Message::default(), |m, input| m.text(1, input));
    let attributes: Vec<Message> = attributes.iter().map(Attribute::message).collect();
    let node = node.text(2, output).text(3, output).text(4, op).messages(5, &attributes);
    if domain.is_empty() { node } else { node.text(7, domain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoding of protobuf.dev: field 1 with 150, field 2 with "testing".
    #[test]
    fn fields_are_encoded_as_the_format_says() {
        assert_eq!(Message::default().int(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing").into_bytes();
        assert_eq!(text, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        // A negative integer takes ten bytes.
        assert_eq!(
            Message::default().int(3, -1).into_bytes(),
            [24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]
        );
    }
}
