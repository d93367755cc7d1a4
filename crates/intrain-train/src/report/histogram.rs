//! How often each integer of a layer occurs, as bars.

use intrain_plot::{Bar, Bars, Figure, Scale};

use super::Histogram;

/// More bars than this are joined with their neighbours.
const MOST_BARS: usize = 256;

/// The figure, or nothing where there is no weight. The area of a bar is its count.
pub(super) fn figure(title: String, histogram: &Histogram) -> Option<Figure> {
    let group = histogram.bins.len().div_ceil(MOST_BARS).max(1);
    // A bar stands on its integers, from half below the first to half above the last.
    let step = libm::ldexp(1.0, histogram.step_log2);
    let mut bars: Vec<Bar> = histogram
        .bins
        .chunks(group)
        .map(|bins| {
            let (from, to) = (step * (bins[0].0 as f64 - 0.5), step * (bins[bins.len() - 1].1 as f64 + 0.5));
            Bar { from, to: to.max(from + step), height: bins.iter().map(|bin| bin.2 as f64).sum() }
        })
        .collect();
    // Bars that are wider than the first are lower by as much.
    let first_width = bars.first().map(|bar| bar.to - bar.from)?;
    bars.iter_mut().for_each(|bar| bar.height *= first_width / (bar.to - bar.from));
    let (from, to) = bars.iter().fold((f64::MAX, f64::MIN), |(a, b), bar| (a.min(bar.from), b.max(bar.to)));
    let (first, last) = (from + 0.5 * step, to - 0.5 * step);
    let mut ticks = vec![first];
    // Labels that would touch are left out: the zero beside an end, and the end beside the beginning.
    ticks.extend([0.0].into_iter().filter(|zero| (zero - first).min(last - zero) > 0.12 * (to - from)));
    ticks.extend([last].into_iter().filter(|last| last - first > 0.12 * (to - from)));
    let is_float = histogram.step_log2 != 0;
    let bars = Bars {
        title,
        x_label: if is_float { "value" } else { "code" }.to_owned(),
        y_label: "weights".to_owned(),
        y_scale: Scale::Linear,
        ticks,
        bars,
        ..Bars::default()
    };
    bars.figure()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_any_range_are_drawn_and_empty_ones_are_not() {
        let draw = |bins: Vec<(i64, i64, u64)>| {
            let figure = figure("a".to_owned(), &Histogram { bins, ..Histogram::default() });
            figure.map(|figure| figure.inline().matches("<rect").count())
        };
        assert_eq!(draw(vec![]), None);
        assert_eq!(draw(vec![(0, 3, 0)]), None);
        assert_eq!(draw(vec![(-1, -1, 5), (0, 0, 7), (1, 1, 5)]), Some(3));
        assert_eq!(draw(vec![(7, 7, 1)]), Some(1));
        assert_eq!(draw(vec![(9, 2, 1)]), Some(1));
        assert_eq!(draw(vec![(i64::MIN, -1, 1), (0, i64::MAX, u64::MAX)]), Some(2));
        assert!(draw((-32768..=32767).map(|v| (v, v, 3)).collect()).unwrap() <= MOST_BARS);
    }

    #[test]
    fn axes_say_what_they_count() {
        let bins = vec![(-2, -1, 4), (0, 1, 4)];
        let svg = |step_log2| {
            let histogram = Histogram { bins: bins.clone(), step_log2, ..Histogram::default() };
            figure("a".to_owned(), &histogram).unwrap().inline()
        };
        assert!(svg(0).contains(">code<") && svg(0).contains(">weights<"));
        assert!(svg(-4).contains(">value<"));
    }
}
