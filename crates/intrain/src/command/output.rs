//! Where text goes: results on standard output, everything else on standard error.
//!
//! Invariant: with `--json` standard output holds one line, the JSON object.

pub(crate) mod file;
mod folder;

use std::io::{IsTerminal, Write, stderr, stdout};

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

pub(crate) use intrain_plot::number::{grouped, percent};

pub(crate) use folder::{Group, OutFolder, check_written, is_one_file};

use serde_json::Value;

/// How a command hands over its result.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Hands over a result: `text` to a person, or `object` to a program with the text on standard error.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn finish(&self, text: &str, object: &Value) -> std::io::Result<()> {
        if self.json {
            say(text.trim_end());
            writeln!(stdout(), "{object}")
        } else {
            writeln!(stdout(), "{}", text.trim_end())
        }
    }

    /// Tells a program, with `--json`, what went wrong and the exit code; a person reads it on standard error.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn error(&self, message: &str, code: u8) -> std::io::Result<()> {
        if self.json {
            writeln!(stdout(), "{}", serde_json::json!({ "error": message, "exit_code": code }))?;
        }
        Ok(())
    }
}

/// A line for a person beside the result. A closed standard error is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Aligned columns under headings; every row has as many cells as there are headings. In a terminal long cells are wrapped so that
/// the table is as wide as that; a file or a program gets a line for each row.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    aligned(Some(headings.to_vec()), rows, terminal())
}

/// Columns of the terminal to which results go, if it is one.
fn terminal() -> Option<u16> {
    let is_terminal = stdout().is_terminal();
    is_terminal.then(|| terminal_size::terminal_size_of(stdout())).flatten().map(|(width, _)| width.0)
}

/// What may stand behind a number.
const UNITS: [&str; 4] = ["%", "KiB", "MiB", "GiB"];
/// Spaces between columns.
const GAP: u16 = 2;
/// Words up to this length are not broken where a table is made narrower.
const WORD_MAX: u16 = 48;

fn aligned<const N: usize>(headings: Option<Vec<&str>>, rows: &[[String; N]], width: Option<u16>) -> String {
    let mut table = Table::new();
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.load_style(NOTHING);
    if let Some(headings) = &headings {
        table.set_header(headings);
    }
    // A number stays with its unit: no blank for the table.
    let whole = |cell: &String| {
        UNITS
            .iter()
            .fold(cell.clone(), |cell, unit| cell.replace(&format!(" {unit}"), &format!("\u{a0}{unit}")))
    };
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(whole)).collect();
    table.add_rows(&rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        let heading = headings.iter().map(|headings| headings[i]);
        let words = rows.iter().map(|row| row[i].as_str()).chain(heading).flat_map(|cell| cell.split(' '));
        let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
        let whole = u16::try_from(longest).unwrap_or(WORD_MAX).min(WORD_MAX) + GAP;
        column.set_padding((0, GAP)).set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(whole)));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end().replace('\u{a0}', " ").trim_end());
        text.push('\n');
    }
    text
}

/// Images per second, to the whole number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a speed is at least 0 and far below 2^64"
)]
pub(crate) fn speed(images_per_second: f64) -> String {
    format!("{} images/s", grouped(images_per_second.round() as u64))
}

/// `name  value` lines, aligned; long values are wrapped as those of a [`table`].
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    // Each by itself: a hash, which can't be wrapped, does not make the others wide.
    let row = |(name, value): &(&str, String)| {
        let name = format!("{name:<width$}");
        aligned(None, &[[name, value.clone()]], terminal().filter(|_| value.contains(' ')))
    };
    facts.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_as_wide_as_the_terminal() {
        let rows = [["a".to_owned(), "one two three four".to_owned()], ["bc".to_owned(), String::new()]];
        let of = |width| aligned(Some(vec!["x", "what"]), &rows, width);
        assert_eq!(of(None), "x   what\na   one two three four\nbc\n");
        assert_eq!(of(Some(80)), of(None));
        assert_eq!(of(Some(16)), "x   what\na   one two\n    three four\nbc\n");
        let rows = [["a long name".to_owned(), "1.50 %".to_owned(), "12.0 KiB".to_owned()]];
        assert_eq!(aligned(None, &rows, Some(26)), "a long  1.50 %  12.0 KiB\nname\n");
    }

    #[test]
    fn numbers_for_a_reader() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
        assert_eq!(percent(0.0195), "1.95 %");
        assert_eq!(speed(f64::NAN), "0 images/s");
    }

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let rows = [["x".to_owned(), "1".to_owned()], ["longer".to_owned(), String::new()]];
        assert_eq!(table(["name", "value"], &rows), "name    value\nx       1\nlonger\n");
    }
}
