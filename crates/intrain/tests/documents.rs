//! The documents' examples are read as the program reads them: what a page shows is a recipe, or a model.

use std::path::Path;

use intrain::data::ImageShape;
use intrain::model::{ModelFile, Shape};
use intrain::nn::Plan;
use intrain::recipe::{Recipe, Role};
use intrain::train::config::{Config, check_model_defaults, check_recipe_defaults};

/// The page of that name.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of TOML of a page.
fn blocks(text: &str) -> Vec<String> {
    let (mut blocks, mut block) = (Vec::new(), None::<String>);
    for line in text.lines() {
        match &mut block {
            None if line == "```toml" => block = Some(String::new()),
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    assert_eq!(block, None, "a block is never closed");
    blocks
}

/// The keys of a run of `model` with `recipe`, resolved and planned.
fn plan(model: &str, recipe: &str) {
    let file = ModelFile::from_toml(model).unwrap();
    let Shape { h, w, c } = file.model.input.shape;
    let table = |text: &str| toml::Value::Table(text.parse().unwrap());
    let mut keys = toml::Table::from_iter([("model".to_owned(), table(model))]);
    if !recipe.is_empty() {
        keys.insert("recipe".to_owned(), table(recipe));
    }
    let shape = ImageShape { height: h, width: w, channels: c };
    let config = Config::resolve(keys, &[], shape, file.model.n_classes().unwrap()).unwrap();
    for epoch in 0..config.settings.epochs.min(8) {
        Plan::build(&config.model, &config.recipe.at_epoch(epoch), config.settings.batch_size)
            .unwrap_or_else(|error| panic!("{} with {}: {error}", config.model.name, config.recipe.name));
    }
}

#[test]
fn the_recipes_of_the_page_are_recipes() {
    let text = page("recipes.md");
    let blocks = blocks(&text);
    assert!(blocks.len() >= 4, "{}", blocks.len());
    let models = self::blocks(&page("models.md"));
    for block in &blocks {
        let recipe = Recipe::from_toml(block).unwrap_or_else(|error| panic!("{error}:\n{block}"));
        check_recipe_defaults(&recipe.defaults).unwrap();
        assert_eq!(Recipe::from_toml(&recipe.to_toml()).unwrap(), recipe);
        plan(&models[0], block);
    }
    for role in Role::ALL {
        assert!(text.contains(&format!("`{role}`")), "the page does not say what '{role}' is");
    }
    for pattern in ["@first", "@last", "@norms"] {
        assert!(text.contains(&format!("| `{pattern}` |")), "{pattern}");
    }
}

#[test]
fn the_models_of_the_page_are_models() {
    let text = page("models.md");
    let blocks = blocks(&text);
    assert!(blocks.iter().any(|block| block.contains("from = ")), "no network by 'from'");
    for block in &blocks {
        let file = ModelFile::from_toml(block).unwrap_or_else(|error| panic!("{error}:\n{block}"));
        check_model_defaults(&file.defaults).unwrap();
        plan(block, "");
    }
    // Every kind of layer of every preset is in the table.
    for preset in intrain::model::PRESETS {
        let text_of = ModelFile::preset(preset.name).unwrap().to_toml();
        for kind in text_of.lines().filter_map(|line| line.strip_prefix("kind = ")) {
            assert!(text.contains(&format!("| `{}` |", kind.trim_matches('"'))), "{kind}");
        }
    }
}
