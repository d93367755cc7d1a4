//! Runs whose numbers stop being numbers: they end, say where and why, and leave what was good.

use super::{Place, text};

/// Standard error of a run that fails: exit code 1, nothing on standard output.
fn failure(place: &Place, args: &[&str]) -> String {
    let output = place.run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "", "{args:?}");
    text(&output.stderr)
}

#[test]
fn a_run_that_diverges_ends_at_its_step() {
    let place = Place::new();
    for (rate, out) in [("1e5", "a"), ("1000", "b")] {
        let args = ["train", "--recipe", "float32", "--lr", rate, "--epochs", "2", "--out", out];
        let message = failure(&place, &args);
        assert!(message.contains("error: diverged at step ") && message.contains(" (epoch "), "{message}");
        assert!(message.contains("lower the learning rate (now 1000"), "{message}");
        for file in ["model.safetensors", "report.html", "checkpoints/last.ckpt", "checkpoints/best.ckpt"] {
            assert!(!place.path(out).join(file).exists(), "{file}");
        }
        assert!(message.contains("there is no checkpoint yet"), "{message}");
    }
}

#[test]
fn what_was_good_before_a_divergence_stays() {
    let place = Place::new();
    let schedule = ["--set", "schedule=[[1, 1e5]]"];
    let train = ["train", "--recipe", "float32", "--epochs", "3", "--out", "run"];
    let message = failure(&place, &[&train[..], &schedule].concat());
    let last = std::path::Path::new("run").join("checkpoints/last.ckpt").display().to_string();
    assert!(message.contains(&format!("the last good checkpoint is {last}")), "{message}");
    assert!(message.contains("lower the learning rate (now 100000)"), "{message}");
    let metrics = std::fs::read_to_string(place.path("run/metrics.csv")).unwrap();
    assert_eq!(metrics.lines().count(), 2, "the first epoch's row stays, and no other comes: {metrics}");
    for file in ["checkpoints/last.ckpt", "checkpoints/best.ckpt"] {
        assert!(place.path("run").join(file).exists(), "{file}");
    }
    // It goes on from there, to the same end.
    let again = failure(&place, &["train", "--resume", "run"]);
    let what = |message: &str| message.lines().find(|line| line.contains("diverged")).map(str::to_owned);
    assert_eq!(what(&again), what(&message));
}

#[test]
fn a_sweep_goes_on_behind_a_run_that_diverged() {
    let place = Place::new();
    let file = "recipes = [\"float32\", \"wage\"]\n[settings]\nepochs = 1\nlearning_rate = 131072\n";
    std::fs::write(place.path("wild.toml"), file).unwrap();
    let output = place.run(&["sweep", "wild.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("warning: float32-1: diverged at step "),
        "{}",
        text(&output.stderr)
    );
    let table = text(&output.stdout);
    assert!(table.contains("| digits | digits-cnn | float32 | 1 | - | - | - |"), "{table}");
    assert!(table.contains("| digits | digits-cnn | wage | 1 | "), "{table}");
}
