//! `intrain model`: networks at rest, listed and shown: layers, shapes, parameters, and the recipe that each has by default.

use std::path::Path;
use std::process::ExitCode;

use crate::model::{self, Model, ModelFile, Shape};
use crate::recipe;
use crate::train::config::{Config, check_model_defaults, default_recipe};
use serde_json::{Value, json};

use crate::command::args::{ModelAction, ModelArgs};
use crate::command::failure::Usage;
use crate::command::output::{Output, facts, grouped, table};

pub(crate) fn run(args: &ModelArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.action {
        ModelAction::List => list(output)?,
        ModelAction::Show { model, toml } => show(&load(model)?, *toml, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: &Output) -> anyhow::Result<()> {
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for preset in model::PRESETS {
        let file = ModelFile::preset(preset.name)?;
        let parameters = file.model.n_parameters()?;
        let (input, recipe) = (file.model.input.shape, default_recipe(&file));
        let cells =
            [&preset.usage(), &input.to_string(), &grouped(parameters as u64), recipe, preset.summary];
        rows.push(cells.map(ToString::to_string));
        objects.push(json!({
            "name": preset.name, "usage": preset.usage(), "input": sides(input), "parameters": parameters,
            "recipe": recipe, "summary": preset.summary,
        }));
    }
    let text = table(["write", "input", "parameters", "recipe", "what it is"], &rows);
    Ok(output.finish(&text, &json!({ "models": objects }))?)
}

/// One layer, as a reader of the table needs it.
struct Row {
    name: String,
    kind: String,
    from: Vec<String>,
    output: Shape,
    parameters: usize,
}

fn rows(model: &Model) -> anyhow::Result<Vec<Row>> {
    let (shapes, parameters) = (model.shapes()?, model.parameters_of_layers()?);
    let row = |(i, layer): (usize, &model::Layer)| Row {
        name: layer.name.clone(),
        kind: layer.kind.to_string(),
        from: layer.from.clone(),
        output: shapes[i + 1],
        parameters: parameters[i],
    };
    Ok(model.layers.iter().enumerate().map(row).collect())
}

fn show(file: &ModelFile, as_toml: bool, output: &Output) -> anyhow::Result<()> {
    let model = &file.model;
    let (rows, total) = (rows(model)?, model.n_parameters()?);
    let recipe = default_recipe(file);
    let data = data(file)?;
    let text = if as_toml {
        file.to_toml()
    } else {
        let cells = |row: &Row| {
            let parameters = if row.parameters == 0 { String::new() } else { grouped(row.parameters as u64) };
            [row.name.clone(), row.kind.clone(), row.from.join(", "), row.output.to_string(), parameters]
        };
        let layers: Vec<_> = rows.iter().map(cells).collect();
        let head = facts(&[
            ("model", model.name.clone()),
            ("source", model.source.clone()),
            ("input", format!("{}, pixels as {}", model.input.shape, model.input.pixels)),
            ("weights start", model.init.to_string()),
            ("logits", model.logits.to_string()),
            ("classes", model.n_classes()?.to_string()),
            ("parameters", grouped(total as u64)),
            ("recipe", format!("{recipe}, where --recipe names none")),
            (
                "data",
                data.as_ref().map_or_else(
                    || {
                        "none of the named sets has such images and classes; name yours with --data"
                            .to_owned()
                    },
                    |data| format!("{data}, where --data names none"),
                ),
            ),
        ]);
        format!("{head}\n{}", table(["layer", "kind", "from", "output", "parameters"], &layers))
    };
    let layers: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({"name": row.name, "kind": row.kind, "from": row.from, "output": sides(row.output),
                   "parameters": row.parameters})
        })
        .collect();
    let object = json!({
        "name": model.name, "source": model.source, "input": sides(model.input.shape),
        "pixels": model.input.pixels.to_string(), "init": model.init.to_string(),
        "logits": model.logits.to_string(), "classes": model.n_classes()?, "parameters": total,
        "recipe": recipe, "data": data, "layers": layers, "sha256": model.sha256(), "toml": file.to_toml(),
    });
    Ok(output.finish(&text, &object)?)
}

/// The data set that a run has where it names none, if its images are the network's.
fn data(file: &ModelFile) -> anyhow::Result<Option<String>> {
    let keys = toml::Table::from_iter([("model".to_owned(), file.to_toml().parse::<toml::Table>()?.into())]);
    Ok(Config::data_name(&keys).ok())
}

fn sides(shape: Shape) -> [usize; 3] {
    [shape.h, shape.w, shape.c]
}

/// A preset, perhaps with a width, or a file.
fn load(name: &str) -> anyhow::Result<ModelFile> {
    if !name.ends_with(".toml") {
        return Ok(ModelFile::preset(name)?);
    }
    let text = std::fs::read_to_string(Path::new(name))
        .map_err(|e| Usage(format!("{name}: cannot read: {e}; name a preset or a TOML file that exists")))?;
    let file = ModelFile::from_toml(&text).map_err(|e| Usage(format!("{name}: {e}")))?;
    check_model_defaults(&file.defaults).map_err(|e| Usage(format!("{name}: {e}")))?;
    let recipe = default_recipe(&file);
    if !recipe.ends_with(".toml") {
        recipe::preset(recipe)
            .map_err(|e| Usage(format!("{name}: [defaults] of the model, key 'recipe': {e}")))?;
    }
    Ok(file)
}
