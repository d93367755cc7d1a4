//! The promises of a session: a run in memory that leaves nothing, and learns what the run with a folder learns.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use intrain_data::{Dataset, Part, Split};
use intrain_kernels::Isa;
use intrain_model::ModelFile;
use intrain_nn::{Context, Logits, Stored};
use intrain_train::config::Init;
use intrain_train::metrics::{self, Row};
use intrain_train::session::Epoch;
use intrain_train::{
    Config, Listener, Observer, Progress, Run, RunDir, Session, Settings, TrainError, saved,
    saved::weights_sha256,
};

static DIGITS: LazyLock<Arc<Dataset>> = LazyLock::new(|| Arc::new(intrain_data::digits::load().unwrap()));

/// Steps of an epoch: 1438 images in batches of 65.
const EPOCH: u64 = 22;

fn config(recipe: &str, sets: &[&str]) -> Config {
    let keys = format!("model = 'digits-cnn'\nrecipe = '{recipe}'\nbatch_size = 65\nepochs = 2");
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    Config::resolve(keys.parse().unwrap(), &sets, DIGITS.shape, DIGITS.n_classes).unwrap()
}

fn context() -> Context {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    Context { isa: Isa::best(), threads: Arc::new(threads), machine: None }
}

fn session(config: Config) -> Session {
    Session::new(config, DIGITS.clone(), context()).unwrap()
}

/// Everything that a session tells; ends it behind a step.
#[derive(Default)]
struct Heard {
    steps: Vec<u64>,
    rows: Vec<Row>,
    n_best: usize,
    warnings: Vec<String>,
    stop_at: Option<u64>,
}

impl Listener for Heard {
    fn step(&mut self, session: &Session, progress: &Progress) -> Result<ControlFlow<()>, TrainError> {
        assert_eq!((session.trainer().steps(), session.n_steps()), (progress.step, progress.n_steps));
        self.steps.push(progress.step);
        let flow = self.stop_at == Some(progress.step);
        Ok(if flow { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn epoch(&mut self, session: &Session, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        assert!(session.is_at_evaluation() && !epoch.details.is_empty());
        self.rows.push(Row { images_per_second: 0.0, seconds: 0.0, ..*epoch.row });
        self.n_best += usize::from(epoch.is_best);
        Ok(())
    }

    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

/// Hears nothing.
struct Deaf;

impl Observer for Deaf {
    fn step(&mut self, _: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn epoch(&mut self, _: &Row) {}

    fn warn(&mut self, _: &str) {}
}

#[test]
fn a_session_learns_what_a_run_learns_however_often_it_is_stopped() {
    for recipe in ["wage", "float32"] {
        let config = config(recipe, &["max_steps=30"]);
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::create(&folder.path().join("run")).unwrap();
        let run = Run::start(config.clone(), DIGITS.clone(), context(), dir).unwrap();
        let summary = run.train(&mut Deaf).unwrap();
        let rows = metrics::read(&RunDir(folder.path().join("run")).metrics()).unwrap();
        let rows: Vec<Row> =
            rows.into_iter().map(|row| Row { images_per_second: 0.0, seconds: 0.0, ..row }).collect();

        let mut whole = session(config.clone());
        let mut heard = Heard::default();
        assert!(!whole.fit(&mut heard).unwrap());
        assert_eq!(weights_sha256(whole.trainer().parameters()), summary.weights_sha256, "{recipe}");
        assert_eq!(heard.rows, rows, "{recipe}");
        assert!(heard.steps.iter().copied().eq(1..=30) && heard.n_best >= 1);
        assert_eq!(whole.best_test_error(), summary.best_test_error);

        let mut parts = session(config);
        let mut heard = Heard::default();
        for stop in [1, EPOCH, EPOCH + 1] {
            heard.stop_at = Some(stop);
            assert!(parts.fit(&mut heard).unwrap());
            assert_eq!(parts.progress().step, stop);
        }
        heard.stop_at = None;
        assert!(!parts.fit(&mut heard).unwrap());
        assert_eq!(weights_sha256(parts.trainer().parameters()), summary.weights_sha256, "{recipe}");
        assert_eq!(heard.rows, rows, "{recipe}");
        // At its end there is nothing left to do.
        assert!(!parts.fit(&mut heard).unwrap());
        assert_eq!(heard.rows.len(), rows.len());
    }
}

#[test]
fn without_a_test_part_nothing_is_measured_on_it() {
    let mut alone = (**DIGITS).clone();
    alone.test = Split::default();
    let mut session = Session::new(config("wage", &[]), Arc::new(alone), context()).unwrap();
    let mut heard = Heard::default();
    session.fit(&mut heard).unwrap();
    assert_eq!((heard.rows.len(), heard.n_best), (2, 0));
    assert!(heard.rows.iter().all(|row| row.test_loss.is_none() && row.test_error.is_none()));
    assert!(session.best_test_error().is_infinite());
    assert_eq!(session.evaluate(Part::Test).unwrap().n, 0);
    assert_eq!(session.evaluate(Part::Train).unwrap().n, DIGITS.train.len());
}

#[test]
fn a_session_that_diverges_says_where() {
    let mut session = session(config("float32", &["learning_rate=1e5"]));
    let error = session.fit(&mut ()).unwrap_err();
    let TrainError::Diverged { step, checkpoint, .. } = &error else { panic!("{error}") };
    assert!(*step == session.trainer().steps() && checkpoint.is_none(), "{error}");
    assert!(error.to_string().contains("there is no checkpoint yet"), "{error}");
}

/// Weights that are read in steps of 1 are all 0 in the last layer, so that its biases alone answer.
#[test]
fn a_network_without_a_signal_is_told_of_once() {
    let coarse = "recipe.roles.weight='fixed<16,0> nearest-even'";
    let told = |config: Config| {
        let mut heard = Heard::default();
        session(config).fit(&mut heard).unwrap();
        heard.warnings.retain(|warning| warning.starts_with("no signal"));
        (heard.warnings, heard.rows.len())
    };
    let (warnings, n_epochs) = told(config("gupta", &[coarse, "learning_rate=0.0001"]));
    assert_eq!((warnings.len(), n_epochs), (1, 2), "{warnings:?}");
    assert!(
        warnings[0].starts_with("no signal since step 1: every image gets the same logits"),
        "{warnings:?}"
    );
    for recipe in ["gupta", "wage", "float32"] {
        assert_eq!(told(config(recipe, &[])).0, [""; 0], "{recipe}");
    }
}

#[test]
fn rates_are_proven_before_the_first_step() {
    // Set behind the checks of the text, as a program may.
    let refused = |recipe: &str, change: &dyn Fn(&mut Settings)| {
        let mut wrong = config(recipe, &[]);
        change(&mut wrong.settings);
        Session::new(wrong, DIGITS.clone(), context()).map(|_| ()).unwrap_err().to_string()
    };
    for change in [
        &(|s: &mut Settings| s.schedule = vec![(1, 1e-40)]) as &dyn Fn(&mut Settings),
        &|s| s.learning_rate = 1e-300,
        // The last steps of a polynomial schedule have the smallest rates.
        &|s| (s.poly, s.epochs) = (10.0, 50_000),
    ] {
        let message = refused("gupta", change);
        assert!(message.contains("learning rate") && message.contains("bits, and there are"), "{message}");
    }
    let message = refused("wage", &|s| s.learning_rate = 0.3);
    assert!(message.contains("0.3 is not a power of two"), "{message}");
    let message = refused("wage", &|s| s.epochs = 0);
    assert!(message.contains("epochs = 0"), "{message}");

    // A trainer alone is asked by whoever chooses its rates.
    let session = session(config("gupta", &[]));
    assert!(session.trainer().check_rate(0.1).is_ok());
    let message = session.trainer().check_rate(1e-300).unwrap_err().to_string();
    assert!(message.contains("bits, and there are 124"), "{message}");
}

#[test]
fn what_a_session_answers_and_saves_is_the_networks() {
    let config = Config::for_data("digits-cnn", "wage", &DIGITS, &["max_steps=30"]).unwrap();
    assert_eq!((config.settings.max_steps, config.data.as_str()), (30, "digits"));
    let mut session = session(config.clone());
    session.fit(&mut ()).unwrap();
    let logits = session.logits(&DIGITS.test.images).unwrap();
    let Logits::Integers { values, .. } = &logits else { panic!("wage answers in integers") };
    let first_largest = |row: &[i64]| (0..10).fold(0, |best, c| if row[c] > row[best] { c } else { best });
    let answers = values.chunks(10).map(first_largest);
    let n_wrong = answers.zip(&DIGITS.test.labels).filter(|(a, label)| *a != usize::from(**label)).count();
    let test = session.evaluate(Part::Test).unwrap();
    assert_eq!((n_wrong, values.len() / 10), (test.n_wrong, test.n));
    for images in [&[][..], &[0; 65]] {
        let message = session.logits(images).unwrap_err().to_string();
        assert!(message.contains("images of 8x8x1; give 64 bytes"), "{message}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    session.save(&path).unwrap();
    let saved = saved::read_model(&path).unwrap();
    assert_eq!((&saved.model, saved.data.as_str()), (&config.model, "digits"));
    assert_eq!(saved.parameters, session.trainer().parameters());

    // A text is a network or a recipe as well as a name is.
    let (model, recipe) = (ModelFile::preset("digits-cnn").unwrap(), intrain_recipe::preset("wage").unwrap());
    let of_texts = Config::for_data(&model.to_toml(), &recipe.to_toml(), &DIGITS, &["max_steps=30"]).unwrap();
    assert_eq!((&of_texts.model, &of_texts.recipe), (&config.model, &config.recipe));
    assert_eq!(of_texts.settings, config.settings);
    let message = Config::for_data("digits-cnn", "wage", &DIGITS, &["epoch=3"]).unwrap_err().to_string();
    assert!(message.contains("epochs"), "{message}");
}

/// Weight and residual together are the accumulator of BinaryConnect from the start; weights of a file have no residual.
#[test]
fn error_feedback_starts_where_binary_connect_does() {
    let floats = |stored: &Stored| match stored {
        Stored::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    let sets = ["optimizer='adam'", "learning_rate=0.01"];
    let (connect, fed_back) = (session(config("li-bc:all", &sets)), session(config("li-ef:all", &sets)));
    let [(name, residuals), _] = fed_back.trainer().optimizer().moments();
    assert_eq!(name, "momentum");
    let mut n = 0;
    for (i, [residual, _]) in residuals.iter().enumerate() {
        let [accumulator, stored] =
            [&connect, &fed_back].map(|session| &session.trainer().parameters()[i].weight);
        let (accumulator, residual) = (floats(accumulator), floats(residual.as_ref().unwrap()));
        for (k, (a, e)) in accumulator.iter().zip(&residual).enumerate() {
            let sign = if stored.code(k) < 0 { -1.0 } else { 1.0 };
            assert!(*e == a - sign && sign * a >= 0.0, "block {i}, weight {k}: {a} {e}");
            n += 1;
        }
    }
    assert!(n > 1000, "{n} weights");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut other = session(config("li-ef:all", &[&sets[..], &["seed=2"]].concat()));
    other.save(&path).unwrap();
    let mut config = config("li-ef:all", &sets);
    config.init = Some(Init { path: path.display().to_string(), sha256: None });
    let begun = session(config);
    let [(_, residuals), _] = begun.trainer().optimizer().moments();
    assert!(
        residuals.iter().all(|[residual, _]| floats(residual.as_ref().unwrap()).iter().all(|e| *e == 0.0))
    );
    assert_eq!(begun.trainer().parameters(), other.trainer().parameters());
}
