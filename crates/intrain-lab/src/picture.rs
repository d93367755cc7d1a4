//! Tables as pictures: panels of bars, or curves over two logarithmic axes.

use intrain_plot::{AxisName, Bar, Bars, Chart, Figure, Scale, Series, Style};

/// A panel of bars.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// Places and shares.
    pub shares: Vec<(f64, f64)>,
    /// Number of its colour.
    pub color: usize,
}

/// A curve with its name, and the bound on it.
#[derive(Debug, Clone)]
pub struct Curve {
    /// As in the legend.
    pub name: String,
    /// What was measured, both coordinates above 0.
    pub measured: Vec<(f64, f64)>,
    /// What bounds it.
    pub bound: Vec<(f64, f64)>,
}

/// Panels in so many columns, all with the same axes and their two names; `step` is the distance of two places.
#[must_use]
pub fn panels(
    title: &str,
    columns: usize,
    panels: &[Panel],
    step: f64,
    [x_label, y_label]: [&str; 2],
) -> Figure {
    let highest = panels.iter().flat_map(|panel| &panel.shares).map(|bar| 100.0 * bar.1).fold(0.0, f64::max);
    let bar =
        |&(x, share): &(f64, f64)| Bar { from: x - step / 2.0, to: x + step / 2.0, height: 100.0 * share };
    let figure = |panel: &Panel| {
        let bars = Bars {
            title: panel.title.clone(),
            x_label: x_label.to_owned(),
            y_label: y_label.to_owned(),
            y_scale: Scale::Percent,
            at_least: highest,
            bars: panel.shares.iter().map(bar).collect(),
            color: panel.color,
            ..Bars::default()
        };
        bars.figure()
    };
    Figure::grid(title, columns, &panels.iter().filter_map(figure).collect::<Vec<_>>())
}

/// Curves and their bounds over two logarithmic axes; none where there is no point.
#[must_use]
pub fn curves(title: &str, [x_label, y_label]: [&str; 2], curves: &[Curve]) -> Option<Figure> {
    let of_curve = |(color, curve): (usize, &Curve)| {
        let measured =
            Series { name: curve.name.clone(), color, points: curve.measured.clone(), ..Series::default() };
        let bound = Series { color, style: Style::Thin, points: curve.bound.clone(), ..Series::default() };
        [measured, bound]
    };
    // Its sample in the legend alone.
    let bounds = Series {
        name: "bound of the same colour".to_owned(),
        color: 7,
        style: Style::Thin,
        ..Series::default()
    };
    let axis = |label| AxisName { label, scale: Scale::Log };
    let series = curves.iter().enumerate().flat_map(of_curve).chain([bounds]).collect();
    Chart { title, x: axis(x_label), y: axis(y_label), series, width: 640.0, height: 340.0 }.figure()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_share_their_axes_and_name_them() {
        let panel = |title: &str, share| Panel {
            title: title.to_owned(),
            shares: vec![(0.0, share), (0.5, 1.0 - share)],
            color: 0,
        };
        let svg =
            panels("t", 2, &[panel("a", 0.1), panel("b", 0.5)], 0.5, ["weight w", "share of steps"]).file();
        assert_eq!(svg.matches(">100 %<").count(), 2, "{svg}");
        assert_eq!(svg.matches(">weight w<").count(), 2);
        assert_eq!(svg.matches(">share of steps<").count(), 2);
    }

    #[test]
    fn bounds_are_in_the_legend_once() {
        let curve = |name: &str| Curve {
            name: name.to_owned(),
            measured: vec![(1.0, 10.0), (100.0, 0.1)],
            bound: vec![(1.0, 20.0), (100.0, 0.2)],
        };
        let svg = curves("t", ["steps", "F"], &[curve("a"), curve("b")]).unwrap().file();
        assert_eq!(svg.matches(">bound of the same colour<").count(), 1);
        assert_eq!(
            (svg.matches("<polyline class=\"line").count(), svg.matches("<polyline class=\"thin").count()),
            (2, 2)
        );
        assert!(svg.contains(">steps (log scale)<") && svg.contains(">F (log scale)<"));
        assert!(curves("t", ["x", "y"], &[]).is_none());
    }
}
