//! Tensors between steps: integers of the type that holds the range which the deployed form has proven.

use intrain_deploy::{Range, Tensor as Form};
use intrain_kernels::{Integer, max_pool};

use crate::error::Unsupported;

/// Integers of all images of a batch, channels last.
#[derive(Debug)]
pub(crate) enum Tensor {
    I8(Vec<i8>),
    I16(Vec<i16>),
    /// Sums that nothing rounds: logits alone.
    I32(Vec<i32>),
    /// The same of 16-bit operands.
    I64(Vec<i64>),
}

impl Default for Tensor {
    fn default() -> Self {
        Self::I8(vec![])
    }
}

/// A type of a tensor's integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    I8,
    I16,
}

/// An integer that a tensor holds between two steps.
pub(crate) trait Code: Integer + max_pool::Element + Default + Send + Sync + 'static {
    /// The integers of `tensor`, which has this type.
    fn of(tensor: &Tensor) -> &[Self];
    /// The same, of `len` integers, to be written; whatever type it had.
    fn of_mut(tensor: &mut Tensor, len: usize) -> &mut [Self];
}

macro_rules! code {
    ($($type:ty => $variant:ident),+) => {$(
        impl Code for $type {
            fn of(tensor: &Tensor) -> &[Self] {
                match tensor {
                    Tensor::$variant(integers) => integers,
                    other => unreachable!("compiled for {}, and it is {other:?}", stringify!($type)),
                }
            }

            fn of_mut(tensor: &mut Tensor, len: usize) -> &mut [Self] {
                if !matches!(tensor, Tensor::$variant(_)) {
                    *tensor = Tensor::$variant(vec![]);
                }
                let Tensor::$variant(integers) = tensor else { unreachable!("it has just been set") };
                integers.resize(len, 0);
                integers
            }
        }
    )+};
}

code!(i8 => I8, i16 => I16, i32 => I32, i64 => I64);

/// Evaluates an expression with `$type` standing for the type of an element.
macro_rules! with_element {
    ($element:expr, $type:ident => $body:expr) => {
        match $element {
            $crate::tensor::Element::I8 => {
                type $type = i8;
                $body
            }
            $crate::tensor::Element::I16 => {
                type $type = i16;
                $body
            }
        }
    };
}

pub(crate) use with_element;

impl Element {
    /// The narrowest type for a tensor between two steps.
    pub(crate) fn of(tensor: &Form) -> Result<Self, Unsupported> {
        let Range { min, max } = tensor.range;
        if i64::from(i8::MIN) <= min && max <= i8::MAX.into() {
            Ok(Self::I8)
        } else if i64::from(i16::MIN) <= min && max <= i16::MAX.into() {
            Ok(Self::I16)
        } else {
            Err(Unsupported::new(&tensor.name, format!("integers of {min} to {max} are more than 16 bits")))
        }
    }
}

impl Tensor {
    /// All integers, widened.
    pub(crate) fn to_integers(&self) -> Vec<i64> {
        match self {
            Self::I8(x) => x.iter().map(|x| (*x).into()).collect(),
            Self::I16(x) => x.iter().map(|x| (*x).into()).collect(),
            Self::I32(x) => x.iter().map(|x| (*x).into()).collect(),
            Self::I64(x) => x.clone(),
        }
    }

    /// Words of a part, widened into `buffer` where the tensor holds bytes.
    pub(crate) fn words<'a>(&'a self, part: std::ops::Range<usize>, buffer: &'a mut Vec<i16>) -> &'a [i16] {
        match self {
            Self::I8(x) => {
                buffer.clear();
                buffer.extend(x[part].iter().map(|x| i16::from(*x)));
                buffer
            }
            tensor => &i16::of(tensor)[part],
        }
    }
}
