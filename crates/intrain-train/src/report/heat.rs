//! Maps of what the microscope saw: a row for each layer, a column for each measurement, the stronger the colour the more;
//! numbers below 0 in another colour.
//!
//! Drawn as plain rectangles, since a map is nothing else; colours are the page's, by opacity.

use std::fmt::Write;

/// What full colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// A share of 1.
    Share,
    /// The largest value, whatever it is.
    Largest,
}

/// Role, measure, title and scale of each map, in the order of the page.
pub(crate) const MAPS: [(&str, &str, &str, Scale); 11] = [
    ("update", "dead", "Updates that rounding turned to nothing", Scale::Share),
    ("update", "bias", "Bias of rounding, in steps of the weight", Scale::Largest),
    ("master", "oscillating", "Weights that the last step brought back", Scale::Share),
    ("master", "signs", "Weights whose sign is not that of the start", Scale::Share),
    ("master", "limit", "Stored weights at a limit", Scale::Share),
    ("master", "bits", "Effective bits of stored weights", Scale::Largest),
    ("activation", "limit", "Activations at a limit", Scale::Share),
    ("activation", "zero", "Activations that are zero", Scale::Share),
    ("activation", "bits", "Effective bits of activations", Scale::Largest),
    ("error", "zero", "Errors that are zero", Scale::Share),
    ("error", "bits", "Effective bits of errors", Scale::Largest),
];

const WIDTH: usize = 480;
const LABEL: usize = 120;
const NUMBER: usize = 66;
const ROW: usize = 20;

/// A map with its scale.
#[derive(Debug, PartialEq)]
pub(super) struct Map {
    /// The map itself. Each row ends in its last number.
    pub(super) svg: String,
    /// What no colour stands for, or the full colour of numbers below 0.
    pub(super) from: String,
    /// What full colour stands for.
    pub(super) to: String,
    /// Whether there are numbers below 0.
    pub(super) is_signed: bool,
    /// The smallest and the largest number.
    pub(super) measured: [String; 2],
}

/// The map, or nothing where nothing was measured.
pub(super) fn map(layers: &[(String, Vec<Option<f64>>)], scale: Scale) -> Option<Map> {
    let values = || layers.iter().flat_map(|(_, values)| values).flatten().filter(|v| v.is_finite());
    values().next()?;
    let ends =
        [values().copied().fold(f64::INFINITY, f64::min), values().copied().fold(-f64::INFINITY, f64::max)];
    let largest = ends.map(f64::abs).into_iter().fold(0.0, f64::max);
    let full = if scale == Scale::Share || largest == 0.0 { 1.0 } else { largest };
    let is_signed = ends[0] < 0.0;
    Some(Map {
        svg: drawn(layers, scale, full),
        from: text(if is_signed { -full } else { 0.0 }, scale),
        to: text(full, scale),
        is_signed,
        measured: ends.map(|value| text(value, scale)),
    })
}

fn drawn(layers: &[(String, Vec<Option<f64>>)], scale: Scale, full: f64) -> String {
    let n = layers.iter().map(|(_, values)| values.len()).max().unwrap_or(1).max(1);
    #[allow(clippy::cast_precision_loss, reason = "pixels")]
    let cell = (WIDTH - LABEL - NUMBER) as f64 / n as f64;
    let height = layers.len() * ROW;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" font-size=\"13\" role=\"img\">");
    for (row, (layer, values)) in layers.iter().enumerate() {
        let (y, baseline) = (row * ROW, row * ROW + ROW - 6);
        let end = LABEL - 8;
        let _ = write!(svg, "<text x=\"{end}\" y=\"{baseline}\" text-anchor=\"end\" fill=\"#0000F4\">");
        let _ = write!(svg, "{}</text>", escaped(layer));
        for (column, value) in values.iter().enumerate() {
            let Some(value) = value.filter(|v| v.is_finite()) else { continue };
            #[allow(clippy::cast_precision_loss, reason = "pixels")]
            let x = LABEL as f64 + column as f64 * cell;
            let (opacity, height) = ((value.abs() / full).clamp(0.0, 1.0), ROW - 2);
            let color = if value < 0.0 { "#0000F2" } else { "#0000F1" };
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{cell:.1}\" height=\"{height}\" fill=\"{color}\" \
                 fill-opacity=\"{opacity:.3}\"><title>{}: {}</title></rect>",
                escaped(layer),
                text(value, scale)
            );
        }
        let last = values.iter().rev().flatten().next();
        let number = last.map_or_else(String::new, |value| text(*value, scale));
        let _ = write!(svg, "<text x=\"{WIDTH}\" y=\"{baseline}\" text-anchor=\"end\" fill=\"#0000F4\">");
        let _ = write!(svg, "{number}</text>");
    }
    svg.push_str("</svg>");
    svg
}

fn text(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Share => format!("{:.1} %", 100.0 * value),
        Scale::Largest if value == 0.0 || value.abs() >= 0.01 => format!("{value:.2}"),
        Scale::Largest => format!("{value:.1e}"),
    }
}

/// Names of layers come from outside.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_a_cell_for_each_number() {
        let layers = [("a<b>".to_owned(), vec![Some(0.5), None, Some(1.0)]), ("c".to_owned(), vec![None; 3])];
        let Map { svg, from, to, is_signed, measured } = map(&layers, Scale::Share).unwrap();
        assert_eq!([&from, &to, &measured[0], &measured[1]], ["0.0 %", "100.0 %", "50.0 %", "100.0 %"]);
        assert!(!is_signed);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("a&lt;b&gt;: 50.0 %") && svg.contains("fill-opacity=\"0.500\""), "{svg}");
        assert_eq!(map(&layers[1..], Scale::Share), None);
        let bits = map(&[("a".to_owned(), vec![Some(2.0), Some(4.0)])], Scale::Largest).unwrap();
        assert!(bits.svg.contains("fill-opacity=\"0.500\"") && bits.svg.contains("4.00"), "{bits:?}");
        assert_eq!((bits.from.as_str(), bits.to.as_str()), ("0.00", "4.00"));
    }

    #[test]
    fn numbers_below_zero_have_their_own_colour_and_a_place_on_the_scale() {
        let bias = map(&[("a".to_owned(), vec![Some(-0.5), Some(0.25)])], Scale::Largest).unwrap();
        assert!(bias.is_signed);
        assert_eq!((bias.from.as_str(), bias.to.as_str()), ("-0.50", "0.50"));
        assert_eq!(bias.measured, ["-0.50", "0.25"]);
        assert!(bias.svg.contains("fill=\"#0000F2\" fill-opacity=\"1.000\""), "{}", bias.svg);
        assert!(bias.svg.contains("fill=\"#0000F1\" fill-opacity=\"0.500\""), "{}", bias.svg);
    }
}
