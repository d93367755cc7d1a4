//! `intrain recipe`: the tables that drive everything, listed, shown, compared, checked.

use std::path::Path;
use std::process::ExitCode;

use crate::array::Array;
use crate::num::Quantizer;
use crate::recipe::lloyd::{self, Density, HalfNormal, Histogram};
use crate::recipe::{self, Recipe};
use crate::train::config::check_recipe_defaults;
use serde_json::json;

use crate::command::args::{RecipeAction, RecipeArgs};
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, table};

pub(crate) fn run(args: &RecipeArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.action {
        RecipeAction::List => list(output)?,
        RecipeAction::Show { recipe, toml } => show(&load(recipe)?, *toml, output)?,
        RecipeAction::Diff { a, b } => diff(&load(a)?, &load(b)?, output)?,
        RecipeAction::Levels { levels: text, of } => levels(text, of.as_deref(), output)?,
        RecipeAction::Check { file } => check(file, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Levels of the least squared error, and the row of a recipe that they make.
fn levels(text: &str, of: Option<&Path>, output: &Output) -> anyhow::Result<()> {
    const MOST: usize = 15;
    let (digits, is_free) = text.strip_suffix('n').map_or((text, false), |digits| (digits, true));
    let n = digits.parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(|| {
        Usage(format!(
            "'{text}' is no number of levels; write 1 to {MOST} (equal steps) or 1n to {MOST}n (free)"
        ))
    })?;
    let (levels, error, source) = match of {
        None => {
            let (levels, error) = solve(&HalfNormal, n, is_free);
            (levels, error, "the positive half of a normal distribution".to_owned())
        }
        Some(path) => {
            let (levels, error) = solve(&histogram(path)?, n, is_free);
            (levels, error, path.display().to_string())
        }
    };
    // To so many digits, as in a recipe; equal steps stay equal.
    let digits = |level: f64| format!("{level:.4}");
    let texts: Vec<String> = if is_free {
        levels.iter().map(|&level| digits(level)).collect()
    } else {
        let step = (levels[0] * 1e4).round() / 1e4;
        (1..=n).map(|i| digits(step * i as f64)).collect()
    };
    let row = format!("levels<{}> clipped", texts.join(","));
    row.parse::<Quantizer>().map_err(|error| {
        Usage(format!("{source}: the levels {} are no codebook: {error}; scale the values", texts.join(", ")))
    })?;
    let text = facts(&[
        ("of", source.clone()),
        ("levels", texts.join("  ")),
        ("mean square", format!("{error:e} (of the error, of what is above 0)")),
        ("row", format!("activation = \"{row}\"")),
    ]);
    let object = json!({"of": source, "levels": levels, "mse": error, "row": row});
    Ok(output.finish(&text, &object)?)
}

fn solve(density: &impl Density, n: usize, is_free: bool) -> (Vec<f64>, f64) {
    let levels = if is_free { lloyd::free(density, n) } else { lloyd::uniform(density, n) };
    let error = lloyd::mean_squared_error(density, &levels);
    (levels, error)
}

/// The values above 0 of an array, counted.
fn histogram(path: &Path) -> anyhow::Result<Histogram> {
    const BINS: usize = 1 << 12;
    let array = Array::read(path)?;
    let numbers = array.values.numbers();
    let values = (0..numbers.len()).filter_map(|i| numbers.real(i)).map(|real| real.to_f64());
    let values: Vec<f64> = values.filter(|x| *x > 0.0 && x.is_finite()).collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    let mut counts = vec![0; BINS];
    for x in &values {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bin's number")]
        let bin = (x / largest * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    Histogram::new(largest / BINS as f64, &counts).map_err(|_| {
        let problem =
            format!("{}: has no finite value above 0; give activations behind a norm", path.display());
        Usage(problem).into()
    })
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
    let warnings: Vec<String> = recipe.check()?.iter().map(|w| format!("{}: {}", w.row, w.message)).collect();
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
    let recipe = Recipe::from_toml(&text).map_err(|e| Usage(format!("{}: {e}", file.display())))?;
    check_recipe_defaults(&recipe.defaults).map_err(|e| Usage(format!("{}: {e}", file.display())))?;
    Ok(recipe)
}
