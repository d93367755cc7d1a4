//! The columns of a table: their names, which is the label, which are features and in which order.

use std::collections::BTreeSet;
use std::path::Path;

use csv::ByteRecord;

use crate::{DataError, ImageShape};

/// Which columns are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// The column of the classes, by its name or its number.
    pub(crate) label: Option<&'a str>,
    /// Whether there must be one.
    pub(crate) needs_label: bool,
    /// Names of the features, in their order; all other columns where there are none.
    pub(crate) features: &'a [String],
}

/// The first row.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its fields.
    pub(crate) fields: Vec<String>,
    /// Whether they name the columns; else they are values.
    pub(crate) is_named: bool,
}

impl Head {
    /// # Errors
    /// One column alone, or two of one name.
    pub(crate) fn new(record: &ByteRecord, wanted: Wanted<'_>, path: &Path) -> Result<Self, DataError> {
        let text = |field: &[u8]| String::from_utf8_lossy(field.trim_ascii()).into_owned();
        let fields: Vec<String> = record.iter().map(text).collect();
        let is_number = |field: &String| field.parse::<f64>().is_ok();
        let is_label = |field: &String| wanted.label == Some(field) && !is_number(field);
        let distinct: BTreeSet<&String> = fields.iter().collect();
        // What a network knows names columns also where it looks like numbers, as years do.
        let has_features =
            !wanted.features.is_empty() && wanted.features.iter().all(|name| distinct.contains(name));
        let is_named = has_features || fields.iter().any(is_label) || !fields.iter().any(is_number);
        let mut seen = BTreeSet::new();
        if is_named && let Some(twice) = fields.iter().find(|name| !seen.insert(*name)) {
            let problem = format!("two columns are called '{twice}'");
            return Err(DataError::file(
                path,
                problem,
                "give each column a name of its own in the first line",
            ));
        }
        Ok(Self { fields, is_named })
    }

    /// What a message calls a column.
    pub(crate) fn name(&self, column: usize) -> String {
        if self.is_named { format!("'{}'", self.fields[column]) } else { format!("number {column}") }
    }

    /// The column of a name or, where it is a number, of that number.
    fn find(&self, name: &str) -> Option<usize> {
        let named = self.fields.iter().position(|field| self.is_named && field == name);
        named.or_else(|| name.parse().ok().filter(|number| *number < self.fields.len()))
    }

    /// The columns that there are, for a message.
    fn all(&self) -> String {
        /// Names in full.
        const MOST: usize = 20;
        let n = self.fields.len();
        if !self.is_named {
            return format!(
                "the first line has numbers and so names none, and its columns are 0 to {}",
                n - 1
            );
        }
        let more = if n > MOST { format!(" and {} more", n - MOST) } else { String::new() };
        format!("its columns are {}{more}", self.fields[..n.min(MOST)].join(", "))
    }

    /// A sentence's end that names the column which is spelled most like `name`.
    fn nearest(&self, name: &str) -> String {
        let distance =
            |field: &&String| strsim::damerau_levenshtein(&field.to_lowercase(), &name.to_lowercase());
        let nearest = self.fields.iter().filter(|_| self.is_named).min_by_key(distance);
        let nearest = nearest.filter(|field| distance(field) <= name.chars().count().max(3) / 3);
        nearest.map(|field| format!("; did you mean '{field}'?")).unwrap_or_default()
    }
}

/// Where in a row the label and the features stand.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) label: Option<usize>,
    /// At least one.
    pub(crate) features: Vec<usize>,
    /// Which columns are not used, where the features are given.
    pub(crate) note: Option<String>,
}

impl Columns {
    /// # Errors
    /// A column that is not there, no feature, or more of them than an image has columns.
    pub(crate) fn find(head: &Head, wanted: Wanted<'_>, path: &Path) -> Result<Self, DataError> {
        if wanted.needs_label && wanted.label.is_none() {
            let problem =
                format!("is a table, and nothing says which column has the classes; {}", head.all());
            let remedy = "write `,label=COLUMN` behind the path";
            return Err(DataError::file(path, problem, remedy));
        }
        let missing = |what: &str, name: &str, remedy: &str| {
            let problem = format!("has no {what} '{name}'; {}{}", head.all(), head.nearest(name));
            DataError::file(path, problem, remedy)
        };
        let label = wanted.label.map(|name| {
            let remedy = "name one of them, or a number from 0 where the table has no names";
            head.find(name).ok_or_else(|| missing("label column", name, remedy))
        });
        let label = label.transpose()?;
        let all = || (0..head.fields.len()).filter(|column| Some(*column) != label);
        let features: Vec<usize> = if head.is_named && !wanted.features.is_empty() {
            let place = |name: &String| head.fields.iter().position(|field| field == name);
            let find = |name: &String| {
                let remedy = "give the table all features that the network was trained on";
                place(name).ok_or_else(|| missing("feature", name, remedy))
            };
            wanted.features.iter().map(find).collect::<Result<_, _>>()?
        } else {
            all().collect()
        };
        if features.is_empty() || features.len() > ImageShape::MAX_SIDE {
            let problem = format!(
                "has {} columns of features, the limits are 1 and {}",
                features.len(),
                ImageShape::MAX_SIDE
            );
            let remedy = "leave out columns, or write `,delimiter=D` behind the path where another sign than comma, \
                          semicolon, tab and | stands between fields";
            return Err(DataError::file(path, problem, remedy));
        }
        let used: BTreeSet<usize> = features.iter().copied().collect();
        let unused: Vec<&str> = all()
            .filter(|column| !used.contains(column))
            .map(|column| head.fields[column].as_str())
            .collect();
        let by_place = (!head.is_named && !wanted.features.is_empty()).then(|| {
            format!("no names of columns: they are taken as {}, in this order", wanted.features.join(", "))
        });
        let note = (!unused.is_empty())
            .then(|| format!("columns that the network does not know are not used: {}", unused.join(", ")));
        Ok(Self { label, features, note: by_place.or(note) })
    }
}
