//! Curves, bands and named points over two axes.

use crate::axis::{Axis, LIMIT, Scale};
use crate::canvas::{Canvas, Rect};
use crate::figure::Figure;
use crate::frame::{Frame, Key, Outline, Style, class};
use crate::labels::{Label, place_labels};

/// More points than this are thinned out: a page shows no more, and stays small.
const MOST_POINTS: usize = 1000;
/// Curves of fewer points show each of them.
const FEW_POINTS: usize = 40;

/// Points of one colour.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// As in the legend; empty: it is not there.
    pub name: String,
    /// Number of its colour.
    pub color: usize,
    /// How it is drawn.
    pub style: Style,
    /// Its points, by rising x where it is a curve.
    pub points: Vec<(f64, f64)>,
    /// What stands beside each point; may be empty.
    pub labels: Vec<String>,
    /// A band behind it: x, and from where to where; may be empty.
    pub band: Vec<(f64, f64, f64)>,
}

/// An axis by its name.
#[derive(Debug, Clone, Copy)]
pub struct AxisName<'a> {
    /// What it shows, with its unit.
    pub label: &'a str,
    /// How values become places.
    pub scale: Scale,
}

/// Series over two axes.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// To the right.
    pub x: AxisName<'a>,
    /// Upwards.
    pub y: AxisName<'a>,
    /// What it shows.
    pub series: Vec<Series>,
    /// Width of the figure.
    pub width: f64,
    /// Height of the data.
    pub height: f64,
}

fn drawable(point: &(f64, f64)) -> bool {
    point.0.abs() <= LIMIT && point.1.abs() <= LIMIT
}

impl Chart<'_> {
    /// Number of points that can't be drawn: NaN, infinite or absurdly large.
    #[must_use]
    pub fn n_left_out(&self) -> usize {
        self.series.iter().flat_map(|series| &series.points).filter(|point| !drawable(point)).count()
    }

    /// The figure, or nothing if there is no point to draw.
    #[must_use]
    pub fn figure(&self) -> Option<Figure> {
        let of_series = |series: &Series| {
            let band = series.band.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]);
            series.points.iter().copied().chain(band).filter(drawable).collect::<Vec<_>>()
        };
        let points: Vec<(f64, f64)> = self.series.iter().flat_map(of_series).collect();
        if points.is_empty() {
            return None;
        }
        let xs = points.iter().map(|point| point.0);
        let x = match self.x.scale {
            Scale::Log => Axis::around(Scale::Log, xs),
            scale => Axis::tight(scale, xs),
        };
        let y = Axis::around(self.y.scale, points.iter().map(|point| point.1));
        let named: Vec<&Series> = self.series.iter().filter(|series| !series.name.is_empty()).collect();
        let key = |s: &&Series| Key { name: s.name.clone(), color: s.color, style: s.style };
        // A lone name says nothing that the title does not.
        let keys: Vec<Key> = if named.len() > 1 { named.iter().map(key).collect() } else { Vec::new() };
        let name = |axis: &Axis, label: &str| {
            if axis.is_log() { format!("{label} (log scale)") } else { label.to_owned() }
        };
        let (x_label, y_label) = (name(&x, self.x.label), name(&y, self.y.label));
        let outline = Outline {
            title: self.title,
            x_label: &x_label,
            y_label: &y_label,
            keys: &keys,
            width: self.width,
            height: self.height,
            left: 0.0,
        };
        let mut canvas = Canvas::default();
        let frame = Frame::draw(&mut canvas, &outline, x, y);
        self.series.iter().for_each(|series| draw_band(&mut canvas, &frame, series));
        self.series.iter().for_each(|series| draw_series(&mut canvas, &frame, series));
        self.draw_labels(&mut canvas, &frame);
        Some(Figure::new(self.title, self.width, frame.height, canvas))
    }

    /// Names beside points, where there is room for them.
    fn draw_labels(&self, canvas: &mut Canvas, frame: &Frame) {
        let label = |series: &Series| {
            let pairs = series.points.iter().zip(&series.labels).filter(|(point, _)| drawable(point));
            let label = |(point, text): (&(f64, f64), &String)| Label {
                at: frame.place(*point),
                text: text.clone(),
                color: series.color,
            };
            pairs.map(label).collect::<Vec<_>>()
        };
        let labels: Vec<Label> = self.series.iter().flat_map(label).collect();
        if labels.is_empty() {
            return;
        }
        let curves = self.series.iter().filter(|series| series.style != Style::Marks);
        let curves: Vec<Vec<_>> = curves
            .map(|series| series.points.iter().filter(|p| drawable(p)).map(|p| frame.place(*p)).collect())
            .collect();
        place_labels(canvas, frame.area, &labels, &curves);
    }
}

fn draw_band(canvas: &mut Canvas, frame: &Frame, series: &Series) {
    let band: Vec<_> =
        series.band.iter().filter(|(x, low, high)| drawable(&(*x, *low)) && drawable(&(*x, *high))).collect();
    if band.len() > 1 {
        let there = band.iter().map(|(x, low, _)| frame.place((*x, *low)));
        let back = band.iter().rev().map(|(x, _, high)| frame.place((*x, *high)));
        canvas.area(&format!("band {}", class(series.color)), there.chain(back));
    } else if let [(x, low, high)] = band[..] {
        // A lone place has a bar.
        let ((x, bottom), (_, top)) = (frame.place((*x, *low)), frame.place((*x, *high)));
        let at = Rect { x: x - 4.0, y: top, width: 8.0, height: bottom - top };
        canvas.rect(&format!("band {}", class(series.color)), at, "", "");
    }
}

fn draw_series(canvas: &mut Canvas, frame: &Frame, series: &Series) {
    let color = class(series.color);
    let few = series.points.len() <= FEW_POINTS && series.style == Style::Line;
    let radius = if series.style == Style::Marks { 4.5 } else { 3.0 };
    let mut n_before = 0;
    // A gap stays a gap: the curve goes on behind a value that can't be drawn.
    for piece in series.points.split(|point| !drawable(point)) {
        // Of the piece's points, in the whole series.
        let first = n_before;
        n_before += piece.len() + 1;
        if piece.is_empty() {
            continue;
        }
        let piece = if series.style == Style::Marks { piece.to_vec() } else { thinned(piece) };
        let places = piece.iter().map(|&point| frame.place(point));
        match series.style {
            Style::Line | Style::Plain if piece.len() > 1 => canvas.path(&format!("line {color}"), places),
            Style::Thin if piece.len() > 1 => canvas.path(&format!("thin {color}"), places),
            _ => {}
        }
        if few || series.style == Style::Marks || piece.len() == 1 {
            for (i, &point) in piece.iter().enumerate() {
                let name = series.labels.get(first + i).unwrap_or(&series.name);
                let says = frame.says(name, point);
                canvas.dot(&format!("mark {color}"), frame.place(point), radius, &says);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<Series>) -> Chart<'static> {
        let axis = |label| AxisName { label, scale: Scale::Whole };
        Chart { title: "t", x: axis("epoch"), y: axis("error"), series, width: 460.0, height: 200.0 }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec(), ..Series::default() }
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
    fn a_point_behind_a_gap_keeps_its_name() {
        let labels = ["none", "two", "three", "gap", "five"].map(str::to_owned).to_vec();
        let points = vec![(1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0), (4.0, f64::NAN), (5.0, 5.0)];
        let series = Series { points, labels, style: Style::Marks, ..Series::default() };
        let drawn = chart(vec![series]).figure().unwrap().inline();
        for name in ["two", "three", "five"] {
            assert!(drawn.contains(&format!("<title>{name}")), "{name}: {drawn}");
        }
        assert!(!drawn.contains("<title>none") && !drawn.contains("<title>gap"));
    }

    #[test]
    fn a_value_that_cannot_be_drawn_is_a_gap() {
        let nan = chart(vec![series("a", &[(1.0, f64::NAN)])]);
        assert!(nan.figure().is_none() && nan.n_left_out() == 1);
        let gap = chart(vec![series("a", &[(1.0, 1.0), (2.0, 2.0), (3.0, f64::INFINITY), (4.0, 1.0)])]);
        let svg = gap.figure().unwrap().inline();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (1, 3));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn epochs_are_whole_and_a_legend_stands_above_the_data() {
        let points = [(1.0, 5.0), (2.0, 4.0), (3.0, 3.0)];
        let one = chart(vec![series("only", &points)]).figure().unwrap().inline();
        assert!(!one.contains(">only<"));
        let two = chart(vec![series("first", &points), series("second", &points)]).figure().unwrap().inline();
        for shown in [">first<", ">second<", ">epoch<", ">error<", ">1<", ">2<", ">3<", "first, 2: 4"] {
            assert!(two.contains(shown), "{shown}");
        }
        assert!(!two.contains(">1.5<"));
        // Higher by the legend's line, so that nothing lies on the data.
        let height =
            |svg: &str| svg.split('"').nth(1).unwrap().split(' ').nth(3).unwrap().parse::<f64>().unwrap();
        assert!(height(&two) > height(&one) + 15.0);
    }

    #[test]
    fn a_band_is_an_area_and_widens_the_axis() {
        let band = vec![(1.0, 2.0, 80.0), (2.0, 2.0, 3.0)];
        let of = Series { band, ..series("a", &[(1.0, 5.0), (2.0, 2.5)]) };
        let svg = chart(vec![of]).figure().unwrap().inline();
        assert!(svg.contains("<polygon class=\"band c0\"") && svg.contains(">80<"), "{svg}");
        let lone = Series { band: vec![(1.0, 2.0, 3.0)], ..series("a", &[(1.0, 2.5)]) };
        assert!(chart(vec![lone]).figure().unwrap().inline().contains("<rect class=\"band c0\""));
    }
}
