//! What is proven before a session's first step: all that a later step could find wrong.

use intrain_nn::Plan;

use crate::config::{Config, polynomial};
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
        if settings.poly != 0.0 {
            // The rates of an epoch's steps fall to that of its last one.
            let last = (u64::from(later) + 1) * per_epoch - 1;
            let left = polynomial(settings.poly, last, per_epoch * u64::from(settings.epochs));
            update::check(&plan, hyper, rate::longest(rate * left))?;
        }
        in_force = Some((recipe, plan));
    }
    Ok(())
}
