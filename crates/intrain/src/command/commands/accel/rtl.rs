//! `intrain accel rtl`: the array as SystemVerilog, with vectors for products, and its comparison with the simulator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::accel::cosim::{Cosim, verilator_version};
use crate::accel::vectors::{self, Job};
use crate::accel::{ArrayMachine, Format, Machine, Memory, Product, rtl};
use crate::data::TrainBatches;
use crate::nn::{Network, Parameters, StepKey};
use crate::num::random::{Purpose, Stream};
use serde_json::json;

use super::answer::answer;
use super::{PACKAGE_BEGINS, fitted, flags, inputs, machine};
use crate::command::args::RtlArgs;
use crate::command::failure::Usage;
use crate::command::output::{Group, OutFolder, Output, facts, grouped, say};
use crate::command::settings::{context, resolve_with_data};

pub(super) fn run(args: &RtlArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let machine = machine(&args.machine)?;
    let default = PathBuf::from(format!("runs/array{}", machine.n));
    let folder = args.train.out.clone().unwrap_or(default);
    let read = inputs(&args.machine, Some(&args.train));
    let out = OutFolder::check(&folder, vec![outputs(&machine)?], &read)?;
    let (machine, jobs) = match answer(&machine, &args.answer, &args.train, true)? {
        Some(answered) => (answered.machine, answered.array.jobs()),
        None if args.step => of_step(&machine, args).map(|jobs| (machine, jobs))?,
        None => of_products(&machine, args).map(|jobs| (machine, jobs))?,
    };
    let memory = Memory::of(&machine);
    let mut lines = vec![("hardware", folder.display().to_string()), ("top", format!("{}.sv", rtl::TOP))];
    let (mut cycles, mut values) = (0, 0);
    if args.check {
        verilator_version()?;
    }
    out.make()?;
    if args.check {
        say("compiling with Verilator; minutes for large arrays");
        let outcomes = Cosim::build(&machine, &folder)?.compare(&jobs, &memory)?;
        for (job, outcome) in jobs.iter().zip(&outcomes) {
            let Product { l, k, m, .. } = job.product;
            say(&format!(
                "{l} x {k} x {m}: {} values and {} cycles ({} of the array) equal the simulator's",
                grouped(outcome.c.len() as u64),
                grouped(outcome.cycles.total),
                grouped(outcome.cycles.array),
            ));
        }
        cycles = outcomes.iter().map(|outcome| outcome.cycles.total).sum::<u64>();
        values = outcomes.iter().map(|outcome| outcome.c.len() as u64).sum::<u64>();
        lines.push(("equal", format!("{} values, {} cycles", grouped(values), grouped(cycles))));
    } else {
        rtl::generate(&machine, &folder)?;
        write_vectors(&machine, &jobs, &memory, &folder)?;
    }
    lines.push(("vectors", format!("{} of {} products", folder.join("vectors").display(), jobs.len())));
    let object = json!({
        "n": machine.n, "folder": folder.display().to_string(), "products": jobs.len(), "checked": args.check,
        "values": values, "cycles": cycles,
    });
    output.finish(&facts(&lines), &object)?;
    Ok(ExitCode::SUCCESS)
}

/// All that is written: the hardware, vectors, and what Verilator makes of them.
fn outputs(machine: &Machine) -> anyhow::Result<Group> {
    let files = rtl::files(machine)?.into_iter().map(|(name, _)| name);
    let others = files.filter(|name| *name != rtl::PACKAGE).chain(["vectors/", "obj/", "large.vlt"]);
    Ok(Group::new(rtl::PACKAGE, PACKAGE_BEGINS, others.map(str::to_owned)))
}

fn write_vectors(machine: &Machine, jobs: &[Job], memory: &Memory, folder: &Path) -> anyhow::Result<()> {
    let vectors = folder.join("vectors");
    std::fs::create_dir_all(&vectors)
        .map_err(|e| Usage(format!("{}: cannot create: {e}; choose another --out", vectors.display())))?;
    Ok(vectors::write(machine, jobs, memory, &vectors)?)
}

/// Words of an operand; more belong into no file of text.
pub(super) const WORDS_MAX: usize = 1 << 24;

/// `LxKxM[:FORMAT]`.
fn product(machine: &Machine, text: &str) -> anyhow::Result<Product> {
    let wrong = |reason: String| Usage(format!("--product {text}: {reason}"));
    let (shape, format) = text.split_once(':').unwrap_or((text, "0"));
    let edges: Vec<usize> = shape.split('x').map_while(|edge| edge.parse().ok()).collect();
    let [l, k, m] = edges[..] else {
        return Err(wrong("write L x K x M without spaces, for example 100x55x30".to_owned()).into());
    };
    let format = match (format, format.parse()) {
        ("exact", _) => Format::Exact,
        (_, Ok(index)) => Format::Rounded(index),
        _ => return Err(wrong(format!("'{format}' is no format; write a number or exact")).into()),
    };
    let product = Product { l, k, m, format };
    product.check(machine).map_err(|error| wrong(error.to_string()))?;
    if l.saturating_mul(k).max(k.saturating_mul(m)) > WORDS_MAX {
        return Err(
            wrong(format!("an operand has more than {WORDS_MAX} words; name a smaller product")).into()
        );
    }
    Ok(product)
}

/// Products of any words; without any named, a tile and an edge of one.
fn of_products(machine: &Machine, args: &RtlArgs) -> anyhow::Result<Vec<Job>> {
    let n = machine.n;
    let default = [format!("{n}x{}x{n}", 2 * n), format!("{}x{}x{n}", n + 1, 2 * n + 1)];
    let texts = if args.product.is_empty() { &default[..] } else { &args.product };
    let products: Vec<Product> = texts.iter().map(|text| product(machine, text)).collect::<Result<_, _>>()?;
    let seed = args.train.seed.unwrap_or(1);
    let job = |(step, product): (u64, Product)| {
        let Product { l, k, m, .. } = product;
        let stream = |layer| Stream::new(seed, Purpose::Tool, layer, step);
        let words = |layer, len: usize| {
            let stream = stream(layer);
            (0..len as u64).map(|i| stream.word(i).cast_signed() >> (32 - machine.word)).collect()
        };
        let seeds = machine.columns().seeds(stream(2)).collect();
        Job { product, a: words(0, l * k), b: words(1, k * m), seeds }
    };
    Ok((0..).zip(products).map(job).collect())
}

/// The products of a network's first training step.
fn of_step(machine: &Machine, args: &RtlArgs) -> anyhow::Result<Vec<Job>> {
    let flags = flags(&args.train)?;
    let (mut config, dataset) = resolve_with_data(&flags)?;
    let plan = fitted(machine, &mut config)?;
    let array = Arc::new(ArrayMachine::recording(machine)?);
    let mut context = context(flags.threads, flags.kernel.as_deref())?;
    context.machine = Some(Arc::clone(&array) as Arc<dyn crate::nn::Machine>);
    let settings = &config.settings;
    let parameters = Parameters::initial(&plan, settings.seed);
    let mut batches = TrainBatches::new(dataset, settings.batch_size, settings.seed, settings.augment())?;
    batches = batches.ending_with(settings.last_batch());
    let batch = batches.batch(batches.position_of_step(0));
    let key = StepKey { seed: settings.seed, step: 0 };
    let mut network = Network::new(plan, context);
    network.load(&parameters, Some(key));
    network.forward(&batch.images, Some(key));
    network.backward(&batch.labels, key);
    Ok(array.jobs())
}
