//! The promises of a run: the same weights on any threads and kernels, after any interruption, and through failures.
//!
//! A small network on the embedded digits, 60 steps in epochs of 22, so that every run ends in the middle of its third.

use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use intrain_data::Dataset;
use intrain_kernels::Isa;
use intrain_nn::{Context, Stored};
use intrain_recipe::{Exception, Pattern, Recipe, Role, preset};
use intrain_train::metrics::{self, Row};
use intrain_train::{Config, Observer, Progress, Run, RunDir, Summary, TrainError, checkpoint, saved};

static DIGITS: LazyLock<Arc<Dataset>> = LazyLock::new(|| Arc::new(intrain_data::digits::load().unwrap()));

const SETTINGS: &str = r#"
batch_size = 65
epochs = 3
max_steps = 60
checkpoint_every = 7
[model]
name = "small"
input = { h = 8, w = 8, c = 1, pixels = "x/256" }
[[model.layer]]
name = "conv1"
kind = "conv"
out = 6
kernel = 3
pad = 1
bias = true
[[model.layer]]
name = "pool1"
kind = "max-pool"
size = 3
stride = 2
[[model.layer]]
name = "relu1"
kind = "relu"
[[model.layer]]
name = "flatten1"
kind = "flatten"
[[model.layer]]
name = "fc1"
kind = "linear"
out = 10
bias = true
"#;

/// Steps of an epoch: 1438 images in batches of 65.
const EPOCH: u64 = 22;

fn config(recipe: &Recipe, sets: &[&str]) -> Config {
    let mut keys: toml::Table = SETTINGS.parse().unwrap();
    keys.insert("recipe".to_owned(), recipe.to_toml().parse::<toml::Table>().unwrap().into());
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    Config::resolve(keys, &sets, DIGITS.shape, DIGITS.n_classes).unwrap()
}

/// Stored weights, updates and momentum become 20 bits wide with the second epoch.
fn switching(base: &str) -> Recipe {
    let mut recipe = preset(base).unwrap();
    let wide = preset(&base.replace("gupta", "gupta:Q4.16")).unwrap();
    for role in [Role::Master, Role::Update, Role::Momentum] {
        let quantizer = wide.slot(role).base;
        recipe.slot_mut(role).except.push(Exception { layers: Pattern::any(), from_epoch: 1, quantizer });
    }
    recipe
}

/// Stops a run by request, or as a crash would.
#[derive(Default)]
struct Watch {
    stop_at: Option<u64>,
    crash_at: Option<u64>,
    warnings: Vec<String>,
}

impl Observer for Watch {
    fn step(&mut self, progress: &Progress) -> ControlFlow<()> {
        if self.crash_at == Some(progress.step) {
            // Quietly: nothing of the run is told, and no message is printed.
            resume_unwind(Box::new("crash"));
        }
        if self.stop_at == Some(progress.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn epoch(&mut self, _: &Row) {}

    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

fn context(isa: Isa, threads: usize) -> Context {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    Context { isa, threads: Arc::new(threads), machine: None }
}

fn start(config: &Config, dir: &Path, context: Context) -> Result<Run, TrainError> {
    Run::start(config.clone(), DIGITS.clone(), context, RunDir::create(dir)?)
}

fn resume(config: &Config, dir: &Path, context: Context) -> Result<Run, TrainError> {
    Run::resume(config.clone(), DIGITS.clone(), context, RunDir(dir.to_owned()))
}

fn train(run: Result<Run, TrainError>, stop_at: Option<u64>) -> Summary {
    let mut watch = Watch { stop_at, ..Watch::default() };
    let summary = run.and_then(|run| run.train(&mut watch)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(summary.interrupted, stop_at.is_some());
    summary
}

fn whole(config: &Config, isa: Isa, threads: usize) -> (Summary, Vec<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let summary = train(start(config, &dir, context(isa, threads)), None);
    assert_eq!((summary.steps, summary.epochs), (60, 2));
    (summary, rows(&dir))
}

/// The rows of `metrics.csv`, without what a clock has measured.
fn rows(dir: &Path) -> Vec<Row> {
    let rows = metrics::read(&RunDir(dir.to_owned()).metrics()).unwrap();
    rows.into_iter().map(|row| Row { images_per_second: 0.0, seconds: 0.0, ..row }).collect()
}

/// What must not depend on how a run got to its end.
fn result(summary: &Summary) -> (&str, u64, [u64; 3]) {
    let numbers = [summary.train_loss, summary.test_error, summary.best_test_error].map(f64::to_bits);
    (&summary.weights_sha256, summary.steps, numbers)
}

#[test]
fn weights_are_the_same_on_any_threads_and_kernels() {
    for (spec, sets) in [
        ("wage", &[][..]),
        ("wage:2-8-12-12", &[]),
        ("gupta", &[]),
        ("gupta:nearest", &["momentum=0", "weight_decay=0"]),
        ("li-ef:all", &[]),
    ] {
        let config = config(&preset(spec).unwrap(), sets);
        let (expected, expected_rows) = whole(&config, Isa::Reference, 1);
        assert_eq!(expected_rows.len(), 3);
        for isa in Isa::available() {
            for threads in 1..=3 {
                let (summary, rows) = whole(&config, isa, threads);
                assert_eq!(result(&summary), result(&expected), "{spec}: {threads} threads, {}", isa.name());
                assert_eq!(rows, expected_rows, "{spec}: {threads} threads, {}", isa.name());
            }
        }
    }
    let config = config(&preset("float32").unwrap(), &[]);
    let (expected, expected_rows) = whole(&config, Isa::best(), 1);
    for threads in 2..=3 {
        let (summary, rows) = whole(&config, Isa::best(), threads);
        assert_eq!((result(&summary), rows), (result(&expected), expected_rows.clone()), "{threads} threads");
    }
}

#[test]
fn learning_is_real() {
    // Ternary weights in so small a network need more than 60 steps; guessing is wrong nine times in ten.
    for (spec, sets, limit) in [
        ("wage", &[][..], 0.6),
        ("wage:8-8-16-16", &["learning_rate=1024"], 0.3),
        ("gupta", &["learning_rate=0.1"], 0.3),
        ("float32", &["learning_rate=0.1"], 0.3),
        ("intrain-int8", &["learning_rate=0.1"], 0.3),
        ("niti", &[], 0.3),
    ] {
        let (summary, rows) = whole(&config(&preset(spec).unwrap(), sets), Isa::best(), 2);
        assert!(summary.test_error < limit, "{spec}: {rows:?}");
    }
}

#[test]
fn an_interrupted_run_goes_on_as_if_nothing_had_been() {
    let recipes =
        ["wage", "gupta", "float32", "intrain-int8", "niti", "li-ef:all"].map(|spec| preset(spec).unwrap());
    for recipe in recipes.into_iter().chain([switching("gupta")]) {
        let config = config(&recipe, &[]);
        let (expected, expected_rows) = whole(&config, Isa::best(), 2);
        // At the first step, around checkpoints and ends of epochs, at the last step, and several times.
        let points: [&[u64]; 8] = [
            &[1],
            &[14],
            &[EPOCH - 1],
            &[EPOCH],
            &[EPOCH + 1],
            &[2 * EPOCH],
            &[60],
            &[3, 4, EPOCH, 30, 2 * EPOCH - 1, 2 * EPOCH, 59],
        ];
        for stops in points {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("run");
            train(start(&config, &dir, context(Isa::best(), 1)), Some(stops[0]));
            for (i, stop) in stops[1..].iter().enumerate() {
                train(resume(&config, &dir, context(Isa::best(), i % 3 + 1)), Some(*stop));
            }
            let summary = train(resume(&config, &dir, context(Isa::best(), 3)), None);
            assert_eq!(result(&summary), result(&expected), "{}, stopped at {stops:?}", recipe.name);
            assert_eq!(rows(&dir), expected_rows, "{}, stopped at {stops:?}", recipe.name);
        }
    }
}

#[test]
fn a_run_that_crashed_goes_on_from_its_last_checkpoint() {
    let config = config(&preset("gupta").unwrap(), &[]);
    let (expected, expected_rows) = whole(&config, Isa::best(), 2);
    // Before the first checkpoint, between two, behind the end of an epoch, and twice.
    for crashes in [&[5][..], &[13], &[EPOCH + 1, 40], &[59]] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        for (i, crash) in crashes.iter().enumerate() {
            let run = if i == 0 { start } else { resume }(&config, &dir, context(Isa::best(), 2)).unwrap();
            let mut watch = Watch { crash_at: Some(*crash), ..Watch::default() };
            assert!(catch_unwind(AssertUnwindSafe(|| run.train(&mut watch))).is_err());
        }
        let summary = train(resume(&config, &dir, context(Isa::best(), 2)), None);
        assert_eq!(result(&summary), result(&expected), "crashed at {crashes:?}");
        assert_eq!(rows(&dir), expected_rows, "crashed at {crashes:?}");
    }
}

/// With updates that all come to nothing, a switch to a finer format moves every weight exactly.
#[test]
fn a_switch_of_formats_moves_weights_exactly() {
    let sets = ["momentum=0", "weight_decay=0", "schedule=[[1, 0.0000001]]"];
    let config = config(&switching("gupta:nearest"), &sets);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    train(start(&config, &dir, context(Isa::best(), 2)), Some(EPOCH));
    let before = saved::read_model(&RunDir(dir.clone()).model()).unwrap();
    assert_eq!(before.recipe.master.base.format.bits(), 16);
    assert!(before.recipe.master.except.is_empty(), "the model's recipe is not that of its weights");
    train(resume(&config, &dir, context(Isa::best(), 2)), None);
    let after = saved::read_model(&RunDir(dir.clone()).model()).unwrap();
    assert_eq!(after.recipe.master.of_layer("fc1").format.bits(), 20);
    for (before, after) in before.parameters.iter().zip(&after.parameters) {
        assert!(matches!((&before.weight, &after.weight), (Stored::I16(_), Stored::I32(_))));
        for i in 0..before.weight.len() {
            assert_eq!(after.weight.code(i), 4 * before.weight.code(i), "weight {i}");
        }
    }
}

#[test]
fn what_a_later_epoch_would_refuse_is_refused_at_the_start() {
    let mut recipe = preset("gupta").unwrap();
    let quantizer = "fixed<4,16> nearest-down".parse().unwrap();
    recipe.master.except.push(Exception { layers: Pattern("fc*".to_owned()), from_epoch: 2, quantizer });
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: &Config| {
        let dir = folder.path().join("run");
        let run = Run::start(config.clone(), DIGITS.clone(), context(Isa::best(), 1), RunDir(dir));
        run.map(|_| ()).unwrap_err().to_string()
    };
    let message = refused(&config(&recipe, &[]));
    assert!(message.contains("'fc1'") && message.contains("does not lie on the grid"), "{message}");
    // Rates whose exact sums would not fit 128 bits, at the start or later.
    let gupta = preset("gupta").unwrap();
    for sets in [
        &["learning_rate=1e-300"][..],
        &["weight_decay=1e-300"],
        &["momentum=1e-300"],
        &["schedule=[[2, 1e-40]]"],
    ] {
        let message = refused(&config(&gupta, sets));
        assert!(message.contains("bits, and there are 124"), "{sets:?}: {message}");
    }
    // Images of another size than the network's.
    let mut other = config(&gupta, &[]);
    other.model.input.shape.h = 9;
    let message = refused(&other);
    assert!(message.contains("9x8x1") && message.contains("8x8x1"), "{message}");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let recipe = preset("wage").unwrap();
    let ours = config(&recipe, &[]);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    train(start(&ours, &dir, context(Isa::best(), 1)), Some(3));
    let mut other_model = ours.clone();
    other_model.model.layers[2].name = "rectifier".to_owned();
    for (other, part) in [
        (config(&recipe, &["seed=2"]), "belongs to another run: seed was 1 and is 2 now"),
        (config(&recipe, &["learning_rate=4"]), "learning_rate was 8.0 and is 4.0 now"),
        (config(&recipe, &["max_steps=2"]), "max_steps = 2 lies behind step 3"),
        (config(&preset("wage:2-8-8-6").unwrap(), &[]), "belongs to another recipe"),
        (other_model, "belongs to another model"),
    ] {
        let error = resume(&other, &dir, context(Isa::best(), 1)).map(|_| ()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(part), "{message}");
    }
    let mut data = (**DIGITS).clone();
    data.train.labels.swap(0, 1);
    let run = Run::resume(ours, Arc::new(data), context(Isa::best(), 1), RunDir(dir));
    let message = run.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("last.ckpt: it belongs to other data"), "{message}");
}

/// What earlier versions kept in the momentum under error feedback is no residual, and says so by a key that is not there.
#[test]
fn error_feedback_of_an_earlier_version_is_not_resumed() {
    let config = config(&preset("li-ef:all").unwrap(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    train(start(&config, &dir, context(Isa::best(), 1)), Some(3));
    train(resume(&config, &dir, context(Isa::best(), 1)), Some(5));
    let last = RunDir(dir.clone()).last();
    let mut earlier = checkpoint::read(&last).unwrap();
    assert_eq!(earlier.header.remove("error_feedback").as_deref(), Some("residual"));
    checkpoint::write(&last, &earlier).unwrap();
    let error = resume(&config, &dir, context(Isa::best(), 1)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("last.ckpt: it is of an earlier version"), "{error}");
}

#[test]
fn a_folder_holds_one_run_and_one_process() {
    let config = config(&preset("wage").unwrap(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let run = start(&config, &dir, context(Isa::best(), 1)).unwrap();
    let message = resume(&config, &dir, context(Isa::best(), 1)).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("another process trains in this folder"), "{message}");
    let whole = train(Ok(run), None);

    // Whatever is left of a run, no other begins there.
    fs::remove_dir_all(dir.join("checkpoints")).unwrap();
    fs::create_dir(dir.join("checkpoints")).unwrap();
    let metrics = fs::read(dir.join("metrics.csv")).unwrap();
    let message = resume(&config, &dir, context(Isa::best(), 1)).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("last.ckpt: no such file, though the run has 3 rows of metrics"), "{message}");
    fs::remove_file(dir.join("config.toml")).unwrap();
    let message = start(&config, &dir, context(Isa::best(), 1)).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("metrics.csv: there is a run already"), "{message}");
    assert_eq!(fs::read(dir.join("metrics.csv")).unwrap(), metrics);

    // A flipped bit of a weight in the trained model.
    let model = dir.join("model.safetensors");
    assert_eq!(saved::weights_sha256(&saved::read_model(&model).unwrap().parameters), whole.weights_sha256);
    let mut bytes = fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model, bytes).unwrap();
    let message = saved::read_model(&model).unwrap_err().to_string();
    assert!(message.contains("model.safetensors: damaged: its weights have the SHA-256"), "{message}");
}

#[test]
fn a_run_that_was_stopped_tells_of_no_other_weights() {
    let config = config(&preset("wage").unwrap(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let stopped = train(start(&config, &dir, context(Isa::best(), 1)), Some(EPOCH + 3));
    assert!(stopped.test_error.is_nan() && stopped.best_test_error < 1.0);
    assert!(stopped.train_loss.is_finite());
    let rows_before = metrics::read(&RunDir(dir.clone()).metrics()).unwrap();
    let whole = train(resume(&config, &dir, context(Isa::best(), 1)), None);
    assert!(whole.test_error <= 1.0);
    let seconds: Vec<f64> =
        metrics::read(&RunDir(dir).metrics()).unwrap().iter().map(|row| row.seconds).collect();
    assert_eq!(seconds[0], rows_before[0].seconds);
    assert!(seconds.is_sorted(), "time goes on: {seconds:?}");
}

/// The images and the table are of the last step's weights, so a run that was stopped before its evaluation has none.
#[test]
fn the_report_shows_the_answers_at_the_end_and_after_a_resume_behind_it() {
    let config = config(&preset("wage").unwrap(), &["max_steps=25"]);
    let dir = tempfile::tempdir().unwrap();
    let page = || fs::read_to_string(dir.path().join("report.html")).unwrap();
    train(start(&config, dir.path(), context(Isa::best(), 1)), Some(24));
    assert!(!page().contains("of 359 test images"));
    let summary = train(resume(&config, dir.path(), context(Isa::best(), 1)), None);
    let first = page();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of images")]
    let n_wrong = (summary.test_error * 359.0).round() as u64;
    assert!(first.contains(&format!("{n_wrong} of 359 test images")), "{n_wrong}");
    assert_eq!(first.matches("data:image/png").count() as u64, n_wrong.min(16));
    train(resume(&config, dir.path(), context(Isa::best(), 1)), None);
    let answers =
        |page: &str| page.split("<h2>").filter(|part| part.contains("test images")).collect::<String>();
    assert_eq!(answers(&page()), answers(&first));
}

#[test]
fn damaged_checkpoints_are_refused_and_the_best_one_goes_on() {
    let config = config(&preset("wage").unwrap(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let dir = RunDir(path.clone());
    train(start(&config, &path, context(Isa::best(), 2)), Some(EPOCH + 3));
    let good = fs::read(dir.last()).unwrap();
    let (metrics, config_text) = (fs::read(dir.metrics()).unwrap(), fs::read(dir.config()).unwrap());
    let pool = context(Isa::best(), 1);
    let refused = |bytes: &[u8], how: &str| {
        fs::write(dir.last(), bytes).unwrap();
        let error = resume(&config, &path, pool.clone()).map(|_| ());
        let message = error.expect_err(how).to_string();
        assert!(message.contains("last.ckpt"), "{how}: {message}");
        message
    };
    for end in (0..good.len()).step_by(7) {
        let message = refused(&good[..end], &format!("cut at {end}"));
        assert!(message.contains("cut short"), "cut at {end}: {message}");
    }
    let mut bytes = good.clone();
    for at in 0..good.len() {
        bytes[at] ^= 1 << (at % 8);
        refused(&bytes, &format!("byte {at} flipped"));
        bytes[at] = good[at];
    }
    assert_eq!((fs::read(dir.metrics()).unwrap(), fs::read(dir.config()).unwrap()), (metrics, config_text));

    fs::remove_file(dir.last()).unwrap();
    let summary = train(resume(&config, &path, context(Isa::best(), 2)), None);
    let (expected, expected_rows) = whole(&config, Isa::best(), 1);
    assert_eq!(result(&summary), result(&expected));
    assert_eq!(rows(&path), expected_rows);
}

/// The temporary's name is made to lead to `/dev/full`, where the system answers each write with "disk full".
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_and_leaves_the_old_checkpoint() {
    let config = config(&preset("wage").unwrap(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let dir = RunDir(path.clone());
    train(start(&config, &path, context(Isa::best(), 2)), Some(10));
    let old = fs::read(dir.last()).unwrap();

    let temporary = dir.last().with_file_name(format!("last.ckpt.tmp-{}", std::process::id()));
    std::os::unix::fs::symlink("/dev/full", temporary).unwrap();
    let run = resume(&config, &path, context(Isa::best(), 2)).unwrap();
    let message = run.train(&mut Watch::default()).unwrap_err().to_string();
    assert!(message.contains("last.ckpt") && message.contains("free space"), "{message}");
    assert_eq!(fs::read(dir.last()).unwrap(), old);

    let summary = train(resume(&config, &path, context(Isa::best(), 2)), None);
    assert_eq!(result(&summary), result(&whole(&config, Isa::best(), 2).0));
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let config = config(&preset("wage").unwrap(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = start(&config, &path, context(Isa::best(), 1)).unwrap();
    fs::create_dir(RunDir(path.clone()).last()).unwrap();
    let message = run.train(&mut Watch::default()).unwrap_err().to_string();
    assert!(message.contains("last.ckpt: cannot put the new file in its place"), "{message}");

    let again = start(&config, &path, context(Isa::best(), 1)).map(|_| ()).unwrap_err().to_string();
    assert!(again.contains("there is a run already") && again.contains("--resume"), "{again}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let below =
        start(&config, &file.join("run"), context(Isa::best(), 1)).map(|_| ()).unwrap_err().to_string();
    assert!(below.contains("cannot create") && below.contains("--out"), "{below}");
}

#[test]
fn validation_chooses_the_best_and_survives_a_restart() {
    let config = |share: &str| config(&preset("wage").unwrap(), &[&format!("validation={share}")]);
    let folder = tempfile::tempdir().unwrap();
    let (dir, again) = (folder.path().join("whole"), folder.path().join("again"));
    let whole = train(start(&config("0.1"), &dir, context(Isa::best(), 2)), None);
    let of_whole = rows(&dir);
    // The 1,298 images that are left make 19 steps.
    assert_eq!((whole.steps, whole.epochs, of_whole.len()), (57, 3, 3));
    let by_validation =
        |a: &&Row, b: &&Row| a.validation_error.unwrap().total_cmp(&b.validation_error.unwrap());
    let best = of_whole.iter().min_by(by_validation).unwrap();
    let chosen = (whole.best_validation_error, Some(whole.best_test_error));
    assert_eq!(chosen, (best.validation_error, best.test_error));
    assert_eq!(whole.validation_error, of_whole[2].validation_error);
    assert_eq!(whole.test_top5_error, None);

    train(start(&config("0.1"), &again, context(Isa::best(), 1)), Some(47));
    let resumed = train(resume(&config("0.1"), &again, context(Isa::Reference, 2)), None);
    assert_eq!(result(&resumed), result(&whole));
    assert_eq!((resumed.best_validation_error, rows(&again)), (whole.best_validation_error, of_whole));
    let saved = |dir: &Path| saved::read_model(&RunDir(dir.to_owned()).model()).unwrap().validation;
    assert!((saved(&again) - 0.1).abs() < 1e-12);
    for other in ["0", "0.2"] {
        let refused =
            resume(&config(other), &again, context(Isa::best(), 1)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("it belongs to another run: validation was 0.1 and is "), "{refused}");
    }
}
