//! A sweep's file: the lists and settings that it may have, and the runs that they mean.

use std::collections::{BTreeMap, BTreeSet};

use intrain_recipe::check_keys;
use intrain_train::config;
use serde::Deserialize;

use super::{Entry, Sweep, SweepError};

/// Runs that a sweep has at most.
pub const RUNS_MAX: u64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: Option<String>,
    recipes: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    data: Vec<String>,
    #[serde(default = "one_seed", deserialize_with = "config::deserialize_seeds")]
    seeds: Vec<u64>,
    #[serde(default)]
    settings: toml::Table,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

const KEYS: [&str; 6] = ["name", "recipes", "models", "data", "seeds", "settings"];

/// The tables of `text`, which must have no other keys than the known ones.
pub(super) fn keys_of(text: &str, place: &str, known: &[&str]) -> Result<toml::Table, SweepError> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| SweepError(e.to_string()))?;
    check_keys(place, &table, known).map_err(|error| SweepError(error.to_string()))?;
    Ok(table)
}

/// Refuses settings that no run has, before the first run is planned.
pub(super) fn check_settings(table: &toml::Table) -> Result<(), SweepError> {
    match table.get("settings").and_then(toml::Value::as_table) {
        None => Ok(()),
        Some(settings) => {
            config::check_keys(settings).map_err(|error| SweepError(format!("[settings]: {error}")))
        }
    }
}

/// Refuses lists, each with its name and length, that mean more than [`RUNS_MAX`] runs, before any of these is made.
pub(super) fn check_size(lists: &[(&str, usize)]) -> Result<(), SweepError> {
    let runs = lists.iter().try_fold(1, |runs: u64, (_, len)| runs.checked_mul(u64::try_from(*len).ok()?));
    if runs.is_some_and(|runs| runs <= RUNS_MAX) {
        return Ok(());
    }
    let factors: Vec<String> = lists.iter().map(|(list, len)| format!("{len} of '{list}'")).collect();
    Err(SweepError(format!(
        "{} make {} runs, and the limit is {RUNS_MAX}; shorten the lists, or divide them among several sweeps",
        factors.join(" x "),
        runs.map_or_else(|| "more than 2^64".to_owned(), |runs| runs.to_string())
    )))
}

/// Refuses two runs in one folder: the second would go on from what the first has left, or be refused in the middle.
fn check_folders(runs: &[Entry]) -> Result<(), SweepError> {
    let mut folders: BTreeMap<String, &Entry> = BTreeMap::new();
    for run in runs {
        let folder = run.folder();
        if let Some(other) = folders.get(&folder) {
            return Err(SweepError(format!(
                "the runs {} and {} would have one folder, runs/{folder}; rename one of the files, or give each run a sweep \
                 with an --out of its own",
                named(other),
                named(run)
            )));
        }
        folders.insert(folder, run);
    }
    Ok(())
}

/// A run by the words of its file.
fn named(run: &Entry) -> String {
    let Entry { recipe, model, data, seed } = run;
    let words = [("data", data), ("model", model), ("recipe", recipe)].into_iter();
    let words = words.filter(|(_, word)| !word.is_empty()).map(|(what, word)| format!("{what} '{word}', "));
    format!("({}seed {seed})", words.collect::<String>())
}

impl Sweep {
    /// Reads a sweep's file; `stem` is its name where it gives none.
    ///
    /// # Errors
    /// A text that is no sweep, an empty list, a name twice in one, a setting that a list names too, more than [`RUNS_MAX`]
    /// runs, or two runs whose folders have one name.
    pub fn parse(text: &str, stem: &str) -> Result<Self, SweepError> {
        let table = keys_of(text, "the sweep", &KEYS)?;
        let file: File = toml::from_str(text).map_err(|error| SweepError(error.to_string()))?;
        check_settings(&table)?;
        file.check()?;
        let or_default = |values: Vec<String>| if values.is_empty() { vec![String::new()] } else { values };
        let (models, data) = (or_default(file.models), or_default(file.data));
        let mut runs = Vec::new();
        for &seed in &file.seeds {
            for data in &data {
                for model in &models {
                    for recipe in &file.recipes {
                        let (recipe, model, data) = (recipe.clone(), model.clone(), data.clone());
                        runs.push(Entry { recipe, model, data, seed });
                    }
                }
            }
        }
        check_folders(&runs)?;
        Ok(Self::of(file.name.unwrap_or_else(|| stem.to_owned()), runs, file.settings))
    }
}

impl File {
    /// Refuses lists that mean no runs, too many, or one twice, and settings that a list names too.
    fn check(&self) -> Result<(), SweepError> {
        for (list, key) in [("recipes", "recipe"), ("models", "model"), ("data", "data"), ("seeds", "seed")] {
            if self.settings.contains_key(key) {
                return Err(SweepError(format!(
                    "settings.{key} clashes with the list '{list}', which says it for each run; put it there alone"
                )));
            }
        }
        let texts = |values: &[u64]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (list, values) in [
            ("recipes", &self.recipes),
            ("models", &self.models),
            ("data", &self.data),
            ("seeds", &texts(&self.seeds)),
        ] {
            let mut seen = BTreeSet::new();
            if let Some(twice) = values.iter().find(|value| !seen.insert(*value)) {
                return Err(SweepError(format!("'{twice}' stands twice in '{list}'; each run is run once")));
            }
        }
        if self.recipes.is_empty() || self.seeds.is_empty() {
            return Err(SweepError(
                "'recipes' and 'seeds' need a value each; a sweep of nothing has no table".to_owned(),
            ));
        }
        // A list that is left out is one value, the default.
        check_size(&[
            ("recipes", self.recipes.len()),
            ("models", self.models.len().max(1)),
            ("data", self.data.len().max(1)),
            ("seeds", self.seeds.len()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clashes_are_named() {
        for (text, part) in [
            ("recipes = ['wage']\n[settings]\nseed = 3\n", "settings.seed clashes"),
            ("recipes = ['wage', 'wage']\n", "'wage' stands twice in 'recipes'"),
            ("recipes = ['wage']\nseeds = [1, 1]\n", "'1' stands twice in 'seeds'"),
            ("recipes = []\n", "a sweep of nothing"),
            (
                "recipes = ['wage']\nseed = [1]\n",
                "the sweep: 'seed' is not a key here; did you mean 'seeds'?",
            ),
            (
                "recipes = ['wage']\n[settings]\nepoch = 1\n",
                "[settings]: 'epoch' is not a setting; did you mean 'epochs'?",
            ),
        ] {
            let message = Sweep::parse(text, "x").unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn runs_that_would_share_a_folder_are_refused() {
        for (text, part) in [
            (
                "recipes = ['wage']\nmodels = ['a/b.toml', 'a_b.toml']\n",
                "the runs (model 'a/b.toml', recipe 'wage', seed 1) and (model 'a_b.toml', recipe 'wage', seed 1) would have \
                 one folder, runs/a_b.toml-wage-1; rename one of the files",
            ),
            ("recipes = ['x:1', 'x<1']\n", "(recipe 'x:1', seed 1) and (recipe 'x<1', seed 1)"),
            // The sign between the parts may stand in them.
            ("recipes = ['x']\nmodels = ['b-c', 'c']\ndata = ['a', 'a-b']\n", "one folder, runs/a-b-c-x-1"),
        ] {
            let message = Sweep::parse(text, "x").unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    /// `count` values of a list, each with its number.
    fn list(count: usize, value: impl Fn(usize) -> String) -> String {
        (0..count).map(value).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn too_many_runs_are_refused_before_they_are_made() {
        let lists = |count: usize| {
            let names = list(count, |i| format!("'x{i}'"));
            let seeds = list(count, |i| i.to_string());
            format!("recipes = [{names}]\nmodels = [{names}]\ndata = [{names}]\nseeds = [{seeds}]\n")
        };
        let message = Sweep::parse(&lists(130), "x").unwrap_err().to_string();
        assert_eq!(
            message,
            "130 of 'recipes' x 130 of 'models' x 130 of 'data' x 130 of 'seeds' make 285610000 runs, and the limit is \
             10000; shorten the lists, or divide them among several sweeps"
        );
        assert_eq!(Sweep::parse(&lists(10), "x").unwrap().runs.len(), 10_000);
        let message = check_size(&[("n", usize::MAX), ("word", usize::MAX)]).unwrap_err().to_string();
        assert!(message.contains("more than 2^64 runs"), "{message}");
    }
}
