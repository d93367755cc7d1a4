//! How runs begin, stop and go on, as a person meets it.

use super::{Place, text};

const TRAIN: [&str; 5] = ["train", "--set", "schedule=[]", "--seed", "3"];

fn metrics(place: &Place, run: &str) -> Vec<String> {
    let metrics = std::fs::read_to_string(place.path(run).join("metrics.csv")).unwrap();
    metrics.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn more_epochs_go_on_to_the_bits_of_a_longer_run() {
    let place = Place::new();
    let whole = place.json(&[&TRAIN[..], &["--epochs", "4", "--out", "whole"]].concat());
    place.json(&[&TRAIN[..], &["--epochs", "2", "--out", "run"]].concat());
    let ended = place.run(&["train", "--resume", "run"]);
    let told = text(&ended.stderr);
    assert!(told.contains(
        "the run had ended after its 2 epochs; train longer with: intrain train --resume run --epochs 4"
    ));
    let longer = place.json(&["train", "--resume", "run", "--epochs", "4"]);
    assert_eq!(longer["weights_sha256"], whole["weights_sha256"]);
    assert_eq!(longer["best_test_error"], whole["best_test_error"]);
    assert_eq!(metrics(&place, "run").len(), 4);
    let message = place.refusal(&["train", "--resume", "run", "--epochs", "3"]);
    assert!(message.contains("epochs = 3 end at step 132, behind which the run is (step 176)"), "{message}");
}

#[test]
fn a_run_that_stops_at_a_limit_says_how_to_go_on() {
    let place = Place::new();
    let output = place.run(&["train", "--epochs", "1", "--max-steps", "10", "--out", "run"]);
    let expected =
        "stopped at max_steps, after 10 of 44 steps; go on with: intrain train --resume run --max-steps 44";
    assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    let again = place.run(&["train", "--resume", "run"]);
    assert!(text(&again.stderr).contains("the run had stopped at max_steps, after 10 of 44 steps"));
    let longer = place.run(&["train", "--resume", "run", "--max-steps", "44"]);
    assert!(!text(&longer.stderr).contains("max_steps"), "{}", text(&longer.stderr));
}

#[test]
fn evaluations_can_be_rarer_and_end_a_run() {
    let place = Place::new();
    let sets = ["--set", "evaluate_every=2", "--set", "patience=1", "--set", "schedule=[[4, 0.0078125]]"];
    let output = place.run(&[&["train", "--epochs", "30", "--out", "run"][..], &sets].concat());
    let told = text(&output.stderr);
    assert!(told.contains("steps: the best test error is 1 evaluation old"), "{told}");
    let rows = metrics(&place, "run");
    assert!((6..30).contains(&rows.len()) && rows.len().is_multiple_of(2), "{}", rows.len());
    // Whoever looks at it later sees why.
    assert_eq!(place.json(&["runs", "run"])["runs"][0]["lost_patience"], true);
    assert!(place.stdout(&["runs", "run"]).contains("/30, patience"));
    let report = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(report.contains("by patience: evaluations since the best test error: 1"));
    // A run that has lost patience stays where it is.
    let before = std::fs::read(place.path("run/checkpoints/best.ckpt")).unwrap();
    place.stdout(&["train", "--resume", "run"]);
    assert_eq!(std::fs::read(place.path("run/checkpoints/best.ckpt")).unwrap(), before);
    assert_eq!(metrics(&place, "run").len(), rows.len());
}

#[test]
fn the_incomplete_batch_is_told_and_can_be_filled() {
    let place = Place::new();
    let start = ["train", "--epochs", "1", "--out"];
    let dropped = place.run(&[&start[..], &["a"]].concat());
    assert!(text(&dropped.stderr).contains("each epoch leaves out 30 images"), "{}", text(&dropped.stderr));
    let filled = place.run(&[&start[..], &["b", "--set", "fill_last_batch=true"]].concat());
    assert!(!text(&filled.stderr).contains("leaves out"));
    assert!(text(&filled.stdout).contains("45 in 1 epochs"), "{}", text(&filled.stdout));
}

#[test]
fn the_best_checkpoint_is_evaluated_and_inspected() {
    let place = Place::new();
    let run = place.json(&["train", "--epochs", "4", "--lr", "64", "--out", "run"]);
    let best = place.json(&["eval", "run", "--checkpoint", "best"]);
    assert_eq!(best["error"], run["best_test_error"]);
    let last = place.json(&["eval", "run", "--checkpoint", "last"]);
    assert_eq!((&last["weights_sha256"], &last["error"]), (&run["weights_sha256"], &run["test_error"]));
    let inspected = place.json(&["inspect", "run", "--checkpoint", "best"]);
    assert_eq!(inspected["weights_sha256"], best["weights_sha256"]);
    let message = place.refusal(&["eval", "run/model.safetensors", "--checkpoint", "best"]);
    assert!(message.contains("--checkpoint is for a run folder"), "{message}");
}

#[test]
fn a_refused_run_leaves_no_folder() {
    let place = Place::new();
    place.refusal(&["train", "--set", "patience=-1", "--out", "a"]);
    place.refusal(&["train", "--batch-size", "5000", "--out", "b"]);
    place.refusal(&["train", "--batch-size", "5000"]);
    assert!(!place.path("a").exists() && !place.path("b").exists());
    assert!(std::fs::read_dir(place.path("runs")).unwrap().next().is_none());
}

#[test]
fn warnings_are_true_and_told_once() {
    let place = Place::new();
    let warnings = |args: &[&str]| {
        let output = place.run(&[&["train", "--epochs", "2"][..], args].concat());
        assert!(output.status.success());
        text(&output.stderr)
            .lines()
            .filter(|line| line.starts_with("warning"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(warnings(&[]), [""; 0]);
    for recipe in ["wage-l1bn", "gupta", "intrain-int8", "niti", "float32"] {
        assert_eq!(warnings(&["--recipe", recipe]), [""; 0], "{recipe}");
    }
    let lost = warnings(&["--recipe", "gupta:Q8.8:nearest"]);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(
        lost[0].contains("row momentum, 'fixed<8,8> nearest-down saturate', rounds to the nearest"),
        "{lost:?}"
    );
}

/// `nohup` starts a program that ignores the signal of a closing terminal.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_was_ignored_before_stays_ignored() {
    use std::time::{Duration, Instant};

    let place = Place::new();
    let ended = |ignore: &str, out: &str| {
        let train = format!("{ignore} exec \"$0\" train --epochs 10000 --out {out}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &train, env!("CARGO_BIN_EXE_intrain")]).current_dir(place.0.path());
        let mut child =
            shell.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let kill = |signal: &str, id: u32| {
            let id = id.to_string();
            assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        };
        let metrics = place.path(out).join("metrics.csv");
        let rows = || std::fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
        let wait_for = |n: usize| {
            let began = Instant::now();
            while rows() < n && began.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        wait_for(2);
        kill("-HUP", child.id());
        let began = Instant::now();
        let until = rows() + 3;
        while rows() < until
            && child.try_wait().unwrap().is_none()
            && began.elapsed() < Duration::from_secs(60)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            kill("-TERM", child.id());
        }
        assert_eq!(child.wait().unwrap().code(), Some(130), "the signal to terminate ends it after its step");
        ended
    };
    assert!(!ended("trap '' HUP;", "a"));
    assert!(ended("", "b"));
}

#[test]
fn runs_are_listed_and_compared() {
    let place = Place::new();
    for (out, rate) in [("runs/a", "8"), ("runs/deep/runs/b", "16")] {
        place.stdout(&["train", "--epochs", "1", "--lr", rate, "--out", out]);
    }
    std::fs::create_dir(place.path("runs/empty")).unwrap();
    let all = place.json(&["runs"]);
    let runs = all["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs[0]["best_test_error"].as_f64() <= runs[1]["best_test_error"].as_f64());
    assert_eq!((&runs[0]["epochs_done"], &runs[0]["model"]), (&1.into(), &"digits-cnn".into()));
    let text = place.stdout(&["runs", "runs/a", "runs/deep"]);
    assert!(text.contains("they differ in\n  learning_rate: "), "{text}");
    assert!(!place.stdout(&["runs"]).contains("differ"));
    // A row of a recipe, under the same name.
    let row = "recipe.roles.activation=unit<6> nearest-even saturate clipped";
    place.stdout(&["train", "--epochs", "1", "--set", row, "--out", "runs/row"]);
    let file = place.path("runs/row/report.html").display().to_string();
    let text = place.stdout(&["runs", "runs/a", "runs/row", &file]);
    assert!(text.contains("\n  recipe.roles.activation: \"unit<6>"), "{text}");
    std::fs::remove_dir_all(place.path("runs/row")).unwrap();
    // Errors on other data are not compared with these.
    let mut table = String::from("x,class\n");
    (0..40).for_each(|i| table.push_str(&format!("{i},{}\n", i / 20)));
    std::fs::write(place.path("a.csv"), table).unwrap();
    let more = ["--set", "batch_size=4", "--epochs", "1", "--out", "runs/c"];
    place.stdout(&[&["train", "--data", "csv:a.csv,label=class"][..], &more].concat());
    let all = place.json(&["runs"]);
    let data: Vec<_> = all["runs"].as_array().unwrap().iter().map(|run| run["data"].clone()).collect();
    assert_eq!(data, ["csv:a.csv,label=class", "digits", "digits"]);
    assert!(place.refusal(&["runs", "runs/empty"]).contains("runs/empty: there is no run in it"));
    assert!(place.refusal(&["runs", "nowhere"]).contains("nowhere: cannot list"));
}

#[test]
fn errors_are_objects_for_programs() {
    let place = Place::new();
    let output = place.run(&["train", "--recipe", "wag", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let object: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(object["exit_code"], 2);
    assert!(object["error"].as_str().unwrap().contains("did you mean 'wage'"), "{object}");
    assert!(text(&output.stderr).starts_with("error: "));
}
