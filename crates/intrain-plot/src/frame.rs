//! What stands around the data: title, legend, axes with their ticks and names. No part of it lies on the data.

use crate::axis::Axis;
use crate::canvas::{Anchor, Canvas, Place, Rect, TEXT, shortened, width_of, wrapped};

const TITLE: f64 = 16.0;
const LINE: f64 = 20.0;
const TICK: f64 = 5.0;
/// Length of a sample in the legend.
const SAMPLE: f64 = 22.0;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// A curve.
    #[default]
    Line,
    /// A curve that never shows its points.
    Plain,
    /// A thin, broken curve, as of a bound.
    Thin,
    /// Points alone.
    Marks,
}

/// A name in the legend.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) color: usize,
    pub(crate) style: Style,
}

/// What a frame says, and how large it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) keys: &'a [Key],
    /// Of the whole figure.
    pub(crate) width: f64,
    /// Of the data.
    pub(crate) height: f64,
    /// Least room to the left of the data.
    pub(crate) left: f64,
}

/// A frame that is drawn.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Where the data lie.
    pub(crate) area: Rect,
    x: Axis,
    y: Axis,
    /// Height of the whole figure.
    pub(crate) height: f64,
}

/// The class of a colour; there are eight, which then begin again.
pub(crate) fn class(color: usize) -> String {
    format!("c{}", color % 8)
}

/// Title and legend; the place below them.
pub(crate) fn head(canvas: &mut Canvas, title: &str, keys: &[Key], width: f64) -> f64 {
    let mut y = 0.0;
    for line in wrapped(title, TITLE, width) {
        y += LINE;
        canvas.text("title", (0.0, y - 5.0), Anchor::Start, &line);
    }
    if !keys.is_empty() {
        y += legend(canvas, keys, width, y);
    }
    y + 14.0
}

/// The names beside samples, in as many lines as they need; the height of them.
fn legend(canvas: &mut Canvas, keys: &[Key], width: f64, top: f64) -> f64 {
    let (mut x, mut y) = (0.0, LINE);
    for Key { name, color, style } in keys {
        let name = shortened(name, TEXT, width - SAMPLE - 6.0);
        let length = SAMPLE + 6.0 + width_of(&name, TEXT);
        if x > 0.0 && x + length > width {
            (x, y) = (0.0, y + LINE);
        }
        let (color, middle) = (class(*color), top + y - 5.0);
        match style {
            Style::Line | Style::Plain => {
                canvas.line(&format!("line {color}"), (x, middle), (x + SAMPLE, middle))
            }
            Style::Thin => canvas.line(&format!("thin {color}"), (x, middle), (x + SAMPLE, middle)),
            Style::Marks => {
                canvas.dot(&format!("mark {color}"), (x + SAMPLE / 2.0, middle), 4.5, "");
            }
        }
        canvas.text("", (x + SAMPLE + 6.0, top + y), Anchor::Start, &name);
        x += length + 16.0;
    }
    y + 2.0
}

impl Frame {
    pub(crate) fn draw(canvas: &mut Canvas, outline: &Outline<'_>, x: Axis, y: Axis) -> Self {
        let Outline { title, x_label, y_label, keys, width, height, left } = *outline;
        let top = head(canvas, title, keys, width);
        let labels = y.ticks().iter().map(|tick| width_of(&y.label(*tick), TEXT)).fold(0.0, f64::max);
        let y_name = if y_label.is_empty() { 0.0 } else { LINE };
        let left = left.max(y_name + labels + TICK + 4.0);
        let last = x.ticks().last().map_or(0.0, |tick| {
            width_of(&x.label(*tick), TEXT) / 2.0 - (1.0 - x.fraction(*tick)) * (width - left)
        });
        let area = Rect { x: left, y: top, width: width - left - last.max(6.0), height };
        let mut frame = Self { area, x, y, height: top + height };
        frame.draw_y(canvas, y_label);
        frame.draw_x(canvas, x_label, width);
        frame
    }

    fn draw_y(&self, canvas: &mut Canvas, label: &str) {
        let Rect { x, y, width, height } = self.area;
        for tick in self.y.ticks() {
            let at = y + height * (1.0 - self.y.fraction(*tick));
            canvas.line("grid", (x, at), (x + width, at));
            canvas.text("", (x - TICK - 2.0, at + 5.0), Anchor::End, &self.y.label(*tick));
        }
        if !label.is_empty() {
            canvas.upright((TEXT, y + height / 2.0), label);
        }
    }

    fn draw_x(&mut self, canvas: &mut Canvas, label: &str, whole: f64) {
        let Rect { x, y, width, height } = self.area;
        let bottom = y + height;
        canvas.line("axis", (x, bottom), (x + width, bottom));
        let mut free_from = f64::NEG_INFINITY;
        for tick in self.x.ticks() {
            let (at, text) = (x + width * self.x.fraction(*tick), self.x.label(*tick));
            canvas.line("axis", (at, bottom), (at, bottom + TICK));
            let half = width_of(&text, TEXT) / 2.0;
            // A label that would touch the one before is left out; its tick stays.
            if at - half > free_from {
                canvas.text("", (at, bottom + TICK + TEXT), Anchor::Middle, &text);
                free_from = at + half + 4.0;
            }
        }
        self.height = bottom + TICK + TEXT + 6.0;
        if !label.is_empty() {
            self.height += LINE;
            // Below the middle of the data, as far as it stays inside of the figure.
            let half = width_of(label, TEXT) / 2.0;
            let middle = (x + width / 2.0).min(whole - half).max(half);
            canvas.text("", (middle, self.height - 6.0), Anchor::Middle, label);
        }
    }

    /// Where a pair of values lies.
    pub(crate) fn place(&self, (x, y): (f64, f64)) -> Place {
        let Rect { x: left, y: top, width, height } = self.area;
        (left + width * self.x.fraction(x), top + height * (1.0 - self.y.fraction(y)))
    }

    /// A value of the axis to the right as text.
    pub(crate) fn x_text(&self, x: f64) -> String {
        self.x.exact_label(x)
    }

    /// A pair of values as the axes would write it.
    pub(crate) fn says(&self, name: &str, (x, y): (f64, f64)) -> String {
        let name = if name.is_empty() { String::new() } else { format!("{name}, ") };
        format!("{name}{}: {}", self.x.exact_label(x), self.y.exact_label(y))
    }
}
