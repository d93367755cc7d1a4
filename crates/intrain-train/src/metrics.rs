//! `metrics.csv`: one line per measurement of a run, appended as the run goes.
//!
//! Invariant: whatever stops the run, all lines but perhaps the last are whole, and a resumed run goes on behind the
//! last line that its checkpoint knows of. Numbers are written so that reading them gives the same `f64`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{ArtefactError, atomic_write};

/// The first line of the file: the columns in order; those of [`Details`] follow.
pub const HEADER: &str = "step,epoch,learning_rate,train_loss,train_error,test_loss,test_error,dead_updates,\
                          saturated_weights,changed_signs,images_per_second,seconds";
const COLUMNS: usize = 12;
/// Columns behind those, where a run measures them: its data have images for validation, or many classes, or its network is deployed with
/// other statistics of norms than those of training.
pub const OPTIONAL: [&str; 6] = [
    "test_top5_error",
    "validation_loss",
    "validation_error",
    "validation_top5_error",
    "running_test_loss",
    "running_test_error",
];

/// Names of further columns and their numbers; none where nothing was measured.
pub type Details = Vec<(String, Option<f64>)>;

/// The further columns of a whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Further {
    /// Of each column.
    pub names: Vec<String>,
    /// For each row of the file as many numbers; none where nothing was measured.
    pub rows: Vec<Vec<Option<f64>>>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Row {
    /// Number of finished steps.
    pub step: u64,
    /// Number of finished epochs.
    pub epoch: u32,
    /// Learning rate of the last step, as the recipe spells it.
    pub learning_rate: f64,
    /// Mean loss over the training images since the row before.
    pub train_loss: f64,
    /// Share of those images that were classified wrongly, 0 to 1.
    pub train_error: f64,
    /// Mean loss over the test set, if it was evaluated now.
    pub test_loss: Option<f64>,
    /// Share of the test images classified wrongly, 0 to 1, if the test set was evaluated now.
    pub test_error: Option<f64>,
    /// Share of the updates that left their weight as it was, 0 to 1.
    pub dead_updates: f64,
    /// Share of the updates whose weight was held at a limit, 0 to 1: at an end of its format, or at the limit that the
    /// overflow of the row `master` states (`clip`, `clip-before`).
    pub saturated_weights: f64,
    /// Share of the weights whose sign is not the one that they started with, 0 to 1: of layers whose weights are
    /// quantized; of all layers where none are.
    pub changed_signs: f64,
    /// Training images per second over the whole run so far, evaluation left out.
    pub images_per_second: f64,
    /// Seconds since the run began, those before a restart included.
    pub seconds: f64,
    /// Share of the test images whose class is not among the five likeliest, 0 to 1, if that was measured.
    pub test_top5_error: Option<f64>,
    /// Mean loss over the images for validation, if there are some and they were evaluated now.
    pub validation_loss: Option<f64>,
    /// Share of them classified wrongly, likewise.
    pub validation_error: Option<f64>,
    /// Share of them whose class is not among the five likeliest, likewise.
    pub validation_top5_error: Option<f64>,
    /// As `test_loss`, with the statistics that norms have kept in training, where the deployed network has others.
    pub running_test_loss: Option<f64>,
    /// As `test_error`, likewise.
    pub running_test_error: Option<f64>,
}

impl Row {
    /// The error by which the best row of a run is chosen: on the images for validation, else on the test images.
    #[must_use]
    pub fn choosing_error(&self) -> Option<f64> {
        self.validation_error.or(self.test_error)
    }

    /// The numbers of [`OPTIONAL`], in its order.
    #[must_use]
    pub const fn optional(&self) -> [Option<f64>; OPTIONAL.len()] {
        [
            self.test_top5_error,
            self.validation_loss,
            self.validation_error,
            self.validation_top5_error,
            self.running_test_loss,
            self.running_test_error,
        ]
    }

    /// The same with a number of a column that may be one of [`OPTIONAL`].
    fn with_optional(mut self, name: &str, value: Option<f64>) -> Self {
        match name {
            "test_top5_error" => self.test_top5_error = value,
            "validation_loss" => self.validation_loss = value,
            "validation_error" => self.validation_error = value,
            "validation_top5_error" => self.validation_top5_error = value,
            "running_test_loss" => self.running_test_loss = value,
            "running_test_error" => self.running_test_error = value,
            _ => {}
        }
        self
    }

    /// `{:?}` of an `f64` is the shortest text that reads back as the same number; no value is an empty field.
    fn to_line(self) -> String {
        let option = |value: Option<f64>| value.map(|v| format!("{v:?}")).unwrap_or_default();
        format!(
            "{},{},{:?},{:?},{:?},{},{},{:?},{:?},{:?},{:?},{:?}\n",
            self.step,
            self.epoch,
            self.learning_rate,
            self.train_loss,
            self.train_error,
            option(self.test_loss),
            option(self.test_error),
            self.dead_updates,
            self.saturated_weights,
            self.changed_signs,
            self.images_per_second,
            self.seconds,
        )
    }

    /// `Err` says which value of the line is wrong.
    fn from_line(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.trim_end_matches('\r').split(',').collect();
        let fields = fields
            .first_chunk::<COLUMNS>()
            .ok_or_else(|| format!("{} values instead of {COLUMNS}", fields.len()))?;
        let number = |column| parse::<f64>(fields, column);
        let option =
            |column: usize| if fields[column].is_empty() { Ok(None) } else { number(column).map(Some) };
        Ok(Self {
            step: parse(fields, 0)?,
            epoch: parse(fields, 1)?,
            learning_rate: number(2)?,
            train_loss: number(3)?,
            train_error: number(4)?,
            test_loss: option(5)?,
            test_error: option(6)?,
            dead_updates: number(7)?,
            saturated_weights: number(8)?,
            changed_signs: number(9)?,
            images_per_second: number(10)?,
            seconds: number(11)?,
            ..Self::default()
        })
    }
}

fn parse<T: FromStr>(fields: &[&str; COLUMNS], column: usize) -> Result<T, String> {
    fields[column].parse().map_err(|_| {
        let name = HEADER.split(',').nth(column).unwrap_or_default();
        format!("{name} is '{}', which isn't a number of its kind", fields[column])
    })
}

/// A metrics file that is being written.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines; behind them lies nothing.
    len: u64,
    /// Names of the further columns; none before the first row, which decides them.
    names: Option<Vec<String>>,
    /// Those of [`OPTIONAL`] that the run measures.
    optional: Vec<&'static str>,
}

impl MetricsFile {
    /// Starts a file without rows, in place of what was there, of a run that measures these of [`OPTIONAL`].
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses.
    pub fn create(path: &Path, optional: Vec<&'static str>) -> Result<Self, ArtefactError> {
        Ok(Self { optional, ..Self::with_lines(path, HEADER, &[])? })
    }

    /// Goes on with the file of a stopped run: keeps the rows up to `step` finished steps, drops those behind it. A file
    /// that is gone or empty begins anew: the checkpoint is what counts.
    ///
    /// # Errors
    /// As [`read`], and [`ArtefactError::Io`] if the system refuses to write; the file is as it was then.
    pub fn resume(path: &Path, step: u64, optional: Vec<&'static str>) -> Result<Self, ArtefactError> {
        let is_empty = std::fs::metadata(path)
            .map_or_else(|e| e.kind() == std::io::ErrorKind::NotFound, |m| m.len() == 0);
        let rows = if is_empty { Vec::new() } else { read(path)? };
        // As they are: they may have columns that this version does not know.
        let text = if is_empty { String::new() } else { read_text(path)? };
        let mut lines = text.lines();
        let header = lines.next().unwrap_or(HEADER);
        let kept: Vec<&str> =
            lines.zip(&rows).filter(|(_, row)| row.step <= step).map(|(line, _)| line).collect();
        Ok(Self { optional, ..Self::with_lines(path, header, &kept)? })
    }

    fn with_lines(path: &Path, header: &str, lines: &[&str]) -> Result<Self, ArtefactError> {
        let mut text = format!("{header}\n");
        lines.iter().for_each(|line| text.extend([line, "\n"]));
        atomic_write(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(ArtefactError::io(path, "open"))?;
        let names = (!lines.is_empty()).then(|| further_names(header));
        Ok(Self { path: path.to_owned(), file, len: text.len() as u64, names, optional: Vec::new() })
    }

    /// Adds one row; it has left this process when the call returns. The first row's details are the columns.
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses, as on a full disk. A part of the line is taken back then, so that
    /// the next row doesn't land behind it.
    pub fn append(&mut self, row: &Row, details: &Details) -> Result<(), ArtefactError> {
        let names = match self.names.take() {
            Some(names) => names,
            None => {
                // A comma would be two columns.
                let of_layers = details.iter().map(|(name, _)| name.replace(',', ";"));
                let optional = std::mem::take(&mut self.optional);
                let names: Vec<String> =
                    optional.iter().map(|&name| name.to_owned()).chain(of_layers).collect();
                let header: Vec<&str> =
                    [HEADER].into_iter().chain(names.iter().map(String::as_str)).collect();
                *self = Self { optional, ..Self::with_lines(&self.path, &header.join(","), &[])? };
                names
            }
        };
        let mut line = row.to_line();
        line.pop();
        for name in &names {
            let value = match OPTIONAL.iter().position(|known| known == name) {
                Some(i) => row.optional()[i],
                None => {
                    let known = details.iter().find(|(known, _)| known.replace(',', ";") == *name);
                    known.and_then(|(_, value)| *value)
                }
            };
            line.push_str(&value.map_or_else(|| ",".to_owned(), |value| format!(",{value:?}")));
        }
        line.push('\n');
        self.names = Some(names);
        // On the disk before a checkpoint that knows this row.
        if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()) {
            // The first error is the one to tell, and a reader drops a last line that isn't whole.
            let _ = self.file.set_len(self.len);
            return Err(ArtefactError::io(&self.path, "add a line")(error));
        }
        self.len += line.len() as u64;
        Ok(())
    }
}

/// Reads all rows. A last line without its line feed is what a crash leaves behind, and is dropped.
///
/// # Errors
/// [`ArtefactError::Missing`], [`ArtefactError::Io`], and [`ArtefactError::Line`] for another line that isn't a row.
pub fn read(path: &Path) -> Result<Vec<Row>, ArtefactError> {
    let bytes = std::fs::read(path).map_err(ArtefactError::io(path, "read"))?;
    let problem = |line, problem| ArtefactError::Line { path: path.to_owned(), line, problem };

    let mut lines = bytes.split(|&byte| byte == b'\n').map(|line| String::from_utf8_lossy(line));
    lines.next_back();
    let header = lines.next().unwrap_or_default();
    let header = header.trim_end_matches('\r');
    if header != HEADER && !header.starts_with(&format!("{HEADER},")) {
        return Err(problem(1, format!("the header isn't '{HEADER}'")));
    }
    let columns = header.split(',').count();
    let further = further_names(header);
    let row = |(line, number): (std::borrow::Cow<'_, str>, usize)| {
        let n = line.split(',').count();
        if n != columns {
            return Err(problem(number, format!("{n} values instead of {columns}")));
        }
        let row = Row::from_line(&line).map_err(|e| problem(number, e))?;
        let numbers = line.trim_end_matches('\r').split(',').skip(COLUMNS).map(|field| field.parse().ok());
        Ok(further.iter().zip(numbers).fold(row, |row, (name, number)| row.with_optional(name, number)))
    };
    lines.zip(2..).map(row).collect()
}

/// Reads the further columns that are no part of a [`Row`]: their names, and for each row of [`read`] their numbers.
///
/// # Errors
/// As [`read`]; a text that is no number is none.
pub fn read_details(path: &Path) -> Result<Further, ArtefactError> {
    let (rows, text) = (read(path)?, read_text(path)?);
    let mut lines = text.lines();
    let names = further_names(lines.next().unwrap_or_default());
    let n_skipped = COLUMNS + names.iter().take_while(|name| OPTIONAL.contains(&name.as_str())).count();
    let numbers = |line: &str| line.split(',').skip(n_skipped).map(|field| field.parse().ok()).collect();
    let names = names[n_skipped - COLUMNS..].to_vec();
    Ok(Further { names, rows: lines.take(rows.len()).map(numbers).collect() })
}

fn read_text(path: &Path) -> Result<String, ArtefactError> {
    let bytes = std::fs::read(path).map_err(ArtefactError::io(path, "read"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn further_names(header: &str) -> Vec<String> {
    header.trim_end_matches('\r').split(',').skip(COLUMNS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn row(step: u64) -> Row {
        Row {
            step,
            epoch: 1,
            learning_rate: 0.1,
            train_loss: 1e-300,
            train_error: 1.0 / 3.0,
            test_error: step.is_multiple_of(2).then_some(0.25),
            seconds: 12.5,
            ..Row::default()
        }
    }

    fn file_with(rows: &[Row]) -> (tempfile::TempDir, PathBuf, MetricsFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut file = MetricsFile::create(&path, vec![]).unwrap();
        rows.iter().for_each(|row| file.append(row, &vec![]).unwrap());
        (folder, path, file)
    }

    #[test]
    fn the_text_is_fixed() {
        let (_folder, path, _file) = file_with(&[row(1), row(2)]);
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].split(',').count(), COLUMNS);
        assert_eq!(lines[1], "1,1,0.1,1e-300,0.3333333333333333,,,0.0,0.0,0.0,0.0,12.5");
        assert_eq!(lines[2], "2,1,0.1,1e-300,0.3333333333333333,,0.25,0.0,0.0,0.0,0.0,12.5");
    }

    #[test]
    fn a_crash_costs_at_most_the_last_line() {
        let rows = [row(1), row(2), row(3)];
        let (_folder, path, _file) = file_with(&rows);
        let whole = fs::read(&path).unwrap();
        for end in HEADER.len() + 1..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let lines = whole[..end].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(read(&path).unwrap(), rows[..lines - 1], "cut at {end}");
        }
    }

    #[test]
    fn resuming_drops_what_the_checkpoint_does_not_know() {
        let (_folder, path, file) = file_with(&[row(10), row(20), row(30)]);
        drop(file);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"40,2,0.").unwrap();
        let mut file = MetricsFile::resume(&path, 20, vec![]).unwrap();
        file.append(&row(21), &vec![]).unwrap();
        assert_eq!(read(&path).unwrap(), [row(10), row(20), row(21)]);
        let gone = path.with_file_name("no.csv");
        MetricsFile::resume(&gone, 0, vec![]).unwrap().append(&row(21), &vec![]).unwrap();
        assert_eq!(read(&gone).unwrap(), [row(21)]);
    }

    #[test]
    fn further_columns_are_those_of_the_first_row() {
        let (_folder, path, mut file) = file_with(&[]);
        let details = |names: &[(&str, Option<f64>)]| -> Details {
            names.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        file.append(&row(1), &details(&[("a/x", Some(0.5)), ("b,c/y", None)])).unwrap();
        file.append(&row(2), &details(&[("b,c/y", Some(2.0)), ("new", Some(1.0))])).unwrap();
        drop(file);
        assert_eq!(read(&path).unwrap(), [row(1), row(2)]);
        let Further { names, rows } = read_details(&path).unwrap();
        assert_eq!(names, ["a/x", "b;c/y"]);
        assert_eq!(rows, [[Some(0.5), None], [None, Some(2.0)]]);
        // A resumed run goes on with the same columns.
        let mut file = MetricsFile::resume(&path, 1, vec![]).unwrap();
        file.append(&row(3), &details(&[("a/x", Some(0.25))])).unwrap();
        assert_eq!(read_details(&path).unwrap().rows, [[Some(0.5), None], [Some(0.25), None]]);
    }

    #[test]
    fn what_a_run_measures_besides_is_in_columns_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let columns = || vec!["validation_loss", "validation_error"];
        let rows = [row(1), Row { validation_loss: Some(1.5), validation_error: Some(0.125), ..row(2) }];
        let details = |x| vec![("a/x".to_owned(), Some(x))];
        let mut file = MetricsFile::create(&path, columns()).unwrap();
        file.append(&rows[0], &details(0.5)).unwrap();
        // What the run does not measure has no column.
        file.append(&Row { test_top5_error: Some(0.1), ..rows[1] }, &details(0.25)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("{HEADER},validation_loss,validation_error,a/x\n")), "{text}");
        assert!(text.contains(",12.5,,,0.5\n") && text.ends_with(",12.5,1.5,0.125,0.25\n"), "{text}");
        assert_eq!(read(&path).unwrap(), rows);
        let further =
            Further { names: vec!["a/x".to_owned()], rows: vec![vec![Some(0.5)], vec![Some(0.25)]] };
        assert_eq!(read_details(&path).unwrap(), further);
        let mut file = MetricsFile::resume(&path, 1, columns()).unwrap();
        file.append(&rows[1], &details(0.25)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(
            OPTIONAL.map(|name| row(1).with_optional(name, Some(1.0)).optional().iter().flatten().count()),
            [1; OPTIONAL.len()]
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        let (_folder, path, _file) = file_with(&[]);
        let good = row(1).to_line();
        let cases = [
            ("a,b\n".to_owned(), "metrics.csv, line 1: the header isn't"),
            (String::new(), "line 1: the header"),
            (format!("{HEADER}\n{good}1,2\n{good}"), "line 3: 2 values instead of 12"),
            (format!("{HEADER}\n\n"), "line 2: 1 values instead of 12"),
            (format!("{HEADER}\n{}", good.replacen("0.1", "high", 1)), "line 2: learning_rate is 'high'"),
            (format!("{HEADER}\n-{good}"), "line 2: step is '-1'"),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("delete the line"), "{message}");
        }
    }

    /// A file opened only for reading refuses the write; the row before must stay the last one.
    #[test]
    fn a_refused_row_is_an_error_that_names_the_file() {
        let (_folder, path, mut file) = file_with(&[row(1)]);
        file.file = File::open(&path).unwrap();
        let message = file.append(&row(2), &vec![]).unwrap_err().to_string();
        assert!(message.contains("metrics.csv: cannot add a line"), "{message}");
        assert_eq!(read(&path).unwrap(), [row(1)]);
    }

    proptest! {
        #[test]
        fn any_row_comes_back(a in any::<[f64; 8]>(), test in any::<Option<f64>>(), step: u64, epoch: u32) {
            let row = Row {
                step,
                epoch,
                learning_rate: a[0],
                train_loss: a[1],
                train_error: a[2],
                test_loss: test,
                test_error: test,
                dead_updates: a[3],
                saturated_weights: a[4],
                changed_signs: a[5],
                images_per_second: f64::NAN,
                seconds: f64::INFINITY,
                ..Row::default()
            };
            let back = Row::from_line(row.to_line().trim_end()).unwrap();
            prop_assert_eq!(format!("{:?}", back), format!("{:?}", row));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_folder, path, _file) = file_with(&[]);
            fs::write(&path, [HEADER.as_bytes(), b"\n", &bytes].concat()).unwrap();
            let _ = read(&path);
        }
    }
}
