//! What a network attains on the machine, as pictures: a roofline, and the utilization of each product.

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
    /// Mean share of test images that its networks got wrong.
    pub error: f64,
    /// Deviation of a run from that; NaN for a single one.
    pub deviation: f64,
    /// How many runs.
    pub runs: usize,
}

/// Test error over look-up tables, both logarithmic: a line for each size and word length, from nearest to most random bits.
///
/// # Errors
/// What the library refuses; nothing to draw.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn area_and_error(title: &str, built: &[Built]) -> Result<String, PictureError> {
    let place = |b: &Built| (b.lut as f64, 100.0 * b.error);
    let ends = |at: fn((f64, f64)) -> f64| {
        let values = built.iter().map(|b| at(place(b)));
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(x.max(1e-2)), high.max(x)))
    };
    let ((left, right), (low, high)) = (ends(|p| p.0), ends(|p| p.1));
    if built.is_empty() {
        return Err("no machine is built and trained yet".into());
    }
    let (mut words, mut sizes): (Vec<_>, Vec<_>) = built.iter().map(|b| (b.word, b.n)).unzip();
    words.sort_unstable();
    words.dedup();
    sizes.sort_unstable();
    sizes.dedup();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (1000, 640)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((left / 1.3..right * 1.6).log_scale(), (low / 1.2..high * 1.3).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("look-up tables of the machine")
            .y_desc("test error in %")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .draw()?;
        for (i, word) in words.iter().enumerate() {
            let color = Palette99::pick(i).to_rgba();
            for n in &sizes {
                let mut line: Vec<&Built> = built.iter().filter(|b| (b.n, b.word) == (*n, *word)).collect();
                line.sort_unstable_by_key(|b| b.random_bits);
                let drawn = chart
                    .draw_series(LineSeries::new(line.iter().map(|b| place(b)), color.stroke_width(1)))?;
                if *n == sizes[0] {
                    drawn
                        .label(format!("words of {word} bits"))
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
                }
                chart.draw_series(line.iter().map(|b| Circle::new(place(b), 3, color.filled())))?;
                chart.draw_series(line.iter().map(|b| {
                    let bits = if b.random_bits == 0 { "near".to_owned() } else { b.random_bits.to_string() };
                    Text::new(bits, place(b), ("sans-serif", 10).into_font().color(&color))
                }))?;
            }
        }
        // The size, once, above the points of its largest machine.
        for n in &sizes {
            let of = || built.iter().filter(|b| b.n == *n).map(place);
            let x = of().map(|p| p.0).fold(0.0, f64::max);
            let text = Text::new(format!("{n} x {n}"), (x, high * 1.2), ("sans-serif", 14).into_font());
            chart.draw_series(std::iter::once(text))?;
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
