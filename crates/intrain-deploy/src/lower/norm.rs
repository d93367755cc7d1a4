//! A norm as evaluation computes it: what is learned and what is kept of all batches, as constants of the channels.

use intrain_num::Round;
use intrain_num::norm::Rows;
use intrain_plan::{BlockPlan, NormPlan, ProductKind};

use super::{StoredLayer, read_row};
use crate::form::{BatchNorm, LayerNorm, Norm, Requantize};
use crate::range::Range;

/// The norm of a block.
pub(super) fn of(block: &BlockPlan, stored: &StoredLayer) -> Norm {
    let plan =
        block.norm.as_ref().unwrap_or_else(|| unreachable!("the block of a norm of integers has its rows"));
    let [gain, offset] = learned(plan, block, stored);
    let rows = plan.rows;
    if block.product.kind == ProductKind::LayerNorm {
        return Norm::Layer(LayerNorm { rows, gain, offset });
    }
    let [means, spreads] =
        stored.moments.as_ref().unwrap_or_else(|| unreachable!("the caller has checked them"));
    let line = |(mean, spread): (&i64, &i64)| {
        let [mean, spread] = rows.of_running([*mean, *spread], 0);
        rows.line(mean, spread)
    };
    Norm::Batch(BatchNorm {
        lines: means.iter().zip(spreads).map(line).collect(),
        value: value(&rows),
        gain,
        offset,
    })
}

/// How a value is rounded and held; the shift is that of a channel's line.
fn value(rows: &Rows) -> Requantize {
    let row = rows.value;
    Requantize { shift: 0, round: row.round, min: row.format.min(), max: row.format.max() }
}

/// Gains and offsets as they are read, offsets in the last bit of a value times a gain; 1 and 0 where none are learned.
pub(crate) fn learned(plan: &NormPlan, block: &BlockPlan, stored: &StoredLayer) -> [Vec<i64>; 2] {
    let c = block.product.output.c;
    let Some(offset) = &stored.bias else {
        return [vec![1 << plan.gain_frac_bits; c], vec![0; c]];
    };
    let (gain_row, offset_row) =
        (read_row(plan.gain, block.weight.master), read_row(plan.offset, block.weight.master));
    let down = plan.offset_frac_bits - plan.frac_bits();
    let offset = offset.iter().map(|code| Round::NearestEven.shift_right(offset_row(*code), down, 0));
    [stored.weight.iter().map(|code| gain_row(*code)).collect(), offset.collect()]
}

/// What a norm makes of a range.
pub(super) fn range(norm: &Norm, entering: Range) -> Range {
    let affine = |value: Range, (gain, offset): (&i64, &i64)| {
        value.times(*gain).plus(Range { min: *offset, max: *offset })
    };
    let channels: Vec<Range> = match norm {
        Norm::Batch(norm) => {
            let learned = norm.gain.iter().zip(&norm.offset);
            let of = |(line, learned)| affine(norm.values(line, entering), learned);
            norm.lines.iter().zip(learned).map(of).collect()
        }
        Norm::Layer(norm) => {
            let format = norm.rows.value.format;
            let value = Range { min: format.min(), max: format.max() };
            norm.gain.iter().zip(&norm.offset).map(|learned| affine(value, learned)).collect()
        }
    };
    channels.into_iter().reduce(Range::hull).unwrap_or(Range::ZERO)
}

impl BatchNorm {
    /// The values of a channel with that line. A line rises, as its multiplier is above 0.
    fn values(&self, line: &intrain_num::norm::ChannelAffine, entering: Range) -> Range {
        let of = |x: i64| Requantize { shift: line.shift, ..self.value }.apply(line.exact(x));
        Range { min: of(entering.min), max: of(entering.max) }
    }
}
