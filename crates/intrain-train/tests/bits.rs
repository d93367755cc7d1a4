//! The bits of three training steps and an evaluation, for pairs of a recipe and a small network.
//!
//! The papers' networks, narrowed, meet the presets by their names alone; the networks of `bits/models`, each with corners
//! of its own, meet every recipe. A pair that cannot be planned has no line.
//!
//! `bits/table.csv` holds them, as the engines had them when it was written; whoever rewrites an engine changes no line.
//! Where the table differs, the whole table as it is now is written beside the other files of the build, and the failure
//! says where: a line that is meant to change is taken from there. Learning rates, momentum and weight decay are the
//! settings that a run of that recipe on that network has by itself; images and labels are noise from a seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use intrain_data::{Batch, ImageShape};
use intrain_kernels::Isa;
use intrain_model::{LayerKind, Model, ModelFile, Shape};
use intrain_nn::{Context, Outcome, Plan, Stored};
use intrain_num::random::{Purpose, Stream};
use intrain_recipe::Recipe;
use intrain_train::{Config, Trainer};
use sha2::{Digest, Sha256};

const TABLE: &str = include_str!("bits/table.csv");
const HEADER: &str = "recipe,network,weights,loss,wrong";
const BATCH_SIZE: usize = 6;
const N_STEPS: u64 = 3;

/// Presets with parameters, besides each preset by its name alone.
const SPECS: [&str; 24] = [
    "wage:3-6-8-4",
    "wage:8-8-16-16",
    "wage:2-8-12-12",
    "gupta:nearest",
    "gupta:Q4.12",
    "gupta:Q4.16:stochastic",
    "gupta:Q2.14:Q8.8:Q2.14:array",
    "gupta:Q2.6:Q4.4:Q1.7:stochastic",
    "gupta:Q1.7:Q3.5:Q2.6:nearest",
    "li-r:0.25",
    "li-sr:all",
    "li-sr:0.5:all",
    "li-bc:0.125:all",
    "li-ef:all",
    "hwgq:1",
    "hwgq:2n",
    "hwgq:3:log-tailed",
    "hwgq:7:vanilla",
    "hwgq:15",
    "hwgq:sign",
    "hwgq:float",
    "li-bc:all",
    "wage:2-2-3-2",
    "li-r:all",
];

/// A pair's line in the table, without the pair.
type Bits = String;
/// Recipe and network.
type Pair = (String, String);

/// A recipe as the key `recipe` of a run says it, and assignments as those of the command line.
struct Named {
    name: String,
    recipe: toml::Value,
    sets: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bits")
}

fn recipes() -> Vec<Named> {
    let presets = intrain_recipe::PRESETS.iter().map(|preset| preset.name).chain(SPECS);
    let plain = |name: &str| Named { name: name.to_owned(), recipe: name.into(), sets: vec![] };
    let mut all: Vec<Named> = presets.map(plain).collect();
    let text = std::fs::read_to_string(folder().join("recipes.toml")).unwrap();
    for (name, changes) in text.parse::<toml::Table>().unwrap() {
        all.push(changed(name, changes.try_into().unwrap()));
    }
    all
}

/// A preset of which some keys, rows and exceptions are others.
fn changed(name: String, mut changes: toml::Table) -> Named {
    let base = changes.remove("base").unwrap();
    let recipe = intrain_recipe::preset(base.as_str().unwrap()).unwrap();
    let mut table: toml::Table = recipe.to_toml().parse().unwrap();
    let sets = changes.remove("set").map_or_else(Vec::new, |sets| sets.try_into().unwrap());
    for (key, value) in changes {
        match (value, table.get_mut(&key)) {
            (toml::Value::Table(rows), Some(toml::Value::Table(old))) => old.extend(rows),
            (toml::Value::Array(more), Some(toml::Value::Array(old))) => old.extend(more),
            (value, _) => _ = table.insert(key, value),
        }
    }
    Recipe::from_toml(&table.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
    Named { name, recipe: table.into(), sets }
}

fn networks() -> Vec<Model> {
    let preset = |preset: &intrain_model::Preset| small(intrain_model::preset(preset.name).unwrap());
    let mut all: Vec<Model> = intrain_model::PRESETS.iter().map(preset).collect();
    let files = std::fs::read_dir(folder().join("models")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        all.push(Model::from_toml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
    all
}

/// A paper's network with fewer channels and smaller images, under its own name, which the settings follow.
fn small(mut model: Model) -> Model {
    let narrow = |out: usize| (out / 4).clamp(4, 80);
    let n_layers = model.layers.len();
    for layer in &mut model.layers[..n_layers - 1] {
        if let LayerKind::Conv { out, .. } | LayerKind::Linear { out, .. } | LayerKind::Shortcut { out, .. } =
            &mut layer.kind
        {
            *out = narrow(*out);
        }
        if let LayerKind::GroupedConv { out, groups, .. } = &mut layer.kind {
            (*out, *groups) = (narrow(*out), narrow(*groups));
        }
    }
    if let LayerKind::Linear { out, .. } = &mut model.layers[n_layers - 1].kind {
        *out = 10;
    }
    let Shape { h, w, .. } = &mut model.input.shape;
    let side = match *h {
        // Five strides of two, behind which a window of the last pool must still have its place.
        227 => 67,
        200.. => 64,
        // Each of three pools halves it.
        32 => 16,
        side => side,
    };
    // A spectrogram is as it is.
    (*h, *w) = (side, if side == 49 { *w } else { side });
    model.n_classes().unwrap_or_else(|error| panic!("{}: {error}", model.name));
    model
}

/// The run that `intrain train` would start, but for its data and the size of its batches.
fn config(recipe: &Named, model: &Model) -> Option<Config> {
    let Shape { h, w, c } = model.input.shape;
    let shape = ImageShape { height: h, width: w, channels: c };
    let mut keys = toml::Table::new();
    keys.insert("data".to_owned(), "noise".into());
    keys.insert("recipe".to_owned(), recipe.recipe.clone());
    // A narrowed network is trained as the paper's.
    let defaults = ModelFile::preset(&model.name).map_or_else(|_| toml::Table::new(), |file| file.defaults);
    let file = ModelFile { model: model.clone(), defaults };
    keys.insert("model".to_owned(), file.to_toml().parse::<toml::Table>().unwrap().into());
    Config::resolve(keys, &recipe.sets, shape, model.n_classes().unwrap()).ok()
}

/// Noise with some black and some white pixels, and classes.
fn batch(model: &Model, number: u64) -> Batch {
    let stream = Stream::new(0xb175, Purpose::Tool, 0, number);
    let pixel = |word: u32| match word >> 8 {
        gray if gray % 6 == 0 => 0,
        gray if gray % 6 == 1 => 255,
        _ => word.to_le_bytes()[0],
    };
    let len = (BATCH_SIZE * model.input.shape.len()) as u64;
    let images = (0..len).map(|i| pixel(stream.word(i))).collect();
    let n_classes = u32::try_from(model.n_classes().unwrap()).unwrap();
    let label = |i: u64| u16::try_from(stream.below(len + i, n_classes)).unwrap();
    Batch { images, labels: (0..BATCH_SIZE as u64).map(label).collect(), ..Batch::default() }
}

/// The bits of a pair; nothing where the pair cannot be planned.
fn bits(recipe: &Named, model: &Model, context: &Context) -> Option<Bits> {
    let config = config(recipe, model)?;
    let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), BATCH_SIZE).ok()?;
    let settings = &config.settings;
    let mut trainer = Trainer::new(plan, settings.hyper(), settings.seed, context.clone()).ok()?;
    for step in 0..N_STEPS {
        // Each step is an epoch, so that rates that fall from epoch to epoch do so here.
        trainer.step(&batch(model, step), settings.learning_rate_of_step(step, 1));
    }
    let Outcome { loss, n_wrong, .. } = trainer.evaluate(std::iter::once(batch(model, N_STEPS)));
    Some(format!("{},{:016x},{n_wrong}", digest(&trainer), loss.to_bits()))
}

/// A hash over everything that the steps have changed.
fn digest(trainer: &Trainer) -> String {
    let mut hash = Sha256::new();
    for parameters in trainer.parameters() {
        put(&mut hash, Some(&parameters.weight));
        put(&mut hash, parameters.bias.as_ref());
        put(&mut hash, parameters.moments.as_ref().map(|moments| &moments.mean));
        put(&mut hash, parameters.moments.as_ref().map(|moments| &moments.spread));
    }
    for (_, blocks) in trainer.optimizer().moments() {
        blocks.iter().flatten().for_each(|part| put(&mut hash, part.as_ref()));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A tensor's length and its values: stored integers in 64 bits, whichever type holds them.
fn put(hash: &mut Sha256, stored: Option<&Stored>) {
    let len = stored.map_or(u64::MAX, |stored| stored.len() as u64);
    hash.update(len.to_le_bytes());
    match stored {
        Some(Stored::F32(values)) => values.iter().for_each(|x| hash.update(x.to_bits().to_le_bytes())),
        Some(stored) => (0..stored.len()).for_each(|i| hash.update(stored.code(i).to_le_bytes())),
        None => {}
    }
}

/// The bits of every pair that can be planned; presets come first in both lists. Pairs are shared out among threads, each with a pool of two.
fn compute() -> BTreeMap<Pair, Bits> {
    let (recipes, networks) = (recipes(), networks());
    let n_pairs = recipes.len() * networks.len();
    let next = AtomicUsize::new(0);
    let work = || {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let context = Context { isa: Isa::best(), threads: Arc::new(threads), machine: None };
        let mut found = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n_pairs {
                return found;
            }
            let (r, m) = (i % recipes.len(), i / recipes.len());
            if r >= intrain_recipe::PRESETS.len() && m < intrain_model::PRESETS.len() {
                continue;
            }
            let (recipe, model) = (&recipes[r], &networks[m]);
            if let Some(bits) = bits(recipe, model, &context) {
                found.push(((recipe.name.clone(), model.name.clone()), bits));
            }
        }
    };
    let n_workers = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn read(table: &str) -> BTreeMap<Pair, Bits> {
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some(HEADER));
    let line = |line: &str| {
        let mut parts = line.splitn(3, ',').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_else(|| panic!("'{line}' is no line of the table"));
        ((part(), part()), part())
    };
    lines.map(line).collect()
}

fn write(table: &BTreeMap<Pair, Bits>) -> String {
    let lines = table.iter().map(|((recipe, network), bits)| format!("{recipe},{network},{bits}\n"));
    std::iter::once(format!("{HEADER}\n")).chain(lines).collect()
}

#[test]
fn every_pair_keeps_its_bits() {
    let (expected, found) = (read(TABLE), compute());
    if expected == found {
        return;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bits.csv");
    std::fs::write(&path, write(&found)).unwrap();
    // A pair that can be planned since the table was written has nothing to differ from.
    let differing: Vec<String> = expected
        .iter()
        .filter(|(pair, bits)| found.get(*pair) != Some(*bits))
        .map(|((recipe, network), bits)| {
            let now = found.get(&(recipe.clone(), network.clone())).map_or("no plan", String::as_str);
            format!("{recipe} on {network}: {bits} before, {now} now")
        })
        .collect();
    assert!(
        differing.is_empty(),
        "{} of {} lines differ, the first of them:\n{}\nThe whole table as it is now: {}",
        differing.len(),
        expected.len(),
        differing.iter().take(10).cloned().collect::<Vec<_>>().join("\n"),
        path.display()
    );
}

/// Each preset has its lines, and the table is not read as an empty one.
#[test]
fn every_preset_is_in_the_table() {
    let table = read(TABLE);
    assert!(table.len() > 300);
    for named in recipes() {
        assert!(table.keys().any(|(recipe, _)| *recipe == named.name), "the recipe {}", named.name);
    }
    for model in networks() {
        assert!(table.keys().any(|(_, network)| *network == model.name), "the network {}", model.name);
    }
}
