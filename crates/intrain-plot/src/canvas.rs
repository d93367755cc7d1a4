//! The few elements of SVG that a figure is made of. Coordinates have one digit behind the point; colours are classes.

use std::fmt::Write;

/// A place: to the right, and down.
pub(crate) type Place = (f64, f64);

/// Size of all text but titles.
pub(crate) const TEXT: f64 = 14.0;

/// A rectangle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Rect {
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let apart = self.x + self.width <= other.x
            || other.x + other.width <= self.x
            || self.y + self.height <= other.y
            || other.y + other.height <= self.y;
        !apart
    }

    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.x >= self.x
            && other.y >= self.y
            && other.x + other.width <= self.x + self.width
            && other.y + other.height <= self.y + self.height
    }
}

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// What is drawn so far.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    pub(crate) body: String,
}

impl Canvas {
    pub(crate) fn line(&mut self, class: &str, from: Place, to: Place) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    pub(crate) fn path(&mut self, class: &str, points: impl Iterator<Item = Place>) {
        self.add(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", joined(points)));
    }

    pub(crate) fn area(&mut self, class: &str, points: impl Iterator<Item = Place>) {
        self.add(format_args!("<polygon class=\"{class}\" points=\"{}\"/>", joined(points)));
    }

    /// A rectangle with further attributes, and what a pointer over it says.
    pub(crate) fn rect(&mut self, class: &str, at: Rect, attributes: &str, says: &str) {
        let Rect { x, y, width, height } = at;
        let attributes = if attributes.is_empty() { String::new() } else { format!(" {attributes}") };
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"{attributes}{}",
            closed("rect", says)
        ));
    }

    pub(crate) fn dot(&mut self, class: &str, (x, y): Place, radius: f64, says: &str) {
        self.add(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"{}",
            closed("circle", says)
        ));
    }

    pub(crate) fn text(&mut self, class: &str, (x, y): Place, anchor: Anchor, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.add(format_args!("<text{class} x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{}</text>", escaped(text)));
    }

    /// A text that reads upwards, around its place.
    pub(crate) fn upright(&mut self, (x, y): Place, text: &str) {
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 {x:.1} {y:.1})\">{}</text>",
            escaped(text)
        ));
    }

    /// What another canvas holds, moved.
    pub(crate) fn moved(&mut self, (x, y): Place, body: &str) {
        self.add(format_args!("<g transform=\"translate({x:.1} {y:.1})\">\n{body}</g>"));
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

/// The end of an element, with what a pointer over it says.
fn closed(element: &str, says: &str) -> String {
    if says.is_empty() { "/>".to_owned() } else { format!("><title>{}</title></{element}>", escaped(says)) }
}

fn joined(points: impl Iterator<Item = Place>) -> String {
    points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// Text as it may stand in SVG and HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// About how wide a text is: fonts differ, and this one is wide.
#[allow(clippy::cast_precision_loss, reason = "a few characters")]
pub(crate) fn width_of(text: &str, size: f64) -> f64 {
    0.61 * size * text.chars().count() as f64
}

/// A text that is at most so wide; what is taken out of its middle is an ellipsis.
pub(crate) fn shortened(text: &str, size: f64, width: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few characters")]
    let kept = ((width / width_of("x", size)) as usize).saturating_sub(1).clamp(1, chars.len());
    let (front, back) = (kept.div_ceil(2), kept / 2);
    let text = |chars: &[char]| chars.iter().collect::<String>();
    format!("{}…{}", text(&chars[..front]), text(&chars[chars.len() - back..]))
}

/// A text in lines that are at most so wide.
pub(crate) fn wrapped(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = shortened(word, size, width);
        match lines.last_mut() {
            Some(line) if width_of(line, size) + width_of(&word, size) + width_of(" ", size) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        let mut canvas = Canvas::default();
        canvas.text("", (0.0, 0.0), Anchor::Start, "<script>");
        canvas.dot("mark", (0.0, 0.0), 3.0, "a & \"b\"");
        assert!(!canvas.body.contains("<script>") && canvas.body.contains("a &amp; &quot;b&quot;"));
    }

    #[test]
    fn long_texts_keep_both_ends_or_are_wrapped() {
        let size = 1.0 / 0.61;
        assert_eq!(shortened("abcdefgh", size, 8.0), "abcdefgh");
        assert_eq!(shortened("abcdefgh", size, 5.0), "ab…gh");
        assert_eq!(shortened("ä", size, 0.0), "ä…");
        assert_eq!(wrapped("a bc  def abcdefgh", size, 5.0), ["a bc", "def", "ab…gh"]);
        assert!(wrapped("", size, 5.0).is_empty());
    }
}
