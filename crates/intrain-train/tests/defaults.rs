//! Defaults are data: a copy under another name trains as the original, and each network plans with the recipe that it has.

use intrain_data::ImageShape;
use intrain_model::{ModelFile, PRESETS, Shape};
use intrain_nn::Plan;
use intrain_recipe::Recipe;
use intrain_train::config::{check_model_defaults, check_recipe_defaults};
use intrain_train::{Config, TrainError};
use toml::{Table, Value};

/// A run of `model`, on images of its shape.
fn resolve(model: Value, recipe: Option<Value>, epochs: Option<u32>) -> Result<Config, TrainError> {
    let file = match &model {
        Value::String(name) => ModelFile::preset(name)?,
        table => ModelFile::from_toml(&table.as_table().unwrap().to_string())?,
    };
    let Shape { h, w, c } = file.model.input.shape;
    let mut keys = Table::from_iter([("model".to_owned(), model)]);
    keys.extend(recipe.map(|recipe| ("recipe".to_owned(), recipe)));
    keys.extend(epochs.map(|epochs| ("epochs".to_owned(), epochs.into())));
    if Config::data_name(&keys).is_err() {
        // A preset that no data set with a name fits falls back on these; a copy has to be told.
        keys.insert("data".to_owned(), "digits".into());
    }
    Config::resolve(keys, &[], ImageShape { height: h, width: w, channels: c }, file.model.n_classes()?)
}

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

/// The same under another name, as a file has it.
fn renamed(text: &str) -> Value {
    let mut table = table(text);
    table.insert("name".to_owned(), "mine".into());
    table.into()
}

#[test]
fn every_network_plans_with_its_own_recipe() {
    let problem = |name: &str| {
        let config = resolve(name.into(), None, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let plan = Plan::build(&config.model, &config.recipe.at_epoch(0), config.settings.batch_size);
        plan.err().map(|error| format!("{name} with {}: {error}", config.recipe.name))
    };
    let problems: Vec<String> = PRESETS.iter().filter_map(|preset| problem(preset.name)).collect();
    assert_eq!(problems, [""; 0]);
}

#[test]
fn copies_under_another_name_train_alike() {
    let recipes =
        ["wage", "gupta", "li-sr", "li-big-sr", "hwgq", "niti", "wageubn", "intrain-int8", "float32"];
    for model in PRESETS {
        let copy = renamed(&ModelFile::preset(model.name).unwrap().to_toml());
        for spec in recipes {
            let recipe: Recipe = intrain_recipe::preset(spec).unwrap();
            for epochs in [None, Some(7)] {
                let expected = resolve(model.name.into(), Some(recipe_value(&recipe)), epochs).unwrap();
                let mine = renamed(&recipe.to_toml());
                let found = resolve(copy.clone(), Some(mine), epochs).unwrap();
                assert_eq!(found.settings, expected.settings, "{} with {spec}", model.name);
            }
        }
        let (original, copied) = (resolve(model.name.into(), None, None), resolve(copy, None, None));
        assert_eq!(copied.unwrap().recipe, original.unwrap().recipe, "{}", model.name);
    }
}

fn recipe_value(recipe: &Recipe) -> Value {
    table(&recipe.to_toml()).into()
}

#[test]
fn a_run_keeps_the_defaults_of_its_files() {
    let config = resolve("digits-cnn".into(), Some("li-sr".into()), None).unwrap();
    let again = Config::from_toml(&config.to_toml().unwrap()).unwrap();
    assert_eq!(again, config);
    assert_eq!(again.model_defaults, ModelFile::preset("digits-cnn").unwrap().defaults);
    assert!(!again.recipe.defaults.is_empty());
    assert_eq!((config.settings.epochs, config.settings.batch_size), (30, 32));
    assert_eq!(config.settings.learning_rate, 0.01);
}

#[test]
fn files_without_defaults_have_those_of_any_run() {
    let mut file = ModelFile::preset("resnet20").unwrap();
    file.defaults = Table::new();
    let mut recipe = intrain_recipe::preset("li-sr").unwrap();
    recipe.defaults = Table::new();
    let config = resolve(renamed(&file.to_toml()), Some(recipe_value(&recipe)), None).unwrap();
    let settings = config.settings;
    assert_eq!((settings.epochs, settings.batch_size, settings.learning_rate), (30, 128, 0.02));
    assert_eq!(settings.schedule, [(20, 0.002), (25, 0.0002)]);
    // And a recipe that fits their kind.
    let recipe = |file: &ModelFile| resolve(renamed(&file.to_toml()), None, None).unwrap().recipe.name;
    assert_eq!(recipe(&file), "intrain-int8");
    let chain = ModelFile { defaults: Table::new(), ..ModelFile::preset("lenet5").unwrap() };
    assert_eq!(recipe(&chain), "wage");
}

#[test]
fn wrong_defaults_are_refused() {
    for (text, part) in [
        (
            "epoch = 3",
            "[defaults] of the recipe: 'epoch' is not a key here; did you mean 'epochs'? The keys are epochs",
        ),
        ("epochs = 'x'", "[defaults] of the recipe: epochs = \"x\": "),
        ("schedule = [['3/2', 10]]", "'3/2' is not a share of the epochs"),
        ("schedule = [['half', 10]]", "write for example \"2/3\""),
        ("recipe = 'wage'", "'recipe' is not a key here"),
    ] {
        let message = check_recipe_defaults(&table(text)).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        let mut recipe = intrain_recipe::preset("wage").unwrap();
        recipe.defaults = table(text);
        let refused = resolve("lenet5".into(), Some(recipe_value(&recipe)), None).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
    for (text, part) in [
        ("recipes = 'wage'", "[defaults] of the model: 'recipes' is not a key here; did you mean 'recipe'?"),
        ("recipe = 3", "recipe = 3 must be a text"),
        ("any_recipe = 3", "any_recipe = 3 must be a table"),
        ("[power_of_two]\nlr = 3", "[defaults.power_of_two] of the model: 'lr' is not a key here"),
        ("[any_recipe]\nrecipe = 'wage'", "[defaults.any_recipe] of the model: 'recipe' is not a key here"),
    ] {
        let message = check_model_defaults(&table(text)).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        let file = ModelFile { defaults: table(text), ..ModelFile::preset("lenet5").unwrap() };
        assert!(resolve(renamed(&file.to_toml()), Some("wage".into()), None).is_err(), "{text}");
    }
}
