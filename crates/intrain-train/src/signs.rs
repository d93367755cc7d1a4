//! How far weights have come: the share of them whose sign is not the one that they started with.
//!
//! Li 2017, section 7: with stochastic rounding it rises towards a half, as if signs were drawn anew; with a float copy it
//! stays low. Initial weights are a function of the seed, or of a file that the run began with, so nothing needs to be kept
//! with a run.

use intrain_nn::{BlockPlan, Parameters, Plan, Stored};

/// Which weights of each block were negative at the start.
pub(crate) struct Signs(Vec<Vec<bool>>);

/// Shares of changed signs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Changed {
    /// Of all layers that count.
    pub(crate) all: f64,
    /// Of each layer with weights, by name.
    pub(crate) layers: Vec<(String, f64)>,
}

impl Signs {
    /// Of weights, block by block.
    pub(crate) fn of(parameters: &[Parameters]) -> Self {
        Self(parameters.iter().map(|parameters| negative(&parameters.weight)).collect())
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of weights are far below 2^53")]
    pub(crate) fn changed(&self, plan: &Plan, parameters: &[Parameters]) -> Changed {
        let is_any_quantized = plan.blocks.iter().any(is_quantized);
        let (mut n_changed, mut n) = (0_usize, 0_usize);
        let mut layers = Vec::new();
        for ((block, parameters), before) in plan.blocks.iter().zip(parameters).zip(&self.0) {
            if block.product.kind.is_norm() {
                continue;
            }
            let now = negative(&parameters.weight);
            let of_layer = now.iter().zip(before).filter(|(now, before)| now != before).count();
            layers.push((block.name.clone(), of_layer as f64 / now.len().max(1) as f64));
            if is_quantized(block) || !is_any_quantized {
                (n_changed, n) = (n_changed + of_layer, n + now.len());
            }
        }
        Changed { all: n_changed as f64 / n.max(1) as f64, layers }
    }
}

/// Whether a block's weights are stored or read in few bits.
fn is_quantized(block: &BlockPlan) -> bool {
    block.weight.master.format.is_quantized() || block.weight.read.format.is_quantized()
}

/// Which weights are below 0.
fn negative(stored: &Stored) -> Vec<bool> {
    match stored {
        Stored::F32(values) => values.iter().map(|w| *w < 0.0).collect(),
        codes => (0..codes.len()).map(|i| codes.code(i) < 0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_few_bits_count() {
        let model = intrain_model::preset("digits-cnn").unwrap();
        let plan = Plan::build(&model, &intrain_recipe::preset("li-sr").unwrap(), 8).unwrap();
        let signs = Signs::of(&Parameters::initial(&plan, 1));
        let mut parameters = Parameters::initial(&plan, 1);
        assert_eq!(signs.changed(&plan, &parameters).all, 0.0);
        let Stored::I8(conv) = &mut parameters[0].weight else {
            panic!("binary weights are stored in bytes")
        };
        let n = conv.len();
        conv.iter_mut().for_each(|w| *w = -*w);
        // A layer that stays in float does not count.
        let Stored::F32(linear) = &mut parameters[2].weight else {
            panic!("li-sr leaves linear layers in float")
        };
        linear.iter_mut().for_each(|w| *w = -*w);
        let changed = signs.changed(&plan, &parameters);
        let all = n + 9 * 32 * 64;
        assert_eq!(changed.all, n as f64 / all as f64);
        assert_eq!(changed.layers[0], ("conv1".to_owned(), 1.0));
        assert!(changed.layers[2].1 > 0.9);
    }
}
