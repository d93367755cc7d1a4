//! A figure that is drawn: in a page, or as a file.

use crate::canvas::{Canvas, escaped};

/// Colours of figures, light and dark.
pub(crate) const STYLE: &str = include_str!("figure.css");
/// Room around a figure in a file of its own; `save.js` knows it too.
const ROOM: f64 = 16.0;
/// Room between the figures of a grid.
const GAP: f64 = 20.0;

/// A drawing with title, axes and legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    title: String,
    width: f64,
    height: f64,
    body: String,
}

impl Figure {
    pub(crate) fn new(title: &str, width: f64, height: f64, canvas: Canvas) -> Self {
        Self { title: title.to_owned(), width, height, body: canvas.body }
    }

    /// Figures of one width beside and below each other.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a few figures")]
    pub fn grid(title: &str, columns: usize, figures: &[Self]) -> Self {
        let width = figures.iter().map(|figure| figure.width).fold(0.0, f64::max);
        let (mut canvas, mut top) = (Canvas::default(), 0.0);
        for row in figures.chunks(columns.max(1)) {
            for (column, figure) in row.iter().enumerate() {
                canvas.moved((column as f64 * (width + GAP), top), &figure.body);
            }
            top += GAP + row.iter().map(|figure| figure.height).fold(0.0, f64::max);
        }
        let columns = columns.max(1).min(figures.len()) as f64;
        let width = (columns * (width + GAP) - GAP).max(0.0);
        Self::new(title, width, (top - GAP).max(0.0), canvas)
    }

    /// The element for a page that has the style of figures.
    #[must_use]
    pub fn inline(&self) -> String {
        let Self { title, width, height, body } = self;
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\" font-size=\"14\">\n{body}</svg>",
            escaped(title)
        )
    }

    /// The text of a file that is readable on light and dark ground.
    #[must_use]
    pub fn file(&self) -> String {
        as_file(&self.inline(), self.width + 2.0 * ROOM)
    }
}

/// A figure that was drawn for a page, as the text of a file, shown `width` pixels wide. Any other text stays as it is.
#[must_use]
pub fn as_file(inline: &str, width: f64) -> String {
    let size = |rest: &str| {
        let numbers: Vec<f64> = rest.split(' ').filter_map(|number| number.parse().ok()).collect();
        <[f64; 2]>::try_from(numbers).ok()
    };
    let parts = inline.strip_prefix("<svg viewBox=\"0 0 ").and_then(|rest| {
        let (numbers, rest) = rest.split_once('"')?;
        let (attributes, body) = rest.split_once('>')?;
        Some((size(numbers)?, attributes, body))
    });
    let Some(([inner_width, inner_height], attributes, body)) = parts else { return inline.to_owned() };
    let (w, h) = (inner_width + 2.0 * ROOM, inner_height + 2.0 * ROOM);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-{ROOM} -{ROOM} {w:.0} {h:.0}\" width=\"{width:.0}\" \
         height=\"{:.0}\"{attributes}>\n<style>\n{STYLE}</style>\n<rect class=\"ground\" x=\"-{ROOM}\" y=\"-{ROOM}\" \
         width=\"{w:.0}\" height=\"{h:.0}\"/>{body}\n",
        width * h / w
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bar, Bars};

    fn figure(title: &str) -> Figure {
        let bars = vec![Bar { from: 0.0, to: 1.0, height: 1.0 }];
        Bars { title: title.to_owned(), bars, ..Bars::default() }.figure().unwrap()
    }

    #[test]
    fn a_file_brings_its_colours_and_needs_nothing_else() {
        let figure = figure("a<b> & c");
        let file = figure.file();
        assert!(file.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-16 -16 "), "{file}");
        assert!(file.contains("prefers-color-scheme: dark") && file.ends_with("</svg>\n"));
        assert!(file.contains("aria-label=\"a&lt;b&gt; &amp; c\""));
        for outside in ["url(", "@import", "href", "<script", "a<b>"] {
            assert!(!file.contains(outside), "{outside}");
        }
        assert_eq!(as_file("x", 1.0), "x");
        let wide = as_file(&figure.inline(), 640.0);
        assert!(wide.contains("width=\"640\""));
    }

    #[test]
    fn a_grid_has_its_figures_beside_and_below_each_other() {
        let figures = [figure("a"), figure("b"), figure("c")];
        let grid = Figure::grid("d", 2, &figures);
        assert_eq!(grid.width, 2.0 * figures[0].width + GAP);
        assert_eq!(grid.height, 2.0 * figures[0].height + GAP);
        assert_eq!(grid.inline().matches("<g transform").count(), 3);
        assert_eq!(Figure::grid("e", 3, &figures[..1]).width, figures[0].width);
        assert_eq!(Figure::grid("e", 0, &[]).height, 0.0);
    }
}
