//! A table of numbers as text (CSV, RFC 4180): a row for each example, a column for each feature, and one for the class.
//!
//! The first row names the columns where one of its fields is the label's name, or none of them is a number. Fields are
//! numbers, finite and none missing; blanks around them do not count. Classes are texts or integers, numbered in the order of
//! their names, integers in the order of their values. Which sign stands between fields is the most frequent of comma,
//! semicolon, tab and `|` in the first line, if nothing is said. An example is an image of one row, its features encoded
//! as `encoder.rs` says by the least and the greatest value among the examples to learn from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::DataError;
use crate::bounded::read_file;
use crate::encoder::Range;
use crate::table_head::{Columns, Head, Wanted};
use crate::table_options::TableOptions;

/// Longest file, in bytes: a field may have two of them and becomes a float64 of eight.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// What stands for a number that is not there.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "-"];

/// A table as it stands in a file, its features in the order that was asked for.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    /// Names of the features; none without a header.
    pub(crate) names: Vec<String>,
    /// Features of a row, at least one.
    pub(crate) n_features: usize,
    /// Row by row.
    pub(crate) values: Vec<f64>,
    /// Names of classes in the order of their first rows.
    pub(crate) classes: Vec<String>,
    /// The class of each row; none where no label was asked for.
    pub(crate) labels: Vec<u32>,
    /// Where each row begins.
    pub(crate) lines: Vec<u32>,
    /// What was decided that the file does not say.
    pub(crate) notes: Vec<String>,
}

impl Table {
    /// What a row that begins on this line is called.
    pub(crate) fn name_of(&self, line: u32) -> String {
        let file = self.path.file_name().unwrap_or_default();
        format!("{} line {line}", file.to_string_lossy())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or as [`Table::parse`].
    pub(crate) fn read(path: &Path, options: &TableOptions, wanted: Wanted<'_>) -> Result<Self, DataError> {
        Self::parse(&read_file(path, MAX_FILE_BYTES)?, path, options, wanted)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// No rows, a column that is not there, a row with more or fewer fields than the first, a field that is no number; its
    /// line and column are named.
    pub(crate) fn parse(
        bytes: &[u8],
        path: &Path,
        options: &TableOptions,
        wanted: Wanted<'_>,
    ) -> Result<Self, DataError> {
        let delimiter = options.delimiter.unwrap_or_else(|| find_delimiter(bytes));
        let mut records = Records::new(bytes, delimiter);
        let Some((first, line)) = records.next(path)? else {
            let problem = "is empty, expected a row of names and a row for each example";
            return Err(DataError::file(path, problem, "check the path"));
        };
        let head = Head::new(first, wanted, path)?;
        let columns = Columns::find(&head, wanted, path)?;
        let table = Self::empty(&head, &columns, path);
        let mut rows = Rows { head: &head, columns: &columns, table, numbers: BTreeMap::new() };
        if !head.is_named {
            rows.add(first, line)?;
        }
        while let Some((record, line)) = records.next(path)? {
            rows.add(record, line)?;
        }
        if rows.table.lines.is_empty() {
            return Err(DataError::file(
                path,
                "has 0 rows below the names of its columns",
                "give it examples",
            ));
        }
        Ok(rows.table)
    }

    fn empty(head: &Head, columns: &Columns, path: &Path) -> Self {
        let named = columns.features.iter().filter(|_| head.is_named);
        Self {
            path: path.to_owned(),
            names: named.map(|column| head.fields[*column].clone()).collect(),
            n_features: columns.features.len(),
            values: Vec::new(),
            classes: Vec::new(),
            labels: Vec::new(),
            lines: Vec::new(),
            notes: columns.note.iter().map(|note| format!("{}: {note}", path.display())).collect(),
        }
    }

    /// The features of each row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.n_features)
    }
}

/// Rows that are read one by one.
struct Rows<'a> {
    head: &'a Head,
    columns: &'a Columns,
    table: Table,
    /// Of the classes.
    numbers: BTreeMap<Vec<u8>, u32>,
}

impl Rows<'_> {
    fn add(&mut self, record: &ByteRecord, line: u64) -> Result<(), DataError> {
        let (found, expected) = (record.len(), self.head.fields.len());
        let path = &self.table.path;
        if found != expected {
            let problem = format!("line {line} has {found} fields, and the first line {expected}");
            let remedy = "give each row a field for each column; a text with a delimiter in it stands in double quotes";
            return Err(DataError::file(path, problem, remedy));
        }
        for column in &self.columns.features {
            let value = number(&record[*column]).map_err(|problem| {
                let (problem, remedy) = explain(&record[*column], &problem);
                let name = self.head.name(*column);
                DataError::file(path, format!("line {line}, column {name}: {problem}"), remedy)
            })?;
            self.table.values.push(value);
        }
        if let Some(column) = self.columns.label {
            let label = self.label(&record[column], line, column)?;
            self.table.labels.push(label);
        }
        self.table.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
        Ok(())
    }

    /// The number of a class, in the order of their first rows.
    fn label(&mut self, field: &[u8], line: u64, column: usize) -> Result<u32, DataError> {
        let field = field.trim_ascii();
        if let Some(number) = self.numbers.get(field) {
            return Ok(*number);
        }
        let refuse = |problem: &str, remedy: &str| {
            let place = format!("line {line}, column {}: {problem}", self.head.name(column));
            Err(DataError::file(&self.table.path, place, remedy))
        };
        if field.is_empty() || field.eq_ignore_ascii_case(b"nan") {
            return refuse("the class is missing", "fill it in, or leave out the row");
        }
        let Ok(text) = std::str::from_utf8(field) else {
            return refuse("the class is not UTF-8", "save the table as UTF-8");
        };
        let n = u32::try_from(self.table.classes.len()).unwrap_or(u32::MAX);
        if n > u32::from(u16::MAX) {
            return refuse(
                "it is class number 65537, and the limit is 65536",
                "name the column of the classes",
            );
        }
        self.numbers.insert(field.to_vec(), n);
        self.table.classes.push(text.to_owned());
        Ok(n)
    }
}

/// The rows that are not blank, each with the line that it begins on.
struct Records<'a> {
    bytes: &'a [u8],
    reader: Reader<&'a [u8]>,
    record: ByteRecord,
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        let mut builder = ReaderBuilder::new();
        let reader = builder.delimiter(delimiter).has_headers(false).flexible(true).from_reader(bytes);
        Self { bytes, reader, record: ByteRecord::new() }
    }

    fn next(&mut self, path: &Path) -> Result<Option<(&ByteRecord, u64)>, DataError> {
        let start = self.reader.position().clone();
        let is_there = self.reader.read_byte_record(&mut self.record).map_err(|error| {
            DataError::file(path, format!("cannot be read as a table: {error}"), "check the file")
        })?;
        // The reader stands behind the last row, in front of blank lines.
        let at = usize::try_from(start.byte()).unwrap_or(usize::MAX).min(self.bytes.len());
        let blank = self.bytes[at..].iter().take_while(|byte| b"\r\n".contains(byte));
        let line = start.line() + blank.filter(|byte| **byte == b'\n').count() as u64;
        Ok(is_there.then_some((&self.record, line)))
    }
}

/// The number that a field says.
fn number(field: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(field.trim_ascii());
    let value: f64 = text.parse().map_err(|_| format!("'{}' is not a number", short(&text)))?;
    match Range::new(value, value) {
        Some(_) => Ok(value),
        None => Err(format!("{value} is not a number of at most 1e300")),
    }
}

/// What is wrong with a field, and what to do.
fn explain(field: &[u8], problem: &str) -> (String, &'static str) {
    let text = String::from_utf8_lossy(field.trim_ascii());
    if MISSING.contains(&text.to_lowercase().as_str()) {
        let problem = if text.is_empty() {
            "it is empty".to_owned()
        } else {
            format!("'{text}' stands for a missing value")
        };
        return (problem, "fill in a number, or leave out the row or the column");
    }
    let with_point = text.replacen(',', ".", 1);
    if with_point != text && with_point.parse::<f64>().is_ok() {
        return (problem.to_owned(), "write decimals with a point");
    }
    (problem.to_owned(), "give each category a number or columns of 0 and 1, or leave out the column")
}

fn short(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST).chain("...".chars()).collect()
    }
}

/// The most frequent delimiter outside of quotes in the first line that is not blank.
fn find_delimiter(bytes: &[u8]) -> u8 {
    const KNOWN: [u8; 4] = [b',', b';', b'\t', b'|'];
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    let (mut counts, mut is_quoted) = ([0_usize; KNOWN.len()], false);
    for byte in &bytes[start..] {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            byte if !is_quoted => {
                for (count, known) in counts.iter_mut().zip(KNOWN) {
                    *count += usize::from(*byte == known);
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    KNOWN.into_iter().zip(counts).find(|(_, count)| *count == most).map_or(b',', |(known, _)| known)
}
