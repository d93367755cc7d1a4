//! What a network attains on the machine, as pictures: a roofline, and the utilization of each product; and what machines beside
//! each other cost and attain.

use std::collections::BTreeSet;

use intrain_plot::{AxisName, Chart, Figure, Rows, Scale, Series, Style, Value};

use crate::account::Row;
use crate::lower::Direction;
use crate::machine::Machine;

const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Error, Direction::Gradient];

/// Number of a direction's colour.
const fn color(direction: Direction) -> usize {
    match direction {
        Direction::Forward => 0,
        Direction::Error => 1,
        Direction::Gradient => 2,
    }
}

fn named(machine: &Machine) -> String {
    format!(
        "{0} x {0} array at {1} MHz, {2} GB/s",
        machine.n, machine.megahertz, machine.gigabytes_per_second
    )
}

/// Giga-operations per second over operations per byte, both logarithmic, under the roofs of array and memory. Each point has the
/// name of its layer where there is room for it. None without rows.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn roofline(machine: &Machine, rows: &[Row]) -> Option<Figure> {
    let peak = machine.peak_operations_per_second() / 1e9;
    let ridge = peak / machine.gigabytes_per_second;
    let attained =
        |row: &Row| 2.0 * row.product.macs() as f64 / row.cycles.total as f64 * machine.megahertz / 1e3;
    let xs = || rows.iter().map(|row| row.intensity(machine));
    let (left, right) = (xs().fold(ridge / 8.0, f64::min) / 2.0, xs().fold(ridge * 2.0, f64::max) * 2.0);
    let roof = [left, ridge, right].map(|x| (x, peak.min(x * machine.gigabytes_per_second)));
    let of = |direction: Direction| {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.direction == direction).collect();
        Series {
            name: direction.name().to_owned(),
            color: color(direction),
            style: Style::Marks,
            points: rows.iter().map(|row| (row.intensity(machine), attained(row))).collect(),
            labels: rows.iter().map(|row| row.layer.clone()).collect(),
            ..Series::default()
        }
    };
    let roof = Series {
        name: "roof of memory and array".to_owned(),
        color: 7,
        style: Style::Plain,
        points: roof.to_vec(),
        ..Series::default()
    };
    let axis = |label| AxisName { label, scale: Scale::Log };
    let chart = Chart {
        title: &named(machine),
        x: axis("operations per byte"),
        y: axis("10⁹ operations per second"),
        series: DIRECTIONS.into_iter().map(of).chain([roof]).collect(),
        width: 640.0,
        height: 360.0,
    };
    if rows.is_empty() { None } else { chart.figure() }
}

/// A bar for each product: the part of the array's multiply-accumulates that it used. None without rows.
#[must_use]
pub fn utilization(machine: &Machine, rows: &[Row]) -> Option<Figure> {
    let bar = |row: &Row| intrain_plot::Row {
        name: row.name(),
        color: color(row.direction),
        value: Value::Bar(100.0 * row.cycles.utilization(machine, &row.product)),
    };
    let rows = Rows {
        title: &format!("Utilization of the {0} x {0} array", machine.n),
        label: "share of the array's multiply-accumulates",
        scale: Scale::Percent,
        at_least: 100.0,
        rows: rows.iter().map(bar).collect(),
        legend: DIRECTIONS.map(|direction| (direction.name().to_owned(), color(direction))).to_vec(),
        width: 640.0,
    };
    rows.figure()
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

/// Test error over cells: a panel for each size of the array, a line for each word length, from the fewest cells to the most. None
/// where no machine is built.
#[must_use]
pub fn area_and_error(title: &str, built: &[Built]) -> Option<Figure> {
    let distinct = |of: fn(&Built) -> usize| -> Vec<usize> {
        built.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let (sizes, words) = (distinct(|b| b.n), distinct(|b| b.word as usize));
    let panel = |n: &usize| {
        let built: Vec<&Built> = built.iter().filter(|b| b.n == *n).collect();
        of_size(&format!("{title}, {n} x {n} array"), &built, &words)
    };
    let panels: Vec<Figure> = sizes.iter().filter_map(panel).collect();
    if panels.is_empty() { None } else { Some(Figure::grid(title, 2, &panels)) }
}

/// Where a machine stands: cells, and its error in percent, held above what a logarithm can show. No number stays none.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn place(built: &Built) -> (f64, f64) {
    let error = if built.error.is_nan() { f64::NAN } else { (100.0 * built.error).max(0.01) };
    ((built.lut + built.ff) as f64, error)
}

/// The panel of one size.
fn of_size(title: &str, built: &[&Built], words: &[usize]) -> Option<Figure> {
    let of_word = |(color, word): (usize, &usize)| {
        let mut line: Vec<&&Built> = built.iter().filter(|b| b.word as usize == *word).collect();
        line.sort_unstable_by_key(|b| b.random_bits);
        let bits =
            |b: &&&Built| if b.random_bits == 0 { "nearest".to_owned() } else { b.random_bits.to_string() };
        Series {
            name: format!("words of {word} bits"),
            color,
            points: line.iter().map(|b| place(b)).collect(),
            labels: line.iter().map(bits).collect(),
            ..Series::default()
        }
    };
    let chart = Chart {
        title,
        x: AxisName { label: "look-up tables and flip-flops", scale: Scale::Linear },
        y: AxisName { label: "test error in %", scale: Scale::Log },
        series: words.iter().enumerate().map(of_word).collect(),
        width: 460.0,
        height: 300.0,
    };
    chart.figure()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_each_machine_has_its_random_bits() {
        let built = |n, random_bits, error| Built {
            n,
            word: 8,
            random_bits,
            lut: 5000 + u64::from(random_bits) * 500,
            ff: 7000,
            error,
            deviation: f64::NAN,
            runs: 1,
        };
        let all = [built(8, 0, 0.05), built(8, 4, 0.9), built(16, 0, 0.04), built(16, 4, f64::NAN)];
        let svg = area_and_error("mlp on mnist", &all).unwrap().file();
        for shown in ["mlp on mnist, 8 x 8 array", "mlp on mnist, 16 x 16 array", ">nearest<", ">4<"] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        assert!(!svg.contains("NaN"));
        assert!(area_and_error("none", &[]).is_none());
    }

    #[test]
    fn without_rows_there_is_nothing_to_draw() {
        let machine = Machine::default();
        assert!(roofline(&machine, &[]).is_none() && utilization(&machine, &[]).is_none());
    }
}
