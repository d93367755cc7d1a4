//! Networks of PyTorch: they answer here what they answered there, in floats and nearly so in integers. `export.py` made the files.

use std::path::PathBuf;
use std::sync::Arc;

use intrain::data::{Dataset, ImageShape, Images};
use intrain::import::{self, Imported, Options, Scaling};
use intrain::model::{LayerKind, Model, ModelFile, Pixels};
use intrain::nn::{Logits, Network};
use intrain::train::saved::{OfRun, write_model};
use intrain::train::{Config, Session, statistics, this_machine};
use intrain::{imported, recipe};
use toml::{Table, Value};

const NAMES: [&str; 4] = ["lenet", "resnet", "mobilenet", "inception"];
const IMAGES: usize = 16;

fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/import/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn floats(name: &str) -> Vec<f32> {
    file(name).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn options(scaling: Scaling) -> Options {
    Options { name: "imported".to_owned(), source: "PyTorch".to_owned(), scaling }
}

fn read(name: &str, scaling: Scaling) -> Result<Imported, String> {
    import::read(&file(&format!("{name}.onnx")), &options(scaling)).map_err(|error| error.to_string())
}

fn plain(name: &str) -> Imported {
    read(name, Scaling::Pixels(Pixels::Unit255)).unwrap()
}

/// What an imported network answers in floats.
fn answers(imported: &Imported, images: &[u8]) -> Vec<f32> {
    let floats = recipe::preset("float32").unwrap();
    let (plan, parameters) = imported::parameters(imported, &floats).unwrap();
    let mut network = Network::new(plan, this_machine(1).unwrap());
    network.load(&parameters, None);
    network.forward(images, None);
    let Logits::Floats(logits) = network.logits() else { panic!("not floats") };
    logits
}

/// The largest difference, as a share of the largest logit.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    found.iter().zip(expected).fold(0.0, |max: f32, (a, b)| max.max((a - b).abs())) / largest
}

#[test]
fn networks_answer_what_they_answer_in_pytorch() {
    for name in NAMES {
        let expected = floats(&format!("{name}.logits"));
        assert_eq!(expected.len(), IMAGES * 10);
        let difference = difference(&answers(&plain(name), &file(&format!("{name}.images"))), &expected);
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
fn a_mean_goes_into_a_convolution_without_padding_alone() {
    let normalized = |mean: f64, std: f64| Scaling::Normalized { mean: vec![mean], std: vec![std] };
    let lenet = read("lenet", normalized(0.4, 0.3)).unwrap();
    let difference = difference(&answers(&lenet, &file("lenet.images")), &floats("lenet.normalized"));
    assert!(difference < 1e-4, "{difference}");
    let message = read("resnet", normalized(0.4, 0.3)).unwrap_err();
    assert!(
        message.starts_with("node 0, Conv ") && message.contains("other numbers at the borders"),
        "{message}"
    );
    // Where the zero of training is a pixel's, padding does not matter.
    let resnet = read("resnet", normalized(0.5, 0.25)).unwrap();
    assert_eq!(resnet.model.input.pixels, Pixels::Symmetric);
    let weights = |imported: &Imported| imported.weights[0].weight.clone();
    let doubled: Vec<f32> = weights(&plain("resnet")).iter().map(|weight| 2.0 * weight).collect();
    assert_eq!(weights(&resnet), doubled);
}

#[test]
fn layers_are_those_of_the_network() {
    let kinds = |name: &str, is: fn(&LayerKind) -> bool| {
        plain(name).model.layers.iter().filter(|layer| is(&layer.kind)).count()
    };
    assert_eq!(kinds("mobilenet", |kind| matches!(kind, LayerKind::GroupedConv { .. })), 2);
    assert_eq!(kinds("mobilenet", |kind| *kind == LayerKind::Relu6), 5);
    assert_eq!(kinds("resnet", |kind| *kind == LayerKind::Add), 6);
    assert_eq!(kinds("inception", |kind| matches!(kind, LayerKind::Linear { bias: true, .. })), 2);
    for name in NAMES {
        let model = plain(name).model;
        assert_eq!(Model::from_toml(&model.to_toml()), Ok(model), "{name}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_its_name_and_place() {
    let with = |name: &str, from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = file(&format!("{name}.onnx"));
        // The whole text of a field, which its length stands in front of.
        let field = [&[u8::try_from(from.len()).unwrap()], from.as_bytes()].concat();
        let places: Vec<usize> =
            (1..bytes.len() - from.len()).filter(|at| bytes[at - 1..at + from.len()] == field).collect();
        assert!(!places.is_empty(), "{name} has no {from}");
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        import::read(&bytes, &options(Scaling::Pixels(Pixels::Unit255))).unwrap_err().to_string()
    };
    for (name, from, to, parts) in [
        ("lenet", "Relu", "Selu", ["node 1, Selu", "those that are: Conv"]),
        ("lenet", "MaxPool", "LpPools", ["node 2, LpPools", "not read"]),
        ("inception", "Softmax", "Sofbmax", ["Sofbmax", "not read"]),
        ("resnet", "GlobalAveragePool", "GlobalAveragePoor", ["GlobalAveragePoor", "not read"]),
        ("mobilenet", "group", "grouq", ["Conv", "8 channels enter it"]),
    ] {
        let message = with(name, from, to);
        assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
    }
    let message = import::read(b"no protocol buffers", &options(Scaling::Pixels(Pixels::Unit255)))
        .unwrap_err()
        .to_string();
    assert!(message.contains("this is no ONNX file"), "{message}");
}

/// The images of a fixture, to calibrate on and to test on.
fn dataset(name: &str, model: &Model) -> Dataset {
    let shape = model.input.shape;
    let images = |bytes: &[u8]| {
        let n = bytes.len() / shape.len();
        Images::new([n, shape.h, shape.w, shape.c], bytes.to_vec(), vec![0; n]).unwrap()
    };
    let bytes = file(&format!("{name}.images"));
    let (train, test) = (images(&bytes), images(&bytes));
    Dataset::from_images("noise", 10, train, Some(test)).unwrap()
}

/// A session of a recipe of integers, from the imported weights, before its first step.
fn quantized(name: &str, spec: &str, sets: &[(&str, Value)]) -> Session {
    let imported = plain(name);
    let (model, floats) = (&imported.model, recipe::preset("float32").unwrap());
    let (plan, parameters) = imported::parameters(&imported, &floats).unwrap();
    let dataset = dataset(name, model);
    let keys = |spec: &str| {
        let table: Table =
            ModelFile { model: model.clone(), defaults: Table::new() }.to_toml().parse().unwrap();
        Table::from_iter([
            ("model".to_owned(), Value::from(table)),
            ("recipe".to_owned(), spec.into()),
            ("data".to_owned(), "noise".into()),
            ("batch_size".to_owned(), 8.into()),
        ])
    };
    let shape =
        ImageShape { height: model.input.shape.h, width: model.input.shape.w, channels: model.input.shape.c };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = Config::resolve(keys("float32"), &[], shape, 10).unwrap();
    write_model(&path, OfRun { config: &config, classes: &[], encoder: None }, 0, &plan, &parameters)
        .unwrap();
    let mut keys = keys(spec);
    keys.insert("init".to_owned(), path.display().to_string().into());
    keys.extend(sets.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let config = Config::resolve(keys, &[], shape, 10).unwrap();
    Session::new(config, Arc::new(dataset), this_machine(1).unwrap()).unwrap()
}

/// What the float network answers to the images with the statistics that its norms find in the batches of the session.
fn expected(name: &str, session: &Session) -> Vec<f64> {
    let (plan, parameters) = imported::parameters(&plain(name), &recipe::preset("float32").unwrap()).unwrap();
    let mut network = Network::new(plan, this_machine(1).unwrap());
    let batches = session.config().batches(dataset(name, &session.config().model).into()).unwrap();
    let batches = statistics::first_batches(batches, session.config().settings.calibrate);
    let parameters = statistics::estimate(&mut network, &parameters, batches);
    network.load(&parameters, None);
    network.forward(&file(&format!("{name}.images")), None);
    network.logits().to_f64()
}

/// Root of the mean squared difference from what it answers in floats, as a share of the logits' deviation.
fn noise(name: &str, session: &mut Session) -> f64 {
    let found = session.logits(&file(&format!("{name}.images"))).unwrap().to_f64();
    let expected = expected(name, session);
    let n = f64::from(u32::try_from(expected.len()).unwrap());
    let mean = expected.iter().sum::<f64>() / n;
    let deviation = expected.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / deviation).sqrt()
}

#[test]
fn integers_answer_nearly_the_same_after_calibration() {
    let all: Vec<(&str, f64)> = NAMES
        .into_iter()
        .map(|name| (name, noise(name, &mut quantized(name, "intrain-int8", &[("epochs", 0.into())]))))
        .collect();
    // Networks of random weights with norms give nearly the same logits to all images, so what is noise beside them is more.
    let limit = |name: &str| match name {
        "mobilenet" => 0.8,
        "resnet" => 0.4,
        _ => 0.1,
    };
    assert!(all.iter().all(|(name, noise)| *noise < limit(name)), "{all:?}");
}

#[test]
fn the_recipe_of_a_calibrated_run_repeats_it() {
    let session = quantized("inception", "intrain-int8", &[("epochs", 0.into())]);
    let recipe = &session.config().recipe;
    // What is joined has one unit.
    let rows = ["relu2", "relu3"].map(|layer| recipe.activation.of_layer(layer).format);
    assert_eq!(rows[0], rows[1]);
    assert_eq!(recipe::Recipe::from_toml(&recipe.to_toml()).as_ref(), Ok(recipe));
    assert!(session.taken().unwrap().notes.iter().any(|note| note.contains("bias = \"model\"")));
    let plain = quantized("inception", "wage-l1bn", &[("epochs", 0.into())]);
    assert_eq!(
        plain.config().recipe,
        recipe::preset("wage-l1bn").unwrap(),
        "its formats belong to the method"
    );
}
