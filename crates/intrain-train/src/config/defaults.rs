//! The settings that a run has where nobody says otherwise: the papers' where there are some, else what works.

use intrain_model::Model;
use intrain_recipe::{LearningRate, Recipe};

use super::Settings;
use crate::update::Method;

/// What decides the defaults.
#[derive(Clone, Copy)]
struct Run<'a> {
    /// Whether updates are relative to the largest gradient (WAGE).
    is_relative: bool,
    /// Whether the recipe is one of Li's.
    is_li: bool,
    /// The model's name, without a width.
    network: &'a str,
}

/// Epochs, batch size, learning rate, its decay, momentum, weight decay.
type Numbers = (u32, usize, f64, f64, f64, f64);

impl Run<'_> {
    fn numbers(self, recipe: &Recipe) -> Numbers {
        match (self.is_relative, self.network) {
            // Wu 2018: 8, then 1 from two thirds, 1/8 from five sixths of the epochs.
            (true, "vgg7" | "vgg7-norm") => (300, 128, 8.0, 1.0, 0.0, 0.0),
            (true, "digits-cnn") => (30, 32, 8.0, 1.0, 0.0, 0.0),
            // Wang 2020, code: the largest gradient moves a weight by 2^4 to 2^5 steps.
            (true, _) if recipe.name == "niti" => (200, 256, 16.0, 1.0, 0.0, 0.0),
            (true, _) => (30, 128, 8.0, 1.0, 0.0, 0.0),
            // Yang 2019, code: rate 0.05 of gradients in steps of 2^-14 below 128, momentum 1/4, decay 1e-4 at that rate.
            (false, _) if recipe.name == "wageubn" => (100, 64, 0.05 / 128.0, 1.0, 0.25, 1e-4 * 128.0),
            // Li 2017, section 7: no weight decay, rate / 10 from 82 and 122 of 160 epochs.
            (false, "digits-cnn") if self.is_li => (30, 32, 0.01, 1.0, 0.0, 0.0),
            (false, _) if recipe.name.starts_with("li-big-sr") => (160, 1024, 0.01, 1.0, 0.0, 0.0),
            (false, _) if self.is_li => (160, 128, 0.01, 1.0, 0.0, 0.0),
            // Gupta 2015, section 4.1; the MLP's rate and epochs are not stated there.
            (false, "mlp") => (15, 100, 0.1, 1.0, 0.0, 0.0),
            (false, "gupta-cnn") => (20, 100, 0.1, 0.95, 0.9, 5e-4),
            // Section 4.2; momentum is not stated there.
            (false, "gupta-cifar") => (120, 100, 0.01, 1.0, 0.9, 0.0),
            (false, "digits-cnn") => (30, 32, 0.02, 1.0, 0.9, 0.0),
            // zhaoweicai/hwgq@ebc706b: 100,000 steps.
            (false, "vgg-small") => (200, 100, 0.01, 1.0, 0.9, 5e-4),
            // He 2016, section 4.2: 64,000 steps.
            (false, "resnet20" | "resnet56" | "wrn-56-2") => (164, 128, 0.1, 1.0, 0.9, 1e-4),
            // zhaoweicai/hwgq@ebc706b: steps of their batches over ImageNet, in epochs.
            (false, "alexnet") => (64, 256, 0.02, 1.0, 0.9, 5e-4),
            (false, "vgg-variant") => (64, 128, 0.01, 1.0, 0.9, 5e-4),
            (false, "resnet18" | "resnet34" | "googlenet") => (64, 256, 0.1, 1.0, 0.9, 5e-5),
            (false, "resnet50") => (64, 128, 0.1, 1.0, 0.9, 5e-5),
            (false, _) => (30, 128, 0.02, 1.0, 0.9, 5e-4),
        }
    }

    /// From which epoch which learning rate holds.
    fn schedule(self, epochs: u32, rate: f64) -> Vec<(u32, f64)> {
        // In a run of one epoch no rate falls before it.
        let at = |part: u32, of: u32| epochs.saturating_mul(part).div_ceil(of);
        let mut schedule = match (self.is_relative, self.network) {
            (true, _) => vec![(at(4, 6), rate / 8.0), (at(5, 6), rate / 64.0)],
            (false, _) if self.is_li => vec![(at(82, 160), rate / 10.0), (at(122, 160), rate / 100.0)],
            (false, "mlp" | "gupta-cnn") => vec![],
            (false, network) if is_polynomial(network) => vec![],
            (false, "resnet20" | "resnet56" | "wrn-56-2") => {
                vec![(at(1, 2), rate / 10.0), (at(3, 4), rate / 100.0)]
            }
            (false, "gupta-cifar") => [(50, 2.0), (75, 4.0), (100, 8.0)].map(|(e, d)| (e, rate / d)).to_vec(),
            (false, _) => vec![(at(4, 6), rate / 10.0), (at(5, 6), rate / 100.0)],
        };
        // In a short run two of these fall on one epoch; the later one holds.
        schedule.reverse();
        schedule.dedup_by_key(|(epoch, _)| *epoch);
        schedule.reverse();
        schedule
    }
}

/// Whether the rate falls in a line: Cai 2017.
fn is_polynomial(network: &str) -> bool {
    ["vgg-small", "alexnet", "vgg-variant", "resnet18", "resnet34", "resnet50", "googlenet"]
        .contains(&network)
}

impl Settings {
    pub(super) fn default_for(
        recipe: &Recipe,
        model: &Model,
        data: &str,
        epochs: Option<i64>,
        rate: Option<f64>,
    ) -> Self {
        let network = model.name.split(':').next().unwrap_or_default();
        let run = Run {
            is_relative: recipe.learning_rate == LearningRate::PowerOfTwo,
            is_li: recipe.name.starts_with("li-"),
            network,
        };
        let (default_epochs, batch_size, default_rate, decay, momentum, weight_decay) = run.numbers(recipe);
        let epochs = epochs.and_then(|e| u32::try_from(e).ok()).unwrap_or(default_epochs);
        let learning_rate = rate.unwrap_or(default_rate);
        let is_augmented = ["cifar-10", "cifar-100"].contains(&data) && network != "gupta-cifar";
        let is_cropped = data.starts_with("folder:") && data.contains(",crop=");
        Self {
            seed: 1,
            epochs,
            max_steps: 0,
            batch_size,
            learning_rate,
            schedule: run.schedule(epochs, learning_rate),
            decay,
            poly: if is_polynomial(network) && !run.is_li { 1.0 } else { 0.0 },
            optimizer: if run.is_li { Method::Adam } else { Method::Sgd },
            momentum,
            weight_decay,
            pad: if is_augmented { 4 } else { 0 },
            flip: is_augmented || is_cropped,
            checkpoint_every: 500,
        }
    }
}
