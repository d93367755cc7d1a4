//! The promises of estimated statistics of norms: what they are, that training does not see them, and that the deployed network has
//! them wherever it is.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use intrain_data::{Dataset, Part};
use intrain_nn::{Context, Logits, Moments, Network, Parameters, Plan, Stored};
use intrain_train::metrics::{self, Row};
use intrain_train::saved::{self, weights_sha256};
use intrain_train::session::EVALUATION_BATCH;
use intrain_train::{Config, Observer, Progress, Run, RunDir, Session, statistics, this_machine};

static DIGITS: LazyLock<Arc<Dataset>> = LazyLock::new(|| Arc::new(intrain_data::digits::load().unwrap()));

const MODEL: &str = r#"
name = "small"
input = { h = 8, w = 8, c = 1, pixels = "x/256" }
layer = [
    { name = "conv1", kind = "conv", out = 8, kernel = 3 },
    { name = "norm1", kind = "batch-norm" },
    { name = "relu1", kind = "relu" },
    { name = "flatten1", kind = "flatten" },
    { name = "fc1", kind = "linear", out = 10 },
]
"#;

fn config(recipe: &str, sets: &[&str]) -> Config {
    let sets = [&["batch_size=479", "epochs=2"], sets].concat();
    Config::for_data(MODEL, recipe, &DIGITS, &sets).unwrap()
}

fn context() -> Context {
    this_machine(2).unwrap()
}

fn session(config: Config) -> Session {
    Session::new(config, DIGITS.clone(), context()).unwrap()
}

fn moments(parameters: &[Parameters]) -> &Moments {
    parameters.iter().find_map(|block| block.moments.as_ref()).unwrap()
}

/// A network that has learned a little, and the mean and spread of its norm in each of the first batches.
fn first_batches(recipe: &str, n: u32) -> (Network, Vec<Parameters>, Vec<Moments>) {
    let mut session = session(config(recipe, &["norm_batches=0"]));
    session.fit(&mut ()).unwrap();
    let parameters = session.trainer().parameters().to_vec();
    let config = session.config();
    let plan = Plan::build(&config.model, &config.recipe, 479).unwrap();
    let mut network = Network::new(plan, context());
    let own: Vec<_> = parameters.iter().map(|p| Parameters { moments: None, ..p.clone() }).collect();
    network.load(&own, None);
    let batches = statistics::first_batches(config.batches(DIGITS.clone()).unwrap(), n);
    let of_batch = batches.map(|batch| {
        network.forward(&batch.images, None);
        network.batch_moments().flatten().next().unwrap().clone()
    });
    let of_batches = of_batch.collect();
    (network, parameters, of_batches)
}

#[test]
fn they_are_means_over_batches() {
    for n in [1, 3, 7] {
        let (mut network, parameters, of_batches) = first_batches("intrain-int8", n);
        let batches =
            statistics::first_batches(config("intrain-int8", &[]).batches(DIGITS.clone()).unwrap(), n);
        let estimated = statistics::estimate(&mut network, &parameters, batches);
        let Moments { mean, spread } = moments(&estimated);
        for c in 0..8 {
            let sum = |of: fn(&Moments) -> &Stored| of_batches.iter().map(|m| of(m).code(c)).sum::<i64>();
            // To the nearest, ties down: 2 r n - n <= 2^7 sum, and below 2 r n + n + 1.
            for (stored, sum) in [(mean, sum(|m| &m.mean)), (spread, sum(|m| &m.spread))] {
                let (twice, n) = (2 * stored.code(c) * i64::from(n), i64::from(n));
                assert!(twice - n < 128 * sum && 128 * sum <= twice + n, "channel {c}: {sum} of {n}");
            }
        }
        let (mut network, parameters, of_batches) = first_batches("float32", n);
        let batches = statistics::first_batches(config("float32", &[]).batches(DIGITS.clone()).unwrap(), n);
        let estimated = statistics::estimate(&mut network, &parameters, batches);
        let floats = |stored: &Stored| match stored {
            Stored::F32(values) => values.clone(),
            _ => panic!("{stored:?}"),
        };
        let of_channel = |c: usize| of_batches.iter().map(|m| f64::from(floats(&m.mean)[c])).sum::<f64>();
        #[allow(clippy::cast_possible_truncation, reason = "rounded to binary32 once")]
        let means: Vec<f32> = (0..8).map(|c| (of_channel(c) / f64::from(n)) as f32).collect();
        assert_eq!(floats(&moments(&estimated).mean), means);
        // Nothing else has changed.
        assert_eq!(weights_sha256(&estimated), weights_sha256(&parameters));
    }
}

/// With the statistics of one batch, a network of integers answers that batch as it does where it normalizes by the batch's own.
#[test]
fn of_one_batch_they_are_its_own() {
    for recipe in ["intrain-int8", "wage-l1bn", "wage-rangebn"] {
        let (mut network, parameters, _) = first_batches(recipe, 1);
        let expected = network.logits();
        let batches = || statistics::first_batches(config(recipe, &[]).batches(DIGITS.clone()).unwrap(), 1);
        let estimated = statistics::estimate(&mut network, &parameters, batches());
        network.load(&estimated, None);
        network.forward(&batches().next().unwrap().images, None);
        assert_eq!(network.logits(), expected, "{recipe}");
        network.load(&parameters, None);
        network.forward(&batches().next().unwrap().images, None);
        assert_ne!(network.logits(), expected, "{recipe}: the running statistics say the same");
    }
}

#[test]
fn without_a_batch_nothing_changes() {
    let (mut network, parameters, _) = first_batches("intrain-int8", 1);
    assert_eq!(statistics::estimate(&mut network, &parameters, std::iter::empty()), parameters);
}

#[test]
fn training_does_not_see_them_and_the_deployed_network_has_them() {
    for recipe in ["li-sr:all", "intrain-int8"] {
        let mut without = session(config(recipe, &["norm_batches=0"]));
        let mut with = session(config(recipe, &["norm_batches=3"]));
        without.fit(&mut ()).unwrap();
        with.fit(&mut ()).unwrap();
        assert_eq!(with.trainer().parameters(), without.trainer().parameters(), "{recipe}");
        assert_eq!(without.trainer().deployed(), without.trainer().parameters());
        let deployed = with.trainer().deployed().to_vec();
        assert_ne!(moments(&deployed), moments(with.trainer().parameters()), "{recipe}");
        // Saved, loaded and asked again: the same answers.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        with.save(&path).unwrap();
        let saved = saved::read_model(&path).unwrap();
        assert_eq!(saved.parameters, deployed);
        let images = &DIGITS.test.images[..64 * 10];
        let mut network = Network::new(Plan::build(&saved.model, &saved.recipe, 1).unwrap(), context());
        network.load(&saved.parameters, None);
        network.forward(images, None);
        let same = |a: &Logits, b: &Logits| a.to_f64() == b.to_f64();
        assert!(same(&with.logits(images).unwrap(), &network.logits()), "{recipe}");
    }
}

#[test]
fn binary_weights_have_them_unless_told_otherwise() {
    for (recipe, expected) in
        [("li-bc", 100), ("li-sr:all", 100), ("hwgq", 100), ("intrain-int8", 0), ("float32", 0)]
    {
        assert_eq!(config(recipe, &[]).settings.norm_batches, expected, "{recipe}");
        assert_eq!(config(recipe, &["norm_batches=7"]).settings.norm_batches, 7, "{recipe}");
    }
}

/// Ends a run behind a step.
struct StopAt(u64);

impl Observer for StopAt {
    fn step(&mut self, progress: &Progress) -> ControlFlow<()> {
        if progress.step == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn epoch(&mut self, _: &Row) {}

    fn warn(&mut self, _: &str) {}
}

/// Both numbers are told, a run that was stopped leaves the same network, and so does a checkpoint.
#[test]
fn a_run_reports_both_and_leaves_one_network() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("li-bc", &["norm_batches=2", "max_steps=5"]);
    let start = |name: &str| {
        let dir = RunDir::create(&folder.path().join(name)).unwrap();
        Run::start(config.clone(), DIGITS.clone(), context(), dir.clone()).map(|run| (run, dir)).unwrap()
    };
    let (run, whole) = start("whole");
    let summary = run.train(&mut StopAt(0)).unwrap();
    let (run, parts) = start("parts");
    assert!(run.train(&mut StopAt(4)).unwrap().interrupted);
    // Nothing was evaluated behind the step of this checkpoint, and who reads it can tell.
    assert!(saved::read_model_of_checkpoint(&parts.last(), &config).unwrap().statistics_trail);
    let run = Run::resume(config.clone(), DIGITS.clone(), context(), parts.clone()).unwrap();
    assert_eq!(run.train(&mut StopAt(0)).unwrap().weights_sha256, summary.weights_sha256);
    assert_eq!(std::fs::read(whole.model()).unwrap(), std::fs::read(parts.model()).unwrap());

    let further = metrics::read(&whole.metrics()).unwrap();
    let running = summary.running_test_error.unwrap();
    assert_eq!(further.last().and_then(|row| row.running_test_error), Some(running));
    let saved = saved::read_model(&whole.model()).unwrap();
    let last = saved::read_model_of_checkpoint(&whole.last(), &config).unwrap();
    assert_eq!((last.parameters, last.statistics_trail), (saved.parameters.clone(), false));

    let mut network = Network::new(Plan::build(&saved.model, &saved.recipe, 1).unwrap(), context());
    network.load(&saved.parameters, None);
    let batches = intrain_data::evaluation(&DIGITS, Part::Test, EVALUATION_BATCH).unwrap();
    let (mut n_wrong, mut n) = (0, 0);
    for batch in batches {
        network.forward(&batch.images, None);
        n_wrong += network.outcome(&batch.labels).n_wrong;
        n += batch.len();
    }
    assert_eq!(
        f64::from(u32::try_from(n_wrong).unwrap()) / f64::from(u32::try_from(n).unwrap()),
        summary.test_error
    );
    assert_ne!(summary.test_error, running);
}
