//! Statistics of norms for evaluation, estimated at fixed weights.
//!
//! What a norm remembers of all batches (`update/moments.rs`) trails behind weights that still change: with binary weights, some of
//! which change sign at the least update, a network may answer worse than its weights by many points. Means over batches that all
//! meet the same weights do not trail. Section 7.5 of `docs/arithmetic.md`; PyTorch has it as `torch.optim.swa_utils.update_bn`.

use intrain_data::{Batch, TrainBatches};
use intrain_nn::plan::ProductKind;
use intrain_nn::{Moments, Network, Parameters, Plan, Stored};
use intrain_num::norm;

/// Whether there is a norm that knows batches, whose statistics could be estimated.
#[must_use]
pub fn has_any(plan: &Plan) -> bool {
    plan.blocks.iter().any(|block| block.product.kind == ProductKind::BatchNorm)
}

/// The first `n` batches of training, epoch after epoch.
pub fn first_batches(mut batches: TrainBatches, n: u32) -> impl Iterator<Item = Batch> {
    (0..n).map(move |i| batches.batch(batches.position_of_step(i.into())))
}

/// `parameters` with the mean of the statistics that the norms find in `batches`, each batch normalized by its own and
/// rounded as in evaluation. Without a batch they stay as they are.
pub fn estimate(
    network: &mut Network,
    parameters: &[Parameters],
    batches: impl Iterator<Item = Batch>,
) -> Vec<Parameters> {
    let mut estimated = parameters.to_vec();
    estimated.iter_mut().for_each(|block| block.moments = None);
    network.load(&estimated, None);
    let mut sums: Vec<_> = parameters.iter().map(|block| block.moments.as_ref().map(Sums::new)).collect();
    let mut n = 0;
    for batch in batches {
        network.forward(&batch.images, None);
        n += 1;
        for (sums, moments) in sums.iter_mut().zip(network.batch_moments()) {
            if let (Some(sums), Some(moments)) = (sums, moments) {
                sums.add(moments);
            }
        }
    }
    for ((block, old), sums) in estimated.iter_mut().zip(parameters).zip(sums) {
        block.moments.clone_from(&old.moments);
        if let (Some(moments), Some(sums)) = (&mut block.moments, sums.filter(|_| n > 0)) {
            sums.mean(n, moments);
        }
    }
    estimated
}

/// Of a norm's means and of its spreads, the sum over batches.
struct Sums([Sum; 2]);

enum Sum {
    Codes(Vec<i64>),
    Floats(Vec<f64>),
}

impl Sums {
    fn new(moments: &Moments) -> Self {
        Self([&moments.mean, &moments.spread].map(|stored| match stored {
            Stored::F32(values) => Sum::Floats(vec![0.0; values.len()]),
            codes => Sum::Codes(vec![0; codes.len()]),
        }))
    }

    fn add(&mut self, batch: &Moments) {
        for (sum, batch) in self.0.iter_mut().zip([&batch.mean, &batch.spread]) {
            match (sum, batch) {
                (Sum::Floats(sum), Stored::F32(batch)) => {
                    sum.iter_mut().zip(batch).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                (Sum::Codes(sum), codes) => {
                    sum.iter_mut().enumerate().for_each(|(i, sum)| *sum += codes.code(i));
                }
                (Sum::Floats(_), _) => unreachable!("a norm keeps one kind of numbers"),
            }
        }
    }

    /// Their means over `n` batches, above 0.
    fn mean(&self, n: u32, to: &mut Moments) {
        for (sum, to) in self.0.iter().zip([&mut to.mean, &mut to.spread]) {
            match (sum, to) {
                (Sum::Floats(sum), Stored::F32(to)) => {
                    #[allow(clippy::cast_possible_truncation, reason = "rounded to binary32 once")]
                    to.iter_mut().zip(sum).for_each(|(to, sum)| *to = (sum / f64::from(n)) as f32);
                }
                (Sum::Codes(sum), to) => {
                    for (i, sum) in sum.iter().enumerate() {
                        to.set_code(i, norm::mean_of_batches(*sum, n));
                    }
                }
                (Sum::Floats(_), _) => unreachable!("a norm keeps one kind of numbers"),
            }
        }
    }
}
