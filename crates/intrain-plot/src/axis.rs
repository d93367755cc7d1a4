//! One axis of a chart: its range, its ticks at round numbers, and their labels.
//!
//! Invariant: the range is not empty, finite, and holds all ticks.
#![allow(
    clippy::cast_possible_truncation,
    reason = "fractions of a pixel and of a tick are meant to be dropped"
)]

use crate::number;

/// Larger values aren't drawn: near the ends of `f64` the difference of two values isn't finite.
pub(crate) const LIMIT: f64 = 1e30;

/// Most of a logarithmic axis that is added at an end to reach a tick, as a share of the data's length.
const END_ROOM: f64 = 0.12;

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally long; ticks are whole numbers.
    Whole,
    /// Equal differences are equally long.
    Linear,
    /// As `Linear`, labelled with a percent sign.
    Percent,
    /// Equal ratios are equally long, where all values are positive and span a decade; `Linear` otherwise.
    Log,
}

/// An axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    from: f64,
    to: f64,
    ticks: Vec<f64>,
    scale: Scale,
    decimals: usize,
}

impl Axis {
    /// Just as long as the values need, for the direction of time.
    pub(crate) fn tight(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let scale = if scale == Scale::Log { Scale::Linear } else { scale };
        let (from, to) = span(values);
        let step = round_step((to - from) / 6.0, scale);
        let ticks = multiples(step, from, to);
        Self { from, to, ticks, scale, decimals: decimals_of(step) }
    }

    /// From a tick to a tick around the values.
    pub(crate) fn around(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (from, to) = span(values.clone());
        let positive = values.clone().fold(f64::INFINITY, f64::min) > 0.0;
        let highest = values.fold(f64::NEG_INFINITY, f64::max);
        if scale == Scale::Log && positive && to / from >= 10.0 {
            return Self::log(from, to);
        }
        let scale = if scale == Scale::Log { Scale::Linear } else { scale };
        // A range that begins near zero begins at zero, so that heights can be compared.
        let from = if from > 0.0 && from < 0.5 * to { 0.0 } else { from };
        // A lone value widens the range, but a share has its end.
        let to = if scale == Scale::Percent && highest <= 100.0 { to.min(100.0) } else { to };
        let step = round_step((to - from) / 5.0, scale);
        let (from, to) = ((from / step).floor() * step, (to / step).ceil() * step);
        Self { from, to, ticks: multiples(step, from, to), scale, decimals: decimals_of(step) }
    }

    /// From 0 to the tick at or above the highest value.
    pub(crate) fn upwards(scale: Scale, highest: f64) -> Self {
        Self::around(if scale == Scale::Log { Scale::Linear } else { scale }, [0.0, highest].into_iter())
    }

    /// Ticks at 1, 2 and 5 times the powers of ten; over many decades at the powers alone.
    fn log(from: f64, to: f64) -> Self {
        let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
        // A tick just outside of the data is worth the room: the ends of the axis then have their numbers.
        let spare = 10f64.powf(END_ROOM * (to / from).log10());
        let factors: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((last - first) / 8).max(1);
        let all: Vec<f64> = (first..=last)
            .filter(|decade| (decade - first) % every == 0)
            .flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)))
            .collect();
        let below = all.iter().copied().filter(|&tick| tick <= from).fold(f64::NEG_INFINITY, f64::max);
        let above = all.iter().copied().filter(|&tick| tick >= to).fold(f64::INFINITY, f64::min);
        let low = if below * spare >= from { below } else { from };
        let high = if above <= to * spare { above } else { to };
        let ticks: Vec<f64> =
            all.into_iter().filter(|&tick| tick >= low * 0.999 && tick <= high * 1.001).collect();
        let (below, above) = (ticks.first().copied().unwrap_or(from), ticks.last().copied().unwrap_or(to));
        Self { from: from.min(below), to: to.max(above), ticks, scale: Scale::Log, decimals: 0 }
    }

    /// Exactly this range and these ticks, all inside it.
    pub(crate) fn exact(from: f64, to: f64, ticks: Vec<f64>) -> Self {
        Self { from, to, ticks, scale: Scale::Whole, decimals: 0 }
    }

    /// The text at a tick.
    pub(crate) fn label(&self, value: f64) -> String {
        match self.scale {
            Scale::Whole => number::short(value),
            Scale::Percent if self.decimals <= 6 => format!("{value:.*} %", self.decimals),
            Scale::Linear if value.abs() < 1000.0 && (1..=5).contains(&self.decimals) => {
                format!("{value:.*}", self.decimals)
            }
            _ => number::short(value),
        }
    }

    /// The text of any value, in more digits than a tick has.
    pub(crate) fn exact_label(&self, value: f64) -> String {
        match self.scale {
            Scale::Percent => number::percent(value / 100.0),
            _ => number::short(value),
        }
    }

    pub(crate) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    pub(crate) fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }

    /// Where a value lies between the ends, 0 to 1.
    pub(crate) fn fraction(&self, value: f64) -> f64 {
        let place = |v: f64| if self.is_log() { v.log10() } else { v };
        let fraction = (place(value) - place(self.from)) / (place(self.to) - place(self.from));
        fraction.clamp(0.0, 1.0)
    }
}

/// Smallest and largest value; widened where they are the same, so that the range is never empty.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    // Relative, because a fixed distance vanishes beside a large number.
    let least = 1e-9 * low.abs().max(high.abs());
    if high - low > least {
        (low, high)
    } else if low == 0.0 {
        (0.0, 1.0)
    } else {
        (low - 0.5 * low.abs(), high + 0.5 * high.abs())
    }
}

/// The next 1, 2 or 5 times a power of ten.
fn round_step(at_least: f64, scale: Scale) -> f64 {
    let power = 10f64.powf(at_least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let step = factors.map(|f| f * power).into_iter().find(|&step| step >= at_least * 0.999);
    let step = step.unwrap_or(10.0 * power);
    if scale == Scale::Whole { step.max(1.0) } else { step }
}

/// All multiples of `step` in the range, give or take the rounding of a quotient.
fn multiples(step: f64, from: f64, to: f64) -> Vec<f64> {
    let slack = 1e-6 * (to - from);
    let first = ((from - slack) / step).ceil();
    // Bound: the ranges are at most some ten steps long; the limit is against a loss of all digits.
    (0..=20).map(|i| (first + f64::from(i)) * step).take_while(|&tick| tick <= to + slack).collect()
}

fn decimals_of(step: f64) -> usize {
    usize::try_from(-(step.log10() + 1e-9).floor() as i32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let around = |scale, values: &[f64]| labels(&Axis::around(scale, values.iter().copied()));
        assert_eq!(around(Scale::Percent, &[3.1, 41.0]), ["0 %", "10 %", "20 %", "30 %", "40 %", "50 %"]);
        assert_eq!(around(Scale::Percent, &[90.0]), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(around(Scale::Linear, &[0.31, 0.35]), ["0.31", "0.32", "0.33", "0.34", "0.35"]);
        assert_eq!(around(Scale::Log, &[0.04, 2.3]), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(around(Scale::Log, &[0.021, 0.43]), ["0.02", "0.05", "0.1", "0.2", "0.5"]);
        assert_eq!(around(Scale::Log, &[0.0, 2.0]), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        let tight = |values: &[f64]| labels(&Axis::tight(Scale::Whole, values.iter().copied()));
        assert_eq!(tight(&[1.0, 3.0]), ["1", "2", "3"]);
        assert_eq!(tight(&[100.0, 23_456.0]), ["5,000", "10,000", "15,000", "20,000"]);
    }

    #[test]
    fn any_values_give_a_range_with_its_ticks_inside() {
        let values = [0.0, 1.0, -1.0, 1e-300, 1e-30, LIMIT, -LIMIT, 0.1, 1e9, 1e9 + 1e-3, 123.456];
        for a in values {
            for b in values {
                for scale in [Scale::Whole, Scale::Linear, Scale::Percent, Scale::Log] {
                    let both = [a, b].into_iter();
                    for axis in [Axis::tight(scale, both.clone()), Axis::around(scale, both)] {
                        let (start, end) = (axis.from, axis.to);
                        assert!(start < end && (end - start).is_finite(), "{a} {b} {axis:?}");
                        let slack = 1e-5 * (end - start);
                        assert!(
                            axis.ticks.iter().all(|&t| t >= start - slack && t <= end + slack),
                            "{axis:?}"
                        );
                        assert!(axis.ticks.len() <= 21);
                        assert!((0.0..=1.0).contains(&axis.fraction(a)));
                    }
                }
            }
        }
    }
}
