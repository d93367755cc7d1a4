//! Model files: TOML in and out.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ModelError;
use crate::layer::{Input, KINDS, Layer, LayerKind, Model, Shape};
use crate::spelling::nearest;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    source: String,
    input: FileInput,
    #[serde(default = "uniform")]
    init: String,
    #[serde(default = "exact")]
    logits: String,
    layer: Vec<toml::Table>,
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    defaults: toml::Table,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileInput {
    h: usize,
    w: usize,
    c: usize,
    pixels: String,
}

fn uniform() -> String {
    "uniform".to_owned()
}

fn exact() -> String {
    "exact".to_owned()
}

const KEYS: [&str; 7] = ["name", "source", "input", "init", "logits", "layer", "defaults"];
const INPUT_KEYS: [&str; 4] = ["h", "w", "c", "pixels"];
/// Refuses keys that a model does not have; those of layers are looked at with each layer.
fn check_all_keys(text: &str) -> Result<(), ModelError> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| ModelError::Text(error.to_string()))?;
    check_keys("the model", &table, &KEYS)?;
    match table.get("input").and_then(toml::Value::as_table) {
        Some(input) => check_keys("'input' of the model", input, &INPUT_KEYS),
        None => Ok(()),
    }
}

/// Checks that all keys of `table`, which stands at `place`, are among the known ones.
fn check_keys(place: &str, table: &toml::Table, known: &[&str]) -> Result<(), ModelError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(ModelError::Key {
            place: place.to_owned(),
            key: key.clone(),
            nearest: nearest(key, known.iter().copied()).to_owned(),
            known: known.join(", "),
        }),
    }
}

/// Checks the keys of a layer. Those of its kind alone do not do: kinds without keys would take any.
fn check_layer(name: &str, table: &toml::Table) -> Result<(), ModelError> {
    let refuse = |reason: String| Err(ModelError::Layer { layer: name.to_owned(), reason });
    let kinds = || KINDS.iter().map(|(kind, _)| *kind);
    let all = || kinds().collect::<Vec<_>>().join(", ");
    let kind = match table.get("kind") {
        Some(toml::Value::String(kind)) => kind,
        Some(other) => return refuse(format!("kind = {other} is not a text; the kinds are {}", all())),
        None => return refuse(format!("it has no kind; the kinds are {}", all())),
    };
    let Some((_, keys)) = KINDS.iter().find(|(known, _)| known == kind) else {
        let nearest = nearest(kind, kinds());
        return refuse(format!("'{kind}' is not a kind; did you mean '{nearest}'? The kinds are {}", all()));
    };
    check_keys(
        &format!("layer '{name}' of kind '{kind}'"),
        table,
        &[&["name", "kind", "from"], *keys].concat(),
    )
}

/// A model as a file has it: the network, and what a run of it has where nobody says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The network.
    pub model: Model,
    /// Settings by their names. They are read by whoever runs; nothing here knows them.
    pub defaults: toml::Table,
}

impl ModelFile {
    /// Reads a model from TOML and checks its shapes.
    ///
    /// # Errors
    /// What is wrong, with its layer: see [`ModelError`].
    pub fn from_toml(text: &str) -> Result<Self, ModelError> {
        check_all_keys(text)?;
        let file: File = toml::from_str(text).map_err(|error| ModelError::Text(error.to_string()))?;
        let key = |name: &'static str| move |reason: String| ModelError::Text(format!("{name}: {reason}"));
        let FileInput { h, w, c, pixels } = file.input;
        let model = Model {
            name: file.name,
            source: file.source,
            input: Input { shape: Shape { h, w, c }, pixels: pixels.parse().map_err(key("input.pixels"))? },
            init: file.init.parse().map_err(key("init"))?,
            logits: file.logits.parse().map_err(key("logits"))?,
            layers: file.layer.into_iter().map(read_layer).collect::<Result<_, _>>()?,
        };
        model.n_classes()?;
        Ok(Self { model, defaults: file.defaults })
    }

    /// The model as TOML that [`ModelFile::from_toml`] reads back to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let model = &self.model;
        let Shape { h, w, c } = model.input.shape;
        let file = File {
            name: model.name.clone(),
            source: model.source.clone(),
            input: FileInput { h, w, c, pixels: model.input.pixels.to_string() },
            init: model.init.to_string(),
            logits: model.logits.to_string(),
            layer: model.layers.iter().map(write_layer).collect(),
            defaults: self.defaults.clone(),
        };
        toml::to_string(&file).unwrap_or_else(|error| unreachable!("a model is strings and numbers: {error}"))
    }
}

impl Model {
    /// The network of a model file, without the defaults of its runs.
    ///
    /// # Errors
    /// As [`ModelFile::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, ModelError> {
        Ok(ModelFile::from_toml(text)?.model)
    }

    /// The network as TOML that [`Model::from_toml`] reads back to the same model.
    #[must_use]
    pub fn to_toml(&self) -> String {
        ModelFile { model: self.clone(), defaults: toml::Table::new() }.to_toml()
    }

    /// SHA-256 of [`Model::to_toml`] in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        Sha256::digest(self.to_toml()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn read_layer(mut table: toml::Table) -> Result<Layer, ModelError> {
    let Some(toml::Value::String(name)) = table.remove("name") else {
        return Err(ModelError::Text("each [[layer]] needs a name, for example name = \"conv1\"".to_owned()));
    };
    check_layer(&name, &table)?;
    let from = match table.remove("from").map(toml::Value::try_into::<Vec<String>>) {
        None => Vec::new(),
        Some(Ok(from)) => from,
        Some(Err(_)) => {
            let reason = "from must be names of layers, for example from = [\"relu1\", \"norm2\"]".to_owned();
            return Err(ModelError::Layer { layer: name, reason });
        }
    };
    match toml::Value::Table(table).try_into::<LayerKind>() {
        Ok(kind) => Ok(Layer { name, kind, from }),
        Err(error) => Err(ModelError::Layer { layer: name, reason: error.message().trim_end().to_owned() }),
    }
}

fn write_layer(layer: &Layer) -> toml::Table {
    let mut table = toml::Table::from_iter([("name".to_owned(), toml::Value::from(layer.name.clone()))]);
    let kind =
        toml::Table::try_from(layer.kind).unwrap_or_else(|error| unreachable!("a layer is numbers: {error}"));
    table.extend(kind);
    if !layer.from.is_empty() {
        table.insert("from".to_owned(), layer.from.clone().into());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PRESETS, preset};

    #[test]
    fn toml_round_trips() {
        for p in PRESETS {
            let model = preset(p.name).unwrap();
            assert_eq!(Model::from_toml(&model.to_toml()), Ok(model));
            let file = ModelFile::preset(p.name).unwrap();
            assert!(!file.defaults.is_empty(), "{}", p.name);
            assert_eq!(ModelFile::from_toml(&file.to_toml()), Ok(file));
        }
    }

    #[test]
    fn unknown_keys_are_refused_in_every_kind_of_layer() {
        for &(kind, keys) in KINDS {
            let text = |key: &str| {
                format!(
                    "name = 'x'\ninput = {{ h = 8, w = 8, c = 1, pixels = 'x/256' }}\n\
                     [[layer]]\nname = 'one'\nkind = '{kind}'\n{key} = 1\n"
                )
            };
            let message = Model::from_toml(&text("froom")).unwrap_err().to_string();
            let expected =
                format!("layer 'one' of kind '{kind}': 'froom' is not a key here; did you mean 'from'?");
            assert!(message.contains(&expected), "{message}");
            // What is listed is what is read: each key of it is a known one, whatever else is missing.
            for key in keys {
                let message = Model::from_toml(&text(key)).unwrap_err().to_string();
                assert!(
                    !message.contains("not a key here") && !message.contains("unknown field"),
                    "{message}"
                );
            }
        }
        let good = preset("lenet5").unwrap().to_toml();
        for (from, to, part) in [
            ("logits =", "logit =", "the model: 'logit' is not a key here; did you mean 'logits'?"),
            ("pixels", "pixel", "'input' of the model: 'pixel' is not a key here; did you mean 'pixels'?"),
            ("kind = \"relu\"", "kind = \"relu\"\nsize = 2", "The keys are name, kind, from"),
            (
                "kind = \"relu\"",
                "kind = \"rleu\"",
                "'rleu' is not a kind; did you mean 'relu'? The kinds are conv, ",
            ),
            ("kind = \"relu\"", "", "it has no kind"),
        ] {
            assert!(good.contains(from), "{from}");
            let message = Model::from_toml(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(part), "{from} -> {to}: {message}");
        }
    }

    #[test]
    fn errors_name_the_layer_and_the_remedy() {
        let good = preset("lenet5").unwrap().to_toml();
        for (from, to, part) in [
            ("kind = \"flatten\"", "kind = \"relu\"", "layer 'fc1': a linear layer takes a vector"),
            ("kernel = 5", "kernel = 29", "layer 'conv1': a window of 29"),
            ("kernel = 5", "kernel = 0", "kernel = 0 is not in 1..=64"),
            ("kind = \"conv\"", "kind = \"convolution\"", "layer 'conv1'"),
            ("out = 32\n", "", "layer 'conv1'"),
            ("x/256", "x/2", "x/127.5-1"),
            ("name = \"relu1\"", "name = \"pool1\"", "two layers have this name"),
            ("h = 28", "h = 0", "impossible"),
        ] {
            assert!(good.contains(from), "{from}");
            let message = Model::from_toml(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(part), "{from} -> {to}: {message}");
        }
    }
}
