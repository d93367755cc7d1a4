//! Numbers to bytes: the values that become 0 and 255, of each feature or of all.
//!
//! A value `x` becomes `round(255 (x - low) / (high - low))` in float64, ties away from zero, with what is below `low` or above
//! `high` held at the limit. A feature with `low = high` is constant, and becomes 0. The limits are those of the images that a
//! network learns from; a trained network keeps them, so that other data are encoded as those were.

use toml::{Table, Value};

/// The values that become 0 and 255; equal where a feature has one value alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
}

/// Its limits are finite.
impl Eq for Range {}

impl Range {
    /// What floats are in, if nothing else is said.
    pub(crate) const UNIT: Self = Self { low: 0.0, high: 1.0 };
    /// Bound of both limits, so that 255 times their difference is a float64.
    pub(crate) const MOST: f64 = 1e300;

    /// From `low` to `high`; `None` unless `-1e300 <= low <= high <= 1e300`.
    #[must_use]
    pub fn new(low: f64, high: f64) -> Option<Self> {
        let fits = |limit: f64| limit.abs() <= Self::MOST;
        (fits(low) && fits(high) && low <= high).then_some(Self { low, high })
    }

    /// From `LOW..HIGH`, of which `LOW` is below `HIGH`; `None` where that is no range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (low, high) = text.split_once("..")?;
        Self::new(low.parse().ok()?, high.parse().ok()?).filter(|range| range.low < range.high)
    }

    /// The value that becomes 0.
    #[must_use]
    pub const fn low(self) -> f64 {
        self.low
    }

    /// The value that becomes 255.
    #[must_use]
    pub const fn high(self) -> f64 {
        self.high
    }

    /// Whether a value lies in it; NaN does not.
    #[must_use]
    pub fn contains(self, x: f64) -> bool {
        (self.low..=self.high).contains(&x)
    }

    /// The byte of a value, with the nearer limit in place of one that lies outside.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 255 is cast, or NaN, which gives 0"
    )]
    pub fn byte(self, x: f64) -> u8 {
        let Self { low, high } = self;
        if low == high {
            return 0;
        }
        (255.0 * (x.clamp(low, high) - low) / (high - low)).round() as u8
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

/// How the numbers of a data set became bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    /// One for each feature of an image, or one for all.
    ranges: Vec<Range>,
    /// Names of the features; none where the source has none.
    names: Vec<String>,
}

impl Encoder {
    /// One range for all values.
    pub(crate) fn of_all(range: Range) -> Self {
        Self { ranges: vec![range], names: Vec::new() }
    }

    /// The least and the greatest value of each feature of some rows.
    pub(crate) fn measured<'a>(names: Vec<String>, rows: impl Iterator<Item = &'a [f64]>) -> Self {
        let mut limits: Vec<(f64, f64)> = Vec::new();
        for row in rows {
            limits.resize(row.len(), (f64::INFINITY, f64::NEG_INFINITY));
            for ((low, high), x) in limits.iter_mut().zip(row) {
                (*low, *high) = (low.min(*x), high.max(*x));
            }
        }
        let range = |(low, high)| Range::new(low, high).unwrap_or(Range::UNIT);
        Self { ranges: limits.into_iter().map(range).collect(), names }
    }

    /// The ranges: one for each feature, or a single one for all.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Names of the features, as many as ranges, or none.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it encodes images of so many values.
    #[must_use]
    pub const fn takes(&self, n_values: usize) -> bool {
        self.ranges.len() == n_values || (self.ranges.len() == 1 && self.names.is_empty())
    }

    /// The range of value `index` of an image.
    pub(crate) fn range(&self, index: usize) -> Range {
        self.ranges[index % self.ranges.len()]
    }

    /// What a message calls value `index` of an image.
    pub(crate) fn name(&self, index: usize) -> String {
        let name = self.names.get(index).map(|name| format!("'{name}'"));
        name.unwrap_or_else(|| format!("number {index}"))
    }

    /// The encoder as TOML that [`Encoder::from_toml`] reads back to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let list = |limit: fn(Range) -> f64| -> Value {
            self.ranges.iter().map(|range| limit(*range)).collect::<Vec<_>>().into()
        };
        let mut table =
            Table::from_iter([("low".to_owned(), list(Range::low)), ("high".to_owned(), list(Range::high))]);
        if !self.names.is_empty() {
            table.insert("names".to_owned(), self.names.clone().into());
        }
        table.to_string()
    }

    /// Reads an encoder back; `None` where the text is none.
    #[must_use]
    pub fn from_toml(text: &str) -> Option<Self> {
        let table: Table = text.parse().ok()?;
        let list = |key: &str| -> Option<Vec<f64>> {
            table.get(key)?.as_array()?.iter().map(Value::as_float).collect()
        };
        let (low, high) = (list("low")?, list("high")?);
        if low.len() != high.len() || low.is_empty() {
            return None;
        }
        let ranges = low.into_iter().zip(high).map(|(low, high)| Range::new(low, high));
        let ranges: Vec<Range> = ranges.collect::<Option<_>>()?;
        let names: Vec<String> = match table.get("names") {
            None => Vec::new(),
            Some(names) => names
                .as_array()?
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        };
        (names.is_empty() || names.len() == ranges.len()).then_some(Self { ranges, names })
    }
}

/// Values outside of their ranges, feature by feature.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clamped {
    /// Of each feature.
    counts: Vec<usize>,
    /// Values that were encoded.
    n_values: usize,
}

impl Clamped {
    /// The byte of value `index` of an image.
    pub(crate) fn byte(&mut self, encoder: &Encoder, index: usize, x: f64) -> u8 {
        let range = encoder.range(index);
        self.n_values += 1;
        if !range.contains(x) {
            self.counts.resize(self.counts.len().max(index + 1), 0);
            self.counts[index] += 1;
        }
        range.byte(x)
    }

    /// Appends the bytes of an image.
    pub(crate) fn append(&mut self, encoder: &Encoder, row: &[f64], out: &mut Vec<u8>) {
        out.extend(row.iter().enumerate().map(|(index, x)| self.byte(encoder, index, *x)));
    }

    /// A sentence where values were held at a limit: whose they are, and of which data the limits.
    pub(crate) fn note(&self, of: &str, limits: &str, encoder: &Encoder) -> Option<String> {
        let n: usize = self.counts.iter().sum();
        let (worst, most) = self.counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
        let worst = encoder.name(worst);
        (n > 0).then(|| {
            format!(
                "{n} of {} values of {of} lie outside of {limits} and were held at its limits, most of them ({most}) of \
                 feature {worst}",
                self.n_values
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_two_numbers_in_order() {
        let range = |low, high| Some(Range { low, high });
        assert_eq!(Range::parse("-1..1"), range(-1.0, 1.0));
        assert_eq!(Range::parse("-2.5..1e2"), range(-2.5, 100.0));
        for text in ["", "1", "1..", "..1", "1..1", "2..1", "nan..1", "0..inf", "-1e301..0", "0..1..2"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn limits_become_0_and_255_and_hold_what_is_outside() {
        for text in ["0..1", "-1..1", "0..255", "-3e-320..1e-310", "-1e300..1e300", "0.1..0.3", "7..4096"] {
            let range = Range::parse(text).unwrap();
            let Range { low, high } = range;
            let middle = range.byte(low / 2.0 + high / 2.0);
            assert_eq!((range.byte(low), range.byte(high)), (0, 255), "{text}");
            assert!((127..=128).contains(&middle), "{text}");
            assert!(range.contains(low) && range.contains(high), "{text}");
            for (x, byte) in [(low.next_down(), 0), (high.next_up(), 255), (f64::INFINITY, 255)] {
                assert_eq!((range.byte(x), range.contains(x)), (byte, false), "{text} {x}");
            }
            assert!(!range.contains(f64::NAN));
        }
        let bytes = Range::parse("0..255").unwrap();
        assert!((0..=255).all(|x: u8| bytes.byte(x.into()) == x));
        // 127.5 is a tie.
        assert_eq!(Range::UNIT.byte(0.5), 128);
        let constant = Range::new(3.0, 3.0).unwrap();
        assert_eq!([2.0, 3.0, 4.0].map(|x| constant.byte(x)), [0, 0, 0]);
        assert_eq!(Range::new(3.0, 2.0), None);
    }

    #[test]
    fn an_encoder_reads_back_bit_for_bit() {
        let rows = [[0.1 + 0.2, -1e-310, 1e300], [5e-324, 7.0, -1.0 / 3.0]];
        let names = ["a", "b, \"c\"", "\u{fc}\n"].map(str::to_owned).to_vec();
        for names in [names, vec![]] {
            let encoder = Encoder::measured(names, rows.iter().map(|row| &row[..]));
            assert_eq!(encoder.range(0), Range { low: 5e-324, high: 0.1 + 0.2 });
            assert_eq!(Encoder::from_toml(&encoder.to_toml()), Some(encoder));
        }
        let all = Encoder::of_all(Range::UNIT);
        assert!(all.takes(7) && Encoder::from_toml(&all.to_toml()) == Some(all));
        for text in [
            "",
            "low = 3",
            "low = [0.0]\nhigh = []",
            "low = []\nhigh = []",
            "low = [1.0]\nhigh = [0.0]",
            "low = [nan]\nhigh = [1.0]",
            "low = [0.0]\nhigh = [1.0]\nnames = ['a', 'b']",
            "low = [0.0]\nhigh = [1.0]\nnames = [1]",
        ] {
            assert_eq!(Encoder::from_toml(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_held_at_a_limit_is_counted() {
        let encoder = Encoder::measured(
            vec!["a".to_owned(), "b".to_owned()],
            [&[0.0, 0.0][..], &[1.0, 2.0]].into_iter(),
        );
        let (mut clamped, mut out) = (Clamped::default(), Vec::new());
        for row in [[0.5, 3.0], [1.0, -1.0], [-0.5, 2.0]] {
            clamped.append(&encoder, &row, &mut out);
        }
        assert_eq!(out, [128, 255, 255, 0, 0, 255]);
        let note = clamped.note("the test part", "the training part's range", &encoder).unwrap();
        assert_eq!(
            note,
            "3 of 6 values of the test part lie outside of the training part's range and were held at its limits, most of \
             them (2) of feature 'b'"
        );
        assert_eq!(Clamped::default().note("x", "y", &encoder), None);
    }
}
