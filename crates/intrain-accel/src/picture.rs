//! What a network attains on the machine, as pictures: a roofline, and the utilization of each product.

use std::collections::BTreeSet;

use plotters::prelude::*;

use crate::account::Row;
use crate::lower::Direction;
use crate::machine::Machine;

/// Why a picture could not be drawn.
pub type PictureError = Box<dyn std::error::Error>;

const fn color(direction: Direction) -> RGBColor {
    match direction {
        Direction::Forward => RGBColor(0x1f, 0x77, 0xb4),
        Direction::Error => RGBColor(0xd6, 0x27, 0x28),
        Direction::Gradient => RGBColor(0x2c, 0xa0, 0x2c),
    }
}

const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Error, Direction::Gradient];

/// Giga-operations per second over operations per byte, both logarithmic, under the roofs of array and memory.
///
/// # Errors
/// What the library refuses.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn roofline(machine: &Machine, rows: &[Row]) -> Result<String, PictureError> {
    let peak = machine.peak_operations_per_second() / 1e9;
    let attained =
        |row: &Row| 2.0 * row.product.macs() as f64 / row.cycles.total as f64 * machine.megahertz / 1e3;
    let points: Vec<(f64, f64, Direction)> =
        rows.iter().map(|row| (row.intensity(machine), attained(row), row.direction)).collect();
    let ridge = peak / machine.gigabytes_per_second;
    let xs = || points.iter().map(|point| point.0);
    let (left, right) = (xs().fold(ridge / 4.0, f64::min) / 2.0, xs().fold(ridge * 8.0, f64::max) * 2.0);
    let low = points.iter().map(|point| point.1).fold(peak / 20.0, f64::min) / 2.0;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 560)).into_drawing_area();
        area.fill(&WHITE)?;
        let title = format!(
            "{0} x {0} at {1} MHz, {2} GB/s",
            machine.n, machine.megahertz, machine.gigabytes_per_second
        );
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((left..right).log_scale(), (low..peak * 1.5).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("operations per byte")
            .y_desc("G-operations per second")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()?;
        let roof = [left, ridge, right].map(|x| (x, peak.min(x * machine.gigabytes_per_second)));
        chart.draw_series(LineSeries::new(roof, BLACK.stroke_width(2)))?;
        for direction in DIRECTIONS {
            let style = color(direction).filled();
            let of = points.iter().filter(|point| point.2 == direction);
            chart
                .draw_series(of.map(|point| Circle::new((point.0, point.1), 5, style)))?
                .label(direction.name())
                .legend(move |(x, y)| Circle::new((x + 10, y), 5, style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

/// A bar for each product: the part of the array's multiply-accumulates that it used.
///
/// # Errors
/// What the library refuses.
pub fn utilization(machine: &Machine, rows: &[Row]) -> Result<String, PictureError> {
    const ROW: u32 = 22;
    let (n, mut svg) = (i32::try_from(rows.len())?, String::new());
    {
        let size = (900, 90 + ROW * u32::try_from(rows.len())?);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("Utilization of the {0} x {0} array", machine.n), ("sans-serif", 18))
            .margin(12)
            .margin_right(30)
            .x_label_area_size(30)
            .y_label_area_size(130)
            .build_cartesian_2d(0.0..100.0, (0..n).into_segmented())?;
        let name = |place: &SegmentValue<i32>| match place {
            SegmentValue::CenterOf(i) => {
                usize::try_from(n - 1 - i).ok().and_then(|i| rows.get(i)).map_or_else(String::new, Row::name)
            }
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(rows.len() + 1)
            .y_label_formatter(&name)
            .x_label_formatter(&|x| format!("{x:.0} %"))
            .draw()?;
        let bar = |(i, row): (i32, &Row)| {
            let used = 100.0 * row.cycles.utilization(machine, &row.product);
            let mut bar = Rectangle::new(
                [(0.0, SegmentValue::Exact(n - 1 - i)), (used, SegmentValue::Exact(n - i))],
                color(row.direction).filled(),
            );
            bar.set_margin(3, 3, 0, 0);
            bar
        };
        chart.draw_series((0..n).zip(rows).map(bar))?;
        area.present()?;
    }
    Ok(svg)
}

/// An array that was built and trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// Rows and columns.
    pub n: usize,
    /// Bits of a word.
    pub word: u32,
    /// Random bits; 0: to the nearest.
    pub random_bits: u32,
    /// Look-up tables of the whole machine.
    pub lut: u64,
    /// Its flip-flops.
    pub ff: u64,
    /// Mean share of test images that its networks got wrong.
    pub error: f64,
    /// Deviation of a run from that; NaN for a single one.
    pub deviation: f64,
    /// How many runs.
    pub runs: usize,
}

/// Test error over cells: a panel for each size of the array, a line for each word length, from the fewest cells to the most.
///
/// # Errors
/// What the library refuses; nothing to draw.
pub fn area_and_error(title: &str, built: &[Built]) -> Result<String, PictureError> {
    if built.is_empty() {
        return Err("no machine is built and trained yet".into());
    }
    let distinct = |of: fn(&Built) -> usize| -> Vec<usize> {
        built.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let (sizes, words) = (distinct(|b| b.n), distinct(|b| b.word as usize));
    let errors = || built.iter().map(|b| percent(b).1);
    let height = (errors().fold(100.0, f64::min) / 1.1)..(errors().fold(0.0, f64::max) * 1.6);
    let mut svg = String::new();
    {
        let size = (60 + 380 * u32::try_from(sizes.len())?, 560);
        let whole = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        whole.fill(&WHITE)?;
        let panels = whole.titled(title, ("sans-serif", 18))?.split_evenly((1, sizes.len()));
        for (panel, n) in panels.iter().zip(&sizes) {
            let of_size: Vec<&Built> = built.iter().filter(|b| b.n == *n).collect();
            draw_size(panel, *n, &of_size, &words, height.clone())?;
        }
        whole.present()?;
    }
    Ok(svg)
}

/// Where a machine stands: cells, and its error in percent, held above what a logarithm can show.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn percent(built: &Built) -> (f64, f64) {
    ((built.lut + built.ff) as f64, (100.0 * built.error).max(0.01))
}

/// Of word lengths: all dark enough for text.
const COLORS: [RGBColor; 6] = [
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xb3, 0x59, 0x00),
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x55, 0x55, 0x55),
];

/// The panel of one size.
fn draw_size(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    n: usize,
    built: &[&Built],
    words: &[usize],
    height: std::ops::Range<f64>,
) -> Result<(), PictureError> {
    let cells = || built.iter().map(|b| percent(b).0);
    let (least, most) = (cells().fold(f64::INFINITY, f64::min), cells().fold(0.0, f64::max));
    let margin = 0.12 * (most - least).max(0.1 * most);
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("{n} x {n}"), ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(55)
        .build_cartesian_2d(least - margin..most + margin, height.log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(5)
        .x_desc("look-up tables and flip-flops")
        .y_desc("test error in %")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .draw()?;
    for (i, word) in words.iter().enumerate() {
        let color = COLORS[i % COLORS.len()].to_rgba();
        let mut line: Vec<&&Built> = built.iter().filter(|b| b.word as usize == *word).collect();
        line.sort_unstable_by_key(|b| b.random_bits);
        chart
            .draw_series(LineSeries::new(line.iter().map(|b| percent(b)), color.stroke_width(1)))?
            .label(format!("words of {word} bits"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
        chart.draw_series(line.iter().map(|b| {
            let bits = if b.random_bits == 0 { "nearest".to_owned() } else { b.random_bits.to_string() };
            let style = ("sans-serif", 11).into_font().color(&color);
            EmptyElement::at(percent(b))
                + Circle::new((0, 0), 3, color.filled())
                + Text::new(bits, (4, -12), style)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}
