//! Tables as data sets: the parts to learn from and to test, the classes of both, and the encoder of the features.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bounded::reserve;
use crate::dataset::a_fifth_of_each_class;
use crate::encoder::{Clamped, Encoder};
use crate::error::few;
use crate::table::Table;
use crate::table_head::Wanted;
use crate::table_options::TableOptions;
use crate::{DataError, Dataset, ImageShape, Split};

/// Reads a data set from a table; options stand behind its path. Its features are those of `encoder`, where a trained network
/// brings one.
///
/// # Errors
/// A file cannot be read or has no label, as the table of this module has it; or no class has a second row to test.
pub(crate) fn load(text: &str, name: &str, encoder: Option<&Encoder>) -> Result<Dataset, DataError> {
    let options = TableOptions::parse(text)?;
    let wanted = |features| Wanted { label: options.label.as_deref(), needs_label: true, features };
    let features = encoder.map_or(&[][..], Encoder::names);
    let table = Table::read(&options.path, &options, wanted(features))?;
    let test = options.test.as_ref().map(|path| {
        let features = if table.names.is_empty() { features } else { &table.names };
        Table::read(path, &options, wanted(features))
    });
    let test = test.transpose()?;
    join(&table, test.as_ref(), name, encoder)
}

/// Reads a data set from the bytes of a table whose classes stand in the column `label`.
///
/// # Errors
/// As a data set `csv:PATH`.
pub fn parse(bytes: &[u8], label: &str, path: &Path) -> Result<Dataset, DataError> {
    let wanted = Wanted { label: Some(label), needs_label: true, features: &[] };
    let table = Table::parse(bytes, path, &TableOptions::default(), wanted)?;
    join(&table, None, "csv", None)
}

/// The rows of a table without classes, for a network with this encoder.
#[derive(Debug)]
pub struct TableRows {
    /// Bytes of features, row by row.
    pub features: Vec<u8>,
    /// The line of the file that each row begins on.
    pub lines: Vec<u32>,
    /// What was decided that the file does not say, a sentence each.
    pub notes: Vec<String>,
}

impl TableRows {
    /// Reads all rows of a table, its features by their names where it has some, for a network of so many that was trained on
    /// `data`. Options may stand behind the path of the table; its delimiter is that of `data` where they say none.
    ///
    /// # Errors
    /// The file cannot be read, lacks a feature or has too many, or has other than numbers in one.
    pub fn read(text: &str, data: &str, encoder: &Encoder, n_features: usize) -> Result<Self, DataError> {
        let mut options = TableOptions::parse(text)?;
        let trained = data.strip_prefix("csv:").map(TableOptions::parse).transpose()?;
        options.delimiter = options.delimiter.or(trained.and_then(|options| options.delimiter));
        let path = options.path.as_path();
        let wanted = Wanted { label: None, needs_label: false, features: encoder.names() };
        let table = Table::read(path, &options, wanted)?;
        check_features(&table, n_features)?;
        let (mut features, mut clamped) = (Vec::new(), Clamped::default());
        reserve(&mut features, table.values.len(), path)?;
        table.rows().for_each(|row| clamped.append(encoder, row, &mut features));
        let mut notes = table.notes;
        notes.extend(clamped.note(&path.display().to_string(), "the range that the network knows", encoder));
        Ok(Self { features, lines: table.lines, notes })
    }
}

fn check_features(table: &Table, expected: usize) -> Result<(), DataError> {
    let found = table.n_features;
    if found == expected {
        return Ok(());
    }
    let problem = format!("has {found} columns of features, and the network knows {expected}");
    Err(DataError::file(&table.path, problem, "give the features that it was trained on, in their order"))
}

/// Both parts as one data set.
fn join(
    train: &Table,
    test: Option<&Table>,
    name: &str,
    given: Option<&Encoder>,
) -> Result<Dataset, DataError> {
    let path = &train.path;
    let classes = Classes::of(train)?;
    let labels = classes.labels(train)?;
    let shape = ImageShape::new(1, train.n_features, 1, path)?;
    shape.bytes_of(labels.len(), path)?;
    let mut notes = train.notes.clone();
    notes.extend(classes.note(path));
    let is_test = match test {
        Some(test) if test.n_features != train.n_features => {
            let problem = format!(
                "has {} columns of features, and {} has {}",
                test.n_features,
                path.display(),
                train.n_features
            );
            return Err(DataError::file(&test.path, problem, "give both the same columns"));
        }
        Some(_) => vec![false; labels.len()],
        None => part(&labels, &classes, path, &mut notes)?,
    };
    let rows = || train.rows().zip(&labels).zip(&is_test);
    let learned = rows().filter(|(_, is_test)| !**is_test).map(|((row, _), _)| row);
    let encoder = given.cloned().unwrap_or_else(|| Encoder::measured(train.names.clone(), learned));
    if !encoder.takes(train.n_features) {
        check_features(train, encoder.ranges().len())?;
    }
    let [mut learns, mut tests] = [Encoded::default(), Encoded::default()];
    for (((row, label), is_test), line) in rows().zip(&train.lines) {
        if *is_test { &mut tests } else { &mut learns }.add(&encoder, row, *label, train.name_of(*line));
    }
    if let Some(test) = test {
        notes.extend(test.notes.iter().cloned());
        for ((row, label), line) in test.rows().zip(classes.labels(test)?).zip(&test.lines) {
            tests.add(&encoder, row, label, test.name_of(*line));
        }
    }
    let limits =
        if given.is_some() { "the range that the network knows" } else { "the training part's range" };
    for (encoded, which) in [(&learns, "training"), (&tests, "test")] {
        let of = format!("the {which} part of {name}");
        notes.extend(encoded.clamped.note(&of, limits, &encoder));
    }
    let mut dataset = Dataset::new(name, shape, classes.names.len(), [learns.split, tests.split], path)?;
    (dataset.class_names, dataset.notes) = (classes.names, notes);
    if given.is_none() {
        // A trained network needs all that it knows.
        dataset.warnings = warnings(&encoder, name);
    }
    dataset.encoder = Some(encoder);
    Ok(dataset)
}

/// Rows as bytes, with their classes.
#[derive(Default)]
struct Encoded {
    split: Split,
    clamped: Clamped,
}

impl Encoded {
    fn add(&mut self, encoder: &Encoder, row: &[f64], label: u16, name: String) {
        self.clamped.append(encoder, row, &mut self.split.images);
        self.split.labels.push(label);
        self.split.names.push(name);
    }
}

/// A sentence where columns say nothing.
fn warnings(encoder: &Encoder, name: &str) -> Vec<String> {
    let ranges = encoder.ranges().iter().enumerate();
    let constant = ranges.filter(|(_, range)| range.low() == range.high());
    let constant: Vec<String> =
        constant.map(|(i, range)| format!("{} ({} everywhere)", encoder.name(i), range.low())).collect();
    let sentence = format!(
        "{name}: columns with one value alone in what is learned from say nothing, and become 0: {}; leave them out",
        few(&constant)
    );
    (!constant.is_empty()).then_some(sentence).into_iter().collect()
}

/// Which rows are for the test, where no file of their own has them; a note says how they were chosen.
fn part(
    labels: &[u16],
    classes: &Classes,
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<bool>, DataError> {
    let is_test = a_fifth_of_each_class(labels, classes.names.len());
    let n_test = is_test.iter().filter(|is_test| **is_test).count();
    if n_test == 0 {
        let n = classes.names.len();
        let problem = format!("has {} rows, one for each of its {n} classes", labels.len());
        return Err(DataError::file(
            path,
            problem,
            "give a class at least 2 rows, or a file of its own with `,test=PATH`",
        ));
    }
    notes.push(format!(
        "{}: of each class, every fifth row is for the test, of 2 to 4 rows the last: {} rows to learn from, {n_test} to test",
        path.display(),
        labels.len() - n_test
    ));
    let mut counts = vec![0_usize; classes.names.len()];
    labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
    let single = counts.iter().zip(&classes.names).filter(|(count, _)| **count == 1);
    let single: Vec<String> = single.map(|(_, name)| name.clone()).collect();
    if !single.is_empty() {
        notes.push(format!("{}: classes with 1 row are not tested: {}", path.display(), few(&single)));
    }
    Ok(is_test)
}

/// The classes of the part to learn from, in their order.
struct Classes {
    names: Vec<String>,
    numbers: BTreeMap<String, u16>,
}

impl Classes {
    /// # Errors
    /// All labels are numbers, and one is no integer.
    fn of(table: &Table) -> Result<Self, DataError> {
        let numbers: Option<Vec<f64>> = table.classes.iter().map(|class| class.parse().ok()).collect();
        let mut names: Vec<String> = match numbers {
            Some(numbers) => {
                let mut numbers =
                    numbers.into_iter().map(|x| whole(x, table)).collect::<Result<Vec<_>, _>>()?;
                numbers.sort_unstable();
                numbers.into_iter().map(|n| n.to_string()).collect()
            }
            None => {
                let mut names = table.classes.clone();
                names.sort();
                names
            }
        };
        names.dedup();
        let numbers = names.iter().cloned().zip(0..).collect();
        Ok(Self { names, numbers })
    }

    fn number(&self, class: &str) -> Option<u16> {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let number = || class.parse().ok().filter(|x: &f64| is_whole(*x)).map(|x| (x as i64).to_string());
        self.numbers.get(class).or_else(|| self.numbers.get(&number()?)).copied()
    }

    /// The class of each row.
    ///
    /// # Errors
    /// A class that is not among these.
    fn labels(&self, table: &Table) -> Result<Vec<u16>, DataError> {
        let known: Vec<Option<u16>> = table.classes.iter().map(|class| self.number(class)).collect();
        let find = |(label, line): (&u32, &u32)| {
            known[*label as usize].ok_or_else(|| {
                let class = &table.classes[*label as usize];
                let problem = format!("line {line}: class '{class}' has no row to learn from");
                let remedy = format!(
                    "the classes are {}; leave out the row, or give the class rows",
                    few(&self.names)
                );
                DataError::file(&table.path, problem, remedy)
            })
        };
        table.labels.iter().zip(&table.lines).map(find).collect()
    }

    fn note(&self, path: &Path) -> Option<String> {
        let [class] = &self.names[..] else { return None };
        Some(format!("{}: every row is of one class, '{class}'", path.display()))
    }
}

fn is_whole(x: f64) -> bool {
    const MOST: f64 = 9_007_199_254_740_992.0;
    x.fract() == 0.0 && x.abs() <= MOST
}

#[allow(clippy::cast_possible_truncation, reason = "a whole number of at most 2^53")]
fn whole(x: f64, table: &Table) -> Result<i64, DataError> {
    if is_whole(x) {
        return Ok(x as i64);
    }
    let row = table.labels.iter().position(|label| table.classes[*label as usize].parse() == Ok(x));
    let line = row.map_or(0, |row| table.lines[row]);
    let problem = format!("line {line}: the class is {x}, and classes are texts or integers");
    Err(DataError::file(
        &table.path,
        problem,
        "name the column of the classes with `,label=COLUMN`, or number them",
    ))
}
