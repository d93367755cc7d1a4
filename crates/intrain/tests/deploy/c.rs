//! The C of random networks, compiled and run: the logits of the engine, with a check of undefined behaviour.

use std::path::Path;
use std::process::Command;

use intrain_deploy::{Deployed, Vectors, c};
use intrain_model::{Model, preset};

use super::network::{Draw, integer_residual};
use super::networks::{CHAINS, GRAPHS, Trained, chain, layer_norms, trained};

/// Whether there is a compiler; without one, the tests say so.
pub(crate) fn has_compiler() -> bool {
    let found = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no C compiler 'cc'");
    }
    found
}

const STRICT: [&str; 6] = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"];

/// Writes, compiles and runs the vectors of these images.
fn run(deployed: &Deployed, images: &[u8], options: &c::Options, flags: &[&str], folder: &Path) {
    let vectors = Vectors::of(deployed, images);
    let written = c::write(deployed, &vectors, options).unwrap();
    let mut sources = vec![];
    for (name, text) in &written.files {
        std::fs::write(folder.join(name), text).unwrap();
        if name.ends_with(".c") {
            sources.push(name.clone());
        }
    }
    let program = folder.join("program");
    let mut compiler = Command::new("cc");
    compiler.args(STRICT).args(flags).args(&sources).arg("-o").arg(&program).current_dir(folder);
    let output = compiler.output().unwrap();
    let name = &deployed.about;
    assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.ends_with("equal\n"), "{name:?}: {text}");
}

/// As it is and packed, with checks of memory and of undefined behaviour.
fn compare(model: &Model, spec: &str, seed: u64) {
    let Trained { deployed, images, .. } = trained(model, spec, 3, seed);
    let folder = tempfile::tempdir().unwrap();
    let checked = ["-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"];
    let packed = c::Options { pack: true, split: seed % 2 == 1, prefix: "a_net".to_owned() };
    run(&deployed, &images, &packed, &checked, folder.path());
    if seed.is_multiple_of(4) {
        run(&deployed, &images, &c::Options::default(), &["-O3"], folder.path());
    }
}

#[test]
fn random_chains_in_c_answer_as_the_engine() {
    if !has_compiler() {
        return;
    }
    for seed in 0..40 {
        let model = chain(&mut Draw::new(seed));
        let spec = CHAINS[usize::try_from(seed).unwrap() % CHAINS.len()];
        compare(&model, spec, seed);
    }
}

#[test]
fn networks_with_norms_and_sums_in_c_answer_as_the_engine() {
    if !has_compiler() {
        return;
    }
    for (seed, spec) in (0..).zip(GRAPHS) {
        compare(&integer_residual(), spec, seed);
        if spec != "wage-rangebn" {
            compare(&layer_norms(), spec, seed + 1);
        }
    }
}

#[test]
fn presets_in_c_answer_as_the_engine() {
    if !has_compiler() {
        return;
    }
    for (name, spec) in [
        ("digits-cnn", "wage"),
        ("lenet5", "wage"),
        ("gupta-cnn", "gupta"),
        ("resnet8", "intrain-int8"),
        ("resnet20:4", "intrain-int8"),
        ("ds-cnn", "intrain-int8"),
        ("vgg7-norm:16", "wage-l1bn"),
    ] {
        compare(&preset(name).unwrap(), spec, 4);
    }
}
