//! Which preset recipe trains which preset network: a table that a test keeps.
//!
//! Every pair is planned with the settings that a run of it has by itself. Networks of fewer than a million parameters take
//! one training step, on two images of noise. What a pair refuses stands below the table as the plan says it, once for all
//! pairs with the same words; names of layers are left out, since the same reason names another layer in each network.
//!
//! The committed table is `docs/results/pairs.md`. Where it differs, the table as it is now is written beside the other files
//! of the build, to be taken from there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use intrain_data::{Batch, ImageShape};
use intrain_kernels::Isa;
use intrain_model::{Model, Shape};
use intrain_nn::{Context, Plan};
use intrain_num::random::{Purpose, Stream};
use intrain_train::{Config, Trainer};
use toml::{Table, Value};

const TABLE: &str = include_str!("../../../docs/results/pairs.md");
const BATCH_SIZE: usize = 2;
/// Networks with fewer parameters take a step.
const STEP_PARAMETERS: usize = 1_000_000;

const HEAD: &str = "# Recipes and networks

Which preset recipe trains which preset network. `step`: a training step of two images was taken; `plans`: the network has a
million parameters or more, and was planned alone. A number: the pair is refused, for the reason below the table.

";

/// `step` or `plans`, or why not.
type Cell = Result<&'static str, String>;

fn cell(recipe: &str, model: &Model, context: &Context) -> Cell {
    let Shape { h, w, c } = model.input.shape;
    let shape = ImageShape { height: h, width: w, channels: c };
    let keys = [("data", "noise"), ("recipe", recipe), ("model", &model.name)];
    let keys: Table = keys.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect();
    let config = Config::resolve(keys, &[], shape, model.n_classes().unwrap()).map_err(|e| e.to_string())?;
    let plan =
        Plan::build(&config.model, &config.recipe.at_epoch(0), BATCH_SIZE).map_err(|e| e.to_string())?;
    let hyper = config.settings.hyper();
    if model.n_parameters().unwrap() >= STEP_PARAMETERS {
        return Ok("plans");
    }
    let mut trainer = Trainer::new(plan, hyper, 1, context.clone()).map_err(|e| e.to_string())?;
    let (outcome, _) = trainer.step(&batch(model), config.settings.learning_rate_of_step(0, 1));
    assert!(outcome.loss.is_finite(), "{recipe} on {}: the loss is {}", model.name, outcome.loss);
    assert_eq!(outcome.n, BATCH_SIZE);
    Ok("step")
}

fn batch(model: &Model) -> Batch {
    let stream = Stream::new(0x9a175, Purpose::Tool, 0, 0);
    let n = (BATCH_SIZE * model.input.shape.len()) as u64;
    let images = (0..n).map(|i| stream.word(i).to_le_bytes()[0]).collect();
    Batch { images, labels: vec![0, 1], ..Batch::default() }
}

/// A reason without the names of layers, which differ from network to network.
fn reason(model: &Model, text: &str) -> String {
    let names = model.layers.iter().map(|layer| format!("'{}'", layer.name));
    names.fold(text.to_owned(), |text, name| text.replace(&name, "'...'"))
}

/// The cells of all pairs, network by network; pairs are shared out among threads, each with a pool of its own.
fn compute(recipes: &[&str], models: &[Model]) -> Vec<Cell> {
    let n_pairs = recipes.len() * models.len();
    let next = AtomicUsize::new(0);
    let work = || {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let context = Context { isa: Isa::best(), threads: Arc::new(threads), machine: None };
        let mut found = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n_pairs {
                return found;
            }
            let model = &models[i / recipes.len()];
            let cell = cell(recipes[i % recipes.len()], model, &context);
            found.push((i, cell.map_err(|text| reason(model, &text))));
        }
    };
    let n_workers = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let mut cells: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    cells.sort_unstable_by_key(|(i, _)| *i);
    cells.into_iter().map(|(_, cell)| cell).collect()
}

/// The page: networks are rows, recipes are columns, reasons are notes in the order of their first pair.
fn page(recipes: &[&str], models: &[Model], cells: &[Cell]) -> String {
    let mut notes: Vec<&str> = Vec::new();
    let mut text =
        format!("{HEAD}| network | {} |\n|---|{}\n", recipes.join(" | "), "---|".repeat(recipes.len()));
    for (model, cells) in models.iter().zip(cells.chunks(recipes.len())) {
        text += &format!("| {} |", model.name);
        for cell in cells {
            let cell = match cell {
                Ok(cell) => (*cell).to_owned(),
                Err(reason) => {
                    let known = notes.iter().position(|note| note == reason);
                    let number = known.unwrap_or_else(|| {
                        notes.push(reason);
                        notes.len() - 1
                    });
                    format!("{}", number + 1)
                }
            };
            text += &format!(" {cell} |");
        }
        text.push('\n');
    }
    let notes = notes.iter().enumerate().map(|(i, note)| format!("{}. {note}\n", i + 1));
    text + "\n" + &notes.collect::<String>()
}

#[test]
fn every_pair_is_in_the_table() {
    let recipes: Vec<&str> = intrain_recipe::PRESETS.iter().map(|preset| preset.name).collect();
    let preset = |preset: &intrain_model::Preset| intrain_model::preset(preset.name).unwrap();
    let models: Vec<Model> = intrain_model::PRESETS.iter().map(preset).collect();
    let found = page(&recipes, &models, &compute(&recipes, &models));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pairs.md");
    std::fs::write(&path, &found).unwrap();
    let differing: Vec<String> = found
        .lines()
        .enumerate()
        .filter(|(i, line)| TABLE.lines().nth(*i) != Some(line))
        .map(|(i, line)| format!("line {}: {line}", i + 1))
        .collect();
    assert!(
        found == TABLE,
        "docs/results/pairs.md differs from what the presets do:\n{}\nThe whole table as it is now: {}",
        differing.join("\n"),
        path.display()
    );
}
