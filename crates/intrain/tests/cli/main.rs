//! The whole program: what is printed, where, with which exit code. Help, tables and messages are snapshots.

mod accel;
mod divergence;
mod export;
mod files;
mod formats;
mod keys;
mod logits;
mod models;
mod older;
mod predict;
mod runs;
mod shell;
mod steering;
mod sweeps;
mod tables;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own for each test, in which no data set is found.
struct Place(TempDir);

/// Programs that tests start hear Ctrl-C, also where a script started the tests in the background and so has it ignored: a handler,
/// unlike that, is not inherited. The tests themselves still end by it.
fn hear_ctrl_c() {
    #[cfg(unix)]
    {
        use std::sync::atomic::AtomicBool;
        use std::sync::{Arc, Once};
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let (signal, always) = (signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(true)));
            signal_hook::flag::register_conditional_default(signal, always).unwrap();
        });
    }
}

impl Place {
    fn new() -> Self {
        hear_ctrl_c();
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_intrain"));
        command.args(args).current_dir(self.0.path()).env("INTRAIN_DATA", self.0.path().join("data"));
        command.env("HOME", self.0.path()).env_remove("XDG_CACHE_HOME").env("COLUMNS", "100");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a command that succeeds.
    fn stdout(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a command that refuses its input: exit code 2, and nothing on standard output.
    fn refusal(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{args:?}");
        text(&output.stderr).replace(&self.0.path().display().to_string(), "[PLACE]")
    }

    /// The object of a command with `--json`, which must be all of standard output.
    fn json(&self, args: &[&str]) -> Value {
        let stdout = self.stdout(&[args, &["--json"]].concat());
        assert_eq!(stdout.lines().count(), 1, "{args:?}: {stdout}");
        serde_json::from_str(&stdout).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_teaches() {
    let place = Place::new();
    for (name, args) in [
        ("intrain", &["--help"][..]),
        ("train", &["train", "--help"]),
        ("eval", &["eval", "--help"]),
        ("plan", &["plan", "--help"]),
        ("formats", &["formats", "--help"]),
        ("requantize", &["requantize", "--help"]),
        ("explain", &["explain", "--help"]),
        ("gemm", &["gemm", "--help"]),
        ("vectors_export", &["vectors", "export", "--help"]),
        ("runs", &["runs", "--help"]),
        ("predict", &["predict", "--help"]),
        ("recipe", &["recipe", "--help"]),
        ("recipe_show", &["recipe", "show", "--help"]),
        ("recipe_check", &["recipe", "check", "--help"]),
        ("model", &["model", "--help"]),
        ("model_show", &["model", "show", "--help"]),
        ("quantize", &["quantize", "--help"]),
        ("data", &["data", "--help"]),
        ("inspect", &["inspect", "--help"]),
        ("verify", &["verify", "--help"]),
        ("verify_export", &["verify", "export", "--help"]),
        ("verify_onnx", &["verify", "onnx", "--help"]),
        ("export", &["export", "--help"]),
        ("import", &["import", "--help"]),
        ("bench", &["bench", "--help"]),
        ("lab", &["lab", "--help"]),
        ("sweep", &["sweep", "--help"]),
        ("accel_sim", &["accel", "sim", "--help"]),
        ("accel_rtl", &["accel", "rtl", "--help"]),
        ("accel_report", &["accel", "report", "--help"]),
        ("accel_sweep", &["accel", "sweep", "--help"]),
    ] {
        insta::assert_snapshot!(format!("help_{name}"), place.stdout(args));
    }
}

#[test]
fn recipes_are_shown_compared_and_checked() {
    let place = Place::new();
    insta::assert_snapshot!("recipe_list", place.stdout(&["recipe", "list"]));
    insta::assert_snapshot!("recipe_show_wage", place.stdout(&["recipe", "show", "wage"]));
    insta::assert_snapshot!("recipe_diff", place.stdout(&["recipe", "diff", "wage", "gupta:nearest"]));
    let levels = place.stdout(&["recipe", "levels", "3n"]);
    assert!(levels.contains("levels<0.3177,1.0001,1.8936> clipped"), "{levels}");
    assert!(place.stdout(&["recipe", "diff", "wage", "wage"]).contains("the same in every row"));

    let file = place.path("mine.toml");
    let toml = place.stdout(&["recipe", "show", "gupta:nearest", "--toml"]);
    std::fs::write(&file, &toml).unwrap();
    assert_eq!(place.stdout(&["recipe", "diff", "mine.toml", "gupta:nearest"]).lines().count(), 1);
    insta::assert_snapshot!("recipe_check", place.stdout(&["recipe", "check", "mine.toml"]));
    std::fs::write(&file, toml.replace("\"momentum\"", "\"momentun\"")).unwrap();
    insta::assert_snapshot!("recipe_check_wrong", place.refusal(&["recipe", "check", "mine.toml"]));
    std::fs::write(
        &file,
        format!(
            "{toml}\n[[except]]\nrole = \"master\"\nlayers = \"dense*\"\nquantizer = \"fixed<4,16> floor\"\n"
        ),
    )
    .unwrap();
    let message = place.refusal(&["plan", "--recipe", "mine.toml"]);
    assert!(message.contains("dense*") && message.contains("conv1, conv2, fc1, fc2"), "{message}");

    let rows = place.json(&["recipe", "show", "wage"])["rows"].as_array().unwrap().len();
    assert!(rows >= 14, "{rows}");
}

#[test]
fn a_plan_needs_no_data() {
    let place = Place::new();
    insta::assert_snapshot!(
        "plan_wage_lenet5",
        place.stdout(&["plan", "--model", "lenet5", "--recipe", "wage"])
    );
    let gupta = place.json(&["plan", "--data", "cifar-10", "--model", "gupta-cifar", "--recipe", "gupta"]);
    assert_eq!(gupta["arithmetic"], "int16");
    assert_eq!(gupta["float_operations"][0]["operation"], "softmax cross-entropy");
    let memory = |key: &str| gupta["memory_bytes"][key].as_u64().unwrap();
    let parts = ["weights", "optimizer", "activations", "errors", "gradients"].map(memory);
    assert_eq!(memory("training"), parts.iter().sum::<u64>());
    assert!(
        memory("inference_of_one_image") < memory("inference") && memory("inference") < memory("training")
    );
    let float = place.stdout(&["plan", "--recipe", "float32"]);
    assert!(float.contains("in float: every operation"), "{float}");
}

#[test]
fn mistakes_are_refused_with_the_remedy() {
    let place = Place::new();
    let cases: &[&[&str]] = &[
        &["trian"],
        &["train", "--modle", "lenet5"],
        &["train", "--model", "lenet"],
        &["train", "--recipe", "wag"],
        &["train", "--data", "minst"],
        &["train", "--data", "mnist"],
        &["train", "--lr", "0.3"],
        &["train", "--epochs", "0"],
        &["train", "--batch-size", "2000"],
        &["train", "--set", "momentun=0.9"],
        &["train", "--threads", "0"],
        &["train", "--kernel", "avx"],
        &["train", "nowhere.toml"],
        &["train", "--resume", "nowhere"],
        &["train", "--resume", "nowhere", "--seed", "2"],
        &["plan", "--data", "mnist", "--model", "vgg7", "--recipe", "wage:8-8-8-8"],
        &["recipe", "show", "gupta:Q0.8"],
        &["recipe", "show", "li-sr:0"],
        &["recipe", "show", "li-sr:-0.5"],
        &["recipe", "show", "hwgq:16"],
        &["train", "--recipe", "hwgq", "--set", "recipe.roles.activation=levels<0.5,0.5> clipped"],
        &["train", "--recipe", "li-sr", "--set", "recipe.roles.master=grid<0,4> stochastic"],
        &["train", "--recipe", "li-bc", "--model", "mlp", "--data", "digits"],
        &["plan", "--recipe", "wage", "--model", "resnet20"],
        &["plan", "--recipe", "gupta", "--require-integer"],
        &["plan", "--recipe", "float32", "--model", "resnet20", "--require-integer"],
        &[
            "plan",
            "--recipe",
            "intrain-int8",
            "--model",
            "wrn-56-2",
            "--set",
            "recipe.roles.activation=fixed<4,4> stochastic",
        ],
        &["train", "--recipe", "wage", "--set", "optimizer=adam"],
        &["plan", "--model", "vgg9:0"],
        &["model", "show", "vgg"],
        &["model", "show", "lenet5:3"],
        &["model", "show", "nowhere.toml"],
        &["accel", "sim", "--n", "0"],
        &["accel", "rtl", "--n", "29", "--out", "never"],
        &["accel", "rtl", "--n", "4", "--product", "4x4", "--out", "never"],
        &["accel", "sim", "--n", "4", "--data", "mnist", "--recipe", "wage"],
        &["accel", "report", "--ecp5", "--out", "never"],
        &["accel", "sweep", "nowhere.toml"],
        &["sweep", "nowhere.toml"],
        &["lab", "tya"],
        &["lab", "toy", "--noise", "0"],
        &["recipe", "check", "nowhere.toml"],
        &["eval", "nowhere"],
        &["inspect", "nowhere"],
        &["data", "info", "cifar10"],
        &["data", "fetch", "digits"],
        &["verify", "gold"],
        &["bench", "vgg7-wag"],
        &["bench", "--repeat", "0"],
        &["quantize", "nowhere.npy", "--as", "Q4.12"],
        &["quantize", "nowhere.npy", "--as", "Q4,12"],
        &["quantize", "nowhere.npy", "--as", "unit<8>@alpha"],
        &["quantize", "nowhere.npy", "--as", "unit<8>@dynamic"],
        &["quantize", "nowhere.npy", "--as", "unit<8>", "--round", "nearest"],
        &["quantize", "nowhere.npy", "--as", "unit<8>", "--overflow", "saturating"],
    ];
    let all: Vec<String> =
        cases.iter().map(|args| format!("$ intrain {}\n{}", args.join(" "), place.refusal(args))).collect();
    insta::assert_snapshot!("mistakes", all.join("\n"));
    assert!(!place.path("runs/digits-wage-1").exists(), "a refused run leaves no folder");
}

/// A small NPY file of version 1.0.
fn npy(path: &Path, descr: &str, fortran: &str, shape: &str, values: &[u8]) {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    std::fs::write(path, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()).unwrap();
}

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// What follows the header of an NPY file.
fn payload_bytes(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..].to_vec()
}

fn i32s(path: &Path) -> Vec<i32> {
    payload_bytes(path).as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}

#[test]
fn quantize_follows_the_papers_examples() {
    let place = Place::new();
    let (input, ints, out) = (place.path("x.npy"), place.path("i.npy"), place.path("q.npy"));
    let quantize = |extra: &[&str]| {
        let files = ["quantize", "x.npy", "--payload", "i.npy", "--out", "q.npy"];
        (place.json(&[&files, extra].concat()), i32s(&ints))
    };

    // Gupta 2015, <4,12>: ties go down, ends saturate.
    npy(&input, "<f8", "False", "(2, 3)", &f64s(&[0.0001220703125, -0.0001220703125, 0.1, 8.0, -9.0, 0.0]));
    let (result, payloads) = quantize(&["--as", "Q4.12", "--round", "nearest-down"]);
    assert_eq!(payloads, [0, -1, 410, 32_767, -32_768, 0]);
    assert_eq!((&result["saturated"], &result["ties"], &result["zeros"]), (&2.into(), &2.into(), &2.into()));
    assert_eq!(result["shape"], serde_json::json!([2, 3]));
    assert_eq!(
        payload_bytes(&out),
        f64s(&payloads.iter().map(|p| f64::from(*p) / 4096.0).collect::<Vec<_>>())
    );
    let (_, payloads) = quantize(&["--as", "<4,12>", "--overflow", "wrap"]);
    assert_eq!(payloads, [0, 0, 410, -32_768, 28_672, 0]);

    // WAGE 2018: the tensor is divided by Shift(max|x|) = 2^-2, which is thrown away.
    npy(&input, "<f4", "True", "(2, 2)", &[0.3f32, -0.1, 0.05, 0.001].map(f32::to_le_bytes).concat());
    let (result, payloads) = quantize(&["--as", "unit<8>@shift"]);
    assert_eq!(payloads, [127, -51, 26, 1]);
    assert_eq!((&result["scale_log2"], &result["type"]), (&(-2).into(), &"float32".into()));
    assert_eq!(
        payload_bytes(&out),
        payloads.iter().flat_map(|p| (*p as f32 / 128.0).to_le_bytes()).collect::<Vec<_>>()
    );
    assert!(
        text(&std::fs::read(&out).unwrap()[..100].iter().map(|b| b & 127).collect::<Vec<_>>())
            .contains("True")
    );

    // Stochastic: the same seed gives the same bits, another one others, and the mean is right.
    npy(&input, "<f8", "False", "(4000,)", &f64s(&vec![0.25; 4000]));
    let stochastic = ["--as", "int<8>", "--round", "stochastic<16>", "--seed"];
    let with_seed = |seed| quantize(&[&stochastic[..], &[seed]].concat());
    let (result, first) = with_seed("7");
    assert_eq!(first, with_seed("7").1);
    assert_ne!(first, with_seed("8").1);
    assert!(result["bias"].as_f64().unwrap().abs() < 0.03, "{result}");

    // Integers are exact values.
    npy(&input, "|u1", "False", "(3,)", &[255, 3, 0]);
    assert_eq!(quantize(&["--as", "fixed<4,1>"]).1, [15, 6, 0]);

    npy(&input, "<f8", "False", "(2,)", &f64s(&[0.0, f64::NAN]));
    let message = place.refusal(&["quantize", "x.npy", "--as", "Q4.12"]);
    assert!(message.contains("x.npy: element 1 is NaN"), "{message}");
}

#[test]
fn quantize_prints_a_table() {
    let place = Place::new();
    npy(&place.path("x.npy"), "<f8", "False", "(5,)", &f64s(&[0.5, -0.25, 3.0, f64::INFINITY, 0.0]));
    insta::assert_snapshot!("quantize", place.stdout(&["quantize", "x.npy", "--as", "unit<4>"]));
}

#[test]
fn data_is_listed_and_described() {
    let place = Place::new();
    insta::assert_snapshot!("data_list", place.stdout(&["data", "list"]));
    insta::assert_snapshot!("data_info_digits", place.stdout(&["data", "info", "digits"]));
}

/// Trains on the digits for some steps; gives the object.
fn train(place: &Place, extra: &[&str]) -> Value {
    place.json(&[&["train", "--max-steps", "60"], extra].concat())
}

#[test]
fn a_run_trains_repeats_resumes_and_is_read_again() {
    let place = Place::new();
    let first = train(&place, &["--threads", "1", "--kernel", "reference"]);
    for key in [
        "recipe",
        "model",
        "data",
        "seed",
        "epochs",
        "steps",
        "train_loss",
        "test_error",
        "images_per_second",
        "weights_sha256",
        "run_dir",
    ] {
        assert!(!first[key].is_null(), "{key}: {first}");
    }
    assert_eq!((&first["steps"], &first["run_dir"]), (&60.into(), &"runs/digits-wage-1".into()));
    let error = first["test_error"].as_f64().unwrap();
    assert!(error < 0.5, "{error} after 60 steps");

    // Other threads and kernels, from the run's own file, in two pieces: the same weights.
    let config = "runs/digits-wage-1/config.toml";
    let pieces = ["train", config, "--out", "again", "--threads", "2", "--max-steps", "50"];
    assert_eq!(place.json(&pieces)["steps"], 50);
    let resumed = place.json(&["train", "--resume", "again", "--max-steps", "60"]);
    assert_eq!(resumed["weights_sha256"], first["weights_sha256"]);
    assert_ne!(train(&place, &["--seed", "2"])["weights_sha256"], first["weights_sha256"]);

    for model in ["runs/digits-wage-1", "again/model.safetensors"] {
        let evaluated = place.json(&["eval", model]);
        assert_eq!((&evaluated["error"], &evaluated["images"]), (&first["test_error"], &359.into()));
        assert_eq!(evaluated["weights_sha256"], first["weights_sha256"]);
        let inspected = place.json(&["inspect", model]);
        assert_eq!(inspected["weights_sha256"], first["weights_sha256"]);
        assert!(inspected["layers"][0]["zeros_share"].as_f64().unwrap() < 1.0);
    }
    let text = place.stdout(&["inspect", "runs/digits-wage-1"]);
    assert!(text.contains("conv1, unit<8>") && text.contains('#') && text.contains("test error"), "{text}");
    let message = place.refusal(&["train", "--out", "again"]);
    assert!(message.contains("there is a run already"), "{message}");
}

#[test]
fn progress_is_plain_lines_where_there_is_no_terminal() {
    let place = Place::new();
    let output = place.run(&["train", "--epochs", "2", "--out", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.contains("test error") && stdout.contains("weights sha256"), "{stdout}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("epoch ")).count(), 2, "{stderr}");
    assert!(!stderr.contains(['\r', '\x1b']), "{stderr:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_step_and_the_run_goes_on_later() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let place = Place::new();
    let mut command = place.command(&["train", "--out", "run", "--epochs", "3000", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = place.path("run/metrics.csv");
    let began = Instant::now();
    while std::fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "no epoch has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("go on with: intrain train --resume run"));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["interrupted"], true);
    let steps = object["steps"].as_u64().unwrap();
    let resumed = place.json(&["train", "--resume", "run", "--max-steps", &(steps + 3).to_string()]);
    assert_eq!(resumed["steps"], steps + 3);
}

#[test]
fn the_machine_keeps_the_contract() {
    let place = Place::new();
    let text = place.stdout(&["verify"]);
    assert!(text.contains("this machine keeps the contract"), "{text}");
    assert_eq!(place.json(&["verify", "golden"])["ok"], true);
}

#[test]
fn a_bench_compares_works_with_the_machine() {
    let place = Place::new();
    let works = ["bench", "gupta-cnn-float32", "i8-8192x128x1152", "--repeat", "1"];
    let object = place.json(&works);
    let names = |key: &str| -> Vec<String> {
        let rows = object[key].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("works"), ["i8-8192x128x1152", "gupta-cnn-float32"]);
    assert_eq!(names("yardsticks"), ["peak int8", "peak float32"]);
    for work in object["works"].as_array().unwrap() {
        let (share, rate) = (work["share"].as_f64().unwrap(), &work["rate"]);
        assert!(share > 0.0 && work["ms"].as_f64().unwrap() > 0.0, "{work}");
        assert!(
            rate["min"].as_f64() <= rate["median"].as_f64()
                && rate["median"].as_f64() <= rate["max"].as_f64()
        );
    }
    // 2 M N K.
    assert_eq!(object["works"][0]["gop"], 2.0 * 8192.0 * 128.0 * 1152.0 / 1e9);
    let help = place.stdout(&["bench", "--help"]);
    for work in intrain::bench::works() {
        // Products are listed by the two parts of their names.
        let (kind, size) = work.name.split_once('-').unwrap();
        let in_parts = help.contains(&format!("{kind}-")) && help.contains(size);
        // Networks that answer are listed by name, their batches by size.
        let batch = work.name.split_once("-batch-");
        let is_listed = batch.is_some_and(|(network, size)| help.contains(network) && help.contains(size));
        assert!(help.contains(&work.name) || is_listed || (kind.len() <= 3 && in_parts), "{}", work.name);
    }
    let table = place.stdout(&works);
    assert!(
        table.contains("GOP/s") && table.contains("images/s") && table.contains("most memory"),
        "{table}"
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let place = Place::new();
    let mut child = place.command(&["recipe", "list"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
