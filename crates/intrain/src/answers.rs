//! What a saved network answers: by its deployed form where it has one, else by the engine that trains. Both give the same bits.

use intrain_infer::Inference;
use intrain_nn::plan::LossPlan;
use intrain_nn::{Context, Logits, Network, Outcome, Plan, loss};
use intrain_train::saved::SavedModel;

use crate::deployed;

/// A saved network that answers batches of images.
pub struct Answers {
    loss: LossPlan,
    way: Way,
}

enum Way {
    /// Integers whose answers depend on each image alone.
    Deployed(Box<Inference>),
    /// Floats, a rounding that looks at the whole batch, or sums that are too wide for the kernels of the form.
    Engine(Box<Network>),
}

impl Answers {
    /// The network of `saved`, whose plan is `plan`, for batches of about `batch_size` images.
    #[must_use]
    pub fn of(plan: Plan, saved: &SavedModel, context: &Context, batch_size: usize) -> Self {
        let loss = plan.loss;
        let inference = deployed::lower(&plan, saved)
            .ok()
            .and_then(|deployed| Inference::new(&deployed, context, batch_size).ok());
        let way = if let Some(inference) = inference {
            Way::Deployed(Box::new(inference))
        } else {
            let mut network = Network::new(plan, context.clone());
            network.load(&saved.parameters, None);
            Way::Engine(Box::new(network))
        };
        Self { loss, way }
    }

    /// The logits of `images` (pixels `[n, h, w, c]`).
    ///
    /// # Panics
    /// The pixels are not those of whole images.
    pub fn logits(&mut self, images: &[u8]) -> Logits {
        match &mut self.way {
            Way::Deployed(inference) => {
                Logits::Integers { values: inference.run(images), frac_bits: inference.frac_bits() }
            }
            Way::Engine(network) => {
                network.forward(images, None);
                network.logits()
            }
        }
    }

    /// How well these logits answer.
    #[must_use]
    pub fn outcome(&self, logits: &Logits, labels: &[u16]) -> Outcome {
        let plan = &self.loss;
        match logits {
            Logits::Floats(values) => loss::evaluate(plan, |i| values[i].into(), labels),
            Logits::Integers { values, frac_bits } => {
                let plan = LossPlan { logits_frac_bits: *frac_bits, ..*plan };
                loss::evaluate(&plan, |i| loss::real(*frac_bits, values[i]), labels)
            }
        }
    }

    /// Classes.
    #[must_use]
    pub const fn n_classes(&self) -> usize {
        self.loss.n_classes
    }
}
