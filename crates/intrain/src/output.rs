//! Where text goes: results on standard output, everything else on standard error.
//!
//! Invariant: with `--json` standard output holds one line, the JSON object.

mod folder;

use std::io::{Write, stderr, stdout};

pub(crate) use intrain_plot::number::grouped;

pub(crate) use folder::{Group, OutFolder, is_one_file};

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

/// Aligned columns under headings; every row has as many cells as there are headings.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(&headings.map(str::to_owned)).chain(rows) {
        // A width of `format!` has 16 bits.
        let padded = |(cell, w): (&String, usize)| format!("{cell}{}", " ".repeat(w - cell.chars().count()));
        let cells: Vec<String> = row.iter().zip(widths).map(padded).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A share of 0 to 1 as `1.95 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
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

/// `name  value` lines, aligned.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
