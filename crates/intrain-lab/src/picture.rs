//! Tables as pictures: panels of bars, or curves over two logarithmic axes, as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// Why a picture could not be drawn.
pub type PictureError = Box<dyn std::error::Error>;

/// A panel of bars.
#[derive(Debug, Clone)]
pub struct Bars {
    /// What stands above it.
    pub title: String,
    /// Places and heights.
    pub bars: Vec<(f64, f64)>,
}

/// A curve with its name.
#[derive(Debug, Clone)]
pub struct Curve {
    /// As in the legend.
    pub name: String,
    /// Points, both coordinates above 0.
    pub points: Vec<(f64, f64)>,
    /// Number of its colour: a bound has that of what is measured.
    pub color: usize,
    /// Whether it is drawn thin and without a name: a bound, or another run of the same kind.
    pub is_bound: bool,
}

const COLORS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x17, 0xbe, 0xcf),
];

/// Rows of panels, all with the same axes.
///
/// # Errors
/// What the library refuses; nothing to draw.
pub fn panels(rows: &[Vec<Bars>], width: f64, x_label: &str) -> Result<String, PictureError> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let places = || rows.iter().flatten().flat_map(|panel| panel.bars.iter().map(|bar| bar.0));
    let (low, high) = (places().fold(f64::MAX, f64::min) - width, places().fold(f64::MIN, f64::max) + width);
    let mut svg = String::new();
    {
        let size = (u32::try_from(columns * 260)?, u32::try_from(rows.len() * 220)?);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let cells = area.split_evenly((rows.len(), columns));
        for (row, (panels, color)) in rows.iter().zip(COLORS).enumerate() {
            for (column, panel) in panels.iter().enumerate() {
                let top = panel.bars.iter().map(|bar| bar.1).fold(0.0, f64::max) * 1.05;
                let mut chart = ChartBuilder::on(&cells[row * columns + column])
                    .caption(&panel.title, ("sans-serif", 14))
                    .margin(8)
                    .x_label_area_size(30)
                    .y_label_area_size(36)
                    .build_cartesian_2d(low..high, 0.0..top)?;
                chart.configure_mesh().disable_mesh().x_desc(x_label).x_labels(8).y_labels(4).draw()?;
                let bar = |&(x, y): &(f64, f64)| {
                    Rectangle::new([(x - width / 2.5, 0.0), (x + width / 2.5, y)], color.filled())
                };
                chart.draw_series(panel.bars.iter().map(bar))?;
            }
        }
        area.present()?;
    }
    Ok(svg)
}

/// Curves over two logarithmic axes.
///
/// # Errors
/// What the library refuses; nothing to draw.
pub fn curves(title: &str, labels: [&str; 2], curves: &[Curve]) -> Result<String, PictureError> {
    let [x, y] = ranges(curves).map(|(low, high)| (low * 0.8..high * 1.25).log_scale());
    let texts: [&Text; 2] = [&|x| format!("{x:.0e}"), &|y| format!("{y:.0e}")];
    draw(title, labels, texts, curves, x, y)
}

/// Curves over two plain axes.
///
/// # Errors
/// What the library refuses; nothing to draw.
pub fn lines(title: &str, labels: [&str; 2], curves: &[Curve]) -> Result<String, PictureError> {
    let [x, y] = ranges(curves).map(|(low, high)| {
        // A single point has an axis too.
        let margin = ((high - low) * 0.05).max(1e-3);
        low - margin..high + margin
    });
    let texts: [&Text; 2] = [&|x| format!("{x}"), &|y| format!("{y}")];
    draw(title, labels, texts, curves, x, y)
}

/// How an axis writes its numbers.
type Text = dyn Fn(&f64) -> String;

/// Least and largest coordinate of all points, for both axes.
fn ranges(curves: &[Curve]) -> [(f64, f64); 2] {
    let range = |coordinate: fn(&(f64, f64)) -> f64| {
        let values = curves.iter().flat_map(|curve| curve.points.iter().map(coordinate));
        values.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)))
    };
    [range(|p| p.0), range(|p| p.1)]
}

fn draw<X, Y>(
    title: &str,
    [x_label, y_label]: [&str; 2],
    [x_text, y_text]: [&Text; 2],
    curves: &[Curve],
    x: X,
    y: Y,
) -> Result<String, PictureError>
where
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 560)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(x_label)
            .y_desc(y_label)
            .x_label_formatter(x_text)
            .y_label_formatter(y_text)
            .draw()?;
        for curve in curves {
            let color = COLORS[curve.color % COLORS.len()];
            let style = color.stroke_width(if curve.is_bound { 1 } else { 3 });
            let series = chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
            if !curve.is_bound {
                let line = move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], style);
                series.label(&curve.name).legend(line);
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
