//! Constants of a graph: weights, and the few whole numbers that shape it.

use crate::error::ImportError;
use crate::wire::{Message, Value, damaged};

/// Dimensions that a constant may have.
const DIMS_MAX: usize = 8;
/// Whole numbers that a constant may have: those that are read are shapes.
const INTS_MAX: usize = 1 << 12;

/// A constant as the file has it: numbers are looked at when they are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) dims: Vec<usize>,
    data: Data<'a>,
}

#[derive(Debug, Clone)]
enum Data<'a> {
    /// Little-endian numbers of a type by its number in ONNX.
    Raw {
        kind: i64,
        bytes: &'a [u8],
    },
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    External,
}

impl Default for Data<'_> {
    fn default() -> Self {
        Self::Raw { kind: 0, bytes: &[] }
    }
}

/// Types by their numbers in ONNX.
const FLOAT: i64 = 1;
const INT32: i64 = 6;
const INT64: i64 = 7;
const DOUBLE: i64 = 11;

/// What is collected of a `TensorProto`.
#[derive(Default)]
struct Parts<'a> {
    kind: i64,
    raw: Option<&'a [u8]>,
    floats: Vec<f32>,
    ints: Vec<i64>,
    is_external: bool,
}

impl<'a> Tensor<'a> {
    /// A `TensorProto`.
    pub(crate) fn read(message: Message<'a>) -> Result<Self, ImportError> {
        let (mut tensor, mut parts) = (Self::default(), Parts::default());
        for field in message {
            let field = field?;
            match field.number {
                1 => tensor.add_dims(field.value, field.at)?,
                2 => parts.kind = field.int()?,
                4 => parts.add_floats(field.value, field.at)?,
                5 | 7 => parts.add_ints(field.value, field.at)?,
                8 => tensor.name = field.text()?,
                9 => parts.raw = Some(field.message()?.bytes),
                13 => parts.is_external = true,
                14 => parts.is_external |= field.int()? == 1,
                _ => {}
            }
        }
        tensor.data = match parts {
            Parts { is_external: true, .. } => Data::External,
            Parts { raw: Some(bytes), kind, .. } => Data::Raw { kind, bytes },
            Parts { kind: INT32 | INT64, ints, .. } => Data::Ints(ints),
            Parts { kind: FLOAT, floats, .. } => Data::Floats(floats),
            Parts { kind, .. } => Data::Raw { kind, bytes: &[] },
        };
        Ok(tensor)
    }

    /// Numbers that stand in an attribute.
    pub(crate) fn of_floats(values: Vec<f32>, dims: Vec<usize>) -> Self {
        Self { name: "", dims, data: Data::Floats(values) }
    }

    /// The same of whole numbers.
    pub(crate) fn of_ints(values: Vec<i64>, dims: Vec<usize>) -> Self {
        Self { name: "", dims, data: Data::Ints(values) }
    }

    /// The same under another name.
    pub(crate) fn named(self, name: &'a str) -> Self {
        Self { name, ..self }
    }

    fn add_dims(&mut self, value: Value<'_>, at: usize) -> Result<(), ImportError> {
        let mut add = |dim: u64| match usize::try_from(dim.cast_signed()) {
            Ok(dim) if self.dims.len() < DIMS_MAX => {
                self.dims.push(dim);
                Ok(())
            }
            Ok(_) => Err(damaged(at, format!("a constant has more than {DIMS_MAX} dimensions"))),
            Err(_) => Err(damaged(at, format!("a constant has the dimension {}", dim.cast_signed()))),
        };
        match value {
            Value::Int(dim) => add(dim),
            Value::Bytes(packed) => packed.varints().try_for_each(|dim| add(dim?)),
            _ => Err(damaged(at, "a dimension is no whole number")),
        }
    }

    /// Elements that its dimensions come to; none where they pass every file.
    pub(crate) fn len(&self) -> Option<usize> {
        self.dims.iter().try_fold(1_usize, |n, dim| n.checked_mul(*dim))
    }

    /// Its numbers in binary32, as many as its dimensions say and all of them finite.
    ///
    /// The error is the reason alone.
    pub(crate) fn floats(&self) -> Result<Vec<f32>, String> {
        let values = match &self.data {
            Data::Floats(values) => values.clone(),
            Data::Raw { kind: FLOAT, bytes } => {
                bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            #[allow(clippy::cast_possible_truncation, reason = "a weight is rounded to binary32")]
            Data::Raw { kind: DOUBLE, bytes } => {
                bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
            }
            Data::Raw { kind, .. } => {
                let kind = name_of(*kind);
                return Err(format!(
                    "'{}' holds {kind}; export the network with weights of float32",
                    self.name
                ));
            }
            Data::Ints(_) => {
                return Err(format!("'{}' holds whole numbers, and weights are floats", self.name));
            }
            Data::External => return Err(self.external()),
        };
        if self.len() != Some(values.len()) {
            return Err(format!(
                "'{}' has the dimensions {:?} and {} numbers; the file is damaged",
                self.name,
                self.dims,
                values.len()
            ));
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(format!("'{}' holds {value}, which no weight can be", self.name)),
            None => Ok(values),
        }
    }

    /// Its few whole numbers. The error is the reason alone.
    pub(crate) fn ints(&self) -> Result<Vec<i64>, String> {
        let values: Vec<i64> = match &self.data {
            Data::Ints(values) => values.clone(),
            Data::Raw { bytes, .. } if bytes.len() > 8 * INTS_MAX => {
                return Err(format!("'{}' has {} bytes, too many for a shape", self.name, bytes.len()));
            }
            Data::Raw { kind: INT64, bytes } => {
                bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
            }
            Data::Raw { kind: INT32, bytes } => {
                bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect()
            }
            Data::External => return Err(self.external()),
            Data::Floats(_) | Data::Raw { .. } => {
                return Err(format!("'{}' should hold whole numbers of 32 or 64 bits", self.name));
            }
        };
        if self.len() == Some(values.len()) {
            return Ok(values);
        }
        Err(format!("'{}' has the dimensions {:?} and {} numbers", self.name, self.dims, values.len()))
    }

    fn external(&self) -> String {
        format!(
            "'{}' lies in another file; export the network into one file, or join them: onnx.save(onnx.load(FILE), FILE)",
            self.name
        )
    }
}

impl Parts<'_> {
    fn add_floats(&mut self, value: Value<'_>, at: usize) -> Result<(), ImportError> {
        match value {
            Value::Four(bytes) => self.floats.push(f32::from_le_bytes(bytes)),
            Value::Bytes(packed) => {
                self.floats.extend(packed.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            _ => return Err(damaged(at, "float data have another encoding")),
        }
        Ok(())
    }

    fn add_ints(&mut self, value: Value<'_>, at: usize) -> Result<(), ImportError> {
        let mut add = |value: u64| {
            if self.ints.len() >= INTS_MAX {
                return Err(damaged(at, format!("a constant has more than {INTS_MAX} whole numbers")));
            }
            self.ints.push(value.cast_signed());
            Ok(())
        };
        match value {
            Value::Int(value) => add(value),
            Value::Bytes(packed) => packed.varints().try_for_each(|value| add(value?)),
            _ => Err(damaged(at, "whole numbers have another encoding")),
        }
    }
}

/// A type of ONNX in words.
fn name_of(kind: i64) -> &'static str {
    match kind {
        2..=7 | 12 | 13 | 21 | 22 => "whole numbers",
        10 => "float16",
        16 => "bfloat16",
        17..=20 => "float8",
        _ => "an unknown type",
    }
}
