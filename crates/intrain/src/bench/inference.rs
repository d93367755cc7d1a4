//! Answers to images, one or many at once: networks of random weights, as `predict` and `eval` run them: in the form that leaves the
//! house, or with floats between their products by the engine that trains.

use intrain_deploy::{About, Deployed, StoredLayer};
use intrain_infer::Inference;
use intrain_nn::{Arithmetic, Context, Network, Parameters, Plan};
use intrain_train::TrainError;

use super::{Group, Run, Task, Unit, Work, Yardstick, noise};
use crate::deployed::stored;

/// Networks under their recipes.
const NETWORKS: &[(&str, &str)] = &[
    ("vgg7", "wage"),
    ("lenet5", "wage"),
    ("resnet20", "intrain-int8"),
    ("resnet8", "intrain-int8"),
    ("vgg-small", "hwgq"),
];
/// Images at once.
const BATCHES: [usize; 2] = [1, 64];

pub(super) fn works() -> Vec<Work> {
    let all = NETWORKS.iter().flat_map(|network| BATCHES.map(|batch| (network, batch)));
    let work = |(&(model, recipe), batch): (&(&'static str, &'static str), usize)| Work {
        name: format!("{model}-{recipe}-batch-{batch}"),
        group: Group::Inference,
        prepare: Box::new(move |context: &Context| prepare((model, recipe), batch, context)),
    };
    all.map(work).collect()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn prepare((model, recipe): (&str, &str), batch: usize, context: &Context) -> Result<Task, TrainError> {
    let model = intrain_model::preset(model)?;
    let recipe = intrain_recipe::preset(recipe)?.at_epoch(0);
    let plan = Plan::build(&model, &recipe, batch)?;
    let pixels = batch * plan.input.shape.len();
    let images: Vec<u8> =
        noise(context.isa, 0, pixels).into_iter().map(|word| word.to_le_bytes()[3]).collect();
    let effort = 2.0 * (multiply_adds(&plan) * batch as u64) as f64;
    let has_codes = plan.blocks.iter().any(|block| block.codes.is_some());
    let yardstick = Some(if has_codes { Yardstick::Int8 } else { Yardstick::of(plan.arithmetic) });
    let parameters = Parameters::initial(&plan, 1);
    let run: Run = if plan.arithmetic == Arithmetic::Float32 {
        let mut network = Network::new(plan, context.clone());
        network.load(&parameters, None);
        Box::new(move || network.forward(&images, None))
    } else {
        let layers: Vec<StoredLayer> = parameters.iter().map(stored).collect();
        let deployed = Deployed::lower(&plan, &layers, About::default())
            .unwrap_or_else(|error| unreachable!("a network of integers has a deployed form: {error}"));
        let mut inference = Inference::new(&deployed, context, batch)
            .unwrap_or_else(|error| unreachable!("the kernels compute it: {error}"));
        Box::new(move || {
            inference.run(&images);
        })
    };
    Ok(Task { amount: batch as f64, unit: Unit::Images, effort, yardstick, run })
}

/// Of an answer to one image.
fn multiply_adds(plan: &Plan) -> u64 {
    let products = plan.blocks.iter().map(|block| &block.product).filter(|product| !product.kind.is_norm());
    products.map(|product| (product.fan_in() * product.output.len()) as u64).sum()
}
