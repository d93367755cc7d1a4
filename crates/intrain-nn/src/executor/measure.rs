//! What quantization does to the operands of products between floats, on a step that collects statistics.

use intrain_num::random::Purpose;

use super::Executor;
use crate::float::operand::{Quantize, along_channels_of};
use crate::key::{Mode, StepKey};
use crate::plan::Op;
use crate::stats::TensorStats;
use crate::tensor::{Element, Error};

impl Executor {
    /// Measures what enters product `i` as its forward pass has read it, and the error as the error's product reads it.
    pub(super) fn measure_operands(&mut self, i: usize, error: &Error, key: StepKey) {
        let node = &self.plan.nodes[i];
        let Op::Product(product) = &node.op else { return };
        let plan = &self.blocks[product.block].plan;
        let (p, isa) = (&plan.product, self.space.isa);
        let entered = &self.results[node.sources[0]].tensor;
        let operands = [
            ("read", plan.operands.activation, Purpose::OperandForward, p.input.c, entered),
            ("error.read", plan.operands.error, Purpose::ErrorBackward, p.output.c, &error.tensor),
        ];
        for (role, coded, purpose, c, tensor) in operands {
            let Some(coded) = coded.filter(|_| self.collects_stats) else { continue };
            let values = f32::of(tensor);
            let quantize = Quantize::new(isa, coded, purpose, plan.index, Mode::Training(key));
            let measure = quantize.measure(along_channels_of(values.len(), (c, p.groups)), values);
            self.stats.push(TensorStats { layer: node.name.clone(), role, measure });
        }
    }
}
