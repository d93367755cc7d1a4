//! Runs that an older version wrote (commit ee7236d): they open, answer as they did, and go on to the weights that it reached.
//!
//! `fixtures/older/` has what that version left after step 100 of 132: a chain of 8-bit integers, a graph of integers with
//! norms, and one of floats. The numbers here are its own, those of the end from runs that it never interrupted.

use std::fs;
use std::path::Path;

use super::Place;

/// The steps of the whole run.
const STEPS: &str = "132";

/// A run of the older version, and what that version said of it.
struct Older {
    name: &'static str,
    network: &'static str,
    parameters: u64,
    weights: &'static str,
    /// Of the test images and the training images after step 100: how many answers are wrong, and the loss.
    answers: [(u64, &'static str); 2],
    /// After the last step: weights, wrong answers to the test images.
    end: (&'static str, u64),
}

const RUNS: [Older; 3] = [
    Older {
        name: "chain",
        network: "older-chain with wage",
        parameters: 968,
        weights: "fbe63bfb0e23eb7e2c48ebe8af6744094ff477555f5c7336ebc9fb59544bb6e5",
        answers: [(161, "0.3899040115908992"), (627, "0.3838850586404389")],
        end: ("7313407c3dee5628b6290ecff3d5765dfc44b839b610666f1f5aced56d816b9f", 152),
    },
    Older {
        name: "graph",
        network: "older-graph with intrain-int8",
        parameters: 760,
        weights: "87665c134720eede5942541b2c194e36727fa89c4a231f8a55c4c315a4df24c9",
        answers: [(201, "1.8499505882605203"), (793, "1.7975773132472053")],
        end: ("09915c228e64455c6961fef34ed2e349f8ab9067ab07abc4670b69532e362427", 196),
    },
    Older {
        name: "floats",
        network: "older-graph with hwgq",
        parameters: 770,
        weights: "6ec1071c50ada2f4c731ca4e516064b8923487d21f5c0d08072c771878e27f31",
        answers: [(245, "1.9985933566118839"), (932, "1.9587476866091604")],
        end: ("49d55e8eafedcb3a87741dfad1f0eb95688363836d1c6d8855690467ef34edb6", 234),
    },
];

/// Puts the run where commands may write.
fn copy(run: &Older, place: &Place) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/older").join(run.name);
    fs::create_dir_all(place.path(run.name).join("checkpoints")).unwrap();
    for file in ["config.toml", "metrics.csv", "model.safetensors", "checkpoints/last.ckpt"] {
        fs::copy(from.join(file), place.path(run.name).join(file)).unwrap();
    }
}

/// Trains to the last step, and finds what the older version came to.
fn ends(place: &Place, run: &Older, args: &[&str], folder: &str) {
    let (weights, n_wrong) = run.end;
    let trained = place.json(&[args, &["--max-steps", STEPS]].concat());
    assert_eq!(trained["weights_sha256"], weights, "{}: {args:?}", run.name);
    let evaluated = place.json(&["eval", folder]);
    assert_eq!(evaluated["weights_sha256"], weights, "{}: {args:?}", run.name);
    assert_eq!(evaluated["wrong"], n_wrong, "{}: {args:?}", run.name);
}

#[test]
fn an_older_run_goes_on_to_the_same_weights() {
    let place = Place::new();
    for run in &RUNS {
        copy(run, &place);
        let metrics = || fs::read_to_string(place.path(run.name).join("metrics.csv")).unwrap();
        let before = metrics();
        ends(&place, run, &["train", "--resume", run.name], run.name);
        let after = metrics();
        assert!(after.starts_with(&before), "{}: {after}", run.name);
        assert_eq!(after.lines().count(), before.lines().count() + 1, "{}: {after}", run.name);

        // And its settings alone say the same run.
        let config = format!("{}/config.toml", run.name);
        ends(&place, run, &["train", &config, "--out", "anew"], "anew");
        fs::remove_dir_all(place.path("anew")).unwrap();
    }
}

#[test]
fn an_older_network_answers_as_it_did() {
    let place = Place::new();
    for run in &RUNS {
        copy(run, &place);
        for model in [run.name.to_owned(), format!("{}/model.safetensors", run.name)] {
            for (split, (n_wrong, loss)) in ["test", "train"].iter().zip(run.answers) {
                let said = place.stdout(&["eval", &model, "--split", split, "--json"]);
                // As text: a parser may lose the last bit of a loss.
                for part in [
                    format!("\"weights_sha256\":\"{}\"", run.weights),
                    format!("\"wrong\":{n_wrong}"),
                    format!("\"loss\":{loss},"),
                ] {
                    assert!(said.contains(&part), "{model}: no {part} in {said}");
                }
            }
        }
    }
}

#[test]
fn an_older_run_is_inspected_and_planned() {
    let place = Place::new();
    for run in &RUNS {
        copy(run, &place);
        let inspected = place.json(&["inspect", run.name]);
        assert_eq!(inspected["weights_sha256"], run.weights, "{}", run.name);
        let text = place.stdout(&["inspect", run.name]);
        for part in [run.network, "test error", "conv2", "fc1"] {
            assert!(text.contains(part), "{}: no '{part}' in {text}", run.name);
        }
        let config = format!("{}/config.toml", run.name);
        for args in [&["plan", "--resume", run.name][..], &["plan", &config]] {
            assert_eq!(place.json(args)["parameters"], run.parameters, "{args:?}");
        }
    }
}

/// Statistics of norms are estimated from the training images, the same ones each time.
#[test]
fn the_statistics_of_norms_are_estimated_anew() {
    let place = Place::new();
    let [chain, .., floats] = &RUNS;
    copy(chain, &place);
    copy(floats, &place);
    let evaluate = |n: &str| place.json(&["eval", floats.name, "--norm-batches", n]);
    let as_saved = place.json(&["eval", floats.name]);
    let many = evaluate("20");
    assert_eq!(many["error_as_saved"], as_saved["error"]);
    assert_ne!(many["error"], as_saved["error"]);
    assert_eq!(many, evaluate("20"));
    assert_ne!(many["loss"], evaluate("1")["loss"]);
    for (network, expected) in [
        (chain.name.to_owned(), "the network has no norm over batches; leave it out"),
        (format!("{}/model.safetensors", floats.name), "name its folder instead of a file"),
    ] {
        let message = place.refusal(&["eval", &network, "--norm-batches", "20"]);
        assert!(message.contains(expected), "{message}");
    }
}
