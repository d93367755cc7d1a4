//! `intrain recipe`: the tables that drive everything, listed, shown, compared, checked.

use std::path::Path;
use std::process::ExitCode;

use intrain::recipe::{self, Recipe};
use serde_json::json;

use crate::args::{RecipeAction, RecipeArgs};
use crate::failure::Usage;
use crate::output::{Output, table};

pub(crate) fn run(args: &RecipeArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.action {
        RecipeAction::List => list(output)?,
        RecipeAction::Show { recipe, toml } => show(&load(recipe)?, *toml, output)?,
        RecipeAction::Diff { a, b } => diff(&load(a)?, &load(b)?, output)?,
        RecipeAction::Check { file } => check(file, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: &Output) -> anyhow::Result<()> {
    let rows: Vec<_> =
        recipe::PRESETS.iter().map(|p| [p.name, p.usage, p.summary].map(str::to_owned)).collect();
    let object: Vec<_> = recipe::PRESETS
        .iter()
        .map(|p| json!({"name": p.name, "usage": p.usage, "summary": p.summary}))
        .collect();
    Ok(output.finish(&table(["recipe", "write", "what it is"], &rows), &json!({ "recipes": object }))?)
}

fn show(recipe: &Recipe, as_toml: bool, output: &Output) -> anyhow::Result<()> {
    let text = if as_toml { recipe.to_toml() } else { recipe.to_string() };
    let rows: Vec<_> =
        recipe.rows().iter().map(|(row, text)| json!({"row": row.trim(), "text": text})).collect();
    let object = json!({
        "name": recipe.name, "source": recipe.source, "rows": rows,
        "sha256": recipe.sha256(), "toml": recipe.to_toml(),
    });
    Ok(output.finish(&text, &object)?)
}

fn diff(a: &Recipe, b: &Recipe, output: &Output) -> anyhow::Result<()> {
    let rows: Vec<_> = recipe::diff(a, b).into_iter().map(|d| [d.row, d.a, d.b]).collect();
    let text = if rows.is_empty() {
        format!("{} and {} are the same in every row", a.name, b.name)
    } else {
        table(["row", &a.name, &b.name], &rows)
    };
    let object: Vec<_> = rows.iter().map(|[row, a, b]| json!({"row": row, "a": a, "b": b})).collect();
    Ok(output.finish(&text, &json!({"a": a.name, "b": b.name, "rows": object}))?)
}

fn check(file: &Path, output: &Output) -> anyhow::Result<()> {
    let recipe = read(file)?;
    let warnings: Vec<String> =
        recipe.check()?.iter().map(|w| format!("{}: {}", w.role, w.message)).collect();
    let mut text = format!("{}: ok, recipe '{}'", file.display(), recipe.name);
    for warning in &warnings {
        text.push_str("\n  warning: ");
        text.push_str(warning);
    }
    let object = json!({"file": file.display().to_string(), "name": recipe.name, "sha256": recipe.sha256(), "warnings": warnings});
    Ok(output.finish(&text, &object)?)
}

/// A preset with its parameters, or a file.
fn load(name: &str) -> anyhow::Result<Recipe> {
    if name.ends_with(".toml") { read(Path::new(name)) } else { Ok(recipe::preset(name)?) }
}

fn read(file: &Path) -> anyhow::Result<Recipe> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Usage(format!("{}: cannot read: {e}; name a TOML file that exists", file.display())))?;
    Ok(Recipe::from_toml(&text).map_err(|e| Usage(format!("{}: {e}", file.display())))?)
}
