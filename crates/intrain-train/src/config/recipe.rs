//! The recipe that the settings name: a preset, a file, or a table among them.

use intrain_model::ModelFile;
use intrain_recipe::Recipe;

use super::defaults::{self, check_recipe_defaults, default_recipe};
use super::{in_file, read};
use crate::TrainError;

pub(super) fn take_recipe(keys: &mut toml::Table, file: &ModelFile) -> Result<Recipe, TrainError> {
    match keys.remove("recipe") {
        Some(toml::Value::Table(table)) => Ok(Recipe::from_toml(&table.to_string())?),
        Some(toml::Value::String(path)) if path.ends_with(".toml") => {
            let recipe = Recipe::from_toml(&read(&path)?).map_err(|e| in_file(&path, e))?;
            check_recipe_defaults(&recipe.defaults).map_err(|e| in_file(&path, e))?;
            Ok(recipe)
        }
        Some(toml::Value::String(name)) => Ok(intrain_recipe::preset(&with_outputs_of(&name, file))?),
        None => Ok(intrain_recipe::preset(default_recipe(file))?),
        Some(other) => {
            Err(TrainError::Setting(format!("recipe = {other} must be a name, a TOML file or a table")))
        }
    }
}

/// `gupta` with the format of outputs that the network asks of it, where the user names none.
fn with_outputs_of(spec: &str, file: &ModelFile) -> String {
    let Some(outputs) = defaults::gupta_outputs(file) else { return spec.to_owned() };
    let mut parts: Vec<&str> = spec.split(':').collect();
    let is_rounding = |part: &&str| matches!(*part, "nearest" | "stochastic" | "array");
    let n_formats = parts.iter().skip(1).filter(|part| !is_rounding(part)).count();
    if parts[0] != "gupta" || n_formats > 1 {
        return spec.to_owned();
    }
    if n_formats == 0 {
        parts.insert(1, "Q2.14");
    }
    let at = 1 + parts.iter().skip(1).position(|part| !is_rounding(part)).unwrap_or(0);
    parts.insert(at + 1, outputs);
    parts.join(":")
}
