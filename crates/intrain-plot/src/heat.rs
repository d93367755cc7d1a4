//! Maps: a row for each name, a column for each measurement, the stronger the colour the more; numbers below 0 in another colour.
//! The scale stands below the map.

use crate::canvas::{Anchor, Canvas, Rect, TEXT, shortened, width_of};
use crate::figure::Figure;
use crate::frame::head;

/// What full colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// A share of 1; numbers are percentages.
    Share,
    /// The largest number, whatever it is.
    Largest,
}

/// Numbers by row and column.
#[derive(Debug, Clone)]
pub struct Map<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What full colour stands for.
    pub full: Full,
    /// Names of the rows, and their numbers.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
    /// What columns are, such as epochs.
    pub column_label: &'a str,
    /// The name of each column.
    pub columns: Vec<String>,
    /// Width of the figure.
    pub width: f64,
}

const ROW: f64 = 22.0;
/// Most of the width that names have.
const NAMES: f64 = 0.34;
/// Room for the last number of a row.
const NUMBER: f64 = 68.0;
/// Width and number of steps of the scale.
const RAMP: (f64, u32) = (96.0, 12);

/// What the numbers are between.
struct Ends {
    smallest: f64,
    largest: f64,
    /// What full colour stands for.
    full: f64,
}

impl Map<'_> {
    /// The figure, or nothing where nothing was measured.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "columns of a map")]
    pub fn figure(&self) -> Option<Figure> {
        let ends = self.ends()?;
        let n = self.rows.iter().map(|(_, values)| values.len()).max().unwrap_or(1).max(1);
        // What the columns are called stands below the names of rows.
        let label = width_of(self.column_label, TEXT);
        let names = self.rows.iter().map(|(name, _)| width_of(name, TEXT)).fold(label, f64::max);
        let names = names.min(NAMES * self.width);
        let mut canvas = Canvas::default();
        let top = head(&mut canvas, self.title, &[], self.width);
        let left = names + 8.0;
        let cells =
            Rect { x: left, y: top, width: self.width - left - NUMBER, height: ROW * self.rows.len() as f64 };
        let cell = cells.width / n as f64;
        for (i, (name, values)) in self.rows.iter().enumerate() {
            let y = top + ROW * i as f64;
            canvas.text("", (names, y + 15.0), Anchor::End, &shortened(name, TEXT, names));
            for (column, value) in values.iter().enumerate() {
                let Some(value) = value.filter(|v| v.is_finite()) else { continue };
                let at = Rect { x: left + column as f64 * cell, y, width: cell, height: ROW - 2.0 };
                let when = self
                    .columns
                    .get(column)
                    .map_or_else(String::new, |when| format!(", {} {when}", self.column_label));
                draw_cell(&mut canvas, at, value / ends.full, &format!("{name}{when}: {}", self.text(value)));
            }
            let last = values.iter().rev().flatten().next();
            let number = last.map_or_else(String::new, |value| self.text(*value));
            canvas.text("", (self.width, y + 15.0), Anchor::End, &number);
        }
        // What is all zero is a map too.
        canvas.rect("frame", Rect { height: cells.height - 2.0, ..cells }, "", "");
        let bottom = self.draw_columns(&mut canvas, cells, cell);
        let height = self.draw_scale(&mut canvas, &ends, bottom);
        Some(Figure::new(self.title, self.width, height, canvas))
    }

    fn ends(&self) -> Option<Ends> {
        let values = || self.rows.iter().flat_map(|(_, values)| values).flatten().filter(|v| v.is_finite());
        values().next()?;
        let smallest = values().copied().fold(f64::INFINITY, f64::min);
        let largest = values().copied().fold(f64::NEG_INFINITY, f64::max);
        let size = smallest.abs().max(largest.abs());
        let full = if self.full == Full::Share || size == 0.0 { 1.0 } else { size };
        Some(Ends { smallest, largest, full })
    }

    /// Names of columns below the map, as many as there is room for; the place below them.
    #[allow(clippy::cast_precision_loss, reason = "columns of a map")]
    fn draw_columns(&self, canvas: &mut Canvas, cells: Rect, cell: f64) -> f64 {
        let y = cells.y + cells.height + TEXT;
        let Some(widest) = self.columns.iter().map(|name| width_of(name, TEXT)).reduce(f64::max) else {
            return cells.y + cells.height;
        };
        canvas.text("", (cells.x - 8.0, y), Anchor::End, self.column_label);
        let mut free_from = f64::NEG_INFINITY;
        for (i, name) in self.columns.iter().enumerate() {
            let middle = cells.x + cell * (i as f64 + 0.5);
            if middle - widest / 2.0 > free_from {
                canvas.text("", (middle, y), Anchor::Middle, name);
                free_from = middle + widest / 2.0 + 14.0;
            }
        }
        y + 6.0
    }

    /// The scale, and between which numbers the measured ones are; the place below them.
    fn draw_scale(&self, canvas: &mut Canvas, ends: &Ends, top: f64) -> f64 {
        let (y, (width, steps)) = (top + 6.0, RAMP);
        let from = if ends.smallest < 0.0 { -1.0 } else { 0.0 };
        let (low, high) = (self.text(from * ends.full), self.text(ends.full));
        canvas.text("", (0.0, y + 14.0), Anchor::Start, &low);
        let left = width_of(&low, TEXT) + 6.0;
        let step = width / f64::from(steps);
        for i in 0..steps {
            let strength = from + (1.0 - from) * (f64::from(i) + 0.5) / f64::from(steps);
            let at = Rect { x: left + step * f64::from(i), y: y + 3.0, width: step, height: 12.0 };
            draw_cell(canvas, at, strength, "");
        }
        canvas.rect("frame", Rect { x: left, y: y + 3.0, width, height: 12.0 }, "", "");
        canvas.text("", (left + width + 6.0, y + 14.0), Anchor::Start, &high);
        let [from, to] = [ends.smallest, ends.largest].map(|end| self.text(end));
        let measured =
            if from == to { format!("measured: {from}") } else { format!("measured: {from} to {to}") };
        let behind = left + width + 6.0 + width_of(&high, TEXT) + 12.0;
        // Where it does not fit beside the scale it stands below.
        let y = if behind + width_of(&measured, TEXT) > self.width { y + 20.0 } else { y };
        canvas.text("", (self.width, y + 14.0), Anchor::End, &measured);
        y + 22.0
    }

    fn text(&self, value: f64) -> String {
        match self.full {
            Full::Share => format!("{:.1} %", 100.0 * value),
            Full::Largest if value == 0.0 || value.abs() >= 0.1 => format!("{value:.2}"),
            Full::Largest if value.abs() >= 0.001 => format!("{value:.4}"),
            Full::Largest => format!("{value:.1e}"),
        }
    }
}

/// A cell; `strength` is from -1 to 1. Its colour grows as the root does, so that a few percent are seen, on dark ground too; the
/// scale is drawn with the same cells.
fn draw_cell(canvas: &mut Canvas, at: Rect, strength: f64, says: &str) {
    let class = if strength < 0.0 { "mark c1" } else { "mark c0" };
    let opacity = format!("fill-opacity=\"{:.3}\"", strength.abs().min(1.0).sqrt());
    canvas.rect(class, at, &opacity, says);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(full: Full, rows: &[(&str, &[Option<f64>])]) -> Option<String> {
        let columns = (1..=3).map(|epoch| epoch.to_string()).collect();
        let rows = rows.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect();
        let map = Map { title: "t", full, rows, column_label: "epoch", columns, width: 460.0 };
        map.figure().map(|figure| figure.inline())
    }

    #[test]
    fn a_map_has_a_cell_for_each_number_and_a_scale() {
        let svg = map(Full::Share, &[("a<b>", &[Some(0.5), None, Some(1.0)]), ("c", &[None; 3])]).unwrap();
        // Two cells, the steps of the scale, and the frames of both.
        assert_eq!(svg.matches("<rect").count(), 2 + 12 + 2);
        for shown in [
            "a&lt;b&gt;, epoch 1: 50.0 %",
            "fill-opacity=\"0.707\"",
            ">0.0 %<",
            ">100.0 %<",
            "measured: 50.0 % to 100.0 %",
            ">epoch<",
            ">3<",
        ] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        assert!(!svg.contains("mark c1"));
        assert_eq!(map(Full::Share, &[("c", &[None; 3])]), None);
        let none = map(Full::Share, &[("a", &[Some(0.0); 3])]).unwrap();
        assert!(none.contains(">measured: 0.0 %<"), "{none}");
        let bits = map(Full::Largest, &[("a", &[Some(2.0), Some(4.0)])]).unwrap();
        assert!(bits.contains("fill-opacity=\"0.707\"") && bits.contains("measured: 2.00 to 4.00"), "{bits}");
    }

    #[test]
    fn numbers_below_zero_have_their_own_colour_and_a_place_on_the_scale() {
        let bias = map(Full::Largest, &[("a", &[Some(-0.5), Some(0.25)])]).unwrap();
        for shown in [">-0.50<", ">0.50<", "measured: -0.50 to 0.25"] {
            assert!(bias.contains(shown), "{shown}: {bias}");
        }
        let cells: Vec<&str> = bias.lines().filter(|line| line.contains("<title>")).collect();
        assert!(cells[0].contains("mark c1") && cells[0].contains("fill-opacity=\"1.000\""), "{cells:?}");
        assert!(cells[1].contains("mark c0") && cells[1].contains("fill-opacity=\"0.707\""), "{cells:?}");
    }
}
