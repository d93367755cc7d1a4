//! What a training takes from the weights of another, and how it ends.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use intrain_data::{Dataset, Part};
use intrain_kernels::Isa;
use intrain_nn::{Context, Stored};
use intrain_train::config::Init;
use intrain_train::{Config, Session, saved};

static DIGITS: LazyLock<Arc<Dataset>> = LazyLock::new(|| Arc::new(intrain_data::digits::load().unwrap()));

fn config(recipe: &str, sets: &[&str]) -> Config {
    let keys = format!("model = 'digits-cnn'\nrecipe = '{recipe}'\nbatch_size = 65\nepochs = 2");
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    Config::resolve(keys.parse().unwrap(), &sets, DIGITS.shape, DIGITS.n_classes).unwrap()
}

fn session(config: Config) -> Result<Session, intrain_train::TrainError> {
    let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
    Session::new(config, DIGITS.clone(), Context { isa: Isa::best(), threads, machine: None })
}

fn from(path: &Path, config: Config) -> Config {
    Config { init: Some(Init { path: path.display().to_string(), sha256: None }), ..config }
}

/// A network that has learned, in a file.
fn trained(recipe: &str, path: &Path) -> Session {
    let mut session = session(config(recipe, &[])).unwrap();
    session.fit(&mut ()).unwrap();
    session.save(path).unwrap();
    session
}

#[test]
fn the_same_recipe_starts_where_the_file_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for recipe in ["wage", "gupta", "niti", "intrain-int8", "hwgq", "li-bc", "float32"] {
        let mut before = trained(recipe, &path);
        let mut after = session(from(&path, config(recipe, &["seed=7"]))).unwrap();
        assert_eq!(after.trainer().parameters(), before.trainer().parameters(), "{recipe}");
        assert_eq!(after.evaluate(Part::Test).unwrap(), before.evaluate(Part::Test).unwrap(), "{recipe}");
        let taken = after.taken().unwrap();
        assert_eq!((taken.n_layers, taken.notes.len()), (4, 0), "{recipe}: {:?}", taken.notes);
        assert_eq!(taken.sha256, saved::weights_sha256(before.trainer().parameters()));
        // What the run resolves to repeats it, and from another file it does not start.
        let again = Config::from_toml(&after.config().to_toml().unwrap()).unwrap();
        assert_eq!(&again, after.config());
        trained("gupta:nearest", &path);
        let message = session(again).err().unwrap().to_string();
        assert!(message.contains("put that file back, or leave out init_sha256"), "{message}");
    }
}

/// Layer by layer, what a stored weight is worth in a product.
fn worth(session: &Session) -> Vec<Vec<f64>> {
    let blocks = session.plan().blocks.iter().zip(session.trainer().parameters());
    blocks
        .map(|(block, parameters)| {
            let weight = &block.weight;
            let bits = weight.master.format.frac_bits() + weight.fan_shift + weight.alpha_log2;
            #[allow(clippy::cast_precision_loss, reason = "codes of at most 24 bits")]
            let value = |i: usize| match &parameters.weight {
                Stored::F32(values) => f64::from(values[i]),
                codes => codes.code(i) as f64 * f64::from(-bits).exp2(),
            };
            (0..parameters.weight.len()).map(value).collect()
        })
        .collect()
}

#[test]
fn another_recipe_starts_from_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    // From, to, and half of the coarser step.
    for (old, new) in
        [("wage", "float32"), ("niti", "float32"), ("wage", "gupta:Q4.16"), ("gupta", "gupta:Q2.12")]
    {
        let before = trained(old, &path);
        let after = session(from(&path, config(new, &[]))).unwrap();
        for ((block, a), b) in after.plan().blocks.iter().zip(worth(&before)).zip(worth(&after)) {
            let format = block.weight.master.format;
            let half = if format.is_quantized() { f64::from(-format.frac_bits() - 1).exp2() } else { 0.0 };
            for (a, b) in a.into_iter().zip(b) {
                assert!((a - b).abs() <= half, "{old} to {new}, layer '{}': {a} and {b}", block.name);
            }
        }
    }
    // WAGE's alpha divides by 8 what its range of 1 holds: what lies beyond is held, and said.
    trained("float32", &path);
    let after = session(from(&path, config("wage", &[]))).unwrap();
    assert!(after.taken().unwrap().notes.iter().all(|note| note.contains("held at a limit of")));
}

#[test]
fn layers_that_differ_start_anew_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    trained("gupta", &path);
    let mut other = config("gupta", &[]);
    let text = other.model.to_toml();
    let text = text.replace("\"fc2\"", "\"head\"").replace("out = 128", "out = 64");
    other.model = intrain_model::Model::from_toml(&text).unwrap();
    let after = session(from(&path, other.clone())).unwrap();
    let notes = &after.taken().unwrap().notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].starts_with("layer 'fc1' starts anew: its weights are [1024, 128]"), "{notes:?}");
    assert!(notes[1].starts_with("layer 'head' starts anew: the file has none of this name"), "{notes:?}");
    let fresh = session(other.clone()).unwrap();
    assert_eq!(after.trainer().parameters()[2..], fresh.trainer().parameters()[2..]);
    assert_ne!(after.trainer().parameters()[..2], fresh.trainer().parameters()[..2]);

    let renamed = ["conv1", "conv2", "fc1", "head"].iter().fold(other.model.to_toml(), |text, name| {
        text.replace(&format!("\"{name}\""), &format!("\"my-{name}\""))
    });
    other.model = intrain_model::Model::from_toml(&renamed).unwrap();
    let message = session(from(&path, other)).err().unwrap().to_string();
    assert!(message.contains("no layer of the file has the name and the shape"), "{message}");
}

#[test]
fn names_that_clash_in_a_checkpoint_are_found_before_the_first_step() {
    let mut config = config("float32", &["optimizer=adam"]);
    config.model = intrain_model::Model::from_toml(
        r#"
        name = "clash"
        input = { h = 8, w = 8, c = 1, pixels = "x/256" }
        layer = [
            { name = "x", kind = "conv", out = 4, kernel = 3 },
            { name = "x.weight", kind = "batch-norm" },
            { name = "flatten1", kind = "flatten" },
            { name = "fc1", kind = "linear", out = 10 },
        ]
        "#,
    )
    .unwrap();
    let message = session(config).err().unwrap().to_string();
    assert!(message.contains("both be called 'x.weight.variance'"), "{message}");
}
