//! Named rows below each other: a bar, or a mean with its interval, in each.

use crate::axis::{Axis, Scale};
use crate::canvas::{Anchor, Canvas, Rect, TEXT, shortened, width_of};
use crate::figure::Figure;
use crate::frame::{Frame, Key, Outline, Style, class};

/// Height of a row.
const ROW: f64 = 24.0;
/// Most of the width that names have.
const NAMES: f64 = 0.42;

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A bar from 0.
    Bar(f64),
    /// A mean, and the interval around it; ends that are no numbers are not drawn.
    Interval {
        /// The mean.
        mean: f64,
        /// Where the interval begins.
        low: f64,
        /// Where it ends.
        high: f64,
    },
}

/// A row.
#[derive(Debug, Clone)]
pub struct Row {
    /// What stands to its left.
    pub name: String,
    /// Number of its colour.
    pub color: usize,
    /// What it shows.
    pub value: Value,
}

/// Rows over one axis.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    /// What stands above them.
    pub title: &'a str,
    /// What the values are.
    pub label: &'a str,
    /// How they become places and are written.
    pub scale: Scale,
    /// The largest value that the axis must hold, whatever the rows are.
    pub at_least: f64,
    /// The rows.
    pub rows: Vec<Row>,
    /// What colours stand for; may be empty.
    pub legend: Vec<(String, usize)>,
    /// Width of the figure.
    pub width: f64,
}

impl Rows<'_> {
    /// The figure, or nothing where no row has a value.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a few rows")]
    pub fn figure(&self) -> Option<Figure> {
        let ends = |row: &Row| match row.value {
            Value::Bar(value) => vec![value],
            Value::Interval { mean, low, high } => vec![mean, low, high],
        };
        let values = self.rows.iter().flat_map(ends).filter(|value| value.is_finite());
        let highest = values.reduce(f64::max)?.max(self.at_least);
        let names = self.rows.iter().map(|row| width_of(&row.name, TEXT)).fold(0.0, f64::max);
        let names = names.min(NAMES * self.width);
        let key =
            |(name, color): &(String, usize)| Key { name: name.clone(), color: *color, style: Style::Marks };
        let keys: Vec<Key> = self.legend.iter().map(key).collect();
        let outline = Outline {
            title: self.title,
            x_label: self.label,
            y_label: "",
            keys: &keys,
            width: self.width,
            height: ROW * self.rows.len() as f64,
            left: names + 10.0,
        };
        let mut canvas = Canvas::default();
        let x = Axis::upwards(self.scale, highest);
        let frame = Frame::draw(&mut canvas, &outline, x.clone(), Axis::exact(0.0, 1.0, Vec::new()));
        let Rect { x: left, y: top, height, .. } = frame.area;
        for tick in x.ticks() {
            let (at, _) = frame.place((*tick, 0.0));
            canvas.line("grid", (at, top), (at, top + height));
        }
        for (i, row) in self.rows.iter().enumerate() {
            let middle = top + ROW * (i as f64 + 0.5);
            let name = shortened(&row.name, TEXT, names);
            canvas.text("", (left - 8.0, middle + 5.0), Anchor::End, &name);
            draw(&mut canvas, &frame, row, middle);
        }
        Some(Figure::new(self.title, self.width, frame.height, canvas))
    }
}

fn draw(canvas: &mut Canvas, frame: &Frame, row: &Row, middle: f64) {
    let (color, place) = (class(row.color), |value: f64| frame.place((value, 0.0)).0);
    let says = |text: String| format!("{}: {text}", row.name);
    let left = frame.area.x;
    match row.value {
        Value::Bar(value) if value.is_finite() => {
            let width = (place(value) - left).max(0.8);
            let at = Rect { x: left, y: middle - 7.0, width, height: 14.0 };
            canvas.rect(&format!("mark {color}"), at, "", &says(frame.x_text(value)));
        }
        Value::Interval { mean, low, high } if mean.is_finite() => {
            let mut text = frame.x_text(mean);
            if low.is_finite() && high.is_finite() {
                canvas.line(&format!("line {color}"), (place(low), middle), (place(high), middle));
                for end in [low, high] {
                    canvas.line(
                        &format!("line {color}"),
                        (place(end), middle - 5.0),
                        (place(end), middle + 5.0),
                    );
                }
                text = format!("{text} ({} to {})", frame.x_text(low), frame.x_text(high));
            }
            canvas.dot(&format!("mark {color}"), (place(mean), middle), 5.0, &says(text));
        }
        Value::Bar(_) | Value::Interval { .. } => {
            canvas.text("", (left + 6.0, middle + 5.0), Anchor::Start, crate::number::NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: Vec<Row>) -> Option<Figure> {
        let legend = vec![("forward".to_owned(), 1)];
        Rows { title: "t", label: "share", scale: Scale::Percent, at_least: 0.0, rows, legend, width: 460.0 }
            .figure()
    }

    #[test]
    fn rows_have_names_bars_and_intervals() {
        let row = |name: &str, value| Row { name: name.to_owned(), color: 1, value };
        let long = "a name that is much longer than what a figure can show beside its data";
        let svg = rows(vec![
            row("a", Value::Bar(50.0)),
            row(long, Value::Interval { mean: 20.0, low: 10.0, high: 30.0 }),
            row("alone", Value::Interval { mean: 20.0, low: f64::NAN, high: f64::NAN }),
            row("none", Value::Bar(f64::NAN)),
        ]);
        let svg = svg.unwrap().inline();
        assert_eq!((svg.matches("<rect").count(), svg.matches("<circle").count()), (1, 3));
        for shown in [">a<", "a: 50.00 %", "(10.00 % to 30.00 %)", ">–<", "…", ">forward<", ">share<"] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        assert!(!svg.contains("NaN"));
        assert!(rows(vec![row("none", Value::Bar(f64::NAN))]).is_none() && rows(vec![]).is_none());
    }
}
