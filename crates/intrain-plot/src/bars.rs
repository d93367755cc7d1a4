//! A histogram: bars beside each other on an axis of values.

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Rect};
use crate::figure::Figure;
use crate::frame::{Frame, Outline, class};

/// More bars than this touch: a gap would be as wide as they are.
const BARS_APART: usize = 48;

/// One bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// How high it is.
    pub height: f64,
}

/// Bars of one colour.
#[derive(Debug, Clone)]
pub struct Bars {
    /// What stands above them.
    pub title: String,
    /// What the values are.
    pub x_label: String,
    /// What the heights are.
    pub y_label: String,
    /// How heights are written.
    pub y_scale: Scale,
    /// The largest height that the axis must hold, whatever the bars are.
    pub at_least: f64,
    /// Values that are named on the axis; empty: round ones.
    pub ticks: Vec<f64>,
    /// The bars, by rising place.
    pub bars: Vec<Bar>,
    /// Number of their colour.
    pub color: usize,
    /// Width of the figure.
    pub width: f64,
    /// Height of the highest bar.
    pub height: f64,
}

impl Default for Bars {
    fn default() -> Self {
        Self {
            title: String::new(),
            x_label: String::new(),
            y_label: String::new(),
            y_scale: Scale::Linear,
            at_least: 0.0,
            ticks: Vec::new(),
            bars: Vec::new(),
            color: 0,
            width: 310.0,
            height: 120.0,
        }
    }
}

impl Bars {
    /// The figure, or nothing where no bar has a height.
    #[must_use]
    pub fn figure(&self) -> Option<Figure> {
        let highest = self.bars.iter().map(|bar| bar.height).fold(0.0, f64::max);
        if highest == 0.0 {
            return None;
        }
        let ends = || self.bars.iter().flat_map(|bar| [bar.from, bar.to]);
        let x = if self.ticks.is_empty() {
            Axis::tight(Scale::Linear, ends())
        } else {
            let (from, to) = ends().fold((f64::MAX, f64::MIN), |(a, b), end| (a.min(end), b.max(end)));
            Axis::exact(from, to, self.ticks.clone())
        };
        let y = Axis::upwards(self.y_scale, highest.max(self.at_least));
        let outline = Outline {
            title: &self.title,
            x_label: &self.x_label,
            y_label: &self.y_label,
            keys: &[],
            width: self.width,
            height: self.height,
            left: 0.0,
        };
        let mut canvas = Canvas::default();
        let frame = Frame::draw(&mut canvas, &outline, x, y);
        let gap = if self.bars.len() <= BARS_APART { 0.1 } else { 0.0 };
        for bar in self.bars.iter().filter(|bar| bar.height > 0.0) {
            let ((from, top), (to, bottom)) =
                (frame.place((bar.from, bar.height)), frame.place((bar.to, 0.0)));
            let margin = gap * (to - from);
            // Thin bars stay visible, and low ones too.
            let (width, height) = ((to - from - 2.0 * margin).max(0.8), (bottom - top).max(0.8));
            let at = Rect { x: from + margin, y: bottom - height, width, height };
            let says = frame.says("", (f64::midpoint(bar.from, bar.to), bar.height));
            canvas.rect(&format!("mark {}", class(self.color)), at, "", &says);
        }
        Some(Figure::new(&self.title, self.width, frame.height, canvas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_axes_with_names_and_empty_ones_are_not_drawn() {
        let bar = |from: f64, height| Bar { from, to: from + 1.0, height };
        let bars = Bars {
            x_label: "code".to_owned(),
            y_label: "weights".to_owned(),
            ticks: vec![0.5, 2.5],
            bars: vec![bar(0.0, 3.0), bar(1.0, 0.0), bar(2.0, 1e-9)],
            ..Bars::default()
        };
        let svg = bars.figure().unwrap().inline();
        assert_eq!(svg.matches("<rect").count(), 2);
        for shown in [">code<", ">weights<", ">0.5<", ">2.5<", ">3<"] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        assert!(Bars { bars: vec![bar(0.0, 0.0)], ..Bars::default() }.figure().is_none());
        assert!(Bars::default().figure().is_none());
    }
}
