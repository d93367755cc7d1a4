//! What machines of a sweep come to: their areas as a file, and the table that has these beside test errors.
//!
//! An area may be missing, as where there is no Yosys; a test error may not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use intrain_accel::area::{Area, Synthesis};
use intrain_accel::picture::Built;

use super::super::{Group, SweepError, percent};
use super::{ArraySweep, Point};

/// First line of the file of areas.
pub const AREAS_HEADER: &str = "n,word,random_bits,lut,ff,dsp,bram18,carry,array_lut,array_ff,array_dsp,array_bram18,array_carry,\
                                rounding_lut,rounding_ff,rounding_dsp,rounding_bram18,rounding_carry";

/// The file of areas, a line for each machine.
#[must_use]
pub fn areas_text(areas: &BTreeMap<Point, Synthesis>) -> String {
    let mut text = format!("{AREAS_HEADER}\n");
    for (Point { n, word, random_bits }, synthesis) in areas {
        let cells = [synthesis.whole, synthesis.array, synthesis.rounding]
            .map(|Area { lut, ff, dsp, bram18, carry }| format!("{lut},{ff},{dsp},{bram18},{carry}"));
        let _ = writeln!(text, "{n},{word},{random_bits},{}", cells.join(","));
    }
    text
}

/// Reads the file of areas back.
///
/// # Errors
/// The first line that is none.
pub fn read_areas(text: &str) -> Result<BTreeMap<Point, Synthesis>, SweepError> {
    let wrong =
        |i: usize| SweepError(format!("line {} has no areas; move the file away to begin anew", i + 1));
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header != AREAS_HEADER) {
        return Err(wrong(0));
    }
    let area = |[lut, ff, dsp, bram18, carry]: [u64; 5]| Area { lut, ff, dsp, bram18, carry };
    lines
        .map(|(i, line)| {
            let numbers: Result<Vec<u64>, _> = line.split(',').map(str::parse).collect();
            let Ok([n, word, random_bits, cells @ ..]) = numbers.as_deref() else { return Err(wrong(i)) };
            let (parts, []) = cells.as_chunks::<5>() else { return Err(wrong(i)) };
            let &[whole, array, rounding] = parts else { return Err(wrong(i)) };
            let small = |x: u64| u32::try_from(x).map_err(|_| wrong(i));
            let point = Point {
                n: usize::try_from(*n).map_err(|_| wrong(i))?,
                word: small(*word)?,
                random_bits: small(*random_bits)?,
            };
            Ok((point, Synthesis { whole: area(whole), array: area(array), rounding: area(rounding) }))
        })
        .collect()
}

/// A machine and what it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which.
    pub point: Point,
    /// Its cells, where they were counted.
    pub synthesis: Option<Synthesis>,
    /// How many runs are finished.
    pub runs: usize,
    /// Mean of their test errors.
    pub error: f64,
    /// Deviation of a run from it; NaN for a single one.
    pub deviation: f64,
}

impl Line {
    /// As the picture shows it, where its cells were counted.
    #[must_use]
    pub fn built(&self) -> Option<Built> {
        let Self { point: Point { n, word, random_bits }, synthesis, runs, error, deviation } = *self;
        let Area { lut, ff, .. } = synthesis?.whole;
        Some(Built { n, word, random_bits, lut, ff, error, deviation, runs })
    }
}

/// Each machine with the test errors of its runs; those without a finished run are left out.
#[must_use]
pub fn lines(sweep: &ArraySweep, areas: &BTreeMap<Point, Synthesis>, groups: &[Group]) -> Vec<Line> {
    let of = |point: Point| {
        let file = point.recipe_file();
        let group = groups.iter().find(|g| g.n > 0 && Path::new(&g.entry.recipe).ends_with(&file))?;
        let (runs, error, deviation) = (group.n, group.mean, group.deviation);
        Some(Line { point, synthesis: areas.get(&point).copied(), runs, error, deviation })
    };
    sweep.points().into_iter().filter_map(of).collect()
}

/// The table as Markdown; a dash where no cells were counted.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let mut text = "| n | word | random bits | DSP48E1 | LUT | FF | BRAM36 | rounding LUT (of the array) | runs | test error | deviation |\n\
                    |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for Line { point: Point { n, word, random_bits }, synthesis, runs, error, deviation } in lines {
        let random = if *random_bits == 0 { "nearest".to_owned() } else { random_bits.to_string() };
        let cells = synthesis.map_or_else(
            || "- | - | - | - | -".to_owned(),
            |Synthesis { whole: Area { dsp, lut, ff, bram18, .. }, array, rounding }| {
                #[allow(clippy::cast_precision_loss, reason = "counts below 2^53")]
                let share = 100.0 * rounding.lut as f64 / array.lut as f64;
                format!("{dsp} | {lut} | {ff} | {} | {} ({share:.1} %)", bram18.div_ceil(2), rounding.lut)
            },
        );
        let _ = writeln!(
            text,
            "| {n} | {word} | {random} | {cells} | {runs} | {} | {} |",
            percent(*error),
            percent(*deviation)
        );
    }
    text
}

/// First line of the table as CSV.
pub const TABLE_HEADER: &str =
    "n,word,random_bits,dsp,lut,ff,bram18,array_lut,rounding_lut,runs,mean,deviation";

/// The table as CSV, shares as numbers; nothing between the commas where no cells were counted.
#[must_use]
pub fn csv(lines: &[Line]) -> String {
    let mut text = format!("{TABLE_HEADER}\n");
    for Line { point: Point { n, word, random_bits }, synthesis, runs, error, deviation } in lines {
        let cells = synthesis.map_or_else(
            || ",".repeat(5),
            |Synthesis { whole: Area { dsp, lut, ff, bram18, .. }, array, rounding }| {
                format!("{dsp},{lut},{ff},{bram18},{},{}", array.lut, rounding.lut)
            },
        );
        let _ = writeln!(text, "{n},{word},{random_bits},{cells},{runs},{error},{deviation}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_read_back() {
        let point = Point { n: 4, word: 8, random_bits: 0 };
        let whole = Area { dsp: 16, lut: 1, ff: 2, carry: 3, bram18: 5 };
        let areas = BTreeMap::from([(
            point,
            Synthesis { whole, array: Area { lut: 9, ..whole }, rounding: Area::default() },
        )]);
        let text = areas_text(&areas);
        assert_eq!(read_areas(&text).unwrap(), areas);
        assert!(read_areas("n\n").is_err() && read_areas(&format!("{text}1,2\n")).is_err());
    }

    #[test]
    fn a_machine_without_an_area_has_its_test_error() {
        let (point, whole) =
            (Point { n: 4, word: 8, random_bits: 0 }, Area { dsp: 16, lut: 20, ff: 2, carry: 3, bram18: 5 });
        let synthesis = Synthesis { whole, array: whole, rounding: Area { lut: 5, ..Area::default() } };
        let line = |synthesis| Line { point, synthesis, runs: 2, error: 0.5, deviation: 0.25 };
        let lines = [line(Some(synthesis)), line(None)];
        assert_eq!(
            csv(&lines),
            format!("{TABLE_HEADER}\n4,8,0,16,20,2,5,20,5,2,0.5,0.25\n4,8,0,,,,,,,2,0.5,0.25\n")
        );
        let table = table(&lines);
        assert!(
            table.contains("| 4 | 8 | nearest | 16 | 20 | 2 | 3 | 5 (25.0 %) | 2 | 50.00 % | 25.00 % |"),
            "{table}"
        );
        assert!(table.contains("| 4 | 8 | nearest | - | - | - | - | - | 2 | 50.00 % | 25.00 % |"), "{table}");
        assert!(lines[0].built().is_some_and(|built| built.lut == 20) && lines[1].built().is_none());
    }
}
