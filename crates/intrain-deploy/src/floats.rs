//! The parameters of a network as floats, in the layout and under the names of PyTorch: for those who go on from them elsewhere.

use intrain_plan::{self as plan, BlockPlan, Plan, ProductKind};

use crate::form::Deployed;
use crate::lower::{StoredLayer, learned};

/// A parameter as evaluation reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatTensor {
    /// The layer's name and `weight`, `bias`, `running_mean` or `running_var`, as in a `state_dict`.
    pub name: String,
    /// `[out, in / groups, kernel height, kernel width]`, `[out, in]` or `[channels]`.
    pub shape: Vec<usize>,
    /// Row by row; what binary32 does not hold is rounded to the nearest.
    pub values: Vec<f32>,
}

impl FloatTensor {
    fn new(block: &BlockPlan, what: &str, shape: Vec<usize>, values: impl Iterator<Item = f64>) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "rounded to the nearest")]
        let values = values.map(|value| value as f32).collect();
        Self { name: format!("{}.{what}", block.name), shape, values }
    }
}

/// Integers of which each is worth `2^-frac_bits`.
#[allow(clippy::cast_precision_loss, reason = "integers below 2^53")]
fn real(values: impl Iterator<Item = i64>, frac_bits: i32) -> impl Iterator<Item = f64> {
    values.map(move |value| value as f64 * 2f64.powi(-frac_bits))
}

impl Deployed {
    /// The parameters of the layers of `plan`, of which this form was lowered with `layers`. Weights are those that evaluation multiplies,
    /// each layer's scale (`@alpha`) included, so the network's logits stay in their unit. A norm's variance is the square of the
    /// spread by which it divides, without an epsilon; norms that learn nothing have mean and variance alone.
    #[must_use]
    pub fn floats(&self, plan: &Plan, layers: &[StoredLayer]) -> Vec<FloatTensor> {
        let products = plan.nodes.iter().filter_map(|node| match &node.op {
            plan::Op::Product(product) => Some(product.block),
            _ => None,
        });
        let of_products = products.zip(self.products().map(|(i, _)| i)).map(|(block, i)| (block, Some(i)));
        let norms = (0..plan.blocks.len()).filter(|block| plan.blocks[*block].norm.is_some());
        let mut all: Vec<(usize, Option<usize>)> =
            of_products.chain(norms.map(|block| (block, None))).collect();
        all.sort_unstable();
        let of = |(block, node): (usize, Option<usize>)| match node {
            Some(node) => self.product_floats(&plan.blocks[block], node),
            None => norm_floats(&plan.blocks[block], &layers[block]),
        };
        all.into_iter().flat_map(of).collect()
    }

    /// Weights and biases of the product of node `i`.
    fn product_floats(&self, block: &BlockPlan, i: usize) -> Vec<FloatTensor> {
        let node = &self.nodes[i];
        let crate::form::Op::Product(p) = &node.op else { return vec![] };
        let (input, output) = (self.input_of(i), node.result.shape);
        let sum_digits = node.result.frac_bits + p.requantize.map_or(0, |q| q.shift);
        let digits = sum_digits - self.nodes[node.sources[0]].result.frac_bits;
        let [kh, kw] = p.window.kernel;
        let shape = match block.product.kind {
            ProductKind::Linear => vec![output.c, p.fan_in(input)],
            _ => vec![output.c, input.c / p.groups, kh, kw],
        };
        let weights = p.channels_first(input, output).into_iter().map(i64::from);
        let mut all = vec![FloatTensor::new(block, "weight", shape, real(weights, digits))];
        if let Some(bias) = &p.bias {
            let values = real(bias.iter().copied(), sum_digits);
            all.push(FloatTensor::new(block, "bias", vec![bias.len()], values));
        }
        all
    }
}

/// What a norm has learned, and what it keeps of all batches.
fn norm_floats(block: &BlockPlan, stored: &StoredLayer) -> Vec<FloatTensor> {
    let Some(norm) = &block.norm else { return vec![] };
    let shape = || vec![block.product.output.c];
    let mut all = vec![];
    if stored.bias.is_some() {
        let [gain, offset] = learned(norm, block, stored);
        let gain = real(gain.into_iter(), norm.gain_frac_bits);
        all.push(FloatTensor::new(block, "weight", shape(), gain));
        all.push(FloatTensor::new(block, "bias", shape(), real(offset.into_iter(), norm.frac_bits())));
    }
    if let Some([means, spreads]) = &stored.moments {
        let rows = &norm.rows;
        let both = || means.iter().zip(spreads).map(|(mean, spread)| rows.of_running([*mean, *spread], 0));
        let means = real(both().map(|[mean, _]| mean), rows.mean.format.frac_bits());
        let spreads = real(both().map(|[_, spread]| spread), rows.spread_row.format.frac_bits());
        all.push(FloatTensor::new(block, "running_mean", shape(), means));
        all.push(FloatTensor::new(block, "running_var", shape(), spreads.map(|spread| spread * spread)));
    }
    all
}
