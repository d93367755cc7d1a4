//! The readers of texts: what is read is also written and read again, planned, or computed with, as the program would.

use std::str::FromStr;

use intrain::accel::Machine;
use intrain::array::Values;
use intrain::data::ImageShape;
use intrain::formats::Qtorch;
use intrain::formats::fixed::Fixed;
use intrain::formats::product::Accumulate;
use intrain::model::{self, Model, ModelFile};
use intrain::nn::Plan;
use intrain::num::block::{Coding, Extent};
use intrain::num::minifloat::{FloatFormat, FloatOverflow, FloatRound};
use intrain::num::random::{Purpose, Stream};
use intrain::num::{Format, Overflow, Quantizer, RandomSource, Round, Spread};
use intrain::recipe::{self, Recipe};
use intrain::sweep::array::{ArraySweep, read_areas};
use intrain::sweep::{HEADER, Sweep, read_rows};
use intrain::train::Config;

use crate::mutate::Kind;
use crate::session::Target;

/// What stands between the parts of an input that has several.
const BETWEEN: &str = "\n~~~\n";

const fn text(name: &'static str, seeds: fn() -> Vec<Vec<u8>>, run: fn(&[u8]) -> Option<usize>) -> Target {
    Target { name, kind: Kind::Text, seeds, seal: |bytes| bytes, run, limit: 0 }
}

/// Every reader of texts.
pub(crate) fn targets() -> Vec<Target> {
    vec![
        text("recipe", recipes, read_recipe),
        text("model", models, read_model),
        text("plan", plans, read_plan),
        text("config", configs, read_config),
        text("settings", settings, read_settings),
        text(
            "set",
            || {
                lines(&[
                    "epochs=3",
                    "schedule=[[4, 0.125]]",
                    "recipe.roles.activation='unit<6> nearest-even saturate clipped'",
                ])
            },
            read_set,
        ),
        text("sweep", sweeps, read_sweep),
        text("array-sweep", array_sweeps, read_array_sweep),
        text("sweep-rows", rows, read_finished),
        text("machine", machines, read_machine),
        text("formats", formats, read_formats),
        text("quantizer", quantizers, read_quantizer),
        text(
            "quantize",
            || {
                lines(&[
                    "Q2.6 stochastic<32> saturate",
                    "unit<8>@shift nearest-even saturate",
                    "int<8> floor wrap",
                ])
            },
            read_quantize,
        ),
        text("recipe-preset", recipe_presets, |bytes| {
            recipe::preset(&utf8(bytes)?).ok().map(|recipe| recipe.to_toml().len())
        }),
        text("model-preset", model_presets, |bytes| {
            let model = model::preset(&utf8(bytes)?).ok()?;
            assert!(model.n_parameters().is_ok());
            Some(model.to_toml().len())
        }),
    ]
}

/// What a reader of texts is given: what is no UTF-8 is refused before it.
fn utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A recipe with every kind of key: exceptions by layer and by epoch, defaults.
fn recipes() -> Vec<Vec<u8>> {
    let presets = ["wage", "gupta:array", "li-sr", "hwgq", "intrain-int8", "float32"];
    let mut recipes: Vec<_> = presets.iter().map(|name| recipe::preset(name).unwrap().to_toml()).collect();
    recipes.push(include_str!("../../../../experiments/recipes/wage-i-exp.toml").to_owned());
    recipes.into_iter().map(String::into_bytes).collect()
}

fn read_recipe(bytes: &[u8]) -> Option<usize> {
    let recipe = Recipe::from_toml(&utf8(bytes)?).ok()?;
    let text = recipe.to_toml();
    let again = Recipe::from_toml(&text);
    assert_eq!(again.as_ref().ok().map(Recipe::to_toml).as_ref(), Some(&text), "{again:?}");
    drop(recipe.rows());
    drop(recipe::diff(&recipe, &recipe::preset("float32").unwrap()));
    drop(recipe.at_epoch(u32::MAX));
    Some(text.len())
}

fn models() -> Vec<Vec<u8>> {
    let presets = ["mlp", "lenet5", "mlp-norm", "resnet20:4"];
    let mut models: Vec<_> = presets.iter().map(|name| ModelFile::preset(name).unwrap().to_toml()).collect();
    models.push(include_str!("../../../../experiments/models/lenet5-exact.toml").to_owned());
    models.into_iter().map(String::into_bytes).collect()
}

fn read_model(bytes: &[u8]) -> Option<usize> {
    let file = ModelFile::from_toml(&utf8(bytes)?).ok()?;
    let text = file.to_toml();
    let again = ModelFile::from_toml(&text);
    assert_eq!(again.as_ref().ok().map(|again| &again.model), Some(&file.model), "{again:?}");
    assert!(file.model.shapes().is_ok());
    let _ = file.model.n_parameters();
    let _ = file.model.parameters_of_layers();
    Some(text.len())
}

/// Models with recipes that can be planned.
fn plans() -> Vec<Vec<u8>> {
    let pair = |(model, recipe): (&str, &str)| {
        let (model, recipe) = (model::preset(model).unwrap(), recipe::preset(recipe).unwrap());
        format!("{}{BETWEEN}{}", model.to_toml(), recipe.to_toml()).into_bytes()
    };
    let pairs = [
        ("lenet5", "wage"),
        ("mlp", "gupta"),
        ("mlp-norm", "intrain-int8"),
        ("mlp-norm", "float32"),
        ("resnet20:4", "hwgq"),
    ];
    pairs.map(pair).into()
}

fn read_plan(bytes: &[u8]) -> Option<usize> {
    let text = utf8(bytes)?;
    let (model, recipe) = text.split_once(BETWEEN)?;
    let (model, recipe) = (Model::from_toml(model).ok()?, Recipe::from_toml(recipe).ok()?);
    let plan = Plan::build(&model, &recipe, 64).ok()?;
    Some(plan.blocks.len() + text.len())
}

fn config_of(model: &str, recipe: &str, sets: &[&str]) -> Option<Config> {
    let keys = [("model", model), ("recipe", recipe), ("data", "digits")];
    let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::resolve(keys, &sets, ImageShape { height: 8, width: 8, channels: 1 }, 10).ok()
}

fn configs() -> Vec<Vec<u8>> {
    let of = |recipe| config_of("digits-cnn", recipe, &["schedule=[[4, 0.125]]"]).unwrap().to_toml().unwrap();
    ["wage", "gupta", "li-ef"].map(|recipe| of(recipe).into_bytes()).into()
}

fn read_config(bytes: &[u8]) -> Option<usize> {
    let config = Config::from_toml(&utf8(bytes)?).ok()?;
    let text = config.to_toml().unwrap();
    let again = Config::from_toml(&text);
    assert_eq!(again.as_ref().ok().and_then(|again| again.to_toml().ok()).as_ref(), Some(&text), "{again:?}");
    use_settings(&config);
    Some(text.len())
}

/// What a run asks its settings for.
fn use_settings(config: &Config) {
    let per_epoch = config.settings.steps_per_epoch(1437);
    for epoch in [0, 1, 1000] {
        let _ = config.settings.learning_rate_at(epoch);
        let _ = config.settings.learning_rate_of_step(u64::from(epoch), per_epoch);
    }
}

fn settings() -> Vec<Vec<u8>> {
    lines(&[
        "model = \"digits-cnn\"\nrecipe = \"wage\"\ndata = \"digits\"\nseed = 3\nepochs = 2\nbatch_size = 64\n",
        "model = \"mlp\"\nrecipe = \"gupta:Q2.14\"\ndata = \"digits\"\nlearning_rate = 0.1\nmomentum = 0.5\noptimizer = \
         \"sgd\"\ndecay = 0.95\nschedule = [[4, 0.1], [8, 0.01]]\npad = 2\nflip = true\npatience = 2\n",
    ])
}

fn read_settings(bytes: &[u8]) -> Option<usize> {
    let text = utf8(bytes)?;
    let keys: toml::Table = text.parse().ok()?;
    let side = if text.contains("digits-cnn") { 8 } else { 28 };
    let shape = ImageShape { height: side, width: side, channels: 1 };
    let config = Config::resolve(keys, &[], shape, 10).ok()?;
    use_settings(&config);
    Some(config.to_toml().unwrap().len())
}

fn read_set(bytes: &[u8]) -> Option<usize> {
    let config = config_of("digits-cnn", "wage", &[&utf8(bytes)?])?;
    use_settings(&config);
    Some(config.to_toml().unwrap().len())
}

fn sweeps() -> Vec<Vec<u8>> {
    lines(&[
        include_str!("../../../../experiments/sweeps/li-cifar.toml"),
        include_str!("../../../../experiments/sweeps/lenet5-softmax.toml"),
    ])
}

fn read_sweep(bytes: &[u8]) -> Option<usize> {
    let sweep = Sweep::parse(&utf8(bytes)?, "fuzzed").ok()?;
    Some(sweep.runs.iter().map(|run| run.keys(&sweep.settings).to_string().len() + run.folder().len()).sum())
}

fn array_sweeps() -> Vec<Vec<u8>> {
    let published = include_str!("../../../../experiments/sweeps/array-mnist.toml");
    let small = "n = [2]\nword = [8]\nrandom_bits = [0, 3]\nseeds = [1]\nmodel = \"mlp\"\ndata = \"mnist\"\n\
                 integer_bits = { parameters = 2, outputs = 6, errors = 2 }\n[machine]\npanel = 4\nlfsr = { bits = 16, taps = 0x2d }\n";
    lines(&[published, small])
}

fn read_array_sweep(bytes: &[u8]) -> Option<usize> {
    let sweep = ArraySweep::parse(&utf8(bytes)?).ok()?;
    let points = sweep.points();
    for point in &points {
        let recipe = sweep.recipe(*point);
        let _ = sweep.machine(*point, vec![0]).check();
        assert!(!recipe.to_toml().is_empty() && !point.folder().is_empty());
    }
    let runs = sweep.runs("fuzzed", "recipes".as_ref());
    // A point is a machine and a recipe, each of them a text.
    Some(sweep.kept().len() + 4096 * points.len() + 1024 * runs.runs.len())
}

fn rows() -> Vec<Vec<u8>> {
    let areas = "n,word,random_bits,lut,ff,dsp,bram18,carry,array_lut,array_ff,array_dsp,array_bram18,array_carry,\
                 rounding_lut,rounding_ff,rounding_dsp,rounding_bram18,rounding_carry\n\
                 8,16,4,1,2,3,4,5,1,2,3,4,5,1,2,3,4,5\n";
    let rows = format!("{HEADER}\n\"mnist\",\"\",\"gupta:Q2.14,\"\"x\"\"\",3,0.5,0.25,1e-3,ab12\n");
    lines(&[areas, &rows])
}

fn read_finished(bytes: &[u8]) -> Option<usize> {
    let text = utf8(bytes)?;
    if let Ok(rows) = read_rows(&text) {
        let lines: Vec<String> = rows.iter().map(|row| format!("{}\n", row.line())).collect();
        let again = read_rows(&format!("{HEADER}\n{}", lines.concat())).map(|rows| rows.len());
        assert_eq!(again.ok(), Some(rows.len()));
        return Some(200 * rows.len() + text.len());
    }
    read_areas(&text).ok().map(|areas| 200 * areas.len())
}

fn machines() -> Vec<Vec<u8>> {
    lines(&[
        "",
        "n = 8\nword = 16\naccumulator = 40\noverflow = \"saturate\"\npanel = 4\ndepth = 32\nrounding = \"stochastic\"\n\
         random_bits = 9\ndrop = [4, 8]\nround_unit = \"dsp\"\nmegahertz = 166.0\ngigabytes_per_second = 1.5\n\
         lfsr = { bits = 16, taps = 0x2d }\n",
    ])
}

fn read_machine(bytes: &[u8]) -> Option<usize> {
    let machine = Machine::from_toml(&utf8(bytes)?).ok()?;
    assert!(machine.check().is_ok() && machine.device_entry().is_ok());
    assert!(machine.dsp() > 0 && machine.peak_operations_per_second() > 0.0);
    let _ =
        (machine.bram36(), machine.a_slots(), machine.buffer_bytes(), machine.columns(), machine.out_bits());
    machine.drop.iter().for_each(|drop| _ = machine.draw_bits(*drop));
    Some(bytes.len())
}

fn formats() -> Vec<Vec<u8>> {
    lines(&[
        "Q2.14",
        "mxfp4@even:torchao@main/16x16",
        "nvfp4@4over6-mse-256-dec/16x16",
        "float<4,3,bias=11>fnuz",
        "Binary8p4se",
        "mx<e4m3,64>@rceil",
        "sr-c<8>",
        "qtorch<5,2>",
        "truncated<25,64,16>",
        "fixed<2,14>",
        "ap_fixed<16,2>",
        "int<8>",
        "unit<8>",
        "grid<0.1,10>",
        "levels<0.538,1.076,1.614>",
        "float32",
        "binary",
        "exact",
        "stochastic<32>",
        "nearest-even",
        "saturate",
        "clip<1>",
        "clip-before<64>",
        "array<28,4> lfsr<16,0x2d>",
    ])
}

/// Whether the text is one of that type; then it is written and read again to the same.
fn is_spelling<T: FromStr + ToString + PartialEq>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    let written = value.to_string();
    assert!(written.parse::<T>().is_ok_and(|again| again == value), "'{text}' is written as '{written}'");
    true
}

fn read_formats(bytes: &[u8]) -> Option<usize> {
    let text = utf8(bytes)?;
    let is_format = is_spelling::<Format>(&text);
    let is_any = [
        is_format,
        is_spelling::<Round>(&text),
        is_spelling::<Overflow>(&text),
        is_spelling::<Spread>(&text),
        is_spelling::<RandomSource>(&text),
        is_spelling::<Coding>(&text),
        is_spelling::<Extent>(&text),
        is_spelling::<FloatFormat>(&text),
        is_spelling::<FloatRound>(&text),
        is_spelling::<FloatOverflow>(&text),
        is_spelling::<Qtorch>(&text),
        is_spelling::<Accumulate>(&text),
    ];
    is_any.contains(&true).then_some(text.len())
}

fn quantizers() -> Vec<Vec<u8>> {
    lines(&[
        "fixed<2,14> stochastic<32> saturate",
        "unit<8>@shift nearest-even saturate",
        "unit<8> nearest-even clip-before<64>",
        "binary@filter nearest-away saturate",
        "grid<0.1,10> stochastic<32> saturate",
        "float32 clip<1>",
        "levels<0.538,1.076,1.614> clipped",
    ])
}

fn read_quantizer(bytes: &[u8]) -> Option<usize> {
    let text = utf8(bytes)?;
    is_spelling::<Quantizer>(&text).then_some(text.len())
}

/// The values that a quantizer of `intrain quantize` meets.
fn values() -> [Values; 2] {
    let floats =
        vec![0.0, -0.0, 1.0, -1.0, 0.3, 1e-40, -3.4e38, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1.7e308];
    [Values::F64(floats), Values::Integers(vec![0, 1, -1, i64::MAX, i64::MIN])]
}

fn read_quantize(bytes: &[u8]) -> Option<usize> {
    let text = utf8(bytes)?;
    let mut words = text.splitn(3, ' ');
    let (format, round, overflow) = (words.next()?, words.next()?, words.next()?);
    let fixed = Fixed::new(format, round, overflow).ok()?;
    for values in values() {
        // Infinities are refused by some scales.
        let mut codes = vec![0_i64; values.numbers().len()];
        let _ = fixed.measure(values.numbers(), Some(Stream::new(1, Purpose::Tool, 0, 0)), &mut codes);
    }
    Some(text.len())
}

fn recipe_presets() -> Vec<Vec<u8>> {
    lines(&[
        "wage:2-8-8-8",
        "gupta:Q2.14:Q8.8:nearest",
        "li-sr:0.1",
        "hwgq:3n:log-tailed",
        "intrain-int8",
        "gupta:array",
    ])
}

fn model_presets() -> Vec<Vec<u8>> {
    lines(&["mlp", "resnet20:4", "vgg9:16", "vgg7-norm:8", "digits-cnn", "lenet5"])
}
