//! A trained network that answers images on the array, product by product.

use std::sync::Arc;

use crate::accel::{ArrayMachine, Machine, Product, Rounding, answers, check_answers};
use crate::answers::Answers;
use crate::data::Part;
use crate::nn::{Logits, Network, Plan};
use anyhow::Context as _;

use super::rtl::WORDS_MAX;
use crate::command::args::{AnswerArgs, NetworkArgs, TrainArgs};
use crate::command::failure::Usage;
use crate::command::settings::{context, load_data_for, open_model};

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
    let name = model.display();
    let plan = Plan::build(&saved.model, &saved.recipe, 1).with_context(|| name.to_string())?;
    check_answers(machine, &plan, n_images)
        .map_err(|error| Usage(format!("{name}, {}: {error}", saved.recipe.name)))?;
    if records {
        check_recorded(&answers(machine, &plan, n_images), n_images)?;
    }
    let machine = Machine { rounding: Rounding::Nearest, ..machine.clone() };
    let array = Arc::new(ArrayMachine::answering(&machine, records)?);
    let mut context = context(flags.threads, flags.kernel.as_deref())?;
    let right = Answers::of(plan.clone(), &saved, &context, n_images).logits(&images);
    context.machine = Some(Arc::clone(&array) as Arc<dyn crate::nn::Machine>);
    let mut network = Network::new(plan.clone(), context);
    network.load(&saved.parameters, None);
    network.forward(&images, None);
    check_equal(&network.logits(), &right, saved.model.n_classes()?)?;
    let names = [saved.model.name, saved.recipe.name, data.to_owned()];
    Ok(Some(Answered { machine, plan, array, names, n_images }))
}

/// Operands become files of text.
fn check_recorded(products: &[(usize, Product)], n_images: usize) -> Result<(), Usage> {
    let words = |product: &Product| (product.l * product.k).max(product.k * product.m);
    let most = products.iter().map(|(_, product)| words(product)).max().unwrap_or(0);
    if most <= WORDS_MAX {
        return Ok(());
    }
    Err(Usage(format!(
        "--images {n_images}: an operand has {most} words, and {WORDS_MAX} are the most that are written; name fewer images"
    )))
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
