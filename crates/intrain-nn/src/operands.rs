//! What a product multiplies: bytes, words or floats. All of `layers/` is written once over it.

use intrain_kernels::depthwise::Channel;
use intrain_kernels::pack::Source;
use intrain_kernels::product::{self, Packed};
use intrain_kernels::{Isa, stage};

use crate::parameters::Gradient;
use crate::plan::Operand;

/// An element of a staged operand.
pub(crate) type Staged<D> = <<D as Dot>::Code as stage::Code>::Staged;

/// A kernel of products and its types.
pub(crate) trait Dot: Send + Sync + 'static {
    type Code: stage::Code<Staged: Default + Send + Sync> + Default + Send + Sync + 'static;
    type Sum: Copy + Default + Send + Sync + 'static;
    type Packed: Packed<Left = Staged<Self>, Sum = Self::Sum> + Send + Sync;

    fn dot(isa: Isa, args: product::Args<'_, Self::Packed>);
}

/// One kind of product in all three directions: its kernel, and how its operands are packed.
pub(crate) trait Operands: Dot<Code: Channel<Weight = Self::Weight, Sum = Self::Sum>> {
    /// A weight as it is read.
    type Weight: Copy + Default + Send + Sync;
    /// Whether sums are the same in any order.
    const IS_EXACT: bool;
    /// Largest magnitude that a sum can hold.
    const SUM_MAX: u128;

    /// Tasks that a gradient is cut into, at least: their sums are added up at the end.
    fn tasks() -> usize;
    /// How a code of 0 is staged for products whose A is `left`.
    fn zero(left: Operand) -> Staged<Self>;
    /// How far codes are from 0, as packing wants to know it: no less than the largest magnitude.
    fn reach(isa: Isa, operand: Operand, values: &[Self::Code]) -> u64;
    /// The same of weights.
    fn weight_reach(isa: Isa, operand: Operand, weights: &[Self::Weight]) -> u64;
    /// Nothing packed yet; A and B will reach no further than that.
    fn packed(reach: [u64; 2]) -> Self::Packed;
    /// Packs weights for products whose A is `left`, where A and the weights reach that far.
    fn pack_weights(
        isa: Isa,
        source: Source<'_, Self::Weight>,
        left: Operand,
        reach: [u64; 2],
        packed: &mut Self::Packed,
    );
    /// Packs errors for products whose A is `left`, where A and the errors reach that far.
    fn pack_errors(
        isa: Isa,
        source: Source<'_, Self::Code>,
        left: Operand,
        reach: [u64; 2],
        packed: &mut Self::Packed,
    );
    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// Adds up in more bits, where the target is wide.
    fn add_wide(total: i64, sum: Self::Sum) -> i64;
    /// The largest magnitude, where a recipe divides by it.
    fn largest(isa: Isa, sums: &[Self::Sum]) -> u64;
    /// Keeps sums of 64 bits in 32, modulo 2^32; the largest magnitude says whether they all fit.
    fn narrow(isa: Isa, sums: &[Self::Sum], kept: &mut [i32]) -> u64;
    /// Sizes a gradient, and says in what it is summed.
    fn target(out: &mut Gradient, len: usize) -> Target<'_, Self::Sum>;
}

/// Where a gradient's sums go.
pub(crate) enum Target<'a, S> {
    /// Into half of the 64 bits that the kernels sum in, as long as all sums fit.
    Narrow(&'a mut [i32]),
    /// Into as many bits as the kernels sum in.
    Sums(&'a mut [S]),
    /// Into more: a part of the batch fits the kernels' sums, all of it does not.
    Wide(&'a mut [i64]),
}
