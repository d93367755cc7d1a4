//! A finished run as a line of `docs/results/*.csv`: what depends on the run alone, not on the machine or the time.

use serde_json::Value;

/// Keys of the object that `intrain train --json` prints, in the order of the columns behind row and seed.
const KEYS: [&str; 10] = [
    "recipe",
    "model",
    "data",
    "epochs",
    "steps",
    "train_loss",
    "test_error",
    "best_test_error",
    "weights_sha256",
    "running_test_error",
];
/// Keys that a run has or has not: an error without test images, and one with other statistics of norms.
const OPTIONAL: [&str; 2] = ["best_test_error", "running_test_error"];

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Name of the experiment's row.
    pub(crate) row: String,
    pub(crate) seed: u64,
    /// As text, in the order of `KEYS`; empty where the program does not say it.
    cells: [String; KEYS.len()],
}

impl Record {
    /// Reads what `intrain train --json` wrote on standard output.
    ///
    /// # Errors
    /// The last line is not the object that the program promises.
    pub(crate) fn of_run(row: &str, seed: u64, stdout: &str) -> Result<Self, String> {
        let line = stdout.lines().last().unwrap_or_default();
        let object: Value =
            serde_json::from_str(line).map_err(|e| format!("not a run's result: {e}: '{line}'"))?;
        let mut cells: [String; KEYS.len()] = Default::default();
        for (cell, key) in cells.iter_mut().zip(KEYS) {
            *cell = match object.get(key) {
                None if OPTIONAL.contains(&key) => String::new(),
                None => return Err(format!("a run's result has no '{key}': '{line}'")),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            if cell.contains([',', '"', '\n']) {
                return Err(format!("a run's {key} is '{cell}'; a cell has no comma, quote or line break"));
            }
        }
        let record = Self { row: row.to_owned(), seed, cells };
        record.number("test_error").ok_or_else(|| format!("a run's test_error is no number: '{line}'"))?;
        Ok(record)
    }

    /// The cell of one of `KEYS` as a number.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        let at = KEYS.iter().position(|k| *k == key)?;
        self.cells[at].parse().ok().filter(|x: &f64| x.is_finite())
    }
}

fn header() -> String {
    format!("row,seed,{}", KEYS.join(","))
}

/// All records, one per line, under a heading.
pub(crate) fn to_csv(records: &[Record]) -> String {
    let line = |r: &Record| format!("{},{},{}\n", r.row, r.seed, r.cells.join(","));
    format!("{}\n{}", header(), records.iter().map(line).collect::<String>())
}

/// Reads what [`to_csv`] wrote.
///
/// # Errors
/// Another heading, or a line with other cells.
pub(crate) fn from_csv(text: &str) -> Result<Vec<Record>, String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    // Older files lack the last column.
    let lacks_last = format!("{first},{}", KEYS[KEYS.len() - 1]) == header();
    if first != header() && !lacks_last {
        return Err(format!("line 1 is not '{}'; move the file away to start again", header()));
    }
    let record = |(i, line): (usize, &str)| {
        let wrong = || format!("line {}: not {} cells with a seed; remove the line", i + 2, KEYS.len() + 2);
        let mut cells = line.split(',').map(str::to_owned);
        let (row, seed) = (cells.next().ok_or_else(wrong)?, cells.next().ok_or_else(wrong)?);
        let cells: Vec<String> = cells.chain(lacks_last.then(String::new)).collect();
        let cells = cells.try_into().map_err(|_| wrong())?;
        Ok(Record { row, seed: seed.parse().map_err(|_| wrong())?, cells })
    };
    lines.enumerate().map(record).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn run(row: &str, seed: u64, test_error: f64) -> Record {
        let line = format!(
            "{{\"recipe\":\"wage\",\"model\":\"m\",\"data\":\"d\",\"seed\":9,\"epochs\":2,\"steps\":10,\
             \"train_loss\":0.25,\"test_error\":{test_error},\"images_per_second\":7.5,\"weights_sha256\":\"ab\"}}"
        );
        Record::of_run(row, seed, &format!("ignored\n{line}\n")).unwrap()
    }

    #[test]
    fn records_survive_the_file() {
        let records = [run("a b", 1, 0.0125), run("c", 2, 1.0)];
        let text = to_csv(&records);
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "a b,1,wage,m,d,2,10,0.25,0.0125,,ab,",
            "nothing of the machine, nothing of the time"
        );
        assert_eq!(from_csv(&text).unwrap(), records);
        // As it was before norms could be estimated.
        let older = text.replace(",running_test_error", "").replace(",ab,\n", ",ab\n");
        assert_eq!(from_csv(&older).unwrap(), records);
    }

    #[test]
    fn wrong_results_and_files_are_refused() {
        for stdout in ["", "{}", "{\"recipe\": 1}", "text"] {
            Record::of_run("a", 1, stdout).unwrap_err();
        }
        let line = to_csv(&[run("a", 1, 0.5)]);
        for text in ["row,seed\n".to_owned(), format!("{line}a,1,half a li"), line.replace("a,1,", "a,x,")] {
            from_csv(&text).unwrap_err();
        }
    }
}
