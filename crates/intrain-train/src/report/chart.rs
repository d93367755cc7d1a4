//! Curves and bars as inline SVG, drawn by `plotters`.
//!
//! Everything is drawn in a few fixed colours; the page's style sheet replaces them by those of its light or dark
//! theme. Coordinates are finer than the pixels of a screen, since the library rounds them to whole numbers.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::{Axis, LIMIT, Scale};
use super::{Histogram, ReportError};

/// First to third curve, bars, text and axes, grid: the names by which `template.html` knows the colours.
const CURVES: [RGBColor; 3] =
    [RGBColor(0x00, 0x00, 0xF1), RGBColor(0x00, 0x00, 0xF2), RGBColor(0x00, 0x00, 0xF6)];
const BAR: RGBColor = RGBColor(0x00, 0x00, 0xF3);
const INK: RGBColor = RGBColor(0x00, 0x00, 0xF4);
const GRID: RGBColor = RGBColor(0x00, 0x00, 0xF5);

const CURVES_SIZE: (u32, u32) = (1120, 580);
const BARS_SIZE: (u32, u32) = (1280, 480);
/// More points than this are thinned out: a page shows no more, and stays small.
const MOST_POINTS: usize = 1000;
/// Curves of fewer points show each of them.
const FEW_POINTS: usize = 40;
/// More bars than this are joined with their neighbours.
const MOST_BARS: usize = 256;

/// One to three curves over a common axis.
pub(super) struct Curves<'a> {
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) y_scale: Scale,
    pub(super) curves: Vec<Vec<(f64, f64)>>,
}

fn drawable(point: &(f64, f64)) -> bool {
    point.0.abs() <= LIMIT && point.1.abs() <= LIMIT
}

impl Curves<'_> {
    /// Number of points that can't be drawn: NaN, infinite or absurdly large.
    pub(super) fn n_left_out(&self) -> usize {
        self.curves.iter().flatten().filter(|point| !drawable(point)).count()
    }

    /// The chart, or nothing if there is no point to draw.
    pub(super) fn svg(&self) -> Result<Option<String>, ReportError> {
        let points = || self.curves.iter().flatten().copied().filter(drawable);
        if points().next().is_none() {
            return Ok(None);
        }
        let x = Axis::tight(Scale::Whole, points().map(|point| point.0));
        let y = Axis::around(self.y_scale, points().map(|point| point.1));
        inline_svg(CURVES_SIZE, |area| self.draw(area, x, y)).map(Some)
    }

    fn draw(&self, area: &Area, x: Axis, y: Axis) -> Result<(), DrawError> {
        let y_label = if y.is_log() { format!("{} (log scale)", self.y_label) } else { self.y_label.into() };
        let mut chart = ChartBuilder::on(area)
            .margin(24)
            .x_label_area_size(92)
            .y_label_area_size(190)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID.stroke_width(2))
            .light_line_style(TRANSPARENT)
            .axis_style(INK.stroke_width(2))
            .set_all_tick_mark_size(8)
            .label_style(text(30.0))
            .axis_desc_style(text(30.0))
            .x_label_formatter(&|value| x.label(*value))
            .y_label_formatter(&|value| y.label(*value))
            .x_desc(self.x_label)
            .y_desc(y_label)
            .draw()?;
        for (curve, color) in self.curves.iter().zip(CURVES) {
            let few = curve.len() <= FEW_POINTS;
            // A gap stays a gap: the curve goes on behind a value that can't be drawn.
            for piece in curve.split(|point| !drawable(point)) {
                let piece = thinned(piece);
                if few || piece.len() == 1 {
                    chart.draw_series(piece.iter().map(|&point| Circle::new(point, 6, color.filled())))?;
                }
                chart.draw_series(LineSeries::new(piece, color.stroke_width(4)))?;
            }
        }
        Ok(())
    }
}

/// Keeps of each group of neighbours the lowest and the highest, in their order, so that no peak gets lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let group = points.len().div_ceil(MOST_POINTS / 2);
    let mut kept = Vec::with_capacity(MOST_POINTS);
    for neighbours in points.chunks(group) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = neighbours.iter().min_by(by_height).into_iter().chain(neighbours.iter().max_by(by_height));
        let mut ends: Vec<_> = ends.copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.extend(ends);
    }
    kept
}

/// A histogram as bars, or nothing if it is empty. The area of a bar is its count.
pub(super) fn bars(histogram: &Histogram) -> Result<Option<String>, ReportError> {
    let group = histogram.bins.len().div_ceil(MOST_BARS).max(1);
    // A bar stands on its integers, from half below the first to half above the last.
    let step = libm::ldexp(1.0, histogram.step_log2);
    let bars: Vec<(f64, f64, f64)> = histogram
        .bins
        .chunks(group)
        .map(|bins| {
            let (from, to) = (step * (bins[0].0 as f64 - 0.5), step * (bins[bins.len() - 1].1 as f64 + 0.5));
            let count: f64 = bins.iter().map(|bin| bin.2 as f64).sum();
            let to = to.max(from + step);
            (from, to, count / (to - from))
        })
        .collect();
    let (from, to) = bars.iter().fold((f64::MAX, f64::MIN), |(a, b), bar| (a.min(bar.0), b.max(bar.1)));
    let highest = bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
    if highest == 0.0 {
        return Ok(None);
    }
    let (first, last) = (from + 0.5 * step, to - 0.5 * step);
    let mut ticks = vec![first];
    // Labels that would touch are left out: the zero beside an end, and the end beside the beginning.
    ticks.extend([0.0].into_iter().filter(|zero| (zero - first).min(last - zero) > 0.12 * (to - from)));
    ticks.extend([last].into_iter().filter(|last| last - first > 0.12 * (to - from)));
    let (x, y) = (Axis::exact(from, to, ticks), Axis::exact(0.0, highest, vec![]));
    inline_svg(BARS_SIZE, |area| draw_bars(area, &bars, x, y)).map(Some)
}

fn draw_bars(area: &Area, bars: &[(f64, f64, f64)], x: Axis, y: Axis) -> Result<(), DrawError> {
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_left(64)
        .margin_right(64)
        .x_label_area_size(80)
        .build_cartesian_2d(x.clone(), y)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_y_axis()
        .axis_style(INK.stroke_width(3))
        .set_all_tick_mark_size(12)
        .label_style(text(50.0))
        .x_label_formatter(&|value| x.label(*value))
        .draw()?;
    // Few bars stand apart; many touch, because a gap would be as wide as they are.
    let gap = if bars.len() <= 48 { 4 } else { 0 };
    chart.draw_series(bars.iter().filter(|bar| bar.2 > 0.0).map(|&(from, to, height)| {
        let mut bar = Rectangle::new([(from, 0.0), (to, height)], BAR.filled());
        bar.set_margin(0, 0, gap, gap);
        bar
    }))?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawError = DrawingAreaErrorKind<std::io::Error>;

fn text(size: f64) -> TextStyle<'static> {
    // The library gives its font size in SVG as the size it was told, divided by 1.24.
    ("sans-serif", size * 1.24).into_font().color(&INK)
}

/// Runs `draw` and gives its SVG for use inside HTML: without the namespace and the fixed size of a file of its own.
fn inline_svg(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area) -> Result<(), DrawError>,
) -> Result<String, ReportError> {
    let mut file = String::new();
    {
        let area = SVGBackend::with_string(&mut file, (width, height)).into_drawing_area();
        draw(&area).and_then(|()| area.present()).map_err(|e| ReportError::Draw(e.to_string()))?;
    }
    let content = file.split_once('>').map_or("", |(_, content)| content);
    Ok(format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">{content}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_sheet_knows_every_colour() {
        let template = include_str!("template.html");
        for RGBColor(r, g, b) in [CURVES[0], CURVES[1], BAR, INK, GRID] {
            assert!(template.contains(&format!("#{r:02X}{g:02X}{b:02X}")));
        }
    }

    #[test]
    fn thinning_keeps_the_ends_of_the_range() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[54_321].1 = 9.0;
        points[77_777].1 = -9.0;
        let kept = thinned(&points);
        assert!(kept.len() <= MOST_POINTS);
        assert!(kept.contains(&points[54_321]) && kept.contains(&points[77_777]));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn bars_of_any_range_are_drawn_and_empty_ones_are_not() {
        let draw = |bins: Vec<(i64, i64, u64)>| {
            bars(&Histogram { bins, ..Histogram::default() }).unwrap().map(|svg| svg.matches("<rect").count())
        };
        assert_eq!(draw(vec![]), None);
        assert_eq!(draw(vec![(0, 3, 0)]), None);
        assert_eq!(draw(vec![(-1, -1, 5), (0, 0, 7), (1, 1, 5)]), Some(3));
        assert_eq!(draw(vec![(7, 7, 1)]), Some(1));
        assert_eq!(draw(vec![(9, 2, 1)]), Some(1));
        assert_eq!(draw(vec![(i64::MIN, -1, 1), (0, i64::MAX, u64::MAX)]), Some(2));
        assert!(draw((-32768..=32767).map(|v| (v, v, 3)).collect()).unwrap() <= MOST_BARS);
    }
}
