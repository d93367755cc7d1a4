//! Settings by their names: which there are, the one that a misspelled key means, and `--set key=value`.

use crate::TrainError;

/// The settings of a run, as `docs/runs.md` explains them.
pub const KEYS: &[&str] = &[
    "data",
    "recipe",
    "model",
    "init",
    "init_sha256",
    "seed",
    "epochs",
    "max_steps",
    "batch_size",
    "fill_last_batch",
    "learning_rate",
    "schedule",
    "decay",
    "poly",
    "cosine",
    "cosine_floor",
    "warmup",
    "warmup_steps",
    "optimizer",
    "momentum",
    "weight_decay",
    "pad",
    "flip",
    "validation",
    "checkpoint_every",
    "evaluate_every",
    "patience",
    "norm_batches",
    "calibrate",
];

/// Refuses a key that is no setting of a run: as a CONFIG.toml, `--set` and a sweep's `[settings]` may have them.
///
/// # Errors
/// The key, the one that it is close to, and all there are.
pub fn check_keys(keys: &toml::Table) -> Result<(), TrainError> {
    match keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let meant =
                nearest_key(key).map_or_else(|| ".".to_owned(), |key| format!("; did you mean '{key}'?"));
            let reason = format!("'{key}' is not a setting{meant} Settings are {}", KEYS.join(", "));
            Err(TrainError::Setting(reason))
        }
    }
}

/// What is wrong with a value, with the types of this language told in words.
pub(super) fn in_words(message: &str) -> String {
    const TYPES: [(&str, &str); 5] = [
        ("u32", "a whole number of 0 to 4294967295"),
        ("usize", "a whole number of 0 or more"),
        ("u64", "a whole number of 0 or more"),
        ("f64", "a number"),
        ("a boolean", "true or false"),
    ];
    let Some((found, expected)) = message.rsplit_once("expected ") else { return message.to_owned() };
    let words = TYPES.iter().find(|(kind, _)| *kind == expected).map_or(expected, |(_, words)| words);
    format!("{found}expected {words}")
}

/// The setting that a wrong key is close to, in its spelling or in its meaning.
fn nearest_key(key: &str) -> Option<&'static str> {
    if key == "lr" {
        return Some("learning_rate");
    }
    let distance = |known: &&&str| strsim::damerau_levenshtein(known, key);
    KEYS.iter().min_by_key(distance).filter(|known| distance(known) <= key.len().max(3) / 3).copied()
}

pub(super) fn number(value: &toml::Value) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a setting beyond 2^53 is refused later")]
    value.as_float().or_else(|| value.as_integer().map(|i| i as f64))
}

pub(super) fn parse_table(text: &str) -> Result<toml::Table, TrainError> {
    text.parse().map_err(|e: toml::de::Error| TrainError::Setting(e.to_string()))
}

/// `a.b.c=value`, where the value is TOML, or a string as it stands.
pub(super) fn set(keys: &mut toml::Table, assignment: &str) -> Result<(), TrainError> {
    let refuse = |reason: &str| TrainError::Setting(format!("--set {assignment}: {reason}"));
    let (path, text) =
        assignment.split_once('=').ok_or_else(|| refuse("write key=value, for example seed=3"))?;
    let value = format!("v = {text}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    let value = value.unwrap_or_else(|| text.into());
    let (first, rest) = path.trim().split_once('.').unwrap_or((path.trim(), ""));
    if rest.is_empty() {
        keys.insert(first.to_owned(), value);
        return Ok(());
    }
    let mut table = keys
        .get_mut(first)
        .and_then(toml::Value::as_table_mut)
        .ok_or_else(|| refuse("there is no such table"))?;
    let mut rest = rest;
    loop {
        // A row's own name may hold a dot: `recipe.roles.error.loss`.
        if table.contains_key(rest) || !rest.contains('.') {
            table.insert(rest.to_owned(), value);
            return Ok(());
        }
        let (head, tail) = rest.split_once('.').unwrap_or((rest, ""));
        if !table.contains_key(head) {
            table.insert(rest.to_owned(), value);
            return Ok(());
        }
        table = table
            .get_mut(head)
            .and_then(toml::Value::as_table_mut)
            .ok_or_else(|| refuse("there is no such table"))?;
        rest = tail;
    }
}
