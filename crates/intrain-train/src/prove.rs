//! What is proven before a session's first step: all that a later step could find wrong.

use intrain_nn::Plan;

use crate::config::Config;
use crate::{TrainError, rate, update};

/// Proves every format that a session will switch to from `epoch` on, and that the sums of updates fit at every rate, for
/// epochs of so many steps: what a session proves before its first step.
///
/// # Errors
/// As [`Plan::build`], [`Trainer::new`](crate::Trainer::new) and [`Trainer::check_rate`](crate::Trainer::check_rate).
pub fn prove(config: &Config, epoch: u32, per_epoch: u64) -> Result<(), TrainError> {
    let (settings, hyper) = (&config.settings, config.settings.hyper());
    let mut in_force = None;
    for (later, rate) in (0..settings.epochs).zip(settings.learning_rates()).skip(epoch as usize) {
        let recipe = config.recipe.at_epoch(later);
        let plan = match in_force.take() {
            Some((before, plan)) if before == recipe => plan,
            _ => Plan::build(&config.model, &recipe, settings.batch_size)?,
        };
        update::check(&plan, hyper, rate)?;
        if let Some(smallest) = settings.smallest_of_epoch(rate, later, per_epoch) {
            update::check(&plan, hyper, rate::longest(smallest))?;
        }
        in_force = Some((recipe, plan));
    }
    Ok(())
}
