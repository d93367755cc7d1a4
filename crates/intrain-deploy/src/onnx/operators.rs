//! What the forms of a graph share: windows, the shortcut of a residual sum, and the integers that a norm meets.

use intrain_plan::Pool;

use super::graph::Graph;
use super::proto::{Attribute, Data};
use crate::form::{BatchNorm, Product};
use crate::range::Range;

/// The exact powers of two.
pub(super) fn power(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

/// The windows of a pooling.
pub(super) fn pooling(pool: Pool) -> [Attribute; 3] {
    let all = |n: usize, times: usize| vec![i64::try_from(n).unwrap_or(i64::MAX); times];
    [
        Attribute::Ints("kernel_shape", all(pool.size, 2)),
        Attribute::Ints("pads", all(pool.pad, 4)),
        Attribute::Ints("strides", all(pool.stride, 2)),
    ]
}

/// The window of a convolution.
pub(super) fn window(p: &Product) -> Vec<Attribute> {
    let ints = |values: [usize; 2]| values.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).to_vec();
    let pads = ints(p.window.pad);
    vec![
        Attribute::Ints("dilations", ints(p.window.dilation)),
        Attribute::Int("group", i64::try_from(p.groups).unwrap_or(i64::MAX)),
        Attribute::Ints("kernel_shape", ints(p.window.kernel)),
        Attribute::Ints("pads", [pads.clone(), pads].concat()),
        Attribute::Ints("strides", ints(p.window.stride)),
    ]
}

/// The largest integer that a norm meets.
pub(super) fn largest(norm: &BatchNorm, entering: Range) -> u128 {
    let of_line = norm.lines.iter().map(|line| {
        let ends = [entering.min, entering.max].map(|x| line.exact(x).unsigned_abs());
        u128::from(ends[0].max(ends[1]))
            + (1 << line.shift.clamp(0, 62))
            + u128::from(line.offset.unsigned_abs())
    });
    let value = norm.value.max.unsigned_abs().max(norm.value.min.unsigned_abs());
    let learned = norm.gain.iter().zip(&norm.offset);
    let of_learned = learned.map(|(gain, offset)| {
        u128::from(value) * u128::from(gain.unsigned_abs()) + u128::from(offset.unsigned_abs())
    });
    of_line.chain(of_learned).max().unwrap_or(0)
}

impl Graph {
    /// Every `stride`-th pixel, and `new` channels of zeros behind the others.
    pub(super) fn shortcut(&mut self, layer: &str, x: &str, stride: usize, new: usize) -> String {
        let mut x = x.to_owned();
        if stride > 1 {
            let step = i64::try_from(stride).unwrap_or(i64::MAX);
            let [starts, ends, axes, steps] = [vec![0, 0], vec![i64::MAX; 2], vec![2, 3], vec![step; 2]]
                .map(|values| self.constant(layer, "slice", &[2], &Data::I64(values)));
            x = self.node(layer, "Slice", &[&x, &starts, &ends, &axes, &steps], &[]);
        }
        if new > 0 {
            let new = i64::try_from(new).unwrap_or(i64::MAX);
            let pads = self.constant(layer, "pads", &[8], &Data::I64(vec![0, 0, 0, 0, 0, new, 0, 0]));
            x = self.node(layer, "Pad", &[&x, &pads], &[]);
        }
        if stride == 1 && new == 0 {
            x = self.node(layer, "Identity", &[&x], &[]);
        }
        x
    }
}
