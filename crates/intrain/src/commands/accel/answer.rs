//! A trained network that answers images on the array, product by product.

use std::sync::Arc;

use anyhow::Context as _;
use intrain::accel::{ArrayMachine, Machine, Rounding, check_answers};
use intrain::answers::Answers;
use intrain::data::Part;
use intrain::nn::{Logits, Network, Plan};

use crate::args::{AnswerArgs, NetworkArgs, TrainArgs};
use crate::failure::Usage;
use crate::settings::{context, load_data_for, open_model};

/// What has run.
pub(super) struct Answered {
    /// The machine, which rounds to the nearest: only training draws random bits.
    pub(super) machine: Machine,
    pub(super) plan: Plan,
    pub(super) array: Arc<ArrayMachine>,
    /// Names of the network and its recipe, and of the data.
    pub(super) names: [String; 3],
    pub(super) n_images: usize,
}

/// Answers images, and compares the logits with those of the kernels; none where no network is named. Operands are kept where it
/// `records`.
pub(super) fn answer(
    machine: &Machine,
    args: &AnswerArgs,
    flags: &TrainArgs,
    records: bool,
) -> anyhow::Result<Option<Answered>> {
    let Some(model) = &args.of else { return Ok(None) };
    let saved = open_model(&NetworkArgs { model: model.clone(), checkpoint: None })?;
    let data = flags.data.as_deref().unwrap_or(&saved.data);
    let size = saved.model.input.shape.len();
    let mut images = load_data_for(&saved, data)?.part(Part::Test).images.to_vec();
    images.truncate(args.images.unwrap_or(1) as usize * size);
    let n_images = images.len() / size;
    let plan =
        Plan::build(&saved.model, &saved.recipe, n_images).with_context(|| model.display().to_string())?;
    check_answers(machine, &plan)
        .map_err(|error| Usage(format!("{}, {}: {error}", model.display(), saved.recipe.name)))?;
    let machine = Machine { rounding: Rounding::Nearest, ..machine.clone() };
    let array = Arc::new(ArrayMachine::answering(&machine, records)?);
    let mut context = context(flags.threads, flags.kernel.as_deref())?;
    let right = Answers::of(plan.clone(), &saved, &context, n_images).logits(&images);
    context.machine = Some(Arc::clone(&array) as Arc<dyn intrain::nn::Machine>);
    let mut network = Network::new(plan.clone(), context);
    network.load(&saved.parameters, None);
    network.forward(&images, None);
    check_equal(&network.logits(), &right, saved.model.n_classes()?)?;
    let names = [saved.model.name, saved.recipe.name, data.to_owned()];
    Ok(Some(Answered { machine, plan, array, names, n_images }))
}

/// The array gives the logits of the kernels.
fn check_equal(found: &Logits, right: &Logits, n_classes: usize) -> anyhow::Result<()> {
    let (found, right) = (found.to_f64(), right.to_f64());
    match found.iter().zip(&right).position(|(found, right)| found != right) {
        None => Ok(()),
        Some(i) => anyhow::bail!(
            "image {}, logit {}: {} on the array, and {} is right; this is a fault of intrain; please report it with the network",
            i / n_classes,
            i % n_classes,
            found[i],
            right[i]
        ),
    }
}
