//! Tensors of a step: each with its own element type, and what its integers are worth.

use intrain_kernels::Integer;

/// Elements of one type. Which type a node's result has, the plan says.
#[derive(Debug)]
pub(crate) enum Tensor {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
}

impl Default for Tensor {
    fn default() -> Self {
        Self::I8(vec![])
    }
}

/// A type that a tensor's elements can have.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// The elements of `tensor`, which the plan gives this type.
    fn of(tensor: &Tensor) -> &[Self];
    /// The same, to change them; a tensor that was never used takes this type.
    fn of_mut(tensor: &mut Tensor) -> &mut Vec<Self>;
    /// A tensor of these elements.
    fn tensor(elements: Vec<Self>) -> Tensor;
}

macro_rules! element {
    ($($type:ty => $variant:ident),+) => {$(
        impl Element for $type {
            fn of(tensor: &Tensor) -> &[Self] {
                match tensor {
                    Tensor::$variant(elements) => elements,
                    _ if tensor.is_empty() => &[],
                    other => unreachable!("the plan says {}, and it is {other:?}", stringify!($variant)),
                }
            }

            fn of_mut(tensor: &mut Tensor) -> &mut Vec<Self> {
                if !matches!(tensor, Tensor::$variant(_)) {
                    *tensor = Tensor::$variant(vec![]);
                }
                let Tensor::$variant(elements) = tensor else { unreachable!("it has just been set") };
                elements
            }

            fn tensor(elements: Vec<Self>) -> Tensor {
                Tensor::$variant(elements)
            }
        }
    )+};
}

element!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32);

/// Evaluates an expression for the elements of a tensor of integers, whatever their type.
macro_rules! for_integers {
    ($tensor:expr, $elements:ident => $body:expr) => {
        match $tensor {
            $crate::tensor::Tensor::I8($elements) => $body,
            $crate::tensor::Tensor::I16($elements) => $body,
            $crate::tensor::Tensor::I32($elements) => $body,
            $crate::tensor::Tensor::I64($elements) => $body,
            $crate::tensor::Tensor::F32(_) => unreachable!("the plan says that it holds integers"),
        }
    };
}

/// Evaluates an expression with `$type` standing for the type of a tensor's codes or floats.
macro_rules! with_element {
    ($element:expr, $type:ident => $body:expr) => {
        match $element {
            $crate::plan::Element::I8 => {
                type $type = i8;
                $body
            }
            $crate::plan::Element::I16 => {
                type $type = i16;
                $body
            }
            $crate::plan::Element::F32 => {
                type $type = f32;
                $body
            }
            $crate::plan::Element::I32 | $crate::plan::Element::I64 => {
                unreachable!("accumulators leave the last product alone")
            }
        }
    };
}

/// The same for codes alone.
macro_rules! with_codes {
    ($element:expr, $type:ident => $body:expr) => {
        match $element {
            $crate::plan::Element::I8 => {
                type $type = i8;
                $body
            }
            $crate::plan::Element::I16 => {
                type $type = i16;
                $body
            }
            _ => unreachable!("the plan says that it holds codes"),
        }
    };
}

pub(crate) use {for_integers, with_codes, with_element};

impl Tensor {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::I8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integer at `i`.
    pub(crate) fn integer(&self, i: usize) -> i64 {
        for_integers!(self, elements => integer(elements[i]))
    }
}

/// An element of a tensor of integers, whatever its type.
pub(crate) fn integer<T: Integer>(x: T) -> i64 {
    x.into()
}

/// What a node leaves.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    pub(crate) tensor: Tensor,
    /// What the backward pass must know of each element: pooling's choice, ReLU's and the clip's mask; or empty.
    pub(crate) trace: Vec<u8>,
    /// Fraction bits of its integers; a step finds them where a row is `@dynamic`.
    pub(crate) frac_bits: i32,
}

/// The error at a node: `value = element * 2^exponent`.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) tensor: Tensor,
    /// 0 for floats.
    pub(crate) exponent: i32,
    /// The largest magnitude; 0 for floats, and where no rounding asks for it.
    pub(crate) max_abs: u64,
}

/// Buffers that no tensor uses now. The smallest that is large enough is given out, so that steps soon take no memory.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    i8: Vec<Vec<i8>>,
    i16: Vec<Vec<i16>>,
    f32: Vec<Vec<f32>>,
}

/// An element type of errors.
pub(crate) trait Pooled: Element {
    fn buffers(all: &mut Buffers) -> &mut Vec<Vec<Self>>;
}

impl Pooled for i8 {
    fn buffers(all: &mut Buffers) -> &mut Vec<Vec<Self>> {
        &mut all.i8
    }
}

impl Pooled for i16 {
    fn buffers(all: &mut Buffers) -> &mut Vec<Vec<Self>> {
        &mut all.i16
    }
}

impl Pooled for f32 {
    fn buffers(all: &mut Buffers) -> &mut Vec<Vec<Self>> {
        &mut all.f32
    }
}

impl Buffers {
    /// A buffer of `len` elements, with anything in them.
    pub(crate) fn take<T: Pooled>(&mut self, len: usize) -> Vec<T> {
        let buffers = T::buffers(self);
        let fits = |b: &Vec<T>| (b.capacity() < len, b.capacity().abs_diff(len));
        let best = (0..buffers.len()).min_by_key(|&i| fits(&buffers[i]));
        let mut buffer = best.map(|i| buffers.swap_remove(i)).unwrap_or_default();
        if buffer.capacity() < len {
            // Nothing in it is worth moving.
            buffer.clear();
            buffer.reserve_exact(len);
        }
        buffer.resize(len, T::default());
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn put(&mut self, tensor: Tensor) {
        match tensor {
            Tensor::I8(buffer) => self.i8.push(buffer),
            Tensor::I16(buffer) => self.i16.push(buffer),
            Tensor::F32(buffer) => self.f32.push(buffer),
            Tensor::I32(_) | Tensor::I64(_) => {}
        }
    }
}

/// An integer type of codes: what products read.
pub(crate) trait Code: Integer + Pooled {}

impl Code for i8 {}
impl Code for i16 {}
