//! What steers a run: images for validation, learning rates, seeds; and runs that cannot go as they were asked to.

use super::{Place, text};

fn first_line(place: &Place, file: &str) -> String {
    let text = std::fs::read_to_string(place.path(file)).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[test]
fn images_for_validation_choose_the_best_checkpoint() {
    let place = Place::new();
    let train = ["train", "--epochs", "3", "--lr", "64", "--set", "schedule=[]"];
    let run = place.json(&[&train[..], &["--set", "validation=0.1", "--out", "run"]].concat());
    assert!(
        first_line(&place, "run/metrics.csv").contains(",seconds,validation_loss,validation_error,conv1/")
    );
    let best = place.json(&["eval", "run", "--checkpoint", "best", "--split", "validation"]);
    assert_eq!((&best["error"], &best["images"]), (&run["best_validation_error"], &140.into()));
    assert_eq!(place.json(&["eval", "run", "--checkpoint", "best"])["error"], run["best_test_error"]);
    let last = place.json(&["eval", "run/model.safetensors", "--split", "validation"]);
    assert_eq!((&last["error"], &last["images"]), (&run["validation_error"], &140.into()));
    assert_eq!(place.json(&["eval", "run", "--split", "train"])["images"], 1298);
    let predicted = place.json(&["predict", "run", "--data", "digits", "--split", "validation"]);
    assert_eq!(predicted["images"].as_array().unwrap().len(), 140);
    let report = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(report.contains("Best validation error") && report.contains(">validation<"));

    // Repeated from its own settings, and beside a run without.
    let again = place.json(&["train", "run/config.toml", "--out", "again"]);
    assert_eq!(again["weights_sha256"], run["weights_sha256"]);
    let plain = place.json(&[&train[..], &["--out", "plain"]].concat());
    assert!(plain.get("best_validation_error").is_none() && plain.get("validation_error").is_none());
    for file in ["plain/metrics.csv", "plain/config.toml", "plain/report.html"] {
        let text = std::fs::read(place.path(file)).unwrap();
        assert!(!text.windows(10).any(|window| window == b"validation"), "{file}");
    }
    let runs = place.json(&["runs", "again", "plain"]);
    let of =
        |name: &str| runs["runs"].as_array().unwrap().iter().find(|run| run["run"] == name).unwrap().clone();
    assert_eq!(of("again")["best_validation_error"], run["best_validation_error"]);
    assert_eq!(of("again")["best_test_error"], run["best_test_error"]);
    assert!(of("plain").get("best_validation_error").is_none());
    let table = place.stdout(&["runs", "again", "plain"]);
    assert!(table.lines().next().unwrap().contains("epochs  validation  best"), "{table}");

    let message = place.refusal(&["eval", "plain", "--split", "validation"]);
    assert!(message.contains("digits has no such images"), "{message}");
    let message = place.refusal(&["train", "--set", "validation=0.7"]);
    assert!(message.contains("validation = 0.7 is not in 0..=0.5"), "{message}");
}

#[test]
fn patience_counts_evaluations_on_images_for_validation() {
    let place = Place::new();
    let sets = ["--set", "patience=1", "--set", "validation=0.1", "--set", "schedule=[[4, 0.0078125]]"];
    let output = place.run(&[&["train", "--epochs", "30", "--out", "run"][..], &sets].concat());
    let told = text(&output.stderr);
    assert!(told.contains("the best validation error is 1 evaluation old"), "{told}");
    assert!(told.contains(", validation error ") && told.contains(", test error "), "{told}");
    assert!(text(&output.stdout).contains(" at the best validation error)"), "{}", text(&output.stdout));
}

/// A picture of 8 x 8 pixels as a BMP of 24 bits.
fn bmp(value: u8) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [54 + 192, 0, 54, 40, 8, 8, 1 | 24 << 16, 0, 192, 0, 0, 0, 0_u32] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend((0..192_u8).map(|i| value.wrapping_mul(i)));
    bytes
}

#[test]
fn many_classes_have_a_top_5_error() {
    let place = Place::new();
    for class in 0..12_u8 {
        for (part, n) in [("train", 4), ("test", 2), ("val", 1)] {
            let folder = place.path(&format!("photos/{part}/{}", char::from(b'a' + class)));
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..n {
                std::fs::write(folder.join(format!("{i}.bmp")), bmp(20 * class + i)).unwrap();
            }
        }
    }
    let data = ["--data", "folder:photos"];
    let info = place.stdout(&["data", "info", "folder:photos"]);
    let cut = place.stdout(&["data", "info", "folder:photos,resize=16,crop=12"]);
    assert!(cut.contains("12x12x3 (height x width x channels), cut out of 16x16"), "{cut}");
    assert!(info.contains("validation  12") && info.contains("class  train  validation  test"), "{info}");
    let train = ["train", "--model", "digits-cnn", "--epochs", "2", "--batch-size", "8", "--out", "run"];
    let run = place.json(&[&train[..], &data].concat());
    let columns = ",seconds,test_top5_error,validation_loss,validation_error,validation_top5_error,conv1/";
    let header = first_line(&place, "run/metrics.csv");
    assert!(header.contains(columns), "{header}");
    let top5 = run["test_top5_error"].as_f64().unwrap();
    assert!(top5 <= run["test_error"].as_f64().unwrap() && run["best_validation_error"].is_number());
    let evaluated = place.json(&["eval", "run"]);
    assert_eq!(
        (&evaluated["top5_error"], &evaluated["error"]),
        (&run["test_top5_error"], &run["test_error"])
    );
    assert!(place.stdout(&["eval", "run"]).contains("top-5 error"));
    let inspected = place.json(&["inspect", "run"]);
    assert_eq!(inspected["epochs"][1]["test_top5_error"], run["test_top5_error"]);
    let report = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(report.contains("Top-5 test error"));
    assert!(place.json(&["train", "--epochs", "1"]).get("test_top5_error").is_none());
}

#[test]
fn learning_rates_rise_and_fall_along_a_cosine() {
    let place = Place::new();
    let curve = ["--set", "cosine=true", "--set", "warmup_steps=20", "--set", "cosine_floor=0.001"];
    let train = ["train", "--recipe", "float32", "--epochs", "2", "--lr", "0.02"];
    let whole = place.json(&[&train[..], &curve, &["--out", "whole"]].concat());
    let metrics = std::fs::read_to_string(place.path("whole/metrics.csv")).unwrap();
    let rates: Vec<f64> =
        metrics.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    // Epochs have 44 steps, and the rise is over 20 of these.
    let cosine = |step: f64| 0.001 + 0.019 * (1.0 + (std::f64::consts::PI * step / 68.0).cos()) / 2.0;
    assert!((rates[0] - cosine(23.0)).abs() < 1e-12 && (rates[1] - cosine(67.0)).abs() < 1e-12, "{rates:?}");
    let again = place.json(&["train", "whole/config.toml", "--out", "again"]);
    assert_eq!(again["weights_sha256"], whole["weights_sha256"]);
    // More epochs: the rates from there on are those of the longer curve.
    place.json(&["train", "--resume", "again", "--epochs", "3"]);
    let longer = std::fs::read_to_string(place.path("again/metrics.csv")).unwrap();
    let last: f64 = longer.lines().last().unwrap().split(',').nth(2).unwrap().parse().unwrap();
    assert!((last - (0.001 + 0.019 * (std::f64::consts::PI / 224.0).sin().powi(2))).abs() < 1e-12, "{last}");
    let message = place.refusal(&[&["train"][..], &curve].concat());
    assert!(message.contains("no powers of two"), "{message}");
    let message = place.refusal(&[&train[..], &["--set", "warmup=2"]].concat());
    assert!(
        message.contains("rise over 88 steps") && message.contains("let it rise over fewer"),
        "{message}"
    );
}

#[test]
fn seeds_have_64_bits() {
    let place = Place::new();
    let seed = "18446744073709551615";
    let train = ["train", "--epochs", "1", "--max-steps", "3"];
    let run = place.json(&[&train[..], &["--seed", seed, "--out", "run"]].concat());
    assert_eq!(run["seed"], u64::MAX);
    let config = std::fs::read_to_string(place.path("run/config.toml")).unwrap();
    assert!(config.contains(&format!("seed = \"{seed}\"")), "{config}");
    for (args, out) in [
        (vec!["run/config.toml"], "a"),
        (vec!["--epochs", "1", "--max-steps", "3", "--set", "seed=0xffffffffffffffff"], "b"),
    ] {
        let again = place.json(&[&["train", "--out", out][..], &args].concat());
        assert_eq!(again["weights_sha256"], run["weights_sha256"], "{args:?}");
    }
    let smaller = place.json(&[&train[..], &["--seed", "18446744073709551614"]].concat());
    assert_ne!(smaller["weights_sha256"], run["weights_sha256"]);
    place.stdout(&["train", "--resume", "run"]);
    let sweep = "recipes = [\"wage\"]\nseeds = [1, \"18446744073709551615\"]\n[settings]\nepochs = 1\nmax_steps = 3\n";
    std::fs::write(place.path("seeds.toml"), sweep).unwrap();
    place.stdout(&["sweep", "seeds.toml"]);
    let rows = std::fs::read_to_string(place.path("runs/sweep-seeds/runs.csv")).unwrap();
    assert!(rows.contains(run["weights_sha256"].as_str().unwrap()), "{rows}");
    assert!(place.refusal(&["train", "--seed", "18446744073709551616"]).contains("18446744073709551616"));
}

#[test]
fn a_step_of_the_first_epoch_is_in_epoch_1() {
    let place = Place::new();
    let output = place.run(&["train", "--epochs", "30", "--max-steps", "10", "--out", "run"]);
    assert!(text(&output.stderr).contains("epoch 1/30, step 10, "), "{}", text(&output.stderr));
    let report = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(!report.contains("epoch 0"));
}

#[test]
fn the_remedy_of_a_divergence_can_be_typed() {
    let place = Place::new();
    let args = ["train", "--recipe", "float32", "--lr", "1000", "--epochs", "1", "--out", "run"];
    let output = place.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    let command = told.lines().find_map(|line| line.split_once("in a new run: intrain ")).unwrap().1;
    assert!(command.starts_with("train run") && command.ends_with("--lr 125"), "{command}");
    // It runs, or diverges in its turn with a smaller rate in its remedy.
    let again = place.run(&command.split(' ').collect::<Vec<_>>());
    assert!(again.status.success() || text(&again.stderr).contains("--lr 15.625"), "{}", text(&again.stderr));
}

#[test]
fn a_network_beyond_the_memory_is_refused() {
    let place = Place::new();
    // 40 layers of 65,000 x 65,000 weights: two terabytes with what a step needs.
    let layer = |i: usize| {
        format!(
            "{{ name = \"fc{i}\", kind = \"linear\", out = 65000 }},\n{{ name = \"relu{i}\", kind = \"relu\" }},\n"
        )
    };
    let layers: String = (1..=40).map(layer).collect();
    let model = format!(
        "name = \"huge\"\ninput = {{ h = 8, w = 8, c = 1, pixels = \"x/256\" }}\nlayer = [\n\
         {{ name = \"flatten\", kind = \"flatten\" }},\n{layers}{{ name = \"fc41\", kind = \"linear\", out = 10 }},\n]\n"
    );
    std::fs::write(place.path("huge.toml"), model).unwrap();
    let message = place.refusal(&["train", "--model", "huge.toml", "--recipe", "float32", "--out", "run"]);
    assert!(message.contains("model 'huge': a training step needs "), "{message}");
    assert!(message.contains("are free; take ") && !place.path("run").exists(), "{message}");
}

#[test]
fn biases_that_a_recipe_leaves_out_are_named_in_the_plan() {
    let place = Place::new();
    let model = "name = \"biased\"\ninput = { h = 8, w = 8, c = 1, pixels = \"x/256\" }\nlayer = [\n\
                 { name = \"flatten\", kind = \"flatten\" },\n\
                 { name = \"fc1\", kind = \"linear\", out = 10, bias = true },\n]\n";
    std::fs::write(place.path("mine.toml"), model).unwrap();
    let plan = |recipe| place.stdout(&["plan", "--model", "mine.toml", "--recipe", recipe]);
    assert!(plan("wage").contains(
        "note: the recipe has no biases (bias = \"none\"), so those of the network are left out: fc1"
    ));
    assert!(!plan("float32").contains("no biases"));
}

/// Settings say what was trained: a resume that has nothing to do changes none, and says how to train on.
#[test]
fn a_run_that_ended_early_keeps_its_settings() {
    let place = Place::new();
    let sets = ["--set", "patience=1", "--set", "learning_rate=0.0078125", "--set", "schedule=[]"];
    place.json(&[&["train", "--epochs", "9", "--out", "run"][..], &sets].concat());
    let config = || std::fs::read_to_string(place.path("run/config.toml")).unwrap();
    let before = config();
    let output = place.run(&["train", "--resume", "run", "--epochs", "12"]);
    let told = text(&output.stderr);
    assert!(told.contains("train on from the last ones, at a smaller learning rate, with: intrain train run/config.toml --init run"), "{told}");
    assert_eq!(config(), before);
}

/// Where a run ended before is evaluated, too, which costs the longer one neither its patience nor its bits.
#[test]
fn a_longer_run_keeps_its_patience() {
    let place = Place::new();
    let sets = ["--set", "patience=2", "--set", "evaluate_every=2", "--set", "learning_rate=0.0078125"];
    let start = [&["train", "--set", "schedule=[]"][..], &sets].concat();
    let train = |more: &[&str]| place.json(&[&start[..], more].concat());
    let whole = train(&["--epochs", "30", "--out", "whole"]);
    let steps = whole["steps"].as_u64().unwrap();
    assert!(steps < 30 * 44, "{whole}");
    for (i, steps_before) in [44, 60, steps - 88, steps - 44, steps - 1].into_iter().enumerate() {
        let out = format!("parts{i}");
        train(&["--epochs", "30", "--max-steps", &steps_before.to_string(), "--out", &out]);
        let resumed = place.json(&["train", "--resume", &out, "--max-steps", "2000"]);
        for key in ["steps", "weights_sha256", "test_error"] {
            assert_eq!(resumed[key], whole[key], "{key} behind {steps_before} of {steps} steps");
        }
    }
}

#[test]
fn more_epochs_of_a_cosine_are_told() {
    let place = Place::new();
    let start = ["train", "--recipe", "gupta", "--epochs", "1", "--set", "cosine=true", "--out", "run"];
    place.json(&start);
    let told = text(&place.run(&["train", "--resume", "run", "--epochs", "2"]).stderr);
    assert!(
        told.contains("cosine spreads the learning rates over 2 epochs from here on, and over 1 before"),
        "{told}"
    );
    // Nothing changes without more of them.
    let told = text(&place.run(&["train", "--resume", "run", "--epochs", "2"]).stderr);
    assert!(!told.contains("cosine"), "{told}");
}

#[test]
fn a_folder_is_said_to_be_one() {
    let place = Place::new();
    std::fs::create_dir(place.path("photos")).unwrap();
    let message = place.refusal(&["train", "--data", "photos"]);
    assert!(message.contains("but there is such a folder: write folder:photos"), "{message}");
    place.json(&["train", "--epochs", "1", "--max-steps", "1", "--out", "run"]);
    let message = place.refusal(&["predict", "run", "photos"]);
    assert!(message.contains("photos: holds 0 files named .png"), "{message}");
    // A folder stands for its images.
    let grey = image::GrayImage::from_fn(8, 8, |x, y| image::Luma([u8::try_from(16 * x + y).unwrap()]));
    for name in ["photos/b.png", "photos/._b.png", "photos/below/a.png", "c.png"] {
        std::fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
        grey.save(place.path(name)).unwrap();
    }
    let answers = place.json(&["predict", "run", "photos", "c.png"]);
    let names: Vec<_> = answers["images"].as_array().unwrap().iter().map(|image| &image["image"]).collect();
    assert_eq!(names, ["photos/b.png", "photos/below/a.png", "c.png"]);
}
