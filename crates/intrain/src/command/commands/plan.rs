//! `intrain plan`: every operation of a step before it runs, which promise of the contract holds for it, and what it all
//! needs of memory.

use std::process::ExitCode;

use crate::memory;
use crate::model::LayerKind;
use crate::nn::plan::{Memory, Operation, Promise};
use crate::nn::{Arithmetic, Plan};
use crate::recipe::Bias;
use crate::train::config::Config;
use crate::train::run::RunDir;
use crate::train::session;
use crate::train::telemetry::size;
use serde_json::json;

use crate::command::args::PlanArgs;
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, grouped, table};
use crate::command::settings::resolve;

pub(crate) fn run(args: &PlanArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let config = match &args.train.resume {
        Some(folder) => of_run(&RunDir(folder.clone()))?,
        None => resolve(&args.train)?,
    };
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), config.settings.batch_size)?;
    // Later epochs' rows and the updates too: what is planned can be trained.
    session::prove(&config, 0, 1)?;
    if args.require_integer && !plan.float_operations().is_empty() {
        let floats = float_operations(&plan);
        return Err(Usage(format!(
            "{floats}; --require-integer allows none: use a recipe whose roles are all integers, such as intrain-int8 or \
             wage, or leave the flag out"
        ))
        .into());
    }
    let operations = plan.operations();
    let memory = plan.memory();
    let needs = Needs::of(&config, &plan, &memory);
    let mut text = format!(
        "{} on {} with {}, {} images a step\n\n",
        config.model.name, config.data, config.recipe.name, plan.batch_size
    );
    text.push_str(&rows(&operations));
    text.push('\n');
    text.push_str(&totals(&plan, &memory, &needs));
    let notes = [needs.note(), note_of_biases(&config)].into_iter().flatten();
    text.extend(notes.map(|note| format!("note: {note}\n")));
    for warning in &plan.warnings {
        text.push_str(&format!("warning: {}: {}\n", warning.row, warning.message));
    }
    text.push('\n');
    text.push_str(&float_operations(&plan));
    output.finish(&text, &object(&config, &plan, &operations, (&memory, &needs)))?;
    Ok(ExitCode::SUCCESS)
}

fn of_run(dir: &RunDir) -> anyhow::Result<Config> {
    let path = dir.config();
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Usage(format!("{}: cannot read: {e}; name the folder of a run", path.display())))?;
    Ok(Config::from_toml(&text)?)
}

/// Bytes that the network needs as a whole, and what there is.
struct Needs {
    batch_size: usize,
    /// Of the optimizer, all its tensors.
    optimizer: usize,
    training: usize,
    /// For a batch at once, and for one image.
    inference: [usize; 2],
    machine: Option<usize>,
}

impl Needs {
    fn of(config: &Config, plan: &Plan, memory: &Memory) -> Self {
        let n_tensors = config.settings.hyper().n_tensors();
        Self {
            batch_size: plan.batch_size,
            optimizer: n_tensors * memory.momentum,
            training: memory.training(n_tensors),
            inference: [plan.batch_size, 1].map(|images| memory.inference(images)),
            machine: memory::machine_bytes(),
        }
    }

    /// What to do where a step does not fit this machine.
    fn note(&self) -> Option<String> {
        let machine = self.machine.filter(|machine| self.training > *machine)?;
        let [training, machine] = [self.training, machine].map(size);
        Some(format!(
            "a training step needs {training} at least and this machine has {machine} of memory; {}",
            self.remedy()
        ))
    }

    fn remedy(&self) -> String {
        let less =
            if self.batch_size > 1 { "fewer images a step (--batch-size N)" } else { "smaller images" };
        format!("take {less} or a narrower network")
    }
}

/// Refuses a run whose training step needs more memory than there is, before any of it is taken.
///
/// # Errors
/// What it needs, what there is, and the remedy; and as [`Plan::build`].
pub(crate) fn check_memory(config: &Config) -> anyhow::Result<()> {
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), config.settings.batch_size)?;
    let needs = Needs::of(config, &plan, &plan.memory());
    match memory::available_bytes().filter(|available| needs.training > *available) {
        None => Ok(()),
        Some(available) => Err(Usage(format!(
            "model '{}': a training step needs {} of memory at least, and {} are free; {}",
            config.model.name,
            size(needs.training),
            size(available),
            needs.remedy()
        ))
        .into()),
    }
}

/// The layers whose biases the recipe leaves out.
pub(super) fn biases_left_out(config: &Config) -> Vec<&str> {
    let has_bias = |kind: &LayerKind| match kind {
        LayerKind::Conv { bias, .. }
        | LayerKind::GroupedConv { bias, .. }
        | LayerKind::Linear { bias, .. } => *bias,
        _ => false,
    };
    if config.recipe.bias != Bias::None {
        return vec![];
    }
    let layers = config.model.layers.iter().filter(|layer| has_bias(&layer.kind));
    layers.map(|layer| layer.name.as_str()).collect()
}

fn note_of_biases(config: &Config) -> Option<String> {
    let layers = biases_left_out(config);
    (!layers.is_empty()).then(|| {
        format!(
            "the recipe has no biases (bias = \"none\"), so those of the network are left out: {}",
            layers.join(", ")
        )
    })
}

const fn arithmetic(operation: &Operation) -> &'static str {
    if operation.float { "float" } else { "integer" }
}

fn rows(operations: &[Operation]) -> String {
    let row = |o: &Operation| {
        let bound = o.sum.map(|sum| sum.bound.to_string()).unwrap_or_default();
        let bits = o.sum.map(|sum| sum.width_bits().to_string()).unwrap_or_default();
        [
            o.layer.clone(),
            o.name.to_owned(),
            o.format.clone(),
            arithmetic(o).to_owned(),
            bound,
            bits,
            size(o.bytes),
        ]
    };
    let rows: Vec<_> = operations.iter().map(row).collect();
    table(["layer", "operation", "format", "arithmetic", "sum at most", "bits", "memory"], &rows)
}

fn totals(plan: &Plan, memory: &Memory, needs: &Needs) -> String {
    let ([batch, image], n) = (needs.inference.map(size), grouped(plan.batch_size as u64));
    let mut lines = vec![
        ("arithmetic", arithmetics(plan)),
        ("parameters", grouped(plan.n_parameters() as u64)),
        ("weights", size(memory.parameters())),
        ("optimizer", size(needs.optimizer)),
        ("activations", size(memory.activations)),
        ("errors", size(memory.errors)),
        ("gradients", size(memory.gradients)),
        ("training", format!("{} at least: these together, {n} images a step", size(needs.training))),
        (
            "inference",
            format!("{image} for one image, {batch} for {n}, if each result goes behind its last reader"),
        ),
    ];
    lines.retain(|(_, text)| !text.is_empty());
    facts(&lines)
}

/// What products compute in; where layers differ, the wider ones are named.
fn arithmetics(plan: &Plan) -> String {
    let name = |arithmetic: Arithmetic| match arithmetic {
        Arithmetic::Int8 => "8-bit integers, sums of products in 32 bits",
        Arithmetic::Int16 => "16-bit integers, sums of products in 64 bits",
        Arithmetic::Float32 => "float32",
    };
    let products = || plan.blocks.iter().filter(|block| !block.product.kind.is_norm());
    let wider: Vec<&str> = products()
        .filter(|block| block.arithmetic == plan.arithmetic)
        .map(|block| block.name.as_str())
        .collect();
    match products().find(|block| block.arithmetic != plan.arithmetic) {
        None => name(plan.arithmetic).to_owned(),
        Some(other) => {
            format!("{}; {} in {}", name(other.arithmetic), name(plan.arithmetic), wider.join(", "))
        }
    }
}

fn float_operations(plan: &Plan) -> String {
    let float = plan.float_operations();
    if float.is_empty() {
        return "no float operation from the input's quantizer to the stored weight: the same bits on every machine".to_owned();
    }
    let list = |all: &mut dyn Iterator<Item = &Operation>| {
        all.map(|o| format!("{} of {}", o.name, o.layer)).collect::<Vec<_>>().join(", ")
    };
    let operations = plan.operations();
    let integer = list(&mut operations.iter().filter(|o| !o.float));
    let names = match (plan.arithmetic, integer.is_empty()) {
        (Arithmetic::Float32, true) => "every operation".to_owned(),
        (Arithmetic::Float32, false) => format!("every operation but {integer}"),
        _ => list(&mut float.iter()),
    };
    format!(
        "in float: {names}; in an order that depends on shapes alone: the same bits for any number of threads, with every \
         kernel and on every machine"
    )
}

/// A bound as a number: beyond 64 bits as the nearest float64.
#[allow(clippy::cast_precision_loss, reason = "the number of bits, which is exact, stands beside it")]
fn number(bound: u128) -> serde_json::Value {
    u64::try_from(bound).map_or_else(|_| json!(bound as f64), |bound| json!(bound))
}

fn object(
    config: &Config,
    plan: &Plan,
    operations: &[Operation],
    (memory, needs): (&Memory, &Needs),
) -> serde_json::Value {
    let operation = |o: &Operation| {
        json!({
            "layer": o.layer, "operation": o.name, "format": o.format, "arithmetic": arithmetic(o),
            "same_on": match o.promise {
                Promise::Exact => "exact",
                Promise::FixedOrder => "fixed order",
            },
            "sum_bound": o.sum.map(|sum| number(sum.bound)), "sum_bits": o.sum.map(|sum| sum.width_bits()),
            "bytes": o.bytes,
        })
    };
    json!({
        "model": config.model.name, "data": config.data, "recipe": config.recipe.name,
        "batch_size": plan.batch_size, "arithmetic": match plan.arithmetic {
            Arithmetic::Int8 => "int8",
            Arithmetic::Int16 => "int16",
            Arithmetic::Float32 => "float32",
        },
        "parameters": plan.n_parameters(),
        "memory_bytes": {
            "weights": memory.parameters(), "optimizer": needs.optimizer, "activations": memory.activations,
            "errors": memory.errors, "gradients": memory.gradients, "training": needs.training,
            "inference": needs.inference[0], "inference_of_one_image": needs.inference[1], "machine": needs.machine,
        },
        "operations": operations.iter().map(operation).collect::<Vec<_>>(),
        "float_operations": plan.float_operations().iter().map(|o| json!({"layer": o.layer, "operation": o.name})).collect::<Vec<_>>(),
        "warnings": plan.warnings.iter().map(|w| format!("{}: {}", w.row, w.message)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_does_not_fit_the_machine_is_noted() {
        let needs = |batch_size, training, machine| {
            Needs { batch_size, optimizer: 0, training, inference: [1, 1], machine }.note()
        };
        assert_eq!(needs(64, 1 << 30, None), None);
        assert_eq!(needs(64, 1 << 30, Some(1 << 30)), None);
        let note = needs(64, 3 << 30, Some(1 << 30)).unwrap();
        assert!(
            note.contains("needs 3.0 GiB at least")
                && note.contains("has 1.0 GiB")
                && note.contains("--batch-size"),
            "{note}"
        );
        let note = needs(1, 3 << 30, Some(1 << 30)).unwrap();
        assert!(note.contains("take smaller images or a narrower network"), "{note}");
    }
}
