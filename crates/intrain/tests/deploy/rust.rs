//! The Rust of random networks, compiled and run: the logits of the engine.

use std::path::Path;
use std::process::Command;

use intrain_deploy::{Vectors, rust};
use intrain_model::{Model, preset};

use super::network::{Draw, integer_residual};
use super::networks::{CHAINS, GRAPHS, Trained, chain, layer_norms, trained};

fn rustc(folder: &Path, args: &[&str]) {
    let mut command = Command::new("rustc");
    let output = command.args(["-O", "--edition", "2024"]).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One program for all networks: each is a module, whose vectors a function runs.
#[test]
fn networks_in_rust_answer_as_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = String::new();
    let mut calls = String::new();
    let mut add = |name: &str, model: &Model, spec: &str, seed: u64| {
        let Trained { deployed, images, .. } = trained(model, spec, 3, seed);
        let vectors = Vectors::of(&deployed, &images);
        for (file, text) in rust::write(&deployed, &vectors, name).unwrap() {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        program += &format!("mod {name};\n");
        calls += &format!(
            "    check(\"{} with {spec}, seed {seed}\", &{name}::MODEL, &{images:?}, &{:?});\n",
            model.name, vectors.logits
        );
    };
    for seed in 0..40 {
        let spec = CHAINS[usize::try_from(seed).unwrap() % CHAINS.len()];
        add(&format!("chain{seed}"), &chain(&mut Draw::new(seed)), spec, seed);
    }
    for (seed, spec) in (0..).zip(GRAPHS) {
        add(&format!("graph{seed}"), &integer_residual(), spec, seed);
        if spec != "wage-rangebn" {
            add(&format!("layers{seed}"), &layer_norms(), spec, seed);
        }
    }
    for (name, spec) in [("ds-cnn", "intrain-int8"), ("vgg7-norm:16", "wage-l1bn"), ("gupta-cnn", "gupta")] {
        let module = name.replace(['-', ':'], "_");
        add(&module, &preset(name).unwrap(), spec, 4);
    }
    program += "fn check(name: &str, model: &intrain_run::Model, images: &[u8], expected: &[i64]) {\n    \
                let (mut arena, mut logits) = (vec![0; model.arena_bytes], vec![0; model.classes]);\n    \
                for (image, expected) in images.chunks_exact(model.image_bytes).zip(expected.chunks_exact(model.classes)) {\n        \
                intrain_run::run(model, image, &mut arena, &mut logits).unwrap();\n        \
                assert_eq!(logits, expected, \"{name}\");\n    }\n}\n\nfn main() {\n";
    program += &calls;
    program += "}\n";
    std::fs::write(folder.path().join("all.rs"), program).unwrap();
    rustc(folder.path(), &["--crate-type", "rlib", "--crate-name", "intrain_run", "intrain_run.rs"]);
    rustc(
        folder.path(),
        &["-C", "debug-assertions=on", "all.rs", "--extern", "intrain_run=libintrain_run.rlib"],
    );
    let output = Command::new(folder.path().join("all")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
