//! An experiment: rows of command-line arguments, each run with several seeds. The text of `experiments/*.toml`.

use serde::Deserialize;

use super::record::Record;

/// A table to fill.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Heading of the table.
    pub(crate) title: String,
    /// What is compared, and with what outside of this project.
    pub(crate) about: String,
    /// Seeds of every row that names none.
    seeds: Vec<u64>,
    #[serde(rename = "row")]
    pub(crate) rows: Vec<Row>,
}

/// A row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Unique, and without commas: the first cell of each of its records.
    pub(crate) name: String,
    /// Flags of `intrain train`, without seed and run folder.
    pub(crate) args: Vec<String>,
    /// Seeds of this row.
    seeds: Option<Vec<u64>>,
}

impl Row {
    /// The name as a folder may have it.
    pub(crate) fn folder_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        self.name.chars().map(plain).collect()
    }
}

impl Experiment {
    /// Reads an experiment.
    ///
    /// # Errors
    /// The text is not an experiment's, or its rows cannot be told apart.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let experiment: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (i, row) in experiment.rows.iter().enumerate() {
            if row.name.is_empty() || row.name.contains([',', '"', '|', '\n']) {
                return Err(format!("row '{}': a name has no comma, quote, bar or line break", row.name));
            }
            if experiment.rows[..i].iter().any(|before| before.folder_name() == row.folder_name()) {
                return Err(format!("row '{}': another row has this name; change one", row.name));
            }
            if let Some(flag) =
                row.args.iter().find(|arg| ["--seed", "--out", "--json"].contains(&arg.as_str()))
            {
                return Err(format!("row '{}': {flag} is added by the task; remove it", row.name));
            }
        }
        Ok(experiment)
    }

    /// The seeds of a row.
    pub(crate) fn seeds<'a>(&'a self, row: &'a Row) -> &'a [u64] {
        row.seeds.as_deref().unwrap_or(&self.seeds)
    }

    /// The runs that no record holds, in the order of the list.
    pub(crate) fn missing(&self, records: &[Record]) -> Vec<(&Row, u64)> {
        let is_there = |row: &Row, seed| records.iter().any(|r| r.row == row.name && r.seed == seed);
        let runs = self.rows.iter().flat_map(|row| self.seeds(row).iter().map(move |seed| (row, *seed)));
        runs.filter(|(row, seed)| !is_there(row, *seed)).collect()
    }

    /// Checks that each record belongs to a run of the list, once.
    ///
    /// # Errors
    /// The first that does not.
    pub(crate) fn check(&self, records: &[Record]) -> Result<(), String> {
        for (i, record) in records.iter().enumerate() {
            let Record { row, seed, .. } = record;
            let is_listed = self.rows.iter().any(|r| r.name == *row && self.seeds(r).contains(seed));
            let is_again = records[..i].iter().any(|before| before.row == *row && before.seed == *seed);
            if !is_listed || is_again {
                let problem = if is_again { "is there twice" } else { "is not in the experiment's list" };
                return Err(format!("row '{row}' with seed {seed} {problem}; remove the line"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::results::record::tests::run;

    pub(crate) const TEXT: &str = "title = 'T'\nabout = 'A.'\nseeds = [1, 2]\n
        [[row]]\nname = 'short run'\nargs = ['--epochs', '1']\n
        [[row]]\nname = 'long run'\nargs = []\nseeds = [7]\n";

    #[test]
    fn missing_runs_are_those_without_a_record() {
        let experiment = Experiment::parse(TEXT).unwrap();
        let records = [run("short run", 1, 0.1)];
        experiment.check(&records).unwrap();
        let missing: Vec<_> =
            experiment.missing(&records).into_iter().map(|(row, seed)| (row.folder_name(), seed)).collect();
        assert_eq!(missing, [("short-run".to_owned(), 2), ("long-run".to_owned(), 7)]);
    }

    #[test]
    fn wrong_lists_and_records_are_refused() {
        for (from, to, part) in [
            ("long run", "short run", "another row"),
            ("long run", "long, run", "no comma"),
            ("--epochs", "--seed", "added by the task"),
            ("about", "abut", "abut"),
        ] {
            let error = Experiment::parse(&TEXT.replace(from, to)).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let experiment = Experiment::parse(TEXT).unwrap();
        let record = |seed| run("long run", seed, 0.1);
        assert!(experiment.check(&[record(1)]).unwrap_err().contains("not in the experiment's list"));
        assert!(experiment.check(&[record(7), record(7)]).unwrap_err().contains("twice"));
    }

    #[test]
    fn the_lists_of_this_project_are_read() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Sweeps are lists of another kind.
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            Experiment::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
