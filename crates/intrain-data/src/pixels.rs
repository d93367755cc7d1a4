//! Values of any type to pixels of 8 bits.
//!
//! uint8 is taken as it is. Any other value `x` from LOW to HIGH becomes `round(255 (x - LOW) / (HIGH - LOW))`, in float64,
//! ties away from zero; one outside is refused, never clipped. LOW and HIGH are 0 and 1 for floats, if nothing else is said,
//! and have to be said for integers.

use std::path::Path;

use crate::DataError;
use crate::npy::{self, Kind};

/// The values that become 0 and 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// What floats are in, if nothing else is said.
    const UNIT: Self = Self { low: 0.0, high: 1.0 };
    /// Bound of both limits, so that 255 times their difference is a float64.
    const MOST: f64 = 1e300;

    /// From `LOW..HIGH`; `None` where that is no range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (low, high) = text.split_once("..")?;
        let range = Self { low: low.parse().ok()?, high: high.parse().ok()? };
        let fits = |limit: f64| limit.abs() <= Self::MOST;
        (fits(range.low) && fits(range.high) && range.low < range.high).then_some(range)
    }

    /// `None` outside of the range, and for NaN.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 255 is cast"
    )]
    fn to_pixel(self, x: f64) -> Option<u8> {
        let Self { low, high } = self;
        (low..=high).contains(&x).then(|| (255.0 * (x - low) / (high - low)).round() as u8)
    }

    /// All values as pixels; or the first that is outside, and where.
    fn encode(self, values: impl Iterator<Item = f64>) -> Result<Vec<u8>, (usize, f64)> {
        values.enumerate().map(|(index, x)| self.to_pixel(x).ok_or((index, x))).collect()
    }
}

/// A byte for each value of an NPY file, in the order of the file.
///
/// # Errors
/// It is no NPY file, holds integers other than uint8 and no range is given, or a value is outside.
pub(crate) fn from_npy(mut bytes: Vec<u8>, range: Option<Range>, path: &Path) -> Result<Vec<u8>, DataError> {
    let array = npy::parse(&bytes, path)?;
    // Exact up to 2^53, and in order beyond.
    #[allow(clippy::cast_precision_loss, reason = "values that large differ in other bits than a pixel has")]
    let integers = || array.integers().into_iter().flatten().map(|x| x as f64);
    let floats = || array.floats().into_iter().flatten();
    let (found, range) = match (array.kind, range) {
        (Kind::Float, range) => {
            let range = range.unwrap_or(Range::UNIT);
            (range.encode(floats()).map_err(|first| (first, extent(floats()))), range)
        }
        (_, Some(range)) => (range.encode(integers()).map_err(|first| (first, extent(integers()))), range),
        _ => {
            check_type(array.kind, array.item_bytes, None, path)?;
            // In place: there may be no memory for a second copy.
            let values_at = bytes.len() - array.bytes.len();
            bytes.drain(..values_at);
            return Ok(bytes);
        }
    };
    found.map_err(|((index, x), extent)| outside(index, x, extent, range, path))
}

/// Whether values of a type become pixels.
///
/// # Errors
/// They are integers other than uint8, and no range is given.
pub(crate) fn check_type(
    kind: Kind,
    item_bytes: usize,
    range: Option<Range>,
    path: &Path,
) -> Result<(), DataError> {
    if kind == Kind::Float || (kind, item_bytes) == (Kind::Unsigned, 1) || range.is_some() {
        return Ok(());
    }
    let problem = format!("is of type {}, expected uint8 or floats", npy::type_name(kind, item_bytes));
    let remedy = "write `,range=LOW..HIGH` behind the path of the file, the values that become 0 and 255, or convert \
                  the images with astype(\"uint8\") if they are from 0 to 255";
    Err(DataError::file(path, problem, remedy))
}

/// The least and the greatest value that is finite.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|x| x.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), x| (least.min(x), most.max(x)))
}

fn outside(
    index: usize,
    x: f64,
    (least, most): (f64, f64),
    Range { low, high }: Range,
    path: &Path,
) -> DataError {
    let problem = format!(
        "value {index} is {x}, the limits are {low} and {high} (finite values are from {least} to {most})"
    );
    let remedy = if !x.is_finite() {
        "replace what is not finite, such as by numpy.nan_to_num".to_owned()
    } else if least >= 0.0 && most <= 255.0 {
        "write `,range=0..255` behind the path of the file, or save the images as uint8".to_owned()
    } else {
        let (least, most) = (least.min(low), most.max(high));
        format!(
            "write `,range={least}..{most}` behind the path of the file, or wider if its other images need it; these \
             become 0 and 255"
        )
    };
    DataError::file(path, problem, remedy)
}

/// A note where no pixel is above 1: of 256 levels a network would see two, which are all but equal.
pub(crate) fn note_of_dark(pixels: &[u8], is_as_saved: bool, path: &Path) -> Option<String> {
    let largest = pixels.iter().max().filter(|&&largest| largest <= 1)?;
    let remedy = if is_as_saved {
        "were these images scaled to 0..1? Multiply them by 255 before they become uint8, or write `,range=0..1` behind \
         the path of the file"
    } else {
        "write a narrower `,range=LOW..HIGH` behind the path of the file"
    };
    Some(format!("{}: the largest pixel is {largest}, and white is 255: {remedy}", path.display()))
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
    fn limits_become_0_and_255_and_nothing_is_clipped() {
        for text in ["0..1", "-1..1", "0..255", "-3e-320..1e-310", "-1e300..1e300", "0.1..0.3", "7..4096"] {
            let range = Range::parse(text).unwrap();
            let Range { low, high } = range;
            let middle = range.to_pixel(low / 2.0 + high / 2.0).unwrap();
            assert_eq!((range.to_pixel(low), range.to_pixel(high)), (Some(0), Some(255)), "{text}");
            assert!((127..=128).contains(&middle), "{text}");
            for x in [low.next_down(), high.next_up(), f64::NAN, f64::INFINITY] {
                assert_eq!(range.to_pixel(x), None, "{text} {x}");
            }
        }
        let bytes = Range::parse("0..255").unwrap();
        assert!((0..=255).all(|x: u8| bytes.to_pixel(x.into()) == Some(x)));
        // 127.5 is a tie.
        assert_eq!(Range::UNIT.to_pixel(0.5), Some(128));
    }

    #[test]
    fn every_type_is_read_with_a_range() {
        let path = Path::new("f");
        let range = Range::parse("0..1000");
        let bytes = npy::to_bytes(&[3], npy::Order::C, [0, 500, 1000_i32].into_iter()).unwrap();
        assert_eq!(from_npy(bytes.clone(), range, path).unwrap(), [0, 128, 255]);
        let message = from_npy(bytes.clone(), None, path).unwrap_err().to_string();
        assert!(message.contains("is of type int32") && message.contains("`,range=LOW..HIGH`"), "{message}");
        let message = from_npy(bytes, Range::parse("0..999"), path).unwrap_err().to_string();
        assert!(message.contains("value 2 is 1000, the limits are 0 and 999"), "{message}");
        assert!(message.contains("`,range=0..1000` behind"), "{message}");
        let floats = |values: [f64; 3]| npy::to_bytes(&[3], npy::Order::C, values.into_iter()).unwrap();
        let message = |values| from_npy(floats(values), None, path).unwrap_err().to_string();
        assert!(message([0.0, 254.5, 3.0]).contains("`,range=0..255` behind"));
        assert!(message([0.0, 0.5, -1.5]).contains("`,range=-1.5..1` behind"));
        assert!(message([0.0, f64::NAN, -1.5]).contains("numpy.nan_to_num"));
        assert_eq!(from_npy(floats([-1.5, 1.0, 0.0]), Range::parse("-1.5..1"), path).unwrap(), [0, 255, 153]);
    }
}
