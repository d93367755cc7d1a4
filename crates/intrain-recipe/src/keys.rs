//! Keys of TOML tables: one that is not known is refused, never passed over, since a misspelled key changes what is trained.

/// A key that a table does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: '{key}' is not a key here; did you mean '{nearest}'? The keys are {known}")]
pub struct UnknownKey {
    /// The table, as its reader knows it.
    pub place: String,
    /// What stands there.
    pub key: String,
    /// The key that is spelled most like it.
    pub nearest: String,
    /// All keys.
    pub known: String,
}

/// Checks that all keys of `table`, which stands at `place`, are among the known ones.
///
/// # Errors
/// The first that is not.
pub fn check_keys(place: &str, table: &toml::Table, known: &[&str]) -> Result<(), UnknownKey> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(UnknownKey {
            place: place.to_owned(),
            key: key.clone(),
            nearest: nearest(key, known.iter().copied()).to_owned(),
            known: known.join(", "),
        }),
    }
}

/// The candidate that is spelled most like `name`.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> &'a str {
    candidates.min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate)).unwrap_or_default()
}
