//! Recipes as text: TOML in and out, the table for a reader, the rows in which two differ, the hash.

use std::borrow::Cow;
use std::fmt;

use intrain_num::{ParseError, Quantizer, RandomSource, Spread};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::RecipeError;
use crate::keys::{check_keys, nearest};
use crate::operand;
use crate::role::{Exception, Feedback, Pattern, Recipe, Role, Slot};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    source: String,
    loss: String,
    bias: String,
    #[serde(default)]
    random: Option<String>,
    learning_rate: String,
    #[serde(default)]
    error_feedback: Option<String>,
    #[serde(default)]
    norm: Option<String>,
    roles: toml::Table,
    #[serde(default)]
    except: Vec<FileException>,
    #[serde(default)]
    defaults: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileException {
    role: String,
    #[serde(default)]
    layers: Option<String>,
    #[serde(default)]
    from_epoch: u32,
    quantizer: String,
}

const KEYS: [&str; 11] = [
    "name",
    "source",
    "loss",
    "bias",
    "random",
    "learning_rate",
    "error_feedback",
    "norm",
    "roles",
    "except",
    "defaults",
];
const EXCEPTION_KEYS: [&str; 4] = ["role", "layers", "from_epoch", "quantizer"];

/// Refuses keys that a recipe does not have.
fn check_all_keys(text: &str) -> Result<(), RecipeError> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| RecipeError::Text(error.to_string()))?;
    check_keys("the recipe", &table, &KEYS)?;
    let exceptions = table.get("except").and_then(toml::Value::as_array).into_iter().flatten();
    for (i, exception) in exceptions.filter_map(toml::Value::as_table).enumerate() {
        check_keys(&format!("[[except]] number {} of the recipe", i + 1), exception, &EXCEPTION_KEYS)?;
    }
    Ok(())
}

/// A key as TOML takes it: in quotes where it has other characters than letters, digits, `_` and `-`.
fn written_key(key: &str) -> Cow<'_, str> {
    if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        return key.into();
    }
    let escaped = key.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>()).into()
}

impl Recipe {
    /// Reads a recipe from TOML and checks it.
    ///
    /// # Errors
    /// What is wrong, with its row: see [`RecipeError`].
    pub fn from_toml(text: &str) -> Result<Self, RecipeError> {
        check_all_keys(text)?;
        let file: File = toml::from_str(text).map_err(|error| RecipeError::Text(error.to_string()))?;
        let mut slots: [Option<Slot>; Role::ALL.len()] = std::array::from_fn(|_| None);
        for (name, value) in &file.roles {
            let roles = find_roles(name)?;
            let line = value.as_str().ok_or_else(|| {
                RecipeError::Text(format!("row '{name}' must be a string such as \"unit<8> nearest-even\""))
            })?;
            let quantizer = parse_row(name, line)?;
            for role in roles {
                if slots[position(*role)].replace(quantizer.into()).is_some() {
                    return Err(said_twice(*role));
                }
            }
        }
        for exception in &file.except {
            let quantizer = parse_row(&exception.role, &exception.quantizer)?;
            for role in find_roles(&exception.role)? {
                let layers = exception.layers.clone().map_or_else(Pattern::any, Pattern);
                let slot =
                    slots[position(*role)].as_mut().ok_or(RecipeError::MissingRole { role: role.name() })?;
                slot.except.push(Exception { layers, from_epoch: exception.from_epoch, quantizer });
            }
        }
        let loss_row = slots[position(Role::ErrorAtLoss)].as_ref();
        let silent = Slot::silent(loss_row.is_some_and(|slot| slot.base == Quantizer::FLOAT));
        let mut take = |role: Role| match slots[position(role)].take() {
            None if role.may_be_left_out() => Ok(silent.clone()),
            slot => slot.ok_or(RecipeError::MissingRole { role: role.name() }),
        };
        let key = |name: &'static str| move |reason: String| RecipeError::Text(format!("{name}: {reason}"));
        let mut recipe = Self {
            name: file.name,
            source: file.source,
            loss: file.loss.parse().map_err(key("loss"))?,
            bias: file.bias.parse().map_err(key("bias"))?,
            random: match file.random {
                Some(text) => text.parse().map_err(|e: ParseError| key("random")(e.to_string()))?,
                None => RandomSource::Philox,
            },
            norm: match file.norm {
                Some(text) => text.parse().map_err(|e: ParseError| key("norm")(e.to_string()))?,
                None => Spread::default(),
            },
            learning_rate: file.learning_rate.parse().map_err(key("learning_rate"))?,
            error_feedback: match file.error_feedback {
                Some(text) => text.parse().map_err(key("error_feedback"))?,
                None => Feedback::None,
            },
            defaults: file.defaults,
            ..Self::of(Quantizer::EXACT)
        };
        for role in Role::ALL {
            *recipe.slot_mut(role) = take(role)?;
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// The same with another quantizer in a row, `operand` included; exceptions of the row stay.
    ///
    /// # Errors
    /// No row of this name, no quantizer, or one that cannot stand there: see [`RecipeError`].
    ///
    /// ```
    /// let six = intrain_recipe::preset("wage")?.with_row("activation", "unit<6> nearest-even saturate clipped")?;
    /// assert_eq!(six.activation.base.format.bits(), 6);
    /// # Ok::<(), intrain_recipe::RecipeError>(())
    /// ```
    pub fn with_row(mut self, name: &str, line: &str) -> Result<Self, RecipeError> {
        let quantizer = parse_row(name, line)?;
        for role in find_roles(name)? {
            self.slot_mut(*role).base = quantizer;
        }
        self.check()?;
        Ok(self)
    }

    /// The recipe as TOML that [`Recipe::from_toml`] reads back to the same recipe.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.written(true)
    }

    /// The same with each role by its own name, as those want it who change single rows.
    #[must_use]
    pub fn to_toml_by_role(&self) -> String {
        self.written(false)
    }

    fn written(&self, is_short: bool) -> String {
        use fmt::Write;
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut text = String::new();
        let mut row = |key: &str, value: &str| {
            let _ = writeln!(text, "{key:<20} = {}", quoted(value));
        };
        row("name", &self.name);
        row("source", &self.source);
        row("loss", &self.loss.to_string());
        row("bias", &self.bias.to_string());
        if self.random != RandomSource::Philox {
            row("random", &self.random.to_string());
        }
        row("learning_rate", &self.learning_rate.to_string());
        if self.error_feedback != Feedback::None {
            row("error_feedback", &self.error_feedback.to_string());
        }
        if self.norm != Spread::default() {
            row("norm", &self.norm.to_string());
        }
        text.push_str("\n[roles]\n");
        let rows = || operand::written(self, is_short);
        for (name, role) in rows().filter(|(_, role)| !self.is_silent(*role)) {
            let base = quoted(&self.slot(role).base.to_string());
            let _ = writeln!(text, "{:<20} = {base}", format!("\"{name}\""));
        }
        for (name, role) in rows() {
            for exception in &self.slot(role).except {
                let _ = write!(
                    text,
                    "\n[[except]]\nrole = {}\nlayers = {}\nfrom_epoch = {}\nquantizer = {}\n",
                    quoted(name),
                    quoted(&exception.layers.0),
                    exception.from_epoch,
                    quoted(&exception.quantizer.to_string())
                );
            }
        }
        if !self.defaults.is_empty() {
            text.push_str("\n[defaults]\n");
        }
        for (key, value) in &self.defaults {
            let _ = writeln!(text, "{:<20} = {value}", written_key(key));
        }
        text
    }

    /// SHA-256 of [`Recipe::to_toml`] in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        Sha256::digest(self.to_toml()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The rows in the order of a step: name and text.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String)> {
        self.rows_of(true)
    }

    /// The same, with the short form `operand` where it holds and may be taken.
    fn rows_of(&self, is_short: bool) -> Vec<(String, String)> {
        let mut rows =
            vec![("loss".to_owned(), self.loss.to_string()), ("bias".to_owned(), self.bias.to_string())];
        if self.random != RandomSource::Philox {
            rows.push(("random".to_owned(), self.random.to_string()));
        }
        if !self.is_silent(Role::NormMean) {
            rows.push(("norm".to_owned(), self.norm.to_string()));
        }
        for (name, role) in operand::written(self, is_short).filter(|(_, role)| !self.is_silent(*role)) {
            let slot = self.slot(role);
            rows.push((name.to_owned(), slot.base.to_string()));
            for e in &slot.except {
                let from =
                    if e.from_epoch == 0 { String::new() } else { format!(" from epoch {}", e.from_epoch) };
                rows.push((format!("  {}{from}", e.layers.0), e.quantizer.to_string()));
            }
            if role == Role::Momentum {
                rows.push(("learning_rate".to_owned(), self.learning_rate.to_string()));
                if self.error_feedback != Feedback::None {
                    rows.push(("error_feedback".to_owned(), self.error_feedback.to_string()));
                }
            }
        }
        rows
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.source)?;
        for (name, text) in self.rows() {
            writeln!(f, "  {name:<20} {text}")?;
        }
        Ok(())
    }
}

/// A row in which two recipes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The row's name.
    pub row: String,
    /// Its text in the first recipe; empty where it has no such row.
    pub a: String,
    /// Its text in the second.
    pub b: String,
}

/// The rows in which `a` and `b` differ, in the order of a step.
#[must_use]
pub fn diff(a: &Recipe, b: &Recipe) -> Vec<Difference> {
    let is_short = operand::is_shared(a) && operand::is_shared(b);
    let (rows_a, rows_b) = (section(a, is_short), section(b, is_short));
    let mut differences = Vec::new();
    for (row, text_a) in &rows_a {
        let text_b = rows_b.iter().find(|(name, _)| name == row).map_or("", |(_, text)| text);
        if text_a != text_b {
            differences.push(Difference { row: row.clone(), a: text_a.clone(), b: text_b.to_owned() });
        }
    }
    for (row, text) in &rows_b {
        if !rows_a.iter().any(|(name, _)| name == row) {
            differences.push(Difference { row: row.clone(), a: String::new(), b: text.clone() });
        }
    }
    differences
}

/// The rows with each exception's name made unique by its role.
fn section(recipe: &Recipe, is_short: bool) -> Vec<(String, String)> {
    let mut role = String::new();
    recipe
        .rows_of(is_short)
        .into_iter()
        .map(|(name, text)| match name.strip_prefix("  ") {
            Some(exception) => (format!("{role} of {exception}"), text),
            None => {
                role.clone_from(&name);
                (name, text)
            }
        })
        .collect()
}

fn position(role: Role) -> usize {
    Role::ALL.iter().position(|r| *r == role).unwrap_or_default()
}

/// The role of that name, or those that the short form stands for.
fn find_roles(name: &str) -> Result<&'static [Role], RecipeError> {
    if name == operand::NAME {
        return Ok(&operand::ROLES);
    }
    let names = || Role::ALL.iter().map(|role| role.name());
    let i = names().position(|known| known == name).ok_or_else(|| RecipeError::UnknownRole {
        role: name.to_owned(),
        nearest: nearest(name, names().chain([operand::NAME])).to_owned(),
        all: Role::ALL.map(Role::name).join(", "),
    })?;
    Ok(&Role::ALL[i..=i])
}

/// A row that stands beside the short form of it.
fn said_twice(role: Role) -> RecipeError {
    let reason = format!(
        "it stands for the rows weight, activation and error.product, and '{role}' is there too; leave one of them out"
    );
    RecipeError::Check { role: operand::NAME, reason }
}

fn parse_row(name: &str, text: &str) -> Result<Quantizer, RecipeError> {
    text.parse().map_err(|error| RecipeError::Row { role: name.to_owned(), text: text.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn toml_round_trips() {
        for spec in ["wage", "gupta:nearest", "gupta:array", "float32", "li-sr", "niti", "wageubn"] {
            let mut recipe = preset(spec).unwrap();
            let quantizer = recipe.master.base;
            recipe.master.except.push(Exception { layers: Pattern("fc*".into()), from_epoch: 3, quantizer });
            assert_eq!(Recipe::from_toml(&recipe.to_toml()), Ok(recipe));
        }
    }

    #[test]
    fn defaults_keep_their_keys_whatever_they_are_called() {
        for key in ["activation.product", "", "two words", "a\"b\\c", "line\nfeed", "é"] {
            let mut recipe = preset("li-sr").unwrap();
            recipe.defaults.insert(key.to_owned(), 3.into());
            assert_eq!(Recipe::from_toml(&recipe.to_toml()), Ok(recipe), "{key:?}");
        }
    }

    #[test]
    fn stochastic_and_nearest_differ_in_their_roundings_only() {
        let rows: Vec<String> = diff(&preset("gupta").unwrap(), &preset("gupta:nearest").unwrap())
            .into_iter()
            .map(|d| d.row)
            .collect();
        assert_eq!(
            rows,
            ["activation.product", "error.loss", "error.norm", "error.product", "momentum", "update"]
        );
    }

    #[test]
    fn errors_name_the_row_and_the_remedy() {
        let good = preset("wage").unwrap().to_toml();
        for (from, to, part) in [
            ("\"activation\"", "\"activatoin\"", "did you mean 'activation'"),
            ("unit<2>@alpha", "unit<2>@beta", "not a scale"),
            ("unit<2>@alpha nearest-even", "unit<2>@alpha", "not a rounding"),
            ("squared-error", "hinge", "squared-error"),
            (
                "learning_rate",
                "lerning_rate",
                "the recipe: 'lerning_rate' is not a key here; did you mean 'learning_rate'?",
            ),
            ("[roles]", "[role]", "'role' is not a key here; did you mean 'roles'?"),
            ("[roles]", "epochs = 3\n[roles]", "The keys are name, source, loss,"),
            (
                "unit<8>@shift stochastic-magnitude<16> saturate",
                "unit<2>@shift stochastic saturate",
                "k_G must exceed",
            ),
        ] {
            let message = Recipe::from_toml(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(part), "{from} -> {to}: {message}");
        }
        let except = "\n[[except]]\nrole = 'weight'\nquantizer = 'unit<4>@alpha nearest-even saturate'\n";
        assert!(Recipe::from_toml(&format!("{good}{except}")).is_ok());
        for (key, part) in [
            (
                "layer = 'fc1'",
                "[[except]] number 2 of the recipe: 'layer' is not a key here; did you mean 'layers'?",
            ),
            (
                "from_epochs = 3",
                "did you mean 'from_epoch'? The keys are role, layers, from_epoch, quantizer",
            ),
        ] {
            let message =
                Recipe::from_toml(&format!("{good}{except}{except}{key}\n")).unwrap_err().to_string();
            assert!(message.contains(part), "{key}: {message}");
        }
        let without = good.lines().filter(|l| !l.contains("\"update\"")).collect::<Vec<_>>().join("\n");
        assert_eq!(Recipe::from_toml(&without), Err(RecipeError::MissingRole { role: "update" }));
    }

    #[test]
    fn exceptions_hold_by_layer_and_epoch() {
        let mut recipe = preset("gupta").unwrap();
        let wide = "fixed<4,16> nearest-down saturate".parse().unwrap();
        recipe.master.except.push(Exception {
            layers: Pattern("fc*".into()),
            from_epoch: 2,
            quantizer: wide,
        });
        assert_eq!(recipe.at_epoch(1).master.of_layer("fc1"), recipe.master.base);
        assert_eq!(recipe.at_epoch(2).master.of_layer("fc1"), wide);
        assert_eq!(recipe.at_epoch(2).master.of_layer("conv1"), recipe.master.base);
    }
}
