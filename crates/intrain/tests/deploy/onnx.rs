//! The ONNX of random networks in ONNX Runtime, with and without its optimizations, one by one and in batches, and their QONNX in its own
//! executor: the logits of the engine.

use std::path::Path;
use std::process::Command;

use intrain_deploy::onnx::Form;
use intrain_deploy::{DeployError, Vectors, onnx};
use intrain_model::{Model, preset};

use super::network::{Draw, integer_residual};
use super::networks::{CHAINS, GRAPHS, Trained, chain, layer_norms, residual_without_norms, trained};

/// Whether Python has a module; without it, the tests say so.
fn has(module: &str) -> bool {
    let found = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: python3 has no {module}");
    }
    found
}

/// Writes a network in these forms, images and logits as `NUMBER.ENDING`, `.images` and `.logits`; whether the first form is not refused.
fn write(folder: &Path, number: usize, network: &Trained, forms: &[(Form, &str)]) -> bool {
    let Trained { deployed, images, .. } = network;
    let path = |ending: &str| folder.join(format!("{number}.{ending}"));
    let written = forms.iter().map(|(form, ending)| {
        let bytes = onnx::write(deployed, *form, false);
        assert_eq!(bytes, onnx::write(deployed, *form, false), "equal content gives equal bytes");
        bytes.is_ok_and(|bytes| std::fs::write(path(ending), bytes).is_ok())
    });
    let is_written = written.collect::<Vec<bool>>()[0];
    std::fs::write(path("images"), images).unwrap();
    let logits = Vectors::of(deployed, images).logits;
    std::fs::write(path("logits"), logits.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let about = &deployed.about;
    std::fs::write(path("name"), format!("{} with {}", about.model, about.recipe)).unwrap();
    is_written
}

fn run(folder: &Path, program: &str) {
    std::fs::write(folder.join("run.py"), program).unwrap();
    let output = Command::new("python3").arg("run.py").current_dir(folder).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn networks_in_onnx_answer_as_the_engine() {
    if !has("onnxruntime") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let forms = [(Form::Integers, "onnx"), (Form::Quantized, "qdq.onnx")];
    let mut add = |model: &Model, spec: &str, seed: u64| {
        assert!(write(folder.path(), number, &trained(model, spec, 5, seed), &forms), "{spec}");
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
    run(folder.path(), include_str!("onnx.py"));
}

/// Norms and roundings whose integers binary32 holds.
const SMALL_NORMS: [&str; 2] = [
    "intrain-int8 | activation.product = fixed<4,4> nearest-down | norm.value = fixed<3,5> nearest-down | norm.mean = fixed<4,6> nearest-down",
    "intrain-int8 | activation.product = fixed<4,4> nearest-even | norm.value = fixed<3,5> floor | activation = fixed<2,4> floor",
];

#[test]
fn networks_in_qonnx_answer_as_the_engine() {
    if !has("qonnx") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut add = |model: &Model, spec: &str, seed: u64| {
        number += 1;
        write(folder.path(), number, &trained(model, spec, 3, seed), &[(Form::Qonnx, "qonnx.onnx")])
    };
    let mut n_of = CHAINS.map(|_| 0);
    for seed in 0..40 {
        let at = usize::try_from(seed).unwrap() % CHAINS.len();
        n_of[at] += usize::from(add(&chain(&mut Draw::new(seed)), CHAINS[at], seed));
    }
    // WAGE's sums are small; those of Gupta's 16 bits are not.
    assert_eq!([n_of[0], n_of[1], n_of[2]], [8, 8, 0], "{n_of:?}");
    for name in ["digits-cnn", "lenet5"] {
        assert!(add(&preset(name).unwrap(), "wage", 4), "{name}");
    }
    assert!(add(&residual_without_norms(), "intrain-int8", 5));
    let small = "norm.gain = fixed<2,6> nearest-even | norm.offset = fixed<2,6> nearest-even";
    for (seed, spec) in (6..).zip(SMALL_NORMS) {
        assert!(add(&integer_residual(), &format!("{spec} | {small}"), seed), "{spec}");
    }
    run(folder.path(), include_str!("qonnx.py"));
}

#[test]
fn what_binary32_does_not_hold_is_refused_in_qonnx() {
    let refusal = |model: &Model, spec: &str| {
        let error = onnx::write(&trained(model, spec, 1, 1).deployed, Form::Qonnx, false).unwrap_err();
        assert!(matches!(error, DeployError::Target { .. }));
        error.to_string()
    };
    let said = refusal(&preset("digits-cnn").unwrap(), "gupta");
    assert!(said.starts_with("layer 'conv1': its sums can reach ") && said.contains("below 2^24"), "{said}");
    assert!(said.contains("use --to onnx or c"), "{said}");
    let said = refusal(&integer_residual(), "intrain-int8");
    assert!(said.starts_with("layer 'relu1': the integers of its norm can reach "), "{said}");
    let said = refusal(&layer_norms(), "intrain-int8");
    assert!(said.contains("a norm of each pixel"), "{said}");
}
