//! What a norm of integers has learned, as it is read; and what batch and layer norms share.
#![deny(clippy::float_arithmetic)]

use intrain_num::Quantizer;
use intrain_num::norm::{RUNNING_BITS, Rows};

use crate::parameters::{Gradient, Moments, Parameters, Stored};
use crate::plan::{BlockPlan, NormPlan, ProductKind};
use crate::tensor::Activation;

/// Gain and offset of each channel, as read; 1 and 0 where none are learned.
#[derive(Default)]
pub(super) struct Learned {
    pub(super) gain: Vec<i64>,
    offset: Vec<i64>,
}

/// Elements that stay in the first-level cache, with what is made of them.
const CHUNK: usize = 1 << 12;

/// Whole pixels of `c` channels.
pub(crate) fn chunk(c: usize) -> usize {
    c * (CHUNK / c).max(1)
}

/// A norm's parameters before the first step: gains of 1, offsets and means of 0, spreads of 1.
pub(crate) fn initial(plan: &NormPlan, block: &BlockPlan) -> Parameters {
    let (c, master) = (block.product.output.c, block.weight.master);
    let mut weight = Stored::zeros(master, block.product.n_weights());
    (0..weight.len()).for_each(|i| weight.set_code(i, 1 << master.format.frac_bits()));
    let one = 1_i32 << (plan.rows.spread_row.format.frac_bits() + RUNNING_BITS.cast_signed()).clamp(0, 30);
    let moments = || Moments { mean: Stored::I32(vec![0; c]), spread: Stored::I32(vec![one; c]) };
    Parameters {
        weight,
        bias: block.product.bias.then(|| Stored::zeros(master, c)),
        moments: (block.product.kind == ProductKind::BatchNorm).then(moments),
    }
}

impl Learned {
    /// Rows `norm.gain` and `norm.offset`.
    pub(super) fn load(&mut self, plan: &NormPlan, block: &BlockPlan, parameters: &Parameters) {
        let c = block.product.output.c;
        let master = block.weight.master.format.frac_bits();
        let read = |stored: &Stored, row: Quantizer, to: &mut Vec<i64>| {
            let of = |i: usize| {
                let code = stored.code(i);
                if !row.format.is_quantized() {
                    return code;
                }
                let row = Quantizer { round: row.round.in_evaluation(), ..row };
                row.code_of_shifted(code, master - row.format.frac_bits(), 0)
            };
            to.clear();
            to.extend((0..c).map(of));
        };
        match &parameters.bias {
            Some(offset) => {
                read(&parameters.weight, plan.gain, &mut self.gain);
                read(offset, plan.offset, &mut self.offset);
            }
            None => {
                self.gain.clear();
                self.gain.resize(c, 1 << plan.gain_frac_bits);
                self.offset.clear();
                self.offset.resize(c, 0);
            }
        }
    }

    /// Gains moved by `shift`, and offsets in the last bit of a value times such a gain, into `scaled`.
    pub(super) fn scale(&self, plan: &NormPlan, shift: u32, scaled: &mut [Vec<i64>; 2]) {
        let down = plan.offset_frac_bits - plan.frac_bits();
        let offset = |offset: &i64| intrain_num::Round::NearestEven.shift_right(*offset, down, 0) << shift;
        scaled.iter_mut().for_each(Vec::clear);
        scaled[0].extend(self.gain.iter().map(|gain| gain << shift));
        scaled[1].extend(self.offset.iter().map(offset));
    }
}

/// The gradients of gain and offset are the channels' sums of errors times values, and of errors.
pub(crate) fn gradients_of(
    [errors, products]: &[Vec<i64>; 2],
    (gain, offset): (&mut Gradient, Option<&mut Gradient>),
) {
    if let (Gradient::I64(gain), Some(Gradient::I64(offset))) = (gain, offset) {
        gain.clone_from(products);
        offset.clone_from(errors);
    }
}

/// Bits by which wide activations are moved to the mean's last bit.
pub(super) const fn mean_shift(rows: &Rows) -> u32 {
    (rows.mean.format.frac_bits() - rows.frac_bits).unsigned_abs()
}

/// Fraction bits that a step has found for the wide integers that enter (`@dynamic`), beyond those of the rows; else 0.
pub(super) const fn found(rows: &Rows, x: &Activation) -> i32 {
    x.frac_bits - rows.frac_bits
}
