//! Names beside points, so that none lies on another, on a point or on a curve.

use crate::canvas::{Anchor, Canvas, Place, Rect, width_of};
use crate::frame::class;

/// Size of the text, as `figure.css` says.
const SIZE: f64 = 12.0;
const HEIGHT: f64 = 13.0;
/// Distances from the point that are tried, the nearest first.
const DISTANCES: [f64; 6] = [8.0, 16.0, 26.0, 38.0, 52.0, 68.0];
/// Where a label may stand, as seen from its point.
const DIRECTIONS: [(f64, f64); 8] =
    [(1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (0.8, 0.8), (-0.8, -0.8), (0.8, -0.8), (-0.8, 0.8)];

/// A point with its name.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) at: Place,
    pub(crate) text: String,
    pub(crate) color: usize,
}

/// Draws each label at the nearest free place; what has none is known by its point alone, which says its name to a pointer.
pub(crate) fn place_labels(canvas: &mut Canvas, area: Rect, labels: &[Label], curves: &[Vec<Place>]) {
    let dot = |label: &Label| {
        let (x, y) = label.at;
        Rect { x: x - 5.0, y: y - 5.0, width: 10.0, height: 10.0 }
    };
    let mut taken: Vec<Rect> = labels.iter().map(dot).collect();
    taken.extend(curves.iter().flat_map(|curve| curve.windows(2).flat_map(|ends| along(ends[0], ends[1]))));
    for label in labels {
        let places =
            DISTANCES.iter().flat_map(|distance| DIRECTIONS.iter().map(move |way| (*distance, *way)));
        let boxes = places.map(|(distance, way)| (distance, box_of(label, distance, way)));
        let is_free = |at: &Rect| area.holds(at) && !taken.iter().any(|other| other.overlaps(at));
        let Some((distance, at)) = boxes.into_iter().find(|(_, at)| is_free(at)) else { continue };
        let color = class(label.color);
        if distance > DISTANCES[0] {
            canvas.line(&format!("lead {color}"), label.at, nearest(label.at, at));
        }
        canvas.text(&format!("name {color}"), (at.x + 1.0, at.y + HEIGHT - 3.0), Anchor::Start, &label.text);
        taken.push(at);
    }
}

/// The box of a label at this distance from its point, in this direction.
fn box_of(label: &Label, distance: f64, (right, down): (f64, f64)) -> Rect {
    let ((x, y), width) = (label.at, width_of(&label.text, SIZE) + 2.0);
    let (x, y) = (x + right * distance, y + down * distance);
    let left = if right > 0.0 {
        x
    } else if right < 0.0 {
        x - width
    } else {
        x - width / 2.0
    };
    Rect { x: left, y: y + (down - 1.0) * HEIGHT / 2.0, width, height: HEIGHT }
}

/// The place of a box that is nearest to a point.
fn nearest((x, y): Place, at: Rect) -> Place {
    (x.clamp(at.x, at.x + at.width), y.clamp(at.y, at.y + at.height))
}

/// Small boxes along a part of a curve.
fn along((x1, y1): Place, (x2, y2): Place) -> Vec<Rect> {
    const N: u32 = 60;
    let step = |i| f64::from(i) / f64::from(N);
    let at =
        |t: f64| Rect { x: x1 + t * (x2 - x1) - 1.0, y: y1 + t * (y2 - y1) - 1.0, width: 2.0, height: 2.0 };
    (0..=N).map(step).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_neighbours_do_not_touch() {
        let area = Rect { x: 0.0, y: 0.0, width: 400.0, height: 300.0 };
        let label =
            |i: u32| Label { at: (200.0 + 3.0 * f64::from(i), 150.0), text: format!("layer{i}"), color: 0 };
        let labels: Vec<Label> = (0..8).map(label).collect();
        let mut canvas = Canvas::default();
        place_labels(&mut canvas, area, &labels, &[vec![(0.0, 140.0), (400.0, 140.0)]]);
        let number = |text: &str, key: &str| {
            let (_, rest) = text.split_once(key).unwrap();
            rest.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        let texts: Vec<&str> = canvas.body.lines().filter(|line| line.starts_with("<text")).collect();
        assert_eq!(texts.len(), 8, "{}", canvas.body);
        let boxes: Vec<Rect> = texts
            .iter()
            .map(|text| Rect {
                x: number(text, " x=\""),
                y: number(text, " y=\"") - 10.0,
                width: width_of("layer0", SIZE),
                height: 12.0,
            })
            .collect();
        for (i, a) in boxes.iter().enumerate() {
            assert!(boxes[i + 1..].iter().all(|b| !a.overlaps(b)), "{boxes:?}");
            assert!(a.y > 140.0 || a.y + 12.0 < 141.0, "on the curve: {a:?}");
        }
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let area = Rect { x: 0.0, y: 0.0, width: 20.0, height: 10.0 };
        let label = Label { at: (10.0, 5.0), text: "wide name".to_owned(), color: 0 };
        let mut canvas = Canvas::default();
        place_labels(&mut canvas, area, &[label], &[]);
        assert_eq!(canvas.body, "");
    }
}
