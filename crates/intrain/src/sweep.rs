//! Comparison as an act: recipes x models x seeds, each run once, and one table with means, deviations and intervals.
//!
//! A sweep is a TOML file; what is finished is a CSV file with one line per run, so that a sweep can be interrupted at any
//! moment and go on. This module knows the files and the statistics; the command runs the runs.

pub mod array;
mod file;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use intrain_train::config::seed_value;

pub use file::RUNS_MAX;
pub use intrain_plot::Spread;
pub use page::{Finished, curve, page};

/// What is wrong with a sweep. Each message names the value and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SweepError(String);

/// A sweep, as its file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// What it is called.
    pub name: String,
    /// Its runs in the words of its file, in the order in which they are run: seeds last, so that every recipe has its first
    /// seed early.
    pub runs: Vec<Entry>,
    /// The same runs as tables name them: with the model and the data that they have where the file leaves these out.
    pub named: Vec<Entry>,
    /// Settings of every run.
    pub settings: toml::Table,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Recipe, as on the command line.
    pub recipe: String,
    /// Model; empty in a file that leaves it out.
    pub model: String,
    /// Data set; empty in a file that leaves it out.
    pub data: String,
    /// Seed.
    pub seed: u64,
}

impl Sweep {
    /// A sweep of these runs, not named further yet.
    pub(crate) fn of(name: String, runs: Vec<Entry>, settings: toml::Table) -> Self {
        Self { name, named: runs.clone(), runs, settings }
    }

    /// Names the model and the data of each run, as its plan has them, where the file leaves them out.
    #[must_use]
    pub fn with_defaults<'a>(mut self, of_runs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        for (entry, (model, data)) in self.named.iter_mut().zip(of_runs) {
            for (word, default) in [(&mut entry.model, model), (&mut entry.data, data)] {
                if word.is_empty() {
                    default.clone_into(word);
                }
            }
        }
        self
    }

    /// Rows as this sweep names them: an older version wrote runs down in the words of the file.
    #[must_use]
    pub fn renamed(&self, rows: Vec<Row>) -> Vec<Row> {
        let names: BTreeMap<&Entry, &Entry> = self.runs.iter().zip(&self.named).collect();
        let mut seen = BTreeSet::new();
        let renamed = rows.into_iter().map(|row| match names.get(&row.entry) {
            Some(&named) => Row { entry: named.clone(), ..row },
            None => row,
        });
        renamed.filter(|row| seen.insert(row.entry.clone())).collect()
    }
}

impl Entry {
    /// The run as keys of `intrain train`, with the sweep's settings.
    #[must_use]
    pub fn keys(&self, settings: &toml::Table) -> toml::Table {
        let mut keys = settings.clone();
        for (key, text) in [("recipe", &self.recipe), ("model", &self.model), ("data", &self.data)] {
            if !text.is_empty() {
                keys.insert(key.to_owned(), text.clone().into());
            }
        }
        keys.insert("seed".to_owned(), seed_value(self.seed));
        keys
    }

    /// A name for its folder.
    #[must_use]
    pub fn folder(&self) -> String {
        let parts = [&self.data, &self.model, &self.recipe].into_iter().filter(|part| !part.is_empty());
        let name = parts.cloned().chain([self.seed.to_string()]).collect::<Vec<_>>().join("-");
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
            .collect()
    }
}

/// What a finished run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which run.
    pub entry: Entry,
    /// Share of test images that the last weights got wrong.
    pub test_error: f64,
    /// The least of any epoch.
    pub best_test_error: f64,
    /// Mean loss of the last epoch.
    pub train_loss: f64,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// The test error with the statistics of norms that training kept, where others were estimated for `test_error`. The file of
    /// finished runs has it not: it stands in the run's metrics.
    pub running_test_error: Option<f64>,
}

/// First line of the file of finished runs.
pub const HEADER: &str = "data,model,recipe,seed,test_error,best_test_error,train_loss,weights_sha256";

impl Row {
    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        let Entry { recipe, model, data, seed } = &self.entry;
        format!(
            "{},{},{},{seed},{},{},{},{}",
            quoted(data),
            quoted(model),
            quoted(recipe),
            self.test_error,
            self.best_test_error,
            self.train_loss,
            self.weights_sha256
        )
    }
}

/// A text as CSV: a recipe may have commas in it, and quotes keep them together.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Reads the file of finished runs.
///
/// # Errors
/// The first line that is none of a sweep's.
pub fn read_rows(text: &str) -> Result<Vec<Row>, SweepError> {
    let mut lines = text.lines().enumerate();
    let wrong = |i: usize| {
        SweepError(format!("line {} is none of a sweep's; move the file away to begin anew", i + 1))
    };
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(wrong(0));
    }
    let row = |(i, line): (usize, &str)| {
        let fields = fields(line);
        let [data, model, recipe, seed, test_error, best, loss, sha] = &fields[..] else {
            return Err(wrong(i));
        };
        let number = |text: &String| text.parse::<f64>().map_err(|_| wrong(i));
        let seed = seed.parse().map_err(|_| wrong(i))?;
        // It is written without quotes.
        if !sha.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(wrong(i));
        }
        Ok(Row {
            entry: Entry { recipe: recipe.clone(), model: model.clone(), data: data.clone(), seed },
            test_error: number(test_error)?,
            best_test_error: number(best)?,
            train_loss: number(loss)?,
            weights_sha256: sha.clone(),
            running_test_error: None,
        })
    };
    lines.map(row).collect()
}

/// The fields of a line of CSV.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// The runs of one recipe, model and data set, whatever their seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which; the seed is 0.
    pub entry: Entry,
    /// How many are finished.
    pub n: usize,
    /// Mean of their test errors.
    pub mean: f64,
    /// Deviation of a run from it; NaN for a single one.
    pub deviation: f64,
    /// Half the width of the mean's 95 % interval, by Student's distribution; NaN for a single run.
    pub interval: f64,
    /// The same of their errors with running statistics of norms, where every run has one.
    pub running: Option<Spread>,
}

/// The groups of the finished runs, as the sweep names them and in its order.
#[must_use]
pub fn groups(sweep: &Sweep, rows: &[Row]) -> Vec<Group> {
    let whatever_seed = |entry: &Entry| Entry { seed: 0, ..entry.clone() };
    let asked: BTreeSet<&Entry> = sweep.named.iter().collect();
    let mut of: BTreeMap<Entry, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| asked.contains(&row.entry)) {
        of.entry(whatever_seed(&row.entry)).or_default().push(row);
    }
    let mut seen = BTreeSet::new();
    let entries = sweep.named.iter().map(whatever_seed).filter(|entry| seen.insert(entry.clone()));
    entries.map(|entry| Group::of(of.get(&entry).map_or(&[], Vec::as_slice), entry)).collect()
}

impl Group {
    /// What so many runs come to.
    fn of(rows: &[&Row], entry: Entry) -> Self {
        let errors: Vec<f64> = rows.iter().map(|row| row.test_error).collect();
        let Spread { mean, deviation, interval } = Spread::of(&errors);
        let running: Option<Vec<f64>> = rows.iter().map(|row| row.running_test_error).collect();
        let running = running.filter(|errors| !errors.is_empty()).map(|errors| Spread::of(&errors));
        Self { entry, n: rows.len(), mean, deviation, interval, running }
    }
}

/// A share as a percentage with two digits, or a dash.
fn percent(share: f64) -> String {
    if share.is_nan() { "-".to_owned() } else { format!("{:.2} %", 100.0 * share) }
}

/// The 95 % interval of a group's mean as far as a share can lie in it, from 0 to 1; not numbers for a single run.
fn interval(group: &Group) -> [f64; 2] {
    if group.interval.is_nan() {
        return [f64::NAN; 2];
    }
    [(group.mean - group.interval).max(0.0), (group.mean + group.interval).min(1.0)]
}

/// Headings of the columns for errors with running statistics of norms, in tables where they differ from those of the deployed
/// network.
const RUNNING: &str = " with running statistics | deviation |";

/// The table of groups as Markdown.
#[must_use]
pub fn markdown(sweep: &Sweep, groups: &[Group]) -> String {
    let mut text = format!("# {}\n\n", sweep.name);
    let has_running = groups.iter().any(|group| group.running.is_some());
    let [more, line] = if has_running { [RUNNING, "--:|--:|"] } else { [""; 2] };
    text.push_str(&format!(
        "| data | model | recipe | runs | test error | deviation | 95 % interval of the mean |{more}\n"
    ));
    text.push_str(&format!("|---|---|---|--:|--:|--:|--:|{line}\n"));
    for group in groups {
        let Entry { recipe, model, data, .. } = &group.entry;
        let [data, model, recipe] = [data, model, recipe].map(|name| name.replace('|', "\\|"));
        text.push_str(&format!(
            "| {data} | {model} | {recipe} | {} | {} | {} | {} |",
            group.n,
            percent(group.mean),
            percent(group.deviation),
            if group.interval.is_nan() {
                "-".to_owned()
            } else {
                let [low, high] = interval(group);
                format!("{} .. {}", percent(low), percent(high))
            }
        ));
        if has_running {
            let [mean, deviation] = group.running.map_or([f64::NAN; 2], |s| [s.mean, s.deviation]);
            text.push_str(&format!(" {} | {} |", percent(mean), percent(deviation)));
        }
        text.push('\n');
    }
    text
}

/// The table of groups as CSV, shares as numbers.
#[must_use]
pub fn csv(groups: &[Group]) -> String {
    let has_running = groups.iter().any(|group| group.running.is_some());
    let more = if has_running { ",running_mean,running_deviation,running_interval" } else { "" };
    let mut text = format!("data,model,recipe,runs,mean,deviation,interval{more}\n");
    for Group { entry: Entry { recipe, model, data, .. }, n, mean, deviation, interval, running } in groups {
        let [data, model, recipe] = [data, model, recipe].map(|name| quoted(name));
        text.push_str(&format!("{data},{model},{recipe},{n},{mean},{deviation},{interval}"));
        match running {
            Some(Spread { mean, deviation, interval }) => {
                text.push_str(&format!(",{mean},{deviation},{interval}"));
            }
            None if has_running => text.push_str(",NaN,NaN,NaN"),
            None => {}
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "recipes = [\"wage\", \"gupta:Q2.14\"]\nseeds = [1, 2, 3]\n[settings]\nepochs = 2\n";

    #[test]
    fn every_combination_is_a_run_and_seeds_come_last() {
        let sweep = Sweep::parse(TEXT, "x").unwrap();
        assert_eq!((sweep.name.as_str(), sweep.runs.len()), ("x", 6));
        assert_eq!(sweep.runs.iter().map(|run| run.seed).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
        let keys = sweep.runs[1].keys(&sweep.settings);
        assert_eq!(keys.to_string(), "epochs = 2\nrecipe = \"gupta:Q2.14\"\nseed = 1\n");
        assert_eq!(sweep.runs[1].folder(), "gupta_Q2.14-1");
    }

    #[test]
    fn tables_name_the_model_and_the_data_that_a_file_leaves_out() {
        let sweep = Sweep::parse(TEXT, "x").unwrap();
        let row = |entry: &Entry| Row {
            entry: entry.clone(),
            test_error: 0.5,
            best_test_error: 0.5,
            train_loss: 0.5,
            weights_sha256: String::new(),
            running_test_error: None,
        };
        let older = [row(&sweep.runs[0]), row(&sweep.runs[2])];
        let sweep = sweep.with_defaults([("digits-cnn", "digits")].into_iter().cycle());
        // What an older version has finished is not run again, nor counted twice.
        let rows = sweep.renamed([&older[..], &[row(&sweep.named[0])]].concat());
        assert_eq!(rows, [row(&sweep.named[0]), row(&sweep.named[2])]);
        let groups = groups(&sweep, &rows);
        assert_eq!(groups.iter().map(|group| group.n).collect::<Vec<_>>(), [2, 0]);
        assert!(csv(&groups).contains("\"digits\",\"digits-cnn\",\"wage\",2,0.5,"), "{}", csv(&groups));
        assert!(markdown(&sweep, &groups).contains("| digits | digits-cnn | wage | 2 |"));
        // Folders keep their names.
        assert_eq!(sweep.runs[0].folder(), "wage-1");
    }

    #[test]
    fn finished_runs_are_read_back_and_summed_up() {
        let sweep = Sweep::parse(TEXT, "x").unwrap();
        let row = |i: usize, test_error: f64| Row {
            entry: sweep.runs[i].clone(),
            test_error,
            best_test_error: test_error,
            train_loss: f64::NAN,
            weights_sha256: "ab".to_owned(),
            running_test_error: None,
        };
        let mut comma = row(0, 0.1);
        comma.entry.recipe = "levels<1,2> \"x\"".to_owned();
        let text = format!("{HEADER}\n{}\n", comma.line());
        assert_eq!(read_rows(&text).unwrap()[0].entry, comma.entry);
        // A row that could not be written again.
        let damaged = text.replace(",ab\n", ",\"a,b\"\n");
        assert!(damaged != text && read_rows(&damaged).is_err());
        assert!(read_rows("x\n").is_err() && read_rows(&format!("{HEADER}\nx\n")).is_err());

        let groups = groups(&sweep, &[row(0, 0.1), row(2, 0.2), row(4, 0.3), row(1, 0.5)]);
        assert_eq!((groups[0].n, groups[1].n), (3, 1));
        assert!((groups[0].mean - 0.2).abs() < 1e-12 && (groups[0].deviation - 0.1).abs() < 1e-12);
        assert!((groups[0].interval - 4.303 * 0.1 / 3f64.sqrt()).abs() < 1e-9);
        let table = markdown(&sweep, &groups);
        assert!(table.contains("| wage | 3 | 20.00 % | 10.00 % | 0.00 % .. 44.84 % |"), "{table}");
        assert!(table.contains("| gupta:Q2.14 | 1 | 50.00 % | - | - |\n"), "{table}");

        // Names keep to their cells.
        let mut piped = row(0, 0.1);
        piped.entry.data = "csv:a.csv,delimiter=|,label=\"x\"".to_owned();
        let of_piped = Sweep::of("p".to_owned(), vec![piped.entry.clone()], toml::Table::new());
        let groups_of_piped = super::groups(&of_piped, &[piped]);
        let (table, csv_text) = (markdown(&of_piped, &groups_of_piped), csv(&groups_of_piped));
        assert!(table.contains("| csv:a.csv,delimiter=\\|,label=\"x\" |"), "{table}");
        assert!(csv_text.contains("\"csv:a.csv,delimiter=|,label=\"\"x\"\"\","), "{csv_text}");

        // A column more where norms were estimated; a group without such runs has dashes there.
        let estimated = |row: Row| Row { running_test_error: Some(0.5), ..row };
        let rows = [estimated(row(0, 0.1)), estimated(row(2, 0.2)), row(1, 0.5)];
        let groups = super::groups(&sweep, &rows);
        assert_eq!(groups[0].running.map(|spread| (spread.mean, spread.deviation)), Some((0.5, 0.0)));
        let table = markdown(&sweep, &groups);
        assert!(table.contains("| 50.00 % | 0.00 % |\n") && table.contains("| - | - | - | - |\n"), "{table}");
        assert!(table.contains("| with running statistics | deviation |\n"), "{table}");
        let csv = csv(&groups);
        assert!(csv.contains(",running_interval\n") && csv.contains(",0.5,0,0\n"), "{csv}");
        // Not in every run: no mean of some.
        let partly = super::groups(&sweep, &[estimated(row(0, 0.1)), row(2, 0.2)]);
        assert_eq!(partly[0].running, None);
    }
}
