//! The ONNX of random networks in ONNX Runtime: the logits of the engine, with and without its optimizations, one by one and in batches.

use std::path::Path;
use std::process::Command;

use intrain_deploy::onnx::Form;
use intrain_deploy::{Vectors, onnx};
use intrain_model::{Model, preset};

use super::network::{Draw, integer_residual};
use super::networks::{CHAINS, GRAPHS, Trained, chain, trained};

const PROGRAM: &str = include_str!("onnx.py");

/// Whether Python has ONNX Runtime; without it, the tests say so.
fn has_runtime() -> bool {
    let found = Command::new("python3").args(["-c", "import onnxruntime"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: python3 has no onnxruntime");
    }
    found
}

/// Writes a network, images and logits as `NUMBER.onnx`, `.images` and `.logits`.
fn write(folder: &Path, number: usize, model: &Model, spec: &str, seed: u64) {
    let Trained { deployed, images, .. } = trained(model, spec, 5, seed);
    let bytes = onnx::write(&deployed, Form::Integers, false).unwrap();
    assert_eq!(
        bytes,
        onnx::write(&deployed, Form::Integers, false).unwrap(),
        "equal content gives equal bytes"
    );
    let vectors = Vectors::of(&deployed, &images);
    let path = |ending: &str| folder.join(format!("{number}.{ending}"));
    std::fs::write(path("onnx"), bytes).unwrap();
    if let Ok(bytes) = onnx::write(&deployed, Form::Quantized, false) {
        std::fs::write(path("qdq.onnx"), bytes).unwrap();
    }
    std::fs::write(path("images"), &images).unwrap();
    let logits: Vec<u8> = vectors.logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(path("logits"), logits).unwrap();
    std::fs::write(path("name"), format!("{} with {spec}, seed {seed}", model.name)).unwrap();
}

fn run(folder: &Path) {
    std::fs::write(folder.join("run.py"), PROGRAM).unwrap();
    let output = Command::new("python3").arg("run.py").current_dir(folder).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn networks_in_onnx_answer_as_the_engine() {
    if !has_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut add = |model: &Model, spec: &str, seed: u64| {
        write(folder.path(), number, model, spec, seed);
        number += 1;
    };
    for seed in 0..40 {
        let spec = CHAINS[usize::try_from(seed).unwrap() % CHAINS.len()];
        add(&chain(&mut Draw::new(seed)), spec, seed);
    }
    for (seed, spec) in (0..).zip(GRAPHS) {
        add(&integer_residual(), spec, seed);
    }
    for (name, spec) in [
        ("digits-cnn", "wage"),
        ("lenet5", "wage"),
        ("gupta-cnn", "gupta"),
        ("resnet8", "intrain-int8"),
        ("ds-cnn", "intrain-int8"),
        ("vgg7-norm:16", "wage-l1bn"),
    ] {
        add(&preset(name).unwrap(), spec, 4);
    }
    run(folder.path());
}
