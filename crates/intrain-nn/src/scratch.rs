//! One thread's buffers, which last over the steps.

use crate::float::Float;
use crate::layers::conv::{self, Lend};
use crate::tensor::Element;
use crate::width::{Int8, Int16};

/// Buffers that a thread fills and nobody else reads.
#[derive(Default)]
pub(crate) struct Scratch {
    int8: conv::Scratch<Int8>,
    int16: conv::Scratch<Int16>,
    float: conv::Scratch<Float>,
    codes8: Vec<i8>,
    codes16: Vec<i16>,
    floats: Vec<f32>,
    /// Sums of 32 bits of some pixels.
    lanes: Vec<i32>,
    /// The same of 64 bits.
    pub(crate) wide: Vec<i64>,
    /// Of each channel of each norm that an activation adds up.
    pub(crate) channel_sums: [[Vec<i64>; 2]; 2],
}

impl Lend<Int8> for Scratch {
    fn lend(&mut self) -> &mut conv::Scratch<Int8> {
        &mut self.int8
    }
}

impl Lend<Int16> for Scratch {
    fn lend(&mut self) -> &mut conv::Scratch<Int16> {
        &mut self.int16
    }
}

impl Lend<Float> for Scratch {
    fn lend(&mut self) -> &mut conv::Scratch<Float> {
        &mut self.float
    }
}

/// Elements of a node's type, between two passes over one item.
pub(crate) trait Rounded: Element {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self>;
}

impl Rounded for i8 {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.codes8
    }
}

impl Rounded for i16 {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.codes16
    }
}

impl Rounded for f32 {
    fn of_scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.floats
    }
}

impl Scratch {
    /// Room for `n` sums of 32 bits, with anything in them.
    pub(crate) fn lanes(&mut self, n: usize) -> &mut [i32] {
        self.lanes.resize(n.max(self.lanes.len()), 0);
        &mut self.lanes[..n]
    }

    /// Scheduling is dynamic: every thread gets the largest capacity now, so that no later step reallocates.
    pub(crate) fn equalize_capacity(scratches: &mut [Self]) {
        conv::Scratch::<Int8>::equalize_capacity(scratches);
        conv::Scratch::<Int16>::equalize_capacity(scratches);
        conv::Scratch::<Float>::equalize_capacity(scratches);
        conv::equalize(scratches, |scratch| &mut scratch.codes8);
        conv::equalize(scratches, |scratch| &mut scratch.codes16);
        conv::equalize(scratches, |scratch| &mut scratch.floats);
        conv::equalize(scratches, |scratch| &mut scratch.lanes);
        conv::equalize(scratches, |scratch| &mut scratch.wide);
    }
}
