//! The two widths of integer products: 8-bit operands with 32-bit sums, 16-bit operands with 64-bit sums.
//!
//! What is here differs between them; everything else is written once, over [`Operands`] and [`Width`].
#![deny(clippy::float_arithmetic)]

use intrain_kernels::pack::{Left, PackedI8, PackedI16, Source, pack_i8_into, pack_i16_into};
use intrain_kernels::product;
use intrain_kernels::{Integer, Isa, dot_i8, dot_i16, max_abs, max_pool};
use rayon::prelude::*;

use crate::operands::{Dot, Operands, Target};
use crate::parameters::{Gradient, Stored};
use crate::plan::Operand;
use crate::tensor::{Code, Element, Tensor};

/// Elements that one thread takes at a time.
pub(crate) const CHUNK: usize = 1 << 16;

/// 8-bit operands.
pub(crate) enum Int8 {}
/// 16-bit operands.
pub(crate) enum Int16 {}

/// Error sums of a whole tensor, which all products use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    i16: Vec<i16>,
    i32: Vec<i32>,
    i64: Vec<i64>,
}

/// What differs between the two widths beside their products.
pub(crate) trait Width:
    Operands<Code: Code + max_pool::Error, Sum: Integer + Element, Weight: Integer>
{
    /// Half as wide as a sum.
    type Narrow: Integer + Send + Sync + 'static;

    /// The stored integers as they are, where the row `weight` is exact.
    fn read_exact(stored: &Stored, weights: &mut Vec<Self::Weight>);
    fn weight(x: i64) -> Self::Weight;
    fn sum(x: i64) -> Self::Sum;
    /// What enters a product, in its own type: `widened` holds it where the tensor has a narrower one.
    fn codes<'a>(tensor: &'a Tensor, widened: &'a mut Vec<Self::Code>) -> &'a [Self::Code];
    /// Half-width sums, used while they fit, and full ones.
    fn kept(all: &mut Kept) -> (&mut Vec<Self::Narrow>, &mut Vec<Self::Sum>);
}

/// Narrows a value that its format holds.
macro_rules! narrow {
    ($x:expr) => {{
        // Bound: the plan has proven that the format fits the type; `Plan::build` chose the width by it.
        ($x).try_into().unwrap_or_else(|_| unreachable!("{} does not fit the width that was planned", $x))
    }};
}

impl Dot for Int8 {
    type Code = i8;
    type Sum = i32;
    type Packed = PackedI8;

    fn dot(isa: Isa, args: product::Args<'_, PackedI8>) {
        dot_i8::run(isa, args);
    }
}

impl Operands for Int8 {
    type Weight = i8;
    const IS_EXACT: bool = true;
    const SUM_MAX: u128 = (1 << 31) - 1;

    fn tasks() -> usize {
        tasks()
    }

    fn zero(left: Operand) -> u8 {
        left_bytes(left).zero()
    }

    /// Exact whatever they are: no sum of bytes is cut by it.
    fn reach(_: Isa, operand: Operand, _: &[i8]) -> u64 {
        operand.max_abs()
    }

    fn weight_reach(_: Isa, operand: Operand, _: &[i8]) -> u64 {
        operand.max_abs()
    }

    fn packed(_: [u64; 2]) -> PackedI8 {
        PackedI8::default()
    }

    fn pack_weights(isa: Isa, source: Source<'_, i8>, left: Operand, _: [u64; 2], packed: &mut PackedI8) {
        pack_i8_into(isa, source, left_bytes(left), packed);
    }

    fn pack_errors(isa: Isa, source: Source<'_, i8>, left: Operand, _: [u64; 2], packed: &mut PackedI8) {
        pack_i8_into(isa, source, left_bytes(left), packed);
    }

    fn add(a: i32, b: i32) -> i32 {
        a + b
    }

    fn add_wide(total: i64, sum: i32) -> i64 {
        total + i64::from(sum)
    }

    fn largest(isa: Isa, sums: &[i32]) -> u64 {
        max_abs::run(isa, sums)
    }

    fn narrow(_: Isa, _: &[i32], _: &mut [i32]) -> u64 {
        unreachable!("sums of bytes are kept as they are")
    }

    fn target(out: &mut Gradient, len: usize) -> Target<'_, i32> {
        match out {
            Gradient::I32(out) => {
                out.resize(len, 0);
                Target::Sums(out)
            }
            Gradient::I64(out) => {
                out.resize(len, 0);
                Target::Wide(out)
            }
            Gradient::F32(_) => unreachable!("an integer network has integer gradients"),
        }
    }
}

impl Width for Int8 {
    type Narrow = i16;

    fn read_exact(stored: &Stored, weights: &mut Vec<i8>) {
        match stored {
            Stored::I8(v) => weights.clone_from(v),
            Stored::I16(_) | Stored::I32(_) | Stored::F32(_) => {
                unreachable!("8-bit weights are stored in bytes")
            }
        }
    }

    fn weight(x: i64) -> i8 {
        narrow!(x)
    }

    fn sum(x: i64) -> i32 {
        narrow!(x)
    }

    fn codes<'a>(tensor: &'a Tensor, _: &'a mut Vec<i8>) -> &'a [i8] {
        i8::of(tensor)
    }

    fn kept(all: &mut Kept) -> (&mut Vec<i16>, &mut Vec<i32>) {
        (&mut all.i16, &mut all.i32)
    }
}

/// How the byte product's A holds an operand.
const fn left_bytes(operand: Operand) -> Left {
    if operand.min < 0 { Left::Signed } else { Left::Unsigned }
}

impl Dot for Int16 {
    type Code = i16;
    type Sum = i64;
    type Packed = PackedI16;

    fn dot(isa: Isa, args: product::Args<'_, PackedI16>) {
        dot_i16::run(isa, args);
    }
}

impl Operands for Int16 {
    type Weight = i32;
    const IS_EXACT: bool = true;
    const SUM_MAX: u128 = (1 << 63) - 1;

    fn tasks() -> usize {
        tasks()
    }

    fn zero(_: Operand) -> i16 {
        0
    }

    /// What the values are decides how many limbs B needs: formats leave room that tensors seldom use. In powers of two,
    /// so that an evaluation packs its weights once or twice, not for each batch.
    fn reach(isa: Isa, operand: Operand, values: &[i16]) -> u64 {
        largest(isa, values).next_power_of_two().min(operand.max_abs()).max(1)
    }

    fn weight_reach(isa: Isa, _: Operand, weights: &[i32]) -> u64 {
        largest(isa, weights)
    }

    fn packed(reach: [u64; 2]) -> PackedI16 {
        PackedI16::with_room(narrow!(reach[0]), range::<i32>(reach[1]))
    }

    fn pack_weights(isa: Isa, source: Source<'_, i32>, _: Operand, reach: [u64; 2], packed: &mut PackedI16) {
        pack_i16_into(isa, source, narrow!(reach[0]), range::<i32>(reach[1]), packed);
    }

    fn pack_errors(isa: Isa, source: Source<'_, i16>, _: Operand, reach: [u64; 2], packed: &mut PackedI16) {
        pack_i16_into(isa, source, narrow!(reach[0]), range::<i16>(reach[1]), packed);
    }

    fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    fn add_wide(total: i64, sum: i64) -> i64 {
        total + sum
    }

    fn largest(isa: Isa, sums: &[i64]) -> u64 {
        max_abs::run(isa, sums)
    }

    fn narrow(isa: Isa, sums: &[i64], kept: &mut [i32]) -> u64 {
        max_abs::narrow(isa, sums, kept)
    }

    fn target(out: &mut Gradient, len: usize) -> Target<'_, i64> {
        match out {
            Gradient::I32(out) => {
                out.resize(len, 0);
                Target::Narrow(out)
            }
            Gradient::I64(out) => {
                out.resize(len, 0);
                Target::Sums(out)
            }
            Gradient::F32(_) => unreachable!("16-bit operands have gradients of 32 or 64 bits"),
        }
    }
}

impl Width for Int16 {
    type Narrow = i32;

    fn read_exact(stored: &Stored, weights: &mut Vec<i32>) {
        weights.resize(stored.len(), 0);
        match stored {
            Stored::I8(v) => each(weights, v, i32::from),
            Stored::I16(v) => each(weights, v, i32::from),
            Stored::I32(v) => weights.clone_from(v),
            Stored::F32(_) => unreachable!("an integer network has integer weights"),
        }
    }

    fn weight(x: i64) -> i32 {
        narrow!(x)
    }

    fn sum(x: i64) -> i64 {
        x
    }

    fn codes<'a>(tensor: &'a Tensor, widened: &'a mut Vec<i16>) -> &'a [i16] {
        let Tensor::I8(codes) = tensor else { return i16::of(tensor) };
        widened.resize(codes.len(), 0);
        each(widened, codes, i16::from);
        widened
    }

    fn kept(all: &mut Kept) -> (&mut Vec<i32>, &mut Vec<i64>) {
        (&mut all.i32, &mut all.i64)
    }
}

/// Two for each thread: sums of integers have no order, so the cut may follow their number.
fn tasks() -> usize {
    2 * rayon::current_num_threads()
}

/// The largest magnitude, over all threads.
pub(crate) fn largest<T: Integer + Sync>(isa: Isa, values: &[T]) -> u64 {
    values.par_chunks(CHUNK).map(|values| max_abs::run(isa, values)).max().unwrap_or(0)
}

/// The values of type `T` that are no further from 0 than `reach`.
fn range<T: Integer>(reach: u64) -> (i32, i32) {
    let reach: i64 = narrow!(reach);
    (narrow!((-reach).max(T::MIN)), narrow!(reach.min(T::MAX)))
}

/// `out[i] = f(values[i])`, over all threads.
fn each<S: Copy + Sync, T: Send>(out: &mut [T], values: &[S], f: impl Fn(S) -> T + Sync) {
    out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(out, values)| {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = f(*value));
    });
}
