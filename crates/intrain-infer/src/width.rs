//! The two widths of products: bytes with 32-bit sums, words with 64-bit sums.

use std::ops::Range;

use intrain_deploy::Range as Integers;
use intrain_kernels::depthwise::Channel;
use intrain_kernels::pack::{Left, PackedI8, PackedI16, Source, pack_i8_into, pack_i16_into};
use intrain_kernels::product::{self, Packed};
use intrain_kernels::stage::{self, Tables};
use intrain_kernels::{Isa, dot_i8, dot_i16};

use crate::tensor::{Code, Tensor};

/// What differs between the two.
pub(crate) trait Width: Send + Sync + 'static {
    /// What enters.
    type Code: Code + stage::Code<Staged = Self::Staged> + Channel<Sum = Self::Sum, Weight = Self::Weight>;
    type Staged: Copy + Default + PartialEq + Send + Sync;
    type Sum: Code;
    /// A weight of a product channel by channel.
    type Weight: Copy + Default + Send + Sync;
    type Packed: Packed<Left = Self::Staged, Sum = Self::Sum> + Send + Sync;

    /// Packs some columns of weights `[taps, in, out]` for what enters.
    fn pack(
        isa: Isa,
        tables: &Tables,
        weights: &[i32],
        columns: Range<usize>,
        entering: Integers,
    ) -> Self::Packed;
    fn dot(isa: Isa, args: product::Args<'_, Self::Packed>);
    /// Bytes of memory that packed weights take.
    fn bytes(packed: &Self::Packed) -> usize;
    /// A weight of a product channel by channel; the caller has seen that it fits.
    fn weight(w: i32) -> Self::Weight;
    /// How an integer of 0 is staged.
    fn zero(entering: Integers) -> Self::Staged;
    /// A thread's buffers.
    fn buffers(scratch: &mut Scratch) -> Buffers<'_, Self>;
    /// A part of what enters, in the product's own type.
    fn codes<'a>(tensor: &'a Tensor, part: Range<usize>, widened: &'a mut Vec<i16>) -> &'a [Self::Code];
}

/// One thread's buffers.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    words: Vec<i16>,
    sums: Vec<i32>,
    wide_sums: Vec<i64>,
    widened: Vec<i16>,
    pub(crate) part: Part,
}

/// Those that a product of one width uses.
pub(crate) struct Buffers<'a, W: Width + ?Sized> {
    pub(crate) staged: &'a mut Vec<W::Staged>,
    pub(crate) sums: &'a mut Vec<W::Sum>,
    pub(crate) widened: &'a mut Vec<i16>,
    pub(crate) part: &'a mut Part,
}

/// One thread's buffers for what is computed of sums.
#[derive(Default)]
pub(crate) struct Part {
    /// Maxima that are not rounded yet, or integers in front of a norm.
    pub(crate) held: Tensor,
    /// Sums of terms.
    pub(crate) terms: Vec<i32>,
    /// A term's integers, widened.
    pub(crate) widened: Vec<i16>,
}

/// 8-bit operands.
pub(crate) enum Bytes {}
/// 16-bit operands.
pub(crate) enum Words {}

const fn left(entering: Integers) -> Left {
    if entering.min < 0 { Left::Signed } else { Left::Unsigned }
}

impl Width for Bytes {
    type Code = i8;
    type Staged = u8;
    type Sum = i32;
    type Weight = i8;
    type Packed = PackedI8;

    fn pack(
        isa: Isa,
        tables: &Tables,
        weights: &[i32],
        columns: Range<usize>,
        entering: Integers,
    ) -> PackedI8 {
        let weights: Vec<i8> = weights.iter().map(|w| Self::weight(*w)).collect();
        let mut packed = PackedI8::default();
        let source: Source<'_, i8> = tables.source(&weights);
        pack_i8_into(isa, source.columns(columns), left(entering), &mut packed);
        packed.narrow(isa);
        packed
    }

    fn dot(isa: Isa, args: product::Args<'_, PackedI8>) {
        dot_i8::run(isa, args);
    }

    fn bytes(packed: &PackedI8) -> usize {
        packed.bytes()
    }

    fn weight(w: i32) -> i8 {
        // Bound: the caller has seen that weights fit.
        i8::try_from(w).unwrap_or(i8::MAX)
    }

    fn zero(entering: Integers) -> u8 {
        left(entering).zero()
    }

    fn buffers(scratch: &mut Scratch) -> Buffers<'_, Self> {
        let Scratch { bytes: staged, sums, widened, part, .. } = scratch;
        Buffers { staged, sums, widened, part }
    }

    fn codes<'a>(tensor: &'a Tensor, part: Range<usize>, _: &'a mut Vec<i16>) -> &'a [i8] {
        &i8::of(tensor)[part]
    }
}

impl Width for Words {
    type Code = i16;
    type Staged = i16;
    type Sum = i64;
    type Weight = i32;
    type Packed = PackedI16;

    fn pack(
        isa: Isa,
        tables: &Tables,
        weights: &[i32],
        columns: Range<usize>,
        entering: Integers,
    ) -> PackedI16 {
        let reach = u32::try_from(entering.max_abs()).unwrap_or(u32::MAX).max(1);
        let range = (
            weights.iter().copied().min().unwrap_or(0).min(0),
            weights.iter().copied().max().unwrap_or(0).max(0),
        );
        let mut packed = PackedI16::with_room(reach, range);
        pack_i16_into(isa, tables.source(weights).columns(columns), reach, range, &mut packed);
        packed
    }

    fn dot(isa: Isa, args: product::Args<'_, PackedI16>) {
        dot_i16::run(isa, args);
    }

    fn bytes(packed: &PackedI16) -> usize {
        packed.bytes()
    }

    fn weight(w: i32) -> i32 {
        w
    }

    fn zero(_: Integers) -> i16 {
        0
    }

    fn buffers(scratch: &mut Scratch) -> Buffers<'_, Self> {
        let Scratch { words: staged, wide_sums: sums, widened, part, .. } = scratch;
        Buffers { staged, sums, widened, part }
    }

    fn codes<'a>(tensor: &'a Tensor, part: Range<usize>, widened: &'a mut Vec<i16>) -> &'a [i16] {
        tensor.words(part, widened)
    }
}
