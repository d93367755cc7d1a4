//! `intrain accel`: the systolic array as values and cycles (`sim`), as hardware (`rtl`), as area (`report`),
//! and many machines beside each other (`sweep`).

mod answer;
mod report;
mod rtl;
mod sim;
mod sweep;

use std::path::Path;
use std::process::ExitCode;

use crate::accel::{Machine, Rounding};
use crate::nn::Plan;
use crate::num::RandomSource;
use crate::sweep::array::check_machine;
use crate::train::config::Config;

use crate::command::args::{AccelArgs, AccelCommand, MachineArgs, TrainArgs};
use crate::command::failure::Usage;
use crate::command::output::{Group, Output};

pub(crate) fn run(args: &AccelArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.command {
        AccelCommand::Sim(args) => sim::run(args, output),
        AccelCommand::Report(args) => report::run(args, output),
        AccelCommand::Rtl(args) => rtl::run(args, output),
        AccelCommand::Sweep(args) => sweep::run(args, output),
    }
}

/// The machine that the flags mean, checked.
fn machine(args: &MachineArgs) -> anyhow::Result<Machine> {
    let mut machine = match &args.machine {
        Some(path) => {
            let name = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|e| Usage(format!("{name}: cannot read: {e}; name a machine's TOML file")))?;
            let table: toml::Table = text.parse().map_err(|e| Usage(format!("{name}: {e}")))?;
            check_machine("the machine", &table).map_err(|e| Usage(format!("{name}: {e}")))?;
            toml::from_str(&text).map_err(|e| Usage(format!("{name}: {e}")))?
        }
        None => Machine::default(),
    };
    machine.n = args.n.unwrap_or(machine.n);
    machine.check().map_err(|error| Usage(format!("the machine: {error}")))?;
    Ok(machine)
}

/// The hardware in a folder of its own, whose name ends in `/`.
fn hardware(folder: &str) -> Group {
    Group::new(format!("{folder}{}", crate::accel::rtl::PACKAGE), PACKAGE_BEGINS, [folder.to_owned()])
}

/// How the package of numbers begins, whatever the machine.
const PACKAGE_BEGINS: &str = "// The numbers of one accelerator.\n";

/// The files that such a command reads.
fn inputs<'a>(machine: &'a MachineArgs, train: Option<&'a TrainArgs>) -> Vec<&'a Path> {
    let config = train.and_then(|train| train.config.as_deref());
    machine.machine.as_deref().into_iter().chain(config).collect()
}

/// The flags of `train`, with the recipe of the array where none is named.
fn flags(args: &TrainArgs) -> anyhow::Result<TrainArgs> {
    let mut flags = args.clone();
    if flags.resume.is_some() {
        return Err(Usage("--resume: a run on the array begins anew; leave it out".to_owned()).into());
    }
    let names_recipe = flags.set.iter().any(|set| set.starts_with("recipe="));
    if flags.recipe.is_none() && flags.config.is_none() && !names_recipe {
        flags.recipe = Some("gupta:array".to_owned());
    }
    Ok(flags)
}

/// The configuration with the machine's own random source, and its plan.
fn fitted(machine: &Machine, config: &mut Config) -> anyhow::Result<Plan> {
    let recipe = &config.recipe;
    let rows = [&recipe.activation_at_product, &recipe.error_at_product];
    let is_stochastic = rows.iter().any(|slot| slot.base.round.is_stochastic());
    if is_stochastic && machine.rounding == Rounding::Stochastic {
        config.recipe.random = RandomSource::Columns(machine.columns());
    }
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), config.settings.batch_size)?;
    crate::accel::check(machine, &plan).map_err(|error| Usage(format!("{}: {error}", config.recipe.name)))?;
    Ok(plan)
}
