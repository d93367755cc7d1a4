//! Products of binary32.
//!
//! Every sum has an order that depends on shapes alone, so a result is the same for any number of threads.

use intrain_kernels::pack::{PackedF32, Source, pack_f32_into};
use intrain_kernels::{Isa, dot_f32};

use crate::operands::{Dot, Operands, Target};
use crate::parameters::Gradient;
use crate::plan::Operand;

pub(crate) mod operand;
pub(crate) mod read;

pub(crate) enum Float {}

/// Tasks of a gradient, at least: as many as threads share evenly, whatever their number.
const TASKS: usize = 8;

impl Dot for Float {
    type Code = f32;
    type Sum = f32;
    type Packed = PackedF32;

    fn dot(isa: Isa, args: dot_f32::Args<'_>) {
        dot_f32::run(isa, args);
    }
}

impl Operands for Float {
    type Weight = f32;
    const IS_EXACT: bool = false;
    const SUM_MAX: u128 = u128::MAX;

    fn tasks() -> usize {
        TASKS
    }

    fn zero(_: Operand) -> f32 {
        0.0
    }

    /// Floats are packed as they are, whatever they are.
    fn reach(_: Isa, _: Operand, _: &[f32]) -> u64 {
        0
    }

    fn weight_reach(_: Isa, _: Operand, _: &[f32]) -> u64 {
        0
    }

    fn packed(_: [u64; 2]) -> PackedF32 {
        PackedF32::default()
    }

    fn pack_weights(isa: Isa, source: Source<'_, f32>, _: Operand, _: [u64; 2], packed: &mut PackedF32) {
        pack_f32_into(isa, source, packed);
    }

    fn pack_errors(isa: Isa, source: Source<'_, f32>, _: Operand, _: [u64; 2], packed: &mut PackedF32) {
        pack_f32_into(isa, source, packed);
    }

    fn add(a: f32, b: f32) -> f32 {
        a + b
    }

    fn add_wide(_: i64, _: f32) -> i64 {
        unreachable!("floats are summed in floats")
    }

    fn largest(_: Isa, _: &[f32]) -> u64 {
        unreachable!("no float recipe divides a gradient by its size")
    }

    fn narrow(_: Isa, _: &[f32], _: &mut [i32]) -> u64 {
        unreachable!("floats are kept as they are")
    }

    fn target(out: &mut Gradient, len: usize) -> Target<'_, f32> {
        match out {
            Gradient::F32(out) => {
                out.resize(len, 0.0);
                Target::Sums(out)
            }
            Gradient::I32(_) | Gradient::I64(_) => unreachable!("a float network has float gradients"),
        }
    }
}
