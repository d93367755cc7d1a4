//! Whole training steps on one batch of random pixels: weights loaded, forward, loss, backward, update.
//!
//! Networks are those that `intrain train` would build, learning rate and momentum included.

use intrain_data::{Batch, ImageShape, Position};
use intrain_nn::{Context, Plan};
use intrain_train::config::Config;
use intrain_train::{TrainError, Trainer};

use super::{Group, Task, Unit, Work, Yardstick, noise};

/// A network under a recipe.
struct Case {
    name: &'static str,
    model: &'static str,
    recipe: &'static str,
    /// Images in a step.
    batch_size: u32,
}

const fn case(name: &'static str, model: &'static str, recipe: &'static str, batch_size: u32) -> Case {
    Case { name, model, recipe, batch_size }
}

const CASES: &[Case] = &[
    case("vgg7-wage", "vgg7", "wage", 128),
    case("lenet5-wage", "lenet5", "wage", 128),
    case("mlp-wage", "mlp", "wage", 100),
    case("mlp-gupta", "mlp", "gupta:Q2.14", 100),
    case("gupta-cnn-gupta", "gupta-cnn", "gupta:Q2.14", 100),
    case("vgg7-float32", "vgg7", "float32", 128),
    case("lenet5-float32", "lenet5", "float32", 128),
    case("mlp-float32", "mlp", "float32", 100),
    case("gupta-cnn-float32", "gupta-cnn", "float32", 100),
    case("resnet20-float32", "resnet20", "float32", 128),
    case("resnet20-hwgq", "resnet20", "hwgq", 128),
    case("resnet20-li-bc", "resnet20", "li-bc", 128),
    case("resnet20-intrain-int8", "resnet20", "intrain-int8", 128),
    case("resnet8-float32", "resnet8", "float32", 128),
    case("resnet8-intrain-int8", "resnet8", "intrain-int8", 128),
    case("mobilenet-1-float32", "mobilenet:1", "float32", 128),
    case("mobilenet-1-intrain-int8", "mobilenet:1", "intrain-int8", 128),
];

const N_CLASSES: u16 = 10;

pub(super) fn works() -> Vec<Work> {
    let work = |case: &'static Case| Work {
        name: case.name.to_owned(),
        group: Group::Steps,
        prepare: Box::new(|context: &Context| prepare(case, context)),
    };
    CASES.iter().map(work).collect()
}

fn prepare(case: &Case, context: &Context) -> Result<Task, TrainError> {
    let shape = intrain_model::preset(case.model)?.input.shape;
    let shape = ImageShape { height: shape.h, width: shape.w, channels: shape.c };
    let mut keys = toml::Table::new();
    keys.insert("model".to_owned(), case.model.into());
    keys.insert("recipe".to_owned(), case.recipe.into());
    keys.insert("batch_size".to_owned(), case.batch_size.into());
    let Config { model, recipe, settings, .. } = Config::resolve(keys, &[], shape, N_CLASSES.into())?;
    let plan = Plan::build(&model, &recipe.at_epoch(0), settings.batch_size)?;
    let (effort, yardstick) = (operations(&plan), Some(Yardstick::of(plan.arithmetic)));

    let hyper = settings.hyper();
    let mut trainer = Trainer::new(plan, hyper, settings.seed, context.clone())?;
    let batch = random_batch(context, shape, settings.batch_size);
    let rate = settings.learning_rate_at(0);
    let run = Box::new(move || {
        trainer.step(&batch, rate);
    });
    Ok(Task { amount: f64::from(case.batch_size), unit: Unit::Images, effort, yardstick, run })
}

/// Multiplications and additions of a step's products, forward, error and gradient; the first has no error to give on.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn operations(plan: &Plan) -> f64 {
    let products = plan.blocks.iter().filter(|block| !block.product.kind.is_norm());
    let products = products.enumerate().map(|(i, block)| {
        let multiply_adds = block.product.fan_in() * block.product.output.len();
        if i == 0 { 2 * multiply_adds } else { 3 * multiply_adds }
    });
    2.0 * (plan.batch_size * products.sum::<usize>()) as f64
}

fn random_batch(context: &Context, shape: ImageShape, n: usize) -> Batch {
    let pixel = |word: u32| word.to_le_bytes()[3];
    let label = |word| u16::from(pixel(word)) % N_CLASSES;
    Batch {
        position: Position::default(),
        images: noise(context.isa, 0, n * shape.n_values()).into_iter().map(pixel).collect(),
        labels: noise(context.isa, 1, n).into_iter().map(label).collect(),
        indices: (0..).take(n).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 784-1000-1000-10: two products of the first layer, three of the others, by 100 images.
    #[test]
    fn operations_are_those_of_the_plan() {
        let model = intrain_model::preset("mlp").unwrap();
        let plan = Plan::build(&model, &intrain_recipe::preset("float32").unwrap(), 100).unwrap();
        assert_eq!(operations(&plan), 200.0 * (2.0 * 784e3 + 3.0 * 1e6 + 3.0 * 1e4));
    }
}
