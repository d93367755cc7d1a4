//! `cargo xtask peers [--python PATH] [--rounds N] [ROW]...`: Intrain and what one would run instead, as ratios.
//!
//! Each round measures every row, Intrain and its peers one after the other, so that a machine that changes its speed
//! changes it for both sides. Writes the table of all rows into `docs/performance.md`; some rows alone are only printed.

mod measure;
mod rows;
mod table;

use std::fs;
use std::path::Path;

use self::measure::{Figure, Machine};
use self::rows::{Row, rows};

/// The page that the table is written into.
const PAGE: &str = "docs/performance.md";

/// What can be typed.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// An interpreter with PyTorch.
    python: String,
    /// At least 1.
    rounds: usize,
    /// Names of rows; none is all.
    names: Vec<String>,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Self { python: "python3".to_owned(), rounds: 7, names: vec![] };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg {
                "--python" => options.python = (*value()?).to_owned(),
                "--rounds" => {
                    let text = value()?;
                    let rounds = text.parse().ok().filter(|rounds| *rounds > 0);
                    options.rounds =
                        rounds.ok_or_else(|| format!("--rounds {text} is no number of at least 1"))?;
                }
                name if name.starts_with('-') => return Err(format!("'{name}' is no option of peers")),
                name => options.names.push(name.to_owned()),
            }
        }
        Ok(options)
    }

    /// The rows that are asked for.
    fn rows(&self) -> Result<Vec<Row>, String> {
        let all = rows();
        if let Some(name) = self.names.iter().find(|name| all.iter().all(|row| row.name != **name)) {
            let known: Vec<&str> = all.iter().map(|row| &row.name[..]).collect();
            return Err(format!("'{name}' is no row of peers; rows are {}", known.join(", ")));
        }
        Ok(all.into_iter().filter(|row| self.names.is_empty() || self.names.contains(&row.name)).collect())
    }
}

/// A row and what its rounds came to: Intrain's figures, then those of each peer. Empty where something is missing.
type Measured = (Row, Vec<Vec<Figure>>);

/// Measures, prints the table, and writes it into the page if it is whole.
///
/// # Errors
/// An option, a missing interpreter or library, or a process that fails.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let options = Options::parse(args)?;
    let rows = options.rows()?;
    let mut machine = Machine::start(root, &options.python)?;
    let unmeasured = |row: Row| {
        let figures = vec![vec![]; 1 + row.peers.len()];
        (row, figures)
    };
    let mut measured: Vec<Measured> = rows.into_iter().map(unmeasured).collect();
    for round in 1..=options.rounds {
        for (row, figures) in &mut measured {
            eprintln!("round {round} of {}: {}", options.rounds, row.name);
            let sources = std::iter::once(&row.ours).chain(&row.peers);
            for (source, figures) in sources.zip(figures) {
                figures.extend(machine.measure(source)?);
            }
        }
    }
    let table = table::markdown(&machine.description(options.rounds), &measured);
    eprintln!("\n{table}");
    if !options.names.is_empty() {
        eprintln!("not written to {PAGE}: these are not all rows");
        return Ok(());
    }
    let page = root.join(PAGE);
    let text = fs::read_to_string(&page).map_err(|error| format!("{PAGE}: cannot read: {error}"))?;
    fs::write(&page, table::inserted(&text, &table)?)
        .map_err(|error| format!("{PAGE}: cannot write: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed() {
        let options = Options::parse(&["--rounds", "3", "memory", "--python", "p"]).unwrap();
        assert_eq!(options, Options { python: "p".to_owned(), rounds: 3, names: vec!["memory".to_owned()] });
        assert_eq!(options.rows().unwrap().len(), 1);
        assert!(Options::parse(&[]).unwrap().rows().unwrap().len() > 20);
        for (args, part) in [
            (&["--rounds"][..], "--rounds needs a value"),
            (&["--rounds", "0"], "--rounds 0 is no number of at least 1"),
            (&["--round", "1"], "'--round' is no option"),
        ] {
            assert!(Options::parse(args).unwrap_err().contains(part), "{args:?}");
        }
        let message = Options::parse(&["mem"]).unwrap().rows().unwrap_err();
        assert!(message.contains("'mem' is no row of peers; rows are vgg7-wage,"), "{message}");
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<String> = rows().into_iter().map(|row| row.name).collect();
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
